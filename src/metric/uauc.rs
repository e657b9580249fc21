//! AUC per user, averaged: does a system rank one user's items, or only users?

use std::collections::BTreeMap;

use super::{Direction, Measured, Metric, MetricError, Prediction, auc};

/// The unweighted mean over users of each user's AUC.
///
/// A user whose rows all have one class has no AUC and is left out; `n` is the number of users
/// that count, and the note says how many do not. Undefined where rows have no user.
#[derive(Debug, Clone, Copy)]
pub struct Uauc;

impl Metric for Uauc {
    fn name(&self) -> &'static str {
        "uauc"
    }

    fn summary(&self) -> &'static str {
        "The mean of each user's own AUC, over users with both likes and dislikes, unweighted."
    }

    fn unit(&self) -> &'static str {
        "probability"
    }

    fn direction(&self) -> Direction {
        Direction::HigherIsBetter
    }

    fn compute(&self, predictions: &[Prediction]) -> Result<Measured, MetricError> {
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
        let areas: Vec<f64> = users
            .values_mut()
            .filter_map(|pairs| auc::area(pairs))
            .collect();
        if areas.is_empty() {
            let note = if all == 0 {
                "no rows"
            } else {
                "no user has both classes"
            };
            return Ok(Measured::undefined(0, note));
        }
        let counted = areas.len();
        let mut measured = Measured::value(areas.iter().sum::<f64>() / counted as f64, counted);
        measured.note = Some(format!("{counted} of {all} users have both classes"));
        Ok(measured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let rows: Vec<Prediction> = [
            ("a", true, 0.9),
            ("a", false, 0.1),
            ("b", true, 0.2),
            ("b", false, 0.2),
            ("c", true, 0.4),
        ]
        .iter()
        .enumerate()
        .map(|(row, (user, label, score))| Prediction {
            row: row as u32,
            user: Some((*user).to_owned()),
            label: *label,
            score: *score,
        })
        .collect();
        let measured = Uauc.compute(&rows).expect("finite");
        assert_eq!((measured.value, measured.n), (Some(0.75), 2));
        assert_eq!(
            measured.note.as_deref(),
            Some("2 of 3 users have both classes")
        );
        let mut anonymous = rows;
        anonymous[0].user = None;
        assert_eq!(Uauc.compute(&anonymous).expect("finite").value, None);
    }
}
