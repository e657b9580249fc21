//! Sigmoid and tanh over `f32`, the same bits on every machine.
//!
//! The C library's `expf` differs between systems and is called once per number; this
//! polynomial is inlined into the gate loops, where the compiler turns it into vector code.

/// eˣ within 2 units in the last place for |x| ≤ 87; clamped outside, NaN stays NaN.
///
/// Cody–Waite reduction and the polynomial of Cephes' `expf`.
#[inline(always)]
#[must_use]
pub fn exp(x: f32) -> f32 {
    // Adding 1.5·2²³ leaves the nearest whole number in the low bits of the float.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 87.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let rest = x - whole * LN_2_HIGH - whole * LN_2_LOW;
    let mut sum = 1.987_569_1e-4 * rest + 1.398_2e-3;
    sum = sum * rest + 8.333_452e-3;
    sum = sum * rest + 4.166_579_6e-2;
    sum = sum * rest + 1.666_666_5e-1;
    sum = sum * rest + 0.5;
    sum = sum * rest * rest + rest + 1.0;
    let exponent = shifted
        .to_bits()
        .wrapping_sub(ROUND.to_bits())
        .wrapping_add(127);
    sum * f32::from_bits(exponent << 23)
}

/// 1 / (1 + e⁻ˣ).
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "must be compiled with its caller's features"
)]
#[must_use]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// tanh x, with an absolute error below 2e-7.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "must be compiled with its caller's features"
)]
#[must_use]
pub fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (1.0 + exp(2.0 * x))
}

/// 1 / (1 + e⁻ˣ) of a logit, in `f64`: saturates near ±700, not at 17, so ranks survive.
#[must_use]
pub fn probability(logit: f32) -> f64 {
    1.0 / (1.0 + (-f64::from(logit)).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_to_exact_everywhere() {
        let mut worst = [0.0_f64; 3];
        for step in -90_000..=90_000 {
            let x = step as f32 / 1000.0;
            let wide = f64::from(x);
            let relative = (f64::from(exp(x)) / wide.clamp(-87.0, 87.0).exp() - 1.0).abs();
            let logistic = (f64::from(sigmoid(x)) - 1.0 / (1.0 + (-wide).exp())).abs();
            let hyperbolic = (f64::from(tanh(x)) - wide.tanh()).abs();
            for (worst, found) in worst.iter_mut().zip([relative, logistic, hyperbolic]) {
                *worst = worst.max(found);
            }
        }
        assert!(worst[0] < 2.5e-7, "{worst:?}");
        assert!(worst[1] < 1.5e-7 && worst[2] < 2e-7, "{worst:?}");
        assert!(exp(f32::NAN).is_nan() && sigmoid(f32::NAN).is_nan() && tanh(f32::NAN).is_nan());
        assert_eq!((exp(0.0), sigmoid(0.0), tanh(0.0)), (1.0, 0.5, 0.0));
    }
}
