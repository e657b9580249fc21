//! The `systems:` block: systems of one's own that no sample tunes. Each has a name, which the
//! grid lists under `method`, and is one of three:
//!
//! - `base_url: …` and `model: …`: a language model behind an OpenAI-compatible API;
//! - `recorded: {movie: FILE, book: FILE}`: scores that somebody measured;
//! - `local: base` or `local: AT`: the experiment's backbone, bare or alpaca-tuned.
//!
//! `examples: n` puts n of a cell's K samples before every question.

use serde_json::{Map, Value, json};

use super::data::existing_path;
use super::grid::STANDARD_AXES;
use super::source::Diagnostics;
use super::yaml::{Entry, Node};
use crate::base::nearest::suggestion;

/// The keys of which a system has one: what it is.
pub const SOURCES: [&str; 3] = ["base_url", "recorded", "local"];

/// Keys of a system behind an API, beside `base_url`: parameters of the stage kind `api_score`.
pub const API_KEYS: [&str; 18] = [
    "model",
    "protocol",
    "read",
    "top",
    "max_tokens",
    "system",
    "request",
    "examples",
    "api_key_environment",
    "api_key_header",
    "concurrency",
    "requests_per_minute",
    "tokens_per_minute",
    "timeout",
    "tries",
    "longest_wait",
    "price",
    "ceiling",
];

/// Keys of a system of recorded scores, beside `recorded`: parameters of `recorded_scores`.
pub const RECORDED_KEYS: [&str; 6] = [
    "score",
    "row",
    "prompt_digest",
    "prompt",
    "label",
    "partial",
];

/// Keys of the experiment's own backbone, beside `local`.
pub const LOCAL_KEYS: [&str; 1] = ["examples"];

/// What of the backbone a local system asks.
pub const LOCAL: [&str; 2] = ["base", "AT"];

/// The domains that recorded scores may be of.
const DOMAINS: [&str; 2] = ["movie", "book"];

/// Reads the block into the variables `${systems.NAME.…}`: as written, with
///
/// - `source`: `api`, `recorded` or `local`;
/// - `on.movie`, `on.book`: whether it has something to say about that domain;
/// - `few`: whether examples stand in its prompts;
/// - `drawn_by`: the axis that decides which, or a name that no axis has.
pub fn decode(node: Option<&Node>, diagnostics: &mut Diagnostics) -> Value {
    let mut all = Map::new();
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return Value::Object(all);
    };
    let Some(entries) = node.as_map() else {
        diagnostics.error_with_help(
            "spec::systems",
            node.span,
            format!("systems are a mapping of names, not {}", node.describe()),
            "write for example `systems: {my_model: {base_url: http://127.0.0.1:8080/v1, model: \
             NAME}}`",
        );
        return Value::Object(all);
    };
    for entry in entries {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if entry.key.is_empty() || !entry.key.chars().all(plain) {
            diagnostics.error_with_help(
                "spec::systems",
                entry.span,
                format!("`{}` cannot be the name of a system", entry.key),
                "it stands in the `method` column: use letters, digits, `_` and `-`",
            );
            continue;
        }
        if let Some(system) = system(entry, diagnostics) {
            all.insert(entry.key.clone(), system);
        }
    }
    Value::Object(all)
}

