//! Why a training failed.

use crate::metric::MetricError;
use crate::nn::NnError;

/// Why a training failed.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// There is nothing to train on.
    #[error("there are no training rows")]
    NoRows,
    /// A number of the options is out of range.
    #[error("{0}")]
    Options(&'static str),
    /// The validation rows cannot tell one epoch from another.
    #[error("the validation AUC is not defined: {0}; early stopping needs likes and dislikes")]
    Validation(String),
    /// A variable does not take part in the loss.
    #[error("no gradient reaches the variable `{0}`, so it would never be trained")]
    NoGradient(String),
    /// The loss is not a finite number.
    #[error("the loss is {loss} in epoch {epoch}; a lower learning rate may help")]
    Diverged {
        /// The epoch, from 1.
        epoch: usize,
        /// The loss.
        loss: f64,
    },
    /// The observer asked to stop.
    #[error("stopped before it was done")]
    Cancelled,
    /// A layer failed.
    #[error(transparent)]
    Nn(#[from] NnError),
    /// A validation score is not a number.
    #[error(transparent)]
    Metric(#[from] MetricError),
}
