//! One panel of a chart: frame, ticks, grid, and places for values.

use plotters::prelude::DrawingBackend;

use super::chart::Tick;
use crate::chart::canvas::{Align, Canvas, Point, Writing};
use crate::chart::palette::{GRID, INK};

/// The values of a y axis: whole steps around all that is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ValueAxis {
    least: f64,
    most: f64,
    step: f64,
}

impl ValueAxis {
    /// An axis that holds all values with some air; none if there is no value.
    pub(super) fn around(values: impl Iterator<Item = f64>) -> Option<Self> {
        let (least, most) = values
            .filter(|value| value.is_finite())
            .map(|value| (value, value))
            .reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)))?;
        let span = (most - least).max(1e-6);
        let step = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0]
            .into_iter()
            .find(|step| span / step <= 7.0)
            .unwrap_or(25.0);
        let air = span * 0.03;
        Some(Self {
            least: ((least - air) / step).floor() * step,
            most: ((most + air) / step).ceil() * step,
            step,
        })
    }

    /// The same axis from `ground` on, if all that is shown lies above it.
    pub(super) fn from(self, ground: f64, least_shown: f64) -> Self {
        let whole = (ground / self.step).fract().abs() < 1e-9;
        if least_shown >= ground && whole && ground < self.most {
            Self {
                least: ground,
                ..self
            }
        } else {
            self
        }
    }

    fn ticks(self) -> impl Iterator<Item = f64> {
        let count = ((self.most - self.least) / self.step).round() as usize;
        (0..=count).map(move |index| self.least + self.step * index as f64)
    }

    fn label(self, value: f64) -> String {
        format!("{value:.*}", usize::from(self.step < 1.0))
    }
}

/// A tick at each K and nowhere else, on a logarithmic axis.
pub(super) fn shot_ticks(shots: &[u64]) -> Vec<Tick> {
    let axis = ShotAxis::new(shots.to_vec());
    axis.shots
        .iter()
        .map(|&k| Tick {
            label: k.to_string(),
            share: axis.share(k),
        })
        .collect()
}

/// Ticks at even distances, in the middle of their part of the axis.
pub(super) fn even_ticks(labels: impl Iterator<Item = String>) -> Vec<Tick> {
    let labels: Vec<String> = labels.collect();
    let last = labels.len().saturating_sub(1);
    labels
        .into_iter()
        .enumerate()
        .map(|(index, label)| Tick {
            label,
            share: if last == 0 {
                0.5
            } else {
                index as f64 / last as f64
            },
        })
        .collect()
}

/// The K values of an x axis, on a logarithm to base 2.
#[derive(Debug, Clone, PartialEq)]
struct ShotAxis {
    shots: Vec<u64>,
}

impl ShotAxis {
    /// An axis with a tick at each of these and nowhere else.
    fn new(mut shots: Vec<u64>) -> Self {
        shots.sort_unstable();
        shots.dedup();
        Self { shots }
    }

    /// Octaves; 0 has no logarithm and stands one octave before the smallest other K.
    fn octave(&self, k: u64) -> f64 {
        if k > 0 {
            return (k as f64).log2();
        }
        let smallest = self.shots.iter().find(|k| **k > 0);
        smallest.map_or(0.0, |&k| (k as f64).log2() - 1.0)
    }

    fn ends(&self) -> (f64, f64) {
        let end = |k: Option<&u64>| k.map_or(0.0, |&k| self.octave(k));
        (end(self.shots.first()), end(self.shots.last()))
    }

    /// Where K stands: 0 at the first tick, 1 at the last, in the middle if there is one only.
    fn share(&self, k: u64) -> f64 {
        let (first, last) = self.ends();
        if last > first {
            (self.octave(k) - first) / (last - first)
        } else {
            0.5
        }
    }
}

/// A panel: where it is on the canvas and what its axes are.
#[derive(Debug, Clone)]
pub(super) struct PanelFrame {
    /// Left, top, right and bottom of the data area.
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
    pub(super) values: ValueAxis,
    pub(super) ticks: Vec<Tick>,
    /// Whether a line of the grid stands at each tick; bars stand there themselves.
    pub(super) ticks_are_lines: bool,
}

/// From the frame to the first and the last tick of lines, as a share of the width.
const SIDE: f64 = 0.11;

impl PanelFrame {
    /// From the frame to the first and the last tick: groups of bars share the width evenly.
    fn side(&self) -> f64 {
        if self.ticks_are_lines {
            SIDE
        } else {
            0.5 / self.ticks.len().max(1) as f64
        }
    }

