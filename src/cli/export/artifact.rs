//! `runner export artifact`: a copy of what a stage made.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use super::super::arguments::{ExperimentArguments, Global};
use super::super::{CliError, Exit, output};
use crate::base::nearest::suggestion;

/// Arguments of `runner export artifact`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    /// The stage and its output, such as `backbone/backbone`.
    #[arg(value_name = "STAGE/OUTPUT")]
    what: String,
    /// Where the copy goes; nothing may be there yet.
    #[arg(long, value_name = "PATH")]
    to: PathBuf,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, CliError> {
    let Some((id, name)) = arguments.what.rsplit_once('/') else {
        return Err(CliError::NotThere(format!(
            "`{}` names no output\n  help: write STAGE/OUTPUT, for example backbone/backbone",
            arguments.what
        )));
    };
    let study = arguments.experiment.open_to_read(global)?;
    let plan = study.plan()?;
    let node = study.find_stage(id).map_err(CliError::NotThere)?;
    let stage = &study.graph.graph[node];
    let names = stage.outputs.iter().map(|output| output.name.as_str());
    let position = names
        .clone()
        .position(|known| known == name)
        .ok_or_else(|| {
            CliError::NotThere(format!(
                "stage `{}` has no output `{name}`\n  help: {}",
                stage.id,
                suggestion(name, names)
            ))
        })?;
    let path = study.artifact(&plan, node, position)?.ok_or_else(|| {
        CliError::NotThere(format!(
            "`{}` is not made yet\n  help: {}",
            arguments.what,
            arguments.experiment.run_command()
        ))
    })?;
    let to = &arguments.to;
    if to.exists() {
        return Err(CliError::NotThere(format!(
            "`{}` is there already\n  help: name another path, or remove it first",
            to.display()
        )));
    }
    copy_writable(&path, to).map_err(|source| CliError::Io {
        action: format!("copy to `{}`", to.display()),
        source,
    })?;
    output::line(&format!("copied {} to {}", arguments.what, to.display()))?;
    Ok(Exit::Fine)
}

/// Copies a file or a folder; artifacts are read-only, their copies belong to the user.
fn copy_writable(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy_writable(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut source = fs::File::open(from)?;
    let mut target = fs::File::create_new(to)?;
    io::copy(&mut source, &mut target).map(drop)
}
