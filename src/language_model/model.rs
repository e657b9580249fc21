//! What training and scoring need of a language model.

use super::{Batch, Configuration, LanguageModelError, Parameters};

/// Dropout on the inputs of LoRA's A matrices, the only dropout there is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// The share of numbers dropped, in [0, 1).
    pub rate: f32,
    /// Changes with every step; with a sequence's stream, layer, module and position it decides
    /// what is dropped.
    pub seed: u64,
}

/// How gradients are computed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pass {
    /// Dropout, in training.
    pub dropout: Option<Dropout>,
    /// Keep only the input of each layer and compute the rest again on the way back: less memory
    /// for a third more work.
    pub checkpoint_layers: bool,
}

impl Pass {
    /// Checks the rate of dropout.
    pub(super) fn check(&self) -> Result<(), LanguageModelError> {
        match self.dropout {
            Some(dropout) if !(0.0..1.0).contains(&dropout.rate) => {
                Err(LanguageModelError::invalid(format!(
                    "a dropout of {} is not in [0, 1)",
                    dropout.rate
                )))
            }
            _ => Ok(()),
        }
    }
}

/// What the model says about the token after a sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct Readout {
    /// Logits of the asked tokens, in their order.
    pub logits: Vec<f32>,
    /// Logarithm of the sum of e^logit over the whole vocabulary; `None` if not asked for.
    pub log_normaliser: Option<f32>,
}

/// A decoder-only language model.
pub trait LanguageModel: Send {
    /// Its sizes.
    fn configuration(&self) -> &Configuration;

    /// What can be trained, with gradients.
    fn parameters(&self) -> &Parameters;

    /// The same, to be changed by an optimiser.
    fn parameters_mut(&mut self) -> &mut Parameters;

    /// Adds the gradient of Σ weight · cross-entropy over all targets to the parameters'
    /// gradients, and returns that sum.
    ///
    /// # Errors
    /// If a token or position is out of range, or memory or device fail.
    fn accumulate(&mut self, batch: &Batch, pass: &Pass) -> Result<f64, LanguageModelError>;

    /// Σ weight · cross-entropy over all targets, without dropout.
    ///
    /// # Errors
    /// As [`LanguageModel::accumulate`].
    fn loss(&self, batch: &Batch) -> Result<f64, LanguageModelError>;

    /// Logits of the tokens `asked` after the last token of each sequence, without dropout; with
    /// `normalised` also the normaliser over the vocabulary.
    ///
    /// # Errors
    /// As [`LanguageModel::accumulate`].
    fn read_out(
        &self,
        batch: &Batch,
        asked: &[u32],
        normalised: bool,
    ) -> Result<Vec<Readout>, LanguageModelError>;

    /// All logits at the given (sequence, position) pairs: `[pairs, V]`, row after row.
    ///
    /// # Errors
    /// As [`LanguageModel::accumulate`].
    fn logits(&self, batch: &Batch, at: &[(usize, usize)]) -> Result<Vec<f32>, LanguageModelError>;
}
