//! How an experiment wants its claims tested.

use serde::{Deserialize, Serialize};

use super::comparison::Test;

/// The `statistics:` of an experiment's `report:`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Claims {
    /// The test behind every "significantly better".
    pub test: Test,
    /// The level: how often such a claim may be made where there is no difference.
    pub alpha: f64,
    /// What is done about many comparisons at once.
    pub correction: Correction,
}

impl Default for Claims {
    /// The paper's: a t-test over seeds, p < 0.01 (Table 3). The paper does not say which t-test;
    /// here it is the paired one, since systems with the same seed learn from the same draw. The
    /// correction is ours.
    fn default() -> Self {
        Self {
            test: Test::PairedT,
            alpha: 0.01,
            correction: Correction::Holm,
        }
    }
}

/// What is done about many comparisons at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    /// Holm's.
    Holm,
    /// Nothing: every comparison for itself.
    None,
}

impl Correction {
    /// All corrections.
    pub const ALL: [Self; 2] = [Self::Holm, Self::None];

    /// The name in YAML.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Holm => "holm",
            Self::None => "none",
        }
    }

    /// The correction of a name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// Corrected p-values, in the order given.
    #[must_use]
    pub fn apply(self, p_values: &[Option<f64>]) -> Vec<Option<f64>> {
        match self {
            Self::Holm => super::holm::adjust(p_values),
            Self::None => p_values.to_vec(),
        }
    }

    /// What to say about it after a p-value: `Holm-corrected over 12 comparisons`.
    #[must_use]
    pub fn words(self, comparisons: usize) -> String {
        let plural = if comparisons == 1 { "" } else { "s" };
        match self {
            Self::Holm => format!("Holm-corrected over {comparisons} comparison{plural}"),
            Self::None => format!("not corrected for {comparisons} comparison{plural}"),
        }
    }
}
