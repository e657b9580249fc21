//! Dropout from a seeded stream.

use candle_core::Tensor;

use super::NnError;
use crate::base::Random;

/// Sets each number to zero with probability `rate` in training and scales the others by
/// 1 / (1 − rate), as `torch.nn.Dropout` does.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    rate: f64,
}

impl Dropout {
    /// Drops the share `rate` of numbers, in [0, 1).
    #[must_use]
    pub fn new(rate: f64) -> Self {
        Self { rate }
    }

    /// Drops in training, where there is a stream to draw from; otherwise changes nothing.
    ///
    /// # Errors
    /// If the device refuses.
    pub fn forward(&self, x: Tensor, random: Option<&mut Random>) -> Result<Tensor, NnError> {
        let Some(mask) = self.mask(x.elem_count(), random) else {
            return Ok(x);
        };
        Tensor::from_vec(mask, x.shape(), x.device())
            .and_then(|mask| x * mask)
            .map_err(NnError::at("dropout"))
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

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn drops_the_asked_share_and_keeps_the_mean() {
        let ones = Tensor::ones(10_000, candle_core::DType::F32, &Device::Cpu).expect("ones");
        let dropout = Dropout::new(0.1);
        let drop = |seed| {
            let mut random = Random::new(seed, "dropout");
            let dropped = dropout.forward(ones.clone(), Some(&mut random));
            dropped.expect("cpu").to_vec1::<f32>().expect("f32")
        };
        let values = drop(1);
        let zeros = values.iter().filter(|value| **value == 0.0).count();
        assert!((900..1100).contains(&zeros), "{zeros}");
        assert!((values.iter().sum::<f32>() / 10_000.0 - 1.0).abs() < 0.02);
        assert_eq!(values, drop(1));
        assert_ne!(values, drop(2));
        let kept = dropout.forward(ones.clone(), None).expect("cpu");
        assert_eq!(kept.to_vec1::<f32>().expect("f32"), vec![1.0; 10_000]);
    }
}
