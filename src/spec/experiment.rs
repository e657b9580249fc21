//! An experiment: what a person writes under `experiments/`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::grid::{self, Grid, STANDARD_AXES};
use super::limits::{self, NamedLimits};
use super::only::{self, Selection};
use super::overrides;
use super::pipeline::{self, Pipeline};
use super::report::{self, Part};
use super::source::{Diagnostics, Sources, SpecError};
use super::yaml::{Node, parse};
use super::{backbone, candidates, data, device, expand, fidelity, files, systems, text_encoder};
use crate::base::Devices;
use crate::base::nearest::suggestion;
use crate::statistics::Claims;

/// The keys of an experiment file.
pub const KEYS: [&str; 15] = [
    "experiment",
    "description",
    "pipeline",
    "grid",
    "fidelity",
    "data",
    "backbone",
    "text_encoder",
    "systems",
    "candidates",
    "settings",
    "variables",
    "report",
    "limits",
    "device",
];

/// Names that the program knows and the files may use.
#[derive(Debug, Clone, Copy, Default)]
pub struct Vocabulary {
    /// Methods that any pipeline can train.
    pub methods: &'static [&'static str],
    /// Methods that only a pipeline with stages for them builds.
    pub pipeline_methods: &'static [&'static str],
    /// Tables of a report.
    pub tables: &'static [&'static str],
    /// Those a report has that names none.
    pub default_tables: &'static [&'static str],
    /// Figures of a report.
    pub figures: &'static [&'static str],
    /// Checks the settings of a method that is built: the path of what is wrong, and why.
    pub check_settings: Option<SettingsCheck>,
}

/// See [`Vocabulary::check_settings`].
pub type SettingsCheck = fn(method: &str, settings: &Value) -> Result<(), (String, String)>;

/// What to read and how to change it.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The experiment file.
    pub path: PathBuf,
    /// `--set` arguments.
    pub set: Vec<String>,
    /// `--only` arguments.
    pub only: Vec<String>,
}

/// An experiment and its pipeline, checked as far as texts alone allow.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// Its name, which is also its folder under `results/`.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The grid.
    pub grid: Grid,
    /// Which cells `--only` picks.
    pub only: Vec<Selection>,
    /// What `${…}` finds beside axes: `data`, `fidelity`, `settings` and the file's variables.
    pub variables: Value,
    /// Every fidelity key with its value.
    pub fidelity: BTreeMap<String, String>,
    /// Tables of the report.
    pub tables: Vec<Part>,
    /// Figures of the report.
    pub figures: Vec<Part>,
    /// How the report tests its claims.
    pub claims: Claims,
    /// How often stages are tried and how long they may take, by kind or template.
    pub limits: Vec<NamedLimits>,
    /// Where stages of the accelerator lane compute, if it is said.
    pub devices: Option<Devices>,
    /// The pipeline.
    pub pipeline: Pipeline,
    /// Methods of the grid that the pipeline has no stages for.
    pub unbuilt: Vec<String>,
    /// The texts that spans point into.
    pub sources: Sources,
    root: Node,
}

/// Why an experiment cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error("cannot read {what} `{}`: {source}{help}", .path.display())]
    Unreadable {
        /// `the experiment` or `the pipeline`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
        /// The nearest file, if there is one.
        help: String,
    },
    /// Something in the files is wrong.
    #[error(transparent)]
    Invalid(#[from] SpecError),
}

impl Experiment {
    /// Reads an experiment with its pipeline and applies `--set` and `--only`.
    ///
    /// # Errors
    /// An unreadable file, or everything that is wrong with the files.
    pub fn load(request: &Request, vocabulary: Vocabulary) -> Result<Self, LoadError> {
        let (experiment, diagnostics) = Self::read(request, vocabulary)?;
        diagnostics.into_result(&experiment.sources)?;
        Ok(experiment)
    }

