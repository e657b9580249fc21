//! Row-wise kernels over `f32` slices, compiled for the widest vectors the machine has.
//!
//! Reductions go through sixteen running sums that are added in a fixed order, and no
//! multiplication is fused with an addition, so the numbers are the same with any width.

use super::activation::{exp, sigmoid};
use super::wide::wide;

const LANES: usize = 16;

/// How many rows of this width make one task: a fixed amount of work, so that the split never
/// depends on the number of threads.
#[must_use]
pub fn rows_per_task(width: usize) -> usize {
    (1_usize << 15).div_ceil(width.max(1))
}

#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "must be compiled with its caller's features"
)]
fn reduce(lanes: [f32; LANES]) -> f32 {
    let mut lanes = lanes;
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "must be compiled with its caller's features"
)]
fn sum_of_products(left: &[f32], right: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (left_blocks, left_rest) = left.as_chunks::<LANES>();
    let (right_blocks, right_rest) = right.as_chunks::<LANES>();
    for (left, right) in left_blocks.iter().zip(right_blocks) {
        for lane in 0..LANES {
            lanes[lane] += left[lane] * right[lane];
        }
    }
    for (lane, (left, right)) in left_rest.iter().zip(right_rest).enumerate() {
        lanes[lane % LANES] += left * right;
    }
    reduce(lanes)
}

wide! {
    /// Σ left · right, over the shorter of the two.
    fn dot<'a>(left: &'a [f32], right: &'a [f32]) -> f32 {
        sum_of_products(left, right)
    }
}

wide! {
    /// `into += from`.
    fn add<'a>(into: &'a mut [f32], from: &'a [f32]) -> () {
        for (into, from) in into.iter_mut().zip(from) {
            *into += from;
        }
    }
}

wide! {
    /// `numbers *= factor`.
    fn scale<'a>(numbers: &'a mut [f32], factor: f32) -> () {
        for number in numbers {
            *number *= factor;
        }
    }
}

wide! {
    /// `out = x · inverse ∘ weight` for rows of `weight.len()`, with
    /// `inverse = 1 / √(mean x² + ε)` of each row.
    ///
    /// # Shapes
    /// `out, x [T, H], inverse [T], weight [H]`.
    fn rms_norm<'a>(
        out: &'a mut [f32],
        inverse: &'a mut [f32],
        x: &'a [f32],
        weight: &'a [f32],
        epsilon: f32,
    ) -> () {
        let width = weight.len().max(1);

        let rows = out.chunks_exact_mut(width).zip(x.chunks_exact(width));
        for ((out, x), inverse) in rows.zip(inverse) {
            let mean = sum_of_products(x, x) / width as f32;
            *inverse = 1.0 / (mean + epsilon).sqrt();
            for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
                *out = x * *inverse * weight;
            }
        }
    }
}

wide! {
    /// The same with `inverse` known.
    fn rms_norm_again<'a>(
        out: &'a mut [f32],
        inverse: &'a [f32],
        x: &'a [f32],
        weight: &'a [f32],
    ) -> () {
        let width = weight.len().max(1);

        let rows = out.chunks_exact_mut(width).zip(x.chunks_exact(width));
        for ((out, x), inverse) in rows.zip(inverse) {
            for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
                *out = x * inverse * weight;
            }
        }
    }
}

wide! {
    /// Adds to `for_x` what comes back through an RMS norm, and to `for_weight`, if it is not empty,
    /// the gradient of its weight.
    ///
    /// # Shapes
    /// `for_x, gradient, x [T, H], inverse [T], weight, for_weight [H]`.
    fn rms_norm_backward<'a>(
        for_x: &'a mut [f32],
        for_weight: &'a mut [f32],
        gradient: &'a [f32],
        x: &'a [f32],
        inverse: &'a [f32],
        weight: &'a [f32],
    ) -> () {
        let width = weight.len().max(1);

        let rows = gradient.chunks_exact(width).zip(x.chunks_exact(width));
        for (((gradient, x), inverse), for_x) in
            rows.zip(inverse).zip(for_x.chunks_exact_mut(width))
        {
            let mut lanes = [0.0_f32; LANES];
            let (gradients, gradient_rest) = gradient.as_chunks::<LANES>();
            let (xs, x_rest) = x.as_chunks::<LANES>();
            let (weights, weight_rest) = weight.as_chunks::<LANES>();
            for ((gradient, x), weight) in gradients.iter().zip(xs).zip(weights) {
                for lane in 0..LANES {
                    lanes[lane] += gradient[lane] * weight[lane] * x[lane];
                }
            }
            let rest = gradient_rest.iter().zip(x_rest).zip(weight_rest);
            for (lane, ((gradient, x), weight)) in rest.enumerate() {
                lanes[lane % LANES] += gradient * weight * x;
            }
            let along = reduce(lanes) * inverse * inverse * inverse / width as f32;
            for (((for_x, gradient), x), weight) in
                for_x.iter_mut().zip(gradient).zip(x).zip(weight)
            {
                *for_x += gradient * weight * inverse - x * along;
            }
            for ((for_weight, gradient), x) in for_weight.iter_mut().zip(gradient).zip(x) {
                *for_weight += gradient * x * inverse;
            }
        }
    }
}

