//! The gates of a GRU for some rows of one step, forward and backward, over slices.
//!
//! Numbers are taken in blocks into arrays of their own: with slices of one row after the other the
//! compiler cannot know that what is written is not what is read next, and its check for that, made
//! once for all rows, fails for rows that hold several gates.

use super::activation::{sigmoid, tanh};
use super::wide::wide;

/// Numbers in a block.
const LANES: usize = 16;

type Block = [f32; LANES];

/// Numbers `at..` of a part of H numbers; zeros behind its end.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "must be compiled with its caller's features"
)]
fn load(all: &[f32], part: usize, hidden: usize, at: usize) -> Block {
    let from = &all[part * hidden + at..(part + 1) * hidden];
    match from.first_chunk() {
        Some(block) => *block,
        None => std::array::from_fn(|lane| from.get(lane).copied().unwrap_or(0.0)),
    }
}

/// Writes what [`load`] would read.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "must be compiled with its caller's features"
)]
fn store(all: &mut [f32], part: usize, hidden: usize, at: usize, block: &Block) {
    let into = &mut all[part * hidden + at..(part + 1) * hidden];
    match into.first_chunk_mut() {
        Some(whole) => *whole = *block,
        None => {
            for (into, number) in into.iter_mut().zip(block) {
                *into = *number;
            }
        }
    }
}

wide! {
    /// r, z and n from the two products, and the new states.
    ///
    /// # Shapes
    /// `after, before [B, H]`; `gates [B, 4H]` receives r, z, n and `W_hn h + b_hn`;
    /// `projected = W_ih x`, `recurrent = W_hh h`: `[B, 3H]` without their biases; `biases` are
    /// `b_ih` and `b_hh`, `[3H]`.
    fn forward<'a>(
        after: &'a mut [f32],
        gates: &'a mut [f32],
        before: &'a [f32],
        projected: &'a [f32],
        recurrent: &'a [f32],
        biases: [&'a [f32]; 2],
    ) -> () {
        let hidden = biases[0].len() / 3;
        if hidden == 0 {
            return;
        }
        let rows = after.chunks_exact_mut(hidden).zip(before.chunks_exact(hidden));
        let products = projected.chunks_exact(3 * hidden).zip(recurrent.chunks_exact(3 * hidden));
        let all = rows.zip(products).zip(gates.chunks_exact_mut(4 * hidden));
        for (((after, before), (projected, recurrent)), gates) in all {
            for at in (0..hidden).step_by(LANES) {
                // Written out: of arrays of blocks the compiler makes copies through memory.
                let [input_bias, state_bias] = biases;
                let inputs = load(projected, 0, hidden, at);
                let states = load(recurrent, 0, hidden, at);
                let input_biases = load(input_bias, 0, hidden, at);
                let state_biases = load(state_bias, 0, hidden, at);
                let mut reset = [0.0; LANES];
                for lane in 0..LANES {
                    let input = inputs[lane] + input_biases[lane];
                    let state = states[lane] + state_biases[lane];
                    reset[lane] = sigmoid(input + state);
                }
                store(gates, 0, hidden, at, &reset);
                let inputs = load(projected, 1, hidden, at);
                let states = load(recurrent, 1, hidden, at);
                let input_biases = load(input_bias, 1, hidden, at);
                let state_biases = load(state_bias, 1, hidden, at);
                let mut update = [0.0; LANES];
                for lane in 0..LANES {
                    let input = inputs[lane] + input_biases[lane];
                    let state = states[lane] + state_biases[lane];
                    update[lane] = sigmoid(input + state);
                }
                store(gates, 1, hidden, at, &update);
                let inputs = load(projected, 2, hidden, at);
                let states = load(recurrent, 2, hidden, at);
                let input_biases = load(input_bias, 2, hidden, at);
                let state_biases = load(state_bias, 2, hidden, at);
                let old = load(before, 0, hidden, at);
                let (mut inner, mut candidate, mut new) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
                for lane in 0..LANES {
                    inner[lane] = states[lane] + state_biases[lane];
                    let input = inputs[lane] + input_biases[lane];
                    candidate[lane] = tanh(input + reset[lane] * inner[lane]);
                    new[lane] = (1.0 - update[lane]) * candidate[lane] + update[lane] * old[lane];
                }
                store(gates, 2, hidden, at, &candidate);
                store(gates, 3, hidden, at, &inner);
                store(after, 0, hidden, at, &new);
            }
        }
    }
}

wide! {
    /// Back through [`forward`].
    ///
    /// # Shapes
    /// `state [B, H]` holds ∂/∂h' and receives ∂/∂h without the recurrent product;
    /// `for_projected`, `for_recurrent [B, 3H]` receive the gradients of the two products;
    /// `gates [B, 4H]`, `before [B, H]`.
    fn backward<'a>(
        state: &'a mut [f32],
        for_projected: &'a mut [f32],
        for_recurrent: &'a mut [f32],
        gates: &'a [f32],
        before: &'a [f32],
        hidden: usize,
    ) -> () {
        if hidden == 0 {
            return;
        }
        let rows = state.chunks_exact_mut(hidden).zip(before.chunks_exact(hidden));
        let gradients = for_projected
            .chunks_exact_mut(3 * hidden)
            .zip(for_recurrent.chunks_exact_mut(3 * hidden));
        let all = rows.zip(gradients).zip(gates.chunks_exact(4 * hidden));
        for (((state, before), (for_projected, for_recurrent)), gates) in all {
            for at in (0..hidden).step_by(LANES) {
                let reset = load(gates, 0, hidden, at);
                let update = load(gates, 1, hidden, at);
                let candidate = load(gates, 2, hidden, at);
                let inner = load(gates, 3, hidden, at);
                let (incoming, old) = (load(state, 0, hidden, at), load(before, 0, hidden, at));
                let [mut for_r, mut for_z, mut for_n, mut again_n, mut outgoing] =
                    [[0.0; LANES]; 5];
                for lane in 0..LANES {
                    let (r, z, n) = (reset[lane], update[lane], candidate[lane]);
                    for_z[lane] = incoming[lane] * (old[lane] - n) * z * (1.0 - z);
                    for_n[lane] = incoming[lane] * (1.0 - z) * (1.0 - n * n);
                    outgoing[lane] = incoming[lane] * z;
                    for_r[lane] = for_n[lane] * inner[lane] * r * (1.0 - r);
                    again_n[lane] = for_n[lane] * r;
                }
                store(state, 0, hidden, at, &outgoing);
                store(for_projected, 0, hidden, at, &for_r);
                store(for_projected, 1, hidden, at, &for_z);
                store(for_projected, 2, hidden, at, &for_n);
                store(for_recurrent, 0, hidden, at, &for_r);
                store(for_recurrent, 1, hidden, at, &for_z);
                store(for_recurrent, 2, hidden, at, &again_n);
            }
        }
    }
}
