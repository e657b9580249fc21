//! The `data:` block: where samples come from.
//!
//! Without a `path`, a domain comes from the built-in synthetic world. With one, what lies there
//! decides (`source: auto`): `u.data` or BX CSV files are `raw`, `train.json` is `tallrec_json`.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::files::missing_help;
use super::source::Diagnostics;
use super::yaml::{Entry, Node};
use crate::base::nearest::suggestion;

/// Where the samples of a domain can come from.
pub const SOURCES: [&str; 4] = ["auto", "raw", "tallrec_json", "synthetic"];

/// The keys of the block.
pub const BLOCKS: [&str; 5] = ["movie", "book", "alpaca", "synthetic", "tokenizer"];

/// Files that the raw form of a domain consists of.
#[must_use]
pub fn raw_files(domain: &str) -> &'static [&'static str] {
    match domain {
        "book" => &["BX-Books.csv", "BX-Book-Ratings.csv"],
        _ => &["u.data", "u.item"],
    }
}

/// Files of the released TALLRec form.
pub const JSON_FILES: [&str; 3] = ["train.json", "valid.json", "test.json"];

/// Reads the block into the variables `${data.…}`, with every `source` decided.
pub fn decode(node: Option<&Node>, diagnostics: &mut Diagnostics) -> Value {
    let entries: &[Entry] = match node {
        None => &[],
        Some(node) if node.is_null() => &[],
        Some(node) => node.as_map().unwrap_or_else(|| {
            diagnostics.error_with_help(
                "spec::data",
                node.span,
                format!("data is {}, not a mapping", node.describe()),
                "write for example `data: {movie: {path: data/ml-100k}}`",
            );
            &[]
        }),
    };
    let mut block = Map::new();
    for entry in entries {
        if !BLOCKS.contains(&entry.key.as_str()) {
            diagnostics.error_with_help(
                "spec::unknown_key",
                entry.span,
                format!("`{}` is not a key of data", entry.key),
                suggestion(&entry.key, BLOCKS),
            );
        }
    }
    let find = |name: &str| {
        entries
            .iter()
            .find(|entry| entry.key == name)
            .map(|entry| &entry.value)
    };
    for domain in ["movie", "book"] {
        block.insert(
            domain.to_owned(),
            domain_block(domain, find(domain), diagnostics),
        );
    }
    block.insert(
        "alpaca".to_owned(),
        alpaca_block(find("alpaca"), diagnostics),
    );
    block.insert(
        "synthetic".to_owned(),
        find("synthetic")
            .filter(|node| !node.is_null())
            .map_or_else(|| json!({}), Node::to_json),
    );
    if let Some(node) = find("tokenizer").filter(|node| !node.is_null())
        && let Some(path) = existing_path(node, diagnostics)
    {
        block.insert("tokenizer".to_owned(), json!(path));
    }
    Value::Object(block)
}

fn domain_block(domain: &str, node: Option<&Node>, diagnostics: &mut Diagnostics) -> Value {
    let (source, path) = keys(domain, node, &["source", "path"], diagnostics);
    let mut chosen = "auto";
    if let Some(node) = source {
        match SOURCES
            .into_iter()
            .find(|source| Some(*source) == node.as_str())
        {
            Some(source) => chosen = source,
            None => diagnostics.error_with_help(
                "spec::data_source",
                node.span,
                format!("{} is not a source of samples", node.describe()),
                suggestion(node.as_str().unwrap_or_default(), SOURCES),
            ),
        }
    }
    let Some(path_node) = path else {
        if let (Some(node), "raw" | "tallrec_json") = (source, chosen) {
            diagnostics.error_with_help(
                "spec::data_path",
                node.span,
                format!("source `{chosen}` needs a path"),
                format!(
                    "add `path:` beside it, or pass --set data.{domain}.path=FOLDER; without a \
                     path and a source, the built-in synthetic world is used"
                ),
            );
        }
        return json!({"source": "synthetic"});
    };
    if chosen == "synthetic" {
        return json!({"source": "synthetic"});
    }
    let Some(path) = existing_path(path_node, diagnostics) else {
        return json!({"source": "synthetic"});
    };
    match detect(domain, &path, chosen) {
        Ok(source) => json!({"source": source, "path": path}),
        Err(message) => {
            diagnostics.error_with_help(
                "spec::data_path",
                path_node.span,
                message,
                format!(
                    "a {domain} folder holds {} (source: raw) or {} (source: tallrec_json)",
                    raw_files(domain).join(" and "),
                    JSON_FILES.join(", ")
                ),
            );
            json!({"source": "synthetic"})
        }
    }
}

