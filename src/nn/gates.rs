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
            // Several short loops instead of one long one keep the registers few.
            for at in 0..hidden {
                let sum = projected_r[at] + bias_ir[at] + (recurrent_r[at] + bias_hr[at]);
                reset[at] = sigmoid(sum);
            }
            for at in 0..hidden {
                let sum = projected_z[at] + bias_iz[at] + (recurrent_z[at] + bias_hz[at]);
                update[at] = sigmoid(sum);
            }
            for at in 0..hidden {
                inner[at] = recurrent_n[at] + bias_hn[at];
                candidate[at] = tanh(projected_n[at] + bias_in[at] + reset[at] * inner[at]);
            }
            for at in 0..hidden {
                after[at] = (1.0 - update[at]) * candidate[at] + update[at] * before[at];
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
            for at in 0..hidden {
                let (z, n, incoming) = (update[at], candidate[at], state[at]);
                for_z[at] = incoming * (before[at] - n) * z * (1.0 - z);
                for_n[at] = incoming * (1.0 - z) * (1.0 - n * n);
                state[at] = incoming * z;
            }
            for at in 0..hidden {
                let r = reset[at];
                for_r[at] = for_n[at] * inner[at] * r * (1.0 - r);
                again_n[at] = for_n[at] * r;
            }
            again_r.copy_from_slice(for_r);
            again_z.copy_from_slice(for_z);
        }
    }
}
