//! The last key and timing of each stage of an experiment: what `why` and estimates read.
//!
//! One line per stage that ran, appended; the last line of a stage counts. Losing the file
//! loses explanations and estimates, never artifacts.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::StageKey;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatestRecord {
    /// The stage id.
    pub stage: String,
    /// Its key.
    pub key: StageKey,
    /// Seconds it took when it ran.
    pub wall_s: f64,
}

/// Reads the last record of every stage; damaged lines are passed over.
#[must_use]
pub fn read(path: &Path) -> BTreeMap<String, LatestRecord> {
    fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .filter_map(|line| serde_json::from_str::<LatestRecord>(line).ok())
        .map(|record| (record.stage.clone(), record))
        .collect()
}

/// Appends records; each line is one write, so that two runners do not mix theirs.
///
/// # Errors
/// If the file cannot be written.
pub fn append(path: &Path, records: &[LatestRecord]) -> io::Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    let mut text = String::new();
    for record in records {
        text.push_str(&serde_json::to_string(record).map_err(io::Error::other)?);
        text.push('\n');
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)?
        .write_all(text.as_bytes())
}
