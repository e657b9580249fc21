//! Arguments that commands share.

use std::path::PathBuf;

use clap::Args;

use super::CliError;
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

    pub(super) fn open(&self, global: &Global) -> Result<Study, CliError> {
        Ok(Study::open(&self.request(), global.folders())?)
    }
}

/// Threads to use when nobody says.
pub(super) fn default_jobs() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
