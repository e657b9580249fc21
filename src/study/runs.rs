//! What stands behind the rows: the stages that were run for one system with one seed, with their
//! parameters, times and courses of training. For exports to programs that think in runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use petgraph::graph::NodeIndex;
use serde_json::Value;

use super::collect::{Collected, fresh_key};
use super::lineage::{behind, curve_of};
use super::{Study, StudyError};
use crate::base::StageKey;
use crate::graph::SourceReference;
use crate::plan::{Plan, reason};
use crate::results::provenance::StageRecord;
use crate::results::{ResultRow, System};
use crate::stage::StageKind as _;
use crate::stage::codec::{Scalars, read_scalars};
use crate::stage::evaluate::Evaluate;

/// Inputs that a system stands on: how they were made is not part of its training.
const GIVEN: [&str; 2] = ["backbone", "encoder"];

/// When a stage ran, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// When it began: when it was done, less the time it took.
    pub started_ms: u64,
    /// When its artifacts were put into the store.
    pub ended_ms: u64,
}

/// A stage that was run.
#[derive(Debug, Clone, PartialEq)]
pub struct StageRun {
    /// Its id: `train@method=gru4rec,k=16,seed=0`.
    pub stage: String,
    /// The template it comes from.
    pub template: String,
    /// Its key.
    pub key: StageKey,
    /// Parameters after defaults by dotted path; texts as they are, everything else as JSON.
    pub parameters: BTreeMap<String, String>,
    /// When it ran, if the store knows.
    pub times: Option<Times>,
    /// The course of the training; empty for what has none.
    pub curve: Vec<Scalars>,
}

/// One system with one seed: what it scored, and what was run for that.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Method and variant.
    pub system: System,
    /// What it was trained on, as in [`ResultRow`].
    pub train_domain: String,
    /// What it was tested on.
    pub test_domain: String,
    /// Training samples, if any.
    pub k: Option<u64>,
    /// The seed.
    pub seed: u64,
    /// Its rows, each with when it was measured, in milliseconds since 1970, if the store knows.
    pub rows: Vec<(ResultRow, Option<u64>)>,
    /// Hyper-parameters that validation chose.
    pub chosen: BTreeMap<String, String>,
    /// What was trained for it, the last training first; the stage that predicted where nothing
    /// was trained. Never empty for rows of a store.
    pub stages: Vec<Arc<StageRun>>,
}

/// Stages, and hyper-parameters that were chosen.
type Behind = (Vec<Arc<StageRun>>, BTreeMap<String, String>);

type Name = (System, String, String, Option<u64>, u64);

fn name(row: &ResultRow) -> Name {
    let (train, test) = (row.train_domain.clone(), row.test_domain.clone());
    (row.system(), train, test, row.k, row.seed)
}

/// The runs behind collected rows, in the order of systems, domains, K and seeds.
///
/// # Errors
/// If an artifact is damaged or not what its stage kind writes.
pub fn runs(study: &Study, plan: &Plan<'_>, collected: &Collected) -> Result<Vec<Run>, StudyError> {
    let mut reader = Reader::new(study, plan);
    let mut measured_at: BTreeMap<StageKey, Option<u64>> = BTreeMap::new();
    let mut rows: BTreeMap<Name, Vec<(ResultRow, Option<u64>)>> = BTreeMap::new();
    for row in collected.results.rows() {
        let at = match measured_at.get(&row.stage_key) {
            Some(at) => *at,
            None => {
                let at = reader.times(row.stage_key)?.map(|times| times.ended_ms);
                measured_at.insert(row.stage_key, at);
                at
            }
        };
        rows.entry(name(row)).or_default().push((row.clone(), at));
    }
    // The stages behind the test split are those behind every other; where there is none, any do.
    let mut nodes: BTreeMap<Name, NodeIndex> = BTreeMap::new();
    for measured in &collected.measured {
        let node = nodes.entry(name(&measured.row)).or_insert(measured.node);
        if measured.row.split == "test" {
            *node = measured.node;
        }
    }
    let mut runs = Vec::with_capacity(rows.len());
    for (name, rows) in rows {
        let (stages, chosen) = match nodes.get(&name) {
            Some(node) => reader.behind(*node)?,
            None => (Vec::new(), BTreeMap::new()),
        };
        let (system, train_domain, test_domain, k, seed) = name;
        runs.push(Run {
            system,
            train_domain,
            test_domain,
            k,
            seed,
            rows,
            chosen,
            stages,
        });
    }
    Ok(runs)
}

