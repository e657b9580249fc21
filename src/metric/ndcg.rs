//! NDCG@k: how far in front of a list do the liked items stand?

use super::{Direction, Measured, Metric, MetricError, Prediction, groups};

/// The mean over candidate lists of DCG@k by the best DCG@k there could be; a liked item at place
/// i counts 1 / log2(i + 1).
///
/// Lists are those of [`super::hit_rate::HitRate`]. Items that tie share their places' discounts
/// evenly, as `sklearn.metrics.ndcg_score` does.
#[derive(Debug, Clone, Copy)]
pub struct Ndcg {
    /// k.
    pub cut: usize,
}

impl Metric for Ndcg {
    fn name(&self) -> &'static str {
        "ndcg"
    }

    fn summary(&self) -> &'static str {
        "Discounted gain of liked items among the first k of a list, by the best there could be \
         (NDCG@k)."
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
        groups::mean(predictions, |ties| gain(ties, self.cut))
    }
}

/// For groups of equal scores, the best first: (items, liked items).
fn gain(ties: &[(usize, usize)], cut: usize) -> f64 {
    let discount = |place: usize| {
        if place < cut {
            1.0 / ((place + 2) as f64).log2()
        } else {
            0.0
        }
    };
    let (mut above, mut found, mut all_liked) = (0, 0.0, 0);
    for &(items, liked) in ties {
        if liked > 0 {
            let shared: f64 = (above..above + items).map(discount).sum();
            found += shared * liked as f64 / items as f64;
        }
        above += items;
        all_liked += liked;
    }
    let best: f64 = (0..all_liked).map(discount).sum();
    if best > 0.0 {
        (found / best).min(1.0)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let at_third = [(1, 0), (1, 0), (1, 1), (1, 0)];
        assert!((gain(&at_third, 3) - 0.5).abs() < 1e-12);
        assert!(gain(&at_third, 2).abs() < 1e-12);
        // Two liked, at places 1 and 3: (1 + 1/2) / (1 + 1/log2 3).
        let two = [(1, 1), (1, 0), (1, 1)];
        let expected = 1.5 / (1.0 + 1.0 / 3_f64.log2());
        assert!((gain(&two, 5) - expected).abs() < 1e-12);
        // `ndcg_score([[1, 0, 0]], [[0.5, 0.5, 0.1]])` of scikit-learn: (1 + 1/log2 3) / 2.
        let tied = [(2, 1), (1, 0)];
        assert!((gain(&tied, 3) - 0.815_464_876_785_728_5).abs() < 1e-12);
    }
}
