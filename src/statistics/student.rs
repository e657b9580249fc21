//! Student's t: the interval of a mean, the paired test, and Welch's for unequal variances.
//!
//! Same numbers as `scipy.stats.ttest_rel`, `ttest_1samp` and `ttest_ind(equal_var=False)`
//! (`tests/parity_statistics.rs`). Where SciPy answers nan, or p = 0 for constant samples that
//! differ, these tests are silent: two seeds that gave the same number twice are no proof.

use statrs::distribution::{ContinuousCDF as _, StudentsT};

use super::comparison::{CannotSay, Comparison, Evidence, Interval, LEVEL, Test};
use super::mean::{mean, variance};

/// The paired t-test of `one` − `other`, values of the same seeds in the same order.
///
/// Units: those of the values. Silent for fewer than two pairs, differences that do not vary, and
/// values that are not finite. The shorter slice decides how many pairs there are.
#[must_use]
pub fn paired(one: &[f64], other: &[f64]) -> Comparison {
    let differences: Vec<f64> = one
        .iter()
        .zip(other)
        .map(|(one, other)| one - other)
        .collect();
    let largest = largest(one.iter().chain(other));
    of_sample(&differences, largest)
}

/// The t-test of one sample's mean against a fixed number, such as the AUC of guessing.
///
/// Its interval is Student's interval of the mean, shifted by `fixed`.
#[must_use]
pub fn one_sample(values: &[f64], fixed: f64) -> Comparison {
    paired(values, &vec![fixed; values.len()])
}

/// Welch's t-test of `one` − `other`, with the Welch–Satterthwaite degrees of freedom.
///
/// Silent for fewer than two values on a side, two sides that do not vary, and values that are
/// not finite.
#[must_use]
pub fn welch(one: &[f64], other: &[f64]) -> Comparison {
    let n = [one.len(), other.len()];
    let effect = mean(one).zip(mean(other)).map(|(one, other)| one - other);
    let silent = |reason| Comparison::silent(Test::WelchT, n, effect, reason);
    let (Some(effect), Some(of_one), Some(of_other)) = (effect, variance(one), variance(other))
    else {
        return silent(CannotSay::TooFewSeeds(n[0].min(n[1])));
    };
    if !effect.is_finite() {
        return silent(CannotSay::NotFinite);
    }
    let [of_one, of_other] = [of_one / n[0] as f64, of_other / n[1] as f64];
    let squared = of_one + of_other;
    let largest = largest(one.iter().chain(other));
    if is_rounding(squared.sqrt(), largest) {
        return silent(CannotSay::NoSpread);
    }
    let degrees = squared.powi(2)
        / (of_one.powi(2) / (n[0] - 1) as f64 + of_other.powi(2) / (n[1] - 1) as f64);
    Comparison {
        test: Test::WelchT,
        n,
        effect: Some(effect),
        evidence: evidence(effect, squared.sqrt(), degrees),
    }
}

fn of_sample(differences: &[f64], largest: f64) -> Comparison {
    let n = [differences.len(); 2];
    let effect = mean(differences);
    let silent = |reason| Comparison::silent(Test::PairedT, n, effect, reason);
    let (Some(effect), Some(variance)) = (effect, variance(differences)) else {
        return silent(CannotSay::TooFewSeeds(n[0]));
    };
    if !effect.is_finite() {
        return silent(CannotSay::NotFinite);
    }
    let error = (variance / n[0] as f64).sqrt();
    if is_rounding(error, largest) {
        return silent(CannotSay::NoSpread);
    }
    Comparison {
        test: Test::PairedT,
        n,
        effect: Some(effect),
        evidence: evidence(effect, error, (n[0] - 1) as f64),
    }
}

fn largest<'v>(values: impl Iterator<Item = &'v f64>) -> f64 {
    values.fold(0.0, |largest, value| largest.max(value.abs()))
}

/// Whether a spread is nothing but the rounding of numbers of this size: 0.3 − 0.2 and 0.4 − 0.3
/// are the same difference and not the same `f64`.
fn is_rounding(error: f64, largest: f64) -> bool {
    error <= 8.0 * f64::EPSILON * largest
}

fn evidence(effect: f64, error: f64, degrees: f64) -> Result<Evidence, CannotSay> {
    let student = StudentsT::new(0.0, 1.0, degrees).map_err(|_| CannotSay::NotFinite)?;
    let statistic = effect / error;
    let reach = error * student.inverse_cdf(0.5 + LEVEL / 2.0);
    if !reach.is_finite() {
        return Err(CannotSay::NotFinite);
    }
    Ok(Evidence {
        interval: Interval {
            low: effect - reach,
            high: effect + reach,
            level: LEVEL,
        },
        // The survival function keeps small p-values; 1 − cdf would lose them.
        p: (2.0 * student.sf(statistic.abs())).min(1.0),
        statistic: Some(statistic),
        degrees_of_freedom: Some(degrees),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silent_where_there_is_nothing_to_go_by() {
        let reason = |comparison: Comparison| comparison.evidence.expect_err("silent");
        assert_eq!(reason(paired(&[0.7], &[0.5])), CannotSay::TooFewSeeds(1));
        assert_eq!(reason(paired(&[], &[])), CannotSay::TooFewSeeds(0));
        assert_eq!(
            reason(welch(&[0.7], &[0.5, 0.6])),
            CannotSay::TooFewSeeds(1)
        );
        assert_eq!(
            reason(paired(&[0.3, 0.4, 0.8], &[0.2, 0.3, 0.7])),
            CannotSay::NoSpread,
            "equal but for rounding"
        );
        assert_eq!(reason(welch(&[0.7; 3], &[0.5; 3])), CannotSay::NoSpread);
        assert_eq!(
            reason(paired(&[f64::INFINITY, 1.0], &[0.0, 0.0])),
            CannotSay::NotFinite
        );
        // The effect is known all the same.
        let effect = paired(&[0.7; 3], &[0.5; 3]).effect.expect("known");
        assert!((effect - 0.2).abs() < 1e-12);
    }

    #[test]
    fn a_mean_against_a_number_has_the_interval_of_the_mean() {
        // scipy.stats.t.interval(0.95, 4, mean, sem) of these values.
        let values = [67.21, 66.89, 67.94, 67.03, 68.11];
        let found = one_sample(&values, 50.0).evidence.expect("five seeds");
        assert!(
            (found.interval.low + 50.0 - 66.749_616_947).abs() < 1e-6,
            "{found:?}"
        );
        assert!(
            (found.interval.high + 50.0 - 68.122_383_053).abs() < 1e-6,
            "{found:?}"
        );
    }
}
