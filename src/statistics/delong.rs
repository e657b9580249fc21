//! DeLong's test for AUCs on the same rows, in O(n log n).
//!
//! DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver
//! operating characteristic curves", Biometrics 1988, with the mid-ranks of Sun and Xu, "Fast
//! implementation of DeLong's algorithm", IEEE Signal Processing Letters 2014.
//!
//! Where a system was trained with several seeds, its AUC is the mean over them. That is a mean
//! of U-statistics on the same rows, hence one itself: its placements are the means of the
//! placements, and nothing else changes. The seeds are held fixed; the spread is that over rows.

use statrs::distribution::{ContinuousCDF as _, Normal};

use super::comparison::{CannotSay, Comparison, Evidence, Interval, LEVEL, Test, Unit};
use super::mean::variance;

/// Where each row stands among the rows of the other class, for one system.
#[derive(Debug, Clone, PartialEq)]
pub struct Placements {
    /// For each liked row, the share of disliked rows it scores above, ties counting one half.
    likes: Vec<f64>,
    /// For each disliked row, the share of liked rows that score above it.
    dislikes: Vec<f64>,
}

impl Placements {
    /// The placements of one or several runs on the same rows, averaged over the runs.
    ///
    /// # Errors
    /// [`CannotSay::OneClass`], [`CannotSay::DifferentRows`] if a run has not a score for each
    /// label or there is no run, [`CannotSay::NotFinite`] for a score that is NaN.
    pub fn new<S: AsRef<[f64]>>(labels: &[bool], runs: &[S]) -> Result<Self, CannotSay> {
        let liked = labels.iter().filter(|label| **label).count();
        let disliked = labels.len() - liked;
        if liked == 0 || disliked == 0 {
            return Err(CannotSay::OneClass);
        }
        if runs.is_empty() || runs.iter().any(|run| run.as_ref().len() != labels.len()) {
            return Err(CannotSay::DifferentRows);
        }
        let mut sums = Self {
            likes: vec![0.0; liked],
            dislikes: vec![0.0; disliked],
        };
        let mut of_class = [0, 0];
        let within: Vec<usize> = labels
            .iter()
            .map(|label| {
                let next = &mut of_class[usize::from(*label)];
                *next += 1;
                *next - 1
            })
            .collect();
        for run in runs {
            let scores = run.as_ref();
            if scores.iter().any(|score| score.is_nan()) {
                return Err(CannotSay::NotFinite);
            }
            sums.add(labels, &within, scores);
        }
        for value in sums.likes.iter_mut().chain(&mut sums.dislikes) {
            *value /= runs.len() as f64;
        }
        Ok(sums)
    }

    /// The placements of a system that gives every row the same score: what guessing looks like.
    ///
    /// # Errors
    /// As [`Placements::new`].
    pub fn chance(labels: &[bool]) -> Result<Self, CannotSay> {
        Self::new(labels, &[vec![0.0; labels.len()]])
    }

    #[expect(clippy::float_cmp, reason = "only equal scores tie; 0.0 and -0.0 do")]
    fn add(&mut self, labels: &[bool], within: &[usize], scores: &[f64]) {
        let [liked, disliked] = [self.likes.len() as f64, self.dislikes.len() as f64];
        let mut order: Vec<usize> = (0..labels.len()).collect();
        order.sort_unstable_by(|&one, &two| scores[one].total_cmp(&scores[two]));
        let (mut likes_below, mut dislikes_below) = (0_usize, 0_usize);
        for tied in order.chunk_by(|&one, &two| scores[one] == scores[two]) {
            let likes = tied.iter().filter(|&&row| labels[row]).count();
            let dislikes = tied.len() - likes;
            // A mid-rank among both classes less the mid-rank in one's own is what stands here.
            let below = dislikes_below as f64 + dislikes as f64 / 2.0;
            let above = liked - likes_below as f64 - likes as f64 / 2.0;
            for &row in tied {
                if labels[row] {
                    self.likes[within[row]] += below / disliked;
                } else {
                    self.dislikes[within[row]] += above / liked;
                }
            }
            likes_below += likes;
            dislikes_below += dislikes;
        }
    }

    /// The AUC.
    #[must_use]
    pub fn area(&self) -> f64 {
        self.likes.iter().sum::<f64>() / self.likes.len() as f64
    }
}

