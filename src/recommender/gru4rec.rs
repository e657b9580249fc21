//! GRU4Rec: a GRU over the history, a linear layer to the items.
//!
//! Paper: Hidasi, Karatzoglou, Baltrunas and Tikk, "Session-based recommendations with
//! recurrent neural networks", ICLR 2016. Reference: the GRU of the DROS repository, on which
//! TALLRec's authors say they built their baselines: embedding ~ N(0, 0.01²), `torch.nn.GRU`,
//! `torch.nn.Linear` to all items, the target's output as the score, sigmoid on top.
//!
//! Deviates: only the target's row of the output layer is computed (the loss sees no other);
//! dropout, which TALLRec names and does not place, acts on the embedded history; the width of
//! the feedback embedding, the batch size, the number of epochs, the patience and how often
//! validation comes are ours, the paper does not tell them.

use candle_core::Tensor;

use super::SettingError;
use super::sequence::settings::at_least_one;
use super::sequence::{Batch, Items, Network, RecurrentNetwork, sequence_settings};
use crate::base::Random;
use crate::nn::{Linear, NnError, VariableBuilder};

sequence_settings! {
    /// Settings of [`Gru4Rec`].
    pub struct Gru4RecSettings {
        /// GRU layers. Paper: 1 (4 for GRU-BERT).
        pub layers: usize = 1,
    }
}

/// The method; see the module.
#[derive(Debug)]
pub struct Gru4Rec(RecurrentNetwork);

impl Network for Gru4Rec {
    type Settings = Gru4RecSettings;

    const NAME: &'static str = "gru4rec";
    const SUMMARY: &'static str = "A GRU over the history's item embeddings (Hidasi et al., 2016).";

    fn check(settings: &Gru4RecSettings) -> Result<(), SettingError> {
        at_least_one(&[("layers", settings.layers)])
    }

    fn build(
        settings: &Gru4RecSettings,
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
}
