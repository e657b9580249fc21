//! `runner why`.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use petgraph::graph::NodeIndex;
use serde_json::json;

use super::arguments::{ExperimentArguments, Global};
use super::{CliError, Exit, output};
use crate::base::clock;
use crate::plan::reason::{explain, sentences};
use crate::plan::{Plan, Reason, Verdict};
use crate::study::Study;

/// Arguments of `runner why`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  runner why experiments/quickstart.yaml \
                        'train@train=movie,k=16,seed=0,method=gru4rec,weight_decay=0.001'\n  \
                        runner why experiments/quickstart.yaml samples --set fidelity=released_code")]
pub(super) struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    /// The stage, as `runner plan --all` shows it, or a template with a single stage.
    #[arg(value_name = "STAGE")]
    stage: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Every reason for which a stage would run; empty if it is fresh.
pub(super) fn reasons(study: &Study, plan: &Plan<'_>, node: NodeIndex) -> Vec<Reason> {
    let index = node.index();
    let waits_for: &[_] = match &plan.verdicts[index] {
        Verdict::Waiting { on } => on,
        Verdict::Fresh { .. } | Verdict::Stale { .. } => &[],
    };
    match &plan.verdicts[index] {
        Verdict::Fresh { .. } => plan
            .keys
            .get(node)
            .unwrap_or_default()
            .iter()
            .filter(|record| plan.needed[index] && !study.store.has_artifact(record))
            .map(|record| Reason::ArtifactMissing {
                output: record.name.clone(),
            })
            .collect(),
        Verdict::Stale { .. } | Verdict::Waiting { .. } => explain(
            &study.graph,
            &plan.keys,
            node,
            waits_for,
            &plan.latest,
            &study.store,
        ),
    }
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, CliError> {
    let study = arguments.experiment.open_to_read(global)?;
    let node = study
        .find_stage(&arguments.stage)
        .map_err(CliError::NotThere)?;
    let plan = study.plan()?;
    let stage = &study.graph.graph[node];
    let found = reasons(&study, &plan, node);
    if arguments.json {
        output::json(&json!({"stage": stage.id, "fresh": found.is_empty(), "reasons": found}))?;
        return Ok(Exit::Fine);
    }
    let mut text = String::new();
    if let (Verdict::Fresh { key }, true) = (&plan.verdicts[node.index()], found.is_empty()) {
        let made = study.store.manifest(*key)?;
        let _ = writeln!(text, "{} is fresh: it does not have to run", stage.id);
        if let Some(manifest) = made {
            let age = clock::unix_milliseconds().saturating_sub(manifest.made_at_ms);
            let _ = writeln!(
                text,
                "  key {}, made {} ago in {} by runner {}",
                key.short(),
                clock::human(Duration::from_millis(age)),
                clock::human(Duration::from_secs_f64(manifest.wall_s)),
                manifest
                    .environment
                    .get("runner")
                    .map_or("?", String::as_str)
            );
            for output in &manifest.outputs {
                let _ = writeln!(
                    text,
                    "  {}: {} ({} bytes)",
                    output.name,
                    output.digest.short(),
                    output.bytes
                );
            }
        }
    } else {
        let _ = writeln!(text, "{} would run because", stage.id);
        for sentence in sentences(&found) {
            let _ = writeln!(text, "  - {sentence}");
        }
        if matches!(plan.verdicts[node.index()], Verdict::Waiting { .. }) {
            text.push_str(
                "If what it depends on makes the same bytes as before, it does not run after all.\n",
            );
        }
    }
    output::write(text.as_bytes())?;
    Ok(Exit::Fine)
}
