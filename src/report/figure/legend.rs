//! A legend below the panels, in as many even columns as fit.

use plotters::prelude::DrawingBackend;

use super::bars::rectangle;
use super::look::Look;
use crate::chart::canvas::{Align, Canvas, Point, Writing};
use crate::chart::palette::INK;

/// Height of a line of the legend.
pub(super) const LINE_HEIGHT: f64 = 36.0;

const SAMPLE_WIDTH: f64 = 62.0;
const GAP: f64 = 12.0;
const BETWEEN: f64 = 34.0;
const EXTRA: f64 = SAMPLE_WIDTH + GAP + BETWEEN;
const WRITING: Writing = Writing {
    size: 22.0,
    bold: false,
    colour: INK,
};

/// One entry of a legend.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LegendEntry {
    pub(super) look: Look,
    pub(super) text: String,
    pub(super) sample: Sample,
}

/// What stands before the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sample {
    /// A line with its marker.
    Line,
    /// A hollow marker alone.
    Hollow,
    /// A piece of a bar.
    Bar,
    /// Nothing: there is nothing of it in the figure.
    Nothing,
}

impl LegendEntry {
    pub(super) fn new(look: Look, text: &str, sample: Sample) -> Self {
        Self {
            look,
            text: text.to_owned(),
            sample,
        }
    }
}

/// How many lines a legend takes in a width.
pub(super) fn lines(entries: &[LegendEntry], width: f64) -> usize {
    entries.len().div_ceil(columns(entries, width))
}

/// The most columns that fit. Estimated by characters, since the height of a picture must be
/// known before there is a canvas to measure on; it errs on the wide side.
fn columns(entries: &[LegendEntry], width: f64) -> usize {
    let most = entries.len().max(1);
    (1..=most)
        .rev()
        .find(|&columns| {
            let widths: f64 = (0..columns)
                .map(|column| {
                    let texts = entries.iter().skip(column).step_by(columns);
                    let longest = texts.map(|entry| entry.text.chars().count()).max();
                    longest.unwrap_or(0) as f64 * WRITING.size * 0.48 + EXTRA
                })
                .sum();
            widths - BETWEEN <= width
        })
        .unwrap_or(1)
}

/// Draws the entries in reading order, centred between left and right.
pub(super) fn paint<B: DrawingBackend>(
    canvas: &Canvas<B>,
    entries: &[LegendEntry],
    (left, top): Point,
    right: f64,
) -> Result<(), String> {
    let lines = lines(entries, right - left).max(1);
    let columns = entries.len().div_ceil(lines).max(1);
    let mut widths = vec![0.0_f64; columns];
    for (index, entry) in entries.iter().enumerate() {
        let width = &mut widths[index % columns];
        *width = width.max(canvas.text_width(&entry.text, WRITING)?);
    }
    let whole = widths.iter().map(|width| width + EXTRA).sum::<f64>() - BETWEEN;
    let start = left + ((right - left - whole) / 2.0).max(0.0);
    for (index, entry) in entries.iter().enumerate() {
        let column = index % columns;
        let before: f64 = widths[..column].iter().map(|width| width + EXTRA).sum();
        let x = start + before;
        let y = top + LINE_HEIGHT * ((index / columns) as f64 + 0.5);
        let middle = (x + SAMPLE_WIDTH / 2.0, y);
        let Look {
            colour,
            marker,
            dashes,
            hatch,
        } = entry.look;
        match entry.sample {
            Sample::Line => {
                let ends = [(x, y), (x + SAMPLE_WIDTH, y)];
                canvas.line(&ends, colour, 2.6, dashes)?;
                if let Some(marker) = marker {
                    canvas.marker(marker, middle, 7.5, colour)?;
                }
            }
            Sample::Hollow => {
                if let Some(marker) = marker {
                    canvas.hollow_marker(marker, middle, 7.5, colour)?;
                }
            }
            Sample::Bar => {
                let corners = [(x + 8.0, y - 11.0), (x + SAMPLE_WIDTH - 8.0, y + 11.0)];
                rectangle(canvas, corners, colour, hatch)?;
            }
            Sample::Nothing => {}
        }
        let at = (x + SAMPLE_WIDTH + GAP, y);
        canvas.text(&entry.text, at, Align::Left, WRITING)?;
    }
    Ok(())
}
