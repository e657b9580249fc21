//! A value of an axis: a whole number, a fraction, a truth value or a text.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Value;

/// A value of an axis.
#[derive(Debug, Clone)]
pub enum Scalar {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A finite fraction.
    Float(f64),
    /// A text.
    Text(String),
}

impl Scalar {
    /// Reads a JSON scalar; `None` for null, lists and maps.
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(Self::Bool(*value)),
            Value::Number(number) => number
                .as_i64()
                .map(Self::Integer)
                .or_else(|| number.as_f64().map(Self::Float)),
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Bool(_) => 0,
            Self::Integer(_) => 1,
            Self::Float(_) => 2,
            Self::Text(_) => 3,
        }
    }

    /// The same value as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Integer(value) => Value::from(*value),
            Self::Float(value) => Value::from(*value),
            Self::Text(text) => Value::String(text.clone()),
        }
    }

    /// Whether `text`, as typed on a command line, means this value (`0.001` and `1e-3` agree).
    #[must_use]
    pub fn is_written(&self, text: &str) -> bool {
        match self {
            Self::Integer(value) => text.parse() == Ok(*value),
            Self::Float(value) => text.parse::<f64>() == Ok(*value),
            Self::Bool(value) => text.parse() == Ok(*value),
            Self::Text(own) => own == text,
        }
    }
}

/// Texts after numbers after truth values, so that many cells can be looked up quickly.
impl Ord for Scalar {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(one), Self::Bool(two)) => one.cmp(two),
            (Self::Integer(one), Self::Integer(two)) => one.cmp(two),
            (Self::Float(one), Self::Float(two)) => one.total_cmp(two),
            (Self::Text(one), Self::Text(two)) => one.cmp(two),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scalar {}

impl fmt::Display for Scalar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(formatter, "{value}"),
            Self::Integer(value) => write!(formatter, "{value}"),
            Self::Float(value) if *value != 0.0 && value.abs() < 1e-3 => {
                write!(formatter, "{value:e}")
            }
            Self::Float(value) => write!(formatter, "{value}"),
            Self::Text(text) => formatter.write_str(text),
        }
    }
}
