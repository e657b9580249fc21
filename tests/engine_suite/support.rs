//! A small project in a temporary folder, run through the built program.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use runner::base::Digest;
use serde_json::Value;

/// The sweep most tests use: 1 data → 3 train → 3 eval → 1 aggregate. A training divides its rate,
/// so a rate can change without changing a byte: 20 to 21 for instance.
pub(crate) fn sweep() -> Vec<Stage> {
    vec![
        sh("data", "echo seed > $1"),
        sh("train", "echo $((RATE / 100)) $(cat $2) > $1")
            .env("RATE", "${rates.${i}}0")
            .input("d", "data"),
        sh("eval", "cat $2 > $1; echo scored >> $1")
            .env("WAY", "${way}")
            .input("t", "train"),
        sh("aggregate", "out=$1; shift; cat $@ > $out").input("e", "{stage: eval, over: all}"),
    ]
}

/// Grid and variables of [`sweep`].
pub(crate) const GRID: &str =
    "grid: {i: [a, b, c]}\nvariables: {way: one, rates: {a: 10, b: 20, c: 30}}\n";

/// What the aggregate of [`sweep`] holds with the rates of [`GRID`].
pub(crate) const AGGREGATE: &str = "1 seed\nscored\n2 seed\nscored\n3 seed\nscored\n";

/// A stage of a test's pipeline: a shell script whose `$1` is its output and whose further
/// arguments are its inputs in order. Each execution is counted.
pub(crate) struct Stage {
    name: &'static str,
    script: &'static str,
    env: Vec<(&'static str, &'static str)>,
    inputs: Vec<(&'static str, &'static str)>,
    more: &'static str,
}

pub(crate) fn sh(name: &'static str, script: &'static str) -> Stage {
    Stage {
        name,
        script,
        env: Vec::new(),
        inputs: Vec::new(),
        more: "",
    }
}

impl Stage {
    /// An environment variable, references allowed.
    pub(crate) fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.env.push((name, value));
        self
    }

    /// An input and what is connected to it, as in a pipeline file.
    pub(crate) fn input(mut self, name: &'static str, from: &'static str) -> Self {
        self.inputs.push((name, from));
        self
    }

    /// Another parameter, such as `lane: accelerator`.
    pub(crate) fn param(mut self, line: &'static str) -> Self {
        self.more = line;
        self
    }

    fn yaml(&self, log: &Path) -> String {
        let Self {
            name, script, more, ..
        } = self;
        let log = log.display();
        let paths: String = self
            .inputs
            .iter()
            .map(|(input, _)| format!(", \"${{inputs.{input}}}\""))
            .collect();
        let list = |pairs: &[(&str, &str)], quote: &str| {
            let entries: Vec<String> = pairs
                .iter()
                .map(|(key, value)| format!("{key}: {quote}{value}{quote}"))
                .collect();
            format!("{{{}}}", entries.join(", "))
        };
        format!(
            "  {name}:\n    kind: command\n    params:\n      command: [sh, -c, \"set -e; echo {name} \
             >> {log}; {script}\", sh, \"${{outputs.out}}\"{paths}]\n      outputs: {{out: out.txt}}\n      \
             environment: {}\n      {more}\n    inputs: {}\n",
            list(&self.env, "\""),
            list(&self.inputs, ""),
        )
    }
}

/// A folder with an experiment, its pipeline and its store.
pub(crate) struct Project {
    home: tempfile::TempDir,
}

/// How a run went.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    /// Ids of stages that ran and were published, sorted.
    pub(crate) made: Vec<String>,
    /// Ids of stages that turned out fresh on the way, with why.
    pub(crate) fresh: BTreeMap<String, String>,
    /// Failed stages with their messages.
    pub(crate) failed: BTreeMap<String, String>,
    pub(crate) skipped: BTreeSet<String>,
    pub(crate) cancelled: u64,
    pub(crate) warnings: Vec<String>,
    pub(crate) stderr: String,
}

impl Project {
    /// `experiment` is what stands below its `pipeline:`.
    pub(crate) fn new(experiment: &str, stages: &[Stage]) -> Self {
        let project = Self {
            home: tempfile::tempdir().expect("folder"),
        };
        project.pipeline(stages);
        project.experiment(experiment);
        project
    }

    /// The common sweep.
    pub(crate) fn sweep() -> Self {
        Self::new(GRID, &sweep())
    }

    pub(crate) fn experiment(&self, text: &str) {
        let text = format!("experiment: test\npipeline: pipeline.yaml\n{text}");
        self.write("test.yaml", &text);
    }

