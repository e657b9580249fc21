//! Consumers of [`Event`]s: progress bars, plain lines, JSON lines, the run journal.
//!
//! No reporter can fail a run: one that fails is detached, with one warning to the others.

mod attempts;
mod curve;
mod follow;
mod journal;
mod json;
mod known;
mod lines;
mod log_end;
mod progress;
mod quiet;
pub(crate) mod run_state;
mod words;

use std::io;

pub(crate) use attempts::{Attempt, attempts};
pub use follow::{JournalFile, JournalReader, KEPT};
pub use journal::Journal;
pub use json::JsonLines;
pub(crate) use known::{KnownRun, Outcome};
pub use lines::Lines;
pub(crate) use log_end::{log_end, log_path};
pub use progress::Progress;

use crate::base::{Event, EventKind, clock};

/// Something that reads events.
pub trait Reporter {
    /// Its name, for the warning when it fails.
    fn name(&self) -> &'static str;

    /// Reads one event.
    ///
    /// # Errors
    /// If it cannot write; it is then not called again.
    fn on_event(&mut self, event: &Event) -> io::Result<()>;
}

/// Stamps events and hands them to every reporter.
pub struct Reporters {
    list: Vec<Box<dyn Reporter>>,
    seq: u64,
    started: std::time::Instant,
}

impl std::fmt::Debug for Reporters {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Reporters({})", self.list.len())
    }
}

impl Reporters {
    /// Starts the clock of a run.
    #[must_use]
    pub fn new(list: Vec<Box<dyn Reporter>>) -> Self {
        Self {
            list,
            seq: 0,
            started: clock::now(),
        }
    }

    /// Hands an event on.
    pub fn emit(&mut self, kind: EventKind) {
        let event = Event {
            seq: self.seq,
            at_ms: clock::unix_milliseconds(),
            elapsed_s: self.started.elapsed().as_secs_f64(),
            kind,
        };
        self.seq += 1;
        let mut failures = Vec::new();
        self.list
            .retain_mut(|reporter| match reporter.on_event(&event) {
                Ok(()) => true,
                Err(error) => {
                    failures.push(format!(
                        "the {} reporter stopped: {error}; the run goes on",
                        reporter.name()
                    ));
                    false
                }
            });
        for message in failures {
            self.emit(EventKind::Warned {
                stage: None,
                message,
            });
        }
    }
}
