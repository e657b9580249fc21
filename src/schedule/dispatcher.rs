//! The dispatcher: in-degree counters, ready stages, lanes, locks, failures.

use std::collections::{BTreeMap, BinaryHeap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use petgraph::Direction;
use petgraph::graph::NodeIndex;
use serde_json::Value;

use super::crew::{Crew, Hand};
use super::device_queue::DeviceQueue;
use super::forecast::Forecast;
use super::interrupt::Interrupt;
use super::process::{DeviceProcess, WorkerCommand};
use super::shape;
use super::tries::Tries;
use super::work::{Failed, Outcome};
use crate::artifact::Store;
use crate::artifact::latest::{Appender, LatestRecord};
use crate::base::{Device, EventKind, Lane, StageKey, clock};
use crate::graph::StageGraph;
use crate::plan::Plan;
use crate::stage::Failure;

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
    /// How to start the process that does the stages of the accelerator lane; without one they
    /// are done here.
    pub worker: Option<WorkerCommand>,
    /// Where stages of the accelerator lane compute, one at a time on each.
    pub devices: Vec<Device>,
    /// Stages that do not run with the parameters of the graph.
    pub fitted: BTreeMap<NodeIndex, Fitted>,
}

/// A device with its process.
pub(super) struct DeviceLane {
    device: Device,
    /// None where stages are done in this process.
    pub(super) process: Option<Arc<DeviceProcess>>,
    pub(super) busy: bool,
}

impl DeviceLane {
    pub(super) fn new(device: Device, options: &Options) -> Self {
        let start = |command| Arc::new(DeviceProcess::new(command, &options.logs, device));
        Self {
            device,
            process: options.worker.clone().map(start),
            busy: false,
        }
    }

    /// The name of the lock that runners on one store share.
    pub(super) fn lock(&self) -> String {
        match self.device {
            Device::Cpu => "accelerator-0".to_owned(),
            Device::Cuda(ordinal) => format!("accelerator-cuda-{ordinal}"),
        }
    }

    /// Where a stage of a lane computes.
    pub(super) fn device_for(&self, lane: Lane) -> Device {
        match lane {
            Lane::Cpu => Device::Cpu,
            Lane::Accelerator => self.device,
        }
    }

    /// Threads for a stage: where the accelerator is the processor, a stage has all of it.
    pub(super) fn threads(&self, own: usize, jobs: usize) -> usize {
        match self.device {
            Device::Cpu => own.max(jobs),
            Device::Cuda(_) => own,
        }
    }
}

/// Parameters of a stage that make it fit into memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// All its parameters; they lead to the same key.
    pub params: Value,
    /// What is changed, in words.
    pub words: String,
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

pub(super) enum Message {
    Event { node: NodeIndex, kind: EventKind },
    Done { node: NodeIndex, outcome: Outcome },
    Interrupted,
}

/// A stage that runs.
pub(super) struct Running {
    pub(super) key: StageKey,
    pub(super) threads: usize,
    /// Which of the devices it has.
    pub(super) device: Option<usize>,
    pub(super) hand: Hand,
    /// Asks it to stop.
    pub(super) stop: Arc<AtomicBool>,
    pub(super) started: Instant,
    /// When it last gave a sign of life.
    pub(super) heard: Instant,
    /// Why it is to stop although nobody asked for that.
    pub(super) given_up: Option<(Failure, String)>,
    /// How many times less memory it takes than it would by itself.
    pub(super) lighter: u32,
}

/// A stage waiting for a place on its lane; the longest remaining path goes first.
#[derive(Debug, PartialEq)]
pub(super) struct Waiting {
    pub(super) rank: f64,
    pub(super) node: NodeIndex,
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

/// How long to wait before looking again at stages another runner is making, at first and at
/// most: another runner cannot wake this one, and stages take from milliseconds to hours.
const LOOK_AGAIN: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(50)];

/// How often to look whether stages have stopped after the second Ctrl-C.
const LOOK_STOPPED: Duration = Duration::from_millis(50);

