//! `runner status`.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::arguments::{ExperimentArguments, Global};
use super::{CliError, Exit, output, runs};
use crate::base::clock;
use crate::reporter::{KnownRun, Outcome};
use crate::study::shown;

/// Arguments of `runner status`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  runner status\n  runner status experiments/quickstart.yaml\n\nA run \
                  in another terminal is seen while it runs: what it does, since when, how\nfar it \
                  is. One that was killed or lost power is told from one that ended."
)]
pub(super) struct Arguments {
    /// The experiment file, such as experiments/quickstart.yaml, or the name of an experiment or
    /// a run; all runs of the store if nobody says.
    #[arg(value_name = "EXPERIMENT or RUN")]
    experiment: Option<PathBuf>,
    /// Change any value of the experiment, as `runner run` does; repeatable.
    #[arg(long, value_name = "PATH=VALUE", requires = "experiment")]
    set: Vec<String>,
    /// Only some cells, as `runner run` does; repeatable, all must hold.
    #[arg(long, value_name = "AXIS=VALUES", requires = "experiment")]
    only: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, CliError> {
    let Some(experiment) = &arguments.experiment else {
        return all(global, arguments.json);
    };
    let name = experiment.to_string_lossy();
    let changed = !arguments.set.is_empty() || !arguments.only.is_empty();
    if !changed && !runs::names_a_file(&name) {
        let is_experiment = experiment.is_file() && !name.ends_with(".jsonl");
        if !is_experiment {
            return one(global, &name, arguments.json);
        }
    }
    planned(
        global,
        &ExperimentArguments {
            experiment: experiment.clone(),
            set: arguments.set.clone(),
            only: arguments.only.clone(),
        },
        arguments.json,
    )
}

/// How far an experiment is, and how its last run went.
fn planned(global: &Global, of: &ExperimentArguments, as_json: bool) -> Result<Exit, CliError> {
    let study = of.open_to_read(global)?;
    let plan = study.plan()?;
    let (fresh, to_run) = (plan.fresh_count(), plan.needed_count());
    let name = &study.experiment.name;
    let last = match runs::newest(&study.folders, Some(name)) {
        Ok(journal) => Some(runs::read(journal)?),
        Err(_) => None,
    };
    if as_json {
        let run = last.as_ref().map(runs::as_json);
        let failed = run.as_ref().map(|run| run["failed"].clone());
        output::json(&json!({
            "experiment": name,
            "stages": fresh + to_run, "fresh": fresh, "to_run": to_run,
            "last_run": last.as_ref().map(|run| &run.journal.path),
            "run": run,
            "failed": failed.unwrap_or_else(|| Value::Array(Vec::new())),
        }))?;
        return Ok(Exit::Fine);
    }
    let mut text = if to_run == 0 {
        format!("{name}: complete, all {fresh} stages are fresh\n")
    } else {
        format!(
            "{name}: {fresh} of {} stages are fresh, {to_run} to run\n",
            fresh + to_run
        )
    };
    match &last {
        Some(run) => text.push_str(&runs::told(run)),
        None => text.push_str("it was never run here\n"),
    }
    let report = study.results_folder().join("report.md");
    if report.is_file() {
        let _ = writeln!(text, "report: {}", shown(&report));
    }
    let alive = last
        .as_ref()
        .filter(|run| run.outcome() == Outcome::Running);
    if let Some(next) = alive.and_then(|run| runs::next(run, "")) {
        let _ = writeln!(text, "next: {next}");
    } else if to_run > 0 {
        let is_killed = last.is_some_and(|run| run.outcome() == Outcome::Killed);
        let goes_on = if is_killed {
            " goes on where it stopped"
        } else {
            ""
        };
        let _ = writeln!(text, "next: {}{goes_on}", of.run_command());
    }
    output::write(text.as_bytes())?;
    Ok(Exit::Fine)
}

/// How the last run of an experiment without its file went, or a run by its name.
fn one(global: &Global, name: &str, as_json: bool) -> Result<Exit, CliError> {
    let run = runs::read(runs::newest(&global.folders(), Some(name))?)?;
    if as_json {
        output::json(&runs::as_json(&run))?;
        return Ok(Exit::Fine);
    }
    let mut text = format!("{}: {}\n", run.journal.run(), run.outcome());
    text.push_str(&runs::told(&run));
    let again = format!("`runner run` with the file of `{}`", run.state.experiment);
    if let Some(next) = runs::next(&run, &again) {
        let _ = writeln!(text, "next: {next}");
    }
    output::write(text.as_bytes())?;
    Ok(Exit::Fine)
}

/// All runs of the store, the newest first.
fn all(global: &Global, as_json: bool) -> Result<Exit, CliError> {
    let mut found = runs::find(&global.folders(), None)?
        .into_iter()
        .map(runs::read)
        .collect::<Result<Vec<KnownRun>, CliError>>()?;
    found.reverse();
    if as_json {
        output::json(&found.iter().map(runs::as_json).collect::<Value>())?;
        return Ok(Exit::Fine);
    }
    let mut rows = vec![
        ["run", "state", "began", "took", "stages", "failed"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let now_ms = clock::unix_milliseconds();
    for run in &found {
        let counts = &run.state.counts;
        rows.push(vec![
            run.journal.run(),
            run.outcome().to_string(),
            format!("{} ago", clock::age(run.state.started_ms)),
            runs::time(run.state.elapsed_s(now_ms, run.alive)),
            format!("{} of {}", counts.fresh + counts.made, counts.all),
            counts.failed.to_string(),
        ]);
    }
    let mut text = output::columns(&rows);
    let is_open = |run: &&KnownRun| run.outcome() != Outcome::Finished;
    if let Some(run) = found.iter().find(is_open) {
        let _ = writeln!(
            text,
            "next: runner status {} says more, runner replay tells it again",
            run.journal.run()
        );
    }
    output::write(text.as_bytes())?;
    Ok(Exit::Fine)
}
