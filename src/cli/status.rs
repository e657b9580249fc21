//! `runner status`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::arguments::{ExperimentArguments, Global};
use super::{CliError, Exit, output};
use crate::base::{Event, EventKind, clock};
use crate::reporter::{Journal, JournalFile};
use crate::study::{Study, shown};

/// Arguments of `runner status`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, CliError> {
    let study = arguments.experiment.open(global)?;
    let plan = study.plan()?;
    let (fresh, to_run) = (plan.fresh_count(), plan.needed_count());
    let last = last_journal(&study);
    let events = last
        .as_ref()
        .and_then(|path| Journal::read(path).ok())
        .unwrap_or_default();
    if arguments.json {
        output::json(&json!({
            "experiment": study.experiment.name,
            "stages": fresh + to_run, "fresh": fresh, "to_run": to_run,
            "last_run": last, "last_event": events.last(),
            "failed": failures(&events).into_iter().map(|(stage, message)| {
                json!({"stage": stage, "message": message})
            }).collect::<Vec<_>>(),
        }))?;
        return Ok(Exit::Fine);
    }
    let mut text = if to_run == 0 {
        format!(
            "{}: complete, all {fresh} stages are fresh\n",
            study.experiment.name
        )
    } else {
        format!(
            "{}: {fresh} of {} stages are fresh, {to_run} to run\n",
            study.experiment.name,
            fresh + to_run
        )
    };
    text.push_str(&last_run(&events));
    for (stage, message) in failures(&events) {
        let _ = writeln!(text, "  failed: {stage}: {message}");
    }
    let folder = study.results_folder();
    if folder.join("report.md").is_file() {
        let _ = writeln!(text, "report: {}", shown(&folder.join("report.md")));
    }
    if to_run > 0 {
        let _ = writeln!(text, "next: {}", arguments.experiment.run_command());
    }
    output::write(text.as_bytes())?;
    Ok(Exit::Fine)
}

fn last_journal(study: &Study) -> Option<PathBuf> {
    let journals = JournalFile::list(&study.folders.runs());
    let mut own = journals
        .into_iter()
        .filter(|journal| journal.experiment == study.experiment.name);
    own.next_back().map(|journal| journal.path)
}

fn last_run(events: &[Event]) -> String {
    let (Some(first), Some(last)) = (events.first(), events.last()) else {
        return "it was never run here\n".to_owned();
    };
    let age = |at_ms: u64| {
        clock::human(Duration::from_millis(
            clock::unix_milliseconds().saturating_sub(at_ms),
        ))
    };
    match &last.kind {
        EventKind::RunFinished {
            ran,
            failed,
            cancelled,
            wall_s,
            ..
        } => {
            let mut text = format!(
                "last run: ended {} ago after {}: {ran} ran",
                age(last.at_ms),
                clock::human(Duration::from_secs_f64(*wall_s))
            );
            if *failed > 0 {
                let _ = write!(text, ", {failed} failed");
            }
            if *cancelled > 0 {
                let _ = write!(text, ", {cancelled} left undone");
            }
            text.push('\n');
            text
        }
        _ => {
            let done = events
                .iter()
                .filter(|event| {
                    matches!(
                        event.kind,
                        EventKind::StageFinished { .. } | EventKind::StageFresh { .. }
                    )
                })
                .count();
            format!(
                "last run: began {} ago, {done} stages done; it still runs or was killed (last \
                 sign of life {} ago)\n",
                age(first.at_ms),
                age(last.at_ms)
            )
        }
    }
}

fn failures(events: &[Event]) -> Vec<(String, String)> {
    events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::StageFailed { stage, message, .. } => Some((stage.clone(), message.clone())),
            _ => None,
        })
        .collect()
}
