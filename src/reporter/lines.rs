//! Plain lines, for logs and for terminals that cannot redraw.

use std::io::{self, Write};

use super::Reporter;
use super::quiet::Repetitions;
use super::words::{left, told};
use crate::base::{Event, EventKind};

/// Writes one line for each thing worth a line.
pub struct Lines<W> {
    target: W,
    done: usize,
    to_run: usize,
    warnings: Repetitions,
}

impl<W: Write> Lines<W> {
    /// Writes to `target`.
    pub fn new(target: W) -> Self {
        Self {
            target,
            done: 0,
            to_run: 0,
            warnings: Repetitions::default(),
        }
    }

    /// Counts one more stage.
    fn counter(&mut self) -> String {
        self.done += 1;
        let width = self.to_run.to_string().len();
        format!("[{:>width$}/{}] ", self.done, self.to_run)
    }
}

impl<W: Write> Reporter for Lines<W> {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn on_event(&mut self, event: &Event) -> io::Result<()> {
        let Some(line) = told(&event.kind) else {
            return Ok(());
        };
        let (mut before, mut after) = (String::new(), String::new());
        match &event.kind {
            EventKind::RunStarted { to_run, .. } => self.to_run = *to_run,
            EventKind::StageFinished { remaining_s, .. } => {
                before = self.counter();
                after = left(*remaining_s);
            }
            EventKind::StageFresh { .. }
            | EventKind::StageFailed { .. }
            | EventKind::StageSkipped { .. } => before = self.counter(),
            EventKind::Warned { stage, message }
                if !self.warnings.admit(stage.as_deref(), message) =>
            {
                return Ok(());
            }
            EventKind::RunFinished {
                ran,
                failed,
                cancelled,
                ..
            } => {
                // A run that did nothing has said so in its first line.
                if *ran + *failed + *cancelled == 0 && self.to_run == 0 {
                    return Ok(());
                }
                if let Some(line) = self.warnings.closing() {
                    writeln!(self.target, "{line}")?;
                }
            }
            _ => {}
        }
        writeln!(self.target, "{before}{line}{after}")
    }
}
