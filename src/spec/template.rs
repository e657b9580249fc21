//! Values with references: `${k}`, `data/${train}.json`, `${data.${train}.path}`, `${variant?}`.
//!
//! A text that is one reference alone takes the value's own type; otherwise the value is put
//! into the text. `?` makes a reference optional: alone it leaves its key out, in a text it
//! leaves nothing. `${inputs.…}` and `${outputs.…}` are kept for the stage itself
//! (`kind: command`), and `$${` is a plain `${`.

use serde_json::{Map, Value};

use super::source::{Diagnostics, Span};
use super::yaml::{Content, Node};

/// A value that may refer to axes and variables.
#[derive(Debug, Clone, PartialEq)]
pub enum Template {
    /// No reference inside.
    Literal(Value),
    /// One reference and nothing else.
    Whole(Reference),
    /// A text with references in it.
    Text(Vec<Part>),
    /// A sequence.
    List(Vec<Template>),
    /// A mapping; each entry with the place of its key.
    Map(Vec<(String, Span, Template)>),
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Taken as it is.
    Plain(String),
    /// Replaced by a value.
    Reference(Reference),
}

/// `${path}` or `${path?}`; the path may itself contain references.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// The dotted path in pieces.
    pub path: Vec<Part>,
    /// Whether it may be missing.
    pub optional: bool,
    /// Where it was written.
    pub span: Span,
}

impl Reference {
    /// The path as written, nested references included.
    #[must_use]
    pub fn written(&self) -> String {
        self.path
            .iter()
            .map(|part| match part {
                Part::Plain(text) => text.clone(),
                Part::Reference(inner) => format!("${{{}}}", inner.written()),
            })
            .collect()
    }
}

/// Where references find their values.
pub trait Lookup {
    /// The value at a dotted path, or `None`.
    fn lookup(&mut self, path: &str) -> Option<Value>;
}

/// A reference that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// The path that has no value.
    pub path: String,
    /// Where the reference stands.
    pub span: Span,
}

impl Template {
    /// Reads a node.
    pub fn compile(node: &Node, diagnostics: &mut Diagnostics) -> Self {
        match &node.content {
            Content::Scalar(Value::String(text)) => compile_text(text, node.span, diagnostics),
            Content::Scalar(value) => Self::Literal(value.clone()),
            Content::List(items) => {
                let items: Vec<Self> = items
                    .iter()
                    .map(|item| Self::compile(item, diagnostics))
                    .collect();
                Self::List(items)
            }
            Content::Map(entries) => Self::Map(
                entries
                    .iter()
                    .map(|entry| {
                        (
                            entry.key.clone(),
                            entry.span,
                            Self::compile(&entry.value, diagnostics),
                        )
                    })
                    .collect(),
            ),
        }
    }

    /// Puts values in place of references; `None` is an optional reference without a value.
    ///
    /// # Errors
    /// The first reference that leads nowhere.
    pub fn resolve(&self, lookup: &mut dyn Lookup) -> Result<Option<Value>, Unresolved> {
        Ok(match self {
            Self::Literal(value) => Some(value.clone()),
            Self::Whole(reference) => resolve_reference(reference, lookup)?,
            Self::Text(parts) => Some(Value::String(resolve_parts(parts, lookup)?)),
            Self::List(items) => {
                let mut list = Vec::with_capacity(items.len());
                for item in items {
                    list.extend(item.resolve(lookup)?);
                }
                Some(Value::Array(list))
            }
            Self::Map(entries) => {
                let mut map = Map::new();
                for (key, _, value) in entries {
                    if let Some(value) = value.resolve(lookup)? {
                        map.insert(key.clone(), value);
                    }
                }
                Some(Value::Object(map))
            }
        })
    }

    /// Every reference in it, nested ones included.
    pub fn references<'t>(&'t self, into: &mut Vec<&'t Reference>) {
        match self {
            Self::Literal(_) => {}
            Self::Whole(reference) => reference_and_nested(reference, into),
            Self::Text(parts) => nested(parts, into),
            Self::List(items) => items.iter().for_each(|item| item.references(into)),
            Self::Map(entries) => entries
                .iter()
                .for_each(|(_, _, value)| value.references(into)),
        }
    }
}

