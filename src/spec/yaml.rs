//! YAML text → a tree of [`Node`]s that know where they were written.
//!
//! The parser is `serde-saphyr` (YAML 1.2, bounded in depth by itself, in values and in alias
//! expansion from here); this file is the only one that knows it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{DuplicateKeyPolicy, Location, Spanned};

use super::source::{Diagnostics, Span};

/// Values of a file, with every alias in full. As many as an axis may have, which is more than a
/// person writes; a bomb of aliases is refused in a moment.
const MOST_NODES: usize = 100_000;

/// A YAML value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub span: Span,
    /// What it is.
    pub content: Content,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Null, a truth value, a number or a text.
    Scalar(Value),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the order it was written.
    Map(Vec<Entry>),
}

/// One key of a mapping and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub span: Span,
    /// The value.
    pub value: Node,
}

impl Node {
    /// A text node, for values that no file wrote.
    #[must_use]
    pub fn text(text: &str, span: Span) -> Self {
        Self {
            span,
            content: Content::Scalar(Value::String(text.to_owned())),
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The entries, if it is a mapping.
    #[must_use]
    pub fn as_map(&self) -> Option<&[Entry]> {
        match &self.content {
            Content::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The items, if it is a sequence.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        match &self.content {
            Content::List(items) => Some(items),
            _ => None,
        }
    }

    /// Whether it is empty or `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar(Value::Null))
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_map()?
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
    }

    /// What it is, in words, for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.content {
            Content::Scalar(Value::Null) => "nothing".to_owned(),
            Content::Scalar(Value::String(text)) => format!("the text `{text}`"),
            Content::Scalar(value) => format!("`{value}`"),
            Content::List(_) => "a list".to_owned(),
            Content::Map(_) => "a mapping".to_owned(),
        }
    }

    /// The same value without its places.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Content::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.value.to_json()))
                    .collect(),
            ),
        }
    }

    /// Puts `value` at a dotted path, making mappings on the way; replaces what is there.
    pub fn insert(&mut self, path: &[&str], value: Self) {
        let Some((first, rest)) = path.split_first() else {
            *self = value;
            return;
        };
        if !matches!(self.content, Content::Map(_)) {
            self.content = Content::Map(Vec::new());
        }
        if let Content::Map(entries) = &mut self.content {
            if let Some(entry) = entries.iter_mut().find(|entry| entry.key == *first) {
                entry.value.insert(rest, value);
                return;
            }
            let span = value.span;
            let mut inner = Self {
                span,
                content: Content::Map(Vec::new()),
            };
            inner.insert(rest, value);
            entries.push(Entry {
                key: (*first).to_owned(),
                span,
                value: inner,
            });
        }
    }

    fn set_source(&mut self, source: u32) {
        self.span.source = source;
        match &mut self.content {
            Content::Scalar(_) => {}
            Content::List(items) => items.iter_mut().for_each(|item| item.set_source(source)),
            Content::Map(entries) => {
                for entry in entries {
                    entry.span.source = source;
                    entry.value.set_source(source);
                }
            }
        }
    }
}

/// Parses one YAML document. On a syntax error, reports it and returns `None`.
pub fn parse(text: &str, source: u32, diagnostics: &mut Diagnostics) -> Option<Node> {
    if text
        .lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    {
        return Some(Node {
            span: Span {
                source,
                start: 0,
                len: 0,
            },
            content: Content::Scalar(Value::Null),
        });
    }
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::Error,
        with_snippet: false,
        strict_booleans: true,
        budget: serde_saphyr::budget! {
            max_nodes: MOST_NODES,
            max_events: 3 * MOST_NODES,
        },
    };
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
        Ok(raw) => {
            let mut node = raw_to_node(raw);
            node.set_source(source);
            Some(node)
        }
        Err(error) => {
            let span = error.location().map_or_else(Span::default, span_of);
            let message = error.without_snippet().to_string();
            let (message, help) = explain(tidy(&message));
            let span = match tab_in_indentation(text) {
                Some(tab) if message.contains("tab") => tab,
                _ => span,
            };
            diagnostics.push("spec::yaml", Some(Span { source, ..span }), message, help);
            None
        }
    }
}

/// Keeps the reason; the place is shown by the diagnostic itself.
fn tidy(message: &str) -> &str {
    message
        .split_once(" at line ")
        .map_or(message, |(reason, _)| reason)
        .trim_start_matches("error: ")
}

