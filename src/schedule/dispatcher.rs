//! The dispatcher: in-degree counters, ready stages, lanes, locks, failures.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use petgraph::Direction;
use petgraph::graph::NodeIndex;
use rayon::ThreadPool;

use super::forecast::Forecast;
use super::interrupt::Interrupt;
use super::pools::Pools;
use super::worker::{Outcome, Work, WorkInput, work};
use crate::artifact::latest::{self, LatestRecord};
use crate::artifact::manifest::{KeyMaterial, OutputRecord};
use crate::artifact::{ArtifactState, StageLock, Store, StoreError};
use crate::base::{Emitter, EventKind, Lane, StageKey, clock};
use crate::graph::{SourceReference, StageGraph};
use crate::plan::{Plan, Verdict};
use crate::stage::InputArtifact;

/// How to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of the experiment.
    pub experiment: String,
    /// Threads of the CPU lane.
    pub jobs: usize,
    /// Whether to stop at the first failure.
    pub fail_fast: bool,
    /// Where logs of stages go.
    pub logs: PathBuf,
}

/// Where a stage stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeState {
    /// Not wanted by this run.
    Idle,
    /// Waits for others.
    Pending,
    /// Everything it uses is made.
    Ready,
    /// Runs.
    Running,
    /// Its artifacts stand; it did not run here.
    Fresh,
    /// It ran here and its artifacts stand.
    Made,
    /// It failed.
    Failed,
    /// Something it needs failed.
    Skipped,
    /// It was left undone after an interruption.
    Cancelled,
}

/// How a run ended.
#[derive(Debug, Clone, Default)]
pub struct RunSummary {
    /// How many stages ran here.
    pub ran: usize,
    /// How many were fresh, before or on the way.
    pub fresh: usize,
    /// Failed stages with their messages and logs.
    pub failed: Vec<(String, String, Option<PathBuf>)>,
    /// How many were skipped because of a failure.
    pub skipped: usize,
    /// How many were left undone after an interruption.
    pub cancelled: usize,
    /// Seconds from start to end.
    pub wall_s: f64,
}

enum Message {
    Event(EventKind),
    Done {
        node: NodeIndex,
        threads: usize,
        pool: Arc<ThreadPool>,
        outcome: Box<Outcome>,
    },
    Interrupted,
}

/// A stage waiting for a place on its lane; the longest remaining path goes first.
#[derive(Debug, PartialEq)]
struct Waiting {
    rank: f64,
    node: NodeIndex,
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank
            .total_cmp(&other.rank)
            .then_with(|| other.node.cmp(&self.node))
    }
}

/// How long to wait before looking again at stages another runner is making.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How long stages may take to stop after the second Ctrl-C.
const PATIENCE: Duration = Duration::from_secs(5);

/// A damaged artifact sends its maker back to work this often at most.
const MOST_RERUNS: u32 = 2;

struct Dispatcher<'r, 'g> {
    graph: &'g StageGraph,
    plan: &'r mut Plan<'g>,
    store: Arc<Store>,
    options: &'r Options,
    interrupt: &'r Interrupt,
    sink: &'r mut dyn FnMut(EventKind),
    sender: Sender<Message>,
    states: Vec<NodeState>,
    missing: Vec<usize>,
    waiters: Vec<Vec<NodeIndex>>,
    must_run: Vec<bool>,
    reruns: Vec<u32>,
    ranks: Vec<f64>,
    forecast: Forecast,
    ready: Vec<NodeIndex>,
    cpu: BinaryHeap<Waiting>,
    accelerator: BinaryHeap<Waiting>,
    elsewhere: Vec<NodeIndex>,
    pools: Pools,
    free_threads: usize,
    accelerator_busy: bool,
    running: BTreeSet<NodeIndex>,
    stopping: bool,
    summary: RunSummary,
}

