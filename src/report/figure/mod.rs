//! Figures of an experiment, one file each, as PNG and SVG of the same drawing.
//!
//! A figure's file gathers a [`FigureChart`]; how that becomes ink is the same for all of them.
//! Drawn with plotters' primitives on a canvas in logical pixels: placing axes and legends
//! ourselves is what makes ticks stand exactly at the K values and legends beside the data.
//! The fonts are in the program, so a figure is the same on every machine.

mod auc_by_shots;
mod bars;
mod by_train_domain;
pub mod chart;
mod legend;
mod lines;
mod look;
mod panel;
mod zero_shot;

use super::error::ReportError;
use super::input::ReportInput;
use crate::base::nearest::suggestion;
pub use crate::chart::Drawing;
use crate::chart::canvas::draw as draw_scene;
pub use chart::FigureChart;

/// A figure a report can have.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// Its name, and the stem of its files.
    pub name: &'static str,
    /// What it shows, in one sentence.
    pub summary: &'static str,
    /// Gathers what it shows, or says what is missing; never blank.
    pub gather: fn(&ReportInput<'_>) -> Result<FigureChart, String>,
}

impl Figure {
    /// What it shows of an input.
    ///
    /// # Errors
    /// [`ReportError::NothingToDraw`] with what is missing.
    pub fn chart(&self, input: &ReportInput<'_>) -> Result<FigureChart, ReportError> {
        let mut chart = (self.gather)(input).map_err(|missing| ReportError::NothingToDraw {
            figure: self.name,
            missing,
        })?;
        chart.with_care = !input.guards.is_empty();
        if let Some(title) = &input.title {
            chart.title.clone_from(title);
        }
        Ok(chart)
    }

    /// Draws a chart of its own.
    ///
    /// # Errors
    /// [`ReportError::Drawing`] if drawing itself fails.
    pub fn draw_chart(&self, chart: &FigureChart) -> Result<Drawing, ReportError> {
        draw_scene(chart).map_err(|message| ReportError::Drawing {
            figure: self.name,
            message,
        })
    }

    /// Draws what it shows of an input.
    ///
    /// # Errors
    /// [`ReportError::NothingToDraw`] with what is missing, [`ReportError::Drawing`] if drawing
    /// itself fails.
    pub fn draw(&self, input: &ReportInput<'_>) -> Result<Drawing, ReportError> {
        self.draw_chart(&self.chart(input)?)
    }
}

/// All figures, in the order a page shows them.
pub const FIGURES: &[Figure] = &[
    auc_by_shots::FIGURE,
    zero_shot::FIGURE,
    by_train_domain::FIGURE,
];

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
