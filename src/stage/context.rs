//! What a running stage may see and touch.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::StageError;
use crate::base::{Device, Digest, Emitter};

/// An artifact handed to a stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InputArtifact {
    /// File or folder; read it, never write it.
    pub path: PathBuf,
    /// Hash of its bytes.
    pub digest: Digest,
    /// For a gathered input, the axis values that tell this artifact from its siblings
    /// (`weight_decay` → `0.001`); empty otherwise. Part of the key.
    pub axes: BTreeMap<String, String>,
    /// Who made it: a stage id with its output, or a path as the user wrote it.
    pub origin: String,
}

/// Everything a stage has: its inputs, where its outputs go, a voice, and a stop sign.
#[derive(Debug)]
pub struct StageContext {
    inputs: BTreeMap<String, Vec<InputArtifact>>,
    outputs: BTreeMap<String, PathBuf>,
    scratch: PathBuf,
    partial: Option<PathBuf>,
    answers: Option<PathBuf>,
    log: PathBuf,
    threads: usize,
    device: Device,
    emitter: Emitter,
    cancelled: Arc<AtomicBool>,
    keep: Option<Arc<Keep>>,
}

/// What a process that does one stage after the other keeps in memory for the next: the last
/// large thing, by the digest of what it was read from.
#[derive(Default)]
pub struct Keep(Mutex<Option<(Digest, Arc<dyn Any + Send + Sync>)>>);

impl std::fmt::Debug for Keep {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Keep")
    }
}

impl Keep {
    /// What was kept under this digest, or what `make` makes, which is kept in place of whatever
    /// was kept before; that goes first, for there may not be memory for both.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn get_or_make<T: Any + Send + Sync, E>(
        &self,
        digest: Digest,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, value)) = &*kept
            && *known == digest
            && let Ok(value) = Arc::clone(value).downcast::<T>()
        {
            return Ok(value);
        }
        *kept = None;
        let made = Arc::new(make()?);
        *kept = Some((digest, Arc::clone(&made) as Arc<dyn Any + Send + Sync>));
        Ok(made)
    }
}

impl StageContext {
    /// Assembles a context; `outputs` maps output names to paths below `scratch`.
    #[must_use]
    pub fn new(
        inputs: BTreeMap<String, Vec<InputArtifact>>,
        outputs: BTreeMap<String, PathBuf>,
        scratch: PathBuf,
        emitter: Emitter,
    ) -> Self {
        let log = scratch.join("log.txt");
        Self {
            inputs,
            outputs,
            scratch,
            partial: None,
            answers: None,
            log,
            threads: 1,
            device: Device::Cpu,
            emitter,
            cancelled: Arc::default(),
            keep: None,
        }
    }

    /// Sets the file that output of external programs goes to.
    #[must_use]
    pub fn with_log(mut self, log: PathBuf) -> Self {
        self.log = log;
        self
    }

    /// Sets the folder that outlives a killed stage.
    #[must_use]
    pub fn with_partial(mut self, partial: PathBuf) -> Self {
        self.partial = Some(partial);
        self
    }

    /// Sets the folder of answers of models by API.
    #[must_use]
    pub fn with_answers(mut self, answers: PathBuf) -> Self {
        self.answers = Some(answers);
        self
    }

    /// Sets the number of threads the stage may use.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Sets where the stage computes.
    #[must_use]
    pub fn with_device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// Sets the flag that asks the stage to stop.
    #[must_use]
    pub fn with_cancellation(mut self, cancelled: Arc<AtomicBool>) -> Self {
        self.cancelled = cancelled;
        self
    }

    /// Sets what is kept in memory from stage to stage.
    #[must_use]
    pub fn with_keep(mut self, keep: Arc<Keep>) -> Self {
        self.keep = Some(keep);
        self
    }

    /// What is kept in memory from stage to stage; none where every stage starts afresh.
    #[must_use]
    pub fn keep(&self) -> Option<&Keep> {
        self.keep.as_deref()
    }

    /// The single artifact of an input.
    ///
    /// # Errors
    /// If the pipeline connects none or several to it.
    pub fn input(&self, name: &str) -> Result<&InputArtifact, StageError> {
        match self.inputs(name) {
            [artifact] => Ok(artifact),
            others => Err(StageError::input(format!(
                "input `{name}` needs exactly one artifact, the pipeline connects {}",
                others.len()
            ))),
        }
    }

    /// All artifacts of an input, in the pipeline's order; empty if nothing is connected.
    #[must_use]
    pub fn inputs(&self, name: &str) -> &[InputArtifact] {
        self.inputs.get(name).map_or(&[], Vec::as_slice)
    }

    /// All inputs by name.
    #[must_use]
    pub fn all_inputs(&self) -> &BTreeMap<String, Vec<InputArtifact>> {
        &self.inputs
    }

    /// Where the output `name` must be written.
    ///
    /// # Errors
    /// If the kind did not declare it.
    pub fn output(&self, name: &str) -> Result<&Path, StageError> {
        self.outputs
            .get(name)
            .map(PathBuf::as_path)
            .ok_or_else(|| StageError::input(format!("output `{name}` is not declared")))
    }

    /// All declared outputs by name.
    #[must_use]
    pub fn all_outputs(&self) -> &BTreeMap<String, PathBuf> {
        &self.outputs
    }

    /// A directory that exists only while the stage runs.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// A folder of this very stage (same kind, parameters, inputs) that outlives a kill: what an
    /// earlier attempt left is still there. It need not exist; it goes once the stage is done.
    #[must_use]
    pub fn partial(&self) -> Option<&Path> {
        self.partial.as_deref()
    }

    /// The folder in which answers of models by API are kept, for all stages of a store; what was
    /// paid for outlives everything but its owner's wish.
    #[must_use]
    pub fn answers(&self) -> Option<&Path> {
        self.answers.as_deref()
    }

    /// The file for what external programs print; kept when the stage fails.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Threads the stage may use.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Where the stage computes; the processor, on the CPU lane.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// The stage's voice.
    #[must_use]
    pub fn emitter(&self) -> &Emitter {
        &self.emitter
    }

    /// Fails once the run is asked to stop; call it between units of work.
    ///
    /// # Errors
    /// [`StageError::Cancelled`] after the user asked to stop now.
    pub fn check_cancelled(&self) -> Result<(), StageError> {
        if self.is_cancelled() {
            return Err(StageError::Cancelled);
        }
        Ok(())
    }

    /// Whether the run is asked to stop now.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}