wide! {
    /// `out = gate · σ(gate) ∘ up`.
    fn swiglu<'a>(out: &'a mut [f32], gate: &'a [f32], up: &'a [f32]) -> () {
        for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
            *out = gate * sigmoid(*gate) * up;
        }
    }
}

wide! {
    /// Replaces `gate` and `up` by their gradients, `gradient` being that of `gate · σ(gate) ∘ up`.
    fn swiglu_backward<'a>(gate: &'a mut [f32], up: &'a mut [f32], gradient: &'a [f32]) -> () {
        for ((gate, up), gradient) in gate.iter_mut().zip(up).zip(gradient) {
            let open = sigmoid(*gate);
            let silu = *gate * open;
            let slope = open + silu * (1.0 - open);
            *gate = gradient * *up * slope;
            *up = gradient * silu;
        }
    }
}

/// Turns a head's rows by the angles of their positions: the pair (i, i + D/2) by angle i, and
/// multiplies by `factor`; `direction` is 1 forward and −1 on the way back.
///
/// # Shapes
/// `row [D], cosine, sine [D/2]`.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "must be compiled with its caller's features"
)]
fn turn(row: &mut [f32], cosine: &[f32], sine: &[f32], direction: f32, factor: f32) {
    let (first, second) = row.split_at_mut(row.len() / 2);
    for (((first, second), cosine), sine) in first.iter_mut().zip(second).zip(cosine).zip(sine) {
        let sine = sine * direction;
        let (a, b) = (*first, *second);
        *first = (a * cosine - b * sine) * factor;
        *second = (b * cosine + a * sine) * factor;
    }
}

wide! {
    /// `turn` for many rows; row r is turned by the angles of `positions[r]`.
    ///
    /// # Shapes
    /// `rows [T, D], cosine, sine [P, D/2]` with P above every position.
    fn rotate<'a>(
        rows: &'a mut [f32],
        size: usize,
        positions: &'a [usize],
        angles: (&'a [f32], &'a [f32]),
        direction: f32,
        factor: f32,
    ) -> () {
        let half = size / 2;
        let (cosine, sine) = angles;

        for (row, position) in rows.chunks_exact_mut(size.max(1)).zip(positions) {
            let at = position * half..(position + 1) * half;
            if let (Some(cosine), Some(sine)) = (cosine.get(at.clone()), sine.get(at)) {
                turn(row, cosine, sine, direction, factor);
            }
        }
    }
}

wide! {
    /// Turns scores into e^score / Σ e^score and returns ln Σ e^score.
    fn softmax<'a>(scores: &'a mut [f32]) -> f32 {
        let (most, sum) = exponentials(scores);
        let factor = 1.0 / sum;
        for score in scores.iter_mut() {
            *score *= factor;
        }
        most + sum.ln()
    }
}

wide! {
    /// ln Σ e^score.
    fn log_sum_exp<'a>(scores: &'a mut [f32]) -> f32 {
        let (most, sum) = exponentials(scores);
        most + sum.ln()
    }
}

