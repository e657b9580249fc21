//! The values of an axis: lists, ranges, powers of two.

use std::collections::BTreeSet;

use serde_json::Value;

use super::scalar::Scalar;
use super::source::{Diagnostics, Span};
use super::yaml::{Content, Node};
use crate::base::nearest::suggestion;

/// More values than this on one axis are surely a slip.
const MOST_VALUES: u64 = 100_000;

/// How a range is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    Linear,
    Log2,
}

/// Reads the values of the axis `name`: a list, one value, a range `a..b` (both ends included),
/// or `{range: a..b, scale: linear|log2, step: n}`. Ranges over `k` are powers of two unless
/// `scale: linear` says otherwise: the paper's K runs over 1, 2, 4 … 256.
///
/// Every value comes with its place; repeated ones are taken once.
pub fn values(name: &str, node: &Node, diagnostics: &mut Diagnostics) -> Vec<(Scalar, Span)> {
    let mut seen = BTreeSet::new();
    let mut values = column(name, node, diagnostics);
    values.retain(|(value, _)| seen.insert(value.clone()));
    values
}

/// The same with repetitions.
pub fn column(name: &str, node: &Node, diagnostics: &mut Diagnostics) -> Vec<(Scalar, Span)> {
    let default_scale = if name == "k" {
        Scale::Log2
    } else {
        Scale::Linear
    };
    let before = diagnostics.count();
    let values = match &node.content {
        Content::List(items) => {
            let mut values = Vec::new();
            for item in items {
                // A list of ranges may be long in few letters.
                if values.len() as u64 > MOST_VALUES {
                    diagnostics.error(
                        "spec::axis_value",
                        item.span,
                        format!("axis `{name}` has more than {MOST_VALUES} values"),
                    );
                    return Vec::new();
                }
                match &item.content {
                    Content::Scalar(value) => {
                        values.extend(scalar_or_range(
                            name,
                            item,
                            value,
                            default_scale,
                            diagnostics,
                        ));
                    }
                    Content::List(_) | Content::Map(_) => diagnostics.error(
                        "spec::axis_value",
                        item.span,
                        format!("a value of axis `{name}` cannot be {}", item.describe()),
                    ),
                }
            }
            values
        }
        Content::Map(_) => range_map(name, node, default_scale, diagnostics),
        Content::Scalar(value) => scalar_or_range(name, node, value, default_scale, diagnostics),
    };
    if values.is_empty() && diagnostics.count() == before {
        diagnostics.error_with_help(
            "spec::axis_value",
            node.span,
            format!("axis `{name}` has no values"),
            "an axis without values would leave an empty grid; remove the axis or give it values",
        );
    }
    values
}

fn scalar_or_range(
    name: &str,
    node: &Node,
    value: &Value,
    scale: Scale,
    diagnostics: &mut Diagnostics,
) -> Vec<(Scalar, Span)> {
    if let Value::String(text) = value
        && text.contains("..")
    {
        return range(name, node, text, scale, 1, diagnostics);
    }
    if let Some(value) = Scalar::from_json(value) {
        return vec![(value, node.span)];
    }
    diagnostics.error_with_help(
        "spec::axis_value",
        node.span,
        format!("axis `{name}` has no value here"),
        "write a value, or remove the axis",
    );
    Vec::new()
}

