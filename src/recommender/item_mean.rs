//! The mean verdict on the target item in the training rows.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::{read_json, write_json};
use super::like_share::check_smoothing;
use super::majority::like_share;
use super::sequence::item_key;
use super::{
    FitReport, FitTask, Method, RecommenderError, ScoreTask, Scores, SettingError, UnknownItems,
};
use crate::data::{Item, Sample};
use crate::train::Observer;

/// Scores a sample by what others said about its target: popularity without a model. An item
/// nobody judged gets the share of likes among the training rows.
#[derive(Debug)]
pub struct ItemMean;

/// Settings of [`ItemMean`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ItemMeanSettings {
    /// Imaginary verdicts at the overall share of likes, added to each item (a count, 0 or
    /// more). Not in the paper.
    pub smoothing: f64,
    /// Whether feedback in the training rows' histories counts beside their labels. A verdict
    /// of one user on one item counts once, however many rows repeat it; rows without a user
    /// cannot be told apart, there every mention counts. Not in the paper.
    pub count_history: bool,
}

impl Default for ItemMeanSettings {
    fn default() -> Self {
        Self {
            smoothing: 1.0,
            count_history: false,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    /// Share of likes among the training rows.
    overall: f64,
    /// Item → (likes, verdicts).
    items: BTreeMap<String, (u32, u32)>,
}

impl Method for ItemMean {
    type Settings = ItemMeanSettings;

    const NAME: &'static str = "item_mean";
    const SUMMARY: &'static str = "The mean verdict on the target item in the training rows.";
    const LEARNS_ITEM_IDS: bool = true;

    fn check(settings: &ItemMeanSettings) -> Result<(), SettingError> {
        check_smoothing(settings.smoothing)
    }

    fn fit(
        settings: &ItemMeanSettings,
        task: &FitTask<'_>,
        _observer: &mut dyn Observer,
    ) -> Result<FitReport, RecommenderError> {
        let mut state = State {
            overall: like_share(task.train),
            items: BTreeMap::new(),
        };
        let mut counted = BTreeSet::new();
        for sample in task.train {
            let mut count = |item: &Item, liked: bool| {
                let key = item_key(sample.domain, item);
                let again = sample
                    .user
                    .as_ref()
                    .is_some_and(|user| !counted.insert((user.clone(), key.clone())));
                if !again {
                    let entry = state.items.entry(key).or_default();
                    *entry = (entry.0 + u32::from(liked), entry.1 + 1);
                }
            };
            count(&sample.target, sample.label);
            if settings.count_history {
                for rated in &sample.history {
                    count(&rated.item, rated.liked);
                }
            }
        }
        write_json(&task.folder.join("state.json"), &state)?;
        Ok(FitReport {
            curve: Vec::new(),
            best_epoch: 0,
            valid_scores: Self::score(settings, &task.validation())?.likes,
        })
    }

    fn score(
        settings: &ItemMeanSettings,
        task: &ScoreTask<'_>,
    ) -> Result<Scores, RecommenderError> {
        let state: State = read_json(&task.folder.join("state.json"))?;
        let mut unknown = UnknownItems {
            targets: task.samples.len(),
            ..UnknownItems::default()
        };
        let mut mean = |sample: &Sample| {
            let key = item_key(sample.domain, &sample.target);
            let Some((likes, verdicts)) = state.items.get(&key) else {
                unknown.unknown_targets += 1;
                return state.overall;
            };
            let likes = f64::from(*likes) + settings.smoothing * state.overall;
            likes / (f64::from(*verdicts) + settings.smoothing)
        };
        Ok(Scores {
            likes: task.samples.iter().map(&mut mean).collect(),
            unknown,
        })
    }
}
