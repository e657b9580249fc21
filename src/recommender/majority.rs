//! The share of likes among the training rows, for everyone and everything.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::{read_json, write_json};
use super::{FitReport, FitTask, Method, RecommenderError, ScoreTask, Scores, UnknownItems};
use crate::data::Sample;
use crate::train::Observer;

/// Scores every sample with the training rows' share of likes. Its AUC is 0.5 by construction;
/// its log loss is what a system must beat to have learned anything about single samples.
#[derive(Debug)]
pub struct Majority;

/// There is nothing to set.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MajoritySettings {}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    like_share: f64,
}

impl Method for Majority {
    type Settings = MajoritySettings;

    const NAME: &'static str = "majority";
    const SUMMARY: &'static str = "The share of likes among the training rows, the same for all.";
    const LEARNS_ITEM_IDS: bool = false;
    const RANKS: bool = false;

    fn fit(
        settings: &MajoritySettings,
        task: &FitTask<'_>,
        _observer: &mut dyn Observer,
    ) -> Result<FitReport, RecommenderError> {
        let like_share = like_share(task.train);
        write_json(&task.folder.join("state.json"), &State { like_share })?;
        Ok(FitReport {
            curve: Vec::new(),
            best_epoch: 0,
            valid_scores: Self::score(settings, &task.validation())?.likes,
        })
    }

    fn score(
        _settings: &MajoritySettings,
        task: &ScoreTask<'_>,
    ) -> Result<Scores, RecommenderError> {
        let State { like_share } = read_json(&task.folder.join("state.json"))?;
        Ok(Scores {
            likes: vec![like_share; task.samples.len()],
            unknown: UnknownItems::default(),
        })
    }
}

/// The share of likes among rows; one half without rows.
pub(super) fn like_share(rows: &[Sample]) -> f64 {
    if rows.is_empty() {
        return 0.5;
    }
    rows.iter().filter(|row| row.label).count() as f64 / rows.len() as f64
}
