//! The `report:` of an experiment: which tables and figures, and how claims are tested.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::experiment::Vocabulary;
use super::source::Diagnostics;
use super::yaml::{Content, Entry, Node};
use crate::base::nearest::suggestion;
use crate::statistics::{Claims, Correction, Test};

/// The keys of `report:`.
const REPORT_KEYS: [&str; 3] = ["tables", "figures", "statistics"];

/// The keys of `report: {statistics: …}`.
const STATISTICS_KEYS: [&str; 3] = ["test", "alpha", "correction"];

/// The keys of a table or figure that is written out.
const PART_KEYS: [&str; 4] = ["kind", "name", "title", "where"];

/// What `where` of a table or figure may choose by.
pub const COLUMNS: [&str; 9] = [
    "method", "variant", "backbone", "train", "test", "domain", "k", "seed", "metric",
];

/// Files of a report that no table or figure may replace.
const RESERVED: [&str; 4] = ["report", "results", "provenance", "comparisons"];

/// A table or a figure of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name, and the stem of its files.
    pub name: String,
    /// Which of the program's tables or figures it is.
    pub kind: String,
    /// A title of its own.
    pub title: Option<String>,
    /// By column, the values of the rows it is made from; rows without a value there (a baseline
    /// without K) stay. Columns that are not named choose nothing.
    pub only: BTreeMap<String, Vec<String>>,
    /// Whether the experiment names it. What it does not name is left out where it has nothing to
    /// show; what it names says why it is not there.
    pub asked: bool,
}

impl Part {
    fn plain(kind: &str, asked: bool) -> Self {
        Self {
            name: kind.to_owned(),
            kind: kind.to_owned(),
            title: None,
            only: BTreeMap::new(),
            asked,
        }
    }
}

/// What `report:` says, after defaults.
#[derive(Debug, Clone, Default)]
pub(super) struct Report {
    pub(super) tables: Vec<Part>,
    pub(super) figures: Vec<Part>,
    pub(super) claims: Claims,
}

/// The schema of `report:`.
pub(super) fn schema(vocabulary: Vocabulary) -> Value {
    let one = json!({"type": ["string", "number"]});
    let columns: Map<String, Value> = COLUMNS
        .iter()
        .map(|column| {
            let values = json!({"anyOf": [one, {"type": "array", "items": one}]});
            ((*column).to_owned(), values)
        })
        .collect();
    let list = |known: &[&str]| {
        let part = json!({
            "type": "object", "additionalProperties": false, "required": ["kind"],
            "properties": {
                "kind": {"enum": known},
                "name": {"type": "string", "description": "Its own name, and the stem of its files."},
                "title": {"type": "string", "description": "A title of its own."},
                "where": {
                    "type": "object", "additionalProperties": false, "properties": columns,
                    "description": "The rows it is made from, by column; a row without a value in a column stays."
                }
            }
        });
        json!({"type": "array", "items": {"anyOf": [{"enum": known}, part]}})
    };
    let default = Claims::default();
    json!({
        "type": "object", "additionalProperties": false,
        "properties": {
            "tables": list(vocabulary.tables),
            "figures": list(vocabulary.figures),
            "statistics": {
                "type": "object", "additionalProperties": false,
                "properties": {
                    "test": {
                        "enum": Test::ALL.map(Test::name), "default": default.test.name(),
                        "description": "The test behind every dagger: over seeds (paired_t, \
                                        welch_t), users or rows."
                    },
                    "alpha": {
                        "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1,
                        "default": default.alpha, "description": "Its level."
                    },
                    "correction": {
                        "enum": Correction::ALL.map(Correction::name),
                        "default": default.correction.name(),
                        "description": "What is done about many comparisons in one table."
                    }
                },
                "description": "How claims are tested."
            }
        },
        "description": "Tables and figures (default: all that have something to show), and how claims are tested.",
    })
}

/// Reads `report:`; what is wrong goes to `diagnostics` with its place.
pub(super) fn decode(
    node: Option<&Node>,
    vocabulary: Vocabulary,
    diagnostics: &mut Diagnostics,
) -> Report {
    let mut names: Vec<String> = RESERVED.map(str::to_owned).to_vec();
    let mut read =
        |key: &str, known: &[&str], default: &[&str], diagnostics: &mut Diagnostics| match node
            .and_then(|node| node.get(key))
        {
            None => default
                .iter()
                .map(|kind| Part::plain(kind, false))
                .collect(),
            Some(node) => {
                let items = node.as_list().unwrap_or(std::slice::from_ref(node));
                let mut parts = Vec::new();
                for item in items {
                    if let Some(part) = part(item, key, known, diagnostics) {
                        check_name(&part.name, item, &mut names, diagnostics);
                        parts.push(part);
                    }
                }
                parts
            }
        };
    let tables = read(
        "tables",
        vocabulary.tables,
        vocabulary.default_tables,
        diagnostics,
    );
    let figures = read(
        "figures",
        vocabulary.figures,
        vocabulary.figures,
        diagnostics,
    );
    if let Some(node) = node.filter(|node| node.as_map().is_none() && !node.is_null()) {
        diagnostics.error_with_help(
            "spec::report",
            node.span,
            format!("report is {}, not a mapping", node.describe()),
            "write for example `report: {tables: [comparison]}`",
        );
    }
    keys("report", node, &REPORT_KEYS, diagnostics);
    let claims = claims(node.and_then(|node| node.get("statistics")), diagnostics);
    Report {
        tables,
        figures,
        claims,
    }
}

