//! What the stages of the accelerator lane will need, before anything runs: memory against what
//! there is, and time by what was learnt in past runs.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::graph::NodeIndex;
use serde::Serialize;
use serde_json::Value;

use super::Study;
use super::speeds::{self, Speed, Speeds, Standing};
use crate::artifact::latest;
use crate::artifact::manifest::PEAK_MEMORY;
use crate::base::{Device, Lane, machine};
use crate::graph::{NodeSource, SourceReference, StageGraph};
use crate::plan::{Plan, reason};
use crate::schedule::Fitted;
use crate::stage::measured;
use crate::stage::needs::{
    Basis, Fit, Known, KnownInput, KnownLengths, Needs, Passes, Unknown, fit,
};

/// Where a limit of memory comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitFrom {
    /// `limits:` of the experiment or the pipeline.
    Limits,
    /// This machine, or the control group that the program runs in.
    Machine,
    /// The card.
    Card,
    /// Whoever asks, for a device that is not here.
    Asked,
}

/// Bytes that a stage may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MemoryLimit {
    /// The bytes.
    pub bytes: u64,
    /// Who says so.
    pub from: LimitFrom,
}

/// What a stage will need.
#[derive(Debug)]
pub struct StageOutlook {
    /// The stage.
    pub node: NodeIndex,
    /// What it needs, or why that is not known.
    pub needs: Result<Needs, Unknown>,
    /// What it may take; `None` where the system does not say what it has.
    pub limit: Option<MemoryLimit>,
    /// Whether it fits; `None` where needs or limit are not known.
    pub fit: Option<Fit>,
    /// Seconds it is expected to take, and what that stands on.
    pub seconds: Option<(f64, Standing)>,
}

impl StageOutlook {
    /// Whether it surely takes more than there is: lengths of texts that are only bounded by
    /// `cutoff_length` may turn out shorter.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        let (Ok(needs), Some(limit), Some(fit)) = (&self.needs, self.limit, &self.fit) else {
            return false;
        };
        if *fit == Fit::Fits {
            return false;
        }
        let peak = needs.peak();
        let always = peak.weights + peak.trained + peak.optimiser;
        needs.basis != Basis::Limit || always > limit.bytes
    }
}

/// What all stages of the accelerator lane that are to run will need.
#[derive(Debug)]
pub struct Outlook {
    /// One entry a stage, in the graph's order.
    pub stages: Vec<StageOutlook>,
    /// The device and what it is given, as speeds are kept by.
    pub device: String,
    /// The least and the most of what was planned that stages took in memory, and how many were
    /// measured.
    pub memory_of_planned: Option<(f64, f64, usize)>,
}

/// A stage before it runs.
struct Place<'a> {
    study: &'a Study,
    plan: &'a Plan<'a>,
    node: NodeIndex,
}

impl Place<'_> {
    fn input(&self, source: &NodeSource) -> KnownInput<'_> {
        match &source.from {
            SourceReference::Output { node, output } => {
                let record = self.plan.keys.output(*node, *output);
                let there = record.filter(|record| self.study.store.has_artifact(record));
                KnownInput {
                    origin: reason::origin(&self.study.graph, *node, *output),
                    digest: record.map(|record| record.digest),
                    path: there.map(|record| self.study.store.artifact_path(record.digest)),
                    maker: Some(Box::new(Place {
                        node: *node,
                        ..*self
                    })),
                }
            }
            SourceReference::File { path, files } => KnownInput {
                origin: path.clone(),
                digest: self.plan.keys.file(path, files).map(|seen| seen.digest),
                path: Some(path.into()),
                maker: None,
            },
        }
    }
}

impl Known for Place<'_> {
    fn kind(&self) -> &'static str {
        self.study.graph.graph[self.node].kind.name()
    }

    fn params(&self) -> &Value {
        &self.study.graph.graph[self.node].params
    }

    fn device(&self) -> Device {
        self.study.first_device()
    }

    fn inputs(&self, name: &str) -> Vec<KnownInput<'_>> {
        let inputs = &self.study.graph.graph[self.node].inputs;
        let sources = inputs.iter().filter(|input| input.name == name);
        let sources = sources.flat_map(|input| &input.sources);
        sources.map(|source| self.input(source)).collect()
    }
}