/// Replaces scores by e^(score − largest); returns the largest and the sum.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "must be compiled with its caller's features"
)]
fn exponentials(scores: &mut [f32]) -> (f32, f32) {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (blocks, rest) = scores.as_chunks::<LANES>();
    for block in blocks {
        for lane in 0..LANES {
            // Not `max`: a comparison is one instruction, and a NaN shows in the sum anyway.
            lanes[lane] = if block[lane] > lanes[lane] {
                block[lane]
            } else {
                lanes[lane]
            };
        }
    }
    let most = lanes.iter().chain(rest).fold(
        f32::NEG_INFINITY,
        |most, x| if *x > most { *x } else { most },
    );
    let mut sums = [0.0_f32; LANES];
    let (blocks, rest) = scores.as_chunks_mut::<LANES>();
    for block in blocks {
        for lane in 0..LANES {
            block[lane] = exp(block[lane] - most);
            sums[lane] += block[lane];
        }
    }
    for (lane, score) in rest.iter_mut().enumerate() {
        *score = exp(*score - most);
        sums[lane] += *score;
    }
    (most, reduce(sums))
}

wide! {
    /// ln Σ e^(factor · apart²) in `f64`; `slopes` receives `scale` times its derivatives by `apart`.
    ///
    /// The largest exponent, 0 at least, is taken out first, so that nothing overflows.
    fn log_sum_exp_of_squares<'a>(
        slopes: &'a mut [f32],
        apart: &'a [f32],
        factors: &'a [f64],
        scale: f64,
    ) -> f64 {
        let exponent = |apart: f32, factor: f64| factor * f64::from(apart) * f64::from(apart);
        let mut most = [0.0_f64; LANES];
        let (blocks, rest) = apart.as_chunks::<LANES>();
        let (factor_blocks, factor_rest) = factors.as_chunks::<LANES>();
        for (apart, factors) in blocks.iter().zip(factor_blocks) {
            for lane in 0..LANES {
                let exponent = exponent(apart[lane], factors[lane]);
                most[lane] = if exponent > most[lane] { exponent } else { most[lane] };
            }
        }
        let rests = rest.iter().zip(factor_rest).map(|(apart, factor)| exponent(*apart, *factor));
        let most = most.into_iter().chain(rests).fold(0.0, |most, x| if x > most { x } else { most });

        let mut sums = [0.0_f64; LANES];
        let (slope_blocks, slope_rest) = slopes.as_chunks_mut::<LANES>();
        for ((slopes, apart), factors) in slope_blocks.iter_mut().zip(blocks).zip(factor_blocks) {
            for lane in 0..LANES {
                let weight = exp((exponent(apart[lane], factors[lane]) - most) as f32);
                slopes[lane] = weight;
                sums[lane] += f64::from(weight);
            }
        }
        for ((slope, apart), factor) in slope_rest.iter_mut().zip(rest).zip(factor_rest) {
            *slope = exp((exponent(*apart, *factor) - most) as f32);
            sums[0] += f64::from(*slope);
        }
        let sum: f64 = sums.iter().sum();
        let share = 2.0 * scale / sum;
        for ((slope, apart), factor) in slopes.iter_mut().zip(apart).zip(factors) {
            *slope = (f64::from(*slope) * share * factor * f64::from(*apart)) as f32;
        }
        most + sum.ln()
    }
}

wide! {
    /// Replaces scores by e^(score − `log_sum`): the softmax again, from what it returned.
    fn softmax_again<'a>(scores: &'a mut [f32], log_sum: f32) -> () {
        for score in scores {
            *score = exp(*score - log_sum);
        }
    }
}

wide! {
    /// `gradient = chance ∘ (gradient − along)`: back through a softmax, `along` being Σ of the
    /// products.
    fn softmax_backward<'a>(gradient: &'a mut [f32], chance: &'a [f32], along: f32) -> () {
        for (gradient, chance) in gradient.iter_mut().zip(chance) {
            *gradient = chance * (*gradient - along);
        }
    }
}

wide! {
    /// `out = x / (1 − rate)` where the hash of (key, channel) is at least `rate`, else 0.
    ///
    /// Counter-based: the numbers dropped are a pure function of `key`, so they need not be kept for
    /// the way back.
    fn drop_out<'a>(out: &'a mut [f32], x: &'a [f32], key: u64, rate: f32) -> () {
        let keep = 1.0 / (1.0 - rate);
        let threshold = (f64::from(rate) * f64::from(u32::MAX)) as u32;
        let (low, high) = (key as u32, (key >> 32) as u32);

        for (channel, (out, x)) in out.iter_mut().zip(x).enumerate() {
            *out = if hash(channel as u32, low, high) >= threshold {
                x * keep
            } else {
                0.0
            };
        }
    }
}