    pub(crate) fn pipeline(&self, stages: &[Stage]) {
        let log = self.path("executions.log");
        let stages: String = stages.iter().map(|stage| stage.yaml(&log)).collect();
        self.write(
            "pipeline.yaml",
            &format!("pipeline: test\nstages:\n{stages}"),
        );
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path(".runner/store")
    }

    /// The program in this folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
        command
            .args(arguments)
            .current_dir(self.home.path())
            .env_remove("RUNNER_STORE")
            .env_remove("RUNNER_RESULTS")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run_command(&self, more: &[&str]) -> Command {
        let mut arguments = vec!["run", "test.yaml", "--json"];
        arguments.extend(more);
        self.command(&arguments)
    }

    /// `runner run` with more arguments.
    pub(crate) fn run(&self, more: &[&str]) -> Ran {
        Ran::read(&self.run_command(more).output().expect("started"))
    }

    /// What another command prints.
    pub(crate) fn says(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("started");
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    }

    /// How often commands of each template were executed, over all runs.
    pub(crate) fn executions(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        let text = fs::read_to_string(self.path("executions.log")).unwrap_or_default();
        for line in text.lines() {
            *counts.entry(line.to_owned()).or_default() += 1;
        }
        counts
    }

    /// All manifests, by stage id.
    pub(crate) fn manifests(&self) -> BTreeMap<String, Value> {
        files_below(&self.store().join("manifests"))
            .into_iter()
            .filter_map(|path| {
                let manifest: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
                Some((manifest["stage"].as_str()?.to_owned(), manifest))
            })
            .collect()
    }

    /// Where the first output of a stage lies.
    pub(crate) fn artifact(&self, stage: &str) -> PathBuf {
        let manifests = self.manifests();
        let manifest = manifests.get(stage).expect("made");
        let digest = manifest["outputs"][0]["digest"].as_str().expect("digest");
        self.store()
            .join("artifacts")
            .join(&digest[..2])
            .join(digest)
    }

    /// Whether some artifact holds just this text.
    pub(crate) fn has_artifact(&self, text: &str) -> bool {
        let hex = Digest::of_bytes(text.as_bytes()).hex();
        let path = self.store().join("artifacts").join(&hex[..2]).join(&hex);
        fs::read_to_string(path).is_ok_and(|found| found == text)
    }

    /// Everything in the store that must agree with itself after whatever happened: artifacts with
    /// their names, manifests with their artifacts, and no work under way left behind.
    pub(crate) fn check_store(&self) {
        for path in files_below(&self.store().join("artifacts")) {
            let name = path.file_name().expect("name").to_string_lossy();
            let digest = Digest::of_file(&path).expect("read");
            assert_eq!(name, digest.hex(), "an artifact has other bytes");
        }
        for path in files_below(&self.store().join("manifests")) {
            let bytes = fs::read(&path).expect("read");
            let manifest: Value = serde_json::from_slice(&bytes).expect("a whole manifest");
            for output in manifest["outputs"].as_array().expect("outputs") {
                let hex = output["digest"].as_str().expect("digest");
                let artifact = self.store().join("artifacts").join(&hex[..2]).join(hex);
                assert!(artifact.exists(), "a manifest without its artifact");
            }
        }
    }
}

impl Ran {
    pub(crate) fn read(output: &Output) -> Self {
        let mut ran = Self {
            code: output.status.code(),
            made: Vec::new(),
            fresh: BTreeMap::new(),
            failed: BTreeMap::new(),
            skipped: BTreeSet::new(),
            cancelled: 0,
            warnings: Vec::new(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let Ok(value) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            let kind = &value["kind"];
            let text = |name: &str| kind[name].as_str().unwrap_or_default().to_owned();
            match kind["event"].as_str() {
                Some("stage_finished") => ran.made.push(text("stage")),
                Some("stage_fresh") => {
                    ran.fresh.insert(text("stage"), text("because"));
                }
                Some("stage_failed") => {
                    ran.failed.insert(text("stage"), text("message"));
                }
                Some("stage_skipped") => {
                    ran.skipped.insert(text("stage"));
                }
                Some("warned") => ran.warnings.push(text("message")),
                Some("run_finished") => ran.cancelled = kind["cancelled"].as_u64().unwrap_or(0),
                _ => {}
            }
        }
        ran.made.sort();
        ran
    }
}

/// All files below a folder.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return found;
    };
    for entry in entries {
        let path = entry.expect("listed").path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}
