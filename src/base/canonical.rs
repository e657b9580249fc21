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

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            text.push('{');
            for (position, key) in keys.into_iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                push_string(key, text);
                text.push(':');
                if let Some(inner) = map.get(key) {
                    write(inner, text);
                }
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
        Value::Null | Value::Bool(_) | Value::Number(_) => text.push_str(&value.to_string()),
    }
}

fn push_string(string: &str, text: &mut String) {
    text.push_str(&Value::String(string.to_owned()).to_string());
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
}
