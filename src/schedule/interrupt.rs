//! Ctrl-C: once = finish what runs and stop, twice = stop now.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

type Listener = Box<dyn Fn() + Send>;

/// Counts requests to stop; shared between a signal handler and the dispatcher.
#[derive(Clone, Default)]
pub struct Interrupt {
    presses: Arc<AtomicUsize>,
    listener: Arc<Mutex<Option<Listener>>>,
}

impl std::fmt::Debug for Interrupt {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Interrupt({})", self.presses())
    }
}

impl Interrupt {
    /// One more request to stop.
    pub fn press(&self) {
        self.presses.fetch_add(1, Ordering::SeqCst);
        if let Ok(listener) = self.listener.lock()
            && let Some(wake) = listener.as_ref()
        {
            wake();
        }
    }

    /// How often it was requested to stop.
    #[must_use]
    pub fn presses(&self) -> usize {
        self.presses.load(Ordering::SeqCst)
    }

    pub(super) fn listen(&self, wake: Listener) {
        if let Ok(mut listener) = self.listener.lock() {
            *listener = Some(wake);
        }
    }
}
