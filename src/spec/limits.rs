//! `limits:` of an experiment or of a stage template: retries, timeout, heartbeat.

use serde_json::{Value, json};

use super::source::{Diagnostics, Span};
use super::yaml::Node;
use crate::base::limits::{duration, size};
use crate::base::nearest::suggestion;
use crate::base::{Limits, clock};

/// What can be limited.
const LIMITS: [&str; 4] = ["retries", "timeout", "heartbeat", "memory"];

/// Limits for the stages of a kind or of a template.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedLimits {
    /// The kind or the template.
    pub name: String,
    /// Where it was written.
    pub span: Span,
    /// Its limits.
    pub limits: Limits,
}

/// The schema of the limits of one stage.
pub(super) fn schema() -> Value {
    let time = json!({"type": ["string", "number"], "examples": ["90s", "15min", "6h"]});
    let about = |mut schema: Value, text: &str| {
        schema["description"] = json!(text);
        schema
    };
    json!({
        "type": "object", "additionalProperties": false,
        "properties": {
            "retries": about(
                json!({"type": "integer", "minimum": 0, "default": Limits::DEFAULT_RETRIES}),
                "How often a stage is tried again after a failure that another try can help."
            ),
            "timeout": about(time.clone(), "How long it may run."),
            "heartbeat": about(time, "How long it may run without a sign of life."),
            "memory": about(
                json!({"type": ["string", "integer"], "examples": ["12GB", "20GiB"]}),
                "What the process that does its work may take; for stages of the accelerator lane."
            ),
        },
        "description": "How often a stage is tried and how long it may take; changes no result.",
    })
}

/// Limits by kind or template.
pub(super) fn by_name(node: Option<&Node>, diagnostics: &mut Diagnostics) -> Vec<NamedLimits> {
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return Vec::new();
    };
    let Some(entries) = node.as_map() else {
        diagnostics.error_with_help(
            "spec::limits",
            node.span,
            format!("limits are a mapping, not {}", node.describe()),
            "write `limits: {rec_tune: {timeout: 6h}}`",
        );
        return Vec::new();
    };
    let named = entries.iter().map(|entry| NamedLimits {
        name: entry.key.clone(),
        span: entry.span,
        limits: decode(&entry.value, &format!("`{}`", entry.key), diagnostics),
    });
    named.collect()
}

fn as_text(node: &Node) -> String {
    let json = node.to_json();
    json.as_str()
        .map_or_else(|| json.to_string(), str::to_owned)
}

/// The limits of one stage template or kind.
pub(super) fn decode(node: &Node, of: &str, diagnostics: &mut Diagnostics) -> Limits {
    let mut limits = Limits::NONE;
    let Some(entries) = node.as_map() else {
        if !node.is_null() {
            diagnostics.error_with_help(
                "spec::limits",
                node.span,
                format!("the limits of {of} are a mapping, not {}", node.describe()),
                "write `{retries: 2, timeout: 6h, heartbeat: 15min}`",
            );
        }
        return limits;
    };
    for entry in entries {
        let value = &entry.value;
        match entry.key.as_str() {
            "retries" => match value.to_json().as_u64().and_then(|n| u32::try_from(n).ok()) {
                Some(count) => limits.retries = Some(count),
                None => diagnostics.error_with_help(
                    "spec::limits",
                    value.span,
                    format!("{} is no number of retries", value.describe()),
                    "write a whole number; 0 never tries again",
                ),
            },
            "timeout" | "heartbeat" => {
                let json = value.to_json();
                let text = json
                    .as_str()
                    .map_or_else(|| json.to_string(), str::to_owned);
                let Some(time) = duration(&text) else {
                    diagnostics.error_with_help(
                        "spec::limits",
                        value.span,
                        format!("{} is no duration", value.describe()),
                        "write `90s`, `15min`, `6h`, or a number of seconds",
                    );
                    continue;
                };
                if entry.key == "timeout" {
                    limits.timeout = Some(time);
                } else {
                    limits.heartbeat = Some(time);
                }
            }
            "memory" => {
                limits.memory = size(&as_text(value));
                if limits.memory.is_none() {
                    diagnostics.error_with_help(
                        "spec::limits",
                        value.span,
                        format!("{} is no amount of memory", value.describe()),
                        "write `12GB`, `20GiB`, or a number of bytes",
                    );
                }
            }
            other => diagnostics.error_with_help(
                "spec::unknown_key",
                entry.span,
                format!("`{other}` is not a limit of {of}"),
                suggestion(other, LIMITS),
            ),
        }
    }
    if let (Some(timeout), Some(heartbeat)) = (limits.timeout, limits.heartbeat)
        && heartbeat > timeout
    {
        diagnostics.error_with_help(
            "spec::limits",
            node.span,
            format!(
                "a heartbeat of {} never comes to pass within a timeout of {}",
                clock::human(heartbeat),
                clock::human(timeout)
            ),
            "make the heartbeat the shorter of the two, or leave it out",
        );
    }
    limits
}
