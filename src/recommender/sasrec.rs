//! `SASRec`: self-attention over the history.
//!
//! Paper: Kang and `McAuley`, "Self-attentive sequential recommendation", ICDM 2018. Reference: the
//! `SASRec` of the DROS repository, on which TALLRec's authors say they built their baselines: one
//! block and one head; embeddings of items ~ N(0, 0.01²) and of positions ~ N(0, 1), positions
//! counted from the oldest item; dropout on their sum; queries from its layer norm, keys and values
//! from the sum itself; scores by 1/√width; dropout on attention weights; the normed sum added; layer
//! norm; two linear layers with `ReLU` between them, dropout, what went in added, layer norm; a last
//! layer norm; a linear layer from the last step to all items. An embedding of the feedback makes
//! the whole block wider.
//!
//! Since the block is the only one and the last step alone is scored, only that step's query,
//! feed-forward and norms are computed ([`LastAttention`]).
//!
//! The reference has a fault: it multiplies the attention weights of a query by
//! `sign(|Σ query|)`, meant to silence padding. But its queries come out of a layer norm, whose
//! numbers add up to 0 as long as its bias does, at the start of training above all; in `f32` the
//! sum is exactly 0 for some rows by chance, and those see nothing of their history but the last
//! item. Here no query is masked, since the last step is never padding; `query_mask: sign_of_sum`
//! does as the reference (which rows are hit depends on the order in which numbers are added, so not
//! the same ones as with PyTorch).
//!
//! Deviates: TALLRec says one head, the paper has two blocks and the reference one, as here; the
//! paper scores by the product with the item's embedding, the reference by a layer of its own, as
//! here; only the target's row of that layer is computed (the loss sees no other); the paper's and
//! the reference's convolutions of width 1 are linear layers, the same numbers without the last
//! dimension. A sample without history gets what the reference gives it, the last norm's bias.
//! Settings that all methods share are as in [`super::gru4rec`].

use candle_core::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sequence::sequence_settings;
use super::sequence::{Batch, HistoryEmbedding, Items, Network, SequenceSettings};
use crate::base::Random;
use crate::nn::{
    Dropout, Embedding, Init, LastAttention, LayerNorm, Linear, NnError, VariableBuilder,
};

/// Which queries see nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueryMask {
    /// Those that are padding.
    Position,
    /// Those whose numbers add up to exactly 0, as in the reference.
    SignOfSum,
}

sequence_settings! {
    /// Settings of [`SasRec`].
    pub struct SasRecSettings {
        /// Which queries see nothing: padding, or those whose numbers happen to add up to 0, a
        /// fault of the DROS repository that silences attention for some rows. Paper: position.
        pub query_mask: QueryMask = QueryMask::Position,
    }
}

/// The method; see the module. Variables have the names of the reference.
#[derive(Debug)]
pub struct SasRec {
    history: HistoryEmbedding,
    positions: Embedding,
    dropout: Dropout,
    norms: [LayerNorm; 3],
    attention: LastAttention,
    inner: [Linear; 2],
    inner_norm: LayerNorm,
    query_mask: QueryMask,
    output: Linear,
}

impl Network for SasRec {
    type Settings = SasRecSettings;

    const NAME: &'static str = "sasrec";
    const SUMMARY: &'static str =
        "Self-attention over the history's item embeddings (Kang and McAuley, 2018).";

    fn build(
        settings: &SasRecSettings,
        items: Items<'_>,
        builder: &mut VariableBuilder,
    ) -> Result<Self, NnError> {
        let shared = settings.shared();
        let history = HistoryEmbedding::new(builder, &shared, shared.hidden_size, items)?;
        let width = history.width();
        let steps = shared.history_length;
        // `torch.nn.Embedding`'s own initial values, which the reference leaves.
        let init = Init::Normal { deviation: 1.0 };
        let positions = Embedding::new(builder, "positional_embeddings", steps, width, init)?;
        Ok(Self {
            history,
            positions,
            dropout: Dropout::new(shared.dropout),
            norms: [
                LayerNorm::new(builder, "ln_1", width)?,
                LayerNorm::new(builder, "ln_2", width)?,
                LayerNorm::new(builder, "ln_3", width)?,
            ],
            attention: LastAttention::new(builder, "mh_attn", width)?,
            inner: [
                Linear::new(builder, "feed_forward.w_1", width, width)?,
                Linear::new(builder, "feed_forward.w_2", width, width)?,
            ],
            inner_norm: LayerNorm::new(builder, "feed_forward.layer_norm", width)?,
            query_mask: settings.query_mask,
            output: Linear::new(builder, "s_fc", width, items.rows)?,
        })
    }

