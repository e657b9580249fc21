//! `runner run`.

use std::io;

use clap::Args;
use serde_json::json;

use super::arguments::{DeviceArgument, ExperimentArguments, Global, default_jobs};
use super::{CliError, Exit, output, serve};
use crate::base::clock;
use crate::reporter::{Journal, JournalFile, JsonLines, Lines, Progress, Reporter, Reporters};
use crate::schedule::{Interrupt, RunSummary};
use crate::study::outlook::Outlook;
use crate::study::{Study, collect, publish, shown};

/// Arguments of `runner run`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(
    after_help = "Examples:\n  runner run experiments/quickstart.yaml\n  runner run \
                        experiments/movie_baselines.yaml --set data.movie.path=data/ml-100k \
                        --only k=16\n\nCtrl-C once finishes what runs and stops; twice stops now. \
                        Either way, or after a\nkill, the same command goes on where it stopped."
)]
pub(super) struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    #[command(flatten)]
    device: DeviceArgument,
    /// How many threads the CPU lane may use [default: all].
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Stop at the first failed stage instead of going on with what does not need it.
    #[arg(long)]
    fail_fast: bool,
    /// Stages that do not fit into memory run with fewer tokens in a pass, or with layers computed
    /// again, as `runner plan` says; without it nothing runs then.
    #[arg(long)]
    fit: bool,
    /// Only show what would run, like `runner plan`.
    #[arg(long)]
    dry_run: bool,
    /// Show the run in the browser, on this machine only, while it runs; port 7878 or the next
    /// free one if none is named, 0 for any.
    #[arg(
        long,
        value_name = "PORT",
        num_args = 0..=1,
        require_equals = true,
        conflicts_with = "dry_run"
    )]
    #[expect(clippy::option_option, reason = "not given, given, given with a port")]
    serve: Option<Option<u16>>,
    /// Print events as JSON lines on standard output.
    #[arg(long)]
    json: bool,
    /// Print nothing but failures and warnings of the end.
    #[arg(short, long, conflicts_with = "json")]
    quiet: bool,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, CliError> {
    let jobs = arguments.jobs.map_or_else(default_jobs, usize::from);
    if arguments.dry_run {
        let mut study = arguments.experiment.open_to_read(global)?;
        study.choose_devices(arguments.device.device.clone());
        return super::plan::show(&study, jobs, false, arguments.json);
    }
    let mut study = arguments.experiment.open(global)?;
    study.worker = super::worker::command();
    study.choose_devices(arguments.device.device.clone());
    study.check_devices()?;
    let writes_results = !study.experiment.pipeline.results.metrics.is_empty();
    if writes_results {
        check_writable(&study)?;
    }
    let mut plan = study.plan()?;
    let outlook = study.outlook(&plan, jobs);
    check_memory(&study, &outlook, arguments)?;
    outlook.refine(&mut plan);
    announce_unbuilt(&study, arguments);
    if plan.needed_count() > 0 {
        study.store.sweep();
        // A store that cannot be written should be known before a night of training, too.
        study.store.prepare()?;
    }
    let interrupt = Interrupt::default();
    let handle = interrupt.clone();
    // Without a handler Ctrl-C ends the program at once, which is safe too.
    let _ = ctrlc::set_handler(move || handle.press());
    let journal = (plan.needed_count() > 0).then(|| {
        JournalFile::remove_old(&study.folders.runs(), &study.experiment.name);
        JournalFile::new(
            &study.folders.runs(),
            &study.experiment.name,
            clock::unix_milliseconds(),
        )
    });
    if let Some(port) = arguments.serve {
        serve_page(&study, journal.as_ref(), port);
    }
    let mut reporters = Reporters::new(reporters(arguments, journal));
    let summary = study.run(
        &mut plan,
        jobs,
        arguments.fail_fast,
        &interrupt,
        &mut |event| reporters.emit(event),
    );
    drop(reporters);
    let mut files = Vec::new();
    if writes_results {
        // What just ran may have made more cells complete than were asked for.
        let after = if summary.ran > 0 || summary.fresh > 0 {
            study.plan()?
        } else {
            plan
        };
        let collected = collect::collect(&study, &after, Some(&summary))?;
        if !collected.results.is_empty() || !collected.missing.is_empty() {
            files = publish::publish(&study, &after, &collected)?;
        }
    }
    conclude(&study, arguments, &summary, &files)?;
    Ok(if !summary.failed.is_empty() {
        Exit::StageFailed
    } else if summary.cancelled > 0 {
        Exit::Interrupted
    } else {
        Exit::Fine
    })
}

