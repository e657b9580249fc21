//! From a node and its inputs' digests to its key.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use petgraph::graph::NodeIndex;

use crate::artifact::files::{FileDigests, Seen};
use crate::artifact::manifest::{InputRecord, KeyMaterial, KeyText, OutputRecord};
use crate::artifact::{Store, StoreError};
use crate::base::{Digest, StageKey};
use crate::graph::{SourceReference, StageGraph};

/// Why a plan cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the user's cannot be read.
    #[error(
        "input `{input}` of stage `{stage}` cannot be read: `{path}`: {source}\n  help: paths are \
         relative to the folder the program runs in (see --directory)"
    )]
    Unreadable {
        /// The stage.
        stage: String,
        /// Its input.
        input: String,
        /// The path as written.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// What is known of the bytes behind every input.
#[derive(Debug)]
pub struct Keys<'g> {
    graph: &'g StageGraph,
    outputs: Vec<Option<Vec<OutputRecord>>>,
    files: BTreeMap<(String, Vec<String>), Seen>,
}

impl<'g> Keys<'g> {
    /// Hashes the user's files that stages read.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn new(graph: &'g StageGraph, store: &Store) -> Result<Self, PlanError> {
        let mut keys = Self {
            graph,
            outputs: vec![None; graph.graph.node_count()],
            files: BTreeMap::new(),
        };
        let mut digests: Option<FileDigests> = None;
        for node in graph.graph.node_weights() {
            for input in &node.inputs {
                for source in &input.sources {
                    let SourceReference::File { path, files } = &source.from else {
                        continue;
                    };
                    let name = (path.clone(), files.clone());
                    if keys.files.contains_key(&name) {
                        continue;
                    }
                    let seen = digests
                        .get_or_insert_with(|| FileDigests::load(&store.files_path()))
                        .digest(Path::new(path), files)
                        .map_err(|source| PlanError::Unreadable {
                            stage: node.id.clone(),
                            input: input.name.clone(),
                            path: path.clone(),
                            source,
                        })?;
                    keys.files.insert(name, seen);
                }
            }
        }
        if let Some(mut digests) = digests {
            digests.save();
        }
        Ok(keys)
    }

    /// The state of a user's file or folder when it was hashed.
    #[must_use]
    pub fn file(&self, path: &str, files: &[String]) -> Option<&Seen> {
        self.files.get(&(path.to_owned(), files.to_vec()))
    }

    /// Remembers what a stage made.
    pub fn set(&mut self, node: NodeIndex, outputs: Vec<OutputRecord>) {
        self.outputs[node.index()] = Some(outputs);
    }

    /// Forgets what a stage made.
    pub fn clear(&mut self, node: NodeIndex) {
        self.outputs[node.index()] = None;
    }

    /// What a stage made, if it is known.
    #[must_use]
    pub fn get(&self, node: NodeIndex) -> Option<&[OutputRecord]> {
        self.outputs[node.index()].as_deref()
    }

    /// The record of one output, if it is known.
    #[must_use]
    pub fn output(&self, node: NodeIndex, output: usize) -> Option<&OutputRecord> {
        let name = &self.graph.graph[node].outputs.get(output)?.name;
        self.get(node)?.iter().find(|record| record.name == *name)
    }

    /// The first output of a stage that its records lack: a kind may have learnt to make more
    /// since they were written, and what is not there cannot be used.
    #[must_use]
    pub fn lacking(&self, node: NodeIndex, records: &[OutputRecord]) -> Option<&'g str> {
        self.graph.graph[node]
            .outputs
            .iter()
            .map(|output| output.name.as_str())
            .find(|name| !records.iter().any(|record| record.name == *name))
    }

    /// A stage's key; `None` while an input's bytes are unknown.
    #[must_use]
    pub fn key(&self, node: NodeIndex) -> Option<StageKey> {
        let stage = &self.graph.graph[node];
        let mut inputs = Vec::with_capacity(stage.inputs.len());
        for input in &stage.inputs {
            let mut sources = Vec::with_capacity(input.sources.len());
            for source in &input.sources {
                sources.push((self.source(&source.from)?, &source.axes));
            }
            inputs.push((input.name.as_str(), sources));
        }
        inputs.sort_unstable_by_key(|(name, _)| *name);
        let mut text = KeyText::default();
        for (name, sources) in inputs {
            text.input(name, sources.into_iter());
        }
        let params = stage.kind.key_params(&stage.params);
        Some(text.key(stage.kind.name(), stage.kind.version(), &params))
    }

    fn source(&self, from: &SourceReference) -> Option<Digest> {
        Some(match from {
            SourceReference::Output { node, output } => self.output(*node, *output)?.digest,
            SourceReference::File { path, files } => self.file(path, files)?.digest,
        })
    }

    /// Everything that enters a stage's key; `None` while an input's bytes are unknown.
    #[must_use]
    pub fn material(&self, node: NodeIndex) -> Option<KeyMaterial> {
        let stage = &self.graph.graph[node];
        let mut inputs = BTreeMap::new();
        for input in &stage.inputs {
            let mut records = Vec::with_capacity(input.sources.len());
            for source in &input.sources {
                records.push(InputRecord {
                    digest: self.source(&source.from)?,
                    axes: source.axes.clone(),
                });
            }
            inputs.insert(input.name.clone(), records);
        }
        Some(KeyMaterial {
            kind: stage.kind.name().to_owned(),
            version: stage.kind.version(),
            params: stage.kind.key_params(&stage.params).into_owned(),
            inputs,
        })
    }
}