impl Study {
    /// The device that stands for all of them: several are taken to be alike.
    fn first_device(&self) -> Device {
        self.devices.0.first().copied().unwrap_or_default()
    }

    /// What the device has.
    fn device_limit(&self) -> Option<MemoryLimit> {
        if let Some(bytes) = self.device_memory {
            let from = LimitFrom::Asked;
            return Some(MemoryLimit { bytes, from });
        }
        let (bytes, from) = match self.first_device() {
            Device::Cpu => (machine::memory(), LimitFrom::Machine),
            Device::Cuda(ordinal) => {
                let card = machine::card(ordinal);
                (card.map(|card| card.memory), LimitFrom::Card)
            }
        };
        bytes.map(|bytes| MemoryLimit { bytes, from })
    }

    /// What speeds are kept by: the card, or the processor with so many threads.
    fn device_name(&self, jobs: usize) -> String {
        match self.first_device() {
            Device::Cpu => format!("{}, {jobs} threads", crate::artifact::processor()),
            Device::Cuda(ordinal) => {
                machine::card(ordinal).map_or_else(|| "an NVIDIA card".to_owned(), |card| card.name)
            }
        }
    }

    /// What the stages of the accelerator lane that are to run will need, on `jobs` threads where
    /// the accelerator is the processor.
    #[must_use]
    pub fn outlook(&self, plan: &Plan<'_>, jobs: usize) -> Outlook {
        let device = self.device_name(jobs);
        let on_accelerator = |node: &&NodeIndex| {
            plan.needed[node.index()] && self.graph.graph[**node].lane == Lane::Accelerator
        };
        let nodes: Vec<&NodeIndex> = self.graph.order.iter().filter(on_accelerator).collect();
        if nodes.is_empty() {
            return Outlook {
                stages: Vec::new(),
                device,
                memory_of_planned: None,
            };
        }
        let speeds = Speeds::read(&self.store.speeds_path(), &device);
        let mut lengths = KnownLengths::load(&self.store.lengths_path());
        let machine = self.device_limit();
        let mut stages = Vec::new();
        for node in nodes {
            stages.extend(self.stage_outlook(plan, *node, &mut lengths, &speeds, machine));
        }
        lengths.save();
        Outlook {
            stages,
            device,
            memory_of_planned: speeds.memory_of_planned(),
        }
    }

    fn stage_outlook(
        &self,
        plan: &Plan<'_>,
        node: NodeIndex,
        lengths: &mut KnownLengths,
        speeds: &Speeds,
        machine: Option<MemoryLimit>,
    ) -> Option<StageOutlook> {
        let stage = &self.graph.graph[node];
        let place = Place {
            study: self,
            plan,
            node,
        };
        let needs = stage.kind.needs(&place, &stage.params, lengths)?;
        let limits = stage.limits.memory.map(|bytes| MemoryLimit {
            bytes,
            from: LimitFrom::Limits,
        });
        let limit = limits
            .into_iter()
            .chain(machine)
            .min_by_key(|one| one.bytes);
        let fit = match (&needs, limit) {
            (Ok(needs), Some(limit)) => {
                let try_with = |passes: Passes| {
                    let params = stage.kind.with_passes(&stage.params, passes)?;
                    stage.kind.needs(&place, &params, lengths)?.ok()
                };
                Some(fit(needs, limit.bytes, try_with))
            }
            _ => None,
        };
        // Past timings say nothing of a model of other sizes.
        let past = || {
            let seconds = self.past_seconds(plan, node)?;
            Some((seconds, Standing::PastTimings))
        };
        let work = needs
            .as_ref()
            .ok()
            .and_then(|needs| Some((needs.work?, needs.sizes)));
        let computed = work.and_then(|(work, sizes)| {
            let (rate, standing) = speeds.of(stage.kind.name(), sizes)?;
            Some((work / rate, standing))
        });
        let seconds = match work {
            Some(_) => computed,
            None => past(),
        };
        Some(StageOutlook {
            node,
            needs,
            limit,
            fit,
            seconds,
        })
    }