/// The test of `one` − `other`: normal interval and two-sided p of z; unit: rows.
///
/// Silent where a class has fewer than two rows, where the two were scored on other rows, and
/// where they rank all rows alike.
#[must_use]
pub fn difference(one: &Placements, other: &Placements) -> Comparison {
    let rows = |placements: &Placements| placements.likes.len() + placements.dislikes.len();
    let n = [rows(one), rows(other)];
    let silent = |effect, reason| Comparison::silent(Test::Delong, n, effect, reason);
    if one.likes.len() != other.likes.len() || one.dislikes.len() != other.dislikes.len() {
        return silent(None, CannotSay::DifferentRows);
    }
    let effect = one.area() - other.area();
    let spread = |one: &[f64], other: &[f64]| {
        let differences: Vec<f64> = one
            .iter()
            .zip(other)
            .map(|(one, other)| one - other)
            .collect();
        Some(variance(&differences)? / differences.len() as f64)
    };
    let (Some(of_likes), Some(of_dislikes)) = (
        spread(&one.likes, &other.likes),
        spread(&one.dislikes, &other.dislikes),
    ) else {
        return silent(Some(effect), CannotSay::TooFewOfAClass);
    };
    let error = (of_likes + of_dislikes).sqrt();
    // Placements are shares of 1, so this is their rounding.
    if error <= 8.0 * f64::EPSILON {
        return silent(Some(effect), CannotSay::SameRanking(Unit::Rows));
    }
    let normal = Normal::standard();
    let reach = error * normal.inverse_cdf(0.5 + LEVEL / 2.0);
    let statistic = effect / error;
    Comparison {
        test: Test::Delong,
        n,
        effect: Some(effect),
        evidence: Ok(Evidence {
            interval: Interval {
                low: effect - reach,
                high: effect + reach,
                level: LEVEL,
            },
            p: (2.0 * normal.sf(statistic.abs())).min(1.0),
            statistic: Some(statistic),
            degrees_of_freedom: None,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: [bool; 6] = [true, false, true, false, true, false];

    #[test]
    fn placements_by_hand() {
        let placements =
            Placements::new(&LABELS, &[[0.9, 0.5, 0.5, 0.1, 0.2, 0.3]]).expect("both classes");
        let third = 1.0 / 3.0;
        let expected = Placements {
            likes: vec![1.0, (1.0 + 1.5) * third, third],
            dislikes: vec![(1.0 + 0.5) * third, 1.0, 2.0 * third],
        };
        let near = |one: &[f64], two: &[f64]| {
            one.iter()
                .zip(two)
                .all(|(one, two)| (one - two).abs() < 1e-15)
        };
        assert!(near(&placements.likes, &expected.likes), "{placements:?}");
        assert!(
            near(&placements.dislikes, &expected.dislikes),
            "{placements:?}"
        );
        assert!((placements.area() - 6.5 / 9.0).abs() < 1e-15);
    }

    #[test]
    fn silent_where_there_is_nothing_to_go_by() {
        let one = [0.9, 0.5, 0.5, 0.1, 0.2, 0.3];
        let placements = |scores: &[f64]| Placements::new(&LABELS, &[scores]).expect("classes");
        let reason = |comparison: Comparison| comparison.evidence.expect_err("silent");
        let louder: Vec<f64> = one.iter().map(|score| score * 7.0).collect();
        assert_eq!(
            reason(difference(&placements(&one), &placements(&louder))),
            CannotSay::SameRanking(Unit::Rows)
        );
        assert_eq!(
            Placements::new(&[true; 3], &[[0.1, 0.2, 0.3]]),
            Err(CannotSay::OneClass)
        );
        assert_eq!(
            Placements::new(&LABELS, &[[0.1, 0.2]]),
            Err(CannotSay::DifferentRows)
        );
        let few =
            |scores: [f64; 3]| Placements::new(&[true, false, false], &[scores]).expect("classes");
        assert_eq!(
            reason(difference(&few([0.1, 0.2, 0.3]), &few([0.3, 0.2, 0.1]))),
            CannotSay::TooFewOfAClass
        );
    }

    #[test]
    fn a_system_repeated_is_one_system() {
        let one = [0.9, 0.5, 0.5, 0.1, 0.2, 0.3];
        let other = [0.2, 0.3, 0.8, 0.7, 0.6, 0.1];
        let thrice = Placements::new(&LABELS, &[one; 3]).expect("classes");
        let once = Placements::new(&LABELS, &[one]).expect("classes");
        let other = Placements::new(&LABELS, &[other]).expect("classes");
        let [repeated, plain] =
            [thrice, once].map(|one| difference(&one, &other).evidence.expect("rows"));
        assert!((repeated.p - plain.p).abs() < 1e-12);
    }
}
