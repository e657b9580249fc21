//! `runner report`: makes a report again without running anything, or checks that one follows from
//! its results.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::arguments::Global;
use super::{CliError, Exit, output};
use crate::report::record::{self, Folder};
use crate::report::{Details, files_of, stale_files, write_all};
use crate::spec::{Experiment, Request};
use crate::study::collect::collect;
use crate::study::publish::publish;
use crate::study::{Study, StudyError, shown, vocabulary};

/// Arguments of `runner report`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// An experiment file, whose report is made from the store; or a folder of results, whose report
    /// is made from the files in it.
    #[arg(value_name = "EXPERIMENT|FOLDER")]
    of: PathBuf,
    /// Change nothing: compare tables, figures and page with the results beside them, and end with
    /// exit code 3 if they do not follow from them.
    #[arg(long)]
    check: bool,
    /// Print the names of files as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, CliError> {
    let folders = global.folders();
    let folder = if arguments.of.is_file() {
        let request = Request {
            path: arguments.of.clone(),
            ..Request::default()
        };
        if !arguments.check {
            let study = Study::open_to_read(&request, folders)?;
            let plan = study.plan()?;
            let collected = collect(&study, &plan, None)?;
            if collected.results.is_empty() {
                return Err(CliError::NotThere(format!(
                    "nothing of `{}` was run yet\n  help: runner run {}",
                    study.experiment.name,
                    arguments.of.display()
                )));
            }
            return written(arguments, &publish(&study, &plan, &collected)?);
        }
        let (experiment, _) = Experiment::read(&request, vocabulary()).map_err(StudyError::from)?;
        folders.results.join(experiment.name)
    } else {
        arguments.of.clone()
    };
    if !folder.join(record::FILE).exists() {
        return Err(CliError::NotThere(format!(
            "there is no report in `{}` that could be made again: it has no {}\n  help: name an \
             experiment file, or the folder below results/ that `runner run` wrote",
            shown(&folder),
            record::FILE
        )));
    }
    let read = Folder::read(&folder).map_err(StudyError::from)?;
    let (input, selection) = read.input().map_err(StudyError::from)?;
    if !arguments.check {
        // Without the store there are no details; the page still has everything else.
        let files = write_all(&folder, &input, &selection, Some(&Details::default()))
            .map_err(StudyError::from)?;
        return written(arguments, &files);
    }
    let files = files_of(&input, &selection, None).map_err(StudyError::from)?;
    let stale = stale_files(&folder, &files);
    if arguments.json {
        output::json(&json!({"folder": shown(&folder), "stale": stale}))?;
    } else if stale.is_empty() {
        output::line(&format!(
            "all {} files of {} follow from its results",
            files.written.len(),
            shown(&folder)
        ))?;
    } else {
        output::line(&format!(
            "{} of {} do not follow from its results: {}\n  help: runner report {} makes them again; commit them with the results",
            if stale.len() == 1 {
                "1 file".to_owned()
            } else {
                format!("{} files", stale.len())
            },
            shown(&folder),
            stale.join(", "),
            shown(&folder)
        ))?;
    }
    Ok(if stale.is_empty() {
        Exit::Fine
    } else {
        Exit::Differs
    })
}

fn written(arguments: &Arguments, files: &[PathBuf]) -> Result<Exit, CliError> {
    let names: Vec<String> = files.iter().map(|file| shown(file)).collect();
    if arguments.json {
        output::json(&json!({"written": names}))?;
    } else {
        output::line(&format!("written: {}", names.join(", ")))?;
    }
    Ok(Exit::Fine)
}
