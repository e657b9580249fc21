//! Paired bootstrap for AUCs on the same rows: draws rows, or users with all their rows.
//!
//! All systems see the same draws, so the difference of two of them is that of AUCs on one
//! resampled test set; the seeds of a system are averaged within a draw and held fixed. Rows of
//! one user are alike, and an interval over rows is then too narrow; that over users is not.
//!
//! Intervals are percentiles. Bias correction (`BCa`) was left out: the AUC is unbiased and the
//! difference of two is close to symmetric, so it would move the ends by less than the noise of
//! the draws; `tests/statistics_coverage.rs` measures how often the intervals hold the truth.
//!
//! Draw `i` is a pure function of the seed and `i`, so neither threads nor their number change a
//! bit.

use rayon::prelude::*;

use super::comparison::{CannotSay, Comparison, Evidence, Interval, LEVEL, Test};
use crate::base::Random;

/// How many draws a report makes. The smallest p-value they can give is 2 / 10 001, which is
/// below 0.01 after Holm's correction for up to 50 comparisons.
pub const DRAWS: usize = 10_000;

/// The fewest rows or users to draw from. With fewer, percentile intervals are too narrow to be
/// shown to anybody.
pub const FEWEST_UNITS: usize = 10;

/// Of the draws at most this share may have only one class, for the rest would be a selection.
const MOST_UNDEFINED: f64 = 0.05;

/// Draws test sets from one test set.
#[derive(Debug, Clone)]
pub struct Resampler {
    test: Test,
    labels: Vec<bool>,
    /// The unit each row belongs to, as a position.
    unit_of: Vec<u32>,
    units: usize,
    seed: u64,
    draws: usize,
}

/// The AUC of one system in every draw.
#[derive(Debug, Clone, PartialEq)]
pub struct Resampled {
    test: Test,
    units: usize,
    observed: f64,
    /// In the order of the draws; none where a draw has only one class.
    areas: Vec<Option<f64>>,
}

impl Resampler {
    /// Draws single rows.
    ///
    /// # Errors
    /// [`CannotSay::TooFew`] or [`CannotSay::OneClass`].
    pub fn of_rows(labels: &[bool], seed: u64, draws: usize) -> Result<Self, CannotSay> {
        let unit_of = (0..labels.len() as u32).collect();
        Self::new(
            Test::BootstrapRows,
            labels,
            unit_of,
            labels.len(),
            seed,
            draws,
        )
    }

    /// Draws users with all their rows; `users` names the user of each row.
    ///
    /// # Errors
    /// [`CannotSay::NoUsers`] if a row has none, [`CannotSay::TooFew`], [`CannotSay::OneClass`],
    /// [`CannotSay::DifferentRows`] if there are not as many users as labels.
    pub fn of_users(
        labels: &[bool],
        users: &[Option<String>],
        seed: u64,
        draws: usize,
    ) -> Result<Self, CannotSay> {
        if users.len() != labels.len() {
            return Err(CannotSay::DifferentRows);
        }
        // By first appearance, so that users of one row each are numbered as rows are.
        let mut numbers = std::collections::BTreeMap::new();
        let unit_of = users
            .iter()
            .map(|user| {
                let user = user.as_deref().ok_or(CannotSay::NoUsers)?;
                let next = numbers.len() as u32;
                Ok(*numbers.entry(user).or_insert(next))
            })
            .collect::<Result<Vec<u32>, CannotSay>>()?;
        let units = numbers.len();
        Self::new(Test::BootstrapUsers, labels, unit_of, units, seed, draws)
    }

    fn new(
        test: Test,
        labels: &[bool],
        unit_of: Vec<u32>,
        units: usize,
        seed: u64,
        draws: usize,
    ) -> Result<Self, CannotSay> {
        if units < FEWEST_UNITS {
            return Err(CannotSay::TooFew {
                unit: test.unit(),
                have: units,
                needed: FEWEST_UNITS,
            });
        }
        if labels.iter().all(|label| *label) || !labels.contains(&true) {
            return Err(CannotSay::OneClass);
        }
        Ok(Self {
            test,
            labels: labels.to_vec(),
            unit_of,
            units,
            seed,
            draws,
        })
    }

