//! What the blocks that name a model (`backbone:`, `text_encoder:`) have in common: one of several
//! sources, of which the command line's counts; the name of a model of the hub and its revision.

use serde_json::{Map, Value, json};

use super::source::Diagnostics;
use super::yaml::{Entry, Node};
use crate::base::nearest::suggestion;

/// A block that names a model.
#[derive(Debug)]
pub(super) struct ModelBlock {
    /// Its key in an experiment.
    pub(super) name: &'static str,
    /// The code of its mistakes.
    pub(super) code: &'static str,
    /// All its keys.
    pub(super) keys: &'static [&'static str],
    /// The keys of which it has one.
    pub(super) sources: &'static [&'static str],
    /// The source that needs no value: a model made here.
    pub(super) made_here: &'static str,
    /// How it is written.
    pub(super) forms: &'static str,
    /// A model of the hub.
    pub(super) example: &'static str,
}

impl ModelBlock {
    /// Its keys and values.
    pub(super) fn entries<'n>(
        &self,
        node: &'n Node,
        diagnostics: &mut Diagnostics,
    ) -> Option<&'n [Entry]> {
        let entries = node.as_map();
        if entries.is_none() {
            diagnostics.error_with_help(
                self.code,
                node.span,
                format!("{} is {}, not a mapping", self.name, node.describe()),
                self.forms,
            );
        }
        entries
    }

    /// Refuses keys that it does not have.
    pub(super) fn check_keys(&self, entries: &[Entry], diagnostics: &mut Diagnostics) {
        for entry in entries {
            if !self.keys.contains(&entry.key.as_str()) {
                diagnostics.error_with_help(
                    "spec::unknown_key",
                    entry.span,
                    format!("`{}` is not a key of {}", entry.key, self.name),
                    suggestion(&entry.key, self.keys.iter().copied()),
                );
            }
        }
    }

    /// The one source that counts: of two, the one of the command line.
    pub(super) fn choose<'n>(
        &self,
        node: &Node,
        entries: &'n [Entry],
        diagnostics: &mut Diagnostics,
    ) -> Option<&'n Entry> {
        // `pretrain: {}` and a bare `pretrain:` both mean the defaults; so with `random`.
        let given: Vec<&Entry> = entries
            .iter()
            .filter(|entry| self.sources.contains(&entry.key.as_str()))
            .filter(|entry| entry.key == self.made_here || !entry.value.is_null())
            .collect();
        let in_file = node.span.source;
        let is_set = |entry: &Entry| {
            entry.span.source != in_file
                || entry.value.span.source != in_file
                || (entry.value.as_map().unwrap_or_default().iter())
                    .any(|inner| inner.value.span.source != in_file)
        };
        let set: Vec<&Entry> = given
            .iter()
            .copied()
            .filter(|entry| is_set(entry))
            .collect();
        match (given.as_slice(), set.as_slice()) {
            ([], _) => {
                diagnostics.error_with_help(
                    self.code,
                    node.span,
                    format!("{} does not say which", self.name),
                    self.forms,
                );
                None
            }
            ([only], _) | (_, [only]) => Some(only),
            ([first, second, ..], _) => {
                diagnostics.error_with_help(
                    self.code,
                    second.span,
                    format!(
                        "{} has both `{}` and `{}`",
                        self.name, first.key, second.key
                    ),
                    "keep one of them",
                );
                None
            }
        }
    }

    /// Reads the name and the revision of a model of the hub.
    pub(super) fn hub(
        &self,
        chosen: &Entry,
        node: &Node,
        block: &mut Map<String, Value>,
        diagnostics: &mut Diagnostics,
    ) {
        let name = chosen.value.as_str().unwrap_or_default();
        let plain = |part: &str| {
            !part.is_empty()
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        match name.split_once('/') {
            Some((owner, model)) if plain(owner) && plain(model) => {}
            _ => diagnostics.error_with_help(
                self.code,
                chosen.value.span,
                format!("{} is not a model of the hub", chosen.value.describe()),
                format!(
                    "write owner/name, for example `hf: {}`; for a folder write `path:`",
                    self.example
                ),
            ),
        }
        block.insert("hf".to_owned(), json!(name));
        let revision = match node.get("revision").filter(|node| !node.is_null()) {
            None => "main".to_owned(),
            Some(node) => node.to_json().as_str().map_or_else(
                || {
                    diagnostics.error_with_help(
                        self.code,
                        node.span,
                        format!("{} is not a revision", node.describe()),
                        "a branch, a tag or a commit; quote a number",
                    );
                    String::new()
                },
                str::to_owned,
            ),
        };
        block.insert("revision".to_owned(), json!(revision));
    }

    /// Refuses a revision beside another source than the hub.
    pub(super) fn check_revision(
        &self,
        chosen: &Entry,
        entries: &[Entry],
        diagnostics: &mut Diagnostics,
    ) {
        if chosen.key != "hf"
            && let Some(entry) = entries.iter().find(|entry| entry.key == "revision")
            && entry.span.source == chosen.span.source
        {
            diagnostics.error_with_help(
                self.code,
                entry.span,
                "a revision belongs to `hf:`",
                "take it out; a folder is what it is",
            );
        }
    }
}