fn system(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Value> {
    let node = &entry.value;
    let Some(entries) = node.as_map() else {
        diagnostics.error_with_help(
            "spec::systems",
            node.span,
            format!("system `{}` is {}", entry.key, node.describe()),
            format!("say what it is by one of: {}", SOURCES.join(", ")),
        );
        return None;
    };
    let given = |name: &str| {
        let mut all = entries.iter();
        all.find(|own| own.key == name && !own.value.is_null())
    };
    let sources: Vec<&Entry> = SOURCES.iter().filter_map(|name| given(name)).collect();
    let source = match sources.as_slice() {
        [one] => *one,
        [] => {
            diagnostics.error_with_help(
                "spec::systems",
                entry.span,
                format!("system `{}` does not say what it is", entry.key),
                format!("it needs one of: {}", SOURCES.join(", ")),
            );
            return None;
        }
        [first, second, ..] => {
            diagnostics.error_with_help(
                "spec::systems",
                second.span,
                format!(
                    "system `{}` has both `{}` and `{}`",
                    entry.key, first.key, second.key
                ),
                "make two systems of it",
            );
            return None;
        }
    };
    let (word, keys): (&str, &[&str]) = match source.key.as_str() {
        "base_url" => ("api", &API_KEYS),
        "recorded" => ("recorded", &RECORDED_KEYS),
        _ => ("local", &LOCAL_KEYS),
    };
    for own in entries {
        if own.key != source.key && !keys.contains(&own.key.as_str()) {
            diagnostics.error_with_help(
                "spec::unknown_key",
                own.span,
                format!(
                    "`{}` is not a key of a system with `{}`",
                    own.key, source.key
                ),
                suggestion(&own.key, keys.iter().copied()),
            );
        }
    }
    let mut system = match node.to_json() {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    let mut on = json!({"movie": true, "book": true});
    match word {
        "api" => {
            for name in ["base_url", "model"] {
                if given(name).is_none_or(|own| own.value.as_str().is_none()) {
                    diagnostics.error_with_help(
                        "spec::systems",
                        given(name).map_or(entry.span, |own| own.value.span),
                        format!("system `{}` needs its `{name}`, a text", entry.key),
                        "write `base_url: https://api.openai.com/v1` and `model: NAME`",
                    );
                }
            }
        }
        "recorded" => {
            let files = recorded(&source.value, diagnostics)?;
            for domain in DOMAINS {
                on[domain] = json!(files.contains_key(domain));
            }
            system.insert("recorded".to_owned(), Value::Object(files));
        }
        _ => {
            let name = source.value.as_str().unwrap_or_default();
            if !LOCAL.contains(&name) {
                diagnostics.error_with_help(
                    "spec::systems",
                    source.value.span,
                    format!("{} is not what can be asked here", source.value.describe()),
                    suggestion(name, LOCAL),
                );
            }
        }
    }
    let examples = given("examples").map(|own| &own.value);
    let few = match examples.map(|node| (node, node.to_json())) {
        None => false,
        Some((_, Value::Number(count))) if count.as_u64().is_some() => count.as_u64() > Some(0),
        Some((node, _)) => {
            diagnostics.error(
                "spec::systems",
                node.span,
                format!("examples are a whole number, not {}", node.describe()),
            );
            false
        }
    };
    system.insert("source".to_owned(), json!(word));
    system.insert("on".to_owned(), on);
    system.insert("few".to_owned(), json!(few));
    let axis = if few { STANDARD_AXES[1] } else { "nothing" };
    system.insert("drawn_by".to_owned(), json!(axis));
    Some(Value::Object(system))
}

/// One file for each domain.
fn recorded(node: &Node, diagnostics: &mut Diagnostics) -> Option<Map<String, Value>> {
    let Some(entries) = node.as_map() else {
        diagnostics.error_with_help(
            "spec::systems",
            node.span,
            format!("recorded is {}, not a mapping", node.describe()),
            "write `recorded: {movie: FILE}`, `{book: FILE}` or both",
        );
        return None;
    };
    let mut files = Map::new();
    for entry in entries {
        if !DOMAINS.contains(&entry.key.as_str()) {
            diagnostics.error_with_help(
                "spec::unknown_key",
                entry.span,
                format!("`{}` is not a domain", entry.key),
                suggestion(&entry.key, DOMAINS),
            );
        } else if !entry.value.is_null()
            && let Some(path) = existing_path(&entry.value, diagnostics)
        {
            files.insert(entry.key.clone(), json!(path));
        }
    }
    Some(files)
}

/// The JSON Schema of the block.
#[must_use]
pub fn schema() -> Value {
    let about = |key: &str| match key {
        "base_url" => json!({
            "type": "string", "pattern": "^https?://",
            "description": "Address of an OpenAI-compatible endpoint, up to and without `/completions` or `/chat/completions`; beside it, parameters of the stage kind `api_score`.",
        }),
        "recorded" => json!({
            "type": "object", "additionalProperties": false,
            "properties": {"movie": {"type": "string"}, "book": {"type": "string"}},
            "description": "Files with scores that were measured elsewhere (CSV, JSON, Parquet); beside it, parameters of the stage kind `recorded_scores`.",
        }),
        "local" => json!({
            "enum": LOCAL,
            "description": "The experiment's backbone: bare, or alpaca-tuned.",
        }),
        "protocol" => json!({"enum": ["chat", "completions"]}),
        "read" => json!({"enum": ["log_probabilities", "text"]}),
        "examples" => json!({
            "type": "integer", "minimum": 0,
            "description": "So many of a cell's K samples stand with their answers before each question.",
        }),
        "top" | "max_tokens" | "concurrency" | "tries" => json!({"type": "integer", "minimum": 1}),
        "requests_per_minute" | "tokens_per_minute" => json!({"type": "number"}),
        "api_key_environment" => json!({
            "type": "string", "pattern": "^[A-Z0-9_]+$",
            "description": "Name of the environment variable that holds the key.",
        }),
        "request" => json!({"type": "object"}),
        "price" => json!({
            "type": "object", "additionalProperties": false, "required": ["prompt", "completion"],
            "properties": {"prompt": {"type": "number"}, "completion": {"type": "number"}},
            "description": "What a million tokens cost.",
        }),
        "ceiling" => json!({
            "type": "object", "additionalProperties": false,
            "properties": {"tokens": {"type": "integer"}, "money": {"type": "number"}},
            "description": "How much may be spent on this model, over all runs with one store.",
        }),
        "partial" => json!({"type": "boolean"}),
        _ => json!({"type": "string"}),
    };
    let properties: Map<String, Value> = SOURCES
        .iter()
        .chain(&API_KEYS)
        .chain(&RECORDED_KEYS)
        .map(|key| ((*key).to_owned(), about(key)))
        .collect();
    json!({
        "type": "object",
        "description": "Systems of one's own that no sample tunes, by the name the grid lists under `method`: a model behind an API, recorded scores, or the backbone as it is.",
        "additionalProperties": {
            "type": "object", "additionalProperties": false, "properties": properties,
        },
    })
}
