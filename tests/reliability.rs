//! A real small sweep, trainings of language models included, killed again and again: the runner,
//! its worker process, or both. It ends with the bytes of an undisturbed run, and what was
//! finished never runs again.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and a long one says how far it is"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runner::base::{Random, clock};

/// A store and results of their own, for the quickstart with short trainings.
struct Sweep {
    home: tempfile::TempDir,
}

impl Sweep {
    fn new() -> Self {
        Self {
            home: tempfile::tempdir().expect("folder"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn start(&self) -> Child {
        let said = fs::File::create(self.path("said")).expect("made");
        Command::new(env!("CARGO_BIN_EXE_runner"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["run", "experiments/quickstart.yaml", "--json"])
            .args(["--set", "settings.gru4rec.epochs=2"])
            .args(["--set", "settings.tallrec.alpaca_tune.max_steps=3"])
            .args(["--set", "settings.tallrec.rec_tune.max_steps=4"])
            .args(["--set", "settings.tallrec.rec_tune.max_validation_rows=32"])
            .args(["--set", "grid.k=[16]", "--set", "grid.seed=[0]"])
            .arg("--store")
            .arg(self.path("store"))
            .arg("--results")
            .arg(self.path("results"))
            .env_remove("RUNNER_STORE")
            .env_remove("RUNNER_RESULTS")
            .stdin(Stdio::null())
            .stdout(said.try_clone().expect("the same file"))
            .stderr(said)
            .spawn()
            .expect("started")
    }

    fn run(&self) {
        let ended = self.start().wait().expect("ended");
        assert!(ended.success(), "{ended}: {}", self.said());
    }

    fn said(&self) -> String {
        fs::read_to_string(self.path("said")).unwrap_or_default()
    }

    fn results(&self) -> String {
        let path = self.path("results/quickstart/results.csv");
        fs::read_to_string(path).expect("results")
    }

    /// Published stages: key, and which file their manifest is.
    fn published(&self) -> BTreeMap<String, u64> {
        let mut found = BTreeMap::new();
        for path in files(&self.path("store/manifests")) {
            // A file may be published or go while we look.
            if let Ok(metadata) = fs::metadata(&path) {
                let name = path.file_name().unwrap_or_default();
                found.insert(name.to_string_lossy().into_owned(), metadata.ino());
            }
        }
        found
    }

    /// What each stage made, by key.
    fn made(&self) -> BTreeMap<String, serde_json::Value> {
        let manifests = files(&self.path("store/manifests")).into_iter();
        let read = manifests.map(|path| {
            let text = fs::read_to_string(&path).expect("read");
            let json: serde_json::Value = serde_json::from_str(&text).expect("a whole manifest");
            let name = path.file_name().unwrap_or_default();
            (name.to_string_lossy().into_owned(), json["outputs"].clone())
        });
        read.collect()
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// The processes that a process started.
fn children(parent: u32) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    ids.filter(|id| {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        status
            .lines()
            .any(|line| line.strip_prefix("PPid:").map(str::trim) == Some(&parent.to_string()))
    })
    .map(Pid::from_raw)
    .collect()
}

#[derive(Debug, Default)]
struct Tally {
    sweeps: usize,
    kills_of_the_runner: usize,
    kills_of_the_worker: usize,
    kills_of_both: usize,
    /// The worker had not been started yet, or the sweep had ended.
    missed: usize,
    stages_kept: usize,
}

impl Tally {
    fn kills(&self) -> usize {
        self.kills_of_the_runner + self.kills_of_the_worker + self.kills_of_both
    }
}

fn kill_often(kills: usize, seed: u64) -> Tally {
    let undisturbed = Sweep::new();
    let started = clock::now();
    undisturbed.run();
    let whole = started.elapsed();
    let (results, made) = (undisturbed.results(), undisturbed.made());
    let mut random = Random::new(seed, "kills");
    let mut tally = Tally::default();
    while tally.kills() < kills {
        let sweep = Sweep::new();
        loop {
            let before = sweep.published();
            let mut runner = sweep.start();
            let whole_us = whole.as_micros() as usize;
            // Towards the beginning: what is done is fresh the next time, so later runs are short.
            let wait = random.below(whole_us).min(random.below(whole_us));
            std::thread::sleep(Duration::from_micros(wait as u64));
            let workers = children(runner.id());
            let itself = Pid::from_raw(runner.id() as i32);
            let what = random.below(3);
            let over = runner.try_wait().expect("asked").is_some();
            let killed_runner = !over && what != 1;
            match what {
                _ if over => tally.missed += 1,
                0 => {
                    kill(itself, Signal::SIGKILL).expect("killed");
                    tally.kills_of_the_runner += 1;
                }
                1 if workers.is_empty() => tally.missed += 1,
                1 => {
                    for worker in workers {
                        let _ = kill(worker, Signal::SIGKILL);
                    }
                    tally.kills_of_the_worker += 1;
                }
                _ => {
                    kill(itself, Signal::SIGKILL).expect("killed");
                    for worker in workers {
                        let _ = kill(worker, Signal::SIGKILL);
                    }
                    tally.kills_of_both += 1;
                }
            }
            let ended = runner.wait().expect("ended");
            let after = sweep.published();
            for (key, file) in &before {
                // The same file: it was not even written again.
                assert_eq!(after.get(key), Some(file), "{key} was made again");
            }
            tally.stages_kept += before.len();
            if !killed_runner {
                // A killed worker costs a try, not the run.
                assert!(ended.success(), "{ended}: {}", sweep.said());
                break;
            }
        }
        assert!(sweep.results() == results, "other results than undisturbed");
        assert_eq!(sweep.made(), made, "other bytes than undisturbed");
        tally.sweeps += 1;
        println!("{tally:?}");
    }
    tally
}

#[test]
fn four_kills_of_a_sweep_with_trainings() {
    kill_often(4, 1);
}

/// `cargo test --test reliability -- --ignored --nocapture`
#[test]
#[ignore = "takes about half an hour"]
fn three_hundred_kills_of_a_sweep_with_trainings() {
    kill_often(300, 2);
}
