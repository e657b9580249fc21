//! Where a run stands: its events, folded one by one. Nothing here reads a file or a clock.
//!
//! This is the only place that knows what each kind of event does to a run: `runner status`,
//! `runner logs`, `runner replay` and the live page all look at a [`RunState`].

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::curve::Curve;
use super::quiet::Repetitions;
use super::words::again;
use crate::base::{Event, EventKind, Lane, TemplateShape, clock};

/// So many things that happened lately are kept.
const RECENT: usize = 50;

/// So many failures are kept with their messages.
const FAILURES: usize = 100;

/// So many warnings are kept.
const WARNINGS: usize = 50;

/// So many curves of one stage are kept.
const CURVES: usize = 12;

/// Messages are kept up to this many bytes.
const MESSAGE: usize = 8 * 1024;

/// What has become of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    Fresh,
    Made,
    Running,
    Failed,
    Skipped,
    Cancelled,
    Waiting,
}

/// How many stages stand where; those that nothing was said of are waiting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) all: usize,
    pub(crate) fresh: usize,
    pub(crate) made: usize,
    pub(crate) running: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
    pub(crate) cancelled: usize,
}

impl Counts {
    pub(crate) fn waiting(&self) -> usize {
        let others = self.fresh + self.made + self.running;
        let ended = self.failed + self.skipped + self.cancelled;
        self.all.saturating_sub(others + ended)
    }

    fn of(&mut self, standing: Standing) -> Option<&mut usize> {
        match standing {
            Standing::Fresh => Some(&mut self.fresh),
            Standing::Made => Some(&mut self.made),
            Standing::Running => Some(&mut self.running),
            Standing::Failed => Some(&mut self.failed),
            Standing::Skipped => Some(&mut self.skipped),
            Standing::Cancelled => Some(&mut self.cancelled),
            Standing::Waiting => None,
        }
    }

    fn move_one(&mut self, from: Standing, to: Standing) {
        if let Some(count) = self.of(from) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = self.of(to) {
            *count += 1;
        }
    }
}

/// The stages of one template.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) shape: TemplateShape,
    pub(crate) counts: Counts,
}

/// A stage that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) stage: String,
    pub(crate) lane: Lane,
    pub(crate) started_s: f64,
    pub(crate) done: u64,
    pub(crate) total: u64,
    pub(crate) unit: String,
    pub(crate) curves: Vec<(String, Curve)>,
}

/// A stage that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) stage: String,
    pub(crate) message: String,
    /// Where its log is, if it left one.
    pub(crate) log: Option<String>,
    /// The end of that, once it was read.
    pub(crate) log_end: Option<String>,
}

/// Something that happened to a stage.
#[derive(Debug)]
pub(crate) struct Happening {
    pub(crate) stage: String,
    pub(crate) what: String,
    pub(crate) at_s: f64,
}

/// How the run ended.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(crate) struct Ended {
    pub(crate) ran: usize,
    pub(crate) fresh: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
    pub(crate) cancelled: usize,
    pub(crate) wall_s: f64,
}

/// A run as far as its events tell.
#[derive(Debug, Default)]
pub(crate) struct RunState {
    pub(crate) experiment: String,
    pub(crate) program: String,
    pub(crate) started_ms: u64,
    /// When the last event came, in seconds since the start.
    pub(crate) last_s: f64,
    /// The same in milliseconds since 1970, if an event came.
    pub(crate) last_ms: Option<u64>,
    /// Seconds that the rest was expected to take, and when that was said.
    remaining: Option<(f64, f64)>,
    pub(crate) counts: Counts,
    pub(crate) templates: Vec<Template>,
    pub(crate) running: Vec<Running>,
    /// What ran when the run ended or its runner went away.
    pub(crate) in_flight: Vec<Running>,
    pub(crate) failures: Vec<Failure>,
    /// Newest last.
    pub(crate) recent: VecDeque<Happening>,
    pub(crate) warnings: Vec<String>,
    pub(crate) ended: Option<Ended>,
    repetitions: Repetitions,
    standings: BTreeMap<String, Standing>,
}

