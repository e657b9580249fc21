//! Panels of lines one above the other, over one axis of numbers.

use plotters::prelude::DrawingBackend;

use super::canvas::{Align, Canvas, Scene, Writing};
use super::palette::{Colour, GRID, INK, QUIET};
use super::{Dashes, Marker};

/// A line through points, in the order of x.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// What it is, for the legend; empty for a line that has none.
    pub name: String,
    /// Its colour.
    pub colour: Colour,
    /// Its width in logical pixels.
    pub width: f64,
    /// Its dashes.
    pub dashes: Dashes,
    /// A marker at each point.
    pub marker: Option<Marker>,
    /// x and y; points that are not finite are left out.
    pub points: Vec<(f64, f64)>,
}

/// Lines that share a y axis.
#[derive(Debug, Clone, PartialEq)]
pub struct LinePanel {
    /// What y is, with its unit.
    pub y_label: String,
    /// The lines, the first at the bottom.
    pub lines: Vec<Line>,
}

/// A chart of panels over one x axis.
#[derive(Debug, Clone, PartialEq)]
pub struct LineChart {
    /// What is shown.
    pub title: String,
    /// What to know about it; may be empty.
    pub subtitle: String,
    /// What x is, with its unit.
    pub x_label: String,
    /// The panels from top to bottom.
    pub panels: Vec<LinePanel>,
    /// An x of note, and what it is.
    pub marked: Option<(f64, String)>,
}

const WIDTH: f64 = 960.0;
const LEFT: f64 = 112.0;
const RIGHT: f64 = 930.0;
const TOP: f64 = 118.0;
const PANEL: f64 = 250.0;
const BETWEEN: f64 = 52.0;
const BELOW: f64 = 128.0;
const TICK: Writing = Writing {
    size: 20.0,
    bold: false,
    colour: INK,
};

impl Scene for LineChart {
    fn size(&self) -> (u32, u32) {
        let panels = self.panels.len() as f64;
        let height = TOP + panels * (PANEL + BETWEEN) - BETWEEN + BELOW;
        (WIDTH as u32, height as u32)
    }

    fn paint<B: DrawingBackend>(&self, canvas: &Canvas<B>) -> Result<(), String> {
        let writing = |size, bold, colour| Writing { size, bold, colour };
        let title = writing(26.0, true, INK);
        canvas.text(&self.title, (LEFT, 36.0), Align::Left, title)?;
        let subtitle = writing(20.0, false, QUIET);
        canvas.text(&self.subtitle, (LEFT, 68.0), Align::Left, subtitle)?;

        // From nothing, and no parts of steps.
        let x_axis = Axis::around(self.values(|point| point.0).chain([0.0]), 8.0, 1.0);
        for (index, panel) in self.panels.iter().enumerate() {
            let top = TOP + index as f64 * (PANEL + BETWEEN);
            let values = panel.lines.iter().flat_map(|line| &line.points);
            let frame = Frame {
                top,
                bottom: top + PANEL,
                x: x_axis,
                y: Axis::around(values.map(|point| point.1), 5.0, 0.0),
            };
            frame.paint(canvas, &panel.y_label)?;
            if let Some((x, name)) = &self.marked {
                let x = frame.x(*x);
                canvas.line(&[(x, top), (x, frame.bottom)], QUIET, 1.6, &[6.0, 5.0])?;
                if index == 0 {
                    // Inside the frame, whichever side has room.
                    let align = if x > f64::midpoint(LEFT, RIGHT) {
                        Align::Right
                    } else {
                        Align::Left
                    };
                    canvas.text(name, (x, top - 16.0), align, writing(19.0, false, QUIET))?;
                }
            }
            for line in &panel.lines {
                frame.line(canvas, line)?;
            }
        }

        let bottom = TOP + self.panels.len() as f64 * (PANEL + BETWEEN) - BETWEEN;
        let middle = (f64::midpoint(LEFT, RIGHT), bottom + 58.0);
        canvas.text(
            &self.x_label,
            middle,
            Align::Centre,
            writing(21.0, false, INK),
        )?;
        self.legend(canvas, bottom + 98.0)
    }
}

impl LineChart {
    fn values(&self, part: impl Fn(&(f64, f64)) -> f64) -> impl Iterator<Item = f64> {
        let lines = self.panels.iter().flat_map(|panel| &panel.lines);
        let points = lines.flat_map(|line| &line.points);
        points.map(part)
    }

    fn legend<B: DrawingBackend>(&self, canvas: &Canvas<B>, y: f64) -> Result<(), String> {
        let mut x = LEFT;
        for line in self.panels.iter().flat_map(|panel| &panel.lines) {
            if line.name.is_empty() {
                continue;
            }
            canvas.line(
                &[(x, y), (x + 46.0, y)],
                line.colour,
                line.width,
                line.dashes,
            )?;
            if let Some(marker) = line.marker {
                canvas.marker(marker, (x + 23.0, y), 6.0, line.colour)?;
            }
            canvas.text(&line.name, (x + 56.0, y), Align::Left, TICK)?;
            x += 56.0 + canvas.text_width(&line.name, TICK)? + 34.0;
        }
        Ok(())
    }
}

/// An axis with ticks at whole steps.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Axis {
    least: f64,
    most: f64,
    step: f64,
}

