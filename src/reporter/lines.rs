//! Plain lines, for logs and for terminals that cannot redraw.

use std::io::{self, Write};
use std::time::Duration;

use super::Reporter;
use super::quiet::Repetitions;
use crate::base::{Event, EventKind, clock};

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

    fn counter(&self) -> String {
        let width = self.to_run.to_string().len();
        format!("[{:>width$}/{}]", self.done, self.to_run)
    }
}

/// `about 2 min 10 s left`, or nothing.
pub(super) fn left(remaining_s: Option<f64>) -> String {
    match remaining_s {
        Some(seconds) if seconds >= 1.0 => format!(
            ", about {} left",
            clock::human(Duration::from_secs_f64(seconds))
        ),
        _ => String::new(),
    }
}

/// The first line of a run.
pub(super) fn headline(
    experiment: &str,
    stages: usize,
    fresh: usize,
    to_run: usize,
    estimate_s: Option<f64>,
) -> String {
    if to_run == 0 {
        return format!("{experiment}: all {stages} stages are fresh, nothing to run");
    }
    let estimate = match estimate_s {
        Some(seconds) if seconds >= 1.0 => format!(
            ", about {} by past timings",
            clock::human(Duration::from_secs_f64(seconds))
        ),
        _ => String::new(),
    };
    format!("{experiment}: {stages} stages, {fresh} fresh, {to_run} to run{estimate}")
}

/// `try 2 of 3 in 0.5 s, since …`, for a stage that is tried again.
pub(crate) fn again(kind: &EventKind) -> String {
    let EventKind::StageRetried {
        attempt,
        attempts,
        message,
        change,
        wait_s,
        ..
    } = kind
    else {
        return String::new();
    };
    let wait = Duration::try_from_secs_f64(*wait_s).unwrap_or_default();
    let when = if wait.is_zero() {
        "now".to_owned()
    } else {
        format!("in {}", clock::human(wait))
    };
    let with = if change.is_empty() {
        String::new()
    } else {
        format!(", with {change}")
    };
    format!("try {attempt} of {attempts} {when}{with}, since {message}")
}

/// The last line of a run.
pub(super) fn closing(kind: &EventKind) -> Option<String> {
    let EventKind::RunFinished {
        ran,
        fresh,
        failed,
        skipped,
        cancelled,
        wall_s,
    } = kind
    else {
        return None;
    };
    let mut parts = vec![format!("{ran} ran"), format!("{fresh} fresh")];
    for (count, word) in [
        (failed, "failed"),
        (skipped, "skipped because of that"),
        (cancelled, "left undone"),
    ] {
        if *count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    Some(format!(
        "{} in {}",
        parts.join(", "),
        clock::human(Duration::from_secs_f64(*wall_s))
    ))
}

impl<W: Write> Reporter for Lines<W> {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn on_event(&mut self, event: &Event) -> io::Result<()> {
        let line = match &event.kind {
            EventKind::RunStarted {
                experiment,
                stages,
                fresh,
                to_run,
                estimate_s,
                ..
            } => {
                self.to_run = *to_run;
                headline(experiment, *stages, *fresh, *to_run, *estimate_s)
            }
            EventKind::StageFinished {
                stage,
                wall_s,
                remaining_s,
                ..
            } => {
                self.done += 1;
                format!(
                    "{} made {stage} in {}{}",
                    self.counter(),
                    clock::human(Duration::from_secs_f64(*wall_s)),
                    left(*remaining_s)
                )
            }
            EventKind::StageFresh { stage, because } => {
                self.done += 1;
                format!("{} fresh {stage}: {because}", self.counter())
            }
            EventKind::StageFailed {
                stage,
                message,
                log,
            } => {
                self.done += 1;
                let log = log
                    .as_ref()
                    .map_or_else(String::new, |log| format!("\n  log: {log}"));
                format!("{} FAILED {stage}: {message}{log}", self.counter())
            }
            retried @ EventKind::StageRetried { stage, .. } => {
                format!("again {stage}: {}", again(retried))
            }
            EventKind::StageSkipped { stage, because } => {
                self.done += 1;
                format!("{} skipped {stage}: {because} failed", self.counter())
            }
            EventKind::StageCancelled { stage } => {
                format!("stopped {stage}; nothing of it is kept")
            }
            EventKind::Warned { stage, message }
                if !self.warnings.admit(stage.as_deref(), message) =>
            {
                return Ok(());
            }
            EventKind::Warned { stage, message } => match stage {
                Some(stage) => format!("warning: {stage}: {message}"),
                None => message.clone(),
            },
            finished @ EventKind::RunFinished {
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
                closing(finished).unwrap_or_default()
            }
            EventKind::StageStarted { .. }
            | EventKind::StageProgress { .. }
            | EventKind::StageReopened { .. }
            | EventKind::Measured { .. } => return Ok(()),
        };
        writeln!(self.target, "{line}")
    }
}