    /// The same, with what is wrong beside what could be read, so that more can be found.
    ///
    /// # Errors
    /// An unreadable file, or one that holds no mapping.
    pub fn read(
        request: &Request,
        vocabulary: Vocabulary,
    ) -> Result<(Self, Diagnostics), LoadError> {
        let (text, not_utf8) = read("the experiment", &request.path)?;
        let mut sources = Sources::default();
        let mut diagnostics = Diagnostics::default();
        let source = sources.add(&request.path.display().to_string(), &text);
        let invalid = |sources, diagnostics| {
            Err(SpecError {
                sources,
                diagnostics,
            }
            .into())
        };
        if let Some(place) = not_utf8 {
            place.report(source, &mut diagnostics);
            return invalid(sources, diagnostics);
        }
        let Some(mut root) = parse(&text, source, &mut diagnostics) else {
            return invalid(sources, diagnostics);
        };
        overrides::apply(&mut root, &request.set, &mut sources, &mut diagnostics);
        if root.as_map().is_none() {
            diagnostics.error_with_help(
                "spec::experiment",
                root.span,
                format!(
                    "an experiment file holds a mapping, this holds {}",
                    root.describe()
                ),
                "begin with `pipeline: pipelines/tallrec.yaml` and `grid:`",
            );
            return invalid(sources, diagnostics);
        }
        check_keys(&root, &mut diagnostics);
        let stem = stem(&request.path);
        let mut grid = expand::expand(root.get("grid"), &mut diagnostics);
        let mut fidelity = fidelity::decode(root.get("fidelity"), &mut diagnostics);
        let mut variables = match root.get("variables") {
            Some(node) if node.as_map().is_some() => node.to_json(),
            Some(node) if !node.is_null() => {
                diagnostics.error(
                    "spec::variables",
                    node.span,
                    format!("variables are a mapping, not {}", node.describe()),
                );
                json!({})
            }
            _ => json!({}),
        };
        let settings = settings(root.get("settings"), &mut diagnostics);
        let data = data::decode(root.get("data"), &mut diagnostics);
        let several = backbone::decode_list(root.get("backbone"), &mut diagnostics);
        let mut backbones = Map::new();
        for one in several.iter().flatten() {
            backbones.insert(
                one.name.clone(),
                with_template(one.block.clone(), &fidelity),
            );
        }
        let backbone = match several.as_deref().and_then(<[_]>::first) {
            // What any of them has, for whoever asks whether there is one.
            Some(first) => first.block.clone(),
            None => backbone::decode(root.get("backbone"), &mut diagnostics),
        };
        let backbone = with_template(backbone, &fidelity);
        if let Some(several) = several {
            grid = grid.with_backbones(
                several
                    .into_iter()
                    .map(|one| (one.name, one.span))
                    .collect(),
                &mut diagnostics,
            );
        }
        let text_encoder = text_encoder::decode(root.get("text_encoder"), &mut diagnostics);
        let candidates = candidates::decode(root.get("candidates"), &mut diagnostics);
        let systems = systems::decode(root.get("systems"), &mut diagnostics);
        let has_systems = systems.as_object().is_some_and(|map| !map.is_empty());
        if let Value::Object(map) = &mut variables {
            map.insert("backbone".to_owned(), backbone);
            if !backbones.is_empty() {
                map.insert(backbone::ALL.to_owned(), Value::Object(backbones));
            }
            map.insert("data".to_owned(), data);
            map.insert("settings".to_owned(), settings);
            map.insert("text_encoder".to_owned(), text_encoder);
            map.insert("systems".to_owned(), systems);
            map.insert("candidates".to_owned(), candidates);
            map.insert("fidelity".to_owned(), nest(&fidelity));
        }
        if !has_systems {
            // It decides nothing here, and what decides nothing is not told.
            fidelity.remove(fidelity::OF_SYSTEMS);
        }
        let report = report::decode(root.get("report"), vocabulary, &mut diagnostics);
        let name = experiment_name(&root, &stem, &mut diagnostics);
        let description = description(&root, &mut diagnostics);
        let pipeline = load_pipeline(&root, &mut sources, &mut diagnostics);
        let only = only::parse(&request.only, &grid, &mut sources, &mut diagnostics);
        let mut experiment = Self {
            name,
            description,
            grid,
            only,
            variables,
            fidelity,
            tables: report.tables,
            figures: report.figures,
            claims: report.claims,
            limits: limits::by_name(root.get("limits"), &mut diagnostics),
            devices: device::decode(root.get("device"), &mut diagnostics),
            pipeline,
            unbuilt: Vec::new(),
            sources,
            root: root.clone(),
        };
        experiment.check_axes(&mut diagnostics);
        experiment.check_methods(vocabulary, root.get("settings"), &mut diagnostics);
        Ok((experiment, diagnostics))
    }

