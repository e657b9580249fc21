//! Area under the ROC curve (paper §3.1), with scikit-learn's treatment of ties.

use super::{Direction, Measured, Metric, MetricError, Prediction};

/// P(a liked row scores higher than a disliked one), ties counting one half.
///
/// Undefined when all rows have one class. Equal to `sklearn.metrics.roc_auc_score`: the rank
/// sum with average ranks, counted in whole numbers, so nothing is lost to rounding before the
/// one division at the end. Scores are compared as `f64`; reading them as `f32` would make ties.
#[derive(Debug, Clone, Copy)]
pub struct Auc;

impl Metric for Auc {
    fn name(&self) -> &'static str {
        "auc"
    }

    fn summary(&self) -> &'static str {
        "The probability that a liked row scores higher than a disliked one, over all rows."
    }

    fn unit(&self) -> &'static str {
        "probability"
    }

    fn direction(&self) -> Direction {
        Direction::HigherIsBetter
    }

    fn compute(&self, predictions: &[Prediction]) -> Result<Measured, MetricError> {
        check_numbers(predictions)?;
        let mut pairs: Vec<(f64, bool)> = predictions
            .iter()
            .map(|prediction| (prediction.score, prediction.label))
            .collect();
        let rows = pairs.len();
        Ok(match area(&mut pairs) {
            Some(value) => Measured::value(value, rows),
            None => Measured::undefined(rows, why_undefined(predictions)),
        })
    }
}

pub(super) fn check_numbers(predictions: &[Prediction]) -> Result<(), MetricError> {
    match predictions.iter().find(|row| row.score.is_nan()) {
        Some(prediction) => Err(MetricError::NotANumber {
            row: prediction.row,
        }),
        None => Ok(()),
    }
}

fn why_undefined(predictions: &[Prediction]) -> &'static str {
    if predictions.is_empty() {
        "no rows"
    } else {
        "only one class"
    }
}

/// The area for (score, label) pairs without NaN, which it sorts; `None` with one class only.
#[expect(clippy::float_cmp, reason = "only equal scores tie; 0.0 and -0.0 do")]
pub fn area(pairs: &mut [(f64, bool)]) -> Option<f64> {
    pairs.sort_unstable_by(|one, two| one.0.total_cmp(&two.0));
    // Twice the number of (like, dislike) pairs in the right order, ties counting once: u128
    // because 2 * likes * dislikes must fit for any number of rows.
    let (mut likes, mut dislikes, mut doubled) = (0_u128, 0_u128, 0_u128);
    for tied in pairs.chunk_by(|one, two| one.0 == two.0) {
        let liked = tied.iter().filter(|pair| pair.1).count() as u128;
        let disliked = tied.len() as u128 - liked;
        doubled += liked * (2 * dislikes + disliked);
        likes += liked;
        dislikes += disliked;
    }
    (likes > 0 && dislikes > 0).then(|| doubled as f64 / (2 * likes * dislikes) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let auc = |pairs: &[(f64, bool)]| area(&mut pairs.to_vec());
        let (like, dislike) = (true, false);
        assert_eq!(
            auc(&[(0.1, dislike), (0.4, dislike), (0.35, like), (0.8, like)]),
            Some(0.75)
        );
        assert_eq!(auc(&[(0.5, like), (0.5, dislike)]), Some(0.5));
        assert_eq!(auc(&[(0.0, like), (-0.0, dislike)]), Some(0.5));
        assert_eq!(auc(&[(0.5, like), (0.7, like)]), None);
        assert_eq!(auc(&[]), None);
    }
}
