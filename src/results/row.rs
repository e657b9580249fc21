//! One tidy row: one number and everything that says what it is.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::method::System;
use super::natural::natural;
use crate::base::StageKey;

/// The train domain of a method that was trained on nothing, such as the share of likes.
pub const UNTRAINED: &str = "none";

/// One number of a result set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultRow {
    /// Name of the experiment.
    pub experiment: String,
    /// Name of the method, see [`METHODS`](super::METHODS).
    pub method: String,
    /// The method's variant: `AT`, `RT`, `AT+RT`.
    pub variant: Option<String>,
    /// What it was trained on: `movie`, `book`, `both`, or [`UNTRAINED`].
    pub train_domain: String,
    /// What it was tested on.
    pub test_domain: String,
    /// Training samples, the paper's K; none where nothing was trained on samples (zero-shot).
    pub k: Option<u64>,
    /// The seed.
    pub seed: u64,
    /// `test` or `valid`.
    pub split: String,
    /// Name of the metric, see [`METRICS`](super::METRICS).
    pub metric: String,
    /// The value in the metric's own unit (AUC in [0, 1]); none where it is undefined.
    pub value: Option<f64>,
    /// What the value was computed from: rows, or users for a metric per user.
    pub n: u64,
    /// Key of the stage that computed it.
    pub stage_key: StageKey,
}

impl ResultRow {
    /// The method together with its variant.
    #[must_use]
    pub fn system(&self) -> System {
        System::new(&self.method, self.variant.as_deref())
    }

    /// The order of a result file: by every field that names the cell, texts naturally, numbers
    /// as numbers, absent before present.
    ///
    /// Two rows that compare equal are the same cell, and a set has only one of them.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        let optional = |left: &Option<String>, right: &Option<String>| match (left, right) {
            (Some(left), Some(right)) => natural(left, right),
            _ => left.is_some().cmp(&right.is_some()),
        };
        natural(&self.experiment, &other.experiment)
            .then_with(|| natural(&self.method, &other.method))
            .then_with(|| optional(&self.variant, &other.variant))
            .then_with(|| natural(&self.train_domain, &other.train_domain))
            .then_with(|| natural(&self.test_domain, &other.test_domain))
            .then_with(|| self.k.cmp(&other.k))
            .then_with(|| self.seed.cmp(&other.seed))
            .then_with(|| natural(&self.split, &other.split))
            .then_with(|| natural(&self.metric, &other.metric))
    }

    /// The cell as people read it: `auc of gru4rec, movie → movie, K = 16, seed 1, test`.
    #[must_use]
    pub fn describe(&self) -> String {
        let variant = self
            .variant
            .as_ref()
            .map_or_else(String::new, |variant| format!(" ({variant})"));
        let shots = self
            .k
            .map_or_else(|| "no K".to_owned(), |k| format!("K = {k}"));
        format!(
            "{} of {}{variant}, {} → {}, {shots}, seed {}, {} split, experiment {}",
            self.metric,
            self.method,
            self.train_domain,
            self.test_domain,
            self.seed,
            self.split,
            self.experiment
        )
    }
}
