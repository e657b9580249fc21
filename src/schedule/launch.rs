//! From ready to running: what is fresh after all, lanes, locks, and the hand-over to a thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use petgraph::graph::NodeIndex;

use super::dispatcher::{Dispatcher, Message, NodeState, Running, Waiting};
use super::tries::Chosen;
use super::work::{Failed, Hear, Outcome, Work, WorkInput, panic_message, work};
use crate::artifact::latest::LatestRecord;
use crate::artifact::{StageLock, Store};
use crate::base::{Device, Digest, Emitter, EventKind, Lane, StageKey, clock};
use crate::graph::{SourceReference, StageGraph};
use crate::plan::Plan;
use crate::stage::InputArtifact;

/// Why a stage needs no run although it was expected to.
const SAME_INPUTS: &str = "same inputs as before";
const ANOTHER_RUNNER: &str = "made by another runner";

/// The input that takes longest to load.
pub(super) const BACKBONE: &str = "backbone";

const NEVER_MADE: &str = "an input was never made; this is a bug in runner, please report it";

impl Dispatcher<'_, '_> {
    /// Ready stages whose manifest exists are fresh; the others queue for their lane.
    pub(super) fn settle_ready(&mut self) {
        while let Some(node) = self.ready.pop() {
            if !self.settled(node, SAME_INPUTS) {
                self.queue(node);
            }
        }
    }

    pub(super) fn queue(&mut self, node: NodeIndex) {
        let waiting = Waiting {
            rank: self.ranks[node.index()],
            node,
        };
        match self.graph.graph[node].lane {
            Lane::Cpu => self.cpu.push(waiting),
            Lane::Accelerator => {
                let backbone = self.backbone(node);
                self.accelerator.push(waiting, backbone);
            }
        }
    }

    /// What a stage would load into the accelerator's memory.
    fn backbone(&self, node: NodeIndex) -> Option<Digest> {
        let mut inputs = self.graph.graph[node].inputs.iter();
        let input = inputs.find(|input| input.name == BACKBONE)?;
        match &input.sources.first()?.from {
            SourceReference::Output { node, output } => {
                Some(self.plan.keys.output(*node, *output)?.digest)
            }
            SourceReference::File { path, files } => Some(self.plan.keys.file(path, files)?.digest),
        }
    }

    /// Whether nothing is left to do for a stage: its manifest stands, or the store cannot say.
    pub(super) fn settled(&mut self, node: NodeIndex, because: &str) -> bool {
        if self.must_run[node.index()] {
            return false;
        }
        let Some(key) = self.plan.keys.key(node) else {
            return false;
        };
        self.settled_as(node, key, because)
    }

    fn settled_as(&mut self, node: NodeIndex, key: StageKey, because: &str) -> bool {
        if self.must_run[node.index()] {
            return false;
        }
        let summary = match self.store.summary(key) {
            Ok(Some(summary)) if self.plan.keys.lacking(node, &summary.outputs).is_none() => {
                summary
            }
            Ok(_) => return false,
            Err(error) => {
                self.failed(node, error.to_string(), None);
                return true;
            }
        };
        let stage = &self.graph.graph[node];
        self.summary.fresh += 1;
        self.forecast.done(&stage.template, None);
        (self.sink)(EventKind::StageFresh {
            stage: stage.id.clone(),
            because: because.to_owned(),
        });
        self.remember(&[LatestRecord {
            stage: stage.id.clone(),
            key,
            wall_s: summary.wall_s,
            outputs: summary.outputs.clone(),
        }]);
        self.made(node, summary.outputs, NodeState::Fresh);
        true
    }

    /// Looks again at stages that another runner is making.
    pub(super) fn look_elsewhere(&mut self) {
        let due = self.look_at.is_none_or(|(at, _)| at <= clock::now());
        if self.elsewhere.is_empty() || !due || self.stopping {
            return;
        }
        let mut something_changed = false;
        for node in std::mem::take(&mut self.elsewhere) {
            if self.settled(node, ANOTHER_RUNNER) {
                something_changed = true;
            } else {
                self.queue(node);
            }
        }
        self.look_later(something_changed);
    }

    pub(super) fn dispatch(&mut self) {
        if self.stopping {
            return;
        }
        while self.free_threads > 0 {
            let Some(Waiting { node, .. }) = self.cpu.peek() else {
                break;
            };
            let node = *node;
            let threads = self.graph.graph[node].threads.min(self.options.jobs.max(1));
            if threads > self.free_threads {
                break;
            }
            self.cpu.pop();
            self.launch(node, threads, None, Vec::new());
        }
        let mut held_elsewhere = false;
        for device in 0..self.devices.len() {
            while !self.devices[device].busy && !self.stopping && !self.accelerator.is_empty() {
                // One runner at a time on a device, also among runners that share a store.
                match self.store.try_lock_lane(&self.devices[device].lock()) {
                    Ok(Some(lane)) => {
                        let Some(Waiting { node, .. }) = self.accelerator.pop(device) else {
                            break;
                        };
                        let own = self.graph.graph[node].threads;
                        let jobs = self.options.jobs.max(1);
                        let threads = self.devices[device].threads(own, jobs);
                        self.launch(node, threads, Some(device), vec![lane]);
                    }
                    Ok(None) => {
                        held_elsewhere = true;
                        break;
                    }
                    Err(error) => {
                        let Some(Waiting { node, .. }) = self.accelerator.pop(device) else {
                            break;
                        };
                        self.failed(node, error.to_string(), None);
                    }
                }
            }
        }
        if held_elsewhere && !self.devices.iter().any(|device| device.busy) {
            // Nothing here will end and let us look again.
            while let Some(Waiting { node, .. }) = self.accelerator.pop(0) {
                self.wait_elsewhere(node);
            }
        }
    }