    fn features(&self, batch: &Batch, mut random: Option<&mut Random>) -> Result<Tensor, NnError> {
        let x = self.history.forward(batch)?; // [B, T, W]
        let (rows, time, width) = x.dims3().map_err(NnError::at("history"))?;
        let x = x
            .broadcast_add(&self.positions.first(time)?)
            .map_err(NnError::at("positional_embeddings"))?;
        let x = self.dropout.forward(x, random.as_deref_mut())?;
        let last = last_steps(&x, &batch.lengths).map_err(NnError::at("last step"))?; // [B, W]
        let [before, between, after] = &self.norms;
        let query = before.forward(&last)?; // [B, W]
        let kept = self.kept(&query, time, random.as_deref_mut())?;
        let attended = self.attention.forward(&query, &x, &batch.lengths, kept)?; // [B, W]
        let sum = (attended + &query).map_err(NnError::at("mh_attn"))?;
        let x = between.forward(&sum)?; // [B, W]

        let [first, second] = &self.inner;
        let hidden = first.forward(&x)?.relu().map_err(NnError::at("relu"))?;
        let hidden = self.dropout.forward(second.forward(&hidden)?, random)?;
        let sum = (hidden + x).map_err(NnError::at("feed_forward"))?;
        let x = self.inner_norm.forward(&sum)?; // [B, W]
        let x = if batch.lengths.contains(&0) {
            let kept = |length: &usize| if *length == 0 { 0.0_f32 } else { 1.0 };
            let kept = batch.lengths.iter().map(kept).collect::<Vec<_>>();
            let kept = Tensor::from_vec(kept, (rows, 1), &Device::Cpu);
            let kept = kept.and_then(|kept| kept.to_device(x.device())?.expand((rows, width)));
            kept.and_then(|kept| x * kept)
                .map_err(NnError::at("no history"))?
        } else {
            x
        };
        after.forward(&x)
    }

    fn output(&self) -> &Linear {
        &self.output
    }
}

impl SasRec {
    /// What attention weights are multiplied by, `[B · T]`.
    fn kept(
        &self,
        query: &Tensor,
        time: usize,
        random: Option<&mut Random>,
    ) -> Result<Option<Vec<f32>>, NnError> {
        let rows = query.dim(0).map_err(NnError::at("ln_1"))?;
        let kept = self.dropout.mask(rows * time, random);
        if self.query_mask == QueryMask::Position {
            return Ok(kept);
        }
        let mut kept = kept.unwrap_or_else(|| vec![1.0; rows * time]);
        let query: Vec<Vec<f32>> = query.to_vec2().map_err(NnError::at("ln_1"))?;
        for (kept, query) in kept.chunks_exact_mut(time).zip(&query) {
            if query.iter().sum::<f32>() == 0.0 {
                kept.fill(0.0);
            }
        }
        Ok(Some(kept))
    }
}

/// The last step within each row's length, `[B, T, W] → [B, W]`; the first for length 0.
fn last_steps(x: &Tensor, lengths: &[usize]) -> candle_core::Result<Tensor> {
    let (batch, time, width) = x.dims3()?;
    let last = |(row, length): (usize, &usize)| (row * time + length.saturating_sub(1)) as u32;
    let places: Vec<u32> = lengths.iter().enumerate().map(last).collect();
    let places = Tensor::from_vec(places, batch, x.device())?;
    x.reshape((batch * time, width))?.index_select(&places, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recommender::sequence::Row;

    fn network(settings: &SasRecSettings) -> SasRec {
        let mut builder = VariableBuilder::from_seed(1, &Device::Cpu);
        let items = Items {
            rows: 200,
            vectors: None,
        };
        SasRec::build(settings, items, &mut builder).expect("fresh")
    }

    /// Before training the norm's numbers add up to 0 but for rounding, so the reference's mask
    /// silences the attention of some real rows and leaves the others as they are.
    #[test]
    fn the_references_query_mask_hits_some_rows_and_ours_none() {
        let by_sum = SasRecSettings {
            query_mask: QueryMask::SignOfSum,
            ..SasRecSettings::default()
        };
        let mut random = Random::new(1, "rows");
        let rows: Vec<Row> = (0..1000)
            .map(|_| {
                let mut item = || (random.below(199) as u32 + 1, random.uniform() < 0.5);
                Row::new(&[item(), item(), item()], 1, true)
            })
            .collect();
        let rows: Vec<&Row> = rows.iter().collect();
        let batch = Batch::of(&rows, &Device::Cpu).expect("cpu");
        let features = |settings: &SasRecSettings| {
            let features = network(settings).features(&batch, None);
            features.expect("fits").to_vec2::<f32>().expect("f32")
        };
        let (ours, theirs) = (features(&SasRecSettings::default()), features(&by_sum));
        let changed = ours.iter().zip(&theirs).filter(|(one, two)| one != two);
        let changed = changed.count();
        assert!((10..300).contains(&changed), "{changed} of 1000");
    }

    #[test]
    fn a_row_does_not_depend_on_the_others_and_may_be_empty() {
        let network = network(&SasRecSettings::default());
        let rows = [
            Row::new(&[(3, true), (5, false), (9, true)], 1, true),
            Row::new(&[], 2, false),
            Row::new(&[(7, true)], 2, false),
        ];
        let of = |rows: &[&Row]| {
            let batch = Batch::of(rows, &Device::Cpu).expect("cpu");
            let features = network.features(&batch, None).expect("fits");
            features.to_vec2::<f32>().expect("f32")
        };
        let all = of(&[&rows[0], &rows[1], &rows[2]]);
        for (row, together) in rows.iter().zip(&all) {
            assert_eq!(&of(&[row])[0], together);
        }
        // The last norm's bias, which starts at 0.
        assert!(all[1].iter().all(|number| *number == 0.0));
        assert!(all[2].iter().any(|number| *number != 0.0));
    }
}