impl Axis {
    /// An axis that holds all values, with about `ticks` ticks, `finest` apart at least.
    fn around(values: impl Iterator<Item = f64>, ticks: f64, finest: f64) -> Self {
        let (least, most) = values
            .filter(|value| value.is_finite())
            .map(|value| (value, value))
            .reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)))
            .unwrap_or((0.0, 1.0));
        // A single value still needs an extent, in proportion to it.
        let span = (most - least).max(least.abs() * 0.05).max(1e-9);
        let rough = span / ticks;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * power)
            .find(|step| *step >= rough)
            .unwrap_or(10.0 * power)
            .max(finest);
        let (least, most) = ((least / step).floor() * step, (most / step).ceil() * step);
        let most = if most > least { most } else { least + step };
        Self { least, most, step }
    }

    fn ticks(self) -> impl Iterator<Item = f64> {
        let count = ((self.most - self.least) / self.step).round() as usize;
        (0..=count).map(move |index| self.least + self.step * index as f64)
    }

    fn label(self, value: f64) -> String {
        // Half a step below, so that 0.1 does not come out as -0.999….
        let digits = (-(self.step * 1.000_001).log10().floor()).max(0.0);
        let text = format!("{value:.*}", digits as usize);
        // A sum of steps that ends at nothing may be a tiny negative number.
        match text.strip_prefix('-') {
            Some(rest) if rest.chars().all(|c| c == '0' || c == '.') => rest.to_owned(),
            _ => text,
        }
    }

    fn share(self, value: f64) -> f64 {
        (value - self.least) / (self.most - self.least)
    }
}

struct Frame {
    top: f64,
    bottom: f64,
    x: Axis,
    y: Axis,
}

impl Frame {
    fn x(&self, value: f64) -> f64 {
        LEFT + self.x.share(value) * (RIGHT - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - self.y.share(value) * (self.bottom - self.top)
    }

    fn paint<B: DrawingBackend>(&self, canvas: &Canvas<B>, label: &str) -> Result<(), String> {
        for value in self.y.ticks() {
            let y = self.y(value);
            canvas.line(&[(LEFT, y), (RIGHT, y)], GRID, 1.0, &[])?;
            let text = self.y.label(value);
            canvas.text(&text, (LEFT - 12.0, y), Align::Right, TICK)?;
        }
        for value in self.x.ticks() {
            let x = self.x(value);
            canvas.line(&[(x, self.top), (x, self.bottom)], GRID, 1.0, &[])?;
            canvas.line(&[(x, self.bottom), (x, self.bottom + 6.0)], INK, 1.4, &[])?;
            let text = self.x.label(value);
            canvas.text(&text, (x, self.bottom + 22.0), Align::Centre, TICK)?;
        }
        let corners = [(LEFT, self.top), (LEFT, self.bottom), (RIGHT, self.bottom)];
        canvas.line(&corners, INK, 1.6, &[])?;
        let at = (LEFT - 82.0, f64::midpoint(self.top, self.bottom));
        let writing = Writing { size: 21.0, ..TICK };
        canvas.text(label, at, Align::Upwards, writing)
    }

    fn line<B: DrawingBackend>(&self, canvas: &Canvas<B>, line: &Line) -> Result<(), String> {
        let finite = line
            .points
            .iter()
            .filter(|(x, y)| x.is_finite() && y.is_finite());
        let points: Vec<(f64, f64)> = finite.map(|&(x, y)| (self.x(x), self.y(y))).collect();
        if points.len() > 1 {
            canvas.line(&points, line.colour, line.width, line.dashes)?;
        }
        if let Some(marker) = line.marker {
            for &point in &points {
                canvas.marker(marker, point, 5.0, line.colour)?;
            }
        } else if let [only] = points[..] {
            canvas.marker(Marker::Circle, only, 4.0, line.colour)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_hold_all_values_between_readable_ticks() {
        let axis = Axis::around([0.213, 0.874].into_iter(), 5.0, 0.0);
        assert!(axis.least <= 0.213 && axis.most >= 0.874, "{axis:?}");
        let labels: Vec<String> = axis.ticks().map(|value| axis.label(value)).collect();
        assert_eq!(labels, ["0.2", "0.4", "0.6", "0.8", "1.0"]);
        let steps = Axis::around([1.0, 400.0].into_iter(), 8.0, 1.0);
        let labels: Vec<String> = steps.ticks().map(|value| steps.label(value)).collect();
        assert_eq!(
            labels,
            ["0", "50", "100", "150", "200", "250", "300", "350", "400"]
        );
        let below = Axis::around([-0.3, 0.1].into_iter(), 5.0, 0.0);
        assert!(below.ticks().any(|value| below.label(value) == "0.0"));
        let one = Axis::around([0.0, 1.0].into_iter(), 8.0, 1.0);
        assert_eq!(
            one.ticks()
                .map(|value| one.label(value))
                .collect::<String>(),
            "01"
        );
        for values in [vec![], vec![f64::NAN], vec![0.5], vec![0.0]] {
            let axis = Axis::around(values.into_iter(), 5.0, 0.0);
            assert!(
                axis.most > axis.least && axis.ticks().count() >= 2,
                "{axis:?}"
            );
        }
    }
}
