//! The recurrent part of one GRU layer, forward and backward, as one operation over slices.
//!
//! The input projection is left to [`affine`](super::linear::affine): it is one large product
//! for all time steps. What remains is sequential: per step one product `h W_hhᵀ` and the gates.
//! Activations are kept for the backward pass in time-major order, so that the gradient of
//! `W_hh` is again one large product over all steps.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::activation::{sigmoid, tanh};
use super::matrix::{Matrix, Write, add_rows, multiply, numbers, with_numbers};

/// `(projected [B, T, 3H], weight_hh [3H, H], bias_hh [3H]) → states [B, T, H]`.
///
/// Gates in the order r, z, n; `n = tanh(projected_n + r ∘ (W_hn h + b_hn))` and
/// `h' = (1 − z) ∘ n + z ∘ h`, as in PyTorch. From a row's own length on its state stays what it
/// was, so step T−1 holds the last state of every row, and padding gets no gradient.
#[derive(Debug)]
pub(super) struct GruCell {
    lengths: Vec<usize>,
    purpose: Purpose,
    kept: Mutex<Option<Activations>>,
}

/// What a forward pass is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A backward pass will follow: activations are kept.
    Training,
    /// Only the result counts: a backward pass is an error.
    Scoring,
}

/// What the backward pass needs, time-major.
#[derive(Debug)]
struct Activations {
    /// r, z, n and `W_hn h + b_hn`: `[T, B, 4H]`.
    gates: Vec<f32>,
    /// The state before each step: `[T, B, H]`.
    before: Vec<f32>,
}

impl GruCell {
    /// For a batch of sequences with these lengths, each at most T.
    pub(super) fn new(lengths: &[usize], purpose: Purpose) -> Self {
        Self {
            lengths: lengths.to_vec(),
            purpose,
            kept: Mutex::new(None),
        }
    }
}

/// Splits `[3H]` or `[4H]` into its parts of H.
fn parts<const N: usize>(all: &[f32], hidden: usize) -> [&[f32]; N] {
    std::array::from_fn(|part| &all[part * hidden..(part + 1) * hidden])
}

impl CustomOp3 for GruCell {
    fn name(&self) -> &'static str {
        "gru_cell"
    }

    fn cpu_fwd(
        &self,
        projected: &CpuStorage,
        projected_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, time, width) = projected_layout.shape().dims3()?;
        let (rows, hidden) = weight_layout.shape().dims2()?;
        if width != 3 * hidden
            || rows != width
            || bias_layout.dims() != [width]
            || self.lengths.len() != batch
            || self.lengths.iter().any(|length| *length > time)
        {
            candle_core::bail!(
                "projected [{batch}, {time}, {width}], weight [{rows}, {hidden}], bias {:?}, {} lengths",
                bias_layout.dims(),
                self.lengths.len()
            );
        }
        let projected = numbers(projected, projected_layout)?;
        let weight = numbers(weight, weight_layout)?;
        let bias = numbers(bias, bias_layout)?;

        // In scoring one row's gates and two steps' states are enough, used again and again.
        let keeps = self.purpose == Purpose::Training;
        let (gate_rows, state_steps) = if keeps { (time * batch, time) } else { (1, 1) };
        let mut gates = vec![0.0; gate_rows * 4 * hidden];
        let mut before = vec![0.0; state_steps * batch * hidden];
        let mut after = vec![0.0; batch * hidden];
        let mut states = vec![0.0; batch * time * hidden];
        let mut recurrent = vec![0.0; batch * width];
        for step in 0..time {
            let at = if keeps { step * batch * hidden } else { 0 };
            let state = &mut before[at..at + batch * hidden];
            if step > 0 {
                state.copy_from_slice(&after);
            }
            for row in recurrent.chunks_exact_mut(width) {
                row.copy_from_slice(bias);
            }
            if step > 0 {
                let state = matrix(state, batch, hidden)?;
                let weight = matrix(weight, width, hidden)?;
                multiply(&mut recurrent, Write::Add, state, weight.transposed())?; // [B, 3H]
            }
            for row in 0..batch {
                let old = &state[row * hidden..(row + 1) * hidden];
                let at = (row * time + step) * hidden;
                let new = &mut states[at..at + hidden];
                if step < self.lengths[row] {
                    let at = (row * time + step) * width;
                    let gate = if keeps { step * batch + row } else { 0 } * 4 * hidden;
                    step_forward(
                        parts(&projected[at..at + width], hidden),
                        parts(&recurrent[row * width..(row + 1) * width], hidden),
                        old,
                        new,
                        &mut gates[gate..gate + 4 * hidden],
                    );
                } else {
                    new.copy_from_slice(old);
                }
                after[row * hidden..(row + 1) * hidden].copy_from_slice(new);
            }
        }
        if keeps {
            *self.kept.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(Activations { gates, before });
        }
        Ok((CpuStorage::F32(states), (batch, time, hidden).into()))
    }

    fn bwd(
        &self,
        projected: &Tensor,
        weight: &Tensor,
        _bias: &Tensor,
        _states: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (batch, time, width) = projected.dims3()?;
        let hidden = width / 3;
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Activations { gates, before }) = kept.as_ref() else {
            candle_core::bail!("gru_cell kept nothing to go backward with: it ran for scoring");
        };
        let mut for_projected = vec![0.0; batch * time * width];
        let mut for_recurrent = vec![0.0; time * batch * width];
        let mut for_state = vec![0.0; batch * hidden];
        with_numbers(gradient, |gradient| {
            with_numbers(weight, |weight| {
                for step in (0..time).rev() {
                    let at = step * batch * width;
                    let recurrent = &mut for_recurrent[at..at + batch * width];
                    for row in 0..batch {
                        let state = &mut for_state[row * hidden..(row + 1) * hidden];
                        let at = (row * time + step) * hidden;
                        add_rows(state, &gradient[at..at + hidden]);
                        if step < self.lengths[row] {
                            let at = (row * time + step) * width;
                            let row_of_step = step * batch + row;
                            let gate = row_of_step * 4 * hidden;
                            step_backward(
                                parts(&gates[gate..gate + 4 * hidden], hidden),
                                &before[row_of_step * hidden..(row_of_step + 1) * hidden],
                                state,
                                &mut for_projected[at..at + width],
                                &mut recurrent[row * width..(row + 1) * width],
                            );
                        }
                    }
                    if step > 0 {
                        let recurrent = matrix(recurrent, batch, width)?;
                        let weight = matrix(weight, width, hidden)?;
                        multiply(&mut for_state, Write::Add, recurrent, weight)?; // [B, H]
                    }
                }
                Ok(())
            })
        })?;
        let steps = time * batch;
        let mut for_weight = vec![0.0; width * hidden];
        let recurrent = matrix(&for_recurrent, steps, width)?;
        let past = matrix(before, steps, hidden)?;
        multiply(&mut for_weight, Write::Set, recurrent.transposed(), past)?; // [3H, H]
        let mut for_bias = vec![0.0; width];
        add_rows(&mut for_bias, &for_recurrent); // [3H]
        let device = projected.device();
        Ok((
            Some(Tensor::from_vec(for_projected, projected.shape(), device)?),
            Some(Tensor::from_vec(for_weight, (width, hidden), device)?),
            Some(Tensor::from_vec(for_bias, width, device)?),
        ))
    }
}

