//! What every kernel of `kernels.cu` must compute, on the CPU in `f32`: the decoder runs on these
//! where there is no card, and a card's kernels are compared with them before they are used.

use std::borrow::Cow;

use candle_core::{CpuStorage, Layout, Result};
use half::{bf16, f16};

use super::operations::{NOWHERE, Operation};
use crate::nn::matrix::{Matrix, Write, multiply};
use crate::nn::vector::{drop_out, log_sum_exp, swiglu, swiglu_backward};

/// What an operation reads.
pub(super) enum Input<'a> {
    Numbers(Cow<'a, [f32]>),
    Integers(&'a [u32]),
    Bytes(&'a [u8]),
}

impl<'a> Input<'a> {
    /// A tensor's numbers in `f32`, whatever they are kept in.
    ///
    /// # Errors
    /// If it has gaps, or a type that nothing is computed in.
    pub(super) fn read(storage: &'a CpuStorage, layout: &Layout) -> Result<Self> {
        let Some((begin, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("a tensor with gaps, {:?}", layout.shape());
        };
        Ok(match storage {
            CpuStorage::F32(all) => Self::Numbers(Cow::Borrowed(&all[begin..end])),
            CpuStorage::BF16(all) => {
                Self::Numbers(all[begin..end].iter().map(|one| one.to_f32()).collect())
            }
            CpuStorage::F16(all) => {
                Self::Numbers(all[begin..end].iter().map(|one| one.to_f32()).collect())
            }
            CpuStorage::U32(all) => Self::Integers(&all[begin..end]),
            CpuStorage::U8(all) => Self::Bytes(&all[begin..end]),
            _ => candle_core::bail!("numbers of a type that is not computed in"),
        })
    }

    fn numbers(&self) -> Result<&[f32]> {
        match self {
            Self::Numbers(all) => Ok(all),
            _ => candle_core::bail!("another type where numbers belong"),
        }
    }

    fn integers(&self) -> Result<&[u32]> {
        match self {
            Self::Integers(all) => Ok(all),
            _ => candle_core::bail!("another type where integers belong"),
        }
    }
}

/// Computes in the numbers of a storage, and rounds what comes out to its type.
pub(super) fn in_place(
    storage: &mut CpuStorage,
    layout: &Layout,
    compute: impl FnOnce(&mut [f32]) -> Result<()>,
) -> Result<()> {
    let Some((begin, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("a tensor with gaps, {:?}", layout.shape());
    };
    match storage {
        CpuStorage::F32(all) => compute(&mut all[begin..end]),
        CpuStorage::BF16(all) => {
            let all = &mut all[begin..end];
            let mut exact: Vec<f32> = all.iter().map(|one| one.to_f32()).collect();
            compute(&mut exact)?;
            for (to, from) in all.iter_mut().zip(exact) {
                *to = bf16::from_f32(from);
            }
            Ok(())
        }
        CpuStorage::F16(all) => {
            let all = &mut all[begin..end];
            let mut exact: Vec<f32> = all.iter().map(|one| one.to_f32()).collect();
            compute(&mut exact)?;
            for (to, from) in all.iter_mut().zip(exact) {
                *to = f16::from_f32(from);
            }
            Ok(())
        }
        _ => candle_core::bail!("numbers of a type that is not computed in"),
    }
}

/// The key of a row among `[T, 2]`; `None` without dropout.
fn key(keys: Option<&[u32]>, row: usize) -> Option<u64> {
    let of = keys?.get(2 * row..2 * row + 2)?;
    Some(u64::from(of[0]) | u64::from(of[1]) << 32)
}

/// A row as dropout leaves it.
fn masked<'a>(x: &'a [f32], key: Option<u64>, rate: f32, room: &'a mut [f32]) -> &'a [f32] {
    match key {
        None => x,
        Some(key) => {
            drop_out(room, x, key, rate);
            room
        }
    }
}

/// `numbers` as a matrix of rows of `columns`.
fn matrix(numbers: &[f32], columns: usize) -> Result<Matrix<'_>> {
    let rows = numbers.len() / columns.max(1);
    match Matrix::new(numbers, rows, columns) {
        Some(matrix) => Ok(matrix),
        None => candle_core::bail!("{} numbers in rows of {columns}", numbers.len()),
    }
}

/// Where the numbers of a head of a row stand among `[B, N, n, D]`.
fn by_head(row: usize, head: usize, heads: usize, length: usize, size: usize) -> usize {
    let (batch, at) = (row / length, row % length);
    ((batch * heads + head) * length + at) * size
}

impl Operation {
    /// Computes `out`, which where the operation works in place holds its first argument, from what
    /// it reads.
    pub(super) fn twin(&self, out: &mut [f32], inputs: &[Input<'_>]) -> Result<()> {
        match self {
            Self::DropOut { rate } => {
                let (x, keys) = (inputs[0].numbers()?, inputs[1].integers()?);
                let width = (2 * x.len() / keys.len().max(1)).max(1);
                let rows = out.chunks_exact_mut(width).zip(x.chunks_exact(width));
                for (row, (out, x)) in rows.enumerate() {
                    drop_out(out, x, key(Some(keys), row).unwrap_or(0), *rate);
                }
            }
            Self::Lowered { width, scale, mask } => {
                let (x, a) = (inputs[0].numbers()?, inputs[1].numbers()?);
                let keys = mask.is_some().then(|| inputs[2].integers()).transpose()?;
                let rate = mask.as_ref().map_or(0.0, |mask| mask.rate);
                let a = matrix(a, *width)?.transposed();
                let (_, rank) = a.size();
                let mut room = vec![0.0; *width];
                let rows = out.chunks_exact_mut(rank).zip(x.chunks_exact(*width));
                for (row, (out, x)) in rows.enumerate() {
                    let x = masked(x, key(keys, row), rate, &mut room);
                    multiply(out, Write::Set, matrix(x, *width)?, a)?;
                    for one in out {
                        *one *= scale;
                    }
                }
            }
            Self::AddLow {
                rank,
                outputs_first,
                mask,
            } => {
                let (low, factors) = (inputs[0].numbers()?, inputs[1].numbers()?);
                let keys = mask.is_some().then(|| inputs[2].integers()).transpose()?;
                let width = factors.len() / (*rank).max(1);
                let factors = if *outputs_first {
                    matrix(factors, *rank)?.transposed()
                } else {
                    matrix(factors, width)?
                };
                let rate = mask.as_ref().map_or(0.0, |mask| mask.rate);
                let (mut more, mut room) = (vec![0.0; width], vec![0.0; width]);
                let rows = out.chunks_exact_mut(width).zip(low.chunks_exact(*rank));
                for (row, (out, low)) in rows.enumerate() {
                    multiply(&mut more, Write::Set, matrix(low, *rank)?, factors)?;
                    let more = masked(&more, key(keys, row), rate, &mut room);
                    out.iter_mut()
                        .zip(more)
                        .for_each(|(out, more)| *out += more);
                }
            }
            Self::Swiglu => swiglu(out, inputs[0].numbers()?, inputs[1].numbers()?),
            Self::SwigluBackward => {
                let (for_gate, for_up) = out.split_at_mut(out.len() / 2);
                for_gate.copy_from_slice(inputs[0].numbers()?);
                for_up.copy_from_slice(inputs[1].numbers()?);
                swiglu_backward(for_gate, for_up, inputs[2].numbers()?);
            }
            Self::NormBackward { epsilon } => {
                let (x, gradient) = (inputs[0].numbers()?, inputs[1].numbers()?);
                let weight = inputs[2].numbers()?;
                let width = weight.len().max(1);
                let rows = out.chunks_exact_mut(width).zip(x.chunks_exact(width));
                for ((out, x), gradient) in rows.zip(gradient.chunks_exact(width)) {
                    norm_row_backward(out, x, gradient, weight, *epsilon);
                }
            }
            Self::Rotate { width, head, sign } => {
                let (cosine, sine) = (inputs[0].numbers()?, inputs[1].numbers()?);
                let half = head / 2;
                for (row, x) in out.chunks_exact_mut(*width).enumerate() {
                    let cosine = &cosine[row * half..(row + 1) * half];
                    let sine = &sine[row * half..(row + 1) * half];
                    for x in x.chunks_exact_mut(*head) {
                        for pair in 0..half {
                            let (cosine, sine) = (cosine[pair], sign * sine[pair]);
                            let (first, second) = (x[pair], x[pair + half]);
                            x[pair] = first * cosine - second * sine;
                            x[pair + half] = second * cosine + first * sine;
                        }
                    }
                }
            }
            Self::ToHeads {
                width,
                head,
                length,
            } => {
                let (rows, places) = (inputs[0].numbers()?, inputs[1].integers()?);
                for (row, place) in places
                    .iter()
                    .enumerate()
                    .filter(|(_, one)| **one != NOWHERE)
                {
                    let from = &rows[*place as usize * width..(*place as usize + 1) * width];
                    for (number, from) in from.chunks_exact(*head).enumerate() {
                        let to = by_head(row, number, width / head, *length, *head);
                        out[to..to + head].copy_from_slice(from);
                    }
                }
            }
            Self::FromHeads {
                width,
                head,
                length,
            } => {
                let (heads, places) = (inputs[0].numbers()?, inputs[1].integers()?);
                for (row, place) in places
                    .iter()
                    .enumerate()
                    .filter(|(_, one)| **one != NOWHERE)
                {
                    let to = &mut out[*place as usize * width..(*place as usize + 1) * width];
                    for (number, to) in to.chunks_exact_mut(*head).enumerate() {
                        let from = by_head(row, number, width / head, *length, *head);
                        let from = &heads[from..from + head];
                        to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
                    }
                }
            }
            Self::SumHeads {
                width,
                head,
                length,
                batch,
            } => {
                let heads = inputs[0].numbers()?;
                for (row, to) in out.chunks_exact_mut(*width).enumerate() {
                    for (number, to) in to.chunks_exact_mut(*head).enumerate() {
                        for one in 0..*batch {
                            let row = one * length + row;
                            let from = by_head(row, number, width / head, *length, *head);
                            let from = &heads[from..from + head];
                            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
                        }
                    }
                }
            }
            Self::Softmax {
                scale,
                heads,
                queries,
                keys,
            } => {
                let seen = inputs[0].integers()?;
                for (row, x) in out.chunks_exact_mut(*keys).enumerate() {
                    let of = row / (queries * heads) * queries + row % queries;
                    let columns = seen[2 * of] as usize..seen[2 * of + 1] as usize;
                    x[..columns.start].fill(0.0);
                    x[columns.end..].fill(0.0);
                    let x = &mut x[columns];
                    let largest = x
                        .iter()
                        .map(|x| x * scale)
                        .fold(f32::NEG_INFINITY, f32::max);
                    let mut sum = 0.0;
                    for x in &mut *x {
                        *x = (*x * scale - largest).exp();
                        sum += *x;
                    }
                    for x in x {
                        *x /= sum;
                    }
                }
            }
            Self::SoftmaxBackward { scale, keys } => {
                let chances = inputs[0].numbers()?;
                let rows = out.chunks_exact_mut(*keys).zip(chances.chunks_exact(*keys));
                for (gradient, chances) in rows {
                    let along: f32 = gradient.iter().zip(chances).map(|(a, b)| a * b).sum();
                    for (gradient, chance) in gradient.iter_mut().zip(chances) {
                        *gradient = scale * chance * (*gradient - along);
                    }
                }
            }
            Self::LogSums { vocabulary } => {
                let rows = inputs[0].numbers()?.chunks_exact(*vocabulary);
                let mut room = vec![0.0; *vocabulary];
                for (out, logits) in out.iter_mut().zip(rows) {
                    room.copy_from_slice(logits);
                    *out = log_sum_exp(&mut room);
                }
            }
            Self::CrossEntropyBackward {
                scale,
                vocabulary,
                targets,
                ..
            } => {
                let (tokens, weights) = (inputs[0].integers()?, inputs[1].numbers()?);
                let log_sums = inputs[2].numbers()?;
                for (row, logits) in out.chunks_exact_mut(*vocabulary).enumerate() {
                    let of = row * targets..(row + 1) * targets;
                    let weights = &weights[of.clone()];
                    let total: f32 = weights.iter().sum();
                    for logit in &mut *logits {
                        *logit = total * (*logit - log_sums[row]).exp();
                    }
                    for (token, weight) in tokens[of].iter().zip(weights) {
                        logits[*token as usize] -= weight;
                    }
                    for logit in logits {
                        *logit *= scale;
                    }
                }
            }
            Self::Dequantise { kind, .. } => {
                let Input::Bytes(bytes) = &inputs[0] else {
                    candle_core::bail!("blocks that are no bytes");
                };
                let mut numbers = Vec::with_capacity(out.len());
                kind.extend_f32(bytes, &mut numbers);
                out.copy_from_slice(&numbers);
            }
        }
        Ok(())
    }
}

/// As `crate::nn::vector::rms_norm_backward`, which needs the inverse that here is made anew.
fn norm_row_backward(out: &mut [f32], x: &[f32], gradient: &[f32], weight: &[f32], epsilon: f32) {
    let width = x.len() as f32;
    let squares: f32 = x.iter().map(|x| x * x).sum();
    let terms = x.iter().zip(gradient).zip(weight);
    let along: f32 = terms
        .map(|((x, gradient), weight)| x * gradient * weight)
        .sum();
    let inverse = 1.0 / (squares / width + epsilon).sqrt();
    let share = along * inverse * inverse / width;
    for (((out, x), gradient), weight) in out.iter_mut().zip(x).zip(gradient).zip(weight) {
        *out = inverse * (gradient * weight - x * share);
    }
}
