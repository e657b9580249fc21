//! What one run did about one stage: each time it tried, and how that ended.

use std::io;

use serde::Serialize;

use super::known::KnownRun;
use super::run_state::Standing;
use crate::base::EventKind;

/// A stage's way through a run, from its start (or from nothing, if it never ran) to its end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Attempt {
    /// When it began to run, in milliseconds since 1970.
    pub(crate) started_ms: Option<u64>,
    /// When it ended; none while it runs, and where its runner went away.
    pub(crate) ended_ms: Option<u64>,
    /// How it stands since then.
    pub(crate) standing: Standing,
    /// That in words.
    pub(crate) what: String,
    /// What it said when it failed.
    pub(crate) message: Option<String>,
    /// Its log, if it left one.
    pub(crate) log: Option<String>,
    pub(crate) warnings: Vec<String>,
}

impl Attempt {
    fn new(started_ms: Option<u64>) -> Self {
        Self {
            started_ms,
            ended_ms: None,
            standing: Standing::Running,
            what: "runs".to_owned(),
            message: None,
            log: None,
            warnings: Vec::new(),
        }
    }
}

/// All attempts of a run at a stage, in order; none if its journal does not tell of the stage.
/// Reads the rest of the journal.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn attempts(run: &mut KnownRun, stage: &str) -> io::Result<Vec<Attempt>> {
    let mut found: Vec<Attempt> = Vec::new();
    run.read_on(&mut |state, event| {
        let at_ms = event.at_ms;
        if let EventKind::Warned {
            stage: Some(of),
            message,
        } = &event.kind
            && of == stage
        {
            if found.is_empty() {
                found.push(Attempt::new(None));
            }
            if let Some(attempt) = found.last_mut() {
                attempt.warnings.push(message.clone());
            }
        }
        let concerns = event.kind.stage() == Some(stage);
        let before = state.standing(stage);
        state.fold(event);
        let after = state.standing(stage);
        if before == after && (!concerns || after == Standing::Running) {
            return;
        }
        if after == Standing::Running {
            found.push(Attempt::new(Some(at_ms)));
            return;
        }
        let Some(happening) = state.recent.back().filter(|last| last.stage == stage) else {
            return;
        };
        if found.last().is_none_or(|last| last.ended_ms.is_some()) {
            found.push(Attempt::new(None));
        }
        let failure = state.failures.iter().find(|failed| failed.stage == stage);
        if let Some(attempt) = found.last_mut() {
            attempt.ended_ms = Some(at_ms);
            attempt.standing = after;
            attempt.what.clone_from(&happening.what);
            attempt.message = failure.map(|failure| failure.message.clone());
            attempt.log = failure.and_then(|failure| failure.log.clone());
        }
    })?;
    let is_gone = run.state.standing(stage) == Standing::Cancelled;
    if let Some(last) = found.last_mut()
        && last.ended_ms.is_none()
        && is_gone
    {
        last.standing = Standing::Cancelled;
        "was running when the runner went away".clone_into(&mut last.what);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Event, Lane};
    use crate::reporter::JournalFile;

    #[test]
    fn every_attempt_has_its_end() {
        let folder = tempfile::tempdir().expect("folder");
        let stage = || "train".to_owned();
        let started = EventKind::StageStarted {
            stage: stage(),
            lane: Lane::Cpu,
        };
        let kinds = [
            started.clone(),
            EventKind::Warned {
                stage: Some(stage()),
                message: "it is warm".to_owned(),
            },
            EventKind::StageFailed {
                stage: stage(),
                message: "exit 3\n  help: look".to_owned(),
                log: Some("logs/1.log".to_owned()),
            },
            EventKind::Warned {
                stage: Some("other".to_owned()),
                message: "it is cold".to_owned(),
            },
            started.clone(),
            EventKind::StageFinished {
                stage: stage(),
                key: String::new(),
                wall_s: 1.0,
                remaining_s: None,
            },
            EventKind::StageReopened {
                stage: stage(),
                was_fresh: false,
            },
            started,
        ];
        let text: String = (0..)
            .zip(kinds)
            .map(|(seq, kind)| {
                let event = Event {
                    seq,
                    at_ms: 1000 + seq,
                    elapsed_s: seq as f64,
                    kind,
                };
                serde_json::to_string(&event).expect("JSON") + "\n"
            })
            .collect();
        let journal = JournalFile::new(folder.path(), "small", 1000);
        std::fs::write(&journal.path, text).expect("written");
        let found = attempts(&mut KnownRun::new(journal.clone()), "train").expect("read");
        let told: Vec<_> = (found.iter())
            .map(|one| (one.started_ms, one.ended_ms, one.what.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                (Some(1000), Some(1002), "failed: exit 3"),
                (Some(1004), Some(1005), "made in 1.0 s"),
                (
                    None,
                    Some(1006),
                    "waits again: artifacts are gone or damaged and are made anew"
                ),
                (Some(1007), None, "was running when the runner went away"),
            ]
        );
        assert_eq!(found[0].warnings, ["it is warm"]);
        assert_eq!(found[0].message.as_deref(), Some("exit 3\n  help: look"));
        assert_eq!(found[0].log.as_deref(), Some("logs/1.log"));
        let nothing = attempts(&mut KnownRun::new(journal), "nothing").expect("read");
        assert_eq!(nothing, []);
    }
}