/// One item of `tables:` or `figures:`: a name of the program's, or a mapping.
fn part(item: &Node, list: &str, known: &[&str], diagnostics: &mut Diagnostics) -> Option<Part> {
    let kind = if item.as_map().is_some() {
        item.get("kind")
    } else {
        Some(item)
    };
    let Some(kind) = kind else {
        diagnostics.error_with_help(
            "spec::report",
            item.span,
            format!("one of the {list} has no `kind`"),
            format!("write `kind:` and one of: {}", known.join(", ")),
        );
        return None;
    };
    let Some(name) = kind.as_str().filter(|name| known.contains(name)) else {
        diagnostics.error_with_help(
            "spec::report",
            kind.span,
            format!("{} is not one of the {list}", kind.describe()),
            suggestion(kind.as_str().unwrap_or_default(), known.iter().copied()),
        );
        return None;
    };
    let mut part = Part::plain(name, true);
    if item.as_map().is_none() {
        return Some(part);
    }
    keys(
        &format!("one of the {list}"),
        Some(item),
        &PART_KEYS,
        diagnostics,
    );
    for (key, place) in [
        ("name", &mut part.name),
        ("title", part.title.get_or_insert_default()),
    ] {
        match item.get(key).map(|node| (node, node.as_str())) {
            Some((_, Some(text))) => text.clone_into(place),
            Some((node, None)) => diagnostics.error_with_help(
                "spec::report",
                node.span,
                format!("{key} is {}, not a text", node.describe()),
                format!("write for example `{key}: table3`"),
            ),
            None => {}
        }
    }
    part.title = part.title.filter(|title| !title.trim().is_empty());
    if let Some(node) = item.get("where").filter(|node| !node.is_null()) {
        part.only = columns(node, diagnostics);
    }
    Some(part)
}

fn columns(node: &Node, diagnostics: &mut Diagnostics) -> BTreeMap<String, Vec<String>> {
    if node.as_map().is_none() {
        diagnostics.error_with_help(
            "spec::report",
            node.span,
            format!("where is {}, not a mapping", node.describe()),
            "write for example `where: {k: [16, 64], method: [gru4rec, tallrec]}`",
        );
    }
    keys("where", Some(node), &COLUMNS, diagnostics);
    let mut columns = BTreeMap::new();
    for entry in node.as_map().unwrap_or_default() {
        let items = entry.value.as_list();
        let items = items.unwrap_or(std::slice::from_ref(&entry.value));
        let mut values = Vec::new();
        for item in items {
            match &item.content {
                Content::Scalar(Value::String(text)) => values.push(text.clone()),
                Content::Scalar(value) if !item.is_null() => values.push(value.to_string()),
                _ => diagnostics.error_with_help(
                    "spec::report",
                    item.span,
                    format!("{} is {}, not a value", entry.key, item.describe()),
                    format!(
                        "write one value or a list, such as `{}: [16, 64]`",
                        entry.key
                    ),
                ),
            }
        }
        columns.insert(entry.key.clone(), values);
    }
    columns
}

/// Names become files: they must be plain, and there must be one of each.
fn check_name(name: &str, item: &Node, names: &mut Vec<String>, diagnostics: &mut Diagnostics) {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
    if name.is_empty() || !name.chars().all(plain) {
        diagnostics.error_with_help(
            "spec::report",
            item.span,
            format!("`{name}` cannot be the name of a file"),
            "use letters, digits, `-` and `_`",
        );
    } else if names.iter().any(|known| known == name) {
        diagnostics.error_with_help(
            "spec::report",
            item.span,
            format!("there is another `{name}` in the report"),
            "give it a `name:` of its own",
        );
    }
    names.push(name.to_owned());
}

fn keys(of: &str, node: Option<&Node>, known: &[&str], diagnostics: &mut Diagnostics) {
    for Entry { key, span, .. } in node.and_then(Node::as_map).unwrap_or_default() {
        if !known.contains(&key.as_str()) {
            diagnostics.error_with_help(
                "spec::unknown_key",
                *span,
                format!("`{key}` is not a key of {of}"),
                suggestion(key, known.iter().copied()),
            );
        }
    }
}

fn claims(node: Option<&Node>, diagnostics: &mut Diagnostics) -> Claims {
    let mut claims = Claims::default();
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return claims;
    };
    if node.as_map().is_none() {
        diagnostics.error_with_help(
            "spec::report",
            node.span,
            format!("statistics are {}, not a mapping", node.describe()),
            "write for example `statistics: {test: paired_t, alpha: 0.01, correction: holm}`",
        );
    }
    keys("statistics", Some(node), &STATISTICS_KEYS, diagnostics);
    if let Some(node) = node.get("test") {
        match node.as_str().and_then(Test::find) {
            Some(test) => claims.test = test,
            None => diagnostics.error_with_help(
                "spec::report",
                node.span,
                format!("{} is not a test", node.describe()),
                suggestion(
                    node.as_str().unwrap_or_default(),
                    Test::ALL.into_iter().map(Test::name),
                ),
            ),
        }
    }
    if let Some(node) = node.get("correction") {
        match node.as_str().and_then(Correction::find) {
            Some(correction) => claims.correction = correction,
            None => diagnostics.error_with_help(
                "spec::report",
                node.span,
                format!("{} is not a correction", node.describe()),
                suggestion(
                    node.as_str().unwrap_or_default(),
                    Correction::ALL.into_iter().map(Correction::name),
                ),
            ),
        }
    }
    if let Some(node) = node.get("alpha") {
        let number = match &node.content {
            Content::Scalar(value) => value.as_f64(),
            _ => None,
        };
        match number {
            Some(alpha) if alpha > 0.0 && alpha < 1.0 => claims.alpha = alpha,
            _ => diagnostics.error_with_help(
                "spec::report",
                node.span,
                format!("{} is not a level", node.describe()),
                "write a number between 0 and 1, such as 0.01",
            ),
        }
    }
    claims
}
