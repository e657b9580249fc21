//! The program in a folder of its own, for tests that look at it from outside.

// Every test program uses another part of this.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::expect_used,
    clippy::panic
)]

pub mod running;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A folder with an experiment and a pipeline, both small.
pub struct Lab {
    folder: TempDir,
}

/// How a command ended and what it said.
pub struct Outcome {
    pub code: i32,
    pub out: String,
    pub err: String,
    /// Standard output as it came.
    pub bytes: Vec<u8>,
}

pub const EXPERIMENT: &str = "experiments/small.yaml";
pub const PIPELINE: &str = "pipelines/small.yaml";

impl Lab {
    /// A folder with nothing in it.
    pub fn empty() -> Self {
        Self {
            folder: TempDir::new().expect("a temporary folder"),
        }
    }

    /// A folder with the small experiment and its pipeline.
    pub fn small() -> Self {
        let lab = Self::empty();
        lab.write(
            EXPERIMENT,
            include_str!("../bad_input/files/experiment.yaml"),
        );
        lab.write(PIPELINE, include_str!("../bad_input/files/pipeline.yaml"));
        lab
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Writes a file and the folders above it.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(path, content).expect("a file");
    }

    /// Puts `new` in place of `old`, which must be there once.
    pub fn edit(&self, path: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.path(path)).expect("a text");
        assert_eq!(text.matches(old).count(), 1, "`{old}` in {path}");
        self.write(path, text.replace(old, new));
    }

    /// Runs the program here, with arguments separated by spaces.
    pub fn run(&self, line: &str) -> Outcome {
        self.run_list(&line.split(' ').collect::<Vec<_>>())
    }

    /// Runs the program here.
    pub fn run_list(&self, arguments: &[&str]) -> Outcome {
        let output = Command::new(env!("CARGO_BIN_EXE_runner"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("RUNNER_STORE")
            .env_remove("RUNNER_RESULTS")
            .env_remove("NO_COLOR")
            .env("COLUMNS", "100")
            .stdin(Stdio::null())
            .output()
            .expect("the program starts");
        Outcome {
            code: output.status.code().unwrap_or(-1),
            out: self.without_path(&output.stdout),
            err: self.without_path(&output.stderr),
            bytes: output.stdout,
        }
    }

    fn without_path(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes);
        assert!(!text.contains("panicked"), "{text}");
        assert!(!text.contains('\u{1b}'), "colours in a pipe: {text}");
        let mut text = text.replace(&self.folder.path().display().to_string(), "LAB");
        if let Ok(real) = fs::canonicalize(self.folder.path()) {
            text = text.replace(&real.display().to_string(), "LAB");
        }
        text
    }

    /// Every file below a folder, relative to it, sorted.
    pub fn files(&self, below: &str) -> Vec<String> {
        let root = self.path(below);
        let mut found = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                } else if let Ok(path) = entry.path().strip_prefix(&root) {
                    found.push(path.display().to_string());
                }
            }
        }
        found.sort();
        found
    }
}

impl Outcome {
    /// Fails with what the program said unless it ended well.
    #[track_caller]
    pub fn fine(self) -> Self {
        assert_eq!(self.code, 0, "{self}");
        self
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}\n{self}"))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "exit {}", self.code)?;
        for (name, text) in [("stdout", &self.out), ("stderr", &self.err)] {
            if !text.is_empty() {
                writeln!(formatter, "--- {name}\n{}", text.trim_end())?;
            }
        }
        Ok(())
    }
}

/// The repository's folder.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compares with a snapshot after making times, digests and sizes the same everywhere.
#[macro_export]
macro_rules! assert_redacted {
    ($name:expr, $value:expr) => {{
        let mut settings = insta::Settings::clone_current();
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.add_filter(r"\b[0-9a-f]{64}\b", "[digest]");
        settings.add_filter(r"\b[0-9a-f]{12}\b", "[digest]");
        settings.add_filter(r"\b\d+(\.\d+)? ?(ms|s|min|h|µs)\b( \d+ s)?", "[time]");
        // Equal bytes on two paths may be made by either first.
        settings.add_filter(r"\b\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2} UTC", "[moment]");
        settings.add_filter(r"\b\d+ ran\b", "[n] ran");
        settings.add_filter(r"\b(small|test)-\d{13}", "$1-[time]");
        settings.add_filter(r"\b([0-9a-z.]+)-\d{13}\b", "$1-[time]");
        settings.add_filter(r"on \d+ threads?", "on [n] threads");
        settings.bind(|| insta::assert_snapshot!($name, $value));
    }};
}
