//! `runner export results`: rows as CSV, JSON or Parquet, runs for MLflow.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::super::arguments::{ExperimentArguments, Global};
use super::super::{CliError, Exit, output};
use super::count;
use crate::export::mlflow::{self, Facts};
use crate::export::table::{self, TableFormat, result_file};
use crate::results::ResultSet;
use crate::study::collect::{Collected, collect};
use crate::study::{runs, shown};

/// Arguments of `runner export results`.
#[derive(Debug, Args)]
#[command(
    after_help = "A folder of results, or a results.csv, may stand in place of the experiment; its \
                  rows are then exported, to any format but mlflow.\n\nExamples:\n  runner export \
                  results experiments/quickstart.yaml --format parquet --to rows.parquet\n  runner \
                  export results experiments/quickstart.yaml --format mlflow\n  \
                  MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri mlruns"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    /// The format.
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    /// Where it goes: a file, or MLflow's folder. An earlier export there is replaced, anything
    /// else is not [default: standard output; for mlflow the folder mlruns].
    #[arg(long, value_name = "PATH")]
    to: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The text of results.csv.
    Csv,
    /// A Parquet file with the same columns, typed; needs --to.
    Parquet,
    /// A list of objects.
    Json,
    /// A file store of MLflow: one run for each system, domains, K and seed, with its parameters,
    /// metrics and course of training.
    Mlflow,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, CliError> {
    let path = &arguments.experiment.experiment;
    let format = match arguments.format {
        Format::Csv => TableFormat::Csv,
        Format::Json => TableFormat::Json,
        Format::Parquet => TableFormat::Parquet,
        Format::Mlflow => return runs_of(global, arguments),
    };
    let rows = match result_file(path) {
        Some(file) => rows_at(&file, &arguments.experiment)?,
        None => collected(global, arguments)?,
    };
    let Some(to) = &arguments.to else {
        return print(&rows, format);
    };
    table::write(to, format, &rows)?;
    let said = format!("wrote {} to {}", count(rows.len(), "row"), to.display());
    output::line(&said)?;
    Ok(Exit::Fine)
}

fn print(rows: &ResultSet, format: TableFormat) -> Result<Exit, CliError> {
    let text = match format {
        TableFormat::Csv => rows.to_csv(),
        TableFormat::Json => rows.to_json(),
        TableFormat::Parquet => {
            return Err(CliError::Usage(
                "Parquet goes to a file\n  help: name it, for example --to rows.parquet".to_owned(),
            ));
        }
    };
    output::write(text.as_bytes())?;
    Ok(Exit::Fine)
}

/// The rows of a file; the experiment's name is then a path, and cannot be changed.
fn rows_at(file: &Path, experiment: &ExperimentArguments) -> Result<ResultSet, CliError> {
    if !experiment.set.is_empty() || !experiment.only.is_empty() {
        return Err(CliError::Usage(format!(
            "--set and --only change an experiment, and `{}` holds results\n  help: name the \
             experiment file instead",
            experiment.experiment.display()
        )));
    }
    let bytes = fs::read(file).map_err(|error| {
        CliError::NotThere(format!(
            "cannot read `{}`: {error}\n  help: name an experiment file, a folder with a \
             results.csv, or such a file",
            file.display()
        ))
    })?;
    // What is wrong with a file that was named is no bug of this program.
    let rows = ResultSet::from_csv(&file.display().to_string(), &bytes)
        .map_err(|error| CliError::NotThere(error.to_string()))?;
    if rows.is_empty() {
        let message = format!("`{}` has no rows", file.display());
        return Err(CliError::NotThere(message));
    }
    Ok(rows)
}

/// The rows of an experiment, from the store.
fn collected(global: &Global, arguments: &Arguments) -> Result<ResultSet, CliError> {
    let study = arguments.experiment.open_to_read(global)?;
    let collected = collect(&study, &study.plan()?, None)?;
    check(&study.experiment.name, &collected, arguments)?;
    Ok(collected.results)
}

/// Says what is missing, and refuses to export nothing.
fn check(name: &str, collected: &Collected, arguments: &Arguments) -> Result<(), CliError> {
    if collected.results.is_empty() {
        return Err(CliError::NotThere(format!(
            "`{name}` has no results yet\n  help: {}",
            arguments.experiment.run_command()
        )));
    }
    for missing in &collected.missing {
        output::note(&format!(
            "{}: {} {}",
            missing.what, missing.reason, missing.detail
        ));
    }
    Ok(())
}

fn runs_of(global: &Global, arguments: &Arguments) -> Result<Exit, CliError> {
    let path = &arguments.experiment.experiment;
    if result_file(path).is_some() {
        return Err(CliError::Usage(format!(
            "`{}` holds rows only, and MLflow is told parameters and times, too\n  help: name the \
             experiment file instead",
            path.display()
        )));
    }
    let study = arguments.experiment.open_to_read(global)?;
    let plan = study.plan()?;
    let collected = collect(&study, &plan, None)?;
    check(&study.experiment.name, &collected, arguments)?;
    let runs = runs::runs(&study, &plan, &collected)?;
    let source = path.file_name().unwrap_or_default();
    let facts = Facts {
        name: study.experiment.name.clone(),
        description: study.experiment.description.clone(),
        source: source.to_string_lossy().into_owned(),
        program: format!("runner {}", env!("CARGO_PKG_VERSION")),
    };
    let to = arguments.to.clone();
    let to = to.unwrap_or_else(|| PathBuf::from("mlruns"));
    mlflow::write(&to, &facts, &runs)?;
    output::line(&format!(
        "wrote {} of experiment {} to {}\nlook at them with: MLFLOW_ALLOW_FILE_STORE=true mlflow ui \
         --backend-store-uri {}",
        count(runs.len(), "run"),
        facts.name,
        shown(&to),
        shown(&to),
    ))?;
    Ok(Exit::Fine)
}
