//! Progress bars on a terminal: one for the run, one for each running stage.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Reporter;
use super::quiet::Repetitions;
use super::words::{left, told};
use crate::base::{Event, EventKind};

/// Draws bars on standard error.
pub struct Progress {
    bars: MultiProgress,
    run: ProgressBar,
    stages: BTreeMap<String, ProgressBar>,
    warnings: Repetitions,
}

impl Progress {
    /// Draws to the terminal behind standard error.
    #[must_use]
    pub fn new() -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        let run = bars.add(ProgressBar::new(0));
        Self {
            bars,
            run,
            stages: BTreeMap::new(),
            warnings: Repetitions::default(),
        }
    }

    fn tell(&self, kind: &EventKind) -> io::Result<()> {
        told(kind).map_or(Ok(()), |line| self.bars.println(line))
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

impl Reporter for Progress {
    fn name(&self) -> &'static str {
        "progress"
    }

    fn on_event(&mut self, event: &Event) -> io::Result<()> {
        match &event.kind {
            EventKind::RunStarted {
                to_run, estimate_s, ..
            } => {
                self.tell(&event.kind)?;
                if *to_run > 0 {
                    self.run.set_length(*to_run as u64);
                    self.run.set_style(style(
                        "{elapsed_precise} [{bar:30}] {pos}/{len} stages{msg}",
                    ));
                    self.run.set_message(left(*estimate_s));
                    self.run.enable_steady_tick(Duration::from_millis(500));
                }
            }
            EventKind::StageStarted { stage, .. } => {
                let bar = self.bars.add(ProgressBar::new(0));
                bar.set_style(style("  {spinner} {prefix} {msg}"));
                bar.set_prefix(stage.clone());
                bar.enable_steady_tick(Duration::from_millis(200));
                self.stages.insert(stage.clone(), bar);
            }
            EventKind::StageProgress {
                stage,
                done,
                total,
                unit,
            } => {
                if let Some(bar) = self.stages.get(stage) {
                    if bar.length() != Some(*total) {
                        bar.set_length(*total);
                        bar.set_style(style(
                            "  {spinner} {prefix} [{bar:16}] {pos}/{len} {msg}, {eta} left",
                        ));
                    }
                    bar.set_message(format!("{unit}s"));
                    bar.set_position(*done);
                }
            }
            EventKind::Measured { .. } => {}
            EventKind::StageFinished {
                stage,
                remaining_s,
                wall_s,
                ..
            } => {
                self.end(stage);
                self.run.set_message(left(*remaining_s));
                // Only what took a while earns a line of its own.
                if *wall_s >= 5.0 {
                    self.tell(&event.kind)?;
                }
            }
            EventKind::StageFresh { stage, .. } | EventKind::StageReopened { stage, .. } => {
                self.end(stage);
            }
            EventKind::StageRetried { stage, .. } => {
                self.remove(stage);
                self.tell(&event.kind)?;
            }
            EventKind::StageFailed { stage, .. }
            | EventKind::StageSkipped { stage, .. }
            | EventKind::StageCancelled { stage } => {
                self.end(stage);
                self.tell(&event.kind)?;
            }
            EventKind::Warned { stage, message }
                if !self.warnings.admit(stage.as_deref(), message) => {}
            EventKind::Warned { .. } => self.tell(&event.kind)?,
            EventKind::RunFinished { .. } => {
                for bar in std::mem::take(&mut self.stages).into_values() {
                    bar.finish_and_clear();
                }
                let drew = self.run.length().unwrap_or(0) > 0;
                self.run.finish_and_clear();
                if let Some(line) = self.warnings.closing() {
                    self.bars.println(line)?;
                }
                if drew {
                    self.tell(&event.kind)?;
                }
            }
        }
        Ok(())
    }
}

impl Progress {
    fn end(&mut self, stage: &str) {
        self.remove(stage);
        self.run.inc(1);
    }

    fn remove(&mut self, stage: &str) {
        if let Some(bar) = self.stages.remove(stage) {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
    }
}
