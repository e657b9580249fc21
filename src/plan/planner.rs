//! Walks the graph once forward (what is fresh) and once backward (what is needed).

use std::collections::BTreeMap;

use petgraph::Direction;
use petgraph::graph::NodeIndex;

use super::keys::{Keys, PlanError};
use crate::artifact::Store;
use crate::artifact::latest::LatestRecord;
use crate::base::StageKey;
use crate::graph::StageGraph;

/// What is known of a stage before anything runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Its artifacts stand.
    Fresh {
        /// Its key.
        key: StageKey,
    },
    /// It has to run if it is needed.
    Stale {
        /// Its key.
        key: StageKey,
    },
    /// It depends on stages that have to run first.
    Waiting {
        /// Those of them it uses directly.
        on: Vec<NodeIndex>,
    },
}

/// What would happen, stage by stage.
#[derive(Debug)]
pub struct Plan<'g> {
    /// What is known of inputs' bytes.
    pub keys: Keys<'g>,
    /// One verdict a stage.
    pub verdicts: Vec<Verdict>,
    /// Whether a stage is needed for something wanted that is not fresh.
    pub needed: Vec<bool>,
    /// Whether a stage or anything that wants it is a target, directly or through others.
    pub reachable: Vec<bool>,
    /// Last key and timing of each stage id.
    pub latest: BTreeMap<String, LatestRecord>,
    /// Expected seconds by past timings; `None` where nothing similar ever ran.
    pub estimates: Vec<Option<f64>>,
}

/// Makes a plan.
///
/// # Errors
/// If a user's file or the store cannot be read.
pub fn plan<'g>(
    graph: &'g StageGraph,
    store: &Store,
    experiment: &str,
) -> Result<Plan<'g>, PlanError> {
    let mut keys = Keys::new(graph, store)?;
    let latest = crate::artifact::latest::read(&store.latest_path(experiment));
    let count = graph.graph.node_count();
    let mut verdicts = vec![Verdict::Waiting { on: Vec::new() }; count];
    let mut reachable = vec![false; count];
    for target in &graph.targets {
        reachable[target.index()] = true;
    }
    for node in graph.order.iter().rev() {
        if reachable[node.index()] {
            for maker in makers(graph, *node) {
                reachable[maker.index()] = true;
            }
        }
    }
    for node in &graph.order {
        let Some(key) = keys.key(*node) else {
            let on = makers(graph, *node)
                .filter(|maker| keys.get(*maker).is_none())
                .collect();
            verdicts[node.index()] = Verdict::Waiting { on };
            continue;
        };
        // What is remembered spares opening the manifest; it counts only while that is there.
        let remembered = latest
            .get(&graph.graph[*node].id)
            .filter(|record| record.key == key && !record.outputs.is_empty())
            .filter(|_| store.has_manifest(key));
        let outputs = match remembered {
            Some(record) => Some(record.outputs.clone()),
            None => store.summary(key)?.map(|summary| summary.outputs),
        };
        verdicts[node.index()] = match outputs {
            Some(outputs) if keys.lacking(*node, &outputs).is_none() => {
                keys.set(*node, outputs);
                Verdict::Fresh { key }
            }
            _ => Verdict::Stale { key },
        };
    }
    let mut needed = vec![false; count];
    for node in graph.order.iter().rev() {
        let index = node.index();
        let is_fresh = matches!(verdicts[index], Verdict::Fresh { .. });
        if is_target(graph, *node) && (!is_fresh || lacks_bytes(&keys, store, *node)) {
            needed[index] = true;
        }
        if !needed[index] {
            continue;
        }
        for maker in makers(graph, *node) {
            let maker_is_fresh = matches!(verdicts[maker.index()], Verdict::Fresh { .. });
            // Evicted bytes are made again only for a stage that surely runs.
            let surely = matches!(verdicts[index], Verdict::Stale { .. }) || is_fresh;
            if !maker_is_fresh || (surely && lacks_bytes(&keys, store, maker)) {
                needed[maker.index()] = true;
            }
        }
    }
    let estimates = estimate(graph, &latest);
    Ok(Plan {
        keys,
        verdicts,
        needed,
        reachable,
        latest,
        estimates,
    })
}

/// The stages whose artifacts a stage uses.
pub(crate) fn makers(graph: &StageGraph, node: NodeIndex) -> impl Iterator<Item = NodeIndex> + '_ {
    graph.graph.neighbors_directed(node, Direction::Incoming)
}

fn is_target(graph: &StageGraph, node: NodeIndex) -> bool {
    graph.targets.binary_search(&node).is_ok()
}

fn lacks_bytes(keys: &Keys<'_>, store: &Store, node: NodeIndex) -> bool {
    keys.get(node)
        .is_some_and(|outputs| outputs.iter().any(|output| !store.has_artifact(output)))
}

/// A stage is expected to take as long as it took; one that never ran, as long as others of its
/// template took on average.
fn estimate(graph: &StageGraph, latest: &BTreeMap<String, LatestRecord>) -> Vec<Option<f64>> {
    let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for record in latest.values() {
        let template = record.stage.split('@').next().unwrap_or_default();
        let sum = sums.entry(template).or_default();
        sum.0 += record.wall_s;
        sum.1 += 1.0;
    }
    graph
        .graph
        .node_weights()
        .map(|stage| {
            latest
                .get(&stage.id)
                .map(|record| record.wall_s)
                .or_else(|| {
                    sums.get(stage.template.as_str())
                        .map(|(sum, count)| sum / count)
                })
        })
        .collect()
}

impl Plan<'_> {
    /// Expected seconds of work for what is needed, if anything is known, on `jobs` threads.
    #[must_use]
    pub fn estimate_s(&self, jobs: usize) -> Option<f64> {
        let known: Vec<f64> = self
            .needed
            .iter()
            .zip(&self.estimates)
            .filter(|(needed, _)| **needed)
            .filter_map(|(_, estimate)| *estimate)
            .collect();
        if known.is_empty() {
            return None;
        }
        let wanted = self.needed.iter().filter(|needed| **needed).count();
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        // Stages of which nothing is known count as an average one.
        let total = known.iter().sum::<f64>() + mean * (wanted - known.len()) as f64;
        Some(total / jobs.max(1) as f64)
    }

    /// How many stages are needed.
    #[must_use]
    pub fn needed_count(&self) -> usize {
        self.needed.iter().filter(|needed| **needed).count()
    }

    /// How many stages that targets rest on are fresh and not needed again.
    #[must_use]
    pub fn fresh_count(&self) -> usize {
        self.reachable_count() - self.needed_count()
    }

    /// How many stages targets rest on.
    #[must_use]
    pub fn reachable_count(&self) -> usize {
        self.reachable
            .iter()
            .filter(|reachable| **reachable)
            .count()
    }
}
