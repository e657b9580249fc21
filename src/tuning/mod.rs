//! Trains the parameters of a language model as the Hugging Face Trainer does.
//!
//! [`tune()`] is the whole training: rows in a seeded order ([`windows`]), optimiser steps
//! ([`step()`], [`AdamW`], [`Schedule`]), validation ([`Validation`]), early stopping, the best
//! values restored, and a state on disk from which a training that was stopped goes on
//! ([`state`]). What is trained is whatever the model's
//! [`Parameters`](crate::language_model::Parameters) are: an adapter, or all weights.
//!
//! Everything random is a function of the seed and of epoch, row or step, so that a training that
//! goes on from its state ends with the same bytes as one that was never stopped.

pub mod adamw;
pub mod census;
pub mod curve;
pub mod error;
pub mod every_third;
pub mod example;
mod fingerprint;
pub mod observer;
pub mod options;
pub mod pass;
pub mod schedule;
pub mod state;
pub mod step;
pub mod tune;
pub mod validation;
pub mod windows;

pub use adamw::{AdamW, AdamWOptions};
pub use curve::CurvePoint;
pub use error::TuneError;
pub use every_third::every_third;
pub use example::{Example, Question};
pub use observer::{Progress, Silent, TuneObserver};
pub use options::{Evaluate, Keep, LossOn, Reduction, Resources, SelectBy, TuneOptions};
pub use pass::{read_out_all, shared_prefix};
pub use schedule::Schedule;
pub use step::{Recipe, Row, StepDone, step};
pub use tune::{Hooks, Task, Tuned, tune};
pub use validation::{Answers, Validated, Validation, yes_probability};

#[cfg(test)]
mod case;
#[cfg(test)]
mod double;
#[cfg(test)]
mod resume_tests;
#[cfg(test)]
mod tests;