/// All trainings of an experiment that the store has and that left a course, in the order of the
/// graph.
///
/// # Errors
/// If an artifact is damaged or not what its stage kind writes.
pub fn trainings(study: &Study, plan: &Plan<'_>) -> Result<Vec<Arc<StageRun>>, StudyError> {
    let mut reader = Reader::new(study, plan);
    let mut found = Vec::new();
    for node in &study.graph.order {
        if curve_of(study, *node).is_some()
            && let Some(stage) = reader.stage(*node)?
            && !stage.curve.is_empty()
        {
            found.push(stage);
        }
    }
    Ok(found)
}

struct Reader<'s> {
    study: &'s Study,
    plan: &'s Plan<'s>,
    /// Where each stage stands in the order of the graph.
    position: Vec<usize>,
    /// Stages that were read before: alpaca tuning stands behind many runs.
    known: BTreeMap<NodeIndex, Option<Arc<StageRun>>>,
}

impl<'s> Reader<'s> {
    fn new(study: &'s Study, plan: &'s Plan<'s>) -> Self {
        let mut position = vec![0; study.graph.graph.node_count()];
        for (at, node) in study.graph.order.iter().enumerate() {
            position[node.index()] = at;
        }
        Self {
            study,
            plan,
            position,
            known: BTreeMap::new(),
        }
    }

    fn times(&self, key: StageKey) -> Result<Option<Times>, StudyError> {
        let manifest = self.study.store.manifest(key)?;
        Ok(manifest.map(|manifest| {
            let ended_ms = manifest.made_at_ms;
            let took_ms = (manifest.wall_s * 1000.0).round().max(0.0) as u64;
            Times {
                started_ms: ended_ms.saturating_sub(took_ms),
                ended_ms,
            }
        }))
    }

    /// A stage as it was run; none if it is not in the store.
    fn stage(&mut self, node: NodeIndex) -> Result<Option<Arc<StageRun>>, StudyError> {
        if let Some(known) = self.known.get(&node) {
            return Ok(known.clone());
        }
        let read = self.read(node)?.map(Arc::new);
        self.known.insert(node, read.clone());
        Ok(read)
    }

    fn read(&self, node: NodeIndex) -> Result<Option<StageRun>, StudyError> {
        let Some(key) = fresh_key(self.plan, node) else {
            return Ok(None);
        };
        let stage = &self.study.graph.graph[node];
        let record = StageRecord::of(stage.kind.version(), [&stage.params]);
        let parameters = record.parameters.into_iter();
        let mut curve = Vec::new();
        if let Some(output) = curve_of(self.study, node)
            && let Some(path) = self.study.artifact(self.plan, node, output)?
        {
            let read = read_scalars(&path).map_err(|error| StudyError::Artifact {
                what: reason::origin(&self.study.graph, node, output),
                message: error.to_string(),
            })?;
            // A program of the user's may call something else a curve.
            curve = read.unwrap_or_default();
        }
        Ok(Some(StageRun {
            stage: stage.id.clone(),
            template: stage.template.clone(),
            key,
            parameters: parameters
                .map(|(path, value)| (path, plain(value)))
                .collect(),
            times: self.times(key)?,
            curve,
        }))
    }

    /// The trainings behind a stage, the last first, and what validation chose among them.
    fn behind(&mut self, measured: NodeIndex) -> Result<Behind, StudyError> {
        let mut chosen = BTreeMap::new();
        let mut trained: Vec<NodeIndex> = Vec::new();
        let mut seen = BTreeSet::from([measured]);
        let mut open = vec![measured];
        while let Some(node) = open.pop() {
            if curve_of(self.study, node).is_some() {
                trained.push(node);
            }
            let behind = behind(self.study, self.plan, node)?;
            for maker in behind.makers {
                if !GIVEN.contains(&maker.input.as_str()) && seen.insert(maker.node) {
                    open.push(maker.node);
                }
            }
            chosen.extend(behind.chosen);
        }
        if trained.is_empty() {
            trained.push(predictor(self.study, measured));
        }
        trained.sort_by_key(|node| std::cmp::Reverse(self.position[node.index()]));
        let mut stages = Vec::with_capacity(trained.len());
        for node in trained {
            stages.extend(self.stage(node)?);
        }
        Ok((stages, chosen))
    }
}

/// The stage whose predictions were measured, or the one that measured, if it has none.
fn predictor(study: &Study, measured: NodeIndex) -> NodeIndex {
    let stage = &study.graph.graph[measured];
    if stage.kind.name() != Evaluate::NAME {
        return measured;
    }
    let mut sources = stage.inputs.iter().flat_map(|input| &input.sources);
    sources
        .find_map(|source| match source.from {
            SourceReference::Output { node, .. } => Some(node),
            SourceReference::File { .. } => None,
        })
        .unwrap_or(measured)
}

/// A JSON text without its quotes; anything else as it is.
fn plain(json: String) -> String {
    match serde_json::from_str(&json) {
        Ok(Value::String(text)) => text,
        _ => json,
    }
}