    /// Where the value at a path of the experiment was written, or the nearest thing around it.
    #[must_use]
    pub fn span_at(&self, path: &[&str]) -> Option<super::source::Span> {
        let mut at = &self.root;
        let mut span = None;
        for (depth, key) in path.iter().enumerate() {
            let inner = at
                .as_map()
                .and_then(|entries| entries.iter().find(|entry| entry.key == *key))
                // Variables stand in a block of their own in the file.
                .or_else(|| {
                    let block = (depth == 0).then(|| self.root.get("variables")).flatten()?;
                    block.as_map()?.iter().find(|entry| entry.key == *key)
                });
            match inner {
                Some(entry) => {
                    span = Some(entry.span);
                    at = &entry.value;
                }
                None => break,
            }
        }
        span
    }

    /// Dotted names of all variables.
    #[must_use]
    pub fn variable_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        if let Value::Object(map) = &self.variables {
            flatten(map, "", &mut names);
        }
        names
    }

    /// Whether the experiment says which language model it tunes.
    #[must_use]
    pub fn has_backbone(&self) -> bool {
        self.variables.pointer("/backbone/source") != Some(&json!("none"))
    }

    /// Whether `--only` picks a cell and its method is built.
    #[must_use]
    pub fn is_selected(&self, cell: &grid::Cell) -> bool {
        self.is_built(cell) && only::matches(&self.only, &self.grid, cell)
    }

    /// Whether the method of a cell is built.
    #[must_use]
    pub fn is_built(&self, cell: &grid::Cell) -> bool {
        !self
            .grid
            .get(cell, "method")
            .is_some_and(|method| self.unbuilt.contains(&method.to_string()))
    }
}

/// A backbone with the template it is asked with: its own, or the one fidelity says.
fn with_template(mut backbone: Value, fidelity: &BTreeMap<String, String>) -> Value {
    if backbone["template"].is_null()
        && let Some(name) = fidelity.get("prompt.template")
    {
        backbone["template"] = json!(format!("templates/{name}.json"));
    }
    backbone
}

fn description(root: &Node, diagnostics: &mut Diagnostics) -> String {
    let Some(node) = root.get("description").filter(|node| !node.is_null()) else {
        return String::new();
    };
    if node.as_str().is_none() {
        diagnostics.error_with_help(
            "spec::experiment",
            node.span,
            format!("a description is a text, not {}", node.describe()),
            "quote it, or write `description: >` and the text below",
        );
    }
    node.as_str().unwrap_or_default().trim().to_owned()
}