/// How long stages may take to stop after the second Ctrl-C.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct Dispatcher<'r, 'g> {
    pub(super) graph: &'g StageGraph,
    pub(super) plan: &'r mut Plan<'g>,
    pub(super) store: Arc<Store>,
    pub(super) options: &'r Options,
    pub(super) interrupt: &'r Interrupt,
    pub(super) sink: &'r mut dyn FnMut(EventKind),
    pub(super) sender: Sender<Message>,
    pub(super) states: Vec<NodeState>,
    /// How many makers a pending stage still waits for.
    pub(super) missing: Vec<usize>,
    /// Who waits for a stage.
    pub(super) waiters: Vec<Vec<NodeIndex>>,
    /// Stages that run although their manifest stands: their bytes are gone.
    pub(super) must_run: Vec<bool>,
    pub(super) reruns: Vec<u32>,
    pub(super) ranks: Vec<f64>,
    pub(super) forecast: Forecast,
    pub(super) ready: Vec<NodeIndex>,
    pub(super) cpu: BinaryHeap<Waiting>,
    pub(super) accelerator: DeviceQueue,
    /// The devices of the accelerator lane; one at least.
    pub(super) devices: Vec<DeviceLane>,
    pub(super) tries: Tries,
    /// Stages that another runner is making.
    pub(super) elsewhere: Vec<NodeIndex>,
    /// When to look at those again, and how long to wait after that.
    pub(super) look_at: Option<(Instant, Duration)>,
    pub(super) crew: Crew,
    pub(super) free_threads: usize,
    pub(super) running: BTreeMap<NodeIndex, Running>,
    /// Keys that stages of this run are making, with the stages that turned out to have the same
    /// key and wait for it.
    pub(super) twins: BTreeMap<StageKey, Vec<NodeIndex>>,
    pub(super) latest: Appender,
    pub(super) stopping: bool,
    pub(super) summary: RunSummary,
}

/// Runs what a plan needs. Whatever goes wrong, a full disk included, is the failure of the stage
/// it happened to: what runs beside it goes on, and its work is kept.
pub fn run<'g>(
    graph: &'g StageGraph,
    plan: &mut Plan<'g>,
    store: &Arc<Store>,
    options: &Options,
    interrupt: &Interrupt,
    sink: &mut dyn FnMut(EventKind),
) -> RunSummary {
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
        program: format!("runner {}", env!("CARGO_PKG_VERSION")),
        templates: shape::templates(graph, plan),
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
        accelerator: DeviceQueue::default(),
        devices: {
            let named = options.devices.iter().copied();
            let lanes = named.map(|device| DeviceLane::new(device, options));
            let lanes: Vec<DeviceLane> = lanes.collect();
            if lanes.is_empty() {
                vec![DeviceLane::new(Device::Cpu, options)]
            } else {
                lanes
            }
        },
        tries: Tries::default(),
        elsewhere: Vec::new(),
        look_at: None,
        crew: Crew::default(),
        free_threads: options.jobs.max(1),
        running: BTreeMap::new(),
        twins: BTreeMap::new(),
        latest: Appender::new(store.latest_path(&options.experiment)),
        stopping: false,
        summary: RunSummary::default(),
        plan,
    };
    dispatcher.start();
    dispatcher.drain(&receiver);
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
    summary
}

