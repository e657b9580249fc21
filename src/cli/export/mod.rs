//! `runner export`: samples, results, curves and artifacts in other programs' formats.

mod artifact;
mod results;
mod samples;
mod tensorboard;

use clap::{Args, Subcommand};

use super::arguments::Global;
use super::{CliError, Exit};
use crate::export::ExportError;

/// Arguments of `runner export`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The samples of a domain and split, made if they are not there yet.
    Samples(samples::Arguments),
    /// All result rows of an experiment, as a table or for MLflow.
    Results(results::Arguments),
    /// The courses of all trainings of an experiment as event files for TensorBoard.
    Tensorboard(tensorboard::Arguments),
    /// Copies a file or folder that a stage made, such as an adapter or a backbone.
    Artifact(artifact::Arguments),
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, CliError> {
    match &arguments.what {
        What::Samples(arguments) => samples::run(global, arguments),
        What::Results(arguments) => results::run(global, arguments),
        What::Tensorboard(arguments) => tensorboard::run(global, arguments),
        What::Artifact(arguments) => artifact::run(global, arguments),
    }
}

impl From<ExportError> for CliError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Io {
                action,
                path,
                source,
            } => Self::Io {
                action: format!("{action} `{}`", path.display()),
                source,
            },
            ExportError::Codec(error) => Self::Io {
                action: "write the export".to_owned(),
                source: std::io::Error::other(error),
            },
            other => Self::NotThere(other.to_string()),
        }
    }
}

/// `1 run`, `2 runs`.
fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
