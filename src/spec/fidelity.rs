//! Where the paper's text and its released code differ: one key each, two presets.
//!
//! `fidelity: paper`, `fidelity: released_code`, or a mapping with `preset:` and single keys
//! (`movie.split: by_user`). Every key of a run is recorded beside its results.

use std::collections::BTreeMap;

use super::source::{Diagnostics, Span};
use super::yaml::{Content, Node};
use crate::base::nearest::suggestion;

/// One decision on which paper and released code differ.
#[derive(Debug, Clone, Copy)]
pub struct FidelityKey {
    /// Dotted name, as in YAML.
    pub name: &'static str,
    /// The values it can take.
    pub values: &'static [&'static str],
    /// The value under `preset: paper`.
    pub paper: &'static str,
    /// The value under `preset: released_code`.
    pub released_code: &'static str,
    /// What it decides.
    pub about: &'static str,
}

/// The two presets.
pub const PRESETS: [&str; 2] = ["paper", "released_code"];

/// Every key there is.
pub const KEYS: &[FidelityKey] = &[
    FidelityKey {
        name: "movie.split",
        values: &["by_user", "by_time"],
        paper: "by_time",
        released_code: "by_user",
        about: "which 10,000 MovieLens samples: the last of the list grouped by user, or the \
                globally most recent ones; both are cut 8:1:1 in that order",
    },
    FidelityKey {
        name: "movie.neutral",
        values: &["dislike", "drop"],
        paper: "dislike",
        released_code: "dislike",
        about: "a rating of exactly 3, which the paper leaves open",
    },
    FidelityKey {
        name: "book.zero_ratings",
        values: &["keep", "drop"],
        paper: "drop",
        released_code: "keep",
        about: "implicit ratings of 0: kept they count as dislikes",
    },
    FidelityKey {
        name: "book.labels",
        values: &["permuted", "own"],
        paper: "own",
        released_code: "permuted",
        about: "whether a like stands at its own book; the released files attach likes to other \
                titles of the same user",
    },
    FidelityKey {
        name: "book.target_line",
        values: &["doubled_quotes", "plain"],
        paper: "plain",
        released_code: "doubled_quotes",
        about: "how the question quotes the target book",
    },
    FidelityKey {
        name: "book.escaped_quotes",
        values: &["as_released", "unescaped"],
        paper: "unescaped",
        released_code: "as_released",
        about: "how backslash-escaped quotes of the raw CSV files are read",
    },
    FidelityKey {
        name: "book.split",
        values: &["imported", "by_user"],
        paper: "by_user",
        released_code: "imported",
        about: "released JSON is imported as it is; `by_user` asks for a seeded split rebuilt from \
                the raw files. Raw book files are always split by a seeded shuffle of users, since \
                the released shuffle had no seed",
    },
    FidelityKey {
        name: "history",
        values: &["as_is", "pad_last"],
        paper: "pad_last",
        released_code: "as_is",
        about: "whether ID-based systems pad histories to length 10 with the last item",
    },
    FidelityKey {
        name: "baselines.feedback",
        values: &["embedded", "none"],
        paper: "embedded",
        released_code: "none",
        about: "whether each history item's like or dislike is embedded and concatenated to it \
                (preprint, section 3.1.5)",
    },
];

/// Reads the `fidelity:` block; without one, the preset is `paper`.
pub fn decode(node: Option<&Node>, diagnostics: &mut Diagnostics) -> BTreeMap<String, String> {
    let mut given: Vec<(String, &Node, Span)> = Vec::new();
    let mut preset = PRESETS[0];
    if let Some(node) = node {
        match &node.content {
            Content::Scalar(_) if node.is_null() => {}
            Content::Scalar(_) => {
                if let Some(name) = preset_name(node, diagnostics) {
                    preset = name;
                }
            }
            Content::Map(entries) => {
                for entry in entries {
                    if entry.key == "preset" {
                        if let Some(name) = preset_name(&entry.value, diagnostics) {
                            preset = name;
                        }
                    } else {
                        flatten(&entry.key, &entry.value, entry.span, &mut given);
                    }
                }
            }
            Content::List(_) => diagnostics.error_with_help(
                "spec::fidelity",
                node.span,
                "fidelity is a list",
                "write `fidelity: paper`, or a mapping with `preset:` and single keys",
            ),
        }
    }
    let mut values: BTreeMap<String, String> = KEYS
        .iter()
        .map(|key| (key.name.to_owned(), key.preset(preset).to_owned()))
        .collect();
    for (name, node, span) in given {
        let Some(key) = KEYS.iter().find(|key| key.name == name) else {
            diagnostics.error_with_help(
                "spec::unknown_fidelity_key",
                span,
                format!("`{name}` is not a fidelity key"),
                suggestion(&name, KEYS.iter().map(|key| key.name)),
            );
            continue;
        };
        match node.as_str() {
            Some(value) if key.values.contains(&value) => {
                values.insert(name, value.to_owned());
            }
            Some(value) if PRESETS.contains(&value) => {
                values.insert(name, key.preset(value).to_owned());
            }
            _ => diagnostics.error_with_help(
                "spec::fidelity_value",
                node.span,
                format!("{} is not a value of `{name}`", node.describe()),
                suggestion(
                    node.as_str().unwrap_or_default(),
                    key.values.iter().chain(&PRESETS).copied(),
                ),
            ),
        }
    }
    values
}

impl FidelityKey {
    fn preset(&self, preset: &str) -> &'static str {
        if preset == "released_code" {
            self.released_code
        } else {
            self.paper
        }
    }
}

fn preset_name(node: &Node, diagnostics: &mut Diagnostics) -> Option<&'static str> {
    let name = node.as_str().unwrap_or_default();
    let found = PRESETS.into_iter().find(|preset| *preset == name);
    if found.is_none() {
        diagnostics.error_with_help(
            "spec::unknown_preset",
            node.span,
            format!("{} is not a fidelity preset", node.describe()),
            suggestion(name, PRESETS),
        );
    }
    found
}

/// `movie: {split: x}` and `movie.split: x` mean the same.
fn flatten<'n>(prefix: &str, node: &'n Node, span: Span, into: &mut Vec<(String, &'n Node, Span)>) {
    match node.as_map() {
        Some(entries) => {
            for entry in entries {
                flatten(
                    &format!("{prefix}.{}", entry.key),
                    &entry.value,
                    entry.span,
                    into,
                );
            }
        }
        None => into.push((prefix.to_owned(), node, span)),
    }
}
