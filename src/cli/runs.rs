//! Which run is meant, and how it stands in words and JSON: for the commands that read journals.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::CliError;
use crate::base::clock;
use crate::base::nearest::nearest;
use crate::reporter::run_state::Running;
use crate::reporter::{JournalFile, KnownRun, Outcome};
use crate::spec::{Experiment, Request};
use crate::study::{Folders, StudyError, shown, vocabulary};

/// The runs of an experiment (its file or its name), a run by its name or its journal, or all runs
/// of the store if nobody says; the oldest first, at least one.
pub(super) fn find(folders: &Folders, wanted: Option<&str>) -> Result<Vec<JournalFile>, CliError> {
    let mut journals = JournalFile::list(&folders.runs());
    // A journal that somebody copied here lies where it lies.
    if let Some(name) = wanted
        && Path::new(name).is_file()
        && let Some(journal) = JournalFile::at(name.into())
    {
        return Ok(vec![journal]);
    }
    if journals.is_empty() {
        return Err(CliError::NotThere(format!(
            "there is no run in `{}` yet\n  help: `runner run EXPERIMENT` starts one; --store \
             names another store",
            shown(&folders.runs())
        )));
    }
    let Some(name) = wanted else {
        return Ok(journals);
    };
    let run = name.strip_suffix(".jsonl").unwrap_or(name);
    let run = Path::new(run).file_name().and_then(|name| name.to_str());
    let position = journals
        .iter()
        .position(|journal| Some(journal.run().as_str()) == run);
    if let Some(position) = position {
        return Ok(vec![journals.swap_remove(position)]);
    }
    let is_file = names_a_file(name);
    let experiment = if is_file {
        experiment_of(name)?
    } else {
        name.to_owned()
    };
    let unknown = if is_file {
        never_ran(&experiment, name)
    } else {
        unknown(name, &journals)
    };
    journals.retain(|journal| journal.experiment == experiment);
    if journals.is_empty() {
        return Err(unknown);
    }
    Ok(journals)
}

/// The newest of the runs that [`find`] finds.
pub(super) fn newest(folders: &Folders, wanted: Option<&str>) -> Result<JournalFile, CliError> {
    let mut found = find(folders, wanted)?;
    found
        .pop()
        .ok_or_else(|| unknown(wanted.unwrap_or_default(), &[]))
}

/// A run as it stands now.
pub(super) fn read(journal: JournalFile) -> Result<KnownRun, CliError> {
    let path = journal.path.clone();
    KnownRun::read(journal).map_err(|error| unreadable(&path, error))
}

pub(super) fn unreadable(path: &Path, source: io::Error) -> CliError {
    CliError::Io {
        action: format!("read the journal `{}`", shown(path)),
        source,
    }
}

/// Whether a word names a file with YAML rather than an experiment.
pub(super) fn names_a_file(name: &str) -> bool {
    let extension = Path::new(name).extension();
    extension.is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// The name of the experiment in a file.
fn experiment_of(file: &str) -> Result<String, CliError> {
    let request = Request {
        path: file.into(),
        set: Vec::new(),
        only: Vec::new(),
    };
    let (experiment, _) = Experiment::read(&request, vocabulary()).map_err(StudyError::from)?;
    Ok(experiment.name)
}

fn never_ran(experiment: &str, file: &str) -> CliError {
    CliError::NotThere(format!(
        "`{experiment}` was never run here\n  help: `runner run {file}` runs it"
    ))
}

fn unknown(wanted: &str, journals: &[JournalFile]) -> CliError {
    let experiments: BTreeSet<&str> = (journals.iter())
        .map(|journal| journal.experiment.as_str())
        .collect();
    let runs: Vec<String> = journals.iter().map(JournalFile::run).collect();
    let names = experiments.iter().copied();
    let help = match nearest(wanted, names.chain(runs.iter().map(String::as_str))) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!(
            "there are runs of {}",
            Vec::from_iter(experiments).join(", ")
        ),
    };
    CliError::NotThere(format!(
        "there is no run and no experiment `{wanted}` here\n  help: {help}"
    ))
}

