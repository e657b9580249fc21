//! How a training is heard and stopped.

/// Where a training stands after an optimiser step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Optimiser steps done, those of earlier runs included.
    pub step: usize,
    /// Optimiser steps in all, unless the training stops early.
    pub total_steps: usize,
    /// Passes over the training rows done, a part of one included.
    pub epoch: f64,
    /// Mean cross-entropy of the step in nats, as [`super::CurvePoint::loss`].
    pub loss: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Tokens a second in this step.
    pub tokens_per_second: f64,
}

/// What a training tells while it runs. It cannot fail a training, only stop it.
pub trait TuneObserver {
    /// An optimiser step is done.
    fn step(&mut self, _progress: &Progress) {}
    /// `done` of `total` validation rows are scored.
    fn validating(&mut self, _done: usize, _total: usize) {}
    /// The validation after optimiser step `step` is done; `best` so far or not.
    fn validated(&mut self, _step: usize, _auc: Option<f64>, _loss: Option<f64>, _best: bool) {}
    /// Something about this run, not about the result: a state that was found, or is useless.
    fn note(&mut self, _text: &str) {}
    /// Whether to stop now; asked before every pass through the model.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// An observer that does not listen.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl TuneObserver for Silent {}
