//! Writes an experiment's results and report, unless nothing changed since they were written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::collect::Collected;
use super::compare::compare;
use super::details::{details, guards};
use super::{Study, StudyError};
use crate::base::{Digest, bounded};
use crate::graph::StageNode;
use crate::plan::Plan;
use crate::report::{Declared, Only, ReportInput, Selection, figure, table, write_all};
use crate::results::provenance::{Provenance, StageRecord};
use crate::spec::report::Part;

/// What was written last time, from what.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Stamp {
    input: String,
    files: BTreeMap<String, Digest>,
}

/// Writes `results/<experiment>/` and returns the paths of its files. Files that would not
/// change are not touched.
///
/// # Errors
/// If the folder cannot be written.
pub fn publish(
    study: &Study,
    plan: &Plan<'_>,
    collected: &Collected,
) -> Result<Vec<PathBuf>, StudyError> {
    let experiment = &study.experiment;
    let selection = selection(study)?;
    let mut input = ReportInput::new(&experiment.name, &collected.results);
    experiment.description.clone_into(&mut input.description);
    input.missing.clone_from(&collected.missing);
    input.audits.clone_from(&collected.audits);
    input.choices.clone_from(&collected.choices);
    input.fidelity.clone_from(&experiment.fidelity);
    input.data.clone_from(&collected.data);
    input.show_paper = uses_real_data(study);
    input.provenance = provenance(study);
    input.record = Some(record(study, &collected.digests));
    input.claims = experiment.claims;
    let folder = study.results_folder();
    let fingerprint = Digest::of_bytes(
        format!(
            "{}\n{input:?}\n{:?}\n{:?}\n{:?}",
            env!("CARGO_PKG_VERSION"),
            collected.predictions,
            experiment.tables,
            experiment.figures
        )
        .as_bytes(),
    )
    .hex();
    let stamp_path = study
        .folders
        .store
        .join("reports")
        .join(format!("{}.json", experiment.name));
    if let Some(files) = unchanged(&stamp_path, &folder, &fingerprint) {
        return Ok(files);
    }
    input.comparisons = compare(study, &input, &collected.predictions, &folder)?;
    let details = details(study, plan, collected, &input)?;
    input.guards = guards(&details.stages);
    let files = write_all(&folder, &input, &selection, Some(&details))?;
    remember(&stamp_path, fingerprint, &files);
    Ok(files)
}

/// The tables and figures that the experiment declares.
fn selection(study: &Study) -> Result<Selection, StudyError> {
    fn declared<T>(part: &Part, of: &'static T) -> Declared<T> {
        Declared {
            name: part.name.clone(),
            of,
            title: part.title.clone(),
            only: Only(part.only.clone()),
            asked: part.asked,
        }
    }
    let experiment = &study.experiment;
    let mut selection = Selection::default();
    for part in &experiment.tables {
        selection
            .tables
            .push(declared(part, table::find(&part.kind)?));
    }
    for part in &experiment.figures {
        selection
            .figures
            .push(declared(part, figure::find(&part.kind)?));
    }
    Ok(selection)
}

/// The files of the last report, if they stand as they were written from the same input.
fn unchanged(stamp: &Path, folder: &Path, fingerprint: &str) -> Option<Vec<PathBuf>> {
    let stamp: Stamp =
        serde_json::from_slice(&bounded::read(stamp, bounded::RECORDS).ok()?).ok()?;
    if stamp.input != fingerprint || stamp.files.is_empty() {
        return None;
    }
    let mut files = Vec::new();
    for (name, digest) in &stamp.files {
        let path = folder.join(name);
        if Digest::of_file(&path).ok()? != *digest {
            return None;
        }
        files.push(path);
    }
    Some(files)
}

/// Failing to remember only costs drawing again.
fn remember(path: &Path, input: String, files: &[PathBuf]) {
    let files = files
        .iter()
        .filter_map(|file| {
            let name = file.file_name()?.to_string_lossy().into_owned();
            Some((name, Digest::of_file(file).ok()?))
        })
        .collect();
    let stamp = Stamp { input, files };
    if let Some(folder) = path.parent()
        && fs::create_dir_all(folder).is_ok()
        && let Ok(bytes) = serde_json::to_vec(&stamp)
    {
        let _ = fs::write(path, bytes);
    }
}

/// The paper's numbers stand beside ours only where no domain of the grid is made up.
fn uses_real_data(study: &Study) -> bool {
    let grid = &study.experiment.grid;
    let Some(axis) = grid.axis("test") else {
        return false;
    };
    grid.axes[axis].values.iter().all(|domain| {
        study
            .experiment
            .variables
            .pointer(&format!("/data/{domain}/source"))
            .and_then(serde_json::Value::as_str)
            .is_some_and(|source| source != "synthetic")
    })
}

/// What the results were made from, for whoever compares them with others.
fn record(study: &Study, data: &BTreeMap<String, String>) -> Provenance {
    let mut nodes: BTreeMap<String, Vec<&StageNode>> = BTreeMap::new();
    for node in study.graph.graph.node_weights() {
        // Two methods' parameters of one name are two things.
        let method = node
            .params
            .get("method")
            .and_then(serde_json::Value::as_str);
        let method = method
            .map(|method| format!(", {method}"))
            .unwrap_or_default();
        let name = format!("{} ({}{method})", node.template, node.kind.name());
        nodes.entry(name).or_default().push(node);
    }
    let stages = nodes.into_iter().map(|(name, nodes)| {
        let version = nodes.first().map_or(0, |node| node.kind.version());
        let parameters = nodes.iter().map(|node| &node.params);
        (name, StageRecord::of(version, parameters))
    });
    Provenance {
        program: format!("runner {}", env!("CARGO_PKG_VERSION")),
        pipeline: study.experiment.pipeline.name.clone(),
        fidelity: study.experiment.fidelity.clone(),
        data: data.clone(),
        stages: stages.collect(),
    }
}

fn provenance(study: &Study) -> BTreeMap<String, String> {
    let mut provenance = BTreeMap::from([
        (
            "program".to_owned(),
            format!("runner {}", env!("CARGO_PKG_VERSION")),
        ),
        (
            "pipeline".to_owned(),
            study.experiment.pipeline.name.clone(),
        ),
    ]);
    let grid = &study.experiment.grid;
    let is_used = |domain: &str| {
        let axes = ["train", "test"].into_iter();
        axes.filter_map(|axis| grid.axis(axis))
            .flat_map(|axis| &grid.axes[axis].values)
            .any(|value| [domain, "both"].contains(&value.to_string().as_str()))
    };
    for domain in ["movie", "book"]
        .into_iter()
        .filter(|domain| is_used(domain))
    {
        if let Some(source) = study
            .experiment
            .variables
            .pointer(&format!("/data/{domain}/source"))
            .and_then(serde_json::Value::as_str)
        {
            provenance.insert(format!("{domain} samples"), source.to_owned());
        }
    }
    provenance
}
