//! DROS: GRU4Rec with a loss that is robust against shifts of what is popular.
//!
//! Paper: Yang, He, Zhang, Wu, Xin, Chen and Wang, "A Generic Learning Framework for Sequential
//! Recommendation with Distribution Shifts", SIGIR 2023. Reference: the authors' DROS repository,
//! its GRU with the term of [`Robustness`]. TALLRec's authors built all their baselines on it.
//!
//! Deviates: the loss beside the term is TALLRec's (sigmoid on the target's output, its label)
//! and not that of sampled negatives; propensities are counted over the targets of the K training
//! rows, likes and dislikes alike; and as [`super::gru4rec`] does.

use candle_core::Tensor;

use super::SettingError;
use super::sequence::settings::{above_zero, at_least_one, not_negative};
use super::sequence::{Batch, Items, Network, RecurrentNetwork, sequence_settings};
use crate::base::Random;
use crate::nn::{Linear, NnError, VariableBuilder};
use crate::train::Robustness;

sequence_settings! {
    /// Settings of [`Dros`].
    pub struct DrosSettings {
        /// GRU layers. Paper: 1 (4 for DROS-BERT).
        pub layers: usize = 1,
        /// α, how much the robust term counts beside the loss, at least 0. DROS: 0.1; TALLRec:
        /// not told.
        pub dro_weight: f64 = 0.1,
        /// β, the temperature of the robust term, above 0: the lower, the more the items with the
        /// worst outputs count. DROS: 1.0; TALLRec: not told.
        pub temperature: f64 = 1.0,
        /// Power that the items' shares of the training targets are raised to, at least 0; 0 makes
        /// all items count alike. The DROS repository: 0.05 (0.5 in one of its scripts).
        pub propensity_power: f64 = 0.05,
    }
}

/// Checks what types cannot say of the robust term.
///
/// # Errors
/// The setting that is out of range.
pub fn check(robustness: Robustness) -> Result<(), SettingError> {
    not_negative("dro_weight", robustness.weight)?;
    above_zero("temperature", robustness.temperature)?;
    not_negative("propensity_power", robustness.propensity_power)
}

/// The method; see the module.
#[derive(Debug)]
pub struct Dros(RecurrentNetwork);

impl Network for Dros {
    type Settings = DrosSettings;

    const NAME: &'static str = "dros";
    const SUMMARY: &'static str =
        "GRU4Rec with a distributionally robust loss (Yang et al., 2023).";

    fn check(settings: &DrosSettings) -> Result<(), SettingError> {
        at_least_one(&[("layers", settings.layers)])?;
        Self::robustness(settings).map_or(Ok(()), check)
    }

    fn build(
        settings: &DrosSettings,
        items: Items<'_>,
        builder: &mut VariableBuilder,
    ) -> Result<Self, NnError> {
        let embedding = settings.hidden_size;
        RecurrentNetwork::new(builder, settings, embedding, settings.layers, items).map(Self)
    }

    fn features(&self, batch: &Batch, random: Option<&mut Random>) -> Result<Tensor, NnError> {
        self.0.features(batch, random)
    }

    fn output(&self) -> &Linear {
        self.0.output()
    }

    fn robustness(settings: &DrosSettings) -> Option<Robustness> {
        Some(Robustness {
            weight: settings.dro_weight,
            temperature: settings.temperature,
            propensity_power: settings.propensity_power,
        })
    }
}
