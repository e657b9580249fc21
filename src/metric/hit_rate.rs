//! HR@k: does a list of k items hold one that the user liked?

use super::{Direction, Measured, Metric, MetricError, Prediction, groups};

/// The share of candidate lists with a liked item among the first `cut`.
///
/// A list is the rows of one user (of one group of candidates, as the stage `candidates` makes
/// them); those without a liked or without a disliked item say nothing and are left out. Where
/// scores tie across the cut, it is the probability that a liked item is among the first if the
/// tied ones stand in random order: a constant score gets what guessing gets.
#[derive(Debug, Clone, Copy)]
pub struct HitRate {
    /// k.
    pub cut: usize,
}

impl Metric for HitRate {
    fn name(&self) -> &'static str {
        "hit_rate"
    }

    fn summary(&self) -> &'static str {
        "The share of candidate lists that have a liked item among their first k (HR@k)."
    }

    fn unit(&self) -> &'static str {
        "probability"
    }

    fn direction(&self) -> Direction {
        Direction::HigherIsBetter
    }

    fn by_default(&self) -> bool {
        false
    }

    fn at(&self, cut: usize) -> Option<Box<dyn Metric>> {
        Some(Box::new(Self { cut }))
    }

    fn compute(&self, predictions: &[Prediction]) -> Result<Measured, MetricError> {
        groups::mean(predictions, |ties| hit(ties, self.cut))
    }
}

/// For groups of equal scores, the best first: (items, liked items).
fn hit(ties: &[(usize, usize)], cut: usize) -> f64 {
    let mut above = 0;
    for &(items, liked) in ties {
        let places = cut.saturating_sub(above).min(items);
        if liked > 0 && places > 0 {
            // All of the first places go to items that are not liked: then the next group may hit.
            let missed: f64 = (0..places)
                .map(|at| (items - liked).saturating_sub(at) as f64 / (items - at) as f64)
                .product();
            // With places for all of them none is missed, and otherwise the cut is in this group.
            return 1.0 - missed;
        }
        above += items;
    }
    0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // One liked item at the third place.
        let ties = [(1, 0), (1, 0), (1, 1), (1, 0)];
        assert_eq!(
            (hit(&ties, 2), hit(&ties, 3), hit(&ties, 9)),
            (0.0, 1.0, 1.0)
        );
        // One liked among four that tie: k of four places.
        for cut in 0..6 {
            let expected = cut.min(4) as f64 / 4.0;
            assert!((hit(&[(4, 1)], cut) - expected).abs() < 1e-12, "{cut}");
        }
        // Two liked of three that tie, after one other, two places left: never missed; one: 2/3.
        let ties = [(1, 0), (3, 2)];
        assert!((hit(&ties, 3) - 1.0).abs() < 1e-12);
        assert!((hit(&ties, 2) - 2.0 / 3.0).abs() < 1e-12);
    }
}
