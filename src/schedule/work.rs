//! What happens on a worker thread: verify inputs, run, publish.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use petgraph::graph::NodeIndex;
use serde_json::Value;

use super::process::DeviceProcess;
use super::wire::Request;
use crate::artifact::files::Seen;
use crate::artifact::manifest::{KeyMaterial, Manifest, PEAK_MEMORY};
use crate::artifact::{ArtifactState, StageLock, Store, store};
use crate::base::{Device, Emitter, EventKind, StageKey, clock};
use crate::stage::{
    ErasedStage, Failure, InputArtifact, OutputDeclaration, StageContext, StageError,
};

/// An artifact that a stage will read, with its maker.
#[derive(Debug)]
pub(super) struct WorkInput {
    pub(super) name: String,
    pub(super) artifact: InputArtifact,
    /// The stage that made it; none for a user's file.
    pub(super) maker: Option<NodeIndex>,
    /// The state in which a user's file was hashed.
    pub(super) seen: Option<Seen>,
}

/// Everything a worker needs; owns the stage's lock until the stage is published.
pub(super) struct Work {
    pub(super) id: String,
    pub(super) key: StageKey,
    pub(super) kind: &'static dyn ErasedStage,
    pub(super) params: Value,
    pub(super) material: KeyMaterial,
    pub(super) inputs: Vec<WorkInput>,
    pub(super) outputs: Vec<OutputDeclaration>,
    /// What outlives a killed try.
    pub(super) partial: Option<PathBuf>,
    /// Where answers of models by API are kept.
    pub(super) answers: PathBuf,
    pub(super) threads: usize,
    /// Bytes that process may take.
    pub(super) memory: Option<u64>,
    /// Where it computes.
    pub(super) device: Device,
    /// The process that does the work; without one it is done here.
    pub(super) process: Option<Arc<DeviceProcess>>,
    /// How it came to be done this way, for its manifest.
    pub(super) notes: BTreeMap<String, String>,
    pub(super) emitter: Emitter,
    pub(super) hear: Hear,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) log: PathBuf,
    pub(super) locks: Vec<StageLock>,
}

/// How work ended.
pub(super) enum Outcome {
    /// Published.
    Made(Box<Manifest>),
    /// Inputs' bytes are missing or damaged; their makers have to run again.
    InputsLost(Vec<(NodeIndex, ArtifactState)>),
    /// The stage failed.
    Failed(Failed),
    /// The stage was asked to stop.
    Cancelled,
}

/// A failure in words.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) failure: Failure,
    pub(super) message: String,
    /// The stage's log, if it left one.
    pub(super) log: Option<PathBuf>,
}

impl Failed {
    /// One that would come again.
    pub(super) fn certain(message: String) -> Self {
        Self {
            failure: Failure::Certain,
            message,
            log: None,
        }
    }
}

/// Hears what a stage tells.
pub(super) type Hear = Arc<dyn Fn(EventKind) + Send + Sync>;

pub(super) fn work(work: Work, store: &Store) -> Outcome {
    let outcome = match attempt(&work, store) {
        Ok(outcome) => outcome,
        Err(StageError::Cancelled) => Outcome::Cancelled,
        Err(error) => {
            let log = work.log.exists().then(|| work.log.clone());
            Outcome::Failed(Failed {
                failure: error.failure(),
                message: full_message(&error),
                log,
            })
        }
    };
    // Only now, with the manifest in place, may another runner look.
    drop(work.locks);
    outcome
}

fn attempt(work: &Work, store: &Store) -> Result<Outcome, StageError> {
    let lost = lost_inputs(work, store)?;
    if !lost.is_empty() {
        return Ok(Outcome::InputsLost(lost));
    }
    let scratch = store.scratch().map_err(StageError::other)?;
    let Performed {
        wall_s,
        peak_memory,
    } = perform(work, scratch.path())?;
    let mut notes = work.notes.clone();
    if let Some(bytes) = peak_memory {
        notes.insert(PEAK_MEMORY.to_owned(), bytes.to_string());
    }
    let published: Vec<(String, String, PathBuf)> = work
        .outputs
        .iter()
        .map(|output| {
            (
                output.name.clone(),
                output.file.clone(),
                scratch.path().join(&output.file),
            )
        })
        .collect();
    let manifest = store
        .publish(&work.id, work.material.clone(), &published, wall_s, &notes)
        .map_err(StageError::other)?;
    store.remove_partial(work.key);
    // What a program printed belongs to where its numbers come from; an empty log says nothing.
    if fs::metadata(&work.log).is_ok_and(|log| log.len() == 0) {
        let _ = fs::remove_file(&work.log);
    }
    Ok(Outcome::Made(Box::new(manifest)))
}

