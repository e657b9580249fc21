//! What the page is told of a run: the form of `/state.json`.

use serde::Serialize;

use crate::reporter::run_state::{Counts, Ended, RunState};

/// What a run's events do not say themselves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outside<'a> {
    /// The run's name.
    pub(super) run: &'a str,
    /// What time it is.
    pub(super) now_ms: u64,
    /// Whether the runner lives.
    pub(super) alive: bool,
    /// Whether there is a report.
    pub(super) report: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct View<'a> {
    experiment: &'a str,
    run: &'a str,
    program: &'a str,
    started_ms: u64,
    now_ms: u64,
    elapsed_s: f64,
    remaining_s: Option<f64>,
    ended: Option<Ended>,
    alive: bool,
    counts: RunCounts,
    templates: Vec<Template<'a>>,
    running: Vec<Running<'a>>,
    failed: Vec<Failed<'a>>,
    recent: Vec<Happening<'a>>,
    warnings: Vec<String>,
    report: bool,
}

#[derive(Debug, Serialize)]
struct RunCounts {
    stages: usize,
    fresh: usize,
    made: usize,
    running: usize,
    failed: usize,
    skipped: usize,
    waiting: usize,
}

#[derive(Debug, Serialize)]
struct Template<'a> {
    name: &'a str,
    kind: &'a str,
    lane: &'a str,
    needs: &'a [String],
    counts: TemplateCounts,
}

#[derive(Debug, Serialize)]
struct TemplateCounts {
    all: usize,
    fresh: usize,
    made: usize,
    running: usize,
    failed: usize,
    skipped: usize,
    cancelled: usize,
    waiting: usize,
}

#[derive(Debug, Serialize)]
struct Running<'a> {
    stage: &'a str,
    lane: String,
    since_s: f64,
    done: u64,
    total: u64,
    unit: &'a str,
    curves: Vec<Curve<'a>>,
}

#[derive(Debug, Serialize)]
struct Curve<'a> {
    name: &'a str,
    points: Vec<(u64, f64)>,
}

#[derive(Debug, Serialize)]
struct Failed<'a> {
    stage: &'a str,
    message: &'a str,
    log: &'a str,
}

#[derive(Debug, Serialize)]
struct Happening<'a> {
    stage: &'a str,
    what: &'a str,
    at_s: f64,
}

impl<'a> View<'a> {
    /// A run as it stands at one moment.
    pub(super) fn of(state: &'a RunState, outside: &Outside<'a>) -> Self {
        let elapsed_s = state.elapsed_s(outside.now_ms, outside.alive);
        let mut warnings = state.warnings.clone();
        warnings.extend(state.left_out());
        Self {
            experiment: &state.experiment,
            run: outside.run,
            program: &state.program,
            started_ms: state.started_ms,
            now_ms: outside.now_ms,
            elapsed_s,
            remaining_s: state.remaining_s(elapsed_s),
            ended: state.ended,
            alive: outside.alive || state.ended.is_some(),
            counts: run_counts(state),
            templates: templates(state),
            running: running(state, elapsed_s),
            failed: failed(state),
            recent: recent(state),
            warnings,
            report: outside.report,
        }
    }
}

fn run_counts(state: &RunState) -> RunCounts {
    let counts = &state.counts;
    // What was stopped is told by template only; without templates it waits for the next run.
    let stopped = if state.templates.is_empty() {
        counts.cancelled
    } else {
        0
    };
    RunCounts {
        stages: counts.all,
        fresh: counts.fresh,
        made: counts.made,
        running: counts.running,
        failed: counts.failed,
        skipped: counts.skipped,
        waiting: counts.waiting() + stopped,
    }
}

fn template_counts(counts: &Counts) -> TemplateCounts {
    TemplateCounts {
        all: counts.all,
        fresh: counts.fresh,
        made: counts.made,
        running: counts.running,
        failed: counts.failed,
        skipped: counts.skipped,
        cancelled: counts.cancelled,
        waiting: counts.waiting(),
    }
}

fn templates(state: &RunState) -> Vec<Template<'_>> {
    let templates = state.templates.iter();
    templates
        .map(|template| Template {
            name: &template.shape.name,
            kind: &template.shape.kind,
            lane: &template.shape.lane,
            needs: &template.shape.needs,
            counts: template_counts(&template.counts),
        })
        .collect()
}

