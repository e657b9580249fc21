//! From predictions to numbers: one file per metric, one line in [`METRICS`].
//!
//! A metric never guesses: where it is not defined (one class only, no users) its value is
//! `None` and a note says why, and a score that is not a number is an error, not a zero.

pub mod auc;
mod groups;
pub mod hit_rate;
pub mod log_loss;
pub mod ndcg;
pub mod plausible;
pub mod uauc;

use serde::{Deserialize, Serialize};

/// What a system says about one row of a split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Position of the sample in its split.
    pub row: u32,
    /// The user, if the source tells.
    pub user: Option<String>,
    /// Whether the user liked the target.
    pub label: bool,
    /// P(like), in [0, 1].
    pub score: f64,
}

/// The value of a metric, with what a reader needs to judge it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The value; `None` where the metric is not defined.
    pub value: Option<f64>,
    /// How many units the value averages over: rows, or users for a per-user metric.
    pub n: usize,
    /// Why there is no value, or what was left out of it.
    pub note: Option<String>,
}

impl Measured {
    /// A value over `n` units.
    #[must_use]
    pub fn value(value: f64, n: usize) -> Self {
        Self {
            value: Some(value),
            n,
            note: None,
        }
    }

    /// No value, and why.
    #[must_use]
    pub fn undefined(n: usize, note: impl Into<String>) -> Self {
        Self {
            value: None,
            n,
            note: Some(note.into()),
        }
    }
}

/// Why predictions cannot be measured.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MetricError {
    /// A score is NaN.
    #[error("the score of row {row} is not a number")]
    NotANumber {
        /// Position of the sample in its split.
        row: u32,
    },
}

/// Whether more of a metric is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More is better.
    HigherIsBetter,
    /// Less is better.
    LowerIsBetter,
}

/// A function from predictions to a number.
pub trait Metric: Sync {
    /// The name in YAML, in result sets and in file names.
    fn name(&self) -> &'static str;
    /// One sentence for people.
    fn summary(&self) -> &'static str;
    /// The unit: `probability`, `nats`.
    fn unit(&self) -> &'static str;
    /// Whether more is better.
    fn direction(&self) -> Direction;
    /// Whether it is measured where nobody names metrics.
    fn by_default(&self) -> bool {
        true
    }
    /// The same metric for the first `cut` items of a list; none where it has no cut.
    fn at(&self, _cut: usize) -> Option<Box<dyn Metric>> {
        None
    }
    /// Computes the value; the order of `predictions` does not matter.
    ///
    /// # Errors
    /// [`MetricError`] if a score cannot be used.
    fn compute(&self, predictions: &[Prediction]) -> Result<Measured, MetricError>;
}

/// Every metric there is, in the order reports show them.
pub const METRICS: &[&dyn Metric] = &[
    &auc::Auc,
    &uauc::Uauc,
    &log_loss::LogLoss,
    &hit_rate::HitRate { cut: CUT },
    &ndcg::Ndcg { cut: CUT },
];

/// The cut of a list where nobody says another.
const CUT: usize = 10;

/// Finds a metric by name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Metric> {
    METRICS.iter().copied().find(|metric| metric.name() == name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn predictions() -> impl Strategy<Value = Vec<Prediction>> {
        let row = (any::<bool>(), 0_u8..=16, 0_u8..4);
        proptest::collection::vec(row, 0..60).prop_map(|rows| {
            let to_prediction = |(at, (label, score, user)): (usize, (bool, u8, u8))| Prediction {
                row: at as u32,
                user: Some(user.to_string()),
                label,
                score: f64::from(score) / 16.0,
            };
            rows.into_iter().enumerate().map(to_prediction).collect()
        })
    }

    proptest! {
        #[test]
        fn values_are_bounded_and_order_is_nothing(
            rows in predictions(), seed in any::<u64>(),
        ) {
            let mut shuffled = rows.clone();
            crate::base::Random::new(seed, "test").shuffle(&mut shuffled);
            for metric in METRICS {
                let one = metric.compute(&rows).expect("finite scores");
                let two = metric.compute(&shuffled).expect("finite scores");
                prop_assert_eq!(&one, &two, "{}", metric.name());
                prop_assert_eq!(one.value.is_none() && one.note.is_none(), false);
                if let Some(value) = one.value {
                    prop_assert!(value >= 0.0, "{} {}", metric.name(), value);
                    prop_assert!(metric.unit() != "probability" || value <= 1.0);
                }
            }
        }

        #[test]
        fn rank_metrics_see_only_the_order(rows in predictions()) {
            let mut moved = rows.clone();
            for prediction in &mut moved {
                prediction.score = (prediction.score * 3.0).exp() / 30.0;
            }
            let mut mirrored = rows.clone();
            for prediction in &mut mirrored {
                prediction.label = !prediction.label;
                prediction.score = 1.0 - prediction.score;
            }
            for name in ["auc", "uauc", "hit_rate", "ndcg"] {
                let metric = find(name).expect("registered");
                prop_assert_eq!(metric.compute(&rows), metric.compute(&moved));
                // Only an area is the same from the other side.
                if metric.at(1).is_some() {
                    continue;
                }
                let (one, two) = (metric.compute(&rows), metric.compute(&mirrored));
                let value = |measured: Result<Measured, _>| measured.expect("finite").value;
                match (value(one), value(two)) {
                    (Some(one), Some(two)) => prop_assert!((one - two).abs() < 1e-12),
                    (one, two) => prop_assert_eq!(one, two),
                }
            }
        }
    }

    #[test]
    fn names_are_unique_and_a_nan_is_an_error_everywhere() {
        let mut names: Vec<_> = METRICS.iter().map(|metric| metric.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRICS.len());
        let row = |row, label, score| Prediction {
            row,
            user: Some("u".to_owned()),
            label,
            score,
        };
        let rows = [row(0, true, 0.5), row(1, false, f64::NAN)];
        for metric in METRICS {
            assert_eq!(
                metric.compute(&rows),
                Err(MetricError::NotANumber { row: 1 })
            );
            let empty = metric.compute(&[]).expect("no rows are no error");
            assert_eq!((empty.value, empty.n), (None, 0));
        }
    }
}
