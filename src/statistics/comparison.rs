//! What a test says about a difference: all that a reader needs to judge it, or why it is silent.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How sure an interval is unless somebody says otherwise.
pub const LEVEL: f64 = 0.95;

/// A test of a difference, by the name YAML and result files use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// Student's t-test of the differences between systems that had the same seeds.
    PairedT,
    /// Welch's t-test, which takes the seeds of the two systems as unrelated.
    WelchT,
    /// Percentile bootstrap that draws whole users, with all their rows.
    BootstrapUsers,
    /// Percentile bootstrap that draws single rows.
    BootstrapRows,
    /// The test of DeLong et al. (1988) for two AUCs on the same rows.
    Delong,
}

impl Test {
    /// All tests, in the order reports name them.
    pub const ALL: [Self; 5] = [
        Self::PairedT,
        Self::WelchT,
        Self::BootstrapUsers,
        Self::BootstrapRows,
        Self::Delong,
    ];

    /// The name in YAML and in result files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PairedT => "paired_t",
            Self::WelchT => "welch_t",
            Self::BootstrapUsers => "bootstrap_users",
            Self::BootstrapRows => "bootstrap_rows",
            Self::Delong => "delong",
        }
    }

    /// The test of a name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|test| test.name() == name)
    }

    /// The name in a sentence.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::PairedT => "paired t-test",
            Self::WelchT => "Welch's t-test",
            Self::BootstrapUsers | Self::BootstrapRows => "paired bootstrap",
            Self::Delong => "DeLong's test",
        }
    }

    /// What the test counts as independent.
    #[must_use]
    pub fn unit(self) -> Unit {
        match self {
            Self::PairedT | Self::WelchT => Unit::Seeds,
            Self::BootstrapUsers => Unit::Users,
            Self::BootstrapRows | Self::Delong => Unit::Rows,
        }
    }
}

impl fmt::Display for Test {
    /// `paired t-test over seeds`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} over {}", self.words(), self.unit())
    }
}

/// What a test takes as its independent pieces: what would be drawn anew if all was done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Draws of training samples with the trainings on them.
    Seeds,
    /// Rows of the test split, each for itself.
    Rows,
    /// Users, each with all of their rows.
    Users,
}

impl fmt::Display for Unit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Seeds => "seeds",
            Self::Rows => "rows",
            Self::Users => "users",
        })
    }
}

/// Where the true effect lies, as far as the sample tells.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end, in the unit of the effect.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// How often such intervals hold the true value: 0.95.
    pub level: f64,
}

/// What stands behind an effect.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Interval for the effect.
    pub interval: Interval,
    /// Two-sided p-value of "there is no difference".
    pub p: f64,
    /// t or z; none for a bootstrap.
    pub statistic: Option<f64>,
    /// Degrees of freedom of t.
    pub degrees_of_freedom: Option<f64>,
}

/// Why a test is silent.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CannotSay {
    /// A spread over seeds needs two of them.
    #[error("too few seeds to say ({0})")]
    TooFewSeeds(usize),
    /// All differences are equal, so their spread gives no scale to judge them by.
    #[error("the values do not vary over seeds, so a t-test has no scale")]
    NoSpread,
    /// There is no AUC with one class only.
    #[error("only one class, so there is no AUC")]
    OneClass,
    /// A spread over the rows of a class needs two of them.
    #[error("fewer than two rows of a class")]
    TooFewOfAClass,
    /// The two systems order all pairs of rows alike, or differ by the same for all.
    #[error("the two rank the rows alike, so there is no spread over {0}")]
    SameRanking(Unit),
    /// A bootstrap over a handful of clusters is too sure of itself.
    #[error("too few {unit} to say ({have}, needed: {needed})")]
    TooFew {
        /// What is too few.
        unit: Unit,
        /// How many there are.
        have: usize,
        /// How many it takes.
        needed: usize,
    },
    /// Rows do not say whose they are.
    #[error("the rows have no users")]
    NoUsers,
    /// A paired test needs one and the same test set.
    #[error("the two were not scored on the same rows")]
    DifferentRows,
    /// Some draws have only one class.
    #[error("{undefined} of {draws} draws have only one class")]
    UndefinedDraws {
        /// Draws without an AUC.
        undefined: usize,
        /// All draws.
        draws: usize,
    },
    /// A value is infinite or not a number.
    #[error("a value is not a finite number")]
    NotFinite,
    /// A reason in words: there are no predictions to go by, say, or it was read from a file.
    #[error("{0}")]
    Told(String),
}

/// A difference between two systems and what a test says about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The test.
    pub test: Test,
    /// How many units either side has; equal where the test pairs them.
    pub n: [usize; 2],
    /// The first minus the second, in the unit of the metric; none where one has no value.
    pub effect: Option<f64>,
    /// What stands behind it.
    pub evidence: Result<Evidence, CannotSay>,
}

impl Comparison {
    /// A comparison that is silent.
    #[must_use]
    pub fn silent(test: Test, n: [usize; 2], effect: Option<f64>, reason: CannotSay) -> Self {
        Self {
            test,
            n,
            effect,
            evidence: Err(reason),
        }
    }

    /// What it comes to at level `alpha`, with `p` in place of the comparison's own where it was
    /// corrected.
    #[must_use]
    pub fn verdict(&self, alpha: f64, p: Option<f64>, higher_is_better: bool) -> Verdict {
        match (&self.evidence, self.effect) {
            (Ok(evidence), Some(effect)) => {
                Verdict::of(effect, p.unwrap_or(evidence.p), alpha, higher_is_better)
            }
            _ => Verdict::CannotSay,
        }
    }
}

/// What a comparison comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The first is better, by more than chance explains.
    Better,
    /// The first is worse, by more than chance explains.
    Worse,
    /// Chance alone explains the difference. They need not be equal.
    NotToldApart,
    /// The test is silent.
    CannotSay,
}

impl Verdict {
    /// The verdict on an effect with this p-value.
    #[must_use]
    pub fn of(effect: f64, p: f64, alpha: f64, higher_is_better: bool) -> Self {
        if p >= alpha || effect == 0.0 {
            Self::NotToldApart
        } else if (effect > 0.0) == higher_is_better {
            Self::Better
        } else {
            Self::Worse
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::NotToldApart => "not told apart",
            Self::CannotSay => "cannot say",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_serde_and_read_back() {
        for test in Test::ALL {
            assert_eq!(Test::find(test.name()), Some(test));
            assert_eq!(serde_json::json!(test), test.name());
        }
        assert_eq!(Test::find("t"), None);
        assert_eq!(
            Test::BootstrapUsers.to_string(),
            "paired bootstrap over users"
        );
    }

    #[test]
    fn verdicts_know_the_direction() {
        assert_eq!(Verdict::of(0.1, 0.001, 0.01, true), Verdict::Better);
        assert_eq!(Verdict::of(0.1, 0.001, 0.01, false), Verdict::Worse);
        assert_eq!(Verdict::of(-0.1, 0.001, 0.01, false), Verdict::Better);
        assert_eq!(Verdict::of(-0.1, 0.01, 0.01, true), Verdict::NotToldApart);
        assert_eq!(Verdict::of(0.0, 0.0, 0.01, true), Verdict::NotToldApart);
        let silent =
            Comparison::silent(Test::PairedT, [1, 1], Some(0.1), CannotSay::TooFewSeeds(1));
        assert_eq!(silent.verdict(0.01, Some(0.0), true), Verdict::CannotSay);
    }
}
