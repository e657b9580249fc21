//! Ctrl-C: once = finish what runs and stop, twice = stop now.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

type Listener = Box<dyn Fn() + Send>;

/// Counts requests to stop; shared between a signal handler and the dispatcher.
#[derive(Clone, Default)]
pub struct Interrupt {
    presses: Arc<AtomicUsize>,
    stop_now: Arc<AtomicBool>,
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
        let before = self.presses.fetch_add(1, Ordering::SeqCst);
        if before >= 1 {
            self.stop_now.store(true, Ordering::SeqCst);
        }
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

    /// The flag that running stages look at.
    #[must_use]
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop_now)
    }

    pub(super) fn listen(&self, wake: Listener) {
        if let Ok(mut listener) = self.listener.lock() {
            *listener = Some(wake);
        }
    }
}
