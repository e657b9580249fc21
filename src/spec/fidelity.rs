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

/// The key that concerns systems behind an API alone.
pub const OF_SYSTEMS: &str = "zero_shot.missing";

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
        about: "follows from where the books come from: released JSON is imported with its split, \
                raw files are split anew by a seeded shuffle of users, since the released shuffle \
                had no seed",
    },
    FidelityKey {
        name: "history",
        values: &["last_item", "none"],
        paper: "last_item",
        released_code: "none",
        about: "what fills histories shorter than 10 items for ID-based systems: the last item again \
                and again, or nothing",
    },
    FidelityKey {
        name: "prompt.template",
        values: &["alpaca", "alpaca_noqa"],
        paper: "alpaca",
        released_code: "alpaca_noqa",
        about: "the text around instruction and input: the Alpaca prompt, or the same with the \
                `# noqa: E501` that stands in the released scripts; a file of `templates/`",
    },
    FidelityKey {
        name: "prompt.cutoff",
        values: &["shorten_history", "truncate"],
        paper: "shorten_history",
        released_code: "truncate",
        about: "a prompt over the token limit: its history loses the oldest items, or the text \
                is cut from the right, its answer first",
    },
    FidelityKey {
        name: "loss.on",
        values: &["answer", "whole"],
        paper: "answer",
        released_code: "whole",
        about: "whether the loss is on the tokens of the answer, or on the whole text",
    },
    FidelityKey {
        name: "batch.reduction",
        values: &["token_mean", "micro_mean"],
        paper: "token_mean",
        released_code: "micro_mean",
        about: "how losses of micro-batches add up: a mean over the real batch, or each micro- \
                batch's mean divided by the full number of micro-batches even where an epoch \
                ends with fewer",
    },
    FidelityKey {
        name: "eval.every",
        values: &["epoch", "released"],
        paper: "epoch",
        released_code: "released",
        about: "how often a training is validated: after each epoch, or every 10 steps for K \
                up to 128 and every K / 128 · 5 steps above",
    },
    FidelityKey {
        name: "early_stop",
        values: &["loss", "auc"],
        paper: "loss",
        released_code: "auc",
        about: "what early stopping looks at: validation loss with a patience of 5, or \
                validation AUC with a patience of 10",
    },
    FidelityKey {
        name: "validation.size",
        values: &["full", "k"],
        paper: "full",
        released_code: "full",
        about: "how many validation samples a training looks at: all, or as many as it trains \
                on",
    },
    FidelityKey {
        name: "checkpoint",
        values: &["best", "last"],
        paper: "best",
        released_code: "last",
        about: "which weights a training ends with: the best on validation, or the last \
                (released: the best is saved and never restored)",
    },
    FidelityKey {
        name: "seed",
        values: &["everything", "draw"],
        paper: "everything",
        released_code: "draw",
        about: "what the seed decides: everything, or the draw of samples alone, with the \
                trainer's own seed at 42",
    },
    FidelityKey {
        name: "both",
        values: &["both", "first"],
        paper: "both",
        released_code: "first",
        about: "which validation sets a training on both domains looks at",
    },
    FidelityKey {
        name: "eval.rows",
        values: &["answer", "every_third"],
        paper: "answer",
        released_code: "every_third",
        about: "which places a training's validation scores: where each row's answer begins, or \
                each third `Yes` or `No` of a batch of eight, which goes wrong where a title \
                begins with one of them; the test is always scored at the answers",
    },
    FidelityKey {
        name: "eval.score",
        values: &["pair", "double_softmax"],
        paper: "pair",
        released_code: "double_softmax",
        about: "the score of a row: the sigmoid of the difference of the two answers' logits, \
                or of their probabilities over the vocabulary",
    },
    FidelityKey {
        name: OF_SYSTEMS,
        values: &["rest", "smallest"],
        paper: "rest",
        released_code: "smallest",
        about: "the probability of the one of `Yes` and `No` that is not among the likeliest \
                tokens an API tells: what those leave, 1 − their sum (the authors' answer 49), or \
                the smallest of them (answer 44)",
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
