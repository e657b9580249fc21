//! `runner logs`: what is known of one stage from the runs there were.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value, json};

use super::arguments::Global;
use super::{CliError, Exit, output, runs};
use crate::base::clock;
use crate::base::nearest::nearest;
use crate::reporter::run_state::RunState;
use crate::reporter::{Attempt, JournalFile, KnownRun, attempts, log_end, log_path};
use crate::study::{Folders, shown};

/// Stages are listed up to this many.
const LISTED: usize = 10;

/// Arguments of `runner logs`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  runner logs train@method=gru4rec,k=16,seed=0\n  runner logs seed=0 \
                  experiments/quickstart.yaml --runs 1\n\nA stage that needed no run from the \
                  start of a run on is not in its journal.\n`runner why EXPERIMENT STAGE` says how \
                  such a stage stands."
)]
pub(super) struct Arguments {
    /// The stage, or a part of its id that no other stage has.
    #[arg(value_name = "STAGE")]
    stage: String,
    /// An experiment (its file or its name) to whose runs to look, or the name of one run; all
    /// runs of the store if nobody says.
    #[arg(value_name = "EXPERIMENT or RUN")]
    run: Option<String>,
    /// How many runs that tell of the stage to show, the newest first.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// How much of the end of a log to show, in kilobytes.
    #[arg(long, value_name = "KB", default_value_t = 64)]
    log: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What one run tells of the stage.
struct Told {
    run: KnownRun,
    attempts: Vec<Attempt>,
}

/// A log that is there.
struct Log {
    path: String,
    text: String,
    is_cut: bool,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, CliError> {
    let folders = global.folders();
    let mut journals = runs::find(&folders, arguments.run.as_deref())?;
    journals.reverse();
    let stage = find_stage(&journals, &arguments.stage)?;
    let mut found = Vec::new();
    for journal in journals {
        let path = journal.path.clone();
        let mut run = KnownRun::new(journal);
        let attempts =
            attempts(&mut run, &stage).map_err(|error| runs::unreadable(&path, error))?;
        if !attempts.is_empty() {
            found.push(Told { run, attempts });
        }
        if found.len() == usize::from(arguments.runs) {
            break;
        }
    }
    let logs = logs(&folders, &found, u64::from(arguments.log) * 1000);
    if arguments.json {
        output::json(&as_json(&stage, &found, &logs))?;
    } else {
        output::write(as_text(&stage, &found, &logs).as_bytes())?;
    }
    Ok(Exit::Fine)
}

/// The stage that is meant, among those the journals tell of.
fn find_stage(journals: &[JournalFile], wanted: &str) -> Result<String, CliError> {
    let mut known = BTreeSet::new();
    for journal in journals {
        let path = journal.path.clone();
        KnownRun::new(journal.clone())
            .read_on(&mut |_: &mut RunState, event| {
                if let Some(stage) = event.kind.stage()
                    && !known.contains(stage)
                {
                    known.insert(stage.to_owned());
                }
            })
            .map_err(|error| runs::unreadable(&path, error))?;
    }
    if known.contains(wanted) {
        return Ok(wanted.to_owned());
    }
    let parts: Vec<&String> = known.iter().filter(|id| id.contains(wanted)).collect();
    match parts.as_slice() {
        [only] => Ok((*only).clone()),
        [] => {
            let templates = known.iter().filter_map(|id| id.split('@').next());
            let templates: BTreeSet<&str> = templates.collect();
            let candidates = known.iter().map(String::as_str).chain(templates.clone());
            let help = match nearest(wanted, candidates) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!(
                    "they tell of stages of {}; `runner why EXPERIMENT STAGE` knows also those \
                     that never had to run",
                    Vec::from_iter(templates).join(", ")
                ),
            };
            Err(CliError::NotThere(format!(
                "{} of a stage `{wanted}`\n  help: {help}",
                match journals.len() {
                    1 => "that run does not tell".to_owned(),
                    count => format!("none of {count} runs tells"),
                }
            )))
        }
        several => {
            let some: Vec<String> = (several.iter().take(LISTED))
                .map(|id| format!("    {id}"))
                .collect();
            let more = several.len().saturating_sub(LISTED);
            Err(CliError::NotThere(format!(
                "`{wanted}` is part of the ids of {} stages; name one of them, or a longer part:\n{}{}",
                several.len(),
                some.join("\n"),
                if more > 0 {
                    format!("\n    … and {more} more")
                } else {
                    String::new()
                }
            )))
        }
    }
}

/// The logs that are there, the newest attempt's first. A stage with the same key writes to the
/// same file, so of several attempts the last one's is kept.
fn logs(folders: &Folders, found: &[Told], most: u64) -> Vec<Log> {
    let newest_first = found.iter().flat_map(|told| told.attempts.iter().rev());
    let mut paths = Vec::new();
    for path in newest_first.filter_map(|attempt| log_path(&folders.logs(), attempt.log.as_ref()?))
    {
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    let read = paths.iter().filter_map(|path| {
        let (text, is_cut) = log_end(path, most).ok()?;
        Some(Log {
            path: shown(path),
            text,
            is_cut,
        })
    });
    read.collect()
}

fn as_text(stage: &str, found: &[Told], logs: &[Log]) -> String {
    let mut text = format!("{stage}\n");
    for told in found {
        let _ = writeln!(
            text,
            "\n{}, {}, began {}",
            told.run.journal.run(),
            told.run.outcome(),
            clock::moment(told.run.state.started_ms)
        );
        for attempt in &told.attempts {
            text.push_str("  ");
            text.push_str(&in_words(attempt));
            for warning in &attempt.warnings {
                let _ = writeln!(text, "    warning: {warning}");
            }
        }
    }
    for log in logs {
        let _ = writeln!(
            text,
            "\nlog {}{}:",
            log.path,
            if log.is_cut {
                " (its end; --log KB shows more)"
            } else {
                ""
            }
        );
        for line in log.text.lines() {
            let _ = writeln!(text, "  {line}");
        }
    }
    let failed_without = found
        .iter()
        .flat_map(|told| &told.attempts)
        .any(|attempt| attempt.log.is_some());
    if logs.is_empty() && failed_without {
        text.push_str(
            "\nits log is gone: a stage that went well later removes it, and so does `runner \
             cache gc` after a while\n",
        );
    }
    text
}

fn in_words(attempt: &Attempt) -> String {
    let when = match (attempt.started_ms, attempt.ended_ms) {
        (Some(started), Some(ended)) => {
            let took_s = ended.saturating_sub(started) as f64 / 1000.0;
            format!("{}, {}", clock::moment(started), runs::time(took_s))
        }
        (Some(started), None) => clock::moment(started),
        (None, Some(ended)) => clock::moment(ended),
        (None, None) => String::new(),
    };
    let mut text = format!("{when}: {}\n", attempt.what);
    // The first line is told already.
    for line in attempt.message.iter().flat_map(|text| text.lines().skip(1)) {
        let _ = writeln!(text, "    {}", line.trim_start());
    }
    text
}

fn as_json(stage: &str, found: &[Told], logs: &[Log]) -> Value {
    json!({
        "stage": stage,
        "runs": found.iter().map(|told| json!({
            "run": told.run.journal.run(),
            "experiment": told.run.state.experiment,
            "state": told.run.outcome(),
            "attempts": told.attempts,
        })).collect::<Vec<_>>(),
        "logs": logs.iter().map(|log| json!({
            "path": log.path, "text": log.text, "is_cut": log.is_cut,
        })).collect::<Vec<_>>(),
    })
}
