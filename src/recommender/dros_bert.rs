//! DROS-BERT: DROS that also reads the items' texts.
//!
//! Paper: TALLRec §3 (Bao et al., `RecSys` 2023): the variant of DROS in which BERT's vector of the
//! item's text is concatenated to the embedding of its identifier, as [`super::gru_bert`] does to
//! GRU4Rec. The robust term is that of [`super::dros`]; what deviates stands there and there.

use candle_core::Tensor;

use super::SettingError;
use super::sequence::settings::at_least_one;
use super::sequence::{Batch, Items, Network, RecurrentNetwork, sequence_settings};
use crate::base::Random;
use crate::nn::{Linear, NnError, VariableBuilder};
use crate::train::Robustness;

sequence_settings! {
    /// Settings of [`DrosBert`].
    pub struct DrosBertSettings {
        /// GRU layers. Paper: 4.
        pub layers: usize = 4,
        /// Width of the trained item embeddings (numbers); `hidden_size` is that of the GRU.
        /// Paper: 64.
        pub embedding_size: usize = 64,
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
    defaults { hidden_size: 1024 }
}

/// The method; see the module.
#[derive(Debug)]
pub struct DrosBert(RecurrentNetwork);

impl Network for DrosBert {
    type Settings = DrosBertSettings;

    const NAME: &'static str = "dros_bert";
    const SUMMARY: &'static str =
        "DROS with a frozen BERT vector of each item's text (Bao et al., 2023).";
    const NEEDS_ITEM_VECTORS: bool = true;

    fn check(settings: &DrosBertSettings) -> Result<(), SettingError> {
        at_least_one(&[
            ("layers", settings.layers),
            ("embedding_size", settings.embedding_size),
        ])?;
        Self::robustness(settings).map_or(Ok(()), super::dros::check)
    }

    fn build(
        settings: &DrosBertSettings,
        items: Items<'_>,
        builder: &mut VariableBuilder,
    ) -> Result<Self, NnError> {
        let embedding = settings.embedding_size;
        RecurrentNetwork::new(builder, settings, embedding, settings.layers, items).map(Self)
    }

    fn features(&self, batch: &Batch, random: Option<&mut Random>) -> Result<Tensor, NnError> {
        self.0.features(batch, random)
    }

    fn output(&self) -> &Linear {
        self.0.output()
    }

    fn robustness(settings: &DrosBertSettings) -> Option<Robustness> {
        Some(Robustness {
            weight: settings.dro_weight,
            temperature: settings.temperature,
            propensity_power: settings.propensity_power,
        })
    }
}