wide! {
    /// Adds what comes back through [`drop_out`].
    fn drop_out_backward<'a>(for_x: &'a mut [f32], gradient: &'a [f32], key: u64, rate: f32) -> () {
        let keep = 1.0 / (1.0 - rate);
        let threshold = (f64::from(rate) * f64::from(u32::MAX)) as u32;
        let (low, high) = (key as u32, (key >> 32) as u32);

        for (channel, (for_x, gradient)) in for_x.iter_mut().zip(gradient).enumerate() {
            *for_x += if hash(channel as u32, low, high) >= threshold {
                gradient * keep
            } else {
                0.0
            };
        }
    }
}

/// Two rounds of multiply and shift (the constants of Wellons' `lowbias32`), keyed between.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "must be compiled with its caller's features"
)]
fn hash(counter: u32, low: u32, high: u32) -> u32 {
    let mut x = counter.wrapping_mul(0x9E37_79B9) ^ low;
    x ^= x >> 16;
    x = x.wrapping_mul(0x7FEB_352D);
    x ^= x >> 15;
    x ^= high;
    x = x.wrapping_mul(0x846C_A68B);
    x ^ (x >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_shares_are_right_and_masks_differ_between_keys() {
        let x = vec![1.0_f32; 100_000];
        let mut out = vec![0.0; x.len()];
        let mut other = out.clone();
        drop_out(&mut out, &x, 17, 0.05);
        drop_out(&mut other, &x, 18, 0.05);
        let dropped = out.iter().filter(|x| **x == 0.0).count();
        assert!((4700..5300).contains(&dropped), "{dropped}");
        let both = out
            .iter()
            .zip(&other)
            .filter(|(a, b)| **a == 0.0 && **b == 0.0);
        let both = both.count();
        assert!((190..310).contains(&both), "{both}");
        let mut back = vec![0.0; x.len()];
        drop_out_backward(&mut back, &x, 17, 0.05);
        assert_eq!(out, back);
        drop_out(&mut out, &x, 17, 0.0);
        assert_eq!(out, x);
    }

    #[test]
    fn log_sum_of_squares_and_its_slopes_by_hand() {
        let apart: Vec<f32> = (0..37).map(|x| (x as f32 * 0.7).sin() * 3.0).collect();
        let factors: Vec<f64> = (0..37).map(|x| 0.2 + 0.05 * f64::from(x)).collect();
        let exponents = |apart: &[f32]| -> Vec<f64> {
            let both = apart.iter().zip(&factors);
            both.map(|(apart, factor)| factor * f64::from(*apart).powi(2))
                .collect()
        };
        let sum: f64 = exponents(&apart).iter().map(|x| x.exp()).sum();
        let mut slopes = vec![0.0; apart.len()];
        let found = log_sum_exp_of_squares(&mut slopes, &apart, &factors, 0.5);
        assert!((found - sum.ln()).abs() < 1e-6, "{found}");
        for (at, exponent) in exponents(&apart).iter().enumerate() {
            let exact = 0.5 * exponent.exp() / sum * 2.0 * factors[at] * f64::from(apart[at]);
            assert!((f64::from(slopes[at]) - exact).abs() < 1e-6, "{at}");
        }
        let far = [1e4_f32; 37];
        assert!(log_sum_exp_of_squares(&mut slopes, &far, &factors, 0.5).is_finite());
        let nothing = log_sum_exp_of_squares(&mut slopes, &[f32::NAN; 37], &factors, 0.5);
        assert!(nothing.is_nan());
    }

    #[test]
    fn softmax_sums_to_one_and_comes_again() {
        let scores: Vec<f32> = (0..37).map(|x| (x as f32 * 0.7).sin() * 20.0).collect();
        let mut chances = scores.clone();
        let log_sum = softmax(&mut chances);
        assert!((chances.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        let exact = scores.iter().map(|x| f64::from(*x).exp()).sum::<f64>().ln();
        assert!((f64::from(log_sum) - exact).abs() < 1e-5);
        let mut again = scores;
        softmax_again(&mut again, log_sum);
        for (again, chance) in again.iter().zip(&chances) {
            assert!((again - chance).abs() < 1e-6);
        }
    }
}
