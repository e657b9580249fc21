//! One run, watched through its journal.

use std::io;
use std::path::{Component, Path, PathBuf};

use super::view::{Outside, View};
use crate::base::clock;
use crate::reporter::run_state::RunState;
use crate::reporter::{JournalFile, KnownRun, log_end, log_path};

/// So much of the end of a log is shown.
const LOG_END: u64 = 8 * 1024;

/// Where what belongs to a run lies.
#[derive(Debug, Clone)]
pub struct Places {
    /// Logs of stages that failed.
    pub logs: PathBuf,
    /// Results, a folder an experiment.
    pub results: PathBuf,
}

/// A run and what is known of it so far.
#[derive(Debug)]
pub struct Watch {
    run: KnownRun,
    places: Places,
}

impl Watch {
    /// Watches a run, whose journal need not exist yet.
    #[must_use]
    pub fn new(journal: JournalFile, places: Places) -> Self {
        Self {
            run: KnownRun::new(journal),
            places,
        }
    }

    /// The page of the experiment's report, whether or not it exists.
    pub(super) fn report(&self) -> Option<PathBuf> {
        let name = &self.run.journal.experiment;
        let mut components = Path::new(name).components();
        // Nothing outside the results can be named.
        matches!(
            (components.next(), components.next()),
            (Some(Component::Normal(_)), None)
        )
        .then(|| self.places.results.join(name).join("report.html"))
    }

    /// Where the run stands now, as JSON.
    ///
    /// # Errors
    /// If its journal cannot be read.
    pub fn state(&mut self) -> io::Result<Vec<u8>> {
        self.run.read_on(&mut RunState::fold)?;
        let logs = &self.places.logs;
        self.run.state.read_logs(|path| {
            let end = log_path(logs, path).and_then(|path| log_end(&path, LOG_END).ok());
            end.map(|(text, _)| text).unwrap_or_default()
        });
        let outside = Outside {
            run: &self.run.journal.run(),
            now_ms: clock::unix_milliseconds(),
            alive: self.run.alive,
            report: self.report().is_some_and(|path| path.is_file()),
        };
        serde_json::to_vec(&View::of(&self.run.state, &outside)).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;
    use crate::base::{Event, EventKind, Lane};

    fn watch(folder: &Path, experiment: &str) -> Watch {
        let journal = JournalFile::new(&folder.join("runs"), experiment, 1000);
        let places = Places {
            logs: folder.join("logs"),
            results: folder.join("results"),
        };
        Watch::new(journal, places)
    }

    fn state(watch: &mut Watch) -> serde_json::Value {
        serde_json::from_slice(&watch.state().expect("a state")).expect("JSON")
    }

    fn lines(kinds: Vec<EventKind>) -> String {
        let events = kinds.into_iter().enumerate().map(|(seq, kind)| Event {
            seq: seq as u64,
            at_ms: 1000,
            elapsed_s: seq as f64,
            kind,
        });
        events
            .map(|event| serde_json::to_string(&event).expect("JSON") + "\n")
            .collect()
    }

    #[test]
    fn a_killed_run_is_told_from_one_that_begins() {
        let folder = tempfile::tempdir().expect("folder");
        let mut watch = watch(folder.path(), "small");
        assert_eq!(state(&mut watch)["alive"], true, "there is no journal yet");
        let text = lines(vec![
            EventKind::RunStarted {
                experiment: "small".to_owned(),
                stages: 2,
                fresh: 0,
                to_run: 2,
                estimate_s: None,
                program: String::new(),
                templates: Vec::new(),
            },
            EventKind::StageStarted {
                stage: "one".to_owned(),
                lane: Lane::Cpu,
            },
        ]);
        fs::create_dir(folder.path().join("runs")).expect("folder");
        let path = folder.path().join("runs/small-1000.jsonl");
        let torn = text.len() - 5;
        fs::write(&path, &text[..torn]).expect("written");
        let file = File::open(&path).expect("opened");
        file.lock().expect("locked");
        let first = state(&mut watch);
        assert_eq!(first["alive"], true);
        assert_eq!(first["counts"]["stages"], 2);
        assert_eq!(first["running"], serde_json::json!([]), "its line is torn");
        fs::write(&path, &text).expect("written");
        assert_eq!(state(&mut watch)["running"][0]["stage"], "one");
        file.unlock().expect("let go");
        let last = state(&mut watch);
        assert_eq!(last["alive"], false);
        assert_eq!(last["running"], serde_json::json!([]));
    }

    #[test]
    fn a_failure_shows_the_end_of_its_log_and_of_no_other_file() {
        let folder = tempfile::tempdir().expect("folder");
        for name in ["runs", "logs"] {
            fs::create_dir(folder.path().join(name)).expect("folder");
        }
        let log: Vec<String> = (0..5000).map(|line| format!("line {line}\n")).collect();
        let log = log.concat();
        fs::write(folder.path().join("logs/one.log"), log).expect("written");
        fs::write(folder.path().join("secret"), "not for the page").expect("written");
        let secret = folder.path().join("secret").display().to_string();
        let failed = |stage: &str, log: &str| EventKind::StageFailed {
            stage: stage.to_owned(),
            message: "exit 1".to_owned(),
            log: Some(log.to_owned()),
        };
        let text = lines(vec![
            failed("one", "somewhere/else/logs/one.log"),
            failed("two", &secret),
            failed("three", "../secret"),
            failed("four", ".."),
        ]);
        fs::write(folder.path().join("runs/small-1000.jsonl"), text).expect("written");
        let view = state(&mut watch(folder.path(), "small"));
        let log = view["failed"][0]["log"].as_str().expect("a log");
        assert!(log.len() as u64 <= LOG_END, "{}", log.len());
        assert!(
            log.starts_with("line ") && log.ends_with("line 4999"),
            "{log}"
        );
        for other in 1..4 {
            assert_eq!(view["failed"][other]["log"], "");
        }
    }

    #[test]
    fn the_report_lies_in_the_results_of_the_experiment() {
        let folder = tempfile::tempdir().expect("folder");
        let report = folder.path().join("results/small/report.html");
        let mut watched = watch(folder.path(), "small");
        assert_eq!(watched.report(), Some(report.clone()));
        assert_eq!(state(&mut watched)["report"], false);
        fs::create_dir_all(report.parent().expect("a parent")).expect("folder");
        fs::write(&report, "<p>").expect("written");
        assert_eq!(state(&mut watched)["report"], true);
        assert_eq!(watch(folder.path(), "..").report(), None);
        assert_eq!(watch(folder.path(), "a/b").report(), None);
    }
}