    fn wait_elsewhere(&mut self, node: NodeIndex) {
        if self.elsewhere.is_empty() && self.look_at.is_none_or(|(at, _)| at <= clock::now()) {
            self.look_later(true);
        }
        self.elsewhere.push(node);
    }

    fn launch(
        &mut self,
        node: NodeIndex,
        threads: usize,
        device: Option<usize>,
        mut locks: Vec<StageLock>,
    ) {
        let Some(key) = self.plan.keys.key(node) else {
            self.failed(node, NEVER_MADE.to_owned(), None);
            return;
        };
        if let Some(twins) = self.twins.get_mut(&key) {
            // Another stage of this run makes the very same; its end wakes this one.
            twins.push(node);
            return;
        }
        match self.store.try_lock(key) {
            Ok(Some(lock)) => locks.push(lock),
            Ok(None) => {
                self.wait_elsewhere(node);
                return;
            }
            Err(error) => {
                self.failed(node, error.to_string(), None);
                return;
            }
        }
        // Another runner may have finished it between our last look and our lock.
        if self.settled_as(node, key, ANOTHER_RUNNER) {
            return;
        }
        let hand = match self.crew.take(threads) {
            Ok(hand) => hand,
            Err(error) => {
                let message = format!("cannot start {threads} threads: {error}");
                self.failed(node, message, None);
                return;
            }
        };
        let stop = Arc::new(AtomicBool::new(false));
        let chosen = self.chosen(node);
        let lighter = chosen.lighter;
        let place = (threads, device);
        let Some(work_item) = self.work(node, key, place, (chosen, Arc::clone(&stop)), locks)
        else {
            self.failed(node, NEVER_MADE.to_owned(), None);
            return;
        };
        let sender = self.sender.clone();
        let store = Arc::clone(&self.store);
        let started = hand.start(Box::new(move || {
            // A stage's own panics are caught closer to it; this is for ours.
            let outcome = catch_unwind(AssertUnwindSafe(|| work(work_item, &store)))
                .unwrap_or_else(|panic| {
                    let message = panic_message(panic.as_ref());
                    Outcome::Failed(Failed::certain(format!("the runner panicked: {message}")))
                });
            // Let go of the store before the dispatcher hears of the end.
            drop(store);
            let _ = sender.send(Message::Done { node, outcome });
        }));
        if !started {
            self.failed(node, "the thread for it is gone".to_owned(), None);
            return;
        }
        let stage = &self.graph.graph[node];
        (self.sink)(EventKind::StageStarted {
            stage: stage.id.clone(),
            lane: stage.lane,
        });
        match device {
            None => self.free_threads -= threads,
            Some(device) => self.devices[device].busy = true,
        }
        self.states[node.index()] = NodeState::Running;
        self.twins.insert(key, Vec::new());
        let now = clock::now();
        let running = Running {
            key,
            threads,
            device,
            hand,
            stop,
            started: now,
            heard: now,
            given_up: None,
            lighter,
        };
        self.running.insert(node, running);
    }

    fn work(
        &self,
        node: NodeIndex,
        key: StageKey,
        (threads, device): (usize, Option<usize>),
        (chosen, stop): (Chosen, Arc<AtomicBool>),
        locks: Vec<StageLock>,
    ) -> Option<Work> {
        let stage = &self.graph.graph[node];
        let material = self.plan.keys.material(node)?;
        let inputs = inputs_of(self.graph, self.plan, &self.store, node)?;
        let sender = self.sender.clone();
        let hear: Hear = Arc::new(move |kind| {
            let _ = sender.send(Message::Event { node, kind });
        });
        let device = device.and_then(|device| self.devices.get(device));
        let process = device.and_then(|device| device.process.clone());
        Some(Work {
            id: stage.id.clone(),
            key,
            kind: stage.kind,
            params: chosen.params,
            material,
            inputs,
            outputs: stage.outputs.clone(),
            partial: Some(self.store.partial_folder(key)),
            answers: self.store.answers_folder(),
            threads,
            memory: stage.limits.memory,
            device: device.map_or(Device::Cpu, |device| device.device_for(stage.lane)),
            process: process.filter(|_| !stage.kind.has_own_process()),
            notes: chosen.notes,
            emitter: Emitter::new(&stage.id, Arc::clone(&hear)),
            hear,
            stop,
            log: self.options.logs.join(format!("{}.log", key.short())),
            locks,
        })
    }
}

/// What a stage reads, where it lies; `None` if an input was never made.
pub(super) fn inputs_of(
    graph: &StageGraph,
    plan: &Plan<'_>,
    store: &Store,
    node: NodeIndex,
) -> Option<Vec<WorkInput>> {
    let mut inputs = Vec::new();
    for input in &graph.graph[node].inputs {
        for source in &input.sources {
            let axes = source.axes.clone();
            match &source.from {
                SourceReference::Output { node, output } => {
                    let record = plan.keys.output(*node, *output)?;
                    inputs.push(WorkInput {
                        name: input.name.clone(),
                        artifact: InputArtifact {
                            path: store.artifact_path(record.digest),
                            digest: record.digest,
                            axes,
                            origin: crate::plan::reason::origin(graph, *node, *output),
                        },
                        maker: Some(*node),
                        seen: None,
                    });
                }
                SourceReference::File { path, files } => {
                    let seen = plan.keys.file(path, files)?;
                    inputs.push(WorkInput {
                        name: input.name.clone(),
                        artifact: InputArtifact {
                            path: PathBuf::from(path),
                            digest: seen.digest,
                            axes,
                            origin: path.clone(),
                        },
                        maker: None,
                        seen: Some(seen.clone()),
                    });
                }
            }
        }
    }
    Some(inputs)
}
