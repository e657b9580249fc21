//! From artifacts to the result set and everything else a report needs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use petgraph::graph::NodeIndex;
use serde::Deserialize;
use serde_json::Value;

use super::{Study, StudyError};
use crate::base::{Digest, StageKey, bounded};
use crate::graph::SourceReference;
use crate::plan::{Plan, Verdict};
use crate::report::{Choice, Missing, MissingReason};
use crate::results::{ResultRow, ResultSet, System};
use crate::schedule::RunSummary;
use crate::spec::{Cell, Scalar};
use crate::stage::StageKind as _;
use crate::stage::evaluate::{Evaluate, MetricRow};

/// Everything a report needs.
#[derive(Debug, Default)]
pub struct Collected {
    /// The rows.
    pub results: ResultSet,
    /// What was asked for and has no result.
    pub missing: Vec<Missing>,
    /// Data audits by domain.
    pub audits: BTreeMap<String, Value>,
    /// Choices of hyper-parameters.
    pub choices: Vec<Choice>,
    /// Digests of the samples, by domain and split.
    pub data: BTreeMap<String, String>,
    /// The same in full, with the files and folders that users bring.
    pub digests: BTreeMap<String, String>,
    /// Where the predictions behind rows of the test split are.
    pub predictions: Vec<PredictionSource>,
    /// Which stages measured the rows.
    pub measured: Vec<Measured>,
}

/// The stage that measured the rows of one system with one seed on one split.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// One of its rows, for what they have in common.
    pub row: ResultRow,
    /// The stage.
    pub node: NodeIndex,
}

/// The predictions of one system with one seed on the test split.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictionSource {
    /// Method and variant.
    pub system: System,
    /// What it was trained on, as in [`ResultRow`].
    pub train_domain: String,
    /// What was predicted.
    pub test_domain: String,
    /// Training samples, if any.
    pub k: Option<u64>,
    /// The seed.
    pub seed: u64,
    /// The stage that measured them; its key has their digest in it.
    pub stage_key: StageKey,
    /// Hash of the predictions' bytes.
    pub digest: Digest,
}

/// A candidate of a choice, as `select` writes it.
#[derive(Deserialize)]
pub(super) struct Candidate {
    pub(super) axes: BTreeMap<String, String>,
    valid_auc: Option<f64>,
}

/// `choice.json`.
#[derive(Deserialize)]
pub(super) struct ChoiceFile {
    pub(super) chosen: Candidate,
    candidates: Vec<Candidate>,
}

/// Reads the artifacts of every cell that has them. `run` tells failed cells from those that
/// were not run.
///
/// # Errors
/// If an artifact is damaged or not what its stage kind writes.
pub fn collect(
    study: &Study,
    plan: &Plan<'_>,
    run: Option<&RunSummary>,
) -> Result<Collected, StudyError> {
    let mut collected = Collected::default();
    let mut rows: Vec<ResultRow> = Vec::new();
    let mut absent: BTreeMap<(String, MissingReason), Vec<usize>> = BTreeMap::new();
    let failed = failed_nodes(study, run);
    let mut seen: Vec<(NodeIndex, Vec<Option<Scalar>>)> = Vec::new();
    for source in &study.graph.metrics {
        let cell = &study.experiment.grid.cells[source.cell];
        let coordinates = coordinates(study, cell, source.node);
        // Cells that differ only in a searched hyper-parameter share their choice and its result.
        let key = (source.node, coordinates.to_vec());
        if seen.contains(&key) {
            continue;
        }
        seen.push(key);
        let found = read_json::<Vec<MetricRow>>(study, plan, source.node, source.output)?;
        match (found, fresh_key(plan, source.node)) {
            (Some(metrics), Some(stage_key)) => {
                let first = rows.len();
                // Of lists of candidates: other rows than those that tests compare.
                let of_lists = metrics.iter().all(|metric| metric.metric.contains('@'));
                for metric in metrics {
                    rows.push(row(study, &coordinates, metric, stage_key));
                }
                if let Some(row) = rows.get(first) {
                    collected.measured.push(Measured {
                        row: row.clone(),
                        node: source.node,
                    });
                }
                let measured = rows
                    .get(first)
                    .filter(|row| row.split == "test" && !of_lists);
                if let (Some(row), Some(digest)) = (measured, predictions(study, plan, source.node))
                {
                    collected.predictions.push(PredictionSource {
                        system: row.system(),
                        train_domain: row.train_domain.clone(),
                        test_domain: row.test_domain.clone(),
                        k: row.k,
                        seed: row.seed,
                        stage_key,
                        digest,
                    });
                }
            }
            _ => {
                let reason = if failed[source.node.index()] {
                    MissingReason::Failed
                } else {
                    MissingReason::NotRun
                };
                let cells = absent.entry((method_of(study, cell), reason)).or_default();
                if cells.last() != Some(&source.cell) {
                    cells.push(source.cell);
                }
            }
        }
    }
    collected.results = ResultSet::from_rows(rows)?;
    for method in &study.experiment.unbuilt {
        collected
            .missing
            .push(Missing::new(method, MissingReason::NotBuilt));
    }
    for ((method, reason), cells) in absent {
        let mut missing = Missing::new(&method, reason);
        missing.detail = detail(study, &cells);
        collected.missing.push(missing);
    }
    for (node, output) in &study.graph.audits {
        if let Some(audit) = read_json::<Value>(study, plan, *node, *output)? {
            collected.audits.insert(label(study, *node), audit);
        }
    }
    for (node, output) in &study.graph.choices {
        if let Some(choice) = read_json::<ChoiceFile>(study, plan, *node, *output)? {
            collected.choices.extend(readable(study, *node, &choice));
        }
    }
    for node in study.graph.order.iter().copied() {
        if study.graph.graph[node].template != "samples" {
            continue;
        }
        for record in plan.keys.get(node).unwrap_or_default() {
            if record.file.ends_with(".parquet") {
                let name = format!("{} {}", label(study, node), record.name);
                collected.data.insert(name.clone(), record.digest.short());
                collected.digests.insert(name, record.digest.hex());
            }
        }
    }
    files(study, plan, &mut collected.digests);
    Ok(collected)
}

