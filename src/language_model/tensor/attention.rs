//! Attention over groups of sequences, forward and backward. Chances are not kept: the way back makes
//! them again from queries and keys.

use candle_core::{Result, Tensor};

use super::layer::Scene;
use super::operations::{
    add_from_heads, add_sum_of_heads, become_chances, chances_backward, product, to_heads,
};
use super::packing::Group;
use crate::language_model::Configuration;

impl Scene<'_> {
    fn scale(&self) -> f32 {
        1.0 / (self.configuration.head_size as f32).sqrt()
    }

    /// Queries (or the gradients of what was attended) of a group so that those who share keys stand
    /// together: `[B, N_kv, N/N_kv·Q, D]`.
    fn queries(&self, rows: &Tensor, group: &Group) -> Result<Tensor> {
        let Configuration {
            key_value_heads,
            head_size,
            ..
        } = *self.configuration;
        let by_head = to_heads(rows, &group.query_rows, head_size, group.queries)?;
        by_head.reshape((group.batch, key_value_heads, (), head_size))
    }

    /// Keys or values of a group, `[B, N_kv, K, D]`.
    fn keys(&self, rows: &Tensor, group: &Group) -> Result<Tensor> {
        let size = self.configuration.head_size;
        to_heads(rows, &group.key_rows, size, group.keys)
    }

    /// Adds `[B, N_kv, N/N_kv·Q, D]` to the rows of a group's queries.
    fn add_queries(&self, rows: &Tensor, by_head: &Tensor, group: &Group) -> Result<()> {
        let size = self.configuration.head_size;
        let by_head = by_head.reshape((group.batch, (), group.queries, size))?;
        add_from_heads(rows, &by_head, &group.query_rows)
    }

    /// The chances `[B, N_kv, N/N_kv·Q, K]` of a group.
    fn chances(&self, queries: &Tensor, keys: &Tensor, group: &Group) -> Result<Tensor> {
        let scores = product(queries, &keys.transpose(2, 3)?)?;
        let by_head = scores.reshape((group.batch, (), group.queries, group.keys))?;
        become_chances(&by_head, &group.seen, self.scale())?;
        Ok(scores)
    }

    /// `queries [Q, N·D], keys, values [T, N_kv·D] → [Q, N·D]`.
    pub(super) fn attend(
        &self,
        queries: &Tensor,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<Tensor> {
        let attended = queries.zeros_like()?;
        for group in &self.packing.groups {
            let chances = {
                let queries = self.queries(queries, group)?;
                self.chances(&queries, &self.keys(keys, group)?, group)?
            };
            let found = product(&chances, &self.keys(values, group)?)?;
            drop(chances);
            self.add_queries(&attended, &found, group)?;
        }
        Ok(attended)
    }

    /// From the gradient of [`Scene::attend`] to those of queries, keys and values.
    pub(super) fn attend_backward(
        &self,
        [queries, keys, values]: [&Tensor; 3],
        gradient: &Tensor,
    ) -> Result<[Tensor; 3]> {
        let for_queries = queries.zeros_like()?;
        let (for_keys, for_values) = (keys.zeros_like()?, values.zeros_like()?);
        for group in &self.packing.groups {
            let queries = self.queries(queries, group)?;
            let keys = self.keys(keys, group)?;
            let chances = self.chances(&queries, &keys, group)?;
            let gradient = self.queries(gradient, group)?;
            let for_group = product(&chances.transpose(2, 3)?, &gradient)?; // [B, N_kv, K, D]
            add_keys(&for_values, &for_group, group)?;
            drop(for_group);
            let scores = product(&gradient, &self.keys(values, group)?.transpose(2, 3)?)?;
            drop(gradient);
            chances_backward(&scores, &chances, self.scale())?;
            drop(chances);
            self.add_queries(&for_queries, &product(&scores, &keys)?, group)?;
            drop(keys);
            let for_group = product(&scores.transpose(2, 3)?, &queries)?; // [B, N_kv, K, D]
            drop((scores, queries));
            add_keys(&for_keys, &for_group, group)?;
        }
        Ok([for_queries, for_keys, for_values])
    }
}

/// Adds the gradients `[B, N_kv, K, D]` of a group's keys or values to their rows: those of a
/// shared prefix are the sums over all who see it.
fn add_keys(rows: &Tensor, by_head: &Tensor, group: &Group) -> Result<()> {
    add_from_heads(rows, by_head, &group.own_rows)?;
    if group.prefix > 0 {
        add_sum_of_heads(rows, by_head, group.prefix)?;
    }
    Ok(())
}
