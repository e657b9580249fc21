//! Why a stage is stale: every difference, with old and new value.

use std::collections::BTreeMap;
use std::fmt;

use petgraph::graph::NodeIndex;
use serde::Serialize;
use serde_json::Value;

use super::keys::Keys;
use crate::artifact::Store;
use crate::artifact::latest::LatestRecord;
use crate::artifact::manifest::{InputRecord, KeyMaterial};
use crate::graph::{SourceReference, StageGraph};

/// One reason for which a stage has to run, or may have to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// Nothing is known of this stage: it never ran in this store under this name.
    NeverRan,
    /// Its last run was removed from the store.
    ManifestMissing,
    /// A parameter changed.
    ParameterChanged {
        /// Path of the parameter.
        path: String,
        /// Value at the last run; null if it was not there.
        old: Value,
        /// Value now; null if it is gone.
        new: Value,
    },
    /// The template's kind changed.
    KindChanged {
        /// Kind at the last run.
        old: String,
        /// Kind now.
        new: String,
    },
    /// The program's way of doing this kind of stage changed.
    VersionChanged {
        /// The kind.
        kind: String,
        /// Version at the last run.
        old: u32,
        /// Version now.
        new: u32,
    },
    /// An input has other bytes.
    InputChanged {
        /// The input.
        input: String,
        /// Who makes it, or its path.
        origin: String,
        /// Digest at the last run.
        old: String,
        /// Digest now.
        new: String,
    },
    /// Inputs were connected that were not, or the other way round.
    InputsRewired {
        /// The input.
        input: String,
        /// How many artifacts it had.
        old: usize,
        /// How many it has.
        new: usize,
    },
    /// It depends on a stage that has to run first; the bytes that come out will decide.
    DependsOn {
        /// The stage.
        stage: String,
    },
    /// It ran, but an artifact of it that is needed is no longer in the store.
    ArtifactMissing {
        /// The output.
        output: String,
    },
    /// It makes an output that it did not make when it ran.
    OutputAdded {
        /// The output.
        output: String,
    },
    /// An earlier try under this key did not finish.
    NotFinished,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverRan => write!(formatter, "it never ran"),
            Self::ManifestMissing => {
                write!(formatter, "its last run is no longer in the store")
            }
            Self::ParameterChanged { path, old, new } => {
                write!(
                    formatter,
                    "parameter `{path}` changed: {} → {}",
                    shown(old),
                    shown(new)
                )
            }
            Self::KindChanged { old, new } => {
                write!(formatter, "its kind changed: {old} → {new}")
            }
            Self::VersionChanged { kind, old, new } => write!(
                formatter,
                "the program makes `{kind}` differently now: version {old} → {new}"
            ),
            Self::InputChanged {
                input,
                origin,
                old,
                new,
            } => write!(
                formatter,
                "input `{input}` ({origin}) has other bytes: {old} → {new}"
            ),
            Self::InputsRewired { input, old, new } => {
                write!(formatter, "input `{input}` had {old} artifacts, now {new}")
            }
            Self::DependsOn { stage } => write!(formatter, "depends on {stage}"),
            Self::ArtifactMissing { output } => {
                write!(
                    formatter,
                    "its artifact `{output}` is no longer in the store"
                )
            }
            Self::OutputAdded { output } => write!(
                formatter,
                "it makes `{output}` now, which it did not when it ran"
            ),
            Self::NotFinished => write!(formatter, "an earlier try did not finish"),
        }
    }
}

/// As many stages are named by [`sentences`]; of more it says how many.
const MOST_NAMED: usize = 3;

/// Reasons in words. An aggregate may wait for thousands of stages; the first few say enough.
#[must_use]
pub fn sentences(reasons: &[Reason]) -> Vec<String> {
    let waits = |reason: &&Reason| matches!(reason, Reason::DependsOn { .. });
    let waiting = reasons.iter().filter(waits).count();
    if waiting <= MOST_NAMED + 1 {
        return reasons.iter().map(ToString::to_string).collect();
    }
    let mut sentences: Vec<String> = reasons
        .iter()
        .filter(|reason| !waits(reason))
        .map(ToString::to_string)
        .collect();
    let named: Vec<&str> = reasons
        .iter()
        .filter_map(|reason| match reason {
            Reason::DependsOn { stage } => Some(stage.as_str()),
            _ => None,
        })
        .take(MOST_NAMED)
        .collect();
    sentences.push(format!(
        "depends on {} and {} more",
        named.join(", "),
        waiting - MOST_NAMED
    ));
    sentences
}