impl RunState {
    /// A run of which nothing is known yet but what its name says.
    pub(crate) fn awaited(experiment: &str, started_ms: u64) -> Self {
        Self {
            experiment: experiment.to_owned(),
            started_ms,
            ..Self::default()
        }
    }

    /// Takes in what happened. A new kind of event has its place here, and in `words` if it earns
    /// a line.
    pub(crate) fn fold(&mut self, event: Event) {
        let at_s = event.elapsed_s;
        self.last_s = self.last_s.max(at_s);
        self.last_ms = Some(event.at_ms);
        match event.kind {
            EventKind::RunStarted {
                experiment,
                stages,
                fresh,
                estimate_s,
                program,
                templates,
                ..
            } => {
                self.experiment = experiment;
                self.program = program;
                self.started_ms = event.at_ms.saturating_sub((at_s * 1000.0) as u64);
                self.remaining = estimate_s.map(|estimate_s| (estimate_s, at_s));
                self.counts = counts(stages, fresh);
                let known = templates.into_iter();
                self.templates = known
                    .map(|shape| Template {
                        counts: counts(shape.stages, shape.fresh),
                        shape,
                    })
                    .collect();
            }
            EventKind::StageStarted { stage, lane } => {
                self.place(&stage, Standing::Running);
                self.running.push(Running {
                    stage,
                    lane,
                    started_s: at_s,
                    done: 0,
                    total: 0,
                    unit: String::new(),
                    curves: Vec::new(),
                });
            }
            EventKind::StageProgress {
                stage,
                done,
                total,
                unit,
            } => {
                if let Some(running) = self.running(&stage) {
                    (running.done, running.total, running.unit) = (done, total, unit);
                }
            }
            EventKind::Measured {
                stage,
                name,
                step,
                value,
            } => {
                if let Some(running) = self.running(&stage) {
                    running.measured(name, step, value);
                }
            }
            EventKind::Warned { stage, message } => self.warned(stage.as_deref(), &message),
            EventKind::StageFinished {
                stage,
                wall_s,
                remaining_s,
                ..
            } => {
                self.place(&stage, Standing::Made);
                self.remaining = remaining_s.map(|remaining_s| (remaining_s, at_s));
                let took = clock::human(Duration::try_from_secs_f64(wall_s).unwrap_or_default());
                self.happened(stage, format!("made in {took}"), at_s);
            }
            EventKind::StageFresh { stage, because } => {
                self.place(&stage, Standing::Fresh);
                self.happened(stage, format!("fresh: {because}"), at_s);
            }
            EventKind::StageReopened { stage, was_fresh } => {
                if was_fresh {
                    self.standings
                        .entry(stage.clone())
                        .or_insert(Standing::Fresh);
                }
                self.place(&stage, Standing::Waiting);
                let what = "waits again: artifacts are gone or damaged and are made anew";
                self.happened(stage, what.to_owned(), at_s);
            }
            ref retried @ EventKind::StageRetried { ref stage, .. } => {
                self.place(stage, Standing::Waiting);
                self.happened(stage.clone(), cut(&again(retried)).to_owned(), at_s);
            }
            EventKind::StageFailed {
                stage,
                message,
                log,
            } => {
                self.place(&stage, Standing::Failed);
                let first = message.lines().next().unwrap_or_default();
                self.happened(stage.clone(), format!("failed: {}", cut(first)), at_s);
                if self.failures.len() < FAILURES {
                    self.failures.push(Failure {
                        stage,
                        message: cut(&message).to_owned(),
                        log,
                        log_end: None,
                    });
                }
            }
            EventKind::StageSkipped { stage, because } => {
                self.place(&stage, Standing::Skipped);
                self.happened(stage, format!("skipped because of {because}"), at_s);
            }
            EventKind::StageCancelled { stage } => {
                self.place(&stage, Standing::Cancelled);
                self.happened(stage, "stopped".to_owned(), at_s);
            }
            EventKind::RunFinished {
                ran,
                fresh,
                failed,
                skipped,
                cancelled,
                wall_s,
            } => {
                self.remaining = None;
                self.ended = Some(Ended {
                    ran,
                    fresh,
                    failed,
                    skipped,
                    cancelled,
                    wall_s,
                });
                // After a second Ctrl-C nobody waits for what still runs.
                self.stop_running("stopped");
            }
        }
    }

