//! `runner verify`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use petgraph::graph::NodeIndex;
use serde_json::json;

use super::arguments::{DeviceArgument, ExperimentArguments, Global, default_jobs};
use super::{CliError, Exit, output};
use crate::base::clock;
use crate::base::limits::duration;
use crate::plan::Verdict as PlanVerdict;
use crate::schedule::Recomputer;
use crate::stage::StageError;
use crate::study::StudyError;
use crate::study::verify::{Verdict, Verified, verify};

/// Arguments of `runner verify`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  runner verify experiments/quickstart.yaml --within 2min\n  runner \
                  verify experiments/quickstart.yaml samples\n\nExit code 3 if something came out \
                  otherwise. Nothing in the store is changed."
)]
pub(super) struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    #[command(flatten)]
    device: DeviceArgument,
    /// Stages, as `runner plan --all` shows them, or templates with a single stage [default: all
    /// that are fresh].
    #[arg(value_name = "STAGE")]
    stages: Vec<String>,
    /// Begin no further stage after so long: 90s, 15min, 2h.
    #[arg(long, value_name = "TIME", value_parser = time)]
    within: Option<Duration>,
    /// How many threads a stage may use [default: all].
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn time(text: &str) -> Result<Duration, String> {
    duration(text).ok_or_else(|| "write 90s, 15min or 2h".to_owned())
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, CliError> {
    let mut study = arguments.experiment.open(global)?;
    study.worker = super::worker::command();
    study.choose_devices(arguments.device.device.clone());
    study.check_devices()?;
    let plan = study.plan()?;
    let nodes: Vec<NodeIndex> = if arguments.stages.is_empty() {
        let fresh = |node: &NodeIndex| {
            let index = node.index();
            plan.reachable[index] && matches!(plan.verdicts[index], PlanVerdict::Fresh { .. })
        };
        study.graph.order.iter().copied().filter(fresh).collect()
    } else {
        let found = arguments.stages.iter().map(|id| study.find_stage(id));
        found.collect::<Result<_, _>>().map_err(CliError::Usage)?
    };
    let stop = Arc::new(AtomicBool::new(false));
    let pressed = Arc::clone(&stop);
    // Without a handler Ctrl-C ends the program at once, which is safe too.
    let _ = ctrlc::set_handler(move || pressed.store(true, Ordering::SeqCst));
    let jobs = arguments.jobs.map_or_else(default_jobs, usize::from);
    let options = study.options(jobs, false);
    let mut recomputer = Recomputer::new(
        &study.graph,
        &plan,
        &study.store,
        &options,
        Arc::clone(&stop),
        Arc::new(|_| {}),
    );
    let started = clock::now();
    let mut verified: Vec<Verified> = Vec::new();
    let mut stopped = false;
    for (at, node) in nodes.iter().enumerate() {
        let late = arguments
            .within
            .is_some_and(|within| started.elapsed() >= within);
        if late {
            break;
        }
        match verify(&study, &plan, &mut recomputer, *node) {
            Ok(one) => {
                if !arguments.json {
                    let width = nodes.len().to_string().len();
                    output::note(&format!(
                        "[{:>width$}/{}] {}: {} ({})",
                        at + 1,
                        nodes.len(),
                        one.stage,
                        one.verdict,
                        clock::human(Duration::from_secs_f64(one.wall_s))
                    ));
                }
                verified.push(one);
            }
            Err(StudyError::Stage(StageError::Cancelled)) => {
                stopped = true;
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    let differ = verified
        .iter()
        .filter(|one| matches!(one.verdict, Verdict::Differs(_)))
        .count();
    if arguments.json {
        output::json(&json!({
            "experiment": study.experiment.name,
            "stages": verified.iter().map(stage_json).collect::<Vec<_>>(),
            "not_checked": nodes.len() - verified.len(),
            "differ": differ,
        }))?;
    } else {
        output::write(summary(&verified, nodes.len()).as_bytes())?;
    }
    Ok(if stopped {
        Exit::Interrupted
    } else if differ > 0 {
        Exit::Differs
    } else {
        Exit::Fine
    })
}

fn stage_json(one: &Verified) -> serde_json::Value {
    let (verdict, detail) = match &one.verdict {
        Verdict::Same => ("same", json!(null)),
        Verdict::Close(share) => ("close", json!(share)),
        Verdict::Differs(what) => ("differs", json!(what)),
        Verdict::CannotSay(why) => ("cannot_say", json!(why)),
    };
    json!({"stage": one.stage, "verdict": verdict, "detail": detail, "wall_s": one.wall_s})
}

/// What it means, in words.
fn summary(verified: &[Verified], of: usize) -> String {
    let count = |wanted: fn(&Verdict) -> bool| {
        let mut verdicts = verified.iter().map(|one| &one.verdict);
        verdicts.by_ref().filter(|verdict| wanted(verdict)).count()
    };
    let same = count(|verdict| matches!(verdict, Verdict::Same));
    let close = count(|verdict| matches!(verdict, Verdict::Close(_)));
    let differ = count(|verdict| matches!(verdict, Verdict::Differs(_)));
    let unknown = count(|verdict| matches!(verdict, Verdict::CannotSay(_)));
    let mut text = format!(
        "{} of {of} stages made once more: {same} same bytes",
        verified.len()
    );
    for (count, words) in [
        (close, "same within rounding of another processor"),
        (differ, "DIFFER"),
        (unknown, "cannot be said"),
    ] {
        if count > 0 {
            let _ = write!(text, ", {count} {words}");
        }
    }
    text.push('\n');
    if differ > 0 {
        text.push_str(
            "a stage that differs does not follow from its parameters and inputs alone: a bug of \
             its kind (please report it), a program of yours that draws or reads something \
             undeclared, or a broken machine\n",
        );
    }
    text
}