fn reference_and_nested<'t>(reference: &'t Reference, into: &mut Vec<&'t Reference>) {
    into.push(reference);
    nested(&reference.path, into);
}

fn nested<'t>(parts: &'t [Part], into: &mut Vec<&'t Reference>) {
    for part in parts {
        if let Part::Reference(inner) = part {
            reference_and_nested(inner, into);
        }
    }
}

/// Puts values into a text.
///
/// # Errors
/// The first reference that leads nowhere.
pub fn resolve_parts(parts: &[Part], lookup: &mut dyn Lookup) -> Result<String, Unresolved> {
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Plain(plain) => text.push_str(plain),
            Part::Reference(reference) => match resolve_reference(reference, lookup)? {
                None | Some(Value::Null) => {}
                Some(Value::String(inner)) => text.push_str(&inner),
                Some(other) => text.push_str(&other.to_string()),
            },
        }
    }
    Ok(text)
}

fn resolve_reference(
    reference: &Reference,
    lookup: &mut dyn Lookup,
) -> Result<Option<Value>, Unresolved> {
    let path = resolve_parts(&reference.path, lookup)?;
    match lookup.lookup(&path) {
        Some(value) => Ok(Some(value)),
        None if reference.optional => Ok(None),
        None => Err(Unresolved {
            path,
            span: reference.span,
        }),
    }
}

fn compile_text(text: &str, span: Span, diagnostics: &mut Diagnostics) -> Template {
    if !text.contains("${") {
        return Template::Literal(Value::String(text.to_owned()));
    }
    let mut at = 0;
    let parts = parse_parts(text, &mut at, span, false, diagnostics);
    match parts.as_slice() {
        [Part::Reference(reference)] => Template::Whole(reference.clone()),
        [Part::Plain(plain)] => Template::Literal(Value::String(plain.clone())),
        _ => Template::Text(parts),
    }
}

/// Parses from `at`; inside a reference, stops before its `}`.
fn parse_parts(
    text: &str,
    at: &mut usize,
    span: Span,
    inside: bool,
    diagnostics: &mut Diagnostics,
) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    while *at < text.len() {
        let rest = &text[*at..];
        if rest.starts_with("$${") {
            plain.push_str("${");
            *at += 3;
        } else if rest.starts_with("${inputs.") || rest.starts_with("${outputs.") {
            let end = rest.find('}').map_or(rest.len(), |end| end + 1);
            plain.push_str(&rest[..end]);
            *at += end;
        } else if rest.starts_with("${") {
            if !plain.is_empty() {
                parts.push(Part::Plain(std::mem::take(&mut plain)));
            }
            *at += 2;
            parts.push(Part::Reference(parse_reference(
                text,
                at,
                span,
                diagnostics,
            )));
        } else if inside && rest.starts_with('}') {
            break;
        } else if let Some(character) = rest.chars().next() {
            plain.push(character);
            *at += character.len_utf8();
        }
    }
    if !plain.is_empty() {
        parts.push(Part::Plain(plain));
    }
    parts
}

fn parse_reference(
    text: &str,
    at: &mut usize,
    span: Span,
    diagnostics: &mut Diagnostics,
) -> Reference {
    let mut path = parse_parts(text, at, span, true, diagnostics);
    if text[*at..].starts_with('}') {
        *at += 1;
    } else {
        diagnostics.error_with_help(
            "spec::reference",
            span,
            format!("a reference in `{text}` is not closed"),
            "write ${name}; a plain `${` is written `$${`",
        );
    }
    let mut optional = false;
    if let Some(Part::Plain(last)) = path.last_mut()
        && last.ends_with('?')
    {
        last.pop();
        optional = true;
    }
    path.retain(|part| !matches!(part, Part::Plain(text) if text.is_empty()));
    if path.is_empty() {
        diagnostics.error(
            "spec::reference",
            span,
            format!("a reference in `{text}` names nothing"),
        );
    }
    Reference {
        path,
        optional,
        span,
    }
}
