//! `runner serve`: the live page of a run that is, or was.

use std::io;
use std::sync::mpsc::channel;

use clap::Args;

use super::arguments::Global;
use super::{CliError, Exit, output, runs};
use crate::live::{PORTS, Places, Server, Watch, listen};
use crate::reporter::JournalFile;
use crate::study::Folders;

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
    let journal = runs::newest(&folders, arguments.run.as_deref())?;
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
