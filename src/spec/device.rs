//! `device:` of an experiment: where stages of the accelerator lane compute.

use serde_json::{Value, json};

use super::source::Diagnostics;
use super::yaml::Node;
use crate::base::Devices;

/// Its schema.
pub(super) fn schema() -> Value {
    let one = json!({"type": "string", "pattern": "^(cpu|cuda(:[0-9]+)?)$"});
    json!({
        "anyOf": [one, {"type": "array", "minItems": 1, "items": one}],
        "description": "Where stages of the accelerator lane compute: `cpu`, `cuda:0`, or a list, of \
                        which each does a stage at a time. `--device` goes over it; no result \
                        depends on it beyond rounding.",
        "examples": ["cuda:0", ["cuda:0", "cuda:1"]],
    })
}

/// The devices named; `None` if nothing is said.
pub(super) fn decode(node: Option<&Node>, diagnostics: &mut Diagnostics) -> Option<Devices> {
    let node = node.filter(|node| !node.is_null())?;
    let json = node.to_json();
    let text = match &json {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => {
            let parts: Option<Vec<&str>> = parts.iter().map(Value::as_str).collect();
            parts.map(|parts| parts.join(","))
        }
        _ => None,
    };
    let read = match text {
        Some(text) => text.parse(),
        None => Err(format!("{} is no device", node.describe())),
    };
    match read {
        Ok(devices) => Some(devices),
        Err(message) => {
            diagnostics.error_with_help(
                "spec::device",
                node.span,
                message,
                "write `device: cuda:0`, or `device: [cuda:0, cuda:1]` for two cards at once",
            );
            None
        }
    }
}
