//! In which order the backbones of a plan are loaded, as [`super::device_queue`] takes them.

use petgraph::graph::NodeIndex;

use super::dispatcher::ranks;
use super::launch::BACKBONE;
use crate::base::Lane;
use crate::graph::{NodeSource, SourceReference, StageGraph};
use crate::plan::{Plan, reason};

/// Backbones by who makes them, or as the user wrote their path, with the stages that need them;
/// the one with the longest path of stages goes first.
#[must_use]
pub fn backbones_in_order(graph: &StageGraph, plan: &Plan<'_>) -> Vec<(String, usize)> {
    let ranks = ranks(graph, plan);
    let mut found: Vec<(String, usize, f64)> = Vec::new();
    for node in &graph.order {
        let stage = &graph.graph[*node];
        if !plan.needed[node.index()] || stage.lane != Lane::Accelerator {
            continue;
        }
        let Some(name) = backbone(graph, *node) else {
            continue;
        };
        let rank = ranks[node.index()];
        match found.iter_mut().find(|one| one.0 == name) {
            Some(one) => {
                one.1 += 1;
                one.2 = one.2.max(rank);
            }
            None => found.push((name, 1, rank)),
        }
    }
    found.sort_by(|one, other| other.2.total_cmp(&one.2));
    let names = found.into_iter().map(|(name, count, _)| (name, count));
    names.collect()
}

fn backbone(graph: &StageGraph, node: NodeIndex) -> Option<String> {
    let inputs = &graph.graph[node].inputs;
    let input = inputs.iter().find(|input| input.name == BACKBONE)?;
    let NodeSource { from, .. } = input.sources.first()?;
    Some(match from {
        SourceReference::Output { node, output } => reason::origin(graph, *node, *output),
        SourceReference::File { path, .. } => path.clone(),
    })
}
