//! Losses on a logit and a label, each one operation with a closed-form gradient.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::nn::NnError;
use crate::nn::activation::probability;
use crate::nn::matrix::numbers;

/// What is minimised, as a mean over the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// (sigmoid(logit) − label)², the paper's choice for the baselines (preprint §3.1.5).
    Mse,
    /// −ln of the label's probability under sigmoid(logit).
    Bce,
}

impl Loss {
    /// The mean loss of a batch.
    ///
    /// Each term is computed in `f64`, so a saturated logit gives neither infinity nor NaN.
    ///
    /// # Shapes
    /// `logits [B]`, B labels → scalar.
    ///
    /// # Errors
    /// If the numbers of logits and labels differ, or the logits are not `f32`.
    pub fn of(self, logits: &Tensor, labels: &[bool]) -> std::result::Result<Tensor, NnError> {
        // A batch of logits is tiny: on another device it makes a round trip through the CPU.
        let on_cpu = || {
            logits
                .to_device(&candle_core::Device::Cpu)?
                .contiguous()?
                .apply_op1(LossOperation {
                    loss: self,
                    labels: labels.to_vec(),
                })
        };
        on_cpu().map_err(NnError::at("loss"))
    }

    /// One row's loss.
    pub(super) fn term(self, logit: f32, label: bool) -> f64 {
        let target = f64::from(u8::from(label));
        match self {
            Self::Mse => (probability(logit) - target).powi(2),
            Self::Bce => {
                let logit = f64::from(logit);
                logit.max(0.0) - logit * target + (-logit.abs()).exp().ln_1p()
            }
        }
    }

    /// Its derivative by the logit.
    pub(super) fn slope(self, logit: f32, label: bool) -> f64 {
        let p = probability(logit);
        let away = p - f64::from(u8::from(label));
        match self {
            Self::Mse => 2.0 * away * p * (1.0 - p),
            Self::Bce => away,
        }
    }
}

struct LossOperation {
    loss: Loss,
    labels: Vec<bool>,
}

impl CustomOp1 for LossOperation {
    fn name(&self) -> &'static str {
        "loss"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        if layout.dims() != [self.labels.len()] || self.labels.is_empty() {
            candle_core::bail!("logits {:?}, {} labels", layout.dims(), self.labels.len());
        }
        let sum: f64 = numbers(logits, layout)?
            .iter()
            .zip(&self.labels)
            .map(|(logit, label)| self.loss.term(*logit, *label))
            .sum();
        let mean = (sum / self.labels.len() as f64) as f32;
        Ok((CpuStorage::F32(vec![mean]), ().into()))
    }

    fn bwd(&self, logits: &Tensor, _result: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let scale = f64::from(gradient.to_scalar::<f32>()?) / self.labels.len() as f64;
        let slopes: Vec<f32> = logits
            .to_vec1::<f32>()?
            .iter()
            .zip(&self.labels)
            .map(|(logit, label)| (self.loss.slope(*logit, *label) * scale) as f32)
            .collect();
        Tensor::from_vec(slopes, logits.shape(), logits.device()).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_the_derivatives_of_the_terms() {
        for loss in [Loss::Mse, Loss::Bce] {
            for label in [false, true] {
                for logit in [-30.0_f32, -2.0, -0.5, 0.0, 0.25, 3.0, 40.0] {
                    let step = 1e-3_f32;
                    let (low, high) = (logit - step, logit + step);
                    let rise = loss.term(high, label) - loss.term(low, label);
                    let numeric = rise / (f64::from(high) - f64::from(low));
                    let exact = loss.slope(logit, label);
                    assert!((numeric - exact).abs() < 1e-6, "{loss:?} {logit} {label}");
                }
            }
        }
        assert!(Loss::Bce.term(1e30, false).is_finite());
        assert!(Loss::Mse.term(f32::NAN, false).is_nan());
    }
}
