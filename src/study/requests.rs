//! What a plan would ask of models by API, before anything is paid.

use std::collections::BTreeMap;

use petgraph::graph::NodeIndex;
use serde::Serialize;

use super::Study;
use crate::base::Emitter;
use crate::graph::SourceReference;
use crate::plan::Plan;
use crate::stage::{InputArtifact, Requests, StageContext};

/// What one stage would ask.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageRequests {
    /// The stage.
    pub stage: String,
    /// What it would ask; none while what it reads is not made yet.
    pub requests: Option<Requests>,
    /// Why that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// What the stages that are to run would ask, in the order of the graph.
#[must_use]
pub fn requests(study: &Study, plan: &Plan<'_>) -> Vec<StageRequests> {
    let mut all = Vec::new();
    for node in &study.graph.order {
        let stage = &study.graph.graph[*node];
        if !plan.needed[node.index()] || !stage.kind.asks() {
            continue;
        }
        let known = inputs(study, plan, *node).and_then(|inputs| {
            let context = StageContext::new(
                inputs,
                BTreeMap::new(),
                study.store.root().to_owned(),
                Emitter::silent(),
            )
            .with_answers(study.store.answers_folder());
            let requests = stage.kind.requests(&stage.params, &context);
            requests.map_err(|error| error.to_string())
        });
        let (requests, unknown) = match known {
            Ok(requests) => (requests, None),
            Err(why) => (None, Some(why)),
        };
        all.push(StageRequests {
            stage: stage.id.clone(),
            requests,
            unknown,
        });
    }
    all
}

/// What a stage reads, if all of it is there.
fn inputs(
    study: &Study,
    plan: &Plan<'_>,
    node: NodeIndex,
) -> Result<BTreeMap<String, Vec<InputArtifact>>, String> {
    let mut inputs: BTreeMap<String, Vec<InputArtifact>> = BTreeMap::new();
    for input in &study.graph.graph[node].inputs {
        for source in &input.sources {
            let (path, digest, origin) = match &source.from {
                SourceReference::Output { node, output } => {
                    let origin = crate::plan::reason::origin(&study.graph, *node, *output);
                    let path = study.artifact(plan, *node, *output);
                    let path = path.map_err(|error| error.to_string())?;
                    let digest = plan.keys.output(*node, *output).map(|record| record.digest);
                    match (path, digest) {
                        (Some(path), Some(digest)) => (path, digest, origin),
                        _ => return Err(format!("`{origin}` is not made yet")),
                    }
                }
                SourceReference::File { path, files } => match plan.keys.file(path, files) {
                    Some(seen) => (path.into(), seen.digest, path.clone()),
                    None => return Err(format!("`{path}` cannot be read")),
                },
            };
            inputs
                .entry(input.name.clone())
                .or_default()
                .push(InputArtifact {
                    path,
                    digest,
                    axes: source.axes.clone(),
                    origin,
                });
        }
    }
    Ok(inputs)
}