/// One row of one step: all slices of length H, `gates` of 4H.
#[inline]
fn step_forward(
    projected: [&[f32]; 3],
    recurrent: [&[f32]; 3],
    old: &[f32],
    new: &mut [f32],
    gates: &mut [f32],
) {
    let hidden = new.len();
    let (reset, rest) = gates.split_at_mut(hidden);
    let (update, rest) = rest.split_at_mut(hidden);
    let (candidate, inner) = rest.split_at_mut(hidden);
    // Equal lengths in sight of the compiler, so the loops lose their bounds checks and become
    // vector code; three short loops instead of one long one keep the registers few.
    let [projected_r, projected_z, projected_n] = projected.map(|part| &part[..hidden]);
    let [recurrent_r, recurrent_z, recurrent_n] = recurrent.map(|part| &part[..hidden]);
    let (old, inner) = (&old[..hidden], &mut inner[..hidden]);
    for at in 0..hidden {
        reset[at] = sigmoid(projected_r[at] + recurrent_r[at]);
    }
    for at in 0..hidden {
        update[at] = sigmoid(projected_z[at] + recurrent_z[at]);
    }
    inner.copy_from_slice(recurrent_n);
    for at in 0..hidden {
        candidate[at] = tanh(projected_n[at] + reset[at] * inner[at]);
    }
    for at in 0..hidden {
        new[at] = (1.0 - update[at]) * candidate[at] + update[at] * old[at];
    }
}

/// One row of one step; `state` holds ∂/∂h' and receives ∂/∂h without the recurrent product.
#[inline]
fn step_backward(
    gates: [&[f32]; 4],
    old: &[f32],
    state: &mut [f32],
    projected: &mut [f32],
    recurrent: &mut [f32],
) {
    let hidden = state.len();
    let [reset, update, candidate, inner] = gates.map(|part| &part[..hidden]);
    let old = &old[..hidden];
    let (for_r, rest) = projected.split_at_mut(hidden);
    let (for_z, for_n) = rest.split_at_mut(hidden);
    let for_n = &mut for_n[..hidden];
    for at in 0..hidden {
        let (z, n, incoming) = (update[at], candidate[at], state[at]);
        for_z[at] = incoming * (old[at] - n) * z * (1.0 - z);
        for_n[at] = incoming * (1.0 - z) * (1.0 - n * n);
        state[at] = incoming * z;
    }
    for at in 0..hidden {
        let r = reset[at];
        for_r[at] = for_n[at] * inner[at] * r * (1.0 - r);
    }
    recurrent[..hidden].copy_from_slice(for_r);
    recurrent[hidden..2 * hidden].copy_from_slice(for_z);
    let recurrent_n = &mut recurrent[2 * hidden..3 * hidden];
    for at in 0..hidden {
        recurrent_n[at] = for_n[at] * reset[at];
    }
}

fn matrix(data: &[f32], rows: usize, columns: usize) -> Result<Matrix<'_>> {
    match Matrix::new(data, rows, columns) {
        Some(matrix) => Ok(matrix),
        None => candle_core::bail!("{} numbers for [{rows}, {columns}]", data.len()),
    }
}
