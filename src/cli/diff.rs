//! `runner diff`: what changed between two result sets.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::arguments::Global;
use super::{CliError, Exit, output};
use crate::diff::{Outcome, ResultDiff, Side, SourceError, compare, show};
use crate::report::html::document;
use crate::spec::{Experiment, Request};
use crate::study::{StudyError, vocabulary};

/// Arguments of `runner diff`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The old side: a git revision, a folder of results, or an experiment file.
    #[arg(value_name = "OLD", default_value = "HEAD")]
    old: String,
    /// The new side, likewise; the results of the work tree if nobody says.
    #[arg(value_name = "NEW")]
    new: Option<String>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Terminal)]
    format: Format,
    /// End with exit code 3 if a cell came out like that.
    #[arg(long, value_enum)]
    fail_on: Option<FailOn>,
    /// The level of better and worse, after correction.
    #[arg(long, default_value_t = 0.05, value_parser = level)]
    alpha: f64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// Text for people.
    Terminal,
    /// Markdown, fit for a pull request.
    Markdown,
    /// JSON for programs.
    Json,
    /// A page for a browser.
    Html,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FailOn {
    /// A cell is worse by more than chance explains.
    Worse,
    /// Any cell is not what it was.
    Changed,
}

fn level(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(level) if level > 0.0 && level < 1.0 => Ok(level),
        _ => Err("a level is a number between 0 and 1, such as 0.05".to_owned()),
    }
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, CliError> {
    let results = global.folders().results;
    let old = side(&arguments.old, &results)?;
    let new = match &arguments.new {
        Some(new) => side(new, &results)?,
        None => read(Side::of_folder(&results))?,
    };
    let diff = compare(&old, &new, arguments.alpha);
    match arguments.format {
        Format::Json => output::json(&diff)?,
        Format::Html => {
            let page = document("runner diff", &show::markdown(&diff));
            output::write(page.as_bytes())?;
        }
        Format::Terminal | Format::Markdown => output::write(show::markdown(&diff).as_bytes())?,
    }
    Ok(if fails(&diff, arguments.fail_on) {
        Exit::Differs
    } else {
        Exit::Fine
    })
}

fn fails(diff: &ResultDiff, fail_on: Option<FailOn>) -> bool {
    match fail_on {
        None => false,
        Some(FailOn::Worse) => diff.count(Outcome::Worse) > 0,
        Some(FailOn::Changed) => diff.cells().any(|cell| cell.outcome != Outcome::Same),
    }
}

/// What lies at a path goes before what git knows by that name, as with git itself.
fn side(name: &str, results: &Path) -> Result<Side, CliError> {
    let path = PathBuf::from(name);
    if path.is_dir() {
        return read(Side::of_folder(&path));
    }
    if path.is_file() {
        let request = Request {
            path,
            ..Request::default()
        };
        let (experiment, _) = Experiment::read(&request, vocabulary()).map_err(StudyError::from)?;
        return read(Side::of_folder(&results.join(&experiment.name)));
    }
    read(Side::of_revision(name, results))
}

fn read(side: Result<Side, SourceError>) -> Result<Side, CliError> {
    side.map_err(|error| match error {
        SourceError::Unreadable { path, source } => CliError::Io {
            action: format!("read `{}`", path.display()),
            source,
        },
        other => CliError::NotThere(other.to_string()),
    })
}
