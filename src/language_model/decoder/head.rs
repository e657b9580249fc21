//! From the last layer to the vocabulary: the last norm, logits, cross-entropy.
//!
//! Logits are made for some rows at a time and never kept.

use candle_core::Result;
use rayon::prelude::*;

use super::heads::{norm, norm_backward};
use super::linear::view;
use super::network::{Gradients, Network};
use crate::language_model::layout::Goal;
use crate::nn::matrix::{Write, multiply};
use crate::nn::product::product;
use crate::nn::vector::{log_sum_exp, softmax};

/// Most numbers in a block of logits.
const BLOCK: usize = 1 << 24;

/// Rows whose logits are made at once.
pub(in crate::language_model) fn rows_per_block(vocabulary: usize) -> usize {
    (BLOCK / vocabulary.max(1)).clamp(16, 1024)
}

/// Σ weight · cross-entropy over the goals, which are in order of rows; with `gradients` also the
/// gradient of `x`, and those of the head and the norm.
///
/// # Shapes
/// `x [Q, H] → [Q, H]`.
pub(super) fn cross_entropy(
    network: &Network<'_>,
    x: &[f32],
    goals: &[Goal],
    mut gradients: Option<&mut Gradients>,
) -> Result<(f64, Vec<f32>)> {
    let hidden = network.configuration.hidden_size;
    let vocabulary = network.configuration.vocabulary_size;
    let epsilon = network.configuration.norm_epsilon as f32;
    let (normed, inverse) = norm(x, network.norm, epsilon);
    let rows = inverse.len();
    let mut for_normed = match gradients {
        Some(_) => vec![0.0; x.len()],
        None => Vec::new(),
    };
    let head = view(network.head, vocabulary, hidden)?;
    let most = rows_per_block(vocabulary).min(rows);
    let mut logits = vec![0.0; most * vocabulary];
    let mut loss = 0.0_f64;
    let mut rest = goals;
    for begin in (0..rows).step_by(most.max(1)) {
        let count = most.min(rows - begin);
        let input = view(&normed[begin * hidden..], count, hidden)?;
        let logits = &mut logits[..count * vocabulary];
        product(logits, Write::Set, input, head.transposed())?;
        let (here, after) = rest.split_at(rest.partition_point(|goal| goal.row < begin + count));
        rest = after;
        let wants = gradients.is_some();
        let parts: Vec<f64> = logits
            .par_chunks_mut(vocabulary)
            .enumerate()
            .map(|(row, logits)| {
                let row = begin + row;
                let first = here.partition_point(|goal| goal.row < row);
                let end = here.partition_point(|goal| goal.row <= row);
                row_loss(logits, &here[first..end], wants)
            })
            .collect();
        loss += parts.iter().sum::<f64>();
        let Some(gradients) = &mut gradients else {
            continue;
        };
        let incoming = view(logits, count, vocabulary)?;
        let out = &mut for_normed[begin * hidden..(begin + count) * hidden];
        product(out, Write::Set, incoming, head)?;
        let for_head = if network.configuration.tied_head {
            &mut gradients.embedding
        } else {
            &mut gradients.head
        };
        if let Some(for_head) = for_head {
            product(for_head, Write::Add, incoming.transposed(), input)?; // [V, H]
        }
    }
    let Some(gradients) = gradients else {
        return Ok((loss, Vec::new()));
    };
    let mut for_x = vec![0.0; x.len()];
    let for_norm = gradients.norm.as_mut();
    norm_backward(&mut for_x, for_norm, &for_normed, x, &inverse, network.norm);
    Ok((loss, for_x))
}

/// The loss of one row, whose logits become their gradient.
fn row_loss(logits: &mut [f32], goals: &[Goal], wants_gradient: bool) -> f64 {
    let picked: Vec<f32> = goals
        .iter()
        .map(|goal| logits[goal.token as usize])
        .collect();
    let log_sum = if wants_gradient {
        softmax(logits)
    } else {
        log_sum_exp(logits)
    };
    let mut loss = 0.0;
    for (goal, picked) in goals.iter().zip(&picked) {
        loss += f64::from(goal.weight) * (f64::from(log_sum) - f64::from(*picked));
    }
    if wants_gradient {
        let weight: f32 = goals.iter().map(|goal| goal.weight).sum();
        crate::nn::vector::scale(logits, weight);
        for goal in goals {
            logits[goal.token as usize] -= goal.weight;
        }
    }
    loss
}

/// Logits of all tokens, `x [Q, H] → [Q, V]`.
pub(super) fn logits(network: &Network<'_>, x: &[f32]) -> Result<Vec<f32>> {
    let hidden = network.configuration.hidden_size;
    let vocabulary = network.configuration.vocabulary_size;
    let (normed, inverse) = norm(x, network.norm, network.configuration.norm_epsilon as f32);
    let mut out = vec![0.0; inverse.len() * vocabulary];
    let head = view(network.head, vocabulary, hidden)?;
    let input = view(&normed, inverse.len(), hidden)?;
    product(&mut out, Write::Set, input, head.transposed())?;
    Ok(out)
}

/// Logits of the tokens `chosen`, `x [Q, H] → [Q, chosen]`, and with `normalised` ln Σ e^logit
/// over the vocabulary of every row.
pub(super) fn chosen_logits(
    network: &Network<'_>,
    x: &[f32],
    chosen: &[u32],
    normalised: bool,
) -> Result<(Vec<f32>, Vec<f32>)> {
    let hidden = network.configuration.hidden_size;
    let (normed, inverse) = norm(x, network.norm, network.configuration.norm_epsilon as f32);
    let mut rows = Vec::with_capacity(chosen.len() * hidden);
    for token in chosen {
        let at = *token as usize * hidden;
        rows.extend_from_slice(&network.head[at..at + hidden]);
    }
    let mut out = vec![0.0; inverse.len() * chosen.len()];
    let head = view(&rows, chosen.len(), hidden)?;
    let input = view(&normed, inverse.len(), hidden)?;
    multiply(&mut out, Write::Set, input, head.transposed())?;
    let mut log_sums = Vec::new();
    if normalised {
        let vocabulary = network.configuration.vocabulary_size;
        let head = view(network.head, vocabulary, hidden)?;
        for normed in normed.chunks(rows_per_block(vocabulary) * hidden) {
            let count = normed.len() / hidden;
            let mut logits = vec![0.0; count * vocabulary];
            product(
                &mut logits,
                Write::Set,
                view(normed, count, hidden)?,
                head.transposed(),
            )?;
            let sums: Vec<f32> = logits.par_chunks_mut(vocabulary).map(log_sum_exp).collect();
            log_sums.extend(sums);
        }
    }
    Ok((out, log_sums))
}