    /// Seconds that a stage took last time, or stages of its template and kind on average.
    fn past_seconds(&self, plan: &Plan<'_>, node: NodeIndex) -> Option<f64> {
        let stage = &self.graph.graph[node];
        if let Some(record) = plan.latest.get(&stage.id) {
            return Some(record.wall_s);
        }
        let alike = self.graph.graph.node_weights().filter(|other| {
            other.template == stage.template && other.kind.name() == stage.kind.name()
        });
        let times = alike.filter_map(|other| Some(plan.latest.get(&other.id)?.wall_s));
        let (sum, count) = times.fold((0.0, 0.0), |(sum, count), one| (sum + one, count + 1.0));
        (count > 0.0).then(|| sum / count)
    }

    /// Keeps how fast the stages were that ran since a plan was made.
    pub(super) fn learn_speeds(&self, plan: &Plan<'_>, jobs: usize) {
        let device = self.device_name(jobs);
        let path = self.store.speeds_path();
        let known = Speeds::read(&path, &device).keys();
        let mut lengths = KnownLengths::load(&self.store.lengths_path());
        let latest = latest::read(&self.store.latest_path(&self.experiment.name));
        let mut found: Vec<Speed> = Vec::new();
        let mut seen = BTreeSet::new();
        for node in &self.graph.order {
            let stage = &self.graph.graph[*node];
            if !plan.needed[node.index()] || stage.lane != Lane::Accelerator {
                continue;
            }
            let (Some(record), Some(key)) = (latest.get(&stage.id), plan.keys.key(*node)) else {
                continue;
            };
            if record.key != key || known.contains(&key) || !seen.insert(key) {
                continue;
            }
            let place = Place {
                study: self,
                plan,
                node: *node,
            };
            let fitted = self.fitted.get().and_then(|all| all.get(node));
            let params = fitted.map_or(&stage.params, |fitted| &fitted.params);
            let Some(Ok(needs)) = stage.kind.needs(&place, params, &mut lengths) else {
                continue;
            };
            let Some(work) = needs.work.filter(|_| needs.basis == Basis::Rows) else {
                continue;
            };
            let manifest = self.store.manifest(key).ok().flatten();
            let peak: Option<u64> =
                manifest.and_then(|found| found.environment.get(PEAK_MEMORY)?.parse().ok());
            found.push(Speed {
                kind: stage.kind.name().to_owned(),
                sizes: needs.sizes,
                device: device.clone(),
                key,
                work,
                wall_s: record.wall_s,
                peak_memory: peak,
                planned_memory: measured::planned(self.first_device(), needs.peak().total()),
            });
        }
        speeds::append(&path, &found);
        lengths.save();
    }
}

impl Outlook {
    /// Puts what is expected of these stages in place of what the plan expected.
    pub fn refine(&self, plan: &mut Plan<'_>) {
        for stage in &self.stages {
            plan.estimates[stage.node.index()] = stage.seconds.map(|(seconds, _)| seconds);
        }
    }

    /// Parameters with which the stages that are too large fit, where there are such.
    #[must_use]
    pub fn fitted(&self, graph: &StageGraph) -> BTreeMap<NodeIndex, Fitted> {
        let of_stage = |stage: &StageOutlook| {
            let Some(Fit::With(ways)) = &stage.fit else {
                return None;
            };
            let passes = ways.first()?.passes;
            let before = stage.needs.as_ref().ok()?.passes;
            let node = &graph.graph[stage.node];
            let params = node.kind.with_passes(&node.params, passes)?;
            let words = changed(before, passes);
            Some((stage.node, Fitted { params, words }))
        };
        self.stages.iter().filter_map(of_stage).collect()
    }
}

/// What changes from some passes to others, in words.
#[must_use]
pub fn changed(before: Passes, after: Passes) -> String {
    let mut words = Vec::new();
    if before.pass_tokens != after.pass_tokens {
        words.push(format!(
            "pass_tokens {} → {}",
            before.pass_tokens, after.pass_tokens
        ));
    }
    if before.checkpoint_layers != after.checkpoint_layers {
        words.push("checkpoint_layers".to_owned());
    }
    words.join(", ")
}
