//! Series as bars side by side at each tick.
//!
//! Bars begin at chance where the metric has one: their length is then what a system knows, and a
//! cut axis does not flatter it. Each has a hatching of its own, so that a figure reads in grey.

use plotters::prelude::DrawingBackend;
use plotters::style::{RGBColor, WHITE};

use super::chart::ChartSeries;
use super::look::Hatch;
use super::panel::PanelFrame;
use crate::chart::canvas::{Align, Canvas, Writing};
use crate::chart::palette::{INK, QUIET};

const MARKER_RADIUS: f64 = 6.0;
/// Between lines of a hatching.
const HATCH_STEP: f64 = 9.0;
/// The share of the distance between ticks that bars take.
const FILLED: f64 = 0.84;
const NUMBERS: Writing = Writing {
    size: 17.0,
    bold: false,
    colour: INK,
};

pub(super) fn paint<B: DrawingBackend>(
    canvas: &Canvas<B>,
    frame: &PanelFrame,
    series: &[ChartSeries],
    chance: Option<f64>,
) -> Result<(), String> {
    let systems: Vec<&ChartSeries> = series.iter().filter(|one| !one.trivial).collect();
    let width = (frame.tick_distance() * FILLED / systems.len().max(1) as f64).min(90.0);
    let ground = chance.map_or(frame.bottom, |chance| frame.y(chance));
    for (index, one) in systems.iter().enumerate() {
        let shift = (index as f64 - (systems.len() as f64 - 1.0) / 2.0) * width;
        for tick in 0..frame.ticks.len() {
            let middle = frame.x(tick) + shift;
            let half = width / 2.0 - 1.5;
            let own = one.points.iter().find(|point| point.tick == tick);
            match own.or(one.level.as_ref()) {
                Some(point) => {
                    let top = frame.y(point.mean);
                    let bar = [(middle - half, ground), (middle + half, top)];
                    paint_bar(canvas, bar, one)?;
                    let mut above = top.min(ground);
                    if let Some(spread) = point.spread {
                        let ends = [point.mean - spread, point.mean + spread].map(|y| frame.y(y));
                        canvas.line(&ends.map(|y| (middle, y)), INK, 2.0, &[])?;
                        for y in ends {
                            let cap = [(middle - 5.0, y), (middle + 5.0, y)];
                            canvas.line(&cap, INK, 2.0, &[])?;
                        }
                        above = above.min(ends[1]);
                    }
                    // Narrow bars have no room for numbers; the table has them.
                    if width >= 44.0 {
                        let text = format!("{:.1}", point.mean);
                        canvas.text(&text, (middle, above - 12.0), Align::Centre, NUMBERS)?;
                    }
                }
                None if one.paper.iter().all(|(of, _)| *of != tick) => {
                    let writing = Writing {
                        colour: QUIET,
                        ..NUMBERS
                    };
                    let at = (middle, ground - 46.0);
                    canvas.text("no result", at, Align::Upwards, writing)?;
                }
                None => {}
            }
            for (_, value) in one.paper.iter().filter(|(of, _)| *of == tick) {
                let at = (middle, frame.y(*value));
                canvas.hollow_marker(crate::chart::Marker::Circle, at, MARKER_RADIUS, INK)?;
            }
        }
    }
    // A yardstick is a line across, as in every figure, over the bars that are longer.
    for one in series.iter().filter(|one| one.trivial) {
        if let Some(point) = &one.level {
            canvas.line(
                &frame.across(point.mean),
                one.look.colour,
                2.2,
                one.look.dashes,
            )?;
        }
        let reach = frame.tick_distance() * FILLED / 2.0;
        for point in &one.points {
            let (x, y) = (frame.x(point.tick), frame.y(point.mean));
            let ends = [(x - reach, y), (x + reach, y)];
            canvas.line(&ends, one.look.colour, 2.2, one.look.dashes)?;
        }
    }
    Ok(())
}

fn paint_bar<B: DrawingBackend>(
    canvas: &Canvas<B>,
    bar: [(f64, f64); 2],
    series: &ChartSeries,
) -> Result<(), String> {
    let colour = series.look.colour;
    rectangle(canvas, bar, colour, series.look.hatch)
}

/// A filled rectangle between two corners, with hatching and a thin outline.
pub(super) fn rectangle<B: DrawingBackend>(
    canvas: &Canvas<B>,
    [one, other]: [(f64, f64); 2],
    colour: RGBColor,
    hatch: Option<Hatch>,
) -> Result<(), String> {
    let (left, right) = (one.0.min(other.0), one.0.max(other.0));
    let (top, bottom) = (one.1.min(other.1), one.1.max(other.1));
    let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
    canvas.fill(&corners, colour)?;
    if let Some(hatch) = hatch {
        for line in hatch_lines((left, top), (right, bottom), hatch) {
            canvas.line(&line, WHITE, 1.6, &[])?;
        }
    }
    let closed = [corners[0], corners[1], corners[2], corners[3], corners[0]];
    canvas.line(&closed, INK, 1.2, &[])
}

/// The lines of a hatching, cut to the rectangle.
fn hatch_lines(
    (left, top): (f64, f64),
    (right, bottom): (f64, f64),
    hatch: Hatch,
) -> Vec<[(f64, f64); 2]> {
    let mut lines = Vec::new();
    let (width, height) = (right - left, bottom - top);
    let mut slanted = |rising: bool| {
        let mut offset = HATCH_STEP / 2.0;
        while offset < width + height {
            // From the upper or left edge to the lower or right one, along a diagonal.
            let begin = offset.min(width);
            let from = (begin, offset - begin);
            let end = offset.min(height);
            let to = (offset - end, end);
            let place = |(x, y): (f64, f64)| {
                let x = if rising { x } else { width - x };
                (left + x, top + y)
            };
            lines.push([place(from), place(to)]);
            offset += HATCH_STEP * std::f64::consts::SQRT_2;
        }
    };
    match hatch {
        Hatch::Rising => slanted(true),
        Hatch::Falling => slanted(false),
        Hatch::Crossed => {
            slanted(true);
            slanted(false);
        }
        Hatch::Level => {
            let mut y = top + HATCH_STEP / 2.0;
            while y < bottom {
                lines.push([(left, y), (right, y)]);
                y += HATCH_STEP;
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hatchings_stay_inside_their_bar() {
        for hatch in [Hatch::Rising, Hatch::Falling, Hatch::Crossed, Hatch::Level] {
            let lines = hatch_lines((10.0, 20.0), (40.0, 95.0), hatch);
            assert!(lines.len() > 4, "{hatch:?}");
            for (x, y) in lines.into_iter().flatten() {
                assert!(
                    (10.0..=40.0).contains(&x) && (20.0..=95.0).contains(&y),
                    "{hatch:?}"
                );
            }
        }
    }
}
