//! The `text_encoder:` block: which BERT reads the items' texts for GRU-BERT and DROS-BERT.
//!
//! One of `hf: owner/name` (with `revision`), `path: folder`, or `random: {…}`, a small one made
//! here that has read nothing; without the block it is the last. The other keys are parameters of
//! the stage that embeds the items.

use serde_json::{Map, Value, json};

use super::data::existing_path;
use super::model_block::ModelBlock;
use super::source::Diagnostics;
use super::yaml::Node;

/// The keys of the block.
pub const KEYS: [&str; 8] = [
    "hf",
    "revision",
    "path",
    "random",
    "pooling",
    "max_tokens",
    "text",
    "text_with_maker",
];

/// The keys of which a block has one.
pub const SOURCES: [&str; 3] = ["hf", "path", "random"];

/// The keys that say how items are embedded.
const EMBEDDING: [&str; 4] = ["pooling", "max_tokens", "text", "text_with_maker"];

const BLOCK: ModelBlock = ModelBlock {
    name: "text_encoder",
    code: "spec::text_encoder",
    keys: &KEYS,
    sources: &SOURCES,
    made_here: "random",
    forms: "write `text_encoder: {hf: OWNER/NAME}`, `text_encoder: {path: FOLDER}` or \
            `text_encoder: {random: {}}`",
    example: "google-bert/bert-base-uncased",
};

/// Reads the block into the variables `${text_encoder.…}`: all of them, without a value where they
/// do not apply.
pub fn decode(node: Option<&Node>, diagnostics: &mut Diagnostics) -> Value {
    let mut all = json!({
        "source": "random", "hf": null, "revision": null, "path": null, "random": {}, "embed": {},
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
    let mut block = Map::new();
    let embed: Map<String, Value> = entries
        .iter()
        .filter(|entry| EMBEDDING.contains(&entry.key.as_str()) && !entry.value.is_null())
        .map(|entry| (entry.key.clone(), entry.value.to_json()))
        .collect();
    block.insert("embed".to_owned(), Value::Object(embed));
    // Only how items are embedded: by the encoder made here.
    if !(entries.iter()).any(|entry| {
        [&SOURCES[..], &["revision"]]
            .concat()
            .contains(&&*entry.key)
    }) {
        return Some(block);
    }
    let chosen = BLOCK.choose(node, entries, diagnostics)?;
    block.insert("source".to_owned(), json!(chosen.key));
    match chosen.key.as_str() {
        "hf" => BLOCK.hub(chosen, node, &mut block, diagnostics),
        "path" => {
            if let Some(path) = existing_path(&chosen.value, diagnostics) {
                block.insert("path".to_owned(), json!(path));
            }
        }
        _ => match chosen.value.to_json() {
            random @ Value::Object(_) => {
                block.insert("random".to_owned(), random);
            }
            Value::Null => {}
            _ => diagnostics.error_with_help(
                "spec::text_encoder",
                chosen.value.span,
                format!("random is {}, not a mapping", chosen.value.describe()),
                "write `random: {hidden_size: 64, layers: 2}`, or `random: {}` for the defaults",
            ),
        },
    }
    BLOCK.check_revision(chosen, entries, diagnostics);
    Some(block)
}
