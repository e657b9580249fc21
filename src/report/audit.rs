//! A data audit as people read it: findings as a list, numbers as tables.
//!
//! An audit is whatever JSON the audit stage writes, so this looks at shapes and hardly at names:
//! `findings` is a list of `{severity, text}`, an object of objects is a table with a column for
//! each of them, an object of numbers is a two-column table, a list of like objects is a wide
//! one, and anything deeper gets a heading. A line that says nothing (no value anywhere, an empty
//! list) is left out. `times` are seconds since 1970, shown as days.

use serde_json::{Map, Value};

use super::markdown::{MarkdownTable, one_line};
use crate::base::clock;

/// One finding of an audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// `error`, `warning`, `note` or whatever the audit says.
    pub severity: String,
    /// One sentence.
    pub text: String,
}

impl Finding {
    /// Whether a reader must know it before believing a number.
    #[must_use]
    pub fn is_serious(&self) -> bool {
        matches!(
            self.severity.to_lowercase().as_str(),
            "error" | "warning" | "warn" | "danger" | "critical"
        )
    }
}

/// The findings of an audit, in its order.
#[must_use]
pub fn findings(audit: &Value) -> Vec<Finding> {
    let list = audit.get("findings").and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .map(|finding| {
            let field = |name: &str| finding.get(name).and_then(Value::as_str);
            Finding {
                severity: one_line(field("severity").unwrap_or("note")),
                text: field("text").map_or_else(|| plain(finding), one_line),
            }
        })
        .collect()
}

/// The findings that are not serious (the others stand in the summary of the page) and the
/// numbers of an audit, as blocks of markdown.
#[must_use]
pub fn render(audit: &Value) -> Vec<String> {
    let mut blocks = Vec::new();
    let found: Vec<String> = findings(audit)
        .iter()
        .filter(|finding| !finding.is_serious())
        .map(|finding| format!("- {}", finding.text))
        .collect();
    if !found.is_empty() {
        blocks.push(found.join("\n"));
    }
    match audit {
        Value::Object(map) => {
            let mut rest = map.clone();
            rest.shift_remove("findings");
            object("", &rest, &mut blocks);
        }
        Value::Null => {}
        other => value("", other, &mut blocks),
    }
    if blocks.is_empty() {
        blocks.push("Nothing found, and nothing counted.".to_owned());
    }
    blocks
}

fn value(title: &str, value: &Value, blocks: &mut Vec<String>) {
    match value {
        Value::Object(map) => object(title, map, blocks),
        Value::Array(items) if !items.is_empty() && items.iter().all(is_flat_object) => {
            blocks.extend(heading(title));
            blocks.push(wide(items));
        }
        other => {
            let title = if title.is_empty() { "value" } else { title };
            blocks.push(format!("{title}: {}", plain(other)));
        }
    }
}

fn object(title: &str, map: &Map<String, Value>, blocks: &mut Vec<String>) {
    if map.is_empty() {
        return;
    }
    if map.len() > 1 && map.values().all(Value::is_object) {
        blocks.extend(heading(title));
        blocks.push(side_by_side(map));
        return;
    }
    let (flat, deep): (Vec<_>, Vec<_>) = map.iter().partition(|(_, value)| is_flat(value));
    if !flat.is_empty() {
        blocks.extend(heading(title));
        let mut table = MarkdownTable::of_numbers(vec!["what".to_owned(), "value".to_owned()]);
        for (name, value) in flat {
            if says_something(value) {
                table.row(vec![spoken(name), shown(name, value)]);
            }
        }
        blocks.push(table.render().trim_end().to_owned());
    }
    for (name, inner) in deep {
        let path = if title.is_empty() {
            spoken(name)
        } else {
            format!("{title}, {}", spoken(name))
        };
        value(&path, inner, blocks);
    }
}

fn heading(title: &str) -> Option<String> {
    (!title.is_empty()).then(|| format!("{title}:"))
}

