//! The share of likes in the sample's own history; nothing is trained.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    FitReport, FitTask, Method, RecommenderError, ScoreTask, Scores, SettingError, UnknownItems,
};
use crate::data::Sample;
use crate::train::Observer;

/// Scores a sample by how much of its history was liked: who likes much will like this too.
/// It ranks users and not items, so its AUC per user is far below its AUC.
#[derive(Debug)]
pub struct LikeShare;

/// Settings of [`LikeShare`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LikeShareSettings {
    /// Imaginary history items, half of them liked, added to each history (a count, 0 or more).
    /// 0 is the plain share; more trusts short histories less. Not in the paper.
    pub smoothing: f64,
}

impl Default for LikeShareSettings {
    fn default() -> Self {
        Self { smoothing: 0.0 }
    }
}

impl Method for LikeShare {
    type Settings = LikeShareSettings;

    const NAME: &'static str = "like_share";
    const SUMMARY: &'static str = "The share of likes in the sample's own history, untrained.";
    const LEARNS_ITEM_IDS: bool = false;

    fn check(settings: &LikeShareSettings) -> Result<(), SettingError> {
        check_smoothing(settings.smoothing)
    }

    fn fit(
        settings: &LikeShareSettings,
        task: &FitTask<'_>,
        _observer: &mut dyn Observer,
    ) -> Result<FitReport, RecommenderError> {
        Ok(FitReport {
            curve: Vec::new(),
            best_epoch: 0,
            valid_scores: Self::score(settings, &task.validation())?.likes,
        })
    }

    fn score(
        settings: &LikeShareSettings,
        task: &ScoreTask<'_>,
    ) -> Result<Scores, RecommenderError> {
        let share = |sample: &Sample| {
            let likes = sample.history.iter().filter(|rated| rated.liked).count() as f64;
            let items = sample.history.len() as f64 + settings.smoothing;
            if items > 0.0 {
                (likes + 0.5 * settings.smoothing) / items
            } else {
                // Neither history nor smoothing says anything.
                0.5
            }
        };
        Ok(Scores {
            likes: task.samples.iter().map(share).collect(),
            unknown: UnknownItems::default(),
        })
    }
}

pub(super) fn check_smoothing(smoothing: f64) -> Result<(), SettingError> {
    if smoothing.is_finite() && smoothing >= 0.0 {
        return Ok(());
    }
    Err(SettingError {
        path: "smoothing".to_owned(),
        message: format!("{smoothing} is not a number of at least 0"),
    })
}