/// Runs what a plan needs.
///
/// # Errors
/// If the store fails in a way that is not one stage's own.
pub fn run<'g>(
    graph: &'g StageGraph,
    plan: &mut Plan<'g>,
    store: &Arc<Store>,
    options: &Options,
    interrupt: &Interrupt,
    sink: &mut dyn FnMut(EventKind),
) -> Result<RunSummary, StoreError> {
    let started = clock::now();
    let (sender, receiver) = channel();
    let count = graph.graph.node_count();
    let ranks = ranks(graph, plan);
    sink(EventKind::RunStarted {
        experiment: options.experiment.clone(),
        stages: plan.reachable_count(),
        fresh: plan.fresh_count(),
        to_run: plan.needed_count(),
        estimate_s: plan.estimate_s(options.jobs),
    });
    let wake = sender.clone();
    interrupt.listen(Box::new(move || {
        let _ = wake.send(Message::Interrupted);
    }));
    let mut dispatcher = Dispatcher {
        graph,
        store: Arc::clone(store),
        options,
        interrupt,
        sink,
        sender,
        states: vec![NodeState::Idle; count],
        missing: vec![0; count],
        waiters: vec![Vec::new(); count],
        must_run: vec![false; count],
        reruns: vec![0; count],
        ranks,
        forecast: Forecast::new(graph, plan, options.jobs),
        ready: Vec::new(),
        cpu: BinaryHeap::new(),
        accelerator: BinaryHeap::new(),
        elsewhere: Vec::new(),
        pools: Pools::default(),
        free_threads: options.jobs.max(1),
        accelerator_busy: false,
        running: BTreeSet::new(),
        stopping: false,
        summary: RunSummary::default(),
        plan,
    };
    dispatcher.start();
    dispatcher.drain(&receiver)?;
    let mut summary = dispatcher.finish();
    summary.wall_s = started.elapsed().as_secs_f64();
    sink(EventKind::RunFinished {
        ran: summary.ran,
        fresh: summary.fresh,
        failed: summary.failed.len(),
        skipped: summary.skipped,
        cancelled: summary.cancelled,
        wall_s: summary.wall_s,
    });
    Ok(summary)
}

/// Seconds from the start of each stage to the end of the longest chain that needs it.
fn ranks(graph: &StageGraph, plan: &Plan<'_>) -> Vec<f64> {
    let mut ranks = vec![0.0_f64; graph.graph.node_count()];
    for node in graph.order.iter().rev() {
        let below = graph
            .graph
            .neighbors_directed(*node, Direction::Outgoing)
            .map(|user| ranks[user.index()])
            .fold(0.0, f64::max);
        // Where nothing is known, a chain's length in stages decides.
        ranks[node.index()] = below + plan.estimates[node.index()].unwrap_or(1.0).max(1e-3);
    }
    ranks
}

impl Dispatcher<'_, '_> {
    fn start(&mut self) {
        let mut records = Vec::new();
        for node in self.graph.order.clone() {
            let index = node.index();
            if !self.plan.reachable[index] {
                continue;
            }
            if let Verdict::Fresh { key } = self.plan.verdicts[index] {
                self.states[index] = NodeState::Fresh;
                let id = &self.graph.graph[node].id;
                if self.plan.latest.get(id).map(|record| record.key) != Some(key) {
                    let wall_s = self
                        .store
                        .summary(key)
                        .ok()
                        .flatten()
                        .map_or(0.0, |summary| summary.wall_s);
                    records.push(LatestRecord {
                        stage: id.clone(),
                        key,
                        wall_s,
                    });
                }
            }
        }
        self.remember(&records);
        for target in self.graph.targets.clone() {
            if self.plan.needed[target.index()] {
                if self.states[target.index()] == NodeState::Fresh {
                    self.must_run[target.index()] = true;
                }
                self.demand(target);
            }
        }
    }

    fn remember(&self, records: &[LatestRecord]) {
        let path = self.store.latest_path(&self.options.experiment);
        // Losing an explanation must not fail a run.
        let _ = latest::append(&path, records);
    }

    /// Wants a stage made; counts what it still waits for.
    fn demand(&mut self, first: NodeIndex) {
        let mut stack = vec![first];
        while let Some(node) = stack.pop() {
            let index = node.index();
            let again = matches!(self.states[index], NodeState::Fresh | NodeState::Made)
                && self.must_run[index];
            if self.states[index] != NodeState::Idle && !again {
                continue;
            }
            self.states[index] = NodeState::Pending;
            let makers: Vec<NodeIndex> = crate::plan::makers(self.graph, node).collect();
            let mut missing = 0;
            for maker in makers {
                match self.states[maker.index()] {
                    NodeState::Fresh | NodeState::Made if !self.must_run[maker.index()] => {}
                    NodeState::Failed | NodeState::Skipped | NodeState::Cancelled => {
                        self.skip(node, maker);
                        missing = usize::MAX;
                        break;
                    }
                    _ => {
                        missing += 1;
                        self.waiters[maker.index()].push(node);
                        stack.push(maker);
                    }
                }
            }
            if missing == usize::MAX {
                continue;
            }
            self.missing[index] = missing;
            if missing == 0 {
                self.states[index] = NodeState::Ready;
                self.ready.push(node);
            }
        }
    }

