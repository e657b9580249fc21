//! Train, valid and test, and what is worth knowing about each.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::error::DataError;
use super::sample::Sample;

/// The three parts of a data set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Splits {
    /// What K-shot draws are taken from.
    pub train: Vec<Sample>,
    /// What checkpoints and weight decay are chosen on.
    pub valid: Vec<Sample>,
    /// What is reported.
    pub test: Vec<Sample>,
}

impl Splits {
    /// Cuts a list 8:1:1 in its order and numbers the rows of each part from 0.
    ///
    /// # Errors
    /// If there are fewer than 10 samples, so that a part would be empty.
    pub fn cut(mut samples: Vec<Sample>) -> Result<Self, DataError> {
        if samples.len() < 10 {
            return Err(DataError::invalid(format!(
                "only {} samples come out of these data; 8:1:1 needs at least 10",
                samples.len()
            ))
            .with_help(
                "bring more interactions: a film sample needs a user with more than \
                 `history_length` ratings, a book sample a user with at least 4 known books",
            ));
        }
        let count = samples.len();
        let mut test = samples.split_off(count * 9 / 10);
        let mut valid = samples.split_off(count * 8 / 10);
        for part in [&mut samples, &mut valid, &mut test] {
            number(part);
        }
        Ok(Self {
            train: samples,
            valid,
            test,
        })
    }

    /// The parts with their names, in order.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, &[Sample]); 3] {
        [
            ("train", &self.train),
            ("valid", &self.valid),
            ("test", &self.test),
        ]
    }
}

/// Numbers rows from 0 in the order they stand in.
pub(crate) fn number(samples: &mut [Sample]) {
    for (row, sample) in samples.iter_mut().enumerate() {
        sample.row = row as u32;
    }
}

/// What a part of a data set looks like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SplitSummary {
    /// Rows.
    pub samples: usize,
    /// Distinct users; absent if the source does not tell.
    pub users: Option<usize>,
    /// Rows whose label is a like.
    pub likes: usize,
    /// Share of rows whose label is a like.
    pub like_share: f64,
    /// Rows by number of history items.
    pub history_lengths: BTreeMap<usize, usize>,
    /// Rows without a liked history item.
    pub empty_preference: usize,
    /// Rows without a disliked history item.
    pub empty_unpreference: usize,
    /// Time of the oldest and the newest target; absent if the source does not tell.
    pub times: Option<(i64, i64)>,
}

impl SplitSummary {
    /// Describes a part.
    #[must_use]
    pub fn of(samples: &[Sample]) -> Self {
        let likes = samples.iter().filter(|sample| sample.label).count();
        let users: BTreeSet<&str> = samples
            .iter()
            .filter_map(|sample| sample.user.as_deref())
            .collect();
        let mut history_lengths = BTreeMap::new();
        for sample in samples {
            *history_lengths.entry(sample.history.len()).or_insert(0) += 1;
        }
        let without = |liked: bool| {
            samples
                .iter()
                .filter(|sample| sample.history.iter().all(|rated| rated.liked != liked))
                .count()
        };
        let times = || samples.iter().filter_map(|sample| sample.time);
        Self {
            samples: samples.len(),
            users: (!users.is_empty()).then_some(users.len()),
            likes,
            like_share: if samples.is_empty() {
                0.0
            } else {
                likes as f64 / samples.len() as f64
            },
            history_lengths,
            empty_preference: without(true),
            empty_unpreference: without(false),
            times: times().min().zip(times().max()),
        }
    }
}