    /// The AUCs of several systems in the same draws. A system is one or several runs (seeds),
    /// each a score for every row; its AUC is the mean over its runs.
    ///
    /// # Errors
    /// For each system by itself: [`CannotSay::DifferentRows`] if it has no run or a run has not
    /// as many scores as there are rows, [`CannotSay::NotFinite`] if one of them is NaN.
    #[must_use]
    pub fn areas<S: AsRef<[f64]>>(&self, systems: &[Vec<S>]) -> Vec<Result<Resampled, CannotSay>> {
        let ranked: Vec<Result<Vec<Ranking>, CannotSay>> = systems
            .iter()
            .map(|runs| {
                if runs.is_empty() {
                    return Err(CannotSay::DifferentRows);
                }
                runs.iter()
                    .map(|run| Ranking::new(&self.labels, run.as_ref()))
                    .collect()
            })
            .collect();
        let sound: Vec<&Vec<Ranking>> = ranked.iter().flatten().collect();
        let drawn: Vec<Vec<Option<f64>>> = (0..self.draws)
            .into_par_iter()
            .map(|draw| {
                let weights = self.weights(draw);
                sound.iter().map(|runs| mean_area(runs, &weights)).collect()
            })
            .collect();
        let once = vec![1; self.labels.len()];
        let mut position = 0;
        ranked
            .into_iter()
            .map(|runs| {
                let runs = runs?;
                let at = position;
                position += 1;
                Ok(Resampled {
                    test: self.test,
                    units: self.units,
                    observed: mean_area(&runs, &once).ok_or(CannotSay::OneClass)?,
                    areas: drawn.iter().map(|areas| areas[at]).collect(),
                })
            })
            .collect()
    }

    /// How often each row is in a draw.
    fn weights(&self, draw: usize) -> Vec<u32> {
        let mut random = Random::new(self.seed, &format!("bootstrap/{draw}"));
        let mut of_unit = vec![0_u32; self.units];
        for _ in 0..self.units {
            of_unit[random.below(self.units)] += 1;
        }
        let rows = self.unit_of.iter();
        rows.map(|&unit| of_unit[unit as usize]).collect()
    }
}

/// The rows of one run from the lowest score up.
#[derive(Debug)]
struct Ranking {
    rows: Vec<Ranked>,
}

#[derive(Debug, Clone, Copy)]
struct Ranked {
    row: u32,
    label: bool,
    /// Whether the next row has a higher score.
    ends_tie: bool,
}

impl Ranking {
    #[expect(clippy::float_cmp, reason = "only equal scores tie; 0.0 and -0.0 do")]
    fn new(labels: &[bool], scores: &[f64]) -> Result<Self, CannotSay> {
        if scores.len() != labels.len() {
            return Err(CannotSay::DifferentRows);
        }
        if scores.iter().any(|score| score.is_nan()) {
            return Err(CannotSay::NotFinite);
        }
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_unstable_by(|&one, &two| scores[one].total_cmp(&scores[two]));
        let rows = order
            .iter()
            .enumerate()
            .map(|(at, &row)| Ranked {
                row: row as u32,
                label: labels[row],
                ends_tie: order
                    .get(at + 1)
                    .is_none_or(|&next| scores[next] != scores[row]),
            })
            .collect();
        Ok(Self { rows })
    }

    /// The AUC where row `i` is there `weights[i]` times; none with one class only.
    fn area(&self, weights: &[u32]) -> Option<f64> {
        // Twice the pairs in the right order, ties counting once. A draw has no more rows than
        // fit into u32 times the largest cluster; u128 holds the product of any two such sums.
        let (mut likes, mut dislikes, mut doubled) = (0_u64, 0_u64, 0_u128);
        let mut tied = [0_u64; 2];
        for ranked in &self.rows {
            tied[usize::from(ranked.label)] += u64::from(weights[ranked.row as usize]);
            if ranked.ends_tie {
                let [disliked, liked] = tied;
                doubled += u128::from(liked) * u128::from(2 * dislikes + disliked);
                likes += liked;
                dislikes += disliked;
                tied = [0; 2];
            }
        }
        let pairs = u128::from(likes) * u128::from(dislikes);
        (pairs > 0).then(|| doubled as f64 / (2 * pairs) as f64)
    }
}

fn mean_area(runs: &[Ranking], weights: &[u32]) -> Option<f64> {
    let mut sum = 0.0;
    for run in runs {
        sum += run.area(weights)?;
    }
    Some(sum / runs.len() as f64)
}

impl Resampled {
    /// The AUC on the test set itself, averaged over the runs.
    #[must_use]
    pub fn observed(&self) -> f64 {
        self.observed
    }
}

