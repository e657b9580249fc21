//! From a stage to what its numbers come from: the stages that made its inputs, of a choice only
//! those of the candidate that was chosen.

use std::collections::BTreeMap;

use petgraph::graph::NodeIndex;

use super::collect::{ChoiceFile, read_json};
use super::{Study, StudyError};
use crate::graph::SourceReference;
use crate::plan::Plan;
use crate::stage::StageKind as _;
use crate::stage::select::Select;

/// The output of a stage that trains something: numbers over steps.
const CURVE: &str = "curve";

/// The output of a stage that chooses: what it chose.
const CHOICE: &str = "choice";

/// A stage that made an input of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Maker {
    /// The input's name.
    pub(super) input: String,
    /// Who made it.
    pub(super) node: NodeIndex,
}

/// What a stage stands on.
#[derive(Debug, Clone, Default)]
pub(super) struct Behind {
    /// The makers of its inputs, each once, in the pipeline's order.
    pub(super) makers: Vec<Maker>,
    /// The axes of the candidate it chose; empty for what does not choose.
    pub(super) chosen: BTreeMap<String, String>,
}

/// What a stage stands on.
///
/// # Errors
/// If the file that says what was chosen is damaged.
pub(super) fn behind(
    study: &Study,
    plan: &Plan<'_>,
    node: NodeIndex,
) -> Result<Behind, StudyError> {
    let graph = &study.graph;
    let mut outputs = graph.graph[node].outputs.iter();
    let choice: Option<ChoiceFile> = match outputs.position(|output| output.name == CHOICE) {
        Some(output) if graph.graph[node].kind.name() == Select::NAME => {
            read_json(study, plan, node, output)?
        }
        _ => None,
    };
    let chosen = choice.map(|choice| choice.chosen.axes);
    let mut makers: Vec<Maker> = Vec::new();
    for input in &graph.graph[node].inputs {
        for source in &input.sources {
            let SourceReference::Output { node, .. } = source.from else {
                continue;
            };
            let is_wanted = chosen
                .as_ref()
                .is_none_or(|axes| source.axes.is_empty() || source.axes == *axes);
            if is_wanted && makers.iter().all(|maker| maker.node != node) {
                let input = input.name.clone();
                makers.push(Maker { input, node });
            }
        }
    }
    Ok(Behind {
        makers,
        chosen: chosen.unwrap_or_default(),
    })
}

/// Which output of a stage is the course of a training.
pub(super) fn curve_of(study: &Study, node: NodeIndex) -> Option<usize> {
    let mut outputs = study.graph.graph[node].outputs.iter();
    outputs.position(|output| output.name == CURVE && output.file.ends_with(".parquet"))
}