/// What a stage took.
pub(super) struct Performed {
    /// Seconds.
    pub(super) wall_s: f64,
    /// Bytes of its device at its highest moment, where it had a process of its own.
    pub(super) peak_memory: Option<u64>,
}

/// Does the work in a folder, whose inputs were looked at.
pub(super) fn perform(work: &Work, scratch: &Path) -> Result<Performed, StageError> {
    let outputs: BTreeMap<String, PathBuf> = work
        .outputs
        .iter()
        .map(|output| (output.name.clone(), scratch.join(&output.file)))
        .collect();
    let mut inputs: BTreeMap<String, Vec<InputArtifact>> = BTreeMap::new();
    for input in &work.inputs {
        inputs
            .entry(input.name.clone())
            .or_default()
            .push(input.artifact.clone());
    }
    let started = clock::now();
    let peak_memory = match &work.process {
        Some(process) => {
            let request = Request {
                id: work.id.clone(),
                kind: work.kind.name().to_owned(),
                params: work.params.clone(),
                inputs,
                outputs,
                scratch: scratch.to_owned(),
                partial: work.partial.clone(),
                log: work.log.clone(),
                threads: work.threads,
                device: work.device,
                memory: work.memory,
            };
            process.run(request, work.hear.as_ref(), &work.stop)?
        }
        None => {
            let folder = scratch.to_owned();
            let mut context = StageContext::new(inputs, outputs, folder, work.emitter.clone())
                .with_log(work.log.clone())
                .with_answers(work.answers.clone())
                .with_threads(work.threads)
                .with_device(work.device)
                .with_cancellation(Arc::clone(&work.stop));
            if let Some(partial) = &work.partial {
                context = context.with_partial(partial.clone());
            }
            catch_unwind(AssertUnwindSafe(|| work.kind.run(&work.params, &context)))
                .unwrap_or_else(|panic| Err(StageError::Panicked(panic_message(panic.as_ref()))))?;
            None
        }
    };
    let wall_s = started.elapsed().as_secs_f64();
    for input in &work.inputs {
        if let Some(changed) = input.seen.as_ref().and_then(Seen::changed) {
            return Err(StageError::input(format!(
                "`{}` changed while the stage was reading it",
                changed.display()
            ))
            .with_help("run the same command again once nothing writes to it"));
        }
    }
    Ok(Performed {
        wall_s,
        peak_memory,
    })
}

pub(super) fn lost_inputs(
    work: &Work,
    store: &Store,
) -> Result<Vec<(NodeIndex, ArtifactState)>, StageError> {
    let mut lost = Vec::new();
    for input in &work.inputs {
        let Some(maker) = input.maker else { continue };
        let state = store
            .check_artifact(input.artifact.digest)
            .map_err(StageError::other)?;
        if state == ArtifactState::Corrupt {
            store
                .quarantine(input.artifact.digest)
                .map_err(StageError::other)?;
        }
        if state != ArtifactState::Intact && !lost.contains(&(maker, state)) {
            lost.push((maker, state));
        }
    }
    Ok(lost)
}

pub(super) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|message| (*message).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}

/// The message with its causes, each said once, and with help where the disk is the cause.
pub(super) fn full_message(error: &StageError) -> String {
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    let mut is_full = false;
    while let Some(cause) = source {
        let text = cause.to_string();
        if !message.contains(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        is_full |= cause.downcast_ref::<io::Error>().is_some_and(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            )
        });
        source = cause.source();
    }
    if is_full && !message.contains("help: ") {
        message.push_str(store::FULL_DISK_HELP);
    }
    message
}