fn running(state: &RunState, elapsed_s: f64) -> Vec<Running<'_>> {
    let running = state.running.iter();
    running
        .map(|running| Running {
            stage: &running.stage,
            lane: running.lane.to_string(),
            since_s: (elapsed_s - running.started_s).max(0.0),
            done: running.done,
            total: running.total,
            unit: &running.unit,
            curves: (running.curves.iter())
                .map(|(name, curve)| Curve {
                    name,
                    points: curve.points(),
                })
                .collect(),
        })
        .collect()
}

fn failed(state: &RunState) -> Vec<Failed<'_>> {
    let failures = state.failures.iter();
    failures
        .map(|failure| Failed {
            stage: &failure.stage,
            message: &failure.message,
            log: failure.log_end.as_deref().unwrap_or_default(),
        })
        .collect()
}

fn recent(state: &RunState) -> Vec<Happening<'_>> {
    let newest_first = state.recent.iter().rev();
    newest_first
        .map(|happening| Happening {
            stage: &happening.stage,
            what: &happening.what,
            at_s: happening.at_s,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Event, EventKind, Lane};

    fn outside(now_ms: u64, alive: bool) -> Outside<'static> {
        Outside {
            run: "small-1000",
            now_ms,
            alive,
            report: false,
        }
    }

    fn json(state: &RunState, outside: &Outside<'_>) -> serde_json::Value {
        serde_json::to_value(View::of(state, outside)).expect("JSON")
    }

    fn fold(state: &mut RunState, elapsed_s: f64, kind: EventKind) {
        state.fold(Event {
            seq: 0,
            at_ms: 2000 + (elapsed_s * 1000.0) as u64,
            elapsed_s,
            kind,
        });
    }

    /// A run of a program that did not write templates.
    fn begun() -> RunState {
        let mut state = RunState::awaited("small", 1000);
        let kind: EventKind = serde_json::from_str(
            "{\"event\":\"run_started\",\"experiment\":\"table\",\"stages\":3,\"fresh\":1,\
             \"to_run\":2,\"estimate_s\":30.0}",
        )
        .expect("an old event");
        fold(&mut state, 0.0, kind);
        fold(
            &mut state,
            1.0,
            EventKind::StageStarted {
                stage: "train@i=1".to_owned(),
                lane: Lane::Accelerator,
            },
        );
        state
    }

    #[test]
    fn before_the_first_event_the_name_of_the_run_says_something() {
        let view = json(&RunState::awaited("small", 1000), &outside(3500, true));
        assert_eq!(view["experiment"], "small");
        assert_eq!(view["elapsed_s"], 2.5);
        assert_eq!(view["ended"], serde_json::Value::Null);
        assert_eq!(view["counts"]["stages"], 0);
    }

    #[test]
    fn time_passes_while_a_run_lives() {
        let state = begun();
        let view = json(&state, &outside(6000, true));
        assert_eq!(view["experiment"], "table");
        assert_eq!(view["started_ms"], 2000);
        assert_eq!(view["elapsed_s"], 4.0);
        assert_eq!(view["remaining_s"], 26.0);
        assert_eq!(view["running"][0]["since_s"], 3.0);
        assert_eq!(view["running"][0]["lane"], "accelerator");
        assert_eq!(view["counts"]["waiting"], 1);
        assert_eq!(view["templates"], serde_json::json!([]));
        let late = json(&state, &outside(1_000_000, true));
        assert_eq!(late["remaining_s"], 0.0);
    }

    #[test]
    fn a_dead_run_says_so_and_its_clock_stands_still() {
        let mut state = begun();
        state.runner_is_gone();
        let view = json(&state, &outside(1_000_000, false));
        assert_eq!(view["alive"], false);
        assert_eq!(view["elapsed_s"], 1.0);
        assert_eq!(view["remaining_s"], serde_json::Value::Null);
        assert_eq!(view["running"], serde_json::json!([]));
        assert_eq!(view["counts"]["waiting"], 2);
    }

    #[test]
    fn a_run_that_ended_said_good_bye() {
        let mut state = begun();
        fold(
            &mut state,
            5.0,
            EventKind::RunFinished {
                ran: 1,
                fresh: 1,
                failed: 0,
                skipped: 0,
                cancelled: 1,
                wall_s: 5.0,
            },
        );
        let view = json(&state, &outside(1_000_000, false));
        assert_eq!(view["alive"], true);
        assert_eq!(view["elapsed_s"], 5.0);
        assert_eq!(view["ended"]["wall_s"], 5.0);
        assert_eq!(view["ended"]["cancelled"], 1);
    }
}
