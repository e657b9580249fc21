//! The nodes of a [`StageGraph`].

use std::collections::BTreeMap;
use std::fmt;

use petgraph::graph::{DiGraph, NodeIndex};
use serde_json::Value;

use crate::base::{Lane, Limits};
use crate::stage::{ErasedStage, OutputDeclaration};

/// One stage with everything that is known before anything runs.
pub struct StageNode {
    /// The name people read: `train@method=gru4rec,k=16,seed=0`.
    pub id: String,
    /// The template it comes from.
    pub template: String,
    /// What it does.
    pub kind: &'static dyn ErasedStage,
    /// Parameters after defaults.
    pub params: Value,
    /// Inputs in the template's order.
    pub inputs: Vec<NodeInput>,
    /// What it makes.
    pub outputs: Vec<OutputDeclaration>,
    /// Where it runs.
    pub lane: Lane,
    /// How many threads it uses.
    pub threads: usize,
    /// How often it is tried and how long it may take.
    pub limits: Limits,
}

impl fmt::Debug for StageNode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "StageNode({})", self.id)
    }
}

/// A named input.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeInput {
    /// The kind's name for it.
    pub name: String,
    /// What is connected, in order.
    pub sources: Vec<NodeSource>,
}

/// One artifact connected to an input.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeSource {
    /// Axis values that tell a gathered artifact from its siblings.
    pub axes: BTreeMap<String, String>,
    /// Where it comes from.
    pub from: SourceReference,
}

/// Where an artifact comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceReference {
    /// An output of another stage.
    Output {
        /// The stage.
        node: NodeIndex,
        /// Position in its outputs.
        output: usize,
    },
    /// A file or folder of the user's.
    File {
        /// Its path.
        path: String,
        /// For a folder, the files that count; empty: all.
        files: Vec<String>,
    },
}

/// Where a cell's metrics are read from.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricSource {
    /// Position of the cell in the grid.
    pub cell: usize,
    /// The stage.
    pub node: NodeIndex,
    /// Position in its outputs.
    pub output: usize,
}

/// All stages of an experiment and how they depend on each other.
#[derive(Debug, Default)]
pub struct StageGraph {
    /// Stages; an edge leads from a maker to a user of its artifacts.
    pub graph: DiGraph<StageNode, ()>,
    /// What is wanted.
    pub targets: Vec<NodeIndex>,
    /// Where result rows come from.
    pub metrics: Vec<MetricSource>,
    /// Where chosen hyper-parameters are told.
    pub choices: Vec<(NodeIndex, usize)>,
    /// Where data audits are told.
    pub audits: Vec<(NodeIndex, usize)>,
    /// Every stage after all it depends on.
    pub order: Vec<NodeIndex>,
}

impl StageGraph {
    /// Finds a stage by its id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<NodeIndex> {
        self.graph
            .node_indices()
            .find(|index| self.graph[*index].id == id)
    }

    /// Ids of all stages.
    #[must_use]
    pub fn ids(&self) -> Vec<&str> {
        self.graph
            .node_weights()
            .map(|node| node.id.as_str())
            .collect()
    }
}
