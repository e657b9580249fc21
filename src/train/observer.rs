//! How a training is heard and stopped.

/// What a training tells while it runs. It cannot fail a training, only stop it.
pub trait Observer {
    /// `done` of at most `total` epochs are done.
    fn epoch(&mut self, _done: usize, _total: usize) {}
    /// A number worth following, after epoch `epoch` (from 1): `loss`, `valid_auc`.
    fn measured(&mut self, _name: &str, _epoch: usize, _value: f64) {}
    /// Whether to stop now; asked before every step.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// An observer that does not listen.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Observer for Silent {}
