//! Series as markers joined by lines, with error bars.
//!
//! Systems are set a little apart at each tick, since their error bars would cover each other.

use plotters::prelude::DrawingBackend;

use super::chart::ChartSeries;
use super::panel::PanelFrame;
use crate::chart::canvas::Canvas;

/// From our marker to the paper's, so that neither covers the other where they agree.
pub(super) const PAPER_ASIDE: f64 = 8.0;
pub(super) const MARKER_RADIUS: f64 = 7.0;

pub(super) fn paint<B: DrawingBackend>(
    canvas: &Canvas<B>,
    frame: &PanelFrame,
    series: &[ChartSeries],
) -> Result<(), String> {
    for one in series {
        if let Some(level) = &one.level {
            let across = frame.across(level.mean);
            canvas.line(&across, one.look.colour, 2.2, one.look.dashes)?;
            if let Some(marker) = one.look.marker {
                for end in across {
                    let inward = if end.0 > frame.left { -22.0 } else { 22.0 };
                    let at = (end.0 + inward, end.1);
                    canvas.marker(marker, at, MARKER_RADIUS, one.look.colour)?;
                }
            }
        }
        if one.trivial {
            yardstick(canvas, frame, one)?;
        }
    }
    let systems: Vec<&ChartSeries> = series
        .iter()
        .filter(|one| !one.trivial)
        .filter(|one| !one.points.is_empty() || !one.paper.is_empty())
        .collect();
    let apart = (frame.tick_distance() * 0.6 / systems.len().max(1) as f64).min(16.0);
    let offset = |index: usize| (index as f64 - (systems.len() as f64 - 1.0) / 2.0) * apart;
    let dodged = || {
        let systems = systems.iter().enumerate();
        systems.map(|(index, series)| (offset(index), *series))
    };
    // In layers: no bar or line covers a marker, and no hollow marker one of ours.
    for (shift, series) in dodged() {
        let points: Vec<(f64, f64)> = series
            .points
            .iter()
            .map(|point| (frame.x(point.tick) + shift, frame.y(point.mean)))
            .collect();
        if points.len() > 1 {
            canvas.line(&points, series.look.colour, 2.6, series.look.dashes)?;
        }
        for (point, &(x, _)) in series.points.iter().zip(&points) {
            let Some(spread) = point.spread else { continue };
            let (low, high) = (frame.y(point.mean - spread), frame.y(point.mean + spread));
            whisker(canvas, x, low, high, series)?;
        }
    }
    for (shift, series) in dodged() {
        if let Some(marker) = series.look.marker {
            for &(tick, value) in &series.paper {
                let at = (frame.x(tick) + shift + PAPER_ASIDE, frame.y(value));
                canvas.hollow_marker(marker, at, MARKER_RADIUS, series.look.colour)?;
            }
        }
    }
    for (shift, series) in dodged() {
        if let Some(marker) = series.look.marker {
            for point in &series.points {
                let at = (frame.x(point.tick) + shift, frame.y(point.mean));
                canvas.marker(marker, at, MARKER_RADIUS, series.look.colour)?;
            }
        }
    }
    Ok(())
}

fn whisker<B: DrawingBackend>(
    canvas: &Canvas<B>,
    x: f64,
    low: f64,
    high: f64,
    series: &ChartSeries,
) -> Result<(), String> {
    let colour = series.look.colour;
    canvas.line(&[(x, low), (x, high)], colour, 1.8, &[])?;
    for end in [low, high] {
        canvas.line(&[(x - 4.5, end), (x + 4.5, end)], colour, 1.8, &[])?;
    }
    Ok(())
}

/// A yardstick that depends on the tick: a line through its values, which a single tick makes level.
fn yardstick<B: DrawingBackend>(
    canvas: &Canvas<B>,
    frame: &PanelFrame,
    series: &ChartSeries,
) -> Result<(), String> {
    let points: Vec<(f64, f64)> = match series.points.as_slice() {
        [] => return Ok(()),
        [only] if frame.ticks.len() == 1 => frame.across(only.mean).to_vec(),
        several => several
            .iter()
            .map(|point| (frame.x(point.tick), frame.y(point.mean)))
            .collect(),
    };
    canvas.line(&points, series.look.colour, 2.2, series.look.dashes)
}
