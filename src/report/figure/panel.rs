//! One panel of a chart over K: frame, ticks, grid, and places for values.

use plotters::prelude::DrawingBackend;

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

    fn ticks(self) -> impl Iterator<Item = f64> {
        let count = ((self.most - self.least) / self.step).round() as usize;
        (0..=count).map(move |index| self.least + self.step * index as f64)
    }

    fn label(self, value: f64) -> String {
        format!("{value:.*}", usize::from(self.step < 1.0))
    }
}

/// The K values of an x axis, on a logarithm to base 2.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ShotAxis {
    shots: Vec<u64>,
}

impl ShotAxis {
    /// An axis with a tick at each of these and nowhere else.
    pub(super) fn new(mut shots: Vec<u64>) -> Self {
        shots.sort_unstable();
        shots.dedup();
        Self { shots }
    }

    pub(super) fn shots(&self) -> &[u64] {
        &self.shots
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

    /// The smallest distance of two ticks, as a share of the distance of first and last.
    pub(super) fn closest(&self) -> f64 {
        self.shots
            .windows(2)
            .map(|pair| self.share(pair[1]) - self.share(pair[0]))
            .fold(1.0, f64::min)
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
    pub(super) shots: ShotAxis,
}

/// From the frame to the first and the last tick, as a share of the width.
const SIDE: f64 = 0.11;

impl PanelFrame {
    /// The place of K on the canvas.
    pub(super) fn x(&self, k: u64) -> f64 {
        let width = self.right - self.left;
        self.left + width * (SIDE + self.shots.share(k) * (1.0 - 2.0 * SIDE))
    }

    /// The smallest distance of two ticks in logical pixels.
    pub(super) fn tick_distance(&self) -> f64 {
        (self.right - self.left) * (1.0 - 2.0 * SIDE) * self.shots.closest()
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
        for &k in self.shots.shots() {
            let x = self.x(k);
            canvas.line(&[(x, self.top), (x, self.bottom)], GRID, 1.0, &[])?;
            canvas.line(&[(x, self.bottom), (x, self.bottom + 7.0)], INK, 1.4, &[])?;
            let at = (x, self.bottom + 24.0);
            canvas.text(&k.to_string(), at, Align::Centre, tick_text)?;
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
            "training samples K (logarithmic scale)",
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
        assert_eq!(axis.shots(), [16, 64, 256]);
        assert!((axis.share(64) - 0.5).abs() < 1e-12);
        assert!((axis.closest() - 0.5).abs() < 1e-12);
        assert!((ShotAxis::new(vec![64]).share(64) - 0.5).abs() < 1e-12);
        assert!((ShotAxis::new(vec![0, 1, 2]).share(1) - 0.5).abs() < 1e-12);
    }
}
