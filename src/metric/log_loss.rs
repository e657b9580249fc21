//! Mean negative log likelihood of the labels: are the probabilities believable?

use super::{Direction, Measured, Metric, MetricError, Prediction, auc};

/// Mean of −ln P(label), in nats, with probabilities kept `f64::EPSILON` away from 0 and 1 as
/// `sklearn.metrics.log_loss` does. Undefined for scores that are not probabilities: a user's
/// own program may rank by anything, and its AUC stands.
#[derive(Debug, Clone, Copy)]
pub struct LogLoss;

impl Metric for LogLoss {
    fn name(&self) -> &'static str {
        "log_loss"
    }

    fn summary(&self) -> &'static str {
        "The mean negative log likelihood of the labels."
    }

    fn unit(&self) -> &'static str {
        "nats"
    }

    fn direction(&self) -> Direction {
        Direction::LowerIsBetter
    }

    fn compute(&self, predictions: &[Prediction]) -> Result<Measured, MetricError> {
        auc::check_numbers(predictions)?;
        let mut losses = Vec::with_capacity(predictions.len());
        for prediction in predictions {
            let score = prediction.score;
            if !(0.0..=1.0).contains(&score) {
                return Ok(Measured::undefined(
                    predictions.len(),
                    "some scores are not probabilities",
                ));
            }
            let likelihood = if prediction.label { score } else { 1.0 - score };
            losses.push(-likelihood.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln());
        }
        if losses.is_empty() {
            return Ok(Measured::undefined(0, "no rows"));
        }
        // Summed in order of size, so the order of the rows cannot change the last bits.
        losses.sort_unstable_by(f64::total_cmp);
        let rows = losses.len();
        Ok(Measured::value(
            losses.iter().sum::<f64>() / rows as f64,
            rows,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let row = |label, score| Prediction {
            row: 0,
            user: None,
            label,
            score,
        };
        let measured = LogLoss.compute(&[row(true, 0.5), row(false, 0.75)]);
        let value = measured.expect("finite").value.expect("defined");
        assert!((value - 1.5 * 2.0_f64.ln()).abs() < 1e-15, "{value}");
        let raw = LogLoss.compute(&[row(true, 1.5)]).expect("no NaN");
        assert_eq!((raw.value, raw.n), (None, 1));
        let certain = LogLoss.compute(&[row(false, 1.0)]).expect("finite").value;
        assert!(certain.expect("defined") > 36.0);
    }
}
