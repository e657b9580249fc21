//! Figures of an experiment, one file each, as PNG and SVG of the same drawing.
//!
//! Drawn with plotters' primitives on a canvas in logical pixels: placing axes and legends
//! ourselves is what makes ticks stand exactly at the K values and legends beside the data.
//! The fonts are in the program, so a figure is the same on every machine.

mod auc_by_shots;
mod legend;
mod look;
mod panel;

use super::error::ReportError;
use super::input::ReportInput;
use crate::base::nearest::suggestion;
pub use crate::chart::Drawing;

/// A figure a report can have.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// Its name, and the stem of its files.
    pub name: &'static str,
    /// What it shows, in one sentence.
    pub summary: &'static str,
    /// Draws it, or says what is missing; never blank.
    pub draw: fn(&ReportInput<'_>) -> Result<Drawing, ReportError>,
}

/// All figures, in the order a page shows them.
pub const FIGURES: &[Figure] = &[auc_by_shots::FIGURE];

/// Finds a figure by its name.
///
/// # Errors
/// [`ReportError::Unknown`] with the nearest name.
pub fn find(name: &str) -> Result<&'static Figure, ReportError> {
    FIGURES
        .iter()
        .find(|figure| figure.name == name)
        .ok_or_else(|| ReportError::Unknown {
            what: "figure",
            name: name.to_owned(),
            suggestion: suggestion(name, FIGURES.iter().map(|figure| figure.name)),
        })
}
