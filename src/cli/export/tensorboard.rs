//! `runner export tensorboard`: courses of training as event files.

use std::path::PathBuf;

use clap::Args;

use super::super::arguments::{ExperimentArguments, Global};
use super::super::{CliError, Exit, output};
use super::count;
use crate::export::tensorboard;
use crate::study::{runs, shown};

/// Arguments of `runner export tensorboard`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  runner export tensorboard experiments/quickstart.yaml\n  tensorboard \
                  --logdir runs/quickstart"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    /// The folder, in it one folder for each training. An earlier export there is replaced,
    /// anything else is not [default: runs/ and the experiment's name].
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, CliError> {
    let study = arguments.experiment.open_to_read(global)?;
    let trainings = runs::trainings(&study, &study.plan()?)?;
    if trainings.is_empty() {
        return Err(CliError::NotThere(format!(
            "`{}` has no training yet that left a curve\n  help: {}",
            study.experiment.name,
            arguments.experiment.run_command()
        )));
    }
    let to = match &arguments.to {
        Some(to) => to.clone(),
        None => PathBuf::from("runs").join(&study.experiment.name),
    };
    tensorboard::write(&to, &trainings)?;
    output::line(&format!(
        "wrote the curves of {} to {}\nlook at them with: tensorboard --logdir {}",
        count(trainings.len(), "training"),
        shown(&to),
        shown(&to),
    ))?;
    Ok(Exit::Fine)
}
