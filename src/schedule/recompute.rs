//! Makes what a stage made once more, beside the store, so that the two can be compared.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::channel;

use petgraph::graph::NodeIndex;

use super::crew::Crew;
use super::dispatcher::DeviceLane;
use super::dispatcher::Options;
use super::launch::inputs_of;
use super::work::{Hear, Work, lost_inputs, perform};
use crate::artifact::{Scratch, StageLock, Store};
use crate::base::{Emitter, Lane};
use crate::graph::StageGraph;
use crate::plan::{Plan, reason};
use crate::stage::StageError;

/// What a stage made this time; its files go when this is dropped.
#[derive(Debug)]
pub struct Remade {
    /// Outputs by name.
    pub outputs: Vec<(String, PathBuf)>,
    /// Seconds it took.
    pub wall_s: f64,
    _scratch: Scratch,
}

/// Makes stages once more, one after the other.
pub struct Recomputer<'r> {
    graph: &'r StageGraph,
    plan: &'r Plan<'r>,
    store: &'r Arc<Store>,
    options: &'r Options,
    device: DeviceLane,
    /// Held once a stage needs the device.
    lane: Option<StageLock>,
    crew: Crew,
    stop: Arc<AtomicBool>,
    hear: Hear,
}

impl std::fmt::Debug for Recomputer<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Recomputer({})", self.options.experiment)
    }
}

impl<'r> Recomputer<'r> {
    /// `stop` ends the stage that is made.
    #[must_use]
    pub fn new(
        graph: &'r StageGraph,
        plan: &'r Plan<'r>,
        store: &'r Arc<Store>,
        options: &'r Options,
        stop: Arc<AtomicBool>,
        hear: Hear,
    ) -> Self {
        let device = options.devices.first().copied().unwrap_or_default();
        let device = DeviceLane::new(device, options);
        Self {
            graph,
            plan,
            store,
            options,
            device,
            lane: None,
            crew: Crew::default(),
            stop,
            hear,
        }
    }

    /// Makes a stage once more from the inputs that the store has.
    ///
    /// # Errors
    /// If inputs are gone or damaged, or the stage fails.
    pub fn make(&mut self, node: NodeIndex) -> Result<Remade, StageError> {
        let stage = &self.graph.graph[node];
        let keys = &self.plan.keys;
        let inputs = inputs_of(self.graph, self.plan, self.store, node);
        let (Some(key), Some(material), Some(inputs)) =
            (keys.key(node), keys.material(node), inputs)
        else {
            return Err(StageError::input("its inputs were never made"));
        };
        let on_device = stage.lane == Lane::Accelerator;
        if on_device && self.lane.is_none() {
            let lane = self.store.try_lock_lane(&self.device.lock());
            self.lane = lane.map_err(StageError::other)?;
            if self.lane.is_none() {
                return Err(StageError::input("another runner is using the accelerator")
                    .with_help("wait for it, or verify stages of the CPU lane with --only"));
            }
        }
        let jobs = self.options.jobs.max(1);
        let threads = if on_device { jobs } else { stage.threads };
        let in_process = !on_device || stage.kind.has_own_process();
        let log = format!("verify-{}.log", key.short());
        let work = Work {
            id: stage.id.clone(),
            key,
            kind: stage.kind,
            params: stage.params.clone(),
            material,
            inputs,
            outputs: stage.outputs.clone(),
            // Made from the beginning: what a killed try left may be what is wrong.
            partial: None,
            // Nobody pays again to see whether an answer would be the same.
            answers: self.store.answers_folder(),
            threads,
            memory: stage.limits.memory,
            device: self.device.device_for(stage.lane),
            process: self.device.process.clone().filter(|_| !in_process),
            notes: BTreeMap::new(),
            emitter: Emitter::new(&stage.id, Arc::clone(&self.hear)),
            hear: Arc::clone(&self.hear),
            stop: Arc::clone(&self.stop),
            log: self.options.logs.join(log),
            locks: Vec::new(),
        };
        if let Some((maker, _)) = lost_inputs(&work, self.store)?.first() {
            let maker = reason::origin(self.graph, *maker, 0);
            return Err(StageError::input(format!(
                "its input `{maker}` is no longer in the store"
            ))
            .with_help("`runner run` makes it again where something needs it"));
        }
        let scratch = self.store.scratch().map_err(StageError::other)?;
        let hand = self.crew.take(threads).map_err(StageError::other)?;
        let (answer, answered) = channel();
        let folder = scratch.path().to_owned();
        let outputs = work.outputs.iter();
        let outputs = outputs.map(|output| (output.name.clone(), folder.join(&output.file)));
        let outputs: Vec<(String, PathBuf)> = outputs.collect();
        let started = hand.start(Box::new(move || {
            let _ = answer.send(perform(&work, &folder));
        }));
        let ended = answered.recv().ok().filter(|_| started);
        let performed =
            ended.unwrap_or_else(|| Err(StageError::Panicked("its thread is gone".to_owned())))?;
        self.crew.give_back(hand);
        Ok(Remade {
            outputs,
            wall_s: performed.wall_s,
            _scratch: scratch,
        })
    }
}
