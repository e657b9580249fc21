//! The network that GRU4Rec, DROS and their variants with text vectors have in common.

use candle_core::Tensor;

use super::{Batch, HistoryEmbedding, Items, SequenceSettings};
use crate::base::Random;
use crate::nn::gru::Purpose;
use crate::nn::{Dropout, Gru, Linear, NnError, VariableBuilder};

/// The embedded history, dropout, GRU layers, a linear layer from the last state to all items.
///
/// Variables have the names of the DROS repository's GRU: `item_embeddings`, `gru`, `s_fc`, and
/// `feedback_embeddings`, which it does not have.
#[derive(Debug)]
pub struct RecurrentNetwork {
    history: HistoryEmbedding,
    dropout: Dropout,
    gru: Gru,
    output: Linear,
}

impl RecurrentNetwork {
    /// Makes the layers: item embeddings of width `embedding`, `layers` GRU layers of the width
    /// that `settings` say.
    ///
    /// # Errors
    /// See [`VariableBuilder::variable`].
    pub fn new(
        builder: &mut VariableBuilder,
        settings: &impl SequenceSettings,
        embedding: usize,
        layers: usize,
        items: Items<'_>,
    ) -> Result<Self, NnError> {
        let shared = settings.shared();
        let hidden = shared.hidden_size;
        let history = HistoryEmbedding::new(builder, &shared, embedding, items)?;
        Ok(Self {
            gru: Gru::new(builder, "gru", history.width(), hidden, layers)?,
            history,
            dropout: Dropout::new(shared.dropout),
            output: Linear::new(builder, "s_fc", hidden, items.rows)?,
        })
    }

    /// The last layer's state after each history, `[B, H]`.
    ///
    /// # Errors
    /// If a layer fails.
    pub fn features(&self, batch: &Batch, random: Option<&mut Random>) -> Result<Tensor, NnError> {
        let purpose = if random.is_some() {
            Purpose::Training
        } else {
            Purpose::Scoring
        };
        let tables = self.history.tables(batch);
        let dropping = self.dropout.draw(random);
        let states = self
            .gru
            .forward_looked_up(&tables, &batch.lengths, dropping, purpose)?;
        states.into_last() // [B, H]
    }

    /// The layer to the items.
    #[must_use]
    pub fn output(&self) -> &Linear {
        &self.output
    }
}