    /// The place of a tick on the canvas.
    pub(super) fn x(&self, tick: usize) -> f64 {
        let width = self.right - self.left;
        let share = self.ticks.get(tick).map_or(0.5, |tick| tick.share);
        let side = self.side();
        self.left + width * (side + share * (1.0 - 2.0 * side))
    }

    /// The smallest distance of two ticks in logical pixels; of a single one, what it has for
    /// itself.
    pub(super) fn tick_distance(&self) -> f64 {
        let width = self.right - self.left;
        let closest = self
            .ticks
            .windows(2)
            .map(|pair| pair[1].share - pair[0].share)
            .fold(1.0, f64::min);
        if self.ticks.len() < 2 && !self.ticks_are_lines {
            return width;
        }
        width * (1.0 - 2.0 * self.side()) * closest
    }

    /// The place of a value on the canvas.
    pub(super) fn y(&self, value: f64) -> f64 {
        let share = (value - self.values.least) / (self.values.most - self.values.least);
        self.bottom - share * (self.bottom - self.top)
    }

    /// A line across the panel.
    pub(super) fn across(&self, value: f64) -> [Point; 2] {
        [(self.left, self.y(value)), (self.right, self.y(value))]
    }

    /// Draws grid, frame, ticks and labels.
    pub(super) fn paint<B: DrawingBackend>(
        &self,
        canvas: &Canvas<B>,
        title: &str,
        x_label: &str,
        y_label: Option<&str>,
    ) -> Result<(), String> {
        let writing = |size, bold, colour| Writing { size, bold, colour };
        let tick_text = writing(22.0, false, INK);
        for value in self.values.ticks() {
            let y = self.y(value);
            canvas.line(&self.across(value), GRID, 1.0, &[])?;
            canvas.line(&[(self.left - 7.0, y), (self.left, y)], INK, 1.4, &[])?;
            let label = self.values.label(value);
            canvas.text(&label, (self.left - 13.0, y), Align::Right, tick_text)?;
        }
        for (index, tick) in self.ticks.iter().enumerate() {
            let x = self.x(index);
            if self.ticks_are_lines {
                canvas.line(&[(x, self.top), (x, self.bottom)], GRID, 1.0, &[])?;
                canvas.line(&[(x, self.bottom), (x, self.bottom + 7.0)], INK, 1.4, &[])?;
            }
            let at = (x, self.bottom + 24.0);
            canvas.text(&tick.label, at, Align::Centre, tick_text)?;
        }
        let corners = [
            (self.left, self.top),
            (self.left, self.bottom),
            (self.right, self.bottom),
        ];
        canvas.line(&corners, INK, 1.6, &[])?;
        let middle = f64::midpoint(self.left, self.right);
        canvas.text(
            title,
            (middle, self.top - 26.0),
            Align::Centre,
            writing(26.0, true, INK),
        )?;
        canvas.text(
            x_label,
            (middle, self.bottom + 60.0),
            Align::Centre,
            writing(23.0, false, INK),
        )?;
        if let Some(label) = y_label {
            let at = (self.left - 78.0, f64::midpoint(self.top, self.bottom));
            canvas.text(label, at, Align::Upwards, writing(23.0, false, INK))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_axis_holds_everything_between_whole_steps() {
        let axis = ValueAxis::around([49.2, 50.0, 71.98].into_iter()).expect("values");
        assert_eq!((axis.least, axis.most, axis.step), (45.0, 75.0, 5.0));
        let one = ValueAxis::around(std::iter::once(50.0)).expect("a value");
        assert!(one.least < 50.0 && one.most > 50.0 && one.ticks().count() >= 2);
        assert_eq!(ValueAxis::around(std::iter::empty()), None);
    }

    #[test]
    fn shots_stand_in_octaves() {
        let axis = ShotAxis::new(vec![256, 16, 64, 16]);
        assert_eq!(axis.shots, [16, 64, 256]);
        assert!((axis.share(64) - 0.5).abs() < 1e-12);
        let ticks = shot_ticks(&[16, 64, 256]);
        assert_eq!(ticks[2].label, "256");
        assert!((ticks[2].share - 1.0).abs() < 1e-12);
        assert!((ShotAxis::new(vec![64]).share(64) - 0.5).abs() < 1e-12);
        assert!((ShotAxis::new(vec![0, 1, 2]).share(1) - 0.5).abs() < 1e-12);
    }
}
