//! The points of a curve, thinned out as it grows.

/// So many points are kept at most.
const POINTS: usize = 200;

/// A curve of which every so many-th point is kept, and the last.
#[derive(Debug, Clone)]
pub(crate) struct Curve {
    kept: Vec<(u64, f64)>,
    last: Option<(u64, f64)>,
    /// One of so many points is kept.
    one_of: usize,
    /// How many came.
    count: usize,
}

impl Default for Curve {
    fn default() -> Self {
        Self {
            kept: Vec::new(),
            last: None,
            one_of: 1,
            count: 0,
        }
    }
}

impl Curve {
    pub(super) fn push(&mut self, step: u64, value: f64) {
        if self.count.is_multiple_of(self.one_of) {
            if self.kept.len() == POINTS - 1 {
                let mut at = 0;
                self.kept.retain(|_| {
                    at += 1;
                    at % 2 == 1
                });
                self.one_of *= 2;
            }
            if self.count.is_multiple_of(self.one_of) {
                self.kept.push((step, value));
            }
        }
        self.count += 1;
        self.last = Some((step, value));
    }

    /// What is left of it, in the order in which it came.
    pub(crate) fn points(&self) -> Vec<(u64, f64)> {
        let mut points = self.kept.clone();
        if let Some(last) = self.last
            && points.last().is_none_or(|kept| kept.0 != last.0)
        {
            points.push(last);
        }
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_keeps_its_ends_and_even_steps_between() {
        for length in [1, 2, 150, 199, 200, 201, 1000, 12_345] {
            let mut curve = Curve::default();
            for step in 0..length {
                curve.push(step, step as f64);
            }
            let points = curve.points();
            assert!(points.len() <= POINTS, "{} of {length}", points.len());
            assert!(points.len() as u64 >= length.min(POINTS as u64 / 2 - 1));
            assert_eq!(points.first(), Some(&(0, 0.0)));
            assert_eq!(points.last(), Some(&(length - 1, (length - 1) as f64)));
            let steps: Vec<u64> = points.iter().map(|point| point.0).collect();
            let even = steps[..steps.len() - 1]
                .windows(2)
                .map(|pair| pair[1] - pair[0]);
            assert!(even.clone().min() == even.max(), "{steps:?}");
        }
    }
}
