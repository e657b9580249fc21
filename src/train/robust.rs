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

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::Loss;
use crate::nn::NnError;
use crate::nn::matrix::numbers;

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

    /// The mean loss of a batch and α times the mean term, one operation with a closed-form
    /// gradient, computed in `f64`.
    ///
    /// # Shapes
    /// `logits [B, V]`, B targets below V and not 0, B labels → scalar. Column 0 has no part in the
    /// term and gets no gradient.
    ///
    /// # Errors
    /// If a shape or a target does not fit, or the logits are not `f32`.
    pub fn of(
        self,
        logits: &Tensor,
        targets: Vec<u32>,
        labels: &[bool],
        loss: Loss,
        propensities: &Propensities,
    ) -> std::result::Result<Tensor, NnError> {
        let on_cpu = || {
            let operation = Operation {
                robustness: self,
                propensities: propensities.of_items.clone(),
                loss,
                targets,
                labels: labels.to_vec(),
                slopes: Mutex::new(None),
            };
            logits
                .to_device(&candle_core::Device::Cpu)?
                .contiguous()?
                .apply_op1(operation)
        };
        on_cpu().map_err(NnError::at("robust loss"))
    }

    /// One row: the term, and its derivatives by the row's outputs written to `slopes`. `target`
    /// counts from 0, as the items do.
    fn row(
        self,
        outputs: &[f32],
        target: usize,
        propensities: &[f64],
        exponents: &mut [f64],
        slopes: &mut [f64],
    ) -> f64 {
        let goal = |item: usize| if item == target { 1.0 } else { 0.0 };
        let mut largest = 0.0_f64;
        let all = outputs.iter().zip(propensities).zip(&mut *exponents);
        for (item, ((output, propensity), exponent)) in all.enumerate() {
            let apart = f64::from(*output) - goal(item);
            *exponent = propensity * apart * apart / self.temperature;
            largest = largest.max(*exponent);
        }
        let mut sum = 0.0;
        for exponent in &mut *exponents {
            *exponent = (*exponent - largest).exp();
            sum += *exponent;
        }
        let all = outputs
            .iter()
            .zip(propensities)
            .zip(&*exponents)
            .zip(slopes);
        for (item, (((output, propensity), exponent), slope)) in all.enumerate() {
            let apart = f64::from(*output) - goal(item);
            *slope = exponent / sum * 2.0 * propensity * apart / self.temperature;
        }
        largest + sum.ln()
    }
}

struct Operation {
    robustness: Robustness,
    propensities: Vec<f64>,
    loss: Loss,
    targets: Vec<u32>,
    labels: Vec<bool>,
    /// Derivatives by all outputs, which the forward pass has at hand.
    slopes: Mutex<Option<Vec<f32>>>,
}

impl CustomOp1 for Operation {
    fn name(&self) -> &'static str {
        "robust_loss"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, columns) = layout.shape().dims2()?;
        let items = self.propensities.len();
        let fits = |target: &u32| (1..=items).contains(&(*target as usize));
        if columns != items + 1
            || rows == 0
            || [self.targets.len(), self.labels.len()] != [rows; 2]
            || !self.targets.iter().all(fits)
        {
            candle_core::bail!(
                "logits [{rows}, {columns}], {items} items, {} labels, targets {:?}",
                self.labels.len(),
                self.targets
            );
        }
        let logits = numbers(logits, layout)?;
        let share = 1.0 / rows as f64;
        let mut all = vec![0.0_f32; rows * columns];
        let (mut exponents, mut slopes) = (vec![0.0; items], vec![0.0; items]);
        let (mut losses, mut terms) = (0.0, 0.0);
        let given = self.targets.iter().zip(&self.labels);
        let parts = logits
            .chunks_exact(columns)
            .zip(all.chunks_exact_mut(columns));
        for ((logits, all), (target, label)) in parts.zip(given) {
            let target = *target as usize;
            terms += self.robustness.row(
                &logits[1..],
                target - 1,
                &self.propensities,
                &mut exponents,
                &mut slopes,
            );
            losses += self.loss.term(logits[target], *label);
            slopes[target - 1] *= self.robustness.weight;
            for (item, (into, slope)) in all[1..].iter_mut().zip(&slopes).enumerate() {
                *into = if item + 1 == target {
                    ((slope + self.loss.slope(logits[target], *label)) * share) as f32
                } else {
                    (slope * self.robustness.weight * share) as f32
                };
            }
        }
        *self.slopes.lock().unwrap_or_else(PoisonError::into_inner) = Some(all);
        let mean = (losses + self.robustness.weight * terms) * share;
        Ok((CpuStorage::F32(vec![mean as f32]), ().into()))
    }

    fn bwd(&self, logits: &Tensor, _result: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let kept = self.slopes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(slopes) = kept.as_ref() else {
            candle_core::bail!("robust_loss has not run yet");
        };
        let scale = gradient.to_scalar::<f32>()?;
        let slopes = slopes.iter().map(|slope| slope * scale).collect();
        Tensor::from_vec(slopes, logits.shape(), logits.device()).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let value = |logits: &Tensor| {
            robustness()
                .of(logits, targets.clone(), &labels, Loss::Mse, &propensities)
                .expect("fits")
        };
        let tensor = |values: &[f32]| Tensor::from_slice(values, (2, 5), &Device::Cpu);
        let logits = Var::from_tensor(&tensor(&start).expect("cpu")).expect("cpu");
        let gradients = value(&logits).backward().expect("differentiable");
        let exact = gradients.get(&logits).expect("reached").flatten_all();
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
        let refused =
            |targets: Vec<u32>| robustness().of(&far, targets, &labels, Loss::Mse, &propensities);
        assert!(refused(vec![0, 1]).is_err() && refused(vec![5, 1]).is_err());
        assert!(refused(vec![1]).is_err());
    }
}
