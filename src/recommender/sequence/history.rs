//! The embedded history: what every sequence network reads.

use candle_core::Tensor;

use super::{Batch, Feedback, Shared};
use crate::nn::{Embedding, Init, NnError, VariableBuilder};

/// What is known of the items when a network is built.
#[derive(Debug, Clone, Copy)]
pub struct Items<'a> {
    /// Rows of every table over items, number 0 (*unknown*) included: V.
    pub rows: usize,
    /// Frozen vectors of the items' texts, `[V, W]`, zero for *unknown*; only for networks that
    /// use them.
    pub vectors: Option<&'a Tensor>,
}

/// The history's items as vectors: a trained embedding of each item, then its frozen text vector
/// where there are such, then an embedding of the like or dislike (preprint §3.1.5).
///
/// Variables are `item_embeddings.weight [V, E]`, the DROS repository's name, and
/// `feedback_embeddings.weight [2, F]`; both start as N(0, 0.01²), as the items' do there.
#[derive(Debug)]
pub struct HistoryEmbedding {
    items: Embedding,
    vectors: Option<Tensor>,
    feedback: Option<Embedding>,
    width: usize,
}

impl HistoryEmbedding {
    /// Makes the tables, item vectors `embedding` numbers wide.
    ///
    /// # Errors
    /// See [`VariableBuilder::variable`].
    pub fn new(
        builder: &mut VariableBuilder,
        shared: &Shared,
        embedding: usize,
        items: Items<'_>,
    ) -> Result<Self, NnError> {
        let init = Init::Normal { deviation: 0.01 };
        let mut width = embedding;
        if let Some(vectors) = items.vectors {
            width += vectors.dim(1).map_err(NnError::at("item vectors"))?;
        }
        let feedback = match shared.feedback {
            Feedback::None => None,
            Feedback::Embedded => {
                let columns = shared.feedback_size;
                width += columns;
                let name = "feedback_embeddings";
                Some(Embedding::new(builder, name, 2, columns, init)?)
            }
        };
        Ok(Self {
            items: Embedding::new(builder, "item_embeddings", items.rows, embedding, init)?,
            vectors: items.vectors.cloned(),
            feedback,
            width,
        })
    }

    /// Numbers of each step.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// The tables side by side and what a batch looks up in each, `[B, T]`: for layers that do so
    /// themselves.
    #[must_use]
    pub fn tables<'a>(&'a self, batch: &'a Batch) -> Vec<(&'a Tensor, &'a Tensor)> {
        let mut tables = vec![(self.items.weight(), &batch.items)];
        if let Some(vectors) = &self.vectors {
            tables.push((vectors, &batch.items));
        }
        if let Some(table) = &self.feedback {
            tables.push((table.weight(), &batch.feedback));
        }
        tables
    }

    /// Looks a batch up.
    ///
    /// # Shapes
    /// `→ [B, T, width]`. Steps behind a row's length hold the vectors of number 0 and of a
    /// dislike: whoever reads them must mask them.
    ///
    /// # Errors
    /// If an item has no row.
    pub fn forward(&self, batch: &Batch) -> Result<Tensor, NnError> {
        let mut parts = vec![self.items.forward(&batch.items)?]; // [B, T, E]
        if let Some(vectors) = &self.vectors {
            let look_up = || {
                let (rows, time) = batch.items.dims2()?;
                let flat = batch.items.flatten_all()?;
                vectors.index_select(&flat, 0)?.reshape((rows, time, ()))
            };
            parts.push(look_up().map_err(NnError::at("item vectors"))?); // [B, T, W]
        }
        if let Some(table) = &self.feedback {
            parts.push(table.forward(&batch.feedback)?); // [B, T, F]
        }
        if parts.len() == 1 {
            return Ok(parts.swap_remove(0));
        }
        Tensor::cat(&parts, 2).map_err(NnError::at("history"))
    }
}
