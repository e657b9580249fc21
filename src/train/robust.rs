//! Distributionally robust optimisation over items: the loss of DROS.
//!
//! Paper: Yang, He, Zhang, Wu, Xin, Chen and Wang, "A Generic Learning Framework for Sequential
//! Recommendation with Distribution Shifts", SIGIR 2023; reference: the authors' DROS repository.
//! There the worst case over item distributions within a KL ball around the observed one is
//!
//! `ln( Σ_{j≠t} exp(p_j s_j² / β) + exp(p_t (s_t − 1)² / β) )`
//!
//! for raw outputs s of all items and a target t: how far each item's output is from what it should
//! be (1 for the target, 0 for the others), weighted by the item's propensity p. The mean over the
//! batch, times α, is added to the loss.
//!
//! The reference adds the target's own `exp(p_t s_t² / β)` to the sum and takes it away again, and
//! adds 1e-24 to the result; leaving it out is the same without the rounding. It computes the
//! exponentials as they are, which overflow for outputs above 30; here the largest is taken out
//! first. The target is pulled towards 1 whether it was liked or not, since in the reference's data
//! every target was chosen: its share of the term is one in V, so with hundreds of items little
//! comes of it.

use candle_core::Tensor;

use super::Loss;
use crate::nn::linear::Outputs;
use crate::nn::vector::log_sum_exp_of_squares;
use crate::nn::{Linear, NnError};

/// The numbers of the term.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Robustness {
    /// α: how much the term counts beside the loss.
    pub weight: f64,
    /// β: the smaller, the larger the ball, the more the worst items count.
    pub temperature: f64,
    /// Power that propensities are raised to: 0 makes all items equal.
    pub propensity_power: f64,
}

/// How often each item is a target, smoothed: `((n + 1) / Σ (n + 1)) ^ power`.
#[derive(Debug, Clone, PartialEq)]
pub struct Propensities {
    /// For each number from 1 on: number 0 stands for no item.
    of_items: Vec<f64>,
}

impl Propensities {
    /// From how often each item is a target, number 0 (*unknown*, no item) left out.
    #[must_use]
    pub fn of_counts(counts: &[u64], power: f64) -> Self {
        let smoothed = |count: &u64| *count as f64 + 1.0;
        let total: f64 = counts.iter().map(smoothed).sum();
        Self {
            of_items: counts
                .iter()
                .map(|count| (smoothed(count) / total).powf(power))
                .collect(),
        }
    }
}

impl Robustness {
    /// Propensities of the items `1..rows` from the targets of the training rows.
    pub fn propensities(
        &self,
        rows: usize,
        targets: impl IntoIterator<Item = u32>,
    ) -> Propensities {
        let mut counts = vec![0; rows.saturating_sub(1)];
        for target in targets {
            let item = (target as usize).checked_sub(1);
            if let Some(count) = item.and_then(|item| counts.get_mut(item)) {
                *count += 1;
            }
        }
        Propensities::of_counts(&counts, self.propensity_power)
    }

    /// The mean loss of a batch and α times the mean term, over all outputs of a network's last
    /// layer; one operation with a closed-form gradient. Sums and exponents are computed in `f64`,
    /// each exponential in `f32`.
    ///
    /// # Shapes
    /// `features [B, F]`, V outputs, B targets below V and not 0, B labels → scalar. Output 0 has no
    /// part in the term and gets no gradient.
    ///
    /// # Errors
    /// If a shape or a target does not fit, or the features are not `f32`.
    pub fn of(
        self,
        output: &Linear,
        features: &Tensor,
        targets: Vec<u32>,
        labels: &[bool],
        loss: Loss,
        propensities: &Propensities,
    ) -> Result<Tensor, NnError> {
        let over = |propensity: &f64| propensity / self.temperature;
        let factors: Vec<f64> = propensities.of_items.iter().map(over).collect();
        let labels = labels.to_vec();
        output.forward_to_scalar(features, move |outputs| {
            self.rows(outputs, &factors, &targets, &labels, loss)
        })
    }

