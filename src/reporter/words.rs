//! Events in words: what the terminal, `runner replay` and the lines of a log have in common.

use std::time::Duration;

use crate::base::{EventKind, clock};

/// What happened as one line; nothing where a line would tell nobody anything.
pub(super) fn told(kind: &EventKind) -> Option<String> {
    Some(match kind {
        EventKind::RunStarted {
            experiment,
            stages,
            fresh,
            to_run,
            estimate_s,
            ..
        } => headline(experiment, *stages, *fresh, *to_run, *estimate_s),
        EventKind::StageFinished { stage, wall_s, .. } => {
            format!("made {stage} in {}", time(*wall_s))
        }
        EventKind::StageFresh { stage, because } => format!("fresh {stage}: {because}"),
        EventKind::StageFailed {
            stage,
            message,
            log,
        } => {
            let log = log
                .as_ref()
                .map_or_else(String::new, |log| format!("\n  log: {log}"));
            format!("FAILED {stage}: {message}{log}")
        }
        EventKind::StageRetried { stage, .. } => format!("again {stage}: {}", again(kind)),
        EventKind::StageSkipped { stage, because } => format!("skipped {stage}: {because} failed"),
        EventKind::StageCancelled { stage } => format!("stopped {stage}; nothing of it is kept"),
        EventKind::Warned { stage, message } => match stage {
            Some(stage) => format!("warning: {stage}: {message}"),
            None => message.clone(),
        },
        EventKind::RunFinished {
            ran,
            fresh,
            failed,
            skipped,
            cancelled,
            wall_s,
        } => {
            let mut parts = vec![format!("{ran} ran"), format!("{fresh} fresh")];
            for (count, word) in [
                (failed, "failed"),
                (skipped, "skipped because of that"),
                (cancelled, "left undone"),
            ] {
                if *count > 0 {
                    parts.push(format!("{count} {word}"));
                }
            }
            format!("{} in {}", parts.join(", "), time(*wall_s))
        }
        EventKind::StageStarted { .. }
        | EventKind::StageProgress { .. }
        | EventKind::StageReopened { .. }
        | EventKind::Measured { .. } => return None,
    })
}

/// `try 2 of 3 in 0.5 s, since …`, for a stage that is tried again; nothing for anything else.
pub(super) fn again(kind: &EventKind) -> String {
    let EventKind::StageRetried {
        attempt,
        attempts,
        message,
        change,
        wait_s,
        ..
    } = kind
    else {
        return String::new();
    };
    let when = if *wait_s > 0.0 {
        format!("in {}", time(*wait_s))
    } else {
        "now".to_owned()
    };
    let with = if change.is_empty() {
        String::new()
    } else {
        format!(", with {change}")
    };
    format!("try {attempt} of {attempts} {when}{with}, since {message}")
}

/// `, about 2 min 10 s left`, or nothing.
pub(super) fn left(remaining_s: Option<f64>) -> String {
    match remaining_s {
        Some(seconds) if seconds >= 1.0 => format!(", about {} left", time(seconds)),
        _ => String::new(),
    }
}

fn headline(
    experiment: &str,
    stages: usize,
    fresh: usize,
    to_run: usize,
    estimate_s: Option<f64>,
) -> String {
    if to_run == 0 {
        return format!("{experiment}: all {stages} stages are fresh, nothing to run");
    }
    let estimate = match estimate_s {
        Some(seconds) if seconds >= 1.0 => format!(", about {} by past timings", time(seconds)),
        _ => String::new(),
    };
    format!("{experiment}: {stages} stages, {fresh} fresh, {to_run} to run{estimate}")
}

fn time(seconds: f64) -> String {
    // A damaged journal may name a time that is none.
    clock::human(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}