    /// Takes in that the runner is gone without a word.
    pub(crate) fn runner_is_gone(&mut self) {
        self.remaining = None;
        self.stop_running("was running when the runner went away");
    }

    /// Reads the ends of logs that were not read before.
    pub(crate) fn read_logs(&mut self, read: impl Fn(&str) -> String) {
        for failure in &mut self.failures {
            if failure.log_end.is_none() {
                failure.log_end = Some(failure.log.as_deref().map(&read).unwrap_or_default());
            }
        }
    }

    /// What is not shown one by one.
    pub(crate) fn left_out(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.repetitions.closing().into_iter().collect();
        if self.counts.failed > self.failures.len() {
            lines.push(format!(
                "only the first {} of {} failures are shown; all are in the run's journal",
                self.failures.len(),
                self.counts.failed
            ));
        }
        lines
    }

    /// What has become of a stage.
    pub(crate) fn standing(&self, stage: &str) -> Standing {
        let known = self.standings.get(stage);
        known.copied().unwrap_or(Standing::Waiting)
    }

    /// Seconds since the start; the clock of a run that ended or died stands still.
    pub(crate) fn elapsed_s(&self, now_ms: u64, alive: bool) -> f64 {
        match &self.ended {
            Some(ended) => ended.wall_s,
            None if !alive => self.last_s,
            None => {
                let since = now_ms.saturating_sub(self.started_ms) as f64 / 1000.0;
                since.max(self.last_s)
            }
        }
    }

    /// Seconds that the rest is expected to take, so many seconds after the start.
    pub(crate) fn remaining_s(&self, elapsed_s: f64) -> Option<f64> {
        let (remaining_s, at_s) = self.remaining?;
        Some((remaining_s - (elapsed_s - at_s)).max(0.0))
    }

    fn stop_running(&mut self, what: &str) {
        let running = std::mem::take(&mut self.running);
        for running in &running {
            self.place(&running.stage, Standing::Cancelled);
            self.happened(running.stage.clone(), what.to_owned(), self.last_s);
        }
        self.in_flight.extend(running);
    }

    fn running(&mut self, stage: &str) -> Option<&mut Running> {
        self.running
            .iter_mut()
            .find(|running| running.stage == stage)
    }

    /// Puts a stage where it now stands, and takes it from where it stood.
    fn place(&mut self, stage: &str, to: Standing) {
        let from = self
            .standings
            .insert(stage.to_owned(), to)
            .unwrap_or(Standing::Waiting);
        self.counts.move_one(from, to);
        let name = stage.split('@').next().unwrap_or_default();
        let mut templates = self.templates.iter_mut();
        if let Some(template) = templates.find(|template| template.shape.name == name) {
            template.counts.move_one(from, to);
        }
        self.running.retain(|running| running.stage != stage);
        if from == Standing::Failed {
            self.failures.retain(|failure| failure.stage != stage);
        }
    }

    fn happened(&mut self, stage: String, what: String, at_s: f64) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(Happening { stage, what, at_s });
    }

    fn warned(&mut self, stage: Option<&str>, message: &str) {
        let is_shown = self.repetitions.admit(stage, message);
        if is_shown && self.warnings.len() < WARNINGS {
            let message = cut(message);
            self.warnings.push(match stage {
                Some(stage) => format!("{stage}: {message}"),
                None => message.to_owned(),
            });
        }
    }
}

