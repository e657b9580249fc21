//! The learning rate of each step, as transformers' schedulers have it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the learning rate does after its warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Falls in a straight line to 0 after the last step (`get_linear_schedule_with_warmup`).
    Linear,
    /// Stays (`get_constant_schedule_with_warmup`).
    Constant,
    /// Falls in half a cosine to 0 after the last step (`get_cosine_schedule_with_warmup`).
    Cosine,
}

impl Schedule {
    /// The learning rate of a step, counted from 0, of `total`: it rises from 0 in the first
    /// `warmup` steps, so that with a warm-up the first step moves nothing.
    #[must_use]
    pub fn learning_rate(self, peak: f64, step: usize, warmup: usize, total: usize) -> f64 {
        if step < warmup {
            return peak * (step as f64 / warmup.max(1) as f64);
        }
        let falling = total.saturating_sub(warmup).max(1) as f64;
        let left = total.saturating_sub(step) as f64;
        match self {
            Self::Linear => peak * (left / falling),
            Self::Constant => peak,
            Self::Cosine => {
                let done = (step - warmup) as f64 / falling;
                peak * (0.5 * (1.0 + (std::f64::consts::PI * done).cos())).max(0.0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_from_nothing_and_falls_to_nothing() {
        let rates = |schedule: Schedule, warmup, total| -> Vec<f64> {
            (0..=total)
                .map(|step| schedule.learning_rate(8.0, step, warmup, total))
                .collect()
        };
        assert_eq!(
            rates(Schedule::Linear, 2, 6),
            [0.0, 4.0, 8.0, 6.0, 4.0, 2.0, 0.0]
        );
        assert_eq!(rates(Schedule::Linear, 4, 2), [0.0, 2.0, 4.0]);
        assert_eq!(rates(Schedule::Constant, 1, 3), [0.0, 8.0, 8.0, 8.0]);
        let cosine = rates(Schedule::Cosine, 0, 4);
        assert!((cosine[0] - 8.0).abs() < 1e-12 && (cosine[2] - 4.0).abs() < 1e-12);
        assert!(cosine[4].abs() < 1e-12);
    }
}