/// The comparison of `one` − `other`, of one call of [`Resampler::areas`].
///
/// p is the smallest level at which the percentile interval leaves 0 out, with one draw added on
/// either side, so that it is never 0. Silent where more than one draw in twenty has only one
/// class, or the difference is the same in all draws.
#[must_use]
pub fn difference(one: &Resampled, other: &Resampled) -> Comparison {
    let n = [one.units, other.units];
    let effect = one.observed - other.observed;
    let silent = |reason| Comparison::silent(one.test, n, Some(effect), reason);
    let same_draws = one.test == other.test && one.areas.len() == other.areas.len();
    if !same_draws || one.units != other.units {
        return silent(CannotSay::DifferentRows);
    }
    let mut differences: Vec<f64> = one
        .areas
        .iter()
        .zip(&other.areas)
        .filter_map(|(one, other)| Some((*one)? - (*other)?))
        .collect();
    let draws = one.areas.len();
    let undefined = draws - differences.len();
    if undefined as f64 > MOST_UNDEFINED * draws as f64 || differences.is_empty() {
        return silent(CannotSay::UndefinedDraws { undefined, draws });
    }
    differences.sort_unstable_by(f64::total_cmp);
    let (low, high) = (differences[0], differences[differences.len() - 1]);
    if high - low <= 8.0 * f64::EPSILON {
        return silent(CannotSay::SameRanking(one.test.unit()));
    }
    let at_most_zero = differences.partition_point(|value| *value <= 0.0);
    let at_least_zero = differences.len() - differences.partition_point(|value| *value < 0.0);
    let beyond = at_most_zero.min(at_least_zero) + 1;
    Comparison {
        test: one.test,
        n,
        effect: Some(effect),
        evidence: Ok(Evidence {
            interval: Interval {
                low: quantile(&differences, (1.0 - LEVEL) / 2.0),
                high: quantile(&differences, f64::midpoint(1.0, LEVEL)),
                level: LEVEL,
            },
            p: (2.0 * beyond as f64 / (differences.len() + 1) as f64).min(1.0),
            statistic: None,
            degrees_of_freedom: None,
        }),
    }
}

