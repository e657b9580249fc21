//! `runner plan`.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::arguments::{DeviceArgument, ExperimentArguments, Global, default_jobs};
use super::{CliError, Exit, output};
use crate::base::clock;
use crate::base::limits::size;
use crate::plan::reason::sentences;
use crate::plan::{Plan, Verdict};
use crate::study::Study;
use crate::study::outlook::Outlook;

/// Arguments of `runner plan`.
#[derive(Debug, Args)]
#[command(
    after_help = "A stage below one that has to run may turn out fresh after all: if the \
                        rerun makes the same\nbytes, nothing below it runs. Such stages are shown \
                        as \"depends on\".\n\nStages of the accelerator are shown with the memory \
                        of their highest moment, counted from\nthe sizes of the model and the lengths \
                        of the texts, and with the time they will take by\nthe speed of stages that \
                        ran. docs/MEMORY.md says how."
)]
pub(super) struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    #[command(flatten)]
    device: DeviceArgument,
    /// What the device has of memory, for one that is not in this machine: `24GiB`.
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory: Option<u64>,
    /// List every stage, not one line a template.
    #[arg(long)]
    all: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Threads the estimate counts on [default: all].
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, CliError> {
    let mut study = arguments.experiment.open_to_read(global)?;
    study.choose_devices(arguments.device.device.clone());
    study.device_memory = arguments.memory;
    let jobs = arguments.jobs.map_or_else(default_jobs, usize::from);
    show(&study, jobs, arguments.all, arguments.json)
}

fn memory(text: &str) -> Result<u64, String> {
    size(text).ok_or_else(|| format!("`{text}` is no amount of memory; write `24GiB` or `12GB`"))
}

/// Prints a plan.
pub(super) fn show(study: &Study, jobs: usize, all: bool, as_json: bool) -> Result<Exit, CliError> {
    let mut plan = study.plan()?;
    let outlook = study.outlook(&plan, jobs);
    outlook.refine(&mut plan);
    if as_json {
        let mut value = as_value(study, &plan, jobs);
        value["accelerator"] = super::outlook::value(study, &plan, &outlook);
        output::json(&value)?;
        return Ok(Exit::Fine);
    }
    let mut text = headline(study, &plan, &outlook, jobs);
    if all {
        text.push_str(&every_stage(study, &plan));
    } else {
        text.push_str(&templates(study, &plan));
    }
    text.push_str(&super::outlook::text(study, &plan, &outlook));
    text.push_str(&super::requests::as_text(study, &plan));
    output::write(text.as_bytes())?;
    Ok(Exit::Fine)
}

fn headline(study: &Study, plan: &Plan<'_>, outlook: &Outlook, jobs: usize) -> String {
    let experiment = &study.experiment;
    let selected = experiment
        .grid
        .cells
        .iter()
        .filter(|cell| experiment.is_selected(cell))
        .count();
    let needed = plan.needed_count();
    // The stages of the accelerator are no average ones.
    let is_timed = outlook.stages.iter().all(|stage| stage.seconds.is_some());
    let estimate = match plan.estimate_s(jobs).filter(|_| is_timed) {
        Some(seconds) if needed > 0 => format!(
            ", about {} on {jobs} thread{} by past timings",
            clock::human(Duration::from_secs_f64(seconds)),
            if jobs == 1 { "" } else { "s" }
        ),
        None if needed > 0 => ", how long is not known yet".to_owned(),
        _ => String::new(),
    };
    let mut text = format!(
        "{}: {selected} of {} cells, {} stages: {} fresh, {needed} to run{estimate}\n",
        experiment.name,
        experiment.grid.cells.len(),
        plan.reachable_count(),
        plan.fresh_count(),
    );
    if !experiment.unbuilt.is_empty() {
        let _ = writeln!(
            text,
            "the pipeline has no stages for, left out: {}",
            experiment.unbuilt.join(", ")
        );
    }
    text
}