impl Running {
    fn measured(&mut self, name: String, step: u64, value: f64) {
        let at = match self.curves.iter().position(|(known, _)| *known == name) {
            Some(at) => at,
            None if self.curves.len() < CURVES => {
                self.curves.push((name, Curve::default()));
                self.curves.len() - 1
            }
            None => return,
        };
        self.curves[at].1.push(step, value);
    }
}

fn counts(all: usize, fresh: usize) -> Counts {
    Counts {
        all,
        fresh,
        ..Counts::default()
    }
}

/// A message as far as it is kept.
fn cut(message: &str) -> &str {
    &message[..message.floor_char_boundary(MESSAGE)]
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Run {
        state: RunState,
        seq: u64,
    }

    impl Run {
        /// One `data` and four `train`, one of those fresh.
        fn new() -> Self {
            let shape = |name: &str, needs: &[&str], stages, fresh| TemplateShape {
                name: name.to_owned(),
                kind: "command".to_owned(),
                lane: "cpu".to_owned(),
                needs: needs.iter().map(|need| (*need).to_owned()).collect(),
                stages,
                fresh,
            };
            let mut run = Self {
                state: RunState::default(),
                seq: 0,
            };
            run.tell(EventKind::RunStarted {
                experiment: "small".to_owned(),
                stages: 5,
                fresh: 1,
                to_run: 4,
                estimate_s: Some(20.0),
                program: "runner 1.2.3".to_owned(),
                templates: vec![shape("data", &[], 1, 0), shape("train", &["data"], 4, 1)],
            });
            run
        }

        /// Each event comes a second after the last.
        fn tell(&mut self, kind: EventKind) {
            let elapsed_s = self.seq as f64;
            self.state.fold(Event {
                seq: self.seq,
                at_ms: 1_000_000 + self.seq * 1000,
                elapsed_s,
                kind,
            });
            self.seq += 1;
            let mut sums = Counts::default();
            for Template { counts, .. } in &self.state.templates {
                sums.all += counts.all;
                sums.fresh += counts.fresh;
                sums.made += counts.made;
                sums.running += counts.running;
                sums.failed += counts.failed;
                sums.skipped += counts.skipped;
                sums.cancelled += counts.cancelled;
            }
            assert_eq!(sums, self.state.counts, "templates add up to the whole");
            assert_eq!(self.state.counts.running, self.state.running.len());
        }

        fn start(&mut self, stage: &str) {
            self.tell(EventKind::StageStarted {
                stage: stage.to_owned(),
                lane: Lane::Cpu,
            });
        }

        fn make(&mut self, stage: &str) {
            self.start(stage);
            self.tell(EventKind::StageFinished {
                stage: stage.to_owned(),
                key: "0".repeat(64),
                wall_s: 1.0,
                remaining_s: Some(7.0),
            });
        }

        fn lately(&self) -> Vec<String> {
            let recent = self.state.recent.iter();
            recent
                .map(|happening| format!("{} {}", happening.stage, happening.what))
                .collect()
        }
    }

    #[test]
    fn every_stage_is_counted_once() {
        let mut run = Run::new();
        assert_eq!(run.state.counts.waiting(), 4);
        run.make("data");
        run.start("train@i=1");
        run.tell(EventKind::StageFresh {
            stage: "train@i=2".to_owned(),
            because: "same inputs as before".to_owned(),
        });
        run.tell(EventKind::StageFailed {
            stage: "train@i=1".to_owned(),
            message: "exit 3\n  help: look".to_owned(),
            log: Some("logs/1.log".to_owned()),
        });
        run.tell(EventKind::StageSkipped {
            stage: "train@i=3".to_owned(),
            because: "train@i=1".to_owned(),
        });
        let expected = Counts {
            all: 5,
            fresh: 2,
            made: 1,
            running: 0,
            failed: 1,
            skipped: 1,
            cancelled: 0,
        };
        assert_eq!(run.state.counts, expected);
        assert_eq!(run.state.counts.waiting(), 0);
        assert_eq!(run.state.remaining, Some((7.0, 2.0)));
        assert_eq!(
            run.lately(),
            [
                "data made in 1.0 s",
                "train@i=2 fresh: same inputs as before",
                "train@i=1 failed: exit 3",
                "train@i=3 skipped because of train@i=1",
            ]
        );
        run.state.read_logs(|path| format!("end of {path}"));
        let failure = &run.state.failures[0];
        assert_eq!(failure.message, "exit 3\n  help: look");
        assert_eq!(failure.log_end.as_deref(), Some("end of logs/1.log"));
    }

    #[test]
    fn what_is_made_again_is_not_counted_twice() {
        let mut run = Run::new();
        run.make("data");
        run.start("train@i=1");
        // The bytes of a stage that ran, and those of one that was fresh from the start.
        for (stage, was_fresh) in [("data", false), ("train@i=0", true), ("train@i=1", false)] {
            run.tell(EventKind::StageReopened {
                stage: stage.to_owned(),
                was_fresh,
            });
        }
        assert_eq!(run.state.counts.waiting(), 5);
        run.make("data");
        run.make("train@i=0");
        run.make("train@i=1");
        assert_eq!(run.state.counts.made, 3);
        assert_eq!(run.state.counts.fresh, 0);
        assert_eq!(run.state.counts.waiting(), 2);
    }

    #[test]
    fn a_stage_that_is_tried_again_has_failed_no_more() {
        let mut run = Run::new();
        run.start("train@i=1");
        run.tell(EventKind::StageFailed {
            stage: "train@i=1".to_owned(),
            message: "out of memory".to_owned(),
            log: None,
        });
        assert_eq!(run.state.failures.len(), 1);
        run.make("train@i=1");
        assert!(run.state.failures.is_empty());
        assert_eq!(run.state.counts.failed, 0);
        assert_eq!(run.state.counts.made, 1);
    }

    #[test]
    fn a_killed_run_has_nothing_running() {
        let mut run = Run::new();
        run.make("data");
        run.start("train@i=1");
        run.state.runner_is_gone();
        run.state.runner_is_gone();
        assert!(run.state.ended.is_none());
        assert!(run.state.running.is_empty());
        assert_eq!(run.state.counts.running, 0);
        assert_eq!(run.state.counts.cancelled, 1);
        assert_eq!(run.state.counts.waiting(), 2);
        assert_eq!(
            run.lately().last().map(String::as_str),
            Some("train@i=1 was running when the runner went away")
        );
    }

    #[test]
    fn a_long_run_takes_no_more_memory_than_a_short_one() {
        let mut run = Run::new();
        run.start("train@i=1");
        for step in 0..5000 {
            for name in 0..20 {
                run.tell(EventKind::Measured {
                    stage: "train@i=1".to_owned(),
                    name: format!("number {name}"),
                    step,
                    value: 0.5,
                });
            }
            run.tell(EventKind::Warned {
                stage: Some("train@i=1".to_owned()),
                message: format!("{step} rows are strange"),
            });
            run.tell(EventKind::StageFailed {
                stage: format!("train@other={step}"),
                message: "ä".repeat(MESSAGE),
                log: None,
            });
        }
        let running = &run.state.running[0];
        assert_eq!(running.curves.len(), CURVES);
        assert_eq!(run.state.recent.len(), RECENT);
        assert_eq!(run.state.failures.len(), FAILURES);
        assert!(run.state.failures[0].message.len() <= MESSAGE);
        assert_eq!(run.state.warnings.len(), 2);
        let left_out = run.state.left_out();
        assert_eq!(
            left_out[0],
            "4998 more warnings like these are in the run's journal"
        );
        assert!(left_out[1].contains("of 5000 failures"), "{left_out:?}");
    }
}
