//! Adam's arithmetic over slices: one pass over the weights and their two moments.

use super::gradients::RowGradient;
use super::wide::wide;

/// What one step of Adam does to every weight.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// λ in `gradient + λ · weight`.
    pub weight_decay: f32,
    /// Share of the first moment that stays.
    pub keep_1: f32,
    /// Share of the gradient in the new first moment.
    pub new_1: f32,
    /// Share of the second moment that stays.
    pub keep_2: f32,
    /// Share of the squared gradient in the new second moment.
    pub new_2: f32,
    /// Step size over 1 − β₁ᵗ.
    pub rate: f32,
    /// 1 over the root of 1 − β₂ᵗ.
    pub root: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
}

impl Step {
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "must be compiled with its caller's features"
    )]
    fn number(self, weight: &mut f32, first: &mut f32, second: &mut f32, gradient: f32) {
        let gradient = gradient + self.weight_decay * *weight;
        *first = self.keep_1 * *first + self.new_1 * gradient;
        *second = self.keep_2 * *second + self.new_2 * gradient * gradient;
        *weight -= self.rate * *first / (second.sqrt() * self.root + self.epsilon);
    }
}

wide! {
    /// Moves weights that all have a gradient.
    fn step<'a>(
        weights: &'a mut [f32],
        first: &'a mut [f32],
        second: &'a mut [f32],
        gradient: &'a [f32],
        step: Step,
    ) -> () {
        let numbers = weights.iter_mut().zip(gradient);
        for ((weight, gradient), (first, second)) in numbers.zip(first.iter_mut().zip(second)) {
            step.number(weight, first, second, *gradient);
        }
    }
}

wide! {
    /// Moves all rows of a table, of which some have a gradient; the others decay and go on with
    /// what their moments remember. The bytes of [`step`] with zeros for them.
    fn step_rows<'a>(
        weights: &'a mut [f32],
        first: &'a mut [f32],
        second: &'a mut [f32],
        gradient: &'a RowGradient,
        step: Step,
    ) -> () {
        let width = gradient.width().max(1);
        let moments = first.chunks_exact_mut(width).zip(second.chunks_exact_mut(width));
        let rows = weights.chunks_exact_mut(width).zip(moments).enumerate();
        for (row, (weights, (first, second))) in rows {
            let numbers = weights.iter_mut().zip(first.iter_mut().zip(second));
            if let Some(gradient) = gradient.row(row) {
                for ((weight, (first, second)), gradient) in numbers.zip(gradient) {
                    step.number(weight, first, second, *gradient);
                }
            } else {
                for (weight, (first, second)) in numbers {
                    step.number(weight, first, second, 0.0);
                }
            }
        }
    }
}
