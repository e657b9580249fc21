//! Why rows are not a result set.

/// Why rows are not a result set, or a text is not a result file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResultError {
    /// The first line is not the header of a result file.
    #[error("{label}:1:1: the header is `{found}`, and not `{expected}`")]
    Header {
        /// What was read.
        label: String,
        /// The first line.
        found: String,
        /// The header.
        expected: String,
    },
    /// A line has too many or too few fields, or its quotes do not match.
    #[error("{label}:{line}:1: the line {problem}")]
    Line {
        /// What was read.
        label: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A field does not have the form its column asks for.
    #[error("{label}:{line}:{column}: `{value}` in column `{field}` is not {expected}")]
    Field {
        /// What was read.
        label: String,
        /// The line, from 1.
        line: usize,
        /// The character in the line, from 1.
        column: usize,
        /// Name of the column.
        field: &'static str,
        /// What stands there.
        value: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// Two rows are about the same cell.
    #[error(
        "two results for one cell, {cell}: {first} and {second}; a result set has one number per \
         cell, so one of them must go"
    )]
    Duplicate {
        /// The cell.
        cell: String,
        /// Where the one row stands, its value and its stage.
        first: String,
        /// The same of the other.
        second: String,
    },
    /// A row cannot be written so that it reads back the same.
    #[error("{field} `{value}` of {cell} is not {expected}")]
    Row {
        /// Name of the field.
        field: &'static str,
        /// What it holds.
        value: String,
        /// The cell.
        cell: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// The text is not JSON of a result set.
    #[error("{label}: {problem}")]
    Json {
        /// What was read.
        label: String,
        /// What the JSON reader says, with line and column.
        problem: String,
    },
}
