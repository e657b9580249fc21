//! Attention over groups of sequences, forward and backward. Chances are not kept: the way back makes
//! them again from queries and keys.

use candle_core::{DType, Result, Tensor};

use super::layer::{Scene, with_zeros};
use super::operations::{chances, chances_backward, product};
use super::packing::Group;
use crate::language_model::Configuration;

impl Scene<'_> {
    fn scale(&self) -> f32 {
        1.0 / (self.configuration.head_size as f32).sqrt()
    }

    /// Rows of a group, `[B·n, heads·D] → [B, heads, n, D]`.
    fn heads(&self, rows: &Tensor, places: &Tensor, batch: usize, heads: usize) -> Result<Tensor> {
        let size = self.configuration.head_size;
        rows.index_select(places, 0)?
            .reshape((batch, (), heads, size))?
            .transpose(1, 2)?
            .contiguous()
    }

    /// Queries (or their gradients) of a group so that those who share keys stand together:
    /// `[B, N_kv, N/N_kv·Q, D]`.
    fn queries(&self, rows: &Tensor, places: &Tensor, group: &Group) -> Result<Tensor> {
        let Configuration {
            heads,
            key_value_heads,
            head_size,
            ..
        } = *self.configuration;
        self.heads(rows, places, group.batch, heads)?.reshape((
            group.batch,
            key_value_heads,
            (),
            head_size,
        ))
    }

    /// `[B, N_kv, N/N_kv·Q, D] → [B·Q, N·D]`.
    fn query_rows(&self, by_head: &Tensor, group: &Group) -> Result<Tensor> {
        let Configuration {
            heads, head_size, ..
        } = *self.configuration;
        by_head
            .reshape((group.batch, heads, group.queries, head_size))?
            .transpose(1, 2)?
            .reshape((group.batch * group.queries, heads * head_size))
    }

    /// The chances `[B, N_kv, N/N_kv·Q, K]` of a group.
    fn chances(&self, queries: &Tensor, keys: &Tensor, group: &Group) -> Result<Tensor> {
        let heads = self.configuration.heads;
        let scores = product(queries, &keys.transpose(2, 3)?)?;
        let shape = scores.shape().clone();
        let scores = scores.reshape((group.batch, heads, group.queries, group.keys))?;
        chances(&scores, &group.seen, self.scale())?.reshape(shape)
    }

    /// `queries [Q, N·D], keys, values [T, N_kv·D] → [Q, N·D]`.
    pub(super) fn attend(
        &self,
        queries: &Tensor,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<Tensor> {
        let shared = self.configuration.key_value_heads;
        let mut parts = Vec::with_capacity(self.packing.groups.len());
        for group in &self.packing.groups {
            let queries = self.queries(queries, &group.query_rows, group)?;
            let keys = self.heads(keys, &group.key_rows, group.batch, shared)?;
            let chances = self.chances(&queries, &keys, group)?;
            let values = self.heads(values, &group.key_rows, group.batch, shared)?;
            parts.push(self.query_rows(&product(&chances, &values)?, group)?);
        }
        Tensor::cat(&parts, 0)?.index_select(&self.packing.query_places, 0)
    }

    /// From the gradient of [`Scene::attend`] to those of queries, keys and values.
    pub(super) fn attend_backward(
        &self,
        [queries, keys, values]: [&Tensor; 3],
        gradient: &Tensor,
    ) -> Result<[Tensor; 3]> {
        let Configuration {
            key_value_heads: shared,
            head_size,
            ..
        } = *self.configuration;
        let gradient = with_zeros(gradient)?;
        let mut for_queries = Vec::new();
        // Of keys and of values: what is a sequence's own, and the sum over those who share.
        let zeros = keys.narrow(0, 0, 1)?.zeros_like()?;
        let mut own = [vec![zeros.clone()], vec![zeros]];
        let mut common: [Option<Tensor>; 2] = [None, None];
        for group in &self.packing.groups {
            let queries = self.queries(queries, &group.query_rows, group)?;
            let keys = self.heads(keys, &group.key_rows, group.batch, shared)?;
            let chances = self.chances(&queries, &keys, group)?;
            let gradient = self.queries(&gradient, &group.gradient_rows, group)?;
            let values = self.heads(values, &group.key_rows, group.batch, shared)?;
            let for_chances = product(&gradient, &values.transpose(2, 3)?)?;
            let for_values = product(&chances.transpose(2, 3)?, &gradient)?; // [B, N_kv, K, D]
            drop((values, gradient));
            let for_scores = chances_backward(&chances, &for_chances, self.scale())?;
            drop((chances, for_chances));
            for_queries.push(self.query_rows(&product(&for_scores, &keys)?, group)?);
            let for_keys = product(&for_scores.transpose(2, 3)?, &queries)?; // [B, N_kv, K, D]
            for (at, gradient) in [for_keys, for_values].into_iter().enumerate() {
                let width = shared * head_size;
                let rows = gradient.transpose(1, 2)?.contiguous()?; // [B, K, N_kv, D]
                let rows = rows.reshape((group.batch, group.keys, width))?;
                let behind = group.keys - group.prefix;
                let alone = rows.narrow(1, group.prefix, behind)?.contiguous()?;
                own[at].push(alone.reshape((group.batch * behind, width))?);
                if group.prefix > 0 {
                    let together = rows.narrow(1, 0, group.prefix)?;
                    let sum = together.to_dtype(DType::F32)?.sum(0)?;
                    common[at] = Some(match common[at].take() {
                        Some(so_far) => (so_far + sum)?,
                        None => sum,
                    });
                }
            }
        }
        let for_queries = Tensor::cat(&for_queries, 0)?;
        let for_queries = for_queries.index_select(&self.packing.query_places, 0)?;
        let [for_keys, for_values] = own;
        let [of_keys, of_values] = common;
        Ok([
            for_queries,
            self.key_rows(&for_keys, of_keys)?,
            self.key_rows(&for_values, of_values)?,
        ])
    }

    /// Gradients of a group's keys in the order of rows, `[T, N_kv·D]`.
    fn key_rows(&self, own: &[Tensor], common: Option<Tensor>) -> Result<Tensor> {
        let rows = Tensor::cat(own, 0)?.index_select(&self.packing.key_places, 0)?;
        let Some(common) = common else {
            return Ok(rows);
        };
        let prefix = self.packing.prefix;
        let first = rows.narrow(0, 0, prefix)?;
        let first = (first.to_dtype(DType::F32)? + common)?.to_dtype(rows.dtype())?;
        let rest = rows.narrow(0, prefix, rows.dim(0)? - prefix)?;
        Tensor::cat(&[first, rest], 0)
    }
}
