//! Tables of an experiment, one file each: as markdown that also aligns in a terminal, as LaTeX
//! for a paper, and as CSV for other programs.

mod better;
mod block;
mod comparison;
mod latex;

pub(in crate::report) use comparison::missing_lines;

use super::error::ReportError;
use super::input::ReportInput;
use crate::base::nearest::suggestion;

/// A table a report can have.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Its name, and the stem of its file.
    pub name: &'static str,
    /// What it shows, in one sentence.
    pub summary: &'static str,
    /// Writes it as markdown without a title of its own. Where there is nothing to show it says
    /// so in words and names what is missing; it is never blank.
    pub render: fn(&ReportInput<'_>) -> String,
    /// Writes it as LaTeX with booktabs, to be `\\input` into a document.
    pub latex: fn(&ReportInput<'_>) -> String,
    /// Writes it as CSV with a header, every number exact and in its own unit.
    pub csv: fn(&ReportInput<'_>) -> String,
}

/// All tables, in the order a page shows them.
pub const TABLES: &[Table] = &[comparison::TABLE, better::TABLE];

/// Finds a table by its name.
///
/// # Errors
/// [`ReportError::Unknown`] with the nearest name.
pub fn find(name: &str) -> Result<&'static Table, ReportError> {
    TABLES
        .iter()
        .find(|table| table.name == name)
        .ok_or_else(|| ReportError::Unknown {
            what: "table",
            name: name.to_owned(),
            suggestion: suggestion(name, TABLES.iter().map(|table| table.name)),
        })
}