/// Digests of what users bring (backbones, templates, programs), by the input they are. Their
/// paths are of one machine and stay out.
fn files(study: &Study, plan: &Plan<'_>, digests: &mut BTreeMap<String, String>) {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for stage in study.graph.graph.node_weights() {
        for input in &stage.inputs {
            for source in &input.sources {
                if let SourceReference::File { path, files } = &source.from
                    && let Some(seen) = plan.keys.file(path, files)
                {
                    let name = format!("{} of {}", input.name, stage.template);
                    found.entry(name).or_default().insert(seen.digest.hex());
                }
            }
        }
    }
    for (name, of_name) in found {
        digests.insert(name, of_name.into_iter().collect::<Vec<_>>().join(", "));
    }
}

/// The predictions that a stage measured, if it is one that measures predictions.
fn predictions(study: &Study, plan: &Plan<'_>, node: NodeIndex) -> Option<Digest> {
    let stage = &study.graph.graph[node];
    if stage.kind.name() != Evaluate::NAME {
        return None;
    }
    let mut inputs = stage.inputs.iter();
    let input = inputs.find(|input| input.name == "predictions")?;
    match input.sources.as_slice() {
        [source] => match &source.from {
            SourceReference::Output { node, output } => {
                Some(plan.keys.output(*node, *output)?.digest)
            }
            SourceReference::File { .. } => None,
        },
        _ => None,
    }
}

/// The stage id without its template: `domain=movie` → `movie`.
pub(super) fn label(study: &Study, node: NodeIndex) -> String {
    let id = &study.graph.graph[node].id;
    match id.split_once('@') {
        Some((_, axes)) => axes
            .split(',')
            .map(|part| part.split_once('=').map_or(part, |(_, value)| value))
            .collect::<Vec<_>>()
            .join(", "),
        None => id.clone(),
    }
}

/// Method and case of a stage by its axes: `gru4rec` and `movie, K = 16, seed 0`.
fn method_and_case(study: &Study, node: NodeIndex) -> (String, String) {
    let id = &study.graph.graph[node].id;
    let axes = id.split_once('@').map_or("", |(_, axes)| axes);
    let mut method = None;
    let mut case: Vec<String> = Vec::new();
    for (axis, value) in axes.split(',').filter_map(|axis| axis.split_once('=')) {
        match axis {
            "method" => method = Some(value.to_owned()),
            "k" => case.push(format!("K = {value}")),
            "seed" => case.push(format!("seed {value}")),
            _ => case.push(value.to_owned()),
        }
    }
    let method = method.unwrap_or_else(|| study.experiment.pipeline.name.clone());
    (method, case.join(", "))
}

pub(super) fn fresh_key(plan: &Plan<'_>, node: NodeIndex) -> Option<StageKey> {
    match plan.verdicts[node.index()] {
        Verdict::Fresh { key } => Some(key),
        Verdict::Stale { .. } | Verdict::Waiting { .. } => None,
    }
}

/// Failed stages and everything that needs them.
fn failed_nodes(study: &Study, run: Option<&RunSummary>) -> Vec<bool> {
    let graph = &study.graph.graph;
    let mut failed = vec![false; graph.node_count()];
    let Some(run) = run else { return failed };
    for node in &study.graph.order {
        let own = run.failed.iter().any(|(id, ..)| *id == graph[*node].id);
        let upstream = crate::plan::makers(&study.graph, *node).any(|maker| failed[maker.index()]);
        failed[node.index()] = own || upstream;
    }
    failed
}

const COORDINATES: [&str; 6] = ["method", "variant", "train", "test", "k", "seed"];

