//! Why a training failed.

use crate::language_model::LanguageModelError;
use crate::metric::MetricError;

/// Why a training failed.
#[derive(Debug, thiserror::Error)]
pub enum TuneError {
    /// An option is out of range or does not go with another.
    #[error("`{field}`: {message}")]
    Options {
        /// The option.
        field: String,
        /// What is wrong and what is allowed.
        message: String,
    },
    /// Rows cannot be trained on or validated with.
    #[error("{0}")]
    Data(String),
    /// The loss of a step is not a finite number.
    #[error(
        "the loss is {loss} at optimiser step {step} (learning rate {learning_rate:e})\n  \
         help: try a lower `learning_rate`, more `warmup_steps`, or `clip: 1.0`; a loss that is \
         not finite at the first step means damaged weights or rows"
    )]
    Diverged {
        /// The step, from 1.
        step: usize,
        /// The loss.
        loss: f64,
        /// The learning rate of the step.
        learning_rate: f64,
    },
    /// A gradient is not a finite number.
    #[error(
        "the gradient of `{parameter}` is not finite at optimiser step {step} (loss {loss}, \
         learning rate {learning_rate:e})\n  \
         help: try a lower `learning_rate` or more `warmup_steps`"
    )]
    Gradient {
        /// The step, from 1.
        step: usize,
        /// The first parameter whose gradient is not finite.
        parameter: String,
        /// The loss of the step.
        loss: f64,
        /// The learning rate of the step.
        learning_rate: f64,
    },
    /// A parameter does not take part in the loss.
    #[error(
        "the gradient of `{0}` is zero in every step so far, so it would never be trained\n  \
         help: this is a bug of the model, or rows in which it has no part"
    )]
    NoGradient(String),
    /// The best values were put back and do not score as they did.
    #[error(
        "with the values of step {step} put back, the validation gives {now} instead of {recorded}: \
         the best state was not restored, which is a bug"
    )]
    NotRestored {
        /// The chosen step.
        step: usize,
        /// What was recorded.
        recorded: f64,
        /// What is measured after restoring.
        now: f64,
    },
    /// The observer asked to stop.
    #[error("stopped before it was done{}", if *.saved { "; the state is saved and the next run goes on from it" } else { "" })]
    Cancelled {
        /// Whether a state was written that a next training goes on from.
        saved: bool,
    },
    /// The model failed.
    #[error(transparent)]
    Model(#[from] LanguageModelError),
    /// A validation score is not a number.
    #[error("validation: {0}")]
    Metric(#[from] MetricError),
}

impl TuneError {
    /// An option that is out of range.
    pub(super) fn option(field: &str, message: impl Into<String>) -> Self {
        Self::Options {
            field: field.to_owned(),
            message: message.into(),
        }
    }
}
