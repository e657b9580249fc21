//! Dropout from a seeded stream.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::NnError;
use super::matrix::{numbers, with_numbers};
use super::vector::{drop_out, drop_out_backward};
use crate::base::Random;

/// Sets each number to zero with probability `rate` in training and scales the others by
/// 1 / (1 − rate), as `torch.nn.Dropout` does.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    rate: f64,
}

/// One drawing of a dropout: which numbers fall is a pure function of it and their places.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropping {
    seed: u64,
    /// Share of numbers that fall.
    pub(super) rate: f32,
}

impl Dropping {
    /// What decides a row's mask, by the number of the row among all.
    pub(super) fn key(self, row: usize) -> u64 {
        // The finaliser of SplitMix64, so that neighbouring rows share nothing.
        let mut key = self
            .seed
            .wrapping_add((row as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        key = (key ^ (key >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        key = (key ^ (key >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        key ^ (key >> 31)
    }
}

impl Dropout {
    /// Drops the share `rate` of numbers, in [0, 1).
    #[must_use]
    pub fn new(rate: f64) -> Self {
        Self { rate }
    }

    /// Draws once for a pass in training, where there is a stream to draw from.
    pub fn draw(&self, random: Option<&mut Random>) -> Option<Dropping> {
        let random = random.filter(|_| self.rate > 0.0)?;
        Some(Dropping {
            seed: random.next_u64(),
            rate: self.rate as f32,
        })
    }

    /// Drops in training, where there is a stream to draw from; otherwise changes nothing.
    ///
    /// # Errors
    /// If the device refuses.
    pub fn forward(
        &self,
        x: Tensor,
        random: Option<&mut Random>,
    ) -> std::result::Result<Tensor, NnError> {
        match self.draw(random) {
            Some(dropping) => dropping.apply(&x),
            None => Ok(x),
        }
    }

    /// What to multiply `count` numbers by, 0 or 1 / (1 − rate); `None` if nothing is dropped.
    #[must_use]
    pub fn mask(&self, count: usize, random: Option<&mut Random>) -> Option<Vec<f32>> {
        let random = random.filter(|_| self.rate > 0.0)?;
        // A draw below the threshold drops; 32 bits put the rate within 2e-10.
        let threshold = (self.rate * 4_294_967_296.0) as u32;
        let kept = (1.0 / (1.0 - self.rate)) as f32;
        let mask = (0..count)
            .map(|_| {
                if random.next_u32() < threshold {
                    0.0
                } else {
                    kept
                }
            })
            .collect();
        Some(mask)
    }
}

impl Dropping {
    /// Drops numbers of `x [.., W]`, a mask for each row of W.
    ///
    /// # Errors
    /// If the device refuses.
    pub fn apply(self, x: &Tensor) -> std::result::Result<Tensor, NnError> {
        let drop = || {
            if x.device().is_cpu() {
                return x.contiguous()?.apply_op1(self);
            }
            let ones = Tensor::ones_like(x)?.to_device(&candle_core::Device::Cpu)?;
            x * ones.apply_op1_no_bwd(&self)?.to_device(x.device())?
        };
        drop().map_err(NnError::at("dropout"))
    }

    /// Both ways are the same function, for it multiplies by a mask.
    fn run(self, x: &[f32], width: usize, backward: bool) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        let rows = out.chunks_mut(width.max(1)).zip(x.chunks(width.max(1)));
        for (row, (out, x)) in rows.enumerate() {
            if backward {
                drop_out_backward(out, x, self.key(row), self.rate);
            } else {
                drop_out(out, x, self.key(row), self.rate);
            }
        }
        out
    }
}

impl CustomOp1 for Dropping {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let width = layout.dims().last().copied().unwrap_or(1);
        let out = self.run(numbers(x, layout)?, width, false);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _result: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let width = x.dims().last().copied().unwrap_or(1);
        let out = with_numbers(gradient, |gradient| Ok(self.run(gradient, width, true)))?;
        Tensor::from_vec(out, x.shape(), x.device()).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn drops_the_asked_share_and_keeps_the_mean() {
        let ones = Tensor::ones((100, 100), candle_core::DType::F32, &Device::Cpu).expect("ones");
        let dropout = Dropout::new(0.1);
        let drop = |seed| {
            let mut random = Random::new(seed, "dropout");
            let dropped = dropout.forward(ones.clone(), Some(&mut random));
            let flat = dropped.expect("cpu").flatten_all().expect("flat");
            flat.to_vec1::<f32>().expect("f32")
        };
        let values = drop(1);
        let zeros = values.iter().filter(|value| **value == 0.0).count();
        assert!((900..1100).contains(&zeros), "{zeros}");
        assert!((values.iter().sum::<f32>() / 10_000.0 - 1.0).abs() < 0.02);
        assert_eq!(values, drop(1));
        assert_ne!(values, drop(2));
        assert_ne!(values[..100], values[100..200], "a mask for each row");
        let kept = dropout.forward(ones.clone(), None).expect("cpu");
        let kept = kept.flatten_all().expect("flat").to_vec1::<f32>();
        assert_eq!(kept.expect("f32"), vec![1.0; 10_000]);
    }

    #[test]
    fn the_gradient_passes_where_numbers_do() {
        let x = candle_core::Var::ones((7, 9), candle_core::DType::F32, &Device::Cpu);
        let x = x.expect("ones");
        let mut random = Random::new(3, "dropout");
        let out = Dropout::new(0.4).forward(x.as_tensor().clone(), Some(&mut random));
        let out = out.expect("cpu");
        let gradients = out.sum_all().and_then(|sum| sum.backward()).expect("cpu");
        let gradient = gradients.get(&x).expect("reached").to_vec2::<f32>();
        assert_eq!(gradient.expect("f32"), out.to_vec2::<f32>().expect("f32"));
    }
}
