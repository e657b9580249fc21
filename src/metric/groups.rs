//! Rows by the candidate list they are of.

use std::collections::BTreeMap;

use super::{Measured, MetricError, Prediction, auc};

/// The mean of `value` over users who have liked and disliked rows, unweighted. It is given each
/// one's groups of equal scores, the best first: how many rows, and how many of them liked.
#[expect(clippy::float_cmp, reason = "only equal scores tie; 0.0 and -0.0 do")]
pub(super) fn mean(
    predictions: &[Prediction],
    value: impl Fn(&[(usize, usize)]) -> f64,
) -> Result<Measured, MetricError> {
    auc::check_numbers(predictions)?;
    let mut users: BTreeMap<&str, Vec<(f64, bool)>> = BTreeMap::new();
    for prediction in predictions {
        let Some(user) = &prediction.user else {
            return Ok(Measured::undefined(0, "rows without a user"));
        };
        let pair = (prediction.score, prediction.label);
        users.entry(user).or_default().push(pair);
    }
    let all = users.len();
    let mut values = Vec::new();
    for pairs in users.values_mut() {
        let liked = pairs.iter().filter(|pair| pair.1).count();
        if liked == 0 || liked == pairs.len() {
            continue;
        }
        pairs.sort_unstable_by(|one, two| two.0.total_cmp(&one.0));
        let ties: Vec<(usize, usize)> = pairs
            .chunk_by(|one, two| one.0 == two.0)
            .map(|tied| (tied.len(), tied.iter().filter(|pair| pair.1).count()))
            .collect();
        values.push(value(&ties));
    }
    if values.is_empty() {
        let note = if all == 0 {
            "no rows"
        } else {
            "no user has both classes"
        };
        return Ok(Measured::undefined(0, note));
    }
    let counted = values.len();
    let mut measured = Measured::value(values.iter().sum::<f64>() / counted as f64, counted);
    measured.note = Some(format!("{counted} of {all} users have both classes"));
    Ok(measured)
}