    /// The number and its derivatives by all outputs.
    fn rows(
        self,
        outputs: Outputs<'_>,
        factors: &[f64],
        targets: &[u32],
        labels: &[bool],
        loss: Loss,
    ) -> candle_core::Result<(f32, Vec<f32>)> {
        let (items, columns) = (factors.len(), outputs.columns);
        let rows = outputs.numbers.len() / columns.max(1);
        let fits = |target: &u32| (1..=items).contains(&(*target as usize));
        if columns != items + 1
            || rows == 0
            || [targets.len(), labels.len()] != [rows; 2]
            || !targets.iter().all(fits)
        {
            candle_core::bail!(
                "outputs [{rows}, {columns}], {items} items, {} labels, targets {targets:?}",
                labels.len()
            );
        }
        let share = 1.0 / rows as f64;
        let mut all = vec![0.0_f32; rows * columns];
        let mut apart = vec![0.0_f32; items];
        let (mut losses, mut terms) = (0.0, 0.0);
        let parts = outputs.numbers.chunks_exact(columns);
        let parts = parts.zip(all.chunks_exact_mut(columns));
        for ((outputs, slopes), (target, label)) in parts.zip(targets.iter().zip(labels)) {
            let target = *target as usize;
            apart.copy_from_slice(&outputs[1..]);
            // The target's output should be 1, those of the others 0.
            apart[target - 1] -= 1.0;
            let scale = self.weight * share;
            terms += log_sum_exp_of_squares(&mut slopes[1..], &apart, factors, scale);
            losses += loss.term(outputs[target], *label);
            slopes[target] += (loss.slope(outputs[target], *label) * share) as f32;
        }
        Ok((((losses + self.weight * terms) * share) as f32, all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Gradients, VariableBuilder};
    use candle_core::{Device, Var};

    fn robustness() -> Robustness {
        Robustness {
            weight: 0.7,
            temperature: 0.5,
            propensity_power: 0.3,
        }
    }

    #[test]
    fn propensities_by_hand() {
        let equal = Robustness {
            propensity_power: 1.0,
            ..robustness()
        };
        // Number 0 is no item: two targets of item 1, none of item 2.
        let found = equal.propensities(3, [1, 0, 1]);
        assert_eq!(found.of_items, [0.75, 0.25]);
    }

    #[test]
    fn the_gradient_is_that_of_differences_and_large_outputs_stay_finite() {
        let start = [9.0_f32, 0.3, -1.2, 2.0, 0.1, -7.0, 0.8, 1.0, -0.4, 0.0];
        let (targets, labels) = (vec![2, 4], [true, false]);
        let propensities = robustness().propensities(5, [1, 2, 2, 4, 4, 4]);
        // A layer that gives back what it gets, so that the features are the outputs.
        let mut same = [0.0_f32; 25];
        same.iter_mut().step_by(6).for_each(|number| *number = 1.0);
        let weights = [
            (
                "same.weight",
                Tensor::from_slice(&same, (5, 5), &Device::Cpu),
            ),
            (
                "same.bias",
                Tensor::from_slice(&[0.0_f32; 5], 5, &Device::Cpu),
            ),
        ];
        let weights = weights.map(|(name, tensor)| (name.to_owned(), tensor.expect("cpu")));
        let mut builder = VariableBuilder::from_tensors(weights.into(), &Device::Cpu);
        let same = Linear::new(&mut builder, "same", 5, 5).expect("weights");
        let of = |logits: &Tensor, targets: Vec<u32>| {
            robustness().of(&same, logits, targets, &labels, Loss::Mse, &propensities)
        };
        let value = |logits: &Tensor| of(logits, targets.clone()).expect("fits");
        let tensor = |values: &[f32]| Tensor::from_slice(values, (2, 5), &Device::Cpu);
        let logits = Var::from_tensor(&tensor(&start).expect("cpu")).expect("cpu");
        let gradients = Gradients::of(&value(&logits)).expect("differentiable");
        let exact = gradients.get(&logits).expect("cpu").expect("reached");
        let exact = exact.flatten_all();
        let exact = exact.and_then(|t| t.to_vec1::<f32>()).expect("f32");
        for (at, exact) in exact.iter().enumerate() {
            let moved = |by: f32| {
                let mut values = start;
                values[at] += by;
                let found = value(&tensor(&values).expect("cpu"));
                f64::from(found.to_scalar::<f32>().expect("scalar"))
            };
            let numeric = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            assert!(
                (numeric - f64::from(*exact)).abs() < 1e-4,
                "{at} {numeric} {exact}"
            );
        }
        assert_eq!((exact[0], exact[5]), (0.0, 0.0));
        let far = tensor(&[100.0; 10]).expect("cpu");
        assert!(value(&far).to_scalar::<f32>().expect("scalar").is_finite());
        let refused = |targets: Vec<u32>| of(&far, targets);
        assert!(refused(vec![0, 1]).is_err() && refused(vec![5, 1]).is_err());
        assert!(refused(vec![1]).is_err());
    }
}