fn shown(value: &Value) -> String {
    if value.is_null() {
        "nothing".to_owned()
    } else {
        value.to_string()
    }
}

/// Explains a stage that is stale or waiting.
#[must_use]
pub fn explain(
    graph: &StageGraph,
    keys: &Keys<'_>,
    node: NodeIndex,
    waiting_on: &[NodeIndex],
    latest: &BTreeMap<String, LatestRecord>,
    store: &Store,
) -> Vec<Reason> {
    let stage = &graph.graph[node];
    let mut reasons: Vec<Reason> = waiting_on
        .iter()
        .map(|upstream| Reason::DependsOn {
            stage: graph.graph[*upstream].id.clone(),
        })
        .collect();
    let Some(record) = latest.get(&stage.id) else {
        reasons.insert(0, Reason::NeverRan);
        return reasons;
    };
    let Ok(Some(old)) = store.manifest(record.key) else {
        reasons.insert(0, Reason::ManifestMissing);
        return reasons;
    };
    let mut found = Vec::new();
    if let Some(output) = keys.lacking(node, &old.outputs) {
        found.push(Reason::OutputAdded {
            output: output.to_owned(),
        });
    }
    let old = old.material;
    if old.kind != stage.kind.name() {
        found.push(Reason::KindChanged {
            old: old.kind.clone(),
            new: stage.kind.name().to_owned(),
        });
    } else if old.version != stage.kind.version() {
        found.push(Reason::VersionChanged {
            kind: old.kind.clone(),
            old: old.version,
            new: stage.kind.version(),
        });
    }
    parameters(
        "",
        &old.params,
        &stage.kind.key_params(&stage.params),
        &mut found,
    );
    inputs(graph, keys, node, &old, &mut found);
    found.append(&mut reasons);
    if found.is_empty() {
        found.push(Reason::NotFinished);
    }
    found
}

fn parameters(path: &str, old: &Value, new: &Value, found: &mut Vec<Reason>) {
    if old == new {
        return;
    }
    if let (Value::Object(before), Value::Object(after)) = (old, new) {
        let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let inner = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            parameters(
                &inner,
                before.get(name).unwrap_or(&Value::Null),
                after.get(name).unwrap_or(&Value::Null),
                found,
            );
        }
        return;
    }
    found.push(Reason::ParameterChanged {
        path: path.to_owned(),
        old: old.clone(),
        new: new.clone(),
    });
}

fn inputs(
    graph: &StageGraph,
    keys: &Keys<'_>,
    node: NodeIndex,
    old: &KeyMaterial,
    found: &mut Vec<Reason>,
) {
    let stage = &graph.graph[node];
    for (name, records) in &old.inputs {
        if !stage.inputs.iter().any(|input| input.name == *name) {
            found.push(Reason::InputsRewired {
                input: name.clone(),
                old: records.len(),
                new: 0,
            });
        }
    }
    for input in &stage.inputs {
        let before: &[InputRecord] = old.inputs.get(&input.name).map_or(&[], Vec::as_slice);
        if before.len() != input.sources.len() {
            found.push(Reason::InputsRewired {
                input: input.name.clone(),
                old: before.len(),
                new: input.sources.len(),
            });
            continue;
        }
        for (source, record) in input.sources.iter().zip(before) {
            let (origin, digest) = match &source.from {
                SourceReference::Output { node, output } => (
                    origin(graph, *node, *output),
                    keys.output(*node, *output).map(|record| record.digest),
                ),
                SourceReference::File { path, files } => {
                    (path.clone(), keys.file(path, files).map(|seen| seen.digest))
                }
            };
            if let Some(digest) = digest
                && digest != record.digest
            {
                found.push(Reason::InputChanged {
                    input: input.name.clone(),
                    origin,
                    old: record.digest.short(),
                    new: digest.short(),
                });
            }
        }
    }
}

/// `stage/output` for people.
#[must_use]
pub fn origin(graph: &StageGraph, node: NodeIndex, output: usize) -> String {
    let stage = &graph.graph[node];
    match stage.outputs.get(output) {
        Some(output) => format!("{}/{}", stage.id, output.name),
        None => stage.id.clone(),
    }
}
