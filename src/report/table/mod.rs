//! Tables of an experiment, one file each: as markdown that also aligns in a terminal, as LaTeX
//! for a paper, and as CSV for other programs.

mod better;
mod block;
mod comparison;
mod latex;
mod section;
mod systems_across;

pub(in crate::report) use comparison::missing_lines;

use super::error::ReportError;
use super::input::ReportInput;
use crate::base::nearest::suggestion;
use crate::results::Cell;

/// A table a report can have.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Its name, and the stem of its file.
    pub name: &'static str,
    /// What it shows, in one sentence.
    pub summary: &'static str,
    /// Whether a report has it that names no tables.
    pub by_default: bool,
    /// Writes it as markdown without a title of its own. Where there is nothing to show it says
    /// so in words and names what is missing; it is never blank.
    pub render: fn(&ReportInput<'_>) -> Result<String, ReportError>,
    /// Writes it as LaTeX with booktabs, to be `\\input` into a document.
    pub latex: fn(&ReportInput<'_>) -> Result<String, ReportError>,
    /// Writes it as CSV with a header, every number exact and in its own unit.
    pub csv: fn(&ReportInput<'_>) -> String,
    /// The same place by place, for the page one can point at; empty for a table that is better
    /// read as it is rendered.
    pub blocks: fn(&ReportInput<'_>) -> Vec<TableBlock>,
}

/// A piece of a table, place by place.
#[derive(Debug, Clone)]
pub struct TableBlock {
    /// What it is about.
    pub title: String,
    /// Metric, unit, split, seeds.
    pub about: String,
    /// What is to be said below it.
    pub notes: Vec<String>,
    /// Whether more is better, where the metric has a direction.
    pub higher_is_better: Option<bool>,
    /// What stands over the names of the rows.
    pub corner: String,
    /// The other columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<BlockRow>,
}

/// A row of a [`TableBlock`].
#[derive(Debug, Clone)]
pub struct BlockRow {
    /// Its name.
    pub name: String,
    /// Whether it is a trivial baseline.
    pub trivial: bool,
    /// Its places, by column.
    pub places: Vec<BlockPlace>,
}

/// A place of a [`TableBlock`].
#[derive(Debug, Clone, Default)]
pub struct BlockPlace {
    /// What stands there.
    pub text: String,
    /// The mean in the metric's own unit.
    pub value: Option<f64>,
    /// `best`, `second` or empty.
    pub mark: &'static str,
    /// Whether it has a dagger.
    pub dagger: bool,
    /// The paper's value with the difference to it; empty where there is none.
    pub paper: String,
    /// The cell of the result set it is the mean of.
    pub cell: Option<Cell>,
}

/// All tables, in the order a page shows them.
pub const TABLES: &[Table] = &[comparison::TABLE, better::TABLE, systems_across::TABLE];

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
