//! How much a pass through a decoder computes, before it is made: for estimates of time.

use super::Configuration;
use super::lora::MODULES;
use super::memory::Trained;

/// What passes are made of, all together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Amount {
    /// Rows: tokens, those of a shared beginning once a pass.
    pub rows: f64,
    /// Pairs of a token and one that it sees.
    pub pairs: f64,
    /// Rows whose logits over the whole vocabulary are wanted.
    pub asked: f64,
}

impl Amount {
    /// So many times as much.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self {
            rows: self.rows * factor,
            pairs: self.pairs * factor,
            asked: self.asked * factor,
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            pairs: self.pairs + other.pairs,
            asked: self.asked + other.asked,
        }
    }
}

/// Multiplications and additions of passes that only score.
#[must_use]
pub fn scoring(configuration: &Configuration, amount: Amount) -> f64 {
    let sizes = Sizes::of(configuration);
    2.0 * amount.rows * sizes.matrices
        + 4.0 * amount.pairs * sizes.attention
        + 2.0 * amount.asked * sizes.head
}

/// Multiplications and additions of training passes, there and back; frozen weights get no
/// gradient. With `checkpoint_layers` the way there is made twice.
#[must_use]
pub fn training(
    configuration: &Configuration,
    trained: Trained<'_>,
    amount: Amount,
    checkpoint_layers: bool,
) -> f64 {
    let sizes = Sizes::of(configuration);
    let there = scoring(configuration, amount);
    let layers = there - 2.0 * amount.asked * sizes.head;
    // Of attention the way back computes twice what the way there does.
    let mut work = 2.0 * there + 4.0 * amount.pairs * sizes.attention;
    match trained {
        Trained::Nothing => {}
        Trained::Adapter(options) => {
            let adapter = super::memory::adapter_numbers(configuration, options) as f64;
            work += 6.0 * amount.rows * adapter;
        }
        Trained::Everything => {
            work += 2.0 * amount.rows * sizes.matrices + 2.0 * amount.asked * sizes.head;
        }
    }
    if checkpoint_layers {
        work += layers;
    }
    work
}

/// Numbers that a row meets.
struct Sizes {
    /// In the matrices of all layers.
    matrices: f64,
    /// In the queries of all layers.
    attention: f64,
    /// In the head.
    head: f64,
}

impl Sizes {
    fn of(configuration: &Configuration) -> Self {
        let layers = configuration.layers as f64;
        let of_module = |(name, _): &(&str, &str)| {
            let (inputs, outputs) = configuration.module_widths(name)?;
            Some(inputs as f64 * outputs as f64)
        };
        Self {
            matrices: layers * MODULES.iter().filter_map(of_module).sum::<f64>(),
            attention: layers * (configuration.heads * configuration.head_size) as f64,
            head: (configuration.hidden_size * configuration.vocabulary_size) as f64,
        }
    }
}
