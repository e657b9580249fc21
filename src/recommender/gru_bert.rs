//! GRU-BERT: GRU4Rec that also reads the items' texts.
//!
//! Paper: TALLRec §3 (Bao et al., `RecSys` 2023): "a variant of GRU4Rec that incorporates a
//! pretrained BERT to encode text information": the vector of `[CLS]` of the item's text is
//! concatenated to the embedding of its identifier. 4 GRU layers of width 1024, embeddings of 64,
//! bert-base-uncased. There is no published code; the rest is as in [`super::gru4rec`].
//!
//! BERT is frozen: its vectors are an input (the stage `embed_items` makes them, once for all
//! trainings), and only the embeddings of identifiers and feedback, the GRU and the output are
//! trained. Whether the paper tuned BERT too is not told. An item that training did not know
//! (another domain's, at test) has the embedding of *unknown* and a vector of zeros.

use candle_core::Tensor;

use super::SettingError;
use super::sequence::settings::at_least_one;
use super::sequence::{Batch, Items, Network, RecurrentNetwork, sequence_settings};
use crate::base::Random;
use crate::nn::{Linear, NnError, VariableBuilder};

sequence_settings! {
    /// Settings of [`GruBert`].
    pub struct GruBertSettings {
        /// GRU layers. Paper: 4.
        pub layers: usize = 4,
        /// Width of the trained item embeddings (numbers); `hidden_size` is that of the GRU.
        /// Paper: 64.
        pub embedding_size: usize = 64,
    }
    defaults { hidden_size: 1024 }
}

/// The method; see the module.
#[derive(Debug)]
pub struct GruBert(RecurrentNetwork);

impl Network for GruBert {
    type Settings = GruBertSettings;

    const NAME: &'static str = "gru_bert";
    const SUMMARY: &'static str =
        "GRU4Rec with a frozen BERT vector of each item's text (Bao et al., 2023).";
    const NEEDS_ITEM_VECTORS: bool = true;

    fn check(settings: &GruBertSettings) -> Result<(), SettingError> {
        at_least_one(&[
            ("layers", settings.layers),
            ("embedding_size", settings.embedding_size),
        ])
    }

    fn build(
        settings: &GruBertSettings,
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
}