fn read(what: &'static str, path: &Path) -> Result<(String, Option<files::NotUtf8>), LoadError> {
    files::read_yaml(path).map_err(|source| LoadError::Unreadable {
        what,
        path: path.to_owned(),
        help: files::unreadable_yaml_help(path, &source)
            .map(|help| format!("\n  help: {help}"))
            .unwrap_or_default(),
        source,
    })
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn check_keys(root: &Node, diagnostics: &mut Diagnostics) {
    let axes: Vec<&str> = root
        .get("grid")
        .and_then(Node::as_map)
        .unwrap_or_default()
        .iter()
        .map(|entry| entry.key.as_str())
        .chain(STANDARD_AXES)
        .collect();
    for entry in root.as_map().unwrap_or_default() {
        if KEYS.contains(&entry.key.as_str()) {
            continue;
        }
        let help = if axes.contains(&entry.key.as_str()) {
            format!("axes stand under `grid`: write `grid.{}`", entry.key)
        } else {
            suggestion(&entry.key, KEYS)
        };
        diagnostics.error_with_help(
            "spec::unknown_key",
            entry.span,
            format!("`{}` is not a key of an experiment", entry.key),
            help,
        );
    }
}

fn experiment_name(root: &Node, stem: &str, diagnostics: &mut Diagnostics) -> String {
    let Some(node) = root.get("experiment") else {
        return stem.to_owned();
    };
    let name = node.as_str().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name.is_empty() || !name.chars().all(plain) {
        diagnostics.error_with_help(
            "spec::experiment",
            node.span,
            format!("{} cannot be the name of an experiment", node.describe()),
            "it names a folder under results/: use letters, digits, `_` and `-`",
        );
        return stem.to_owned();
    }
    name.to_owned()
}

fn settings(node: Option<&Node>, diagnostics: &mut Diagnostics) -> Value {
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return json!({});
    };
    for entry in node.as_map().unwrap_or_default() {
        if entry.value.as_map().is_none() && !entry.value.is_null() {
            diagnostics.error_with_help(
                "spec::settings",
                entry.value.span,
                format!(
                    "the settings of `{}` are {}",
                    entry.key,
                    entry.value.describe()
                ),
                format!("write `{}: {{name: value}}`", entry.key),
            );
        }
    }
    if node.as_map().is_none() {
        diagnostics.error_with_help(
            "spec::settings",
            node.span,
            format!("settings are {}", node.describe()),
            "write `settings: {gru4rec: {hidden_size: 64}}`",
        );
        return json!({});
    }
    node.to_json()
}

fn load_pipeline(root: &Node, sources: &mut Sources, diagnostics: &mut Diagnostics) -> Pipeline {
    let Some(node) = root.get("pipeline") else {
        diagnostics.error_with_help(
            "spec::pipeline",
            root.span,
            "the experiment names no pipeline",
            "add `pipeline: pipelines/tallrec.yaml`",
        );
        return Pipeline::default();
    };
    let Some(path) = node.as_str() else {
        diagnostics.error(
            "spec::pipeline",
            node.span,
            format!("{} is not the path of a pipeline", node.describe()),
        );
        return Pipeline::default();
    };
    let path = Path::new(path);
    let (text, not_utf8) = match files::read_yaml(path) {
        Ok(read) => read,
        Err(error) => {
            diagnostics.push(
                "spec::pipeline",
                Some(node.span),
                format!("cannot read the pipeline `{}`: {error}", path.display()),
                files::unreadable_yaml_help(path, &error),
            );
            return Pipeline::default();
        }
    };
    let source = sources.add(&path.display().to_string(), &text);
    if let Some(place) = not_utf8 {
        place.report(source, diagnostics);
        return Pipeline::default();
    }
    match parse(&text, source, diagnostics) {
        Some(root) => pipeline::decode(&root, &stem(path), diagnostics),
        None => Pipeline::default(),
    }
}

/// `{"movie.split": x}` → `{movie: {split: x}}`.
fn nest(flat: &BTreeMap<String, String>) -> Value {
    let mut root = Map::new();
    for (name, value) in flat {
        let mut at = &mut root;
        let mut keys: Vec<&str> = name.split('.').collect();
        let last = keys.pop().unwrap_or_default();
        for key in keys {
            let next = at
                .entry(key.to_owned())
                .or_insert_with(|| Value::Object(Map::new()));
            match next {
                Value::Object(map) => at = map,
                _ => return Value::Object(Map::new()),
            }
        }
        at.insert(last.to_owned(), Value::String(value.clone()));
    }
    Value::Object(root)
}

fn flatten(map: &Map<String, Value>, prefix: &str, names: &mut Vec<String>) {
    for (key, value) in map {
        let name = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        if let Value::Object(inner) = value {
            flatten(inner, &name, names);
        } else {
            names.push(name);
        }
    }
}