/// How a run stands, in lines for people.
pub(super) fn told(run: &KnownRun) -> String {
    let state = &run.state;
    let began = clock::age(state.started_ms);
    let elapsed_s = state.elapsed_s(clock::unix_milliseconds(), run.alive);
    let mut text = String::new();
    if let Some(ended) = &state.ended {
        let _ = write!(
            text,
            "last run: ended {} ago after {}: {} ran",
            clock::age(state.last_ms.unwrap_or(state.started_ms)),
            time(ended.wall_s),
            ended.ran
        );
        for (count, word) in [(ended.failed, "failed"), (ended.cancelled, "left undone")] {
            if count > 0 {
                let _ = write!(text, ", {count} {word}");
            }
        }
        text.push('\n');
    } else if run.alive {
        let counts = &state.counts;
        let left = match state.remaining_s(elapsed_s) {
            Some(seconds) if seconds >= 1.0 => format!(", about {} left", time(seconds)),
            _ => String::new(),
        };
        let _ = writeln!(
            text,
            "running for {began}: {} of {} stages stand ({} made now), {} wait{left}",
            counts.fresh + counts.made,
            counts.all,
            counts.made,
            counts.waiting()
        );
        for running in &state.running {
            let _ = writeln!(text, "  {}", so_far(running, elapsed_s));
        }
    } else {
        let last_ms = state.last_ms.unwrap_or(state.started_ms);
        let _ = writeln!(
            text,
            "last run: began {began} ago, was killed or lost power {} ago (its last sign of life \
             is of {}), {} made",
            clock::age(last_ms),
            clock::moment(last_ms),
            stages(state.counts.made)
        );
        for running in &state.in_flight {
            let _ = writeln!(text, "  in flight: {}", so_far(running, elapsed_s));
        }
    }
    for failure in &state.failures {
        let _ = writeln!(text, "  failed: {}: {}", failure.stage, failure.message);
    }
    let unread = run.unread_lines();
    if unread > 0 {
        let _ = writeln!(text, "{}", unread_lines(unread));
    }
    text
}

/// What it means that lines of a journal cannot be read.
pub(super) fn unread_lines(count: usize) -> String {
    format!(
        "{count} line{} of its journal {} damaged, cut off or of another version of runner, and \
         left out here; results do not depend on journals",
        if count == 1 { "" } else { "s" },
        if count == 1 { "is" } else { "are" }
    )
}

/// `1 stage`, `3 stages`.
pub(super) fn stages(count: usize) -> String {
    format!("{count} stage{}", if count == 1 { "" } else { "s" })
}

fn so_far(running: &Running, elapsed_s: f64) -> String {
    let progress = match running.total {
        0 => String::new(),
        total => format!(", {} of {total} {}s", running.done, running.unit),
    };
    format!(
        "{} ({}) for {}{progress}",
        running.stage,
        running.lane,
        time((elapsed_s - running.started_s).max(0.0))
    )
}

/// A run for a script.
pub(super) fn as_json(run: &KnownRun) -> Value {
    let state = &run.state;
    let elapsed_s = state.elapsed_s(clock::unix_milliseconds(), run.alive);
    let counts = &state.counts;
    let several = |list: &[Running]| {
        let each = list.iter().map(|running| {
            json!({
                "stage": running.stage, "lane": running.lane,
                "since_s": (elapsed_s - running.started_s).max(0.0),
                "done": running.done, "total": running.total, "unit": running.unit,
            })
        });
        each.collect::<Value>()
    };
    json!({
        "run": run.journal.run(),
        "experiment": state.experiment,
        "journal": run.journal.path,
        "program": state.program,
        "state": run.outcome(),
        "started_ms": state.started_ms,
        "last_sign_ms": state.last_ms,
        "elapsed_s": elapsed_s,
        "remaining_s": state.remaining_s(elapsed_s),
        "stages": {
            "all": counts.all, "fresh": counts.fresh, "made": counts.made,
            "running": counts.running, "failed": counts.failed, "skipped": counts.skipped,
            "cancelled": counts.cancelled, "waiting": counts.waiting(),
        },
        "running": several(&state.running),
        "in_flight": several(&state.in_flight),
        "failed": state.failures.iter().map(|failure| {
            json!({"stage": failure.stage, "message": failure.message, "log": failure.log})
        }).collect::<Vec<_>>(),
        "unread_lines": run.unread_lines(),
    })
}

/// What to do about a run, if there is something to do; `again` is the command that runs its
/// experiment.
pub(super) fn next(run: &KnownRun, again: &str) -> Option<String> {
    match run.outcome() {
        Outcome::Running => Some(format!(
            "wait, or watch it in the browser: runner serve {}",
            run.journal.run()
        )),
        Outcome::Killed | Outcome::Stopped => Some(format!("{again} goes on where it stopped")),
        Outcome::Failed => Some(format!("{again} tries again what failed")),
        Outcome::Finished => None,
    }
}

/// Seconds as people read them; a damaged journal may name a time that is none.
pub(super) fn time(seconds: f64) -> String {
    clock::human(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}
