//! What is too good, or too flat, to be true.

use super::{Prediction, auc};

/// Warnings about predictions that usually mean a mistake upstream: all scores equal, or an AUC
/// of exactly 1 (answer ids of another vocabulary, labels among the features). Whoever does not
/// rank (`ranks` false, such as the majority baseline) may give equal scores.
#[must_use]
#[expect(clippy::float_cmp, reason = "the question is whether all are equal")]
pub fn suspicions(predictions: &[Prediction], ranks: bool) -> Vec<String> {
    let mut found = Vec::new();
    let Some(first) = predictions.first() else {
        return found;
    };
    let rows = predictions.len();
    if ranks && rows > 1 && predictions.iter().all(|row| row.score == first.score) {
        found.push(format!(
            "all {rows} scores are {}: this ranks nothing, its AUC is 0.5",
            first.score
        ));
    }
    let mut pairs: Vec<(f64, bool)> = predictions
        .iter()
        .filter(|row| !row.score.is_nan())
        .map(|row| (row.score, row.label))
        .collect();
    if rows >= 20 && auc::area(&mut pairs) == Some(1.0) {
        found.push(format!(
            "the AUC over {rows} rows is exactly 1: look for labels that leak into the scores"
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perfect_and_constant_are_suspect_and_good_is_not() {
        let rows = |score: fn(u32) -> f64| -> Vec<Prediction> {
            (0..40)
                .map(|row| Prediction {
                    row,
                    user: None,
                    label: row % 2 == 0,
                    score: score(row),
                })
                .collect()
        };
        assert!(suspicions(&rows(|_| 0.25), true)[0].starts_with("all 40 scores are 0.25"));
        assert!(suspicions(&rows(|row| f64::from(1 - row % 2)), true)[0].contains("exactly 1"));
        assert!(suspicions(&rows(|row| f64::from(row % 7)), true).is_empty());
        assert!(suspicions(&[], true).is_empty());
        assert!(suspicions(&rows(|_| 0.25), false).is_empty());
    }
}
