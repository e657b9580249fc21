//! The gates of a GRU for some rows of one step, forward and backward, over slices.

use super::activation::{sigmoid, tanh};
use super::wide::wide;

/// Splits `[N · H]` into its N parts of H.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "must be compiled with its caller's features"
)]
fn parts<const N: usize>(all: &[f32], hidden: usize) -> [&[f32]; N] {
    std::array::from_fn(|part| &all[part * hidden..(part + 1) * hidden])
}

/// The same to write to.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "must be compiled with its caller's features"
)]
fn parts_mut(all: &mut [f32], hidden: usize) -> [&mut [f32]; 3] {
    let (first, rest) = all.split_at_mut(hidden);
    let (second, rest) = rest.split_at_mut(hidden);
    [first, second, &mut rest[..hidden]]
}

/// What goes into a gate: two products with their biases.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "must be compiled with its caller's features"
)]
fn sums(
    projected: &[f32],
    bias_i: &[f32],
    recurrent: &[f32],
    bias_h: &[f32],
) -> impl Iterator<Item = f32> {
    let recurrent = recurrent.iter().zip(bias_h);
    let both = projected.iter().zip(bias_i).zip(recurrent);
    both.map(|((projected, bias_i), (recurrent, bias_h))| projected + bias_i + (recurrent + bias_h))
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
        let [bias_ir, bias_iz, bias_in] = parts(biases[0], hidden);
        let [bias_hr, bias_hz, bias_hn] = parts(biases[1], hidden);
        let rows = after.chunks_exact_mut(hidden).zip(before.chunks_exact(hidden));
        let products = projected.chunks_exact(3 * hidden).zip(recurrent.chunks_exact(3 * hidden));
        let all = rows.zip(products).zip(gates.chunks_exact_mut(4 * hidden));
        for (((after, before), (projected, recurrent)), gates) in all {
            let [projected_r, projected_z, projected_n] = parts(projected, hidden);
            let [recurrent_r, recurrent_z, recurrent_n] = parts(recurrent, hidden);
            let (gates, inner) = gates.split_at_mut(3 * hidden);
            let [reset, update, candidate] = parts_mut(gates, hidden);
            let inner = &mut inner[..hidden];
            // Several short loops instead of one long one keep the registers few. They go over
            // iterators: with an index, a check of bounds may end any round, and then the compiler
            // leaves the last sixteen to a loop over single numbers.
            let inputs = sums(projected_r, bias_ir, recurrent_r, bias_hr);
            for (reset, sum) in reset.iter_mut().zip(inputs) {
                *reset = sigmoid(sum);
            }
            let inputs = sums(projected_z, bias_iz, recurrent_z, bias_hz);
            for (update, sum) in update.iter_mut().zip(inputs) {
                *update = sigmoid(sum);
            }
            let recurrent = recurrent_n.iter().zip(bias_hn);
            for (inner, (recurrent, bias)) in inner.iter_mut().zip(recurrent) {
                *inner = recurrent + bias;
            }
            let projected = projected_n.iter().zip(bias_in);
            let inside = reset.iter().zip(inner.iter()).zip(projected);
            for (candidate, ((reset, inner), (projected, bias))) in candidate.iter_mut().zip(inside)
            {
                *candidate = tanh(projected + bias + reset * inner);
            }
            let mixed = update.iter().zip(candidate.iter()).zip(before);
            for (after, ((update, candidate), before)) in after.iter_mut().zip(mixed) {
                *after = (1.0 - update) * candidate + update * before;
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
            let [reset, update, candidate, inner] = parts(gates, hidden);
            let [for_r, for_z, for_n] = parts_mut(for_projected, hidden);
            let [again_r, again_z, again_n] = parts_mut(for_recurrent, hidden);
            let kept = update.iter().zip(candidate).zip(before);
            let gradients = for_z.iter_mut().zip(for_n.iter_mut()).zip(state);
            for (((for_z, for_n), state), ((z, n), before)) in gradients.zip(kept) {
                let incoming = *state;
                *for_z = incoming * (before - n) * z * (1.0 - z);
                *for_n = incoming * (1.0 - z) * (1.0 - n * n);
                *state = incoming * z;
            }
            let kept = reset.iter().zip(inner).zip(for_n.iter());
            let gradients = for_r.iter_mut().zip(again_n.iter_mut());
            for ((for_r, again_n), ((r, inner), for_n)) in gradients.zip(kept) {
                *for_r = for_n * inner * r * (1.0 - r);
                *again_n = for_n * r;
            }
            again_r.copy_from_slice(for_r);
            again_z.copy_from_slice(for_z);
        }
    }
}
