//! The text form of a result set, `results.csv`.
//!
//! Written so that git diffs it well: one row a line, sorted, LF, and floats with the fewest
//! digits that read back to the same bits (always with a point or an exponent, so that a column
//! of floats never looks like whole numbers). An undefined value is an empty field, and so are
//! an absent variant and an absent K.

use std::str::FromStr;

use super::error::ResultError;
use super::row::ResultRow;
use super::set::ResultSet;

/// The columns in their order.
pub const COLUMNS: [&str; 12] = [
    "experiment",
    "method",
    "variant",
    "train_domain",
    "test_domain",
    "k",
    "seed",
    "split",
    "metric",
    "value",
    "n",
    "stage_key",
];

pub(super) fn write(set: &ResultSet) -> String {
    let mut text = COLUMNS.join(",");
    text.push('\n');
    for row in set.rows() {
        let fields: [String; 12] = [
            escape(&row.experiment),
            escape(&row.method),
            row.variant.as_deref().map(escape).unwrap_or_default(),
            escape(&row.train_domain),
            escape(&row.test_domain),
            row.k.map(|k| k.to_string()).unwrap_or_default(),
            row.seed.to_string(),
            escape(&row.split),
            escape(&row.metric),
            // Debug, unlike Display, keeps `.0` and is exact and shortest.
            row.value
                .map(|value| format!("{value:?}"))
                .unwrap_or_default(),
            row.n.to_string(),
            row.stage_key.hex(),
        ];
        text.push_str(&fields.join(","));
        text.push('\n');
    }
    text
}

/// Quotes a field where CSV (RFC 4180) asks for it.
fn escape(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) || field.starts_with(' ') || field.ends_with(' ') {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

pub(super) fn read(label: &str, bytes: &[u8]) -> Result<ResultSet, ResultError> {
    let bad_line = |line: usize, problem: &str| ResultError::Line {
        label: label.to_owned(),
        line,
        problem: problem.to_owned(),
    };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        bad_line(line, "is not UTF-8")
    })?;
    let mut lines = text.lines().enumerate();
    let header = lines.next().map_or("", |(_, line)| line);
    if header != COLUMNS.join(",") {
        return Err(ResultError::Header {
            label: label.to_owned(),
            found: header.chars().take(200).collect(),
            expected: COLUMNS.join(","),
        });
    }
    let mut placed = Vec::new();
    for (index, line) in lines {
        let number = index + 1;
        let fields =
            split(line).ok_or_else(|| bad_line(number, "has a quote that is not closed"))?;
        if fields.len() != COLUMNS.len() {
            let problem = format!(
                "has {} fields, and not {}: `{}`",
                fields.len(),
                COLUMNS.len(),
                line.chars().take(120).collect::<String>()
            );
            return Err(bad_line(number, &problem));
        }
        let line = Line {
            label,
            number,
            fields,
        };
        placed.push((format!("{label}:{number}"), line.row()?));
    }
    ResultSet::from_placed(placed)
}

/// Splits a line at its commas and gives each field with the character it starts at, from 1.
///
/// A field never holds a newline (a set refuses them), so a line is a record. None if a quote
/// stays open or text follows a closing quote.
fn split(line: &str) -> Option<Vec<(usize, String)>> {
    let mut fields = Vec::with_capacity(COLUMNS.len());
    let mut characters = line.chars().enumerate().peekable();
    loop {
        let start = characters
            .peek()
            .map_or(line.chars().count(), |(at, _)| *at)
            + 1;
        let mut field = String::new();
        if characters.next_if(|(_, c)| *c == '"').is_some() {
            loop {
                match characters.next()?.1 {
                    '"' if characters.next_if(|(_, c)| *c == '"').is_some() => field.push('"'),
                    '"' => break,
                    other => field.push(other),
                }
            }
        } else {
            while let Some((_, other)) = characters.next_if(|(_, c)| *c != ',') {
                field.push(other);
            }
        }
        fields.push((start, field));
        match characters.next() {
            None => return Some(fields),
            Some((_, ',')) => {}
            Some(_) => return None,
        }
    }
}

struct Line<'a> {
    label: &'a str,
    number: usize,
    fields: Vec<(usize, String)>,
}

impl Line<'_> {
    fn row(&self) -> Result<ResultRow, ResultError> {
        Ok(ResultRow {
            experiment: self.name(0)?,
            method: self.name(1)?,
            variant: self.optional(2, "a name")?,
            train_domain: self.name(3)?,
            test_domain: self.name(4)?,
            k: self.optional(5, "a whole number (or empty, where there is no K)")?,
            seed: self.parse(6, "a whole number")?,
            split: self.name(7)?,
            metric: self.name(8)?,
            value: self.value(9)?,
            n: self.parse(10, "a whole number")?,
            stage_key: self.parse(11, "a stage key of 64 lower-case hexadecimal digits")?,
        })
    }

    fn name(&self, column: usize) -> Result<String, ResultError> {
        match self.text(column) {
            "" => Err(self.error(column, "a name: it is empty")),
            text => Ok(text.to_owned()),
        }
    }

    fn value(&self, column: usize) -> Result<Option<f64>, ResultError> {
        let expected = "a finite number (an undefined value is an empty field)";
        match self.optional::<f64>(column, expected)? {
            Some(value) if !value.is_finite() => Err(self.error(column, expected)),
            value => Ok(value),
        }
    }

    fn optional<T: FromStr>(
        &self,
        column: usize,
        expected: &'static str,
    ) -> Result<Option<T>, ResultError> {
        if self.text(column).is_empty() {
            return Ok(None);
        }
        self.parse(column, expected).map(Some)
    }

    fn parse<T: FromStr>(&self, column: usize, expected: &'static str) -> Result<T, ResultError> {
        self.text(column)
            .parse()
            .map_err(|_| self.error(column, expected))
    }

    fn text(&self, column: usize) -> &str {
        self.fields.get(column).map_or("", |(_, text)| text)
    }

    fn error(&self, column: usize, expected: &'static str) -> ResultError {
        ResultError::Field {
            label: self.label.to_owned(),
            line: self.number,
            column: self.fields.get(column).map_or(1, |(start, _)| *start),
            field: COLUMNS.get(column).copied().unwrap_or(""),
            value: self.text(column).to_owned(),
            expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_as_csv_says() {
        let split = |line| split(line).expect("closed quotes");
        let own = |fields: &[(usize, &str)]| -> Vec<(usize, String)> {
            fields
                .iter()
                .map(|(start, text)| (*start, (*text).to_owned()))
                .collect()
        };
        assert_eq!(split("a,,b"), own(&[(1, "a"), (3, ""), (4, "b")]));
        assert_eq!(
            split("é,\"x,\"\"y\",\"\""),
            own(&[(1, "é"), (3, "x,\"y"), (11, "")])
        );
        assert_eq!(split("a,"), own(&[(1, "a"), (3, "")]));
        assert_eq!(split(""), own(&[(1, "")]));
        assert!(super::split("\"a").is_none());
        assert!(super::split("\"a\"b,c").is_none());
    }
}
