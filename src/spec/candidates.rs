//! The `candidates:` block: lists to rank, for HR@k and NDCG@k.

use serde_json::{Value, json};

use super::source::Diagnostics;
use super::yaml::Node;
use crate::base::nearest::suggestion;

/// The keys of the block.
pub const KEYS: [&str; 3] = ["negatives", "seed", "at"];

/// Reads the block into the variables `${candidates.…}`; without one, `source` is `none`.
pub fn decode(node: Option<&Node>, diagnostics: &mut Diagnostics) -> Value {
    let mut all = json!({"source": "none", "negatives": null, "seed": null, "at": null});
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return all;
    };
    let Some(entries) = node.as_map() else {
        diagnostics.error_with_help(
            "spec::candidates",
            node.span,
            format!("candidates are {}, not a mapping", node.describe()),
            "write `candidates: {negatives: 19, at: [1, 5, 10]}`",
        );
        return all;
    };
    all["source"] = json!("sampled");
    for entry in entries {
        if KEYS.contains(&entry.key.as_str()) {
            all[&entry.key] = entry.value.to_json();
        } else {
            diagnostics.error_with_help(
                "spec::unknown_key",
                entry.span,
                format!("`{}` is not a key of candidates", entry.key),
                suggestion(&entry.key, KEYS),
            );
        }
    }
    all
}

/// The JSON Schema of the block.
#[must_use]
pub fn schema() -> Value {
    json!({
        "type": "object", "additionalProperties": false,
        "description": "Lists to rank, for HR@k and NDCG@k: every liked sample of the test split among sampled items that its user does not know.",
        "properties": {
            "negatives": {"type": "integer", "minimum": 1, "description": "Sampled items of each list; default: 19."},
            "seed": {"type": "integer", "minimum": 0, "description": "Decides which ones; default: 0."},
            "at": {"type": "array", "items": {"type": "integer", "minimum": 1}, "description": "The k of HR@k and NDCG@k; default: [10]."},
        },
    })
}
