//! `runner worker`: the process that does the stages of the accelerator lane. Started by `runner
//! run`, not by people.

use std::ffi::OsString;
use std::path::PathBuf;

use super::{CliError, Exit};
use crate::schedule::{self, WorkerCommand};
use crate::stage::STAGES;

/// The name of the command.
const NAME: &str = "worker";

/// How `runner run` starts it: as this very program, even if its file was replaced meanwhile.
pub(super) fn command() -> Option<WorkerCommand> {
    let itself = PathBuf::from("/proc/self/exe");
    let program = if itself.exists() {
        itself
    } else {
        std::env::current_exe().ok()?
    };
    Some(WorkerCommand {
        program,
        arguments: vec![OsString::from(NAME)],
    })
}

pub(super) fn run() -> Result<Exit, CliError> {
    schedule::serve(STAGES).map_err(|source| CliError::Io {
        action: "answer the runner".to_owned(),
        source,
    })?;
    Ok(Exit::Fine)
}
