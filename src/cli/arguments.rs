//! Arguments that commands share.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::CliError;
use crate::base::Devices;
use crate::spec::Request;
use crate::spec::files::missing_help;
use crate::study::{Folders, Study};

const SHARED: &str = "Options of every command";

/// Arguments of every command.
#[derive(Debug, Args)]
pub(super) struct Global {
    /// Run as if started in this folder; all paths, in files too, are relative to it.
    #[arg(short = 'C', long, global = true, value_name = "FOLDER", help_heading = SHARED)]
    directory: Option<PathBuf>,
    /// The content-addressed store.
    #[arg(
        long,
        global = true,
        help_heading = SHARED,
        env = "RUNNER_STORE",
        value_name = "FOLDER",
        default_value = ".runner/store"
    )]
    store: PathBuf,
    /// Where result sets and reports go.
    #[arg(
        long,
        global = true,
        help_heading = SHARED,
        env = "RUNNER_RESULTS",
        value_name = "FOLDER",
        default_value = "results"
    )]
    results: PathBuf,
}

impl Global {
    /// Goes to the folder asked for.
    pub(super) fn enter(&self) -> Result<(), CliError> {
        let Some(directory) = &self.directory else {
            return Ok(());
        };
        std::env::set_current_dir(directory).map_err(|source| {
            CliError::Usage(format!(
                "cannot go to `{}`: {source}\n  help: {}",
                directory.display(),
                missing_help(directory, |_| true)
            ))
        })
    }

    pub(super) fn folders(&self) -> Folders {
        Folders {
            store: self.store.clone(),
            results: self.results.clone(),
        }
    }
}

/// Where stages of the accelerator lane compute.
#[derive(Debug, Args)]
pub(super) struct DeviceArgument {
    /// Where stages of the accelerator lane compute: `cpu`, `cuda:0`, or several such as
    /// `cuda:0,cuda:1`, each of which does a stage at a time [default: what the experiment says,
    /// else cpu].
    #[arg(long, value_name = "DEVICES", env = "RUNNER_DEVICE")]
    pub(super) device: Option<Devices>,
}

/// Which experiment, and how it is changed.
#[derive(Debug, Args)]
pub(super) struct ExperimentArguments {
    /// The experiment file, such as experiments/quickstart.yaml.
    #[arg(value_name = "EXPERIMENT")]
    pub(super) experiment: PathBuf,
    /// Change any value of the experiment, for example `data.movie.path=data/ml-100k` or
    /// `grid.k=[16,64]`; repeatable.
    #[arg(long, value_name = "PATH=VALUE")]
    pub(super) set: Vec<String>,
    /// Only some cells, for example `k=16,64` or `method!=tallrec`; repeatable, all must hold.
    #[arg(long, value_name = "AXIS=VALUES")]
    pub(super) only: Vec<String>,
}

impl ExperimentArguments {
    pub(super) fn request(&self) -> Request {
        Request {
            path: self.experiment.clone(),
            set: self.set.clone(),
            only: self.only.clone(),
        }
    }

    /// The command that runs this experiment with these changes.
    pub(super) fn run_command(&self) -> String {
        let mut command = format!("runner run {}", quoted(&self.experiment.to_string_lossy()));
        for (flag, values) in [("--set", &self.set), ("--only", &self.only)] {
            for value in values {
                let _ = write!(command, " {flag} {}", quoted(value));
            }
        }
        command
    }

    /// Opens the experiment to make something.
    pub(super) fn open(&self, global: &Global) -> Result<Study, CliError> {
        Ok(Study::open(&self.request(), global.folders())?)
    }

    /// Opens the experiment to look at; its store need not be writable.
    pub(super) fn open_to_read(&self, global: &Global) -> Result<Study, CliError> {
        Ok(Study::open_to_read(&self.request(), global.folders())?)
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Threads to use when nobody says.
pub(super) fn default_jobs() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        assert_eq!(quoted("grid.k=16,64"), "grid.k=16,64");
        assert_eq!(quoted("grid.k=[16, 64]"), "'grid.k=[16, 64]'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }
}