/// A table with a column for each object and a row for each number in any of them.
fn side_by_side(map: &Map<String, Value>) -> String {
    let columns: Vec<Vec<(String, String)>> = map.values().map(leaves).collect();
    let mut names: Vec<&String> = Vec::new();
    for (name, _) in columns.iter().flatten() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let header = std::iter::once("what".to_owned()).chain(map.keys().map(|name| spoken(name)));
    let mut table = MarkdownTable::of_numbers(header.collect());
    for name in names {
        let cells = columns.iter().map(|column| {
            let leaf = column.iter().find(|(known, _)| known == name);
            leaf.map_or_else(String::new, |(_, text)| text.clone())
        });
        table.row(std::iter::once(name.clone()).chain(cells).collect());
    }
    table.render().trim_end().to_owned()
}

/// Every value inside that says something, with its path in words.
fn leaves(value: &Value) -> Vec<(String, String)> {
    fn collect(path: &str, value: &Value, found: &mut Vec<(String, String)>) {
        for (name, inner) in value.as_object().into_iter().flatten() {
            let path = if path.is_empty() {
                spoken(name)
            } else {
                format!("{path}, {}", spoken(name))
            };
            if inner.is_object() {
                collect(&path, inner, found);
            } else if says_something(inner) {
                found.push((path, shown(name, inner)));
            }
        }
    }
    let mut found = Vec::new();
    collect("", value, &mut found);
    found
}

/// A table with a row for each object and a column for each key that says something.
fn wide(rows: &[Value]) -> String {
    let mut columns: Vec<&str> = Vec::new();
    for (key, value) in rows.iter().filter_map(Value::as_object).flatten() {
        if says_something(value) && !columns.contains(&key.as_str()) {
            columns.push(key);
        }
    }
    let header = columns.iter().map(|column| spoken(column)).collect();
    let mut table = MarkdownTable::of_numbers(header);
    for item in rows {
        let cells = columns.iter().map(|&column| {
            item.get(column)
                .map_or_else(String::new, |value| shown(column, value))
        });
        table.row(cells.collect());
    }
    table.render().trim_end().to_owned()
}

/// Whether a value is worth a line.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        _ => true,
    }
}

fn shown(name: &str, value: &Value) -> String {
    let days = || -> Option<Vec<String>> {
        let times = value.as_array()?;
        times
            .iter()
            .map(|time| Some(clock::day(time.as_i64()?)))
            .collect()
    };
    match name {
        "times" => days().map_or_else(|| plain(value), |days| days.join(" to ")),
        _ => plain(value),
    }
}

fn is_flat(value: &Value) -> bool {
    match value {
        Value::Object(_) => false,
        Value::Array(items) => items
            .iter()
            .all(|item| !item.is_object() && !item.is_array()),
        _ => true,
    }
}

fn is_flat_object(value: &Value) -> bool {
    value
        .as_object()
        .is_some_and(|map| !map.is_empty() && map.values().all(is_flat))
}

/// `longest_history` as `longest history`.
fn spoken(name: &str) -> String {
    one_line(&name.replace('_', " "))
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "—".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => one_line(text),
        Value::Number(number) => match number.as_f64() {
            // Whole numbers are exact; of a measured ratio four digits are more than enough.
            Some(float) if number.is_f64() => rounded(float),
            _ => number.to_string(),
        },
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(_) => one_line(&value.to_string()),
    }
}

fn rounded(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-3 {
        return format!("{value:.2e}");
    }
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn any_shape_reads_well() {
        let audit = json!({
            "findings": [{"severity": "warning", "text": "two users\nstraddle a cut"}, "odd"],
            "rows": {"train": {"rows": 8000, "likes": 0.573_12}, "test": {"rows": 1000}},
            "history": {"longest": 10, "cut": false, "by_length": {"counts": [1, 2, 3]}},
            "users": [{"user": 1, "rows": 7}, {"user": 2, "rows": 9}],
        });
        insta::assert_snapshot!(render(&audit).join("\n\n"), @r"
        - odd

        rows:

        | what  |  train | test |
        | ----- | -----: | ---: |
        | rows  |   8000 | 1000 |
        | likes | 0.5731 |      |

        history:

        | what    | value |
        | ------- | ----: |
        | longest |    10 |
        | cut     |    no |

        history, by length:

        | what   |   value |
        | ------ | ------: |
        | counts | 1, 2, 3 |

        users:

        | user | rows |
        | ---- | ---: |
        | 1    |    7 |
        | 2    |    9 |
        ");
        assert_eq!(
            render(&json!(null)),
            ["Nothing found, and nothing counted."]
        );
    }
}