/// What a row says of a cell.
///
/// A system that no sample tunes and no sample is shown to has no training domain, K and seed. And
/// where several backbones stand side by side, the variant of what one of them made names it:
/// `AT+RT@tiny`.
fn coordinates(study: &Study, cell: &Cell, node: NodeIndex) -> [Option<Scalar>; 6] {
    let grid = &study.experiment.grid;
    let mut found = COORDINATES.map(|axis| grid.get(cell, axis).cloned());
    let system = format!("/systems/{}/few", method_of(study, cell));
    if study.experiment.variables.pointer(&system) == Some(&Value::Bool(false)) {
        let [_, _, train, test, k, seed] = &mut found;
        if test.is_none() {
            test.clone_from(train);
        }
        (*train, *k, *seed) = (None, None, None);
    }
    if let Some(backbone) = grid.get(cell, crate::spec::backbone::AXIS) {
        let (_, axes) = study.graph.graph[node]
            .id
            .split_once('@')
            .unwrap_or_default();
        let named = format!("{}={backbone}", crate::spec::backbone::AXIS);
        if axes.split(',').any(|axis| axis == named) {
            let variant = found[1]
                .as_ref()
                .map_or_else(String::new, Scalar::to_string);
            found[1] = Some(Scalar::Text(System::variant_with(
                &variant,
                &backbone.to_string(),
            )));
        }
    }
    found
}

fn method_of(study: &Study, cell: &Cell) -> String {
    study
        .experiment
        .grid
        .get(cell, "method")
        .map_or_else(|| study.experiment.pipeline.name.clone(), Scalar::to_string)
}

fn row(
    study: &Study,
    coordinates: &[Option<Scalar>; 6],
    metric: MetricRow,
    stage_key: StageKey,
) -> ResultRow {
    let [method, variant, train, test, k, seed] = coordinates;
    let text = |value: &Option<Scalar>| value.as_ref().map(Scalar::to_string);
    let number = |value: &Option<Scalar>| match value {
        Some(Scalar::Integer(number)) => u64::try_from(*number).ok(),
        _ => None,
    };
    let untrained = || crate::results::UNTRAINED.to_owned();
    ResultRow {
        experiment: study.experiment.name.clone(),
        method: text(method).unwrap_or_else(|| study.experiment.pipeline.name.clone()),
        variant: text(variant),
        train_domain: text(train).unwrap_or_else(untrained),
        test_domain: text(test).or_else(|| text(train)).unwrap_or_else(untrained),
        k: number(k),
        seed: number(seed).unwrap_or(0),
        split: metric.split,
        metric: metric.metric,
        value: metric.value,
        n: metric.n as u64,
        stage_key,
    }
}

/// `K = 16, 64; movie; 10 cells`.
fn detail(study: &Study, cells: &[usize]) -> String {
    let grid = &study.experiment.grid;
    let mut parts: Vec<String> = Vec::new();
    for (axis, prefix) in [("test", ""), ("k", "K = "), ("variant", "")] {
        let mut values: Vec<String> = Vec::new();
        for cell in cells {
            if let Some(value) = grid.get(&grid.cells[*cell], axis) {
                let value = value.to_string();
                if !values.contains(&value) {
                    values.push(value);
                }
            }
        }
        if !values.is_empty() {
            parts.push(format!("{prefix}{}", values.join(", ")));
        }
    }
    parts.push(format!(
        "{} cell{}",
        cells.len(),
        if cells.len() == 1 { "" } else { "s" }
    ));
    parts.join("; ")
}

fn readable(study: &Study, node: NodeIndex, file: &ChoiceFile) -> Option<Choice> {
    if file.candidates.len() < 2 {
        return None;
    }
    let axes = |candidate: &Candidate| {
        candidate
            .axes
            .iter()
            .map(|(name, value)| format!("{name} = {value}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let auc = |candidate: &Candidate| match candidate.valid_auc {
        Some(value) => format!("{value:.4}"),
        None => "undefined".to_owned(),
    };
    let others: Vec<String> = file
        .candidates
        .iter()
        .filter(|candidate| candidate.axes != file.chosen.axes)
        .map(|candidate| format!("{}: {}", axes(candidate), auc(candidate)))
        .collect();
    let (method, case) = method_and_case(study, node);
    Some(Choice {
        method,
        case,
        chosen: axes(&file.chosen),
        because: format!(
            "validation AUC {}; {}",
            auc(&file.chosen),
            others.join(", ")
        ),
    })
}

pub(super) fn read_json<T: serde::de::DeserializeOwned>(
    study: &Study,
    plan: &Plan<'_>,
    node: NodeIndex,
    output: usize,
) -> Result<Option<T>, StudyError> {
    let Some(path) = study.artifact(plan, node, output)? else {
        return Ok(None);
    };
    let what = || crate::plan::reason::origin(&study.graph, node, output);
    parse(&path)
        .map(Some)
        .map_err(|message| StudyError::Artifact {
            what: what(),
            message,
        })
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, String> {
    let bytes = bounded::read(path, bounded::RECORDS).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}
