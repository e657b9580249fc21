//! The one event stream: stages and the dispatcher emit, reporters read.
//!
//! An [`Emitter`] cannot fail and cannot print. Terminal output, the JSON lines of `--json`
//! and the run journal are all functions of the same events.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a stage runs.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Strictly one stage at a time on the device (the CPU where there is no other).
    Accelerator,
    /// In parallel with others, each with its declared number of threads.
    Cpu,
}

impl fmt::Display for Lane {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Accelerator => "accelerator",
            Self::Cpu => "cpu",
        })
    }
}

/// Something that happened in a run, stamped by the dispatcher.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Counts from 0 within a run.
    pub seq: u64,
    /// Milliseconds since 1970-01-01 UTC.
    pub at_ms: u64,
    /// Seconds since the run began.
    pub elapsed_s: f64,
    /// What happened.
    pub kind: EventKind,
}

/// The stages of one template, as a run begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateShape {
    /// The template's name, with which the ids of its stages begin.
    pub name: String,
    /// What its stages do; several kinds are joined by `or`.
    pub kind: String,
    /// Where they run, likewise.
    pub lane: String,
    /// Templates whose artifacts they use.
    pub needs: Vec<String>,
    /// How many there are.
    pub stages: usize,
    /// How many of them need no run.
    pub fresh: usize,
}

/// What can happen in a run. Stages are named by their ids, as people read
/// them: `train@method=gru4rec,k=16,seed=0`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// The plan is made and work begins.
    RunStarted {
        /// Name of the experiment.
        experiment: String,
        /// Stages in the graph.
        stages: usize,
        /// Stages whose artifacts already stand.
        fresh: usize,
        /// Stages that may have to run.
        to_run: usize,
        /// Expected seconds of work by past timings, if there are any.
        estimate_s: Option<f64>,
        /// The program that runs: `runner 0.1.0`.
        #[serde(default)]
        program: String,
        /// The graph by stage template, each after all it needs; empty in journals of programs
        /// that did not write it.
        #[serde(default)]
        templates: Vec<TemplateShape>,
    },
    /// A stage began to run here.
    StageStarted {
        /// The stage.
        stage: String,
        /// Where it runs.
        lane: Lane,
    },
    /// A running stage came further.
    StageProgress {
        /// The stage.
        stage: String,
        /// Units done.
        done: u64,
        /// Units in all.
        total: u64,
        /// What is counted: `epoch`, `row`, `step`.
        unit: String,
    },
    /// A number worth following while a stage runs, such as a loss.
    Measured {
        /// The stage.
        stage: String,
        /// What was measured: `loss`, `valid_auc`.
        name: String,
        /// At which step or epoch.
        step: u64,
        /// The value.
        value: f64,
    },
    /// Something the reader should know; the work goes on.
    Warned {
        /// The stage, if it concerns one.
        stage: Option<String>,
        /// One sentence.
        message: String,
    },
    /// A stage ran and its artifacts are published.
    StageFinished {
        /// The stage.
        stage: String,
        /// Its key.
        key: String,
        /// Seconds it ran.
        wall_s: f64,
        /// Expected seconds until everything is done, if anything is known.
        remaining_s: Option<f64>,
    },
    /// A stage turned out to need no run: same inputs as before, or another runner made it.
    StageFresh {
        /// The stage.
        stage: String,
        /// Why: `same inputs`, `made by another runner`.
        because: String,
    },
    /// A stage waits again: its own artifacts, or those it was about to use, turned out to be gone
    /// or damaged.
    StageReopened {
        /// The stage.
        stage: String,
        /// Whether it was among the fresh ones when the run started.
        was_fresh: bool,
    },
    /// A stage failed in a way that another try can help, and is tried again.
    StageRetried {
        /// The stage.
        stage: String,
        /// Which try is next, counted from 1: 2 for the first that is made again.
        attempt: u32,
        /// How many tries it has at most.
        attempts: u32,
        /// What went wrong.
        message: String,
        /// What is done otherwise, such as half as much in a pass; empty for the very same.
        change: String,
        /// Seconds until then.
        wait_s: f64,
    },
    /// A stage failed; its descendants will be skipped.
    StageFailed {
        /// The stage.
        stage: String,
        /// What went wrong, with help if there is some.
        message: String,
        /// Its log, if it left one.
        log: Option<String>,
    },
    /// A stage did not run because something it needs failed.
    StageSkipped {
        /// The stage.
        stage: String,
        /// The stage that failed.
        because: String,
    },
    /// A stage was interrupted; nothing of it was kept.
    StageCancelled {
        /// The stage.
        stage: String,
    },
    /// Nothing runs any more.
    RunFinished {
        /// How many stages ran here.
        ran: usize,
        /// How many were fresh.
        fresh: usize,
        /// How many failed.
        failed: usize,
        /// How many were skipped because of a failure.
        skipped: usize,
        /// How many were left undone after an interruption.
        cancelled: usize,
        /// Seconds from start to end.
        wall_s: f64,
    },
}

impl EventKind {
    /// The stage it is about, if it is about one.
    #[must_use]
    pub fn stage(&self) -> Option<&str> {
        match self {
            Self::RunStarted { .. } | Self::RunFinished { .. } => None,
            Self::Warned { stage, .. } => stage.as_deref(),
            Self::StageStarted { stage, .. }
            | Self::StageProgress { stage, .. }
            | Self::Measured { stage, .. }
            | Self::StageFinished { stage, .. }
            | Self::StageFresh { stage, .. }
            | Self::StageReopened { stage, .. }
            | Self::StageRetried { stage, .. }
            | Self::StageFailed { stage, .. }
            | Self::StageSkipped { stage, .. }
            | Self::StageCancelled { stage } => Some(stage),
        }
    }
}

/// Where events go.
pub type Sink = Arc<dyn Fn(EventKind) + Send + Sync>;

/// A stage's way to be heard. Emitting never fails: if nobody listens, nothing happens.
#[derive(Clone)]
pub struct Emitter {
    stage: String,
    sink: Option<Sink>,
}

impl fmt::Debug for Emitter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Emitter({})", self.stage)
    }
}

impl Emitter {
    /// An emitter that speaks for `stage`.
    #[must_use]
    pub fn new(stage: &str, sink: Sink) -> Self {
        Self {
            stage: stage.to_owned(),
            sink: Some(sink),
        }
    }

    /// An emitter nobody listens to.
    #[must_use]
    pub fn silent() -> Self {
        Self {
            stage: String::new(),
            sink: None,
        }
    }

    /// Reports how far the stage has come.
    pub fn progress(&self, done: u64, total: u64, unit: &str) {
        self.emit(EventKind::StageProgress {
            stage: self.stage.clone(),
            done,
            total,
            unit: unit.to_owned(),
        });
    }

    /// Reports a number worth following.
    pub fn measure(&self, name: &str, step: u64, value: f64) {
        self.emit(EventKind::Measured {
            stage: self.stage.clone(),
            name: name.to_owned(),
            step,
            value,
        });
    }

    /// Tells the reader something that does not stop the work.
    pub fn warn(&self, message: impl Into<String>) {
        self.emit(EventKind::Warned {
            stage: Some(self.stage.clone()),
            message: message.into(),
        });
    }

    fn emit(&self, kind: EventKind) {
        if let Some(sink) = &self.sink {
            sink(kind);
        }
    }
}
