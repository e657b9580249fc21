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

use super::lock::is_at;
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

/// A file is written anew when it has so many times as many lines as stages.
const TOO_MANY: usize = 4;

/// Shorter files (lines) are not worth it.
const SHORT: usize = 100;

/// Reads the last record of every stage; damaged lines are passed over.
#[must_use]
pub fn read(path: &Path) -> BTreeMap<String, LatestRecord> {
    records(path).flatten().collect()
}

/// All lines in order, with nothing in place of a damaged one.
fn records(path: &Path) -> impl Iterator<Item = Option<(String, LatestRecord)>> + use<> {
    let bytes = bounded::read(path, bounded::RECORDS).unwrap_or_default();
    let lines: Vec<_> = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            let record: LatestRecord = serde_json::from_slice(line).ok()?;
            Some((record.stage.clone(), record))
        })
        .collect();
    lines.into_iter()
}

/// How many lines are damaged.
#[must_use]
pub fn damaged_lines(path: &Path) -> usize {
    records(path).filter(Option::is_none).count()
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
            // What could not be made shorter is only longer.
            let _ = compact(&self.path);
            let mut file = open(&self.path)?;
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

/// Opens a file to append to. Everybody who does shares its lock for as long as it is open, so
/// that nobody writes it anew meanwhile and lines go to a file that is no longer there.
fn open(path: &Path) -> io::Result<File> {
    loop {
        let mut options = OpenOptions::new();
        let file = options.create(true).read(true).append(true).open(path)?;
        // Where there are no locks, nobody gets the one that writing anew takes.
        let is_locked = file.lock_shared().is_ok();
        if !is_locked || is_at(&file, path) {
            return Ok(file);
        }
    }
}

/// Writes a file anew with the last line of every stage, if it has many more lines and nobody
/// appends to it.
fn compact(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    if file.try_lock().is_err() || !is_at(&file, path) {
        return Ok(());
    }
    let lines: Vec<_> = records(path).collect();
    let count = lines.len();
    let last: BTreeMap<_, _> = lines.into_iter().flatten().collect();
    if count < SHORT || count < TOO_MANY * last.len() {
        return Ok(());
    }
    let mut text = Vec::new();
    for record in last.values() {
        serde_json::to_writer(&mut text, record).map_err(io::Error::other)?;
        text.push(b'\n');
    }
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let mut draft = tempfile::Builder::new()
        .permissions(file.metadata()?.permissions())
        .tempfile_in(folder)?;
    draft.write_all(&text)?;
    draft.persist(path).map_err(|error| error.error)?;
    Ok(())
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

    fn record(stage: &str, wall_s: f64) -> LatestRecord {
        LatestRecord {
            stage: stage.to_owned(),
            key: Digest::of_bytes(stage.as_bytes()),
            wall_s,
            outputs: Vec::new(),
        }
    }

    #[test]
    fn what_was_said_many_times_over_is_written_anew_and_nothing_is_lost() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("latest.jsonl");
        let lines = || records(&path).count();
        let mut first = Appender::new(path.clone());
        for round in 0..SHORT {
            let one = [record("one", round as f64), record("two", 1.0)];
            first.append(&one).expect("appended");
        }
        // Another one appends, so the file stays as it is, and so does what both say.
        let mut second = Appender::new(path.clone());
        second.append(&[record("three", 3.0)]).expect("appended");
        assert_eq!(lines(), 2 * SHORT + 1);
        drop((first, second));
        let mut third = Appender::new(path.clone());
        third.append(&[record("four", 4.0)]).expect("appended");
        assert_eq!(lines(), 4);
        third.append(&[record("five", 5.0)]).expect("appended");
        let found = read(&path);
        assert_eq!(found.len(), 5);
        assert_eq!(found["one"], record("one", SHORT as f64 - 1.0));
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[test]
    fn half_a_line_of_a_killed_runner_swallows_nothing() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("latest.jsonl");
        let record = |stage: &str| record(stage, 1.5);
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