/// The quantile of sorted values with linear interpolation, as NumPy's default.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::auc;

    /// Labels and two systems, the first of which knows something.
    fn rows(count: usize, seed: u64) -> (Vec<bool>, [Vec<f64>; 2]) {
        let mut random = Random::new(seed, "test");
        let labels: Vec<bool> = (0..count).map(|_| random.uniform() < 0.5).collect();
        let knows = |random: &mut Random, label: &bool, much: f64| {
            // Rounded, so that there are ties.
            let score = random.normal() + if *label { much } else { 0.0 };
            (score * 8.0).round() / 8.0
        };
        let scores = [0.8, 0.2].map(|much| {
            labels
                .iter()
                .map(|label| knows(&mut random, label, much))
                .collect()
        });
        (labels, scores)
    }

    fn compare(resampler: &Resampler, scores: &[Vec<f64>; 2]) -> Comparison {
        let systems: Vec<Vec<&Vec<f64>>> = scores.iter().map(|run| vec![run]).collect();
        let mut areas = resampler.areas(&systems).into_iter();
        let mut next = || areas.next().expect("two systems").expect("sound");
        difference(&next(), &next())
    }

    #[test]
    fn the_observed_area_is_the_metric() {
        let (labels, scores) = rows(200, 1);
        let resampler = Resampler::of_rows(&labels, 0, 10).expect("rows");
        let found = resampler.areas(&[vec![&scores[0]]]);
        let mut pairs: Vec<(f64, bool)> = scores[0].iter().copied().zip(labels).collect();
        let expected = auc::area(&mut pairs).expect("both classes");
        let found = found[0].as_ref().expect("sound").observed();
        assert!((found - expected).abs() < 1e-15);
    }

    #[test]
    fn a_draw_is_the_area_of_the_rows_drawn() {
        let (labels, scores) = rows(60, 2);
        let users: Vec<Option<String>> = (0..60).map(|row| Some(format!("{}", row % 20))).collect();
        let resampler = Resampler::of_users(&labels, &users, 7, 25).expect("users");
        let found = resampler.areas(&[vec![&scores[0]]]);
        let found = found[0].as_ref().expect("sound");
        for (draw, area) in found.areas.iter().enumerate() {
            let weights = resampler.weights(draw);
            let mut pairs: Vec<(f64, bool)> = Vec::new();
            for (row, weight) in weights.iter().enumerate() {
                assert_eq!(*weight, weights[row % 20], "rows of a user go together");
                for _ in 0..*weight {
                    pairs.push((scores[0][row], labels[row]));
                }
            }
            assert_eq!(pairs.len(), 60, "twenty users of three rows");
            assert_eq!(*area, auc::area(&mut pairs));
        }
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let (labels, scores) = rows(150, 3);
        let resampler = Resampler::of_rows(&labels, 11, 300).expect("rows");
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build()
                .expect("pool")
                .install(|| compare(&resampler, &scores))
        };
        assert_eq!(with(1), with(2));
        assert_eq!(with(1), with(7));
        let another = Resampler::of_rows(&labels, 12, 300).expect("rows");
        assert_ne!(compare(&another, &scores), with(1), "the seed matters");
    }

    #[test]
    fn users_of_one_row_are_rows() {
        let (labels, scores) = rows(100, 4);
        let users: Vec<Option<String>> = (0..100).map(|row| Some(format!("u{row}"))).collect();
        let by_rows = compare(&Resampler::of_rows(&labels, 5, 200).expect("rows"), &scores);
        let by_users = Resampler::of_users(&labels, &users, 5, 200).expect("users");
        let by_users = compare(&by_users, &scores);
        assert_eq!(by_rows.evidence, by_users.evidence);
        assert_eq!((by_rows.n, by_rows.test), ([100; 2], Test::BootstrapRows));
        assert_eq!(
            (by_users.n, by_users.test),
            ([100; 2], Test::BootstrapUsers)
        );
    }

    #[test]
    fn rows_of_one_user_that_go_together_widen_the_interval() {
        let (labels, scores) = rows(40, 6);
        let eight = |values: &[f64]| values.iter().flat_map(|value| [*value; 8]).collect();
        let labels: Vec<bool> = labels.iter().flat_map(|label| [*label; 8]).collect();
        let scores: [Vec<f64>; 2] = [eight(&scores[0]), eight(&scores[1])];
        let users: Vec<Option<String>> = (0..320).map(|row| Some((row / 8).to_string())).collect();
        let width = |resampler: Result<Resampler, CannotSay>| {
            let evidence = compare(&resampler.expect("enough"), &scores).evidence;
            let interval = evidence.expect("a spread").interval;
            interval.high - interval.low
        };
        let by_rows = width(Resampler::of_rows(&labels, 1, 1000));
        let by_users = width(Resampler::of_users(&labels, &users, 1, 1000));
        // The square root of eight, but for noise.
        assert!(
            (2.3..3.4).contains(&(by_users / by_rows)),
            "{by_users} {by_rows}"
        );
    }

    #[test]
    fn silent_where_there_is_nothing_to_go_by() {
        let labels = [
            true, false, true, false, true, false, true, false, true, false,
        ];
        let one_of = |name: &str| vec![Some(name.to_owned()); 10];
        assert!(matches!(
            Resampler::of_users(&labels, &one_of("a"), 0, 10).expect_err("one user"),
            CannotSay::TooFew { have: 1, .. }
        ));
        assert_eq!(
            Resampler::of_users(&labels, &vec![None; 10], 0, 10).expect_err("nobody"),
            CannotSay::NoUsers
        );
        assert_eq!(
            Resampler::of_rows(&[true; 10], 0, 10).expect_err("one class"),
            CannotSay::OneClass
        );
        let resampler = Resampler::of_rows(&labels, 0, 50).expect("rows");
        let scores: Vec<f64> = (0..10).map(f64::from).collect();
        let twice = [scores.clone(), scores.clone()];
        assert!(matches!(
            compare(&resampler, &twice).evidence,
            Err(CannotSay::SameRanking(_))
        ));
        let found = resampler.areas(&[vec![vec![0.5; 3]], vec![vec![f64::NAN; 10]], vec![scores]]);
        assert_eq!(found[0], Err(CannotSay::DifferentRows));
        assert_eq!(found[1], Err(CannotSay::NotFinite));
        assert!(found[2].is_ok(), "one bad system does not spoil the others");
        let mut rare = [false; 40];
        rare[0] = true;
        let resampler = Resampler::of_rows(&rare, 0, 200).expect("rows");
        let scores: [Vec<f64>; 2] = [
            (0..40).map(f64::from).collect(),
            (0..40).rev().map(f64::from).collect(),
        ];
        assert!(matches!(
            compare(&resampler, &scores).evidence,
            Err(CannotSay::UndefinedDraws { draws: 200, .. })
        ));
    }
}
