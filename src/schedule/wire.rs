//! What the runner and its worker process tell each other: JSON, one message a line.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::{Device, EventKind};
use crate::stage::{Failure, InputArtifact};

/// From the runner.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// Do this.
    Run(Box<Request>),
    /// Stop what you do.
    Stop,
}

/// The work of one stage: everything its context has.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) params: Value,
    pub(super) inputs: BTreeMap<String, Vec<InputArtifact>>,
    pub(super) outputs: BTreeMap<String, PathBuf>,
    pub(super) scratch: PathBuf,
    pub(super) partial: Option<PathBuf>,
    pub(super) log: PathBuf,
    pub(super) threads: usize,
    pub(super) device: Device,
    /// Bytes that the process may take.
    pub(super) memory: Option<u64>,
}

/// From the worker: events while it works, then one of the others.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Event(EventKind),
    Done {
        /// Bytes that the stage took of its device at its highest moment.
        peak_memory: Option<u64>,
    },
    Failed {
        failure: Failure,
        message: String,
    },
    Cancelled,
}