/// One line a template: how many are fresh, how many would run, and one example of why.
fn templates(study: &Study, plan: &Plan<'_>) -> String {
    struct Line {
        name: String,
        kind: &'static str,
        fresh: usize,
        to_run: usize,
        estimate: Option<f64>,
        why: String,
    }
    let mut lines: Vec<Line> = Vec::new();
    for node in &study.graph.order {
        let index = node.index();
        if !plan.reachable[index] {
            continue;
        }
        let stage = &study.graph.graph[*node];
        let at = match lines.iter().position(|line| line.name == stage.template) {
            Some(at) => at,
            None => {
                lines.push(Line {
                    name: stage.template.clone(),
                    kind: stage.kind.name(),
                    fresh: 0,
                    to_run: 0,
                    estimate: None,
                    why: String::new(),
                });
                lines.len() - 1
            }
        };
        let line = &mut lines[at];
        if plan.needed[index] {
            line.to_run += 1;
            if let Some(estimate) = plan.estimates[index] {
                *line.estimate.get_or_insert(0.0) += estimate;
            }
            // The reason nearest to the cause says most.
            if line.why.is_empty() {
                line.why = reasons(study, plan, *node).join("; ");
            }
        } else {
            line.fresh += 1;
        }
    }
    let mut rows = vec![
        ["stage", "kind", "fresh", "to run", "work", "why"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(lines.into_iter().map(|line| {
        vec![
            line.name,
            line.kind.to_owned(),
            line.fresh.to_string(),
            line.to_run.to_string(),
            line.estimate.map_or_else(String::new, |seconds| {
                clock::human(Duration::from_secs_f64(seconds))
            }),
            line.why,
        ]
    }));
    output::columns(&rows)
}

fn every_stage(study: &Study, plan: &Plan<'_>) -> String {
    let mut rows = Vec::new();
    for node in &study.graph.order {
        if !plan.reachable[node.index()] {
            continue;
        }
        let word = if plan.needed[node.index()] {
            "run"
        } else {
            "fresh"
        };
        let why = if plan.needed[node.index()] {
            reasons(study, plan, *node).join("; ")
        } else {
            String::new()
        };
        rows.push(vec![
            word.to_owned(),
            study.graph.graph[*node].id.clone(),
            why,
        ]);
    }
    output::columns(&rows)
}

/// Why a stage would run, in words.
fn reasons(study: &Study, plan: &Plan<'_>, node: petgraph::graph::NodeIndex) -> Vec<String> {
    sentences(&super::why::reasons(study, plan, node))
}

fn as_value(study: &Study, plan: &Plan<'_>, jobs: usize) -> Value {
    let stages: Vec<Value> = study
        .graph
        .order
        .iter()
        .filter(|node| plan.reachable[node.index()])
        .map(|node| {
            let index = node.index();
            let stage = &study.graph.graph[*node];
            let (verdict, key) = match &plan.verdicts[index] {
                Verdict::Fresh { key } => ("fresh", Some(key.hex())),
                Verdict::Stale { key } => ("stale", Some(key.hex())),
                Verdict::Waiting { .. } => ("waiting", None),
            };
            let reasons = super::why::reasons(study, plan, *node);
            json!({
                "stage": stage.id, "kind": stage.kind.name(), "lane": stage.lane,
                "verdict": verdict, "to_run": plan.needed[index], "key": key,
                "estimate_s": plan.estimates[index], "reasons": reasons,
            })
        })
        .collect();
    let mut value = json!({
        "experiment": study.experiment.name,
        "cells": study.experiment.grid.cells.len(),
        "not_built": study.experiment.unbuilt,
        "fresh": plan.fresh_count(), "to_run": plan.needed_count(),
        "estimate_s": plan.estimate_s(jobs),
        "stages": stages,
    });
    super::requests::add(study, plan, &mut value);
    value
}
