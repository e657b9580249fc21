//! The `backbone:` block: which language model is tuned.
//!
//! One of `hf: owner/name` (with `revision`), `path: folder`, or `pretrain: {…}` (a small model
//! made here); `adapter: folder` brings an alpaca-tuned adapter made elsewhere. A `--set` that
//! names one of the three replaces the one in the file. `template: file` is the prompt it is asked
//! with, in place of the one fidelity says. A list of such blocks is an axis: each cell exists once
//! for each of them, and `name` is what results call it.

use serde_json::{Map, Value, json};

use super::data::existing_path;
use super::model_block::ModelBlock;
use super::source::{Diagnostics, Span};
use super::yaml::{Entry, Node};

/// The keys of the block.
pub const KEYS: [&str; 7] = [
    "hf", "revision", "path", "pretrain", "adapter", "template", "name",
];

/// The axis that a list of backbones makes.
pub const AXIS: &str = "backbone";

/// The variable that holds them by name.
pub const ALL: &str = "backbones";

/// The keys of which a block has one.
pub const SOURCES: [&str; 3] = ["hf", "path", "pretrain"];

const BLOCK: ModelBlock = ModelBlock {
    name: "backbone",
    code: "spec::backbone",
    keys: &KEYS,
    sources: &SOURCES,
    made_here: "pretrain",
    forms: "write `backbone: {hf: OWNER/NAME}`, `backbone: {path: FOLDER}` or `backbone: \
            {pretrain: {}}`",
    example: "HuggingFaceTB/SmolLM-135M",
};

/// What to do where an experiment needs a backbone and has none.
pub const MISSING_HELP: &str = "the method `tallrec` tunes a language model: add `backbone: {hf: \
                                OWNER/NAME}`, `{path: FOLDER}` or `{pretrain: {}}` to the \
                                experiment";

/// A backbone of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// Its name: as said, else the last part of where it is from.
    pub name: String,
    /// Where it was written.
    pub span: Span,
    /// Its variables, as [`decode`] gives them.
    pub block: Value,
}

/// Reads a list of backbones, which stand side by side; none where there is one block.
pub fn decode_list(node: Option<&Node>, diagnostics: &mut Diagnostics) -> Option<Vec<Named>> {
    let items = node?.as_list()?;
    let mut all: Vec<Named> = Vec::new();
    for item in items {
        let block = decode(Some(item), diagnostics);
        let from = ["name", "hf", "path"]
            .iter()
            .find_map(|key| item.get(key)?.as_str());
        let from = from.or_else(|| item.get("pretrain").map(|_| "pretrain"));
        let name = from.and_then(|from| from.trim_end_matches('/').rsplit('/').next());
        let name = name.unwrap_or_default().to_owned();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || !name.chars().all(plain) {
            diagnostics.error_with_help(
                "spec::backbone",
                item.span,
                format!("`{name}` cannot be the name of a backbone"),
                "add `name:`, of letters, digits, `.`, `_` and `-`",
            );
        } else if all.iter().any(|other| other.name == name) {
            diagnostics.error_with_help(
                "spec::backbone",
                item.span,
                format!("two backbones are called `{name}`"),
                "add a `name:` that tells them apart",
            );
        }
        all.push(Named {
            name,
            span: item.span,
            block,
        });
    }
    if all.is_empty() {
        diagnostics.error(
            "spec::backbone",
            node?.span,
            "the list of backbones is empty",
        );
        return None;
    }
    Some(all)
}

/// Reads the block into the variables `${backbone.…}`: all of them, without a value where they
/// do not apply.
pub fn decode(node: Option<&Node>, diagnostics: &mut Diagnostics) -> Value {
    let mut all = json!({
        "source": "none", "hf": null, "revision": null, "path": null, "adapter": null,
        "pretrain": null, "template": null, "corpus": {"source": null, "path": null, "tales": null},
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
    let entries = BLOCK.entries(node, diagnostics)?;
    BLOCK.check_keys(entries, diagnostics);
    let chosen = BLOCK.choose(node, entries, diagnostics)?;
    let mut block = Map::new();
    block.insert("source".to_owned(), json!(chosen.key));
    match chosen.key.as_str() {
        "hf" => BLOCK.hub(chosen, node, &mut block, diagnostics),
        "path" => {
            if let Some(path) = existing_path(&chosen.value, diagnostics) {
                block.insert("path".to_owned(), json!(path));
            }
        }
        _ => pretrain(chosen, &mut block, diagnostics),
    }
    BLOCK.check_revision(chosen, entries, diagnostics);
    if let Some(node) = node.get("template").filter(|node| !node.is_null())
        && let Some(path) = existing_path(node, diagnostics)
    {
        block.insert("template".to_owned(), json!(path));
    }
    if let Some(node) = node.get("adapter").filter(|node| !node.is_null())
        && let Some(path) = existing_path(node, diagnostics)
    {
        block.insert("adapter".to_owned(), json!(path));
    }
    Some(block)
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