    fn drain(&mut self, receiver: &Receiver<Message>) -> Result<(), StoreError> {
        let mut asked_at = None;
        loop {
            self.settle_ready()?;
            self.look_elsewhere()?;
            self.dispatch()?;
            if !self.ready.is_empty() {
                continue;
            }
            let nothing_left = self.running.is_empty()
                && (self.stopping
                    || (self.cpu.is_empty()
                        && self.accelerator.is_empty()
                        && self.elsewhere.is_empty()));
            if nothing_left {
                // Events that workers sent before their last message are read by now.
                return Ok(());
            }
            let waits_elsewhere = !self.elsewhere.is_empty() || self.running.is_empty();
            let message = if waits_elsewhere || asked_at.is_some() {
                match receiver.recv_timeout(LOOK_AGAIN) {
                    Ok(message) => Some(message),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return Ok(()),
                }
            } else {
                receiver.recv().ok()
            };
            if let Some(message) = message {
                self.receive(message);
            }
            while let Ok(message) = receiver.try_recv() {
                self.receive(message);
            }
            if self.interrupt.presses() >= 2 {
                let since = asked_at.get_or_insert_with(clock::now);
                if since.elapsed() > PATIENCE {
                    return Ok(());
                }
            }
        }
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::Event(kind) => (self.sink)(kind),
            Message::Interrupted => {
                self.stopping = true;
                let message = if self.interrupt.presses() >= 2 {
                    "stopping now".to_owned()
                } else {
                    format!(
                        "finishing the {} running stage(s), then stopping; press Ctrl-C again to \
                         stop now",
                        self.running.len()
                    )
                };
                (self.sink)(EventKind::Warned {
                    stage: None,
                    message,
                });
            }
            Message::Done {
                node,
                threads,
                pool,
                outcome,
            } => {
                self.running.remove(&node);
                self.pools.give_back(threads, pool);
                match self.graph.graph[node].lane {
                    Lane::Cpu => self.free_threads += threads,
                    Lane::Accelerator => self.accelerator_busy = false,
                }
                self.ended(node, *outcome);
            }
        }
    }

    fn ended(&mut self, node: NodeIndex, outcome: Outcome) {
        let id = self.graph.graph[node].id.clone();
        match outcome {
            Outcome::Made(manifest) => {
                self.remember(&[LatestRecord {
                    stage: id.clone(),
                    key: manifest.key,
                    wall_s: manifest.wall_s,
                }]);
                self.summary.ran += 1;
                let template = &self.graph.graph[node].template;
                self.forecast.done(template, Some(manifest.wall_s));
                (self.sink)(EventKind::StageFinished {
                    stage: id,
                    key: manifest.key.hex(),
                    wall_s: manifest.wall_s,
                    remaining_s: self.forecast.remaining_s(),
                });
                self.made(node, manifest.outputs, NodeState::Made);
            }
            Outcome::InputsLost(lost) => self.lost(node, &lost),
            Outcome::Failed(message, log) => self.failed(node, message, log),
            Outcome::Cancelled => {
                self.states[node.index()] = NodeState::Cancelled;
                (self.sink)(EventKind::StageCancelled { stage: id });
            }
        }
    }

    fn made(&mut self, node: NodeIndex, outputs: Vec<OutputRecord>, state: NodeState) {
        let index = node.index();
        self.plan.keys.set(node, outputs);
        self.states[index] = state;
        self.must_run[index] = false;
        for waiter in std::mem::take(&mut self.waiters[index]) {
            let missing = &mut self.missing[waiter.index()];
            *missing = missing.saturating_sub(1);
            if *missing == 0 && self.states[waiter.index()] == NodeState::Pending {
                self.states[waiter.index()] = NodeState::Ready;
                self.ready.push(waiter);
            }
        }
    }

    /// Sends the makers of missing or damaged bytes back to work.
    fn lost(&mut self, node: NodeIndex, lost: &[(NodeIndex, ArtifactState)]) {
        for (maker, state) in lost {
            let index = maker.index();
            self.reruns[index] += 1;
            if self.reruns[index] > MOST_RERUNS {
                let message = format!(
                    "`{}` was made {MOST_RERUNS} times and its artifacts were damaged or gone each \
                     time; check the disk of the store",
                    self.graph.graph[*maker].id
                );
                self.failed(node, message, None);
                return;
            }
            if *state == ArtifactState::Corrupt {
                (self.sink)(EventKind::Warned {
                    stage: Some(self.graph.graph[*maker].id.clone()),
                    message: "the bytes of an artifact no longer matched its digest; it was moved \
                              to quarantine and is made again"
                        .to_owned(),
                });
            }
            let can_rerun = matches!(
                self.states[index],
                NodeState::Fresh | NodeState::Made | NodeState::Idle
            );
            if can_rerun {
                self.must_run[index] = true;
            }
        }
        self.states[node.index()] = NodeState::Idle;
        let forced = self.must_run[node.index()];
        self.must_run[node.index()] = forced;
        self.demand(node);
    }

    fn failed(&mut self, node: NodeIndex, message: String, log: Option<PathBuf>) {
        let id = self.graph.graph[node].id.clone();
        self.states[node.index()] = NodeState::Failed;
        (self.sink)(EventKind::StageFailed {
            stage: id.clone(),
            message: message.clone(),
            log: log.as_ref().map(|log| log.display().to_string()),
        });
        self.summary.failed.push((id, message, log));
        if self.options.fail_fast {
            self.stopping = true;
        }
        let waiters = std::mem::take(&mut self.waiters[node.index()]);
        for waiter in waiters {
            self.skip(waiter, node);
        }
    }

    fn skip(&mut self, first: NodeIndex, because: NodeIndex) {
        let because_id = self.graph.graph[because].id.clone();
        let mut stack = vec![first];
        while let Some(node) = stack.pop() {
            let state = &mut self.states[node.index()];
            if !matches!(state, NodeState::Pending | NodeState::Idle) {
                continue;
            }
            *state = NodeState::Skipped;
            self.summary.skipped += 1;
            (self.sink)(EventKind::StageSkipped {
                stage: self.graph.graph[node].id.clone(),
                because: because_id.clone(),
            });
            stack.extend(std::mem::take(&mut self.waiters[node.index()]));
        }
    }

    /// Ready stages whose manifest exists are fresh; the others queue for their lane.
    fn settle_ready(&mut self) -> Result<(), StoreError> {
        while let Some(node) = self.ready.pop() {
            if self.fresh_by_now(node, "same inputs as before")? {
                continue;
            }
            self.queue(node);
        }
        Ok(())
    }

    fn queue(&mut self, node: NodeIndex) {
        let waiting = Waiting {
            rank: self.ranks[node.index()],
            node,
        };
        match self.graph.graph[node].lane {
            Lane::Cpu => self.cpu.push(waiting),
            Lane::Accelerator => self.accelerator.push(waiting),
        }
    }

    fn fresh_by_now(&mut self, node: NodeIndex, because: &str) -> Result<bool, StoreError> {
        if self.must_run[node.index()] {
            return Ok(false);
        }
        let Some(material) = self.plan.keys.material(node) else {
            return Ok(false);
        };
        let key = material.key();
        let Some(summary) = self.store.summary(key)? else {
            return Ok(false);
        };
        let id = self.graph.graph[node].id.clone();
        self.remember(&[LatestRecord {
            stage: id.clone(),
            key,
            wall_s: summary.wall_s,
        }]);
        self.summary.fresh += 1;
        self.forecast.done(&self.graph.graph[node].template, None);
        (self.sink)(EventKind::StageFresh {
            stage: id,
            because: because.to_owned(),
        });
        self.made(node, summary.outputs, NodeState::Fresh);
        Ok(true)
    }

    /// Looks again at stages that another runner is making.
    fn look_elsewhere(&mut self) -> Result<(), StoreError> {
        for node in std::mem::take(&mut self.elsewhere) {
            if self.fresh_by_now(node, "made by another runner")? {
                continue;
            }
            self.queue(node);
        }
        Ok(())
    }

    fn dispatch(&mut self) -> Result<(), StoreError> {
        if self.stopping {
            return Ok(());
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
            self.launch(node, threads, Vec::new())?;
        }
        if !self.accelerator_busy
            && let Some(Waiting { node, .. }) = self.accelerator.pop()
        {
            // One runner at a time on the device, also among runners that share a store.
            match self.store.try_lock_lane("accelerator-0")? {
                Some(lane) => {
                    let threads = self.graph.graph[node].threads;
                    self.launch(node, threads, vec![lane])?;
                }
                None => self.elsewhere.push(node),
            }
        }
        Ok(())
    }

    fn launch(
        &mut self,
        node: NodeIndex,
        threads: usize,
        mut locks: Vec<StageLock>,
    ) -> Result<(), StoreError> {
        let Some(material) = self.plan.keys.material(node) else {
            self.failed(
                node,
                "an input was never made; this is a bug in runner, please report it".to_owned(),
                None,
            );
            return Ok(());
        };
        let key = material.key();
        match self.store.try_lock(key)? {
            Some(lock) => locks.push(lock),
            None => {
                self.elsewhere.push(node);
                return Ok(());
            }
        }
        // Another runner may have finished it between our last look and our lock.
        if self.fresh_by_now(node, "made by another runner")? {
            return Ok(());
        }
        let pool = match self.pools.take(threads) {
            Ok(pool) => pool,
            Err(error) => {
                self.failed(
                    node,
                    format!("cannot start {threads} threads: {error}"),
                    None,
                );
                return Ok(());
            }
        };
        let work_item = self.work(node, key, material, threads, locks);
        let stage = &self.graph.graph[node];
        (self.sink)(EventKind::StageStarted {
            stage: stage.id.clone(),
            lane: stage.lane,
        });
        match stage.lane {
            Lane::Cpu => self.free_threads -= threads,
            Lane::Accelerator => self.accelerator_busy = true,
        }
        self.states[node.index()] = NodeState::Running;
        self.running.insert(node);
        let sender = self.sender.clone();
        let store = Arc::clone(&self.store);
        let own = Arc::clone(&pool);
        pool.spawn(move || {
            let outcome = Box::new(work(work_item, &store));
            let _ = sender.send(Message::Done {
                node,
                threads,
                pool: own,
                outcome,
            });
        });
        Ok(())
    }

    fn work(
        &self,
        node: NodeIndex,
        key: StageKey,
        material: KeyMaterial,
        threads: usize,
        locks: Vec<StageLock>,
    ) -> Work {
        let stage = &self.graph.graph[node];
        let mut inputs = Vec::new();
        for input in &stage.inputs {
            for source in &input.sources {
                let axes: BTreeMap<String, String> = source.axes.clone();
                match &source.from {
                    SourceReference::Output { node, output } => {
                        if let Some(record) = self.plan.keys.output(*node, *output) {
                            inputs.push(WorkInput {
                                name: input.name.clone(),
                                artifact: InputArtifact {
                                    path: self.store.artifact_path(record.digest),
                                    digest: record.digest,
                                    axes,
                                    origin: crate::plan::reason::origin(self.graph, *node, *output),
                                },
                                maker: Some(*node),
                                seen: None,
                            });
                        }
                    }
                    SourceReference::File { path, files } => {
                        if let Some(seen) = self.plan.keys.file(path, files) {
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
        }
        let sender = self.sender.clone();
        let emitter = Emitter::new(
            &stage.id,
            Arc::new(move |kind| {
                let _ = sender.send(Message::Event(kind));
            }),
        );
        Work {
            id: stage.id.clone(),
            kind: stage.kind,
            params: stage.params.clone(),
            material,
            inputs,
            outputs: stage.outputs.clone(),
            threads,
            emitter,
            stop: self.interrupt.stop_flag(),
            log: self.options.logs.join(format!("{}.log", key.short())),
            locks,
        }
    }

    fn finish(&mut self) -> RunSummary {
        let mut cancelled = 0;
        for (index, state) in self.states.iter().enumerate() {
            let undone = matches!(
                state,
                NodeState::Pending | NodeState::Ready | NodeState::Running | NodeState::Cancelled
            );
            if undone {
                cancelled += 1;
            }
            if *state == NodeState::Fresh && !self.plan.needed[index] {
                self.summary.fresh += 1;
            }
        }
        self.summary.cancelled = cancelled;
        std::mem::take(&mut self.summary)
    }
}
