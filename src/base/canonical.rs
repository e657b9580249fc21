//! Canonical JSON: one value, one text, so that a hash of the text is a hash of the value.
//!
//! Keys are sorted by their bytes, there is no white space, and numbers are written as
//! `serde_json` writes them (shortest text that reads back to the same `f64`). Whole floats
//! keep their `.0`, so `1` and `1.0` differ; parameters pass through typed structs first, which
//! settles that question before a key is made.

use serde_json::Value;

/// Writes `value` with sorted keys and no white space.
#[must_use]
pub fn canonical_json(value: &Value) -> String {
    let mut text = String::with_capacity(128);
    write(value, &mut text);
    text
}

/// Appends `value` to a canonical text that is being written piece by piece.
pub fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            text.push('{');
            for (position, (key, inner)) in entries.into_iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                push_string(key, text);
                text.push(':');
                write(inner, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        Value::String(string) => push_string(string, text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            let _ = std::fmt::Write::write_fmt(text, format_args!("{value}"));
        }
    }
}

/// Appends a string with its quotes.
pub fn push_string(string: &str, text: &mut String) {
    let needs_escapes = string
        .bytes()
        .any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\');
    if needs_escapes {
        text.push_str(&Value::from(string).to_string());
    } else {
        text.push('"');
        text.push_str(string);
        text.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn key_order_does_not_matter_and_array_order_does() {
        let one: Value = serde_json::from_str(r#"{"b":1,"a":[1,2.5,"x\n"]}"#).expect("json");
        let two: Value = serde_json::from_str(r#"{"a":[1,2.5,"x\n"],"b":1}"#).expect("json");
        assert_eq!(canonical_json(&one), canonical_json(&two));
        assert_eq!(canonical_json(&one), r#"{"a":[1,2.5,"x\n"],"b":1}"#);
        assert_ne!(
            canonical_json(&json!([1, 2])),
            canonical_json(&json!([2, 1]))
        );
    }

    #[test]
    fn strings_are_written_as_json_writes_them() {
        for string in [
            "",
            "plain",
            "ü→∞",
            "\"",
            "back\\slash",
            "\u{7f}",
            "\u{1}\t\n",
        ] {
            let mut text = String::new();
            push_string(string, &mut text);
            assert_eq!(text, json!(string).to_string());
        }
    }
}
