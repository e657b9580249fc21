//! Seeded initial values. candle's CPU generator cannot be seeded, so these are our own.

use crate::base::Random;

/// How a variable's first values are drawn.
///
/// A variable draws from the stream `init/<name>` of the model's seed: adding a layer, or
/// building layers in another order, changes no other variable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// All values equal.
    Constant(f32),
    /// Uniform in [−bound, bound).
    Uniform {
        /// The largest absolute value.
        bound: f64,
    },
    /// Normal with mean 0.
    Normal {
        /// The standard deviation.
        deviation: f64,
    },
    /// Glorot and Bengio (2010), uniform: bound √(6 / (fan in + fan out)).
    XavierUniform,
    /// Glorot and Bengio (2010), normal: deviation √(2 / (fan in + fan out)).
    XavierNormal,
}

impl Init {
    /// The values of the variable `name` with the given shape (`[out, in, …]`, as in PyTorch).
    #[must_use]
    pub fn draw(self, seed: u64, name: &str, shape: &[usize]) -> Vec<f32> {
        let count = shape.iter().product();
        let mut random = Random::new(seed, &format!("init/{name}"));
        let mut normal = |deviation: f64| -> Vec<f32> {
            (0..count)
                .map(|_| (random.normal() * deviation) as f32)
                .collect()
        };
        let fans = fans(shape);
        match self {
            Self::Constant(value) => vec![value; count],
            Self::Normal { deviation } => normal(deviation),
            Self::XavierNormal => normal((2.0 / fans).sqrt()),
            Self::Uniform { bound } => uniform(&mut random, bound, count),
            Self::XavierUniform => uniform(&mut random, (6.0 / fans).sqrt(), count),
        }
    }
}

fn uniform(random: &mut Random, bound: f64, count: usize) -> Vec<f32> {
    (0..count)
        .map(|_| ((2.0 * random.uniform() - 1.0) * bound) as f32)
        .collect()
}

/// Fan in plus fan out, counting a convolution's kernel as PyTorch does.
fn fans(shape: &[usize]) -> f64 {
    let kernel: usize = shape.iter().skip(2).product();
    let out = shape.first().copied().unwrap_or(1);
    let inner = shape.get(1).copied().unwrap_or(1);
    ((out + inner) * kernel) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_right_spread_and_depend_on_name_and_seed() {
        let shape = [100, 50];
        let spread = |init: Init| {
            let values = init.draw(3, "w", &shape);
            let squares: f64 = values.iter().map(|v| f64::from(*v).powi(2)).sum();
            (squares / 5000.0).sqrt()
        };
        assert!((spread(Init::Normal { deviation: 0.5 }) - 0.5).abs() < 0.02);
        assert!((spread(Init::XavierNormal) - (2.0_f64 / 150.0).sqrt()).abs() < 0.005);
        assert!((spread(Init::XavierUniform) - (2.0_f64 / 150.0).sqrt()).abs() < 0.005);
        let bounded = Init::Uniform { bound: 0.25 }.draw(3, "w", &shape);
        assert!(bounded.iter().all(|value| value.abs() <= 0.25));
        assert_eq!(bounded, Init::Uniform { bound: 0.25 }.draw(3, "w", &shape));
        assert_ne!(bounded, Init::Uniform { bound: 0.25 }.draw(3, "v", &shape));
        assert_ne!(bounded, Init::Uniform { bound: 0.25 }.draw(4, "w", &shape));
        assert_eq!(Init::Constant(1.0).draw(3, "w", &[2]), [1.0, 1.0]);
    }
}