/// The parser's words → ours: what is wrong, and what to do.
fn explain(message: &str) -> (String, Option<String>) {
    let key = message
        .strip_prefix("duplicate mapping key: ")
        .and_then(|rest| rest.split_once(", set DuplicateKeyPolicy"));
    if let Some((key, _)) = key {
        return (
            format!("the key `{key}` is written twice"),
            Some("keep one of the two, or put both into one".to_owned()),
        );
    }
    let limit = |name: &str| {
        message
            .strip_prefix("budget breached: ")
            .is_some_and(|rest| rest.starts_with(name))
    };
    if message.starts_with("recursion limit") || limit("Depth") {
        return (
            "this is nested too deeply".to_owned(),
            Some(
                "a file of an experiment needs a handful of levels; is a bracket doubled?"
                    .to_owned(),
            ),
        );
    }
    if message.starts_with("budget breached") {
        return (
            "this file is too large: its values, with every alias (`*name`) in full, are more \
             than a file of an experiment can need"
                .to_owned(),
            Some("write ranges (`0..4`) in place of long lists, and fewer aliases".to_owned()),
        );
    }
    if message.starts_with("multiple YAML documents") {
        return (
            "there is a second YAML document here".to_owned(),
            Some("one file holds one; take out the line `---` or what follows it".to_owned()),
        );
    }
    if message.starts_with("non-finite float") {
        return (
            "a number must be finite".to_owned(),
            Some("quote it if it is meant as a text".to_owned()),
        );
    }
    if message.contains("found a tab") || message.contains("tab character") {
        return (
            "this is not valid YAML: a tab".to_owned(),
            Some("indent with spaces".to_owned()),
        );
    }
    if message.contains("unknown anchor") {
        return (
            "this alias (`*name`) stands for nothing".to_owned(),
            Some("write `&name` at the value it stands for, further up in the file".to_owned()),
        );
    }
    (
        format!("this is not valid YAML: {message}"),
        Some(
            "look at this line and the ones above it: a bracket or a quote may be left open, or \
             the indentation may differ"
                .to_owned(),
        ),
    )
}

/// The first tab that indents a line.
fn tab_in_indentation(text: &str) -> Option<Span> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let indentation = line.len() - line.trim_start_matches([' ', '\t']).len();
        if let Some(tab) = line[..indentation].find('\t') {
            return Some(Span {
                source: 0,
                start: (start + tab) as u32,
                len: 1,
            });
        }
        start += line.len();
    }
    None
}

fn span_of(location: Location) -> Span {
    let span = location.span();
    let clamp = |value: Option<u64>, otherwise: u64| {
        u32::try_from(value.unwrap_or(otherwise)).unwrap_or(u32::MAX)
    };
    Span {
        source: 0,
        start: clamp(span.byte_offset(), span.offset()),
        len: clamp(span.byte_len(), span.len()),
    }
}

enum Raw {
    Scalar(Value),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

fn raw_to_node(raw: Spanned<Raw>) -> Node {
    Node {
        span: span_of(raw.referenced),
        content: match raw.value {
            Raw::Scalar(value) => Content::Scalar(value),
            Raw::List(items) => Content::List(items.into_iter().map(raw_to_node).collect()),
            Raw::Map(entries) => Content::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| Entry {
                        span: span_of(key.referenced),
                        key: key.value,
                        value: raw_to_node(value),
                    })
                    .collect(),
            ),
        },
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::String(value.to_string())))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::String(value.to_string())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(
            serde_json::Number::from_f64(value)
                .map_or_else(|| Value::String(value.to_string()), Value::Number),
        ))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::String(value.to_owned())))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::String(value)))
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element::<Spanned<Raw>>()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            entries.push((key, access.next_value::<Spanned<Raw>>()?));
        }
        Ok(Raw::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> Node {
        let mut diagnostics = Diagnostics::default();
        let node = parse(text, 3, &mut diagnostics);
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        node.expect("a node")
    }

    #[test]
    fn scalars_are_read_as_the_field_expects() {
        let node = read(
            "a: 1e-3\nb: 0..4\nc: AT+RT\nd: No\ne: true\nf: ~\ng: '16'\nh: -2\ni: 1.5\nj: <1..256>\n",
        );
        assert_eq!(
            node.to_json(),
            json!({"a": 0.001, "b": "0..4", "c": "AT+RT", "d": "No", "e": true, "f": null,
                   "g": "16", "h": -2, "i": 1.5, "j": "<1..256>"})
        );
    }

    #[test]
    fn every_node_knows_its_place() {
        let text = "grid:\n  k: [16, 64]\n  sed: 0..4\n";
        let node = read(text);
        let entries = node.get("grid").and_then(Node::as_map).expect("a map");
        assert_eq!(entries[1].key, "sed");
        let at = text.find("sed").expect("there") as u32;
        assert_eq!(
            entries[1].span,
            Span {
                source: 3,
                start: at,
                len: 3
            }
        );
        let list = entries[0].value.as_list().expect("a list");
        assert_eq!(
            &text[list[1].span.start as usize..][..list[1].span.len as usize],
            "64"
        );
    }

    #[test]
    fn broken_yaml_is_a_diagnostic_with_a_place() {
        for text in [
            "a: [1, 2\nb: 3\n",
            "a: 1\na: 2\n",
            "a: \"x\n",
            "a: {b: 1\n",
            "a: *nobody\n",
        ] {
            let mut diagnostics = Diagnostics::default();
            assert!(parse(text, 0, &mut diagnostics).is_none(), "{text}");
            assert_eq!(diagnostics.sorted().len(), 1);
        }
    }

    #[test]
    fn an_empty_file_is_null() {
        assert!(read("# nothing\n\n").is_null());
        assert!(read("").is_null());
    }
}
