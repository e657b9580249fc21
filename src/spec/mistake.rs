//! serde's words about a value that does not fit → ours, with the nearest name.

use crate::base::nearest::suggestion;

/// What is wrong with a parameter, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// The key itself is wrong, not its value.
    pub is_key: bool,
    /// The parameter that is not there, if that is what is wrong.
    pub missing: Option<String>,
}

/// Reads serde's message about the parameter at `path` of `owner` (``kind `k_shot` ``).
#[must_use]
pub fn explain(owner: &str, path: &str, message: &str) -> Mistake {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let mut mistake = Mistake {
        message: if path.is_empty() {
            format!("{owner}: {message}")
        } else {
            format!("`{path}`: {message}")
        },
        help: None,
        is_key: false,
        missing: None,
    };
    if let Some((wrong, allowed)) = quoted.split_first() {
        if message.starts_with("unknown field") {
            mistake.message = format!("`{wrong}` is not a parameter of {owner}");
            mistake.help = Some(suggestion(wrong, allowed.iter().copied()));
            mistake.is_key = true;
        } else if message.starts_with("unknown variant") {
            mistake.message = format!("`{wrong}` is not a value of `{path}`");
            mistake.help = Some(suggestion(wrong, allowed.iter().copied()));
        } else if message.starts_with("missing field") {
            mistake.message = format!("{owner} needs the parameter `{wrong}`");
            mistake.help = Some(format!("add `{wrong}:` under `params:`"));
            mistake.missing = Some((*wrong).to_owned());
        }
    }
    let wrong_type = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "));
    if let Some((found, expected)) = wrong_type.and_then(|rest| rest.split_once(", expected ")) {
        let place = if path.is_empty() {
            "the parameters".to_owned()
        } else {
            format!("`{path}`")
        };
        mistake.message = format!("{place} of {owner} cannot be {}", thing(found));
        mistake.help = Some(format!("write {}", wanted(expected)));
    }
    mistake
}

/// `string "wide"` → ``the text `wide` ``.
fn thing(found: &str) -> String {
    let quoted = |prefix: &str, close: char| {
        found
            .strip_prefix(prefix)
            .map(|rest| rest.trim_end_matches(close))
    };
    if let Some(text) = quoted("string \"", '"') {
        return format!("the text `{text}`");
    }
    for prefix in ["integer `", "floating point `", "boolean `"] {
        if let Some(value) = quoted(prefix, '`') {
            return format!("`{value}`");
        }
    }
    match found {
        "null" | "unit value" => "empty".to_owned(),
        "sequence" => "a list".to_owned(),
        "map" => "a mapping".to_owned(),
        other => other.to_owned(),
    }
}

/// `usize` → `a whole number, 0 or more`.
fn wanted(expected: &str) -> String {
    match expected {
        "usize" | "u64" | "u32" | "u16" | "u8" => "a whole number, 0 or more".to_owned(),
        "isize" | "i64" | "i32" | "i16" | "i8" => "a whole number".to_owned(),
        "f64" | "f32" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" | "string" => "a text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a mapping".to_owned(),
        other if other.starts_with("struct ") => "a mapping of parameters".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serde_is_translated() {
        let say = |path: &str, message: &str| {
            let mistake = explain("kind `k_shot`", path, message);
            format!("{} | {}", mistake.message, mistake.help.unwrap_or_default())
        };
        assert_eq!(
            say("k", "invalid type: string \"many\", expected usize"),
            "`k` of kind `k_shot` cannot be the text `many` | write a whole number, 0 or more"
        );
        assert_eq!(
            say("k", "invalid value: integer `-3`, expected usize"),
            "`k` of kind `k_shot` cannot be `-3` | write a whole number, 0 or more"
        );
        assert_eq!(
            say("kk", "unknown field `kk`, expected `k` or `seed`"),
            "`kk` is not a parameter of kind `k_shot` | did you mean `k`? (allowed: k, seed)"
        );
        assert_eq!(
            say("", "missing field `seed`"),
            "kind `k_shot` needs the parameter `seed` | add `seed:` under `params:`"
        );
        assert_eq!(say("k", "0 asks for nothing"), "`k`: 0 asks for nothing | ");
    }
}
