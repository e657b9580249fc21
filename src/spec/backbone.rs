//! The `backbone:` block: which language model is tuned.
//!
//! One of `hf: owner/name` (with `revision`), `path: folder`, or `pretrain: {…}` (a small model
//! made here); `adapter: folder` brings an alpaca-tuned adapter made elsewhere. A `--set` that
//! names one of the three replaces the one in the file.

use serde_json::{Map, Value, json};

use super::data::existing_path;
use super::source::Diagnostics;
use super::yaml::{Entry, Node};
use crate::base::nearest::suggestion;

/// The keys of the block.
pub const KEYS: [&str; 5] = ["hf", "revision", "path", "pretrain", "adapter"];

/// The keys of which a block has one.
pub const SOURCES: [&str; 3] = ["hf", "path", "pretrain"];

const FORMS: &str = "write `backbone: {hf: OWNER/NAME}`, `backbone: {path: FOLDER}` or \
                     `backbone: {pretrain: {}}`";

/// What to do where an experiment needs a backbone and has none.
pub const MISSING_HELP: &str = "the method `tallrec` tunes a language model: add `backbone: {hf: \
                                OWNER/NAME}`, `{path: FOLDER}` or `{pretrain: {}}` to the \
                                experiment";

/// Reads the block into the variables `${backbone.…}`: all of them, without a value where they
/// do not apply.
pub fn decode(node: Option<&Node>, diagnostics: &mut Diagnostics) -> Value {
    let mut all = json!({
        "source": "none", "hf": null, "revision": null, "path": null, "adapter": null,
        "pretrain": null, "corpus": {"source": null, "path": null, "tales": null},
    });
    let found = node
        .filter(|node| !node.is_null())
        .and_then(|node| read(node, diagnostics));
    if let (Value::Object(all), Some(found)) = (&mut all, found) {
        all.extend(found);
    }
    all
}

fn read(node: &Node, diagnostics: &mut Diagnostics) -> Option<Map<String, Value>> {
    let Some(entries) = node.as_map() else {
        diagnostics.error_with_help(
            "spec::backbone",
            node.span,
            format!("backbone is {}, not a mapping", node.describe()),
            FORMS,
        );
        return None;
    };
    for entry in entries {
        if !KEYS.contains(&entry.key.as_str()) {
            diagnostics.error_with_help(
                "spec::unknown_key",
                entry.span,
                format!("`{}` is not a key of backbone", entry.key),
                suggestion(&entry.key, KEYS),
            );
        }
    }
    let chosen = choose(node, entries, diagnostics)?;
    let mut block = Map::new();
    block.insert("source".to_owned(), json!(chosen.key));
    match chosen.key.as_str() {
        "hf" => hub(chosen, node, &mut block, diagnostics),
        "path" => {
            if let Some(path) = existing_path(&chosen.value, diagnostics) {
                block.insert("path".to_owned(), json!(path));
            }
        }
        _ => pretrain(chosen, &mut block, diagnostics),
    }
    if chosen.key != "hf"
        && let Some(entry) = entries.iter().find(|entry| entry.key == "revision")
        && entry.span.source == chosen.span.source
    {
        diagnostics.error_with_help(
            "spec::backbone",
            entry.span,
            "a revision belongs to `hf:`",
            "take it out; a folder is what it is",
        );
    }
    if let Some(node) = node.get("adapter").filter(|node| !node.is_null())
        && let Some(path) = existing_path(node, diagnostics)
    {
        block.insert("adapter".to_owned(), json!(path));
    }
    Some(block)
}

/// The one source that counts: of two, the one of the command line.
fn choose<'n>(
    node: &Node,
    entries: &'n [Entry],
    diagnostics: &mut Diagnostics,
) -> Option<&'n Entry> {
    // `pretrain: {}` and a bare `pretrain:` both mean the defaults.
    let given: Vec<&Entry> = entries
        .iter()
        .filter(|entry| SOURCES.contains(&entry.key.as_str()))
        .filter(|entry| entry.key == "pretrain" || !entry.value.is_null())
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
                "spec::backbone",
                node.span,
                "backbone does not say which",
                FORMS,
            );
            None
        }
        ([only], _) | (_, [only]) => Some(only),
        ([first, second, ..], _) => {
            diagnostics.error_with_help(
                "spec::backbone",
                second.span,
                format!("backbone has both `{}` and `{}`", first.key, second.key),
                "keep one of them",
            );
            None
        }
    }
}

fn hub(chosen: &Entry, node: &Node, block: &mut Map<String, Value>, diagnostics: &mut Diagnostics) {
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
            "spec::backbone",
            chosen.value.span,
            format!("{} is not a model of the hub", chosen.value.describe()),
            "write owner/name, for example `hf: HuggingFaceTB/SmolLM-135M`; for a folder write \
             `path:`",
        ),
    }
    block.insert("hf".to_owned(), json!(name));
    let revision = match node.get("revision").filter(|node| !node.is_null()) {
        None => "main".to_owned(),
        Some(node) => node.to_json().as_str().map_or_else(
            || {
                diagnostics.error_with_help(
                    "spec::backbone",
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

fn pretrain(chosen: &Entry, block: &mut Map<String, Value>, diagnostics: &mut Diagnostics) {
    let node = &chosen.value;
    if node.as_map().is_none() && !node.is_null() {
        diagnostics.error_with_help(
            "spec::backbone",
            node.span,
            format!("pretrain is {}, not a mapping", node.describe()),
            "write `pretrain: {hidden_size: 64, layers: 3}`, or `pretrain: {}` for the defaults",
        );
    }
    let mut params = match node.to_json() {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    params.shift_remove("corpus");
    block.insert("pretrain".to_owned(), Value::Object(params));
    let corpus = node.get("corpus").filter(|node| !node.is_null());
    let path = corpus
        .and_then(|node| node.get("path"))
        .filter(|node| !node.is_null());
    let mut read = json!({"source": "synthetic", "path": null, "tales": {}});
    if let Some(corpus) = corpus {
        if let Some(path) = path {
            if let Some(path) = existing_path(path, diagnostics) {
                read = json!({"source": "file", "path": path, "tales": null});
            }
            for entry in corpus.as_map().unwrap_or_default() {
                if entry.key != "path" {
                    diagnostics.error_with_help(
                        "spec::backbone",
                        entry.span,
                        format!("`{}` has no meaning beside a path", entry.key),
                        "a corpus is either a file, or tales made from a seed",
                    );
                }
            }
        } else if corpus.as_map().is_some() {
            read = json!({"source": "synthetic", "path": null, "tales": corpus.to_json()});
        } else {
            diagnostics.error_with_help(
                "spec::backbone",
                corpus.span,
                format!("corpus is {}, not a mapping", corpus.describe()),
                "write `corpus: {path: FILE}`, or the parameters of the stage kind `tales`",
            );
        }
    }
    block.insert("corpus".to_owned(), read);
}
