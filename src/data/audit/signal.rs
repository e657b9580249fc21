//! What labels depend on: the user, the item, or both.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::data::sample::{Item, Sample};

/// Area under the ROC curve of scores, ties counting half; `None` if a class is missing.
pub type Auc = fn(&[f64], &[bool]) -> Option<f64>;

/// How much one verdict on an item counts against not knowing it.
const PRIOR_WEIGHT: f64 = 5.0;

/// What scores without any training reach on a split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrivialScores {
    /// AUC of the share of likes in the row's own history: knows the user, not the item.
    pub user_like_share_auc: Option<f64>,
    /// AUC of the share of likes the target has in the training set: knows the item, not the user.
    pub item_like_share_auc: Option<f64>,
    /// Share of rows whose target has a verdict in the training set.
    pub known_targets: f64,
}

/// Whether verdicts of different users on one item agree once each user's own share of likes is
/// out of the way.
///
/// For every liked and disliked item in one history the training set's share of likes is
/// compared. If labels belong to their items, the liked one has the higher share in more than half
/// of the pairs. Being within one history, this cannot be explained by a user's leniency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TitleSignal {
    /// Rows of valid and test with a comparable pair.
    pub rows: usize,
    /// Pairs of a liked and a disliked item, both known from the training set.
    pub pairs: usize,
    /// Mean over the rows of the share of pairs in which the liked item has the higher share;
    /// equal shares count half. 0.5 is chance.
    pub agreement: f64,
    /// Standard error of that mean over rows (over users, where the source tells them).
    pub standard_error: f64,
}

/// The training set's share of likes by item.
pub(super) struct ItemShares {
    by_item: BTreeMap<String, (f64, f64)>,
    overall: f64,
}

impl ItemShares {
    pub(super) fn of(train: &[Sample]) -> Self {
        let mut seen = BTreeSet::new();
        let mut by_item: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        let (mut likes, mut all) = (0.0, 0.0);
        for sample in train {
            let rated = sample
                .history
                .iter()
                .map(|rated| (&rated.item, rated.liked));
            for (item, liked) in rated.chain([(&sample.target, sample.label)]) {
                // Histories of one user overlap from row to row; a verdict counts once.
                if let Some(user) = &sample.user
                    && !seen.insert((user.as_str(), item.id.as_str()))
                {
                    continue;
                }
                let liked = f64::from(u8::from(liked));
                let entry = by_item.entry(item.id.clone()).or_default();
                entry.0 += liked;
                entry.1 += 1.0;
                likes += liked;
                all += 1.0;
            }
        }
        Self {
            by_item,
            overall: if all > 0.0 { likes / all } else { 0.5 },
        }
    }

    fn known(&self, item: &Item) -> Option<f64> {
        self.by_item
            .get(&item.id)
            .map(|(likes, count)| (likes + PRIOR_WEIGHT * self.overall) / (count + PRIOR_WEIGHT))
    }
}

pub(super) fn trivial_scores(rows: &[Sample], shares: &ItemShares, auc: Auc) -> TrivialScores {
    let labels: Vec<bool> = rows.iter().map(|sample| sample.label).collect();
    let users: Vec<f64> = rows
        .iter()
        .map(|sample| {
            let likes = sample.history.iter().filter(|rated| rated.liked).count();
            if sample.history.is_empty() {
                0.5
            } else {
                likes as f64 / sample.history.len() as f64
            }
        })
        .collect();
    let known: Vec<Option<f64>> = rows
        .iter()
        .map(|sample| shares.known(&sample.target))
        .collect();
    let items: Vec<f64> = known
        .iter()
        .map(|share| share.unwrap_or(shares.overall))
        .collect();
    TrivialScores {
        user_like_share_auc: auc(&users, &labels),
        item_like_share_auc: auc(&items, &labels),
        known_targets: known.iter().flatten().count() as f64 / rows.len().max(1) as f64,
    }
}

pub(super) fn title_signal(rows: &[&Sample], shares: &ItemShares) -> Option<TitleSignal> {
    let mut units: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let (mut pairs, mut counted) = (0, 0);
    for (number, sample) in rows.iter().enumerate() {
        let verdicts = sample
            .history
            .iter()
            .map(|rated| (&rated.item, rated.liked));
        let known: Vec<(f64, bool)> = verdicts
            .chain([(&sample.target, sample.label)])
            .filter_map(|(item, liked)| shares.known(item).map(|share| (share, liked)))
            .collect();
        let (mut agreeing, mut count) = (0.0, 0);
        for (liked, _) in known.iter().filter(|(_, liked)| *liked) {
            for (disliked, _) in known.iter().filter(|(_, liked)| !*liked) {
                count += 1;
                agreeing += match liked.total_cmp(disliked) {
                    std::cmp::Ordering::Greater => 1.0,
                    std::cmp::Ordering::Equal => 0.5,
                    std::cmp::Ordering::Less => 0.0,
                };
            }
        }
        if count > 0 {
            pairs += count;
            counted += 1;
            let unit = sample
                .user
                .clone()
                .unwrap_or_else(|| format!("row {number}"));
            units
                .entry(unit)
                .or_default()
                .push(agreeing / f64::from(count));
        }
    }
    if units.len() < 2 {
        return None;
    }
    let means: Vec<f64> = units
        .values()
        .map(|values| values.iter().sum::<f64>() / values.len() as f64)
        .collect();
    let count = means.len() as f64;
    let mean = means.iter().sum::<f64>() / count;
    let variance = means
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>()
        / (count - 1.0);
    Some(TitleSignal {
        rows: counted,
        pairs: pairs as usize,
        agreement: mean,
        standard_error: (variance / count).sqrt(),
    })
}
