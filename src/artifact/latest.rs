//! The last key, timing and outputs of each stage of an experiment: what plans, `why` and
//! estimates read.
//!
//! One line per stage that ran, appended; the last line of a stage counts. A plan that finds a
//! stage's key here need not open its manifest, only see that it is there. Losing the file loses
//! explanations, estimates and a little time, never artifacts.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::manifest::OutputRecord;
use crate::base::{StageKey, bounded};

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatestRecord {
    /// The stage id.
    pub stage: String,
    /// Its key.
    pub key: StageKey,
    /// Seconds it took when it ran.
    pub wall_s: f64,
    /// What it made, as its manifest says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<OutputRecord>,
}

/// Reads the last record of every stage; damaged lines are passed over.
#[must_use]
pub fn read(path: &Path) -> BTreeMap<String, LatestRecord> {
    bounded::read_text(path, bounded::RECORDS)
        .unwrap_or_default()
        .lines()
        .filter_map(|line| serde_json::from_str::<LatestRecord>(line).ok())
        .map(|record| (record.stage.clone(), record))
        .collect()
}

/// Appends records. Each line is written at once, so that two runners do not mix theirs.
#[derive(Debug)]
pub struct Appender {
    path: PathBuf,
    file: Option<File>,
}

impl Appender {
    /// Appends to the file at `path`, which is opened at the first record.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    /// Appends records.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn append(&mut self, records: &[LatestRecord]) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let mut text = Vec::new();
        let mut file = if let Some(file) = self.file.take() {
            file
        } else {
            let mut file = OpenOptions::new()
                .create(true)
                .read(true)
                .append(true)
                .open(&self.path)?;
            // A killed runner may have left half a line, which must not swallow ours.
            if ends_inside_a_line(&mut file)? {
                text.push(b'\n');
            }
            file
        };
        for record in records {
            serde_json::to_writer(&mut text, record).map_err(io::Error::other)?;
            text.push(b'\n');
        }
        file.write_all(&text)?;
        // After an error it is opened again, and half a line is noticed.
        self.file = Some(file);
        Ok(())
    }
}

fn ends_inside_a_line(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::base::Digest;

    #[test]
    fn half_a_line_of_a_killed_runner_swallows_nothing() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("latest.jsonl");
        let record = |stage: &str| LatestRecord {
            stage: stage.to_owned(),
            key: Digest::of_bytes(stage.as_bytes()),
            wall_s: 1.5,
            outputs: Vec::new(),
        };
        let mut first = Appender::new(path.clone());
        first.append(&[record("one")]).expect("appended");
        fs::write(
            &path,
            format!(
                "{}{{\"stage\":\"tw",
                fs::read_to_string(&path).expect("read")
            ),
        )
        .expect("torn");
        Appender::new(path.clone())
            .append(&[record("three")])
            .expect("appended");
        let found = read(&path);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["one", "three"]);
        assert_eq!(found["three"], record("three"));
    }
}