fn alpaca_block(node: Option<&Node>, diagnostics: &mut Diagnostics) -> Value {
    let (_, path) = keys("alpaca", node, &["path"], diagnostics);
    match path.and_then(|node| existing_path(node, diagnostics)) {
        Some(path) => json!({"source": "raw", "path": path}),
        None => json!({"source": "synthetic"}),
    }
}

fn keys<'n>(
    block: &str,
    node: Option<&'n Node>,
    allowed: &[&str],
    diagnostics: &mut Diagnostics,
) -> (Option<&'n Node>, Option<&'n Node>) {
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return (None, None);
    };
    let Some(entries) = node.as_map() else {
        diagnostics.error_with_help(
            "spec::data",
            node.span,
            format!("data.{block} is {}, not a mapping", node.describe()),
            format!("write `{block}: {{path: FOLDER}}`"),
        );
        return (None, None);
    };
    let mut found = (None, None);
    for entry in entries {
        match entry.key.as_str() {
            key if !allowed.contains(&key) => diagnostics.error_with_help(
                "spec::unknown_key",
                entry.span,
                format!("`{key}` is not a key of data.{block}"),
                suggestion(key, allowed.iter().copied()),
            ),
            "source" => found.0 = Some(&entry.value),
            _ => found.1 = Some(&entry.value).filter(|node| !node.is_null()),
        }
    }
    found
}

pub(super) fn existing_path(node: &Node, diagnostics: &mut Diagnostics) -> Option<String> {
    let Some(path) = node.as_str() else {
        diagnostics.error(
            "spec::data_path",
            node.span,
            format!("{} is not a path", node.describe()),
        );
        return None;
    };
    if Path::new(path).exists() {
        return Some(path.to_owned());
    }
    diagnostics.push(
        "spec::data_path",
        Some(node.span),
        format!("`{path}` does not exist"),
        Some(missing_help(Path::new(path), |_| true)),
    );
    None
}

fn detect(domain: &str, path: &str, chosen: &str) -> Result<&'static str, String> {
    let folder = Path::new(path);
    if !folder.is_dir() {
        return Err(format!("`{path}` is a file, not a folder"));
    }
    let missing = |files: &[&str]| -> Vec<String> {
        files
            .iter()
            .filter(|file| !folder.join(file).is_file())
            .map(|file| (*file).to_owned())
            .collect()
    };
    let raw = missing(raw_files(domain));
    let json = missing(&JSON_FILES);
    match chosen {
        "raw" if raw.is_empty() => Ok("raw"),
        "tallrec_json" if json.is_empty() => Ok("tallrec_json"),
        "raw" => Err(format!("`{path}` lacks {}", raw.join(" and "))),
        "tallrec_json" => Err(format!("`{path}` lacks {}", json.join(" and "))),
        _ if raw.is_empty() => Ok("raw"),
        _ if json.is_empty() => Ok("tallrec_json"),
        _ if json.len() < JSON_FILES.len() => Err(format!("`{path}` lacks {}", json.join(" and "))),
        _ if raw.len() < raw_files(domain).len() => {
            Err(format!("`{path}` lacks {}", raw.join(" and ")))
        }
        _ => Err(format!("`{path}` holds no {domain} data")),
    }
}
