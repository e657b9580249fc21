//! Rows that are sorted, unique and can be written: a result set.

use serde::Serialize;

use super::csv;
use super::error::ResultError;
use super::row::ResultRow;
use crate::base::Digest;

/// Sorted rows, at most one for a cell. Every row can be written and reads back the same.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct ResultSet {
    rows: Vec<ResultRow>,
}

impl ResultSet {
    /// Sorts and checks rows.
    ///
    /// # Errors
    /// [`ResultError::Duplicate`] for two rows of one cell, [`ResultError::Row`] for a row that
    /// could not be written as one line of a file that reads back the same.
    pub fn from_rows(rows: impl IntoIterator<Item = ResultRow>) -> Result<Self, ResultError> {
        let placed = rows.into_iter().map(|row| (String::new(), row)).collect();
        Self::from_placed(placed)
    }

    /// As [`from_rows`](Self::from_rows), with where each row stands for the error messages.
    pub(super) fn from_placed(mut placed: Vec<(String, ResultRow)>) -> Result<Self, ResultError> {
        for (_, row) in &placed {
            check(row)?;
        }
        placed.sort_by(|(_, left), (_, right)| left.compare(right));
        for pair in placed.windows(2) {
            if let [first, second] = pair
                && first.1.compare(&second.1).is_eq()
            {
                return Err(ResultError::Duplicate {
                    cell: first.1.describe(),
                    first: quote(first),
                    second: quote(second),
                });
            }
        }
        Ok(Self {
            rows: placed.into_iter().map(|(_, row)| row).collect(),
        })
    }

    /// The rows, sorted.
    #[must_use]
    pub fn rows(&self) -> &[ResultRow] {
        &self.rows
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Both sets in one.
    ///
    /// # Errors
    /// [`ResultError::Duplicate`] if both have a row for one cell.
    pub fn merge(self, other: Self) -> Result<Self, ResultError> {
        Self::from_rows(self.rows.into_iter().chain(other.rows))
    }

    /// The text of `results.csv`: a header, then one row a line, sorted, with LF.
    #[must_use]
    pub fn to_csv(&self) -> String {
        csv::write(self)
    }

    /// Reads the bytes of a `results.csv`; `label` is how errors name the source.
    ///
    /// # Errors
    /// A [`ResultError`] that names line, column and value.
    pub fn from_csv(label: &str, bytes: &[u8]) -> Result<Self, ResultError> {
        csv::read(label, bytes)
    }

    /// The rows as a JSON array of objects, indented, ending in a newline. Undefined values and
    /// absent fields are `null`.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Rows hold only texts, whole numbers and finite floats, none of which can fail.
        let mut text = serde_json::to_string_pretty(&self.rows).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Reads what [`to_json`](Self::to_json) writes; `label` is how errors name the source.
    ///
    /// # Errors
    /// [`ResultError::Json`] with line and column, or what [`from_rows`](Self::from_rows) gives.
    pub fn from_json(label: &str, bytes: &[u8]) -> Result<Self, ResultError> {
        let rows: Vec<ResultRow> =
            serde_json::from_slice(bytes).map_err(|error| ResultError::Json {
                label: label.to_owned(),
                problem: error.to_string(),
            })?;
        Self::from_rows(rows)
    }

    /// The hash of the text of `results.csv`.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of_bytes(self.to_csv().as_bytes())
    }
}

fn quote((place, row): &(String, ResultRow)) -> String {
    let value = row
        .value
        .map_or_else(|| "undefined".to_owned(), |value| format!("{value:?}"));
    let place = if place.is_empty() {
        String::new()
    } else {
        format!("{place}, ")
    };
    format!("{value} ({place}stage {})", row.stage_key.short())
}

fn check(row: &ResultRow) -> Result<(), ResultError> {
    let error = |field, value: &str, expected| ResultError::Row {
        field,
        value: value.to_owned(),
        cell: row.describe(),
        expected,
    };
    let required = [
        ("experiment", &row.experiment),
        ("method", &row.method),
        ("train_domain", &row.train_domain),
        ("test_domain", &row.test_domain),
        ("split", &row.split),
        ("metric", &row.metric),
    ];
    let variant = row.variant.iter().map(|variant| ("variant", variant));
    for (field, text) in required.into_iter().chain(variant) {
        // An empty variant would read back as none, a newline would be two lines.
        if text.is_empty() {
            return Err(error(field, text, "a name: it is empty"));
        }
        if text.chars().any(char::is_control) {
            return Err(error(
                field,
                text,
                "a name: it has a control character in it",
            ));
        }
    }
    match row.value {
        Some(value) if !value.is_finite() => Err(error(
            "value",
            &value.to_string(),
            "a finite number (an undefined value is `None`)",
        )),
        _ => Ok(()),
    }
}