/// A stage that cannot fit should be known before a night of training, and not after it.
fn check_memory(study: &Study, outlook: &Outlook, arguments: &Arguments) -> Result<(), CliError> {
    let lines = super::outlook::too_large(study, outlook, arguments.fit);
    if lines.is_empty() {
        let fitted = outlook.fitted(&study.graph);
        if arguments.fit {
            if !arguments.quiet {
                for line in super::outlook::fitted_lines(study, &fitted) {
                    output::note(&line);
                }
            }
            // Nobody else sets it: this is the only run of this study.
            let _ = study.fitted.set(fitted);
        }
        return Ok(());
    }
    Err(CliError::TooLarge(format!(
        "nothing was run, for there is not enough memory\n  {}",
        lines.join("\n  ")
    )))
}

fn reporters(arguments: &Arguments, journal: Option<JournalFile>) -> Vec<Box<dyn Reporter>> {
    let mut list: Vec<Box<dyn Reporter>> = Vec::new();
    if arguments.json {
        list.push(Box::new(JsonLines::new(io::stdout())));
    } else if !arguments.quiet {
        if output::has_terminal() {
            list.push(Box::new(Progress::new()));
        } else {
            list.push(Box::new(Lines::new(io::stderr())));
        }
    }
    if let Some(journal) = journal {
        list.push(Box::new(Journal::new(journal.path)));
    }
    list
}

/// Shows the live page of the run that is about to begin. Without it the run goes on all the same.
fn serve_page(study: &Study, journal: Option<&JournalFile>, port: Option<u16>) {
    let Some(journal) = journal else {
        output::note(
            "nothing is to run, so there is no live page; `runner serve` shows the last run",
        );
        return;
    };
    match serve::start(&study.folders, journal.clone(), port) {
        Ok(server) => output::note(&format!("live page: {}", server.address())),
        Err(error) => output::note(&format!(
            "warning: {}; the run goes on without a live page",
            serve::no_port(port, &error)
        )),
    }
}

fn announce_unbuilt(study: &Study, arguments: &Arguments) {
    if arguments.quiet || study.experiment.unbuilt.is_empty() {
        return;
    }
    let grid = &study.experiment.grid;
    let left_out = grid
        .cells
        .iter()
        .filter(|cell| !study.experiment.is_built(cell))
        .count();
    output::note(&format!(
        "the pipeline has no stages for {}; {left_out} of {} cells are left out and named in the report",
        study.experiment.unbuilt.join(", "),
        grid.cells.len()
    ));
}

/// A results folder that cannot be written should be known before a night of training.
fn check_writable(study: &Study) -> Result<(), CliError> {
    let folder = study.results_folder();
    let tried = std::fs::create_dir_all(&folder).and_then(|()| {
        tempfile::Builder::new()
            .prefix(".writable-")
            .tempfile_in(&folder)
    });
    match tried {
        Ok(_) => Ok(()),
        Err(source) => Err(CliError::Io {
            action: format!(
                "write into the results folder `{}` (nothing was run; choose another with \
                 --results, or change its permissions)",
                folder.display()
            ),
            source,
        }),
    }
}

/// The table with its main metric only; the file holds the others.
fn main_sections(table: &str) -> String {
    let mut kept = String::new();
    let mut skipping = false;
    for line in table.lines() {
        if line.starts_with('#') {
            skipping = line.starts_with("### ") && !line.starts_with("### AUC");
        }
        if !skipping {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept.trim_end().to_owned()
}

fn conclude(
    study: &Study,
    arguments: &Arguments,
    summary: &RunSummary,
    files: &[std::path::PathBuf],
) -> Result<(), CliError> {
    if arguments.json {
        let failed: Vec<_> = summary
            .failed
            .iter()
            .map(|(stage, message, log)| json!({"stage": stage, "message": message, "log": log}))
            .collect();
        let line = json!({
            "summary": {
                "experiment": study.experiment.name,
                "ran": summary.ran, "fresh": summary.fresh, "failed": failed,
                "skipped": summary.skipped, "cancelled": summary.cancelled,
                "wall_s": summary.wall_s,
                "not_built": study.experiment.unbuilt,
                "files": files,
            }
        });
        return output::line(&line.to_string());
    }
    if !arguments.quiet
        && let Some(table) = files
            .iter()
            .find(|file| file.extension().is_some_and(|extension| extension == "md"))
        && let Ok(text) = std::fs::read_to_string(table)
    {
        output::line(&main_sections(&text))?;
    }
    for (stage, message, log) in &summary.failed {
        output::note(&format!("failed: {stage}: {message}"));
        if let Some(log) = log {
            output::note(&format!("  log: {}", shown(log)));
        }
    }
    if !files.is_empty() && !arguments.quiet {
        let names: Vec<String> = files
            .iter()
            .filter_map(|file| Some(file.file_name()?.to_string_lossy().into_owned()))
            .collect();
        output::note(&format!(
            "\nwritten to {}: {}",
            shown(&study.results_folder()),
            names.join(", ")
        ));
    }
    if !summary.failed.is_empty() {
        output::note(
            "the failed stages and what needs them will be tried again by the same command; \
             everything else is kept",
        );
    } else if summary.cancelled > 0 {
        output::note("the same command goes on where this stopped");
    }
    Ok(())
}