/// Seconds from the start of each stage to the end of the longest chain that needs it.
pub(super) fn ranks(graph: &StageGraph, plan: &Plan<'_>) -> Vec<f64> {
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
    fn drain(&mut self, receiver: &Receiver<Message>) {
        let mut stopped_at = None;
        loop {
            self.watch();
            self.try_again();
            self.settle_ready();
            self.look_elsewhere();
            self.dispatch();
            if !self.ready.is_empty() {
                continue;
            }
            let queues_are_empty = self.cpu.is_empty()
                && self.accelerator.is_empty()
                && self.elsewhere.is_empty()
                && self.tries.is_empty();
            if self.running.is_empty() && (self.stopping || queues_are_empty) {
                // Events that workers sent before their last message are read by now.
                return;
            }
            let message = match self.longest_wait(stopped_at.is_some()) {
                None => receiver.recv().ok(),
                Some(wait) => match receiver.recv_timeout(wait) {
                    Ok(message) => Some(message),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return,
                },
            };
            if let Some(message) = message {
                self.receive(message);
            }
            while let Ok(message) = receiver.try_recv() {
                self.receive(message);
            }
            if self.interrupt.presses() >= 2 {
                let since = stopped_at.get_or_insert_with(clock::now);
                if since.elapsed() > PATIENCE {
                    return;
                }
            }
        }
    }

    /// How long to wait for a message at most; without a limit where only a message can change
    /// anything.
    fn longest_wait(&self, stops: bool) -> Option<Duration> {
        let look = self
            .look_at
            .filter(|_| !self.elsewhere.is_empty() && !self.stopping)
            .map(|(at, _)| at.saturating_duration_since(clock::now()));
        let stopped = stops.then_some(LOOK_STOPPED);
        let next = [look, self.next_look(), stopped];
        match next.into_iter().flatten().min() {
            Some(next) => Some(next),
            // Nothing runs, yet something is queued: a lane is in use elsewhere.
            None if self.running.is_empty() => Some(LOOK_AGAIN[1]),
            None => None,
        }
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::Event { node, kind } => {
                if let Some(running) = self.running.get_mut(&node) {
                    running.heard = clock::now();
                }
                (self.sink)(kind);
            }
            Message::Interrupted => {
                self.stopping = true;
                let message = if self.interrupt.presses() >= 2 {
                    for running in self.running.values() {
                        running.stop.store(true, Ordering::SeqCst);
                    }
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
            Message::Done { node, outcome } => {
                let Some(running) = self.running.remove(&node) else {
                    return;
                };
                match running.device {
                    None => self.free_threads += running.threads,
                    Some(device) => self.devices[device].busy = false,
                }
                self.crew.give_back(running.hand);
                let outcome = match (outcome, running.given_up) {
                    (Outcome::Cancelled, Some((failure, message))) => Outcome::Failed(Failed {
                        failure,
                        message,
                        log: None,
                    }),
                    (outcome, _) => outcome,
                };
                self.ended(node, outcome, running.lighter);
                self.wake_twins(node, running.key);
            }
        }
    }

    fn ended(&mut self, node: NodeIndex, outcome: Outcome, lighter: u32) {
        let id = self.graph.graph[node].id.clone();
        match outcome {
            Outcome::Made(manifest) => {
                self.remember(&[LatestRecord {
                    stage: id.clone(),
                    key: manifest.key,
                    wall_s: manifest.wall_s,
                    outputs: manifest.outputs.clone(),
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
            Outcome::Failed(failed) => self.failed_try(node, failed, lighter),
            Outcome::Cancelled => {
                self.states[node.index()] = NodeState::Cancelled;
                (self.sink)(EventKind::StageCancelled { stage: id });
            }
        }
    }

    /// Stages with the key of one that ended are fresh now, or have to run after all.
    fn wake_twins(&mut self, node: NodeIndex, key: StageKey) {
        let made = self.states[node.index()] == NodeState::Made;
        for twin in self.twins.remove(&key).unwrap_or_default() {
            if made {
                // Whatever bytes it lacked were made a moment ago.
                self.must_run[twin.index()] = false;
            }
            let because = format!("same work as {}", self.graph.graph[node].id);
            if !self.settled(twin, &because) {
                self.queue(twin);
            }
        }
    }

    pub(super) fn remember(&mut self, records: &[LatestRecord]) {
        // Losing an explanation must not fail a run.
        let _ = self.latest.append(records);
    }

    /// When to look again at what another runner makes: soon at first, then less and less often.
    pub(super) fn look_later(&mut self, something_changed: bool) {
        let wait = match self.look_at {
            Some((_, wait)) if !something_changed => (wait * 2).min(LOOK_AGAIN[1]),
            _ => LOOK_AGAIN[0],
        };
        self.look_at = Some((clock::now() + wait, wait));
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