fn range_map(
    name: &str,
    node: &Node,
    default_scale: Scale,
    diagnostics: &mut Diagnostics,
) -> Vec<(Scalar, Span)> {
    let mut scale = default_scale;
    let mut step = 1;
    for entry in node.as_map().unwrap_or_default() {
        match entry.key.as_str() {
            "range" => {}
            "scale" => match entry.value.as_str() {
                Some("linear") => scale = Scale::Linear,
                Some("log2") => scale = Scale::Log2,
                other => diagnostics.error_with_help(
                    "spec::range",
                    entry.value.span,
                    format!("{} is not a scale", entry.value.describe()),
                    suggestion(other.unwrap_or_default(), ["linear", "log2"]),
                ),
            },
            "step" => match entry.value.to_json().as_i64() {
                Some(value) if value > 0 => step = value,
                _ => diagnostics.error(
                    "spec::range",
                    entry.value.span,
                    format!(
                        "step must be a whole number above 0, not {}",
                        entry.value.describe()
                    ),
                ),
            },
            other => diagnostics.error_with_help(
                "spec::unknown_key",
                entry.span,
                format!("`{other}` is not a key of a range"),
                suggestion(other, ["range", "scale", "step"]),
            ),
        }
    }
    if let Some(at) = node.get("range")
        && let Some(text) = at.as_str()
    {
        return range(name, at, text, scale, step, diagnostics);
    }
    diagnostics.error_with_help(
        "spec::range",
        node.span,
        format!("axis `{name}` is a mapping without a `range`"),
        "write a list, `a..b`, or {range: a..b, scale: log2}",
    );
    Vec::new()
}

fn range(
    name: &str,
    node: &Node,
    text: &str,
    scale: Scale,
    step: i64,
    diagnostics: &mut Diagnostics,
) -> Vec<(Scalar, Span)> {
    // The paper writes K ∈ <1..256>; its brackets are welcome.
    let bare = text.trim().trim_start_matches('<').trim_end_matches('>');
    let parsed = bare.split_once("..").and_then(|(low, high)| {
        let high = high.trim_start_matches('=');
        Some((
            low.trim().parse::<i64>().ok()?,
            high.trim().parse::<i64>().ok()?,
        ))
    });
    let Some((low, high)) = parsed else {
        diagnostics.error_with_help(
            "spec::range",
            node.span,
            format!("`{text}` is not a range of whole numbers"),
            "write `0..4` for 0, 1, 2, 3, 4 (both ends are included)",
        );
        return Vec::new();
    };
    if low > high {
        diagnostics.error_with_help(
            "spec::range",
            node.span,
            format!("the range `{text}` of axis `{name}` is empty: {low} is above {high}"),
            format!("did you mean `{high}..{low}`?"),
        );
        return Vec::new();
    }
    match scale {
        Scale::Linear => {
            if low.abs_diff(high) / step.unsigned_abs() >= MOST_VALUES {
                diagnostics.error(
                    "spec::range",
                    node.span,
                    format!("the range `{text}` has more than {MOST_VALUES} values"),
                );
                return Vec::new();
            }
            (low..=high)
                .step_by(usize::try_from(step).unwrap_or(1))
                .map(|value| (Scalar::Integer(value), node.span))
                .collect()
        }
        Scale::Log2 => powers_of_two(name, node, low, high, diagnostics),
    }
}

fn powers_of_two(
    name: &str,
    node: &Node,
    low: i64,
    high: i64,
    diagnostics: &mut Diagnostics,
) -> Vec<(Scalar, Span)> {
    if low < 1 {
        diagnostics.error_with_help(
            "spec::range",
            node.span,
            format!("a range of doublings cannot start at {low}"),
            "start at 1 or above, or write {range: a..b, scale: linear}",
        );
        return Vec::new();
    }
    let mut values = Vec::new();
    let mut value = low;
    while value <= high {
        values.push(value);
        match value.checked_mul(2) {
            Some(next) => value = next,
            None => break,
        }
    }
    let last = values.last().copied().unwrap_or(low);
    if last != high {
        diagnostics.error_with_help(
            "spec::range",
            node.span,
            format!("doubling from {low} does not meet {high}: axis `{name}` would end at {last}"),
            format!(
                "write `{low}..{last}` or `{low}..{}`, an explicit list, or {{range: {low}..{high}, \
                 scale: linear}} for every whole number",
                last.saturating_mul(2)
            ),
        );
        return Vec::new();
    }
    values
        .into_iter()
        .map(|value| (Scalar::Integer(value), node.span))
        .collect()
}
