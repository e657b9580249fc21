//! `runner serve`: the live page of a run that is, or was.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::mpsc::channel;

use clap::Args;

use super::arguments::Global;
use super::{CliError, Exit, output};
use crate::base::nearest::nearest;
use crate::live::{PORTS, Places, Server, Watch, listen};
use crate::reporter::JournalFile;
use crate::spec::{Experiment, Request};
use crate::study::{Folders, StudyError, shown, vocabulary};

/// Arguments of `runner serve`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  runner serve\n  runner serve experiments/quickstart.yaml --port \
                        0\n\nThe page is for this machine only, and cannot change anything. It \
                        shows runs that\nstill run, that ended, and that were killed. `runner run \
                        --serve` shows it from the start."
)]
pub(super) struct Arguments {
    /// An experiment (its file or its name) whose latest run to show, or the name of a run; the
    /// latest run of the store if nobody says.
    #[arg(value_name = "EXPERIMENT or RUN")]
    run: Option<String>,
    /// The port; 0 for any free one [default: 7878, or the next free one].
    #[arg(long, value_name = "N")]
    port: Option<u16>,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, CliError> {
    let folders = global.folders();
    let journal = find(&folders, arguments.run.as_deref())?;
    let name = journal.run();
    let server = start(&folders, journal, arguments.port)
        .map_err(|error| CliError::Usage(no_port(arguments.port, &error)))?;
    let (sender, receiver) = channel();
    ctrlc::set_handler(move || {
        let _ = sender.send(());
    })
    .map_err(|error| CliError::Io {
        action: "wait for Ctrl-C".to_owned(),
        source: io::Error::other(error),
    })?;
    output::note(&format!(
        "{name} is shown at {} until Ctrl-C",
        server.address()
    ));
    // Whatever comes, there is nothing left to wait for.
    let _ = receiver.recv();
    Ok(Exit::Fine)
}

/// Starts the server of a run, whose journal need not exist yet.
pub(super) fn start(
    folders: &Folders,
    journal: JournalFile,
    port: Option<u16>,
) -> io::Result<Server> {
    let places = Places {
        logs: folders.logs(),
        results: folders.results.clone(),
    };
    Server::start(listen(port)?, Watch::new(journal, places))
}

/// Why there is no server, and what to do.
pub(super) fn no_port(port: Option<u16>, error: &io::Error) -> String {
    let what = match port {
        Some(port) => format!("port {port}"),
        None => format!("any of the ports {} to {}", PORTS.start(), PORTS.end()),
    };
    let why = if error.kind() == io::ErrorKind::AddrInUse {
        "another program has it".to_owned()
    } else {
        error.to_string()
    };
    format!("cannot show a page on {what}: {why}\n  help: port 0 takes any that is free")
}

fn find(folders: &Folders, wanted: Option<&str>) -> Result<JournalFile, CliError> {
    let mut journals = JournalFile::list(&folders.runs());
    if journals.is_empty() {
        return Err(CliError::NotThere(format!(
            "there is no run in `{}` yet\n  help: `runner run EXPERIMENT --serve` starts one and \
             shows it",
            shown(&folders.runs())
        )));
    }
    let latest = |experiment: Option<&str>| {
        let mut of_it = journals
            .iter()
            .filter(|journal| experiment.is_none_or(|name| name == journal.experiment));
        of_it.next_back().cloned()
    };
    let found = match wanted {
        None => latest(None),
        Some(name) => {
            let run = name.strip_suffix(".jsonl").unwrap_or(name);
            let run = Path::new(run).file_name().and_then(|name| name.to_str());
            let position = journals
                .iter()
                .position(|journal| Some(journal.run().as_str()) == run);
            match position {
                Some(position) => Some(journals.swap_remove(position)),
                None if names_a_file(name) => {
                    let experiment = experiment_of(name)?;
                    latest(Some(&experiment))
                        .ok_or_else(|| never_ran(&experiment, name))?
                        .into()
                }
                None => latest(Some(name)),
            }
        }
    };
    let wanted = wanted.unwrap_or_default();
    found.ok_or_else(|| unknown(wanted, &journals))
}

fn names_a_file(name: &str) -> bool {
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
        "`{experiment}` was never run here\n  help: `runner run {file} --serve` runs and shows it"
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
