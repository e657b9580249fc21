//! Checks of an experiment that need its pipeline and the program's registries.

use serde_json::{Map, Value};

use super::backbone;
use super::experiment::{Experiment, Vocabulary};
use super::grid::STANDARD_AXES;
use super::mistake;
use super::source::Diagnostics;
use super::yaml::{Entry, Node};
use crate::base::nearest::{nearest, suggestion};

impl Experiment {
    /// An axis must mean something: a standard one, or one the pipeline refers to.
    pub(super) fn check_axes(&self, diagnostics: &mut Diagnostics) {
        let referenced: Vec<String> = self
            .pipeline
            .references()
            .iter()
            .map(|reference| reference.written())
            // All hyper-parameters of a cell, not an axis.
            .filter(|name| name != "search")
            .collect();
        for axis in &self.grid.axes {
            let refers = |start: &str| referenced.iter().any(|name| name.starts_with(start));
            let standard = STANDARD_AXES.contains(&axis.name.as_str())
                || (axis.name == backbone::AXIS && refers("backbone."));
            if standard || axis.searched || referenced.contains(&axis.name) {
                continue;
            }
            let candidates = STANDARD_AXES.iter().copied().chain(
                referenced
                    .iter()
                    .map(String::as_str)
                    .filter(|name| !name.contains('.')),
            );
            let mut candidates: Vec<&str> = candidates.collect();
            candidates.sort_unstable();
            candidates.dedup();
            diagnostics.error_with_help(
                "spec::unknown_axis",
                axis.span,
                format!(
                    "`{}` is not an axis: pipeline `{}` does not use it",
                    axis.name, self.pipeline.name
                ),
                match nearest(&axis.name, candidates.iter().copied()) {
                    Some(_) => suggestion(&axis.name, candidates),
                    None => format!(
                        "take it out, or let a stage refer to it as `${{{}}}`; axes it uses: {}",
                        axis.name,
                        candidates.join(", ")
                    ),
                },
            );
        }
    }

    pub(super) fn check_methods(
        &mut self,
        vocabulary: Vocabulary,
        settings: Option<&Node>,
        diagnostics: &mut Diagnostics,
    ) {
        let mut own = self.pipeline.methods();
        let systems = self.variables.get("systems").and_then(Value::as_object);
        own.extend(systems.into_iter().flat_map(Map::keys).cloned());
        self.check_systems(diagnostics);
        let known: Vec<&str> = vocabulary
            .methods
            .iter()
            .chain(vocabulary.pipeline_methods)
            .copied()
            .chain(own.iter().map(String::as_str))
            .collect();
        if let Some(axis) = self.grid.axes.iter().find(|axis| axis.name == "method") {
            for (value, span) in axis.values.iter().zip(&axis.value_spans) {
                let name = value.to_string();
                if !known.contains(&name.as_str()) {
                    diagnostics.error_with_help(
                        "spec::unknown_method",
                        *span,
                        format!("`{name}` is not a method"),
                        suggestion(&name, known.iter().copied()),
                    );
                } else if !vocabulary.methods.contains(&name.as_str()) && !own.contains(&name) {
                    self.unbuilt.push(name);
                }
            }
        }
        for entry in settings.and_then(Node::as_map).unwrap_or_default() {
            if !known.contains(&entry.key.as_str()) {
                diagnostics.error_with_help(
                    "spec::unknown_method",
                    entry.span,
                    format!("`{}` is not a method, so it has no settings", entry.key),
                    suggestion(&entry.key, known.iter().copied()),
                );
            } else if !self.has_method(&entry.key)
                && vocabulary.methods.contains(&entry.key.as_str())
            {
                check_unused_settings(entry, vocabulary, diagnostics);
            } else if own.contains(&entry.key) {
                self.check_own_settings(entry, diagnostics);
            }
        }
    }

    /// Settings of a method that the pipeline itself builds: those no stage refers to would be
    /// passed over in silence.
    fn check_own_settings(&self, entry: &Entry, diagnostics: &mut Diagnostics) {
        let prefix = format!("settings.{}.", entry.key);
        let mut known: Vec<String> = self
            .pipeline
            .references()
            .iter()
            .filter_map(|reference| {
                let written = reference.written();
                let rest = written.strip_prefix(&prefix)?;
                rest.split('.').next().map(str::to_owned)
            })
            .collect();
        known.sort();
        known.dedup();
        if known.is_empty() {
            return;
        }
        for own in entry.value.as_map().unwrap_or_default() {
            if !known.contains(&own.key) {
                diagnostics.error_with_help(
                    "spec::setting",
                    own.span,
                    format!("`{}` is not a setting of `{}`", own.key, entry.key),
                    suggestion(&own.key, known.iter().map(String::as_str)),
                );
            }
        }
    }

    /// A pipeline that never looks at them would pass over them in silence.
    fn check_systems(&self, diagnostics: &mut Diagnostics) {
        let used = self.pipeline.references();
        let span = self.span_at(&["systems"]).filter(|_| {
            let starts = |written: String| written.starts_with("systems.");
            !used.iter().any(|reference| starts(reference.written()))
        });
        if let Some(span) = span {
            diagnostics.error_with_help(
                "spec::systems",
                span,
                format!("pipeline `{}` does not use `systems`", self.pipeline.name),
                "pipelines/tallrec.yaml does",
            );
        }
    }

    fn has_method(&self, name: &str) -> bool {
        self.grid
            .axes
            .iter()
            .filter(|axis| axis.name == "method")
            .flat_map(|axis| &axis.values)
            .any(|value| value.to_string() == name)
    }
}

/// Settings of a method the grid does not have: no stage would look at them, so a slip would
/// stay hidden until the method is added.
fn check_unused_settings(entry: &Entry, vocabulary: Vocabulary, diagnostics: &mut Diagnostics) {
    let (Some(check), Some(entries)) = (vocabulary.check_settings, entry.value.as_map()) else {
        return;
    };
    for own in entries {
        let mut single = Map::new();
        single.insert(own.key.clone(), own.value.to_json());
        if let Err((path, message)) = check(&entry.key, &Value::Object(single)) {
            let owner = format!("method `{}`", entry.key);
            let mistake = mistake::explain(&owner, &path, &message);
            diagnostics.push(
                "spec::setting",
                Some(own.span),
                mistake.message,
                mistake.help,
            );
        }
    }
}
