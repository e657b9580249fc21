//! How fast stages of the accelerator lane were: what they computed, and how long that took.
//!
//! One line for each that ran, appended after a run, when the lengths of its texts are known. A
//! stage that never ran is expected to compute as fast as those nearest to it did.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::{Digest, StageKey, bounded};

/// A stage that ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// The stage kind.
    pub kind: String,
    /// Tells models of other sizes apart.
    pub sizes: Digest,
    /// The device and what it was given.
    pub device: String,
    /// The stage's key: no stage counts twice.
    pub key: StageKey,
    /// Multiplications and additions.
    pub work: f64,
    /// Seconds.
    pub wall_s: f64,
    /// Bytes that it took at its highest moment, where that was measured.
    #[serde(default)]
    pub peak_memory: Option<u64>,
    /// What was planned for it.
    #[serde(default)]
    pub planned_memory: u64,
}

/// So many are read; older ones come from older programs.
const MOST: usize = 1_000;

/// What is known of a device.
#[derive(Debug, Default)]
pub struct Speeds {
    known: Vec<Speed>,
}

/// What an estimate stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Stages of the same kind with a model of the same sizes.
    SameKindAndModel,
    /// Other kinds of stages with a model of the same sizes.
    SameModel,
    /// What the stage itself took, or its siblings on average, whatever they computed.
    PastTimings,
}

impl Standing {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::SameKindAndModel => "by the speed of such stages",
            Self::PastTimings => "by past timings",
            Self::SameModel => "by the speed of other kinds with this model",
        }
    }
}

impl Speeds {
    /// Reads what is known of a device; damaged lines are passed over.
    #[must_use]
    pub fn read(path: &Path, device: &str) -> Self {
        let bytes = bounded::read(path, bounded::RECORDS).unwrap_or_default();
        let lines = bytes.split(|byte| *byte == b'\n');
        let speeds = lines.filter_map(|line| serde_json::from_slice::<Speed>(line).ok());
        let usable = |one: &Speed| {
            one.device == device && one.work > 0.0 && one.wall_s > 0.0 && one.wall_s.is_finite()
        };
        let mut known: Vec<Speed> = speeds.filter(usable).collect();
        known.drain(..known.len().saturating_sub(MOST));
        Self { known }
    }

    /// Multiplications and additions a second of the nearest stages, and how near they are.
    #[must_use]
    pub fn of(&self, kind: &str, sizes: Digest) -> Option<(f64, Standing)> {
        let rate = |fits: &dyn Fn(&Speed) -> bool| {
            let (mut work, mut wall_s) = (0.0, 0.0);
            for one in self.known.iter().filter(|one| fits(one)) {
                work += one.work;
                wall_s += one.wall_s;
            }
            (wall_s > 0.0).then(|| work / wall_s)
        };
        let same = rate(&|one| one.kind == kind && one.sizes == sizes);
        let model = || rate(&|one| one.sizes == sizes);
        same.map(|rate| (rate, Standing::SameKindAndModel))
            .or_else(|| Some((model()?, Standing::SameModel)))
    }

    /// How much of what was planned stages took in memory, the least and the most, and how many
    /// there were; `None` where nothing was measured.
    #[must_use]
    pub fn memory_of_planned(&self) -> Option<(f64, f64, usize)> {
        let shares = self.known.iter().filter_map(|one| {
            let measured = one.peak_memory.filter(|_| one.planned_memory > 0)?;
            Some(measured as f64 / one.planned_memory as f64)
        });
        shares.fold(None, |found, share| {
            let (least, most, count) = found.unwrap_or((share, share, 0));
            Some((share.min(least), share.max(most), count + 1))
        })
    }

    /// Keys of the stages that are known.
    #[must_use]
    pub fn keys(&self) -> BTreeSet<StageKey> {
        self.known.iter().map(|one| one.key).collect()
    }
}

/// Appends what was learnt. What cannot be kept costs an estimate, nothing else.
pub fn append(path: &Path, speeds: &[Speed]) {
    if speeds.is_empty() {
        return;
    }
    let lines: Vec<String> = speeds
        .iter()
        .filter_map(|one| serde_json::to_string(one).ok())
        .collect();
    let text = format!("{}\n", lines.join("\n"));
    let file = OpenOptions::new().create(true).append(true).open(path);
    if let Ok(mut file) = file {
        // A line that was cut short by a kill is closed by the next one's beginning.
        let torn =
            fs::read(path).is_ok_and(|bytes| bytes.last().is_some_and(|last| *last != b'\n'));
        let _ = file.write_all(if torn { format!("\n{text}") } else { text }.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speed(kind: &str, sizes: &[u8], work: f64, wall_s: f64) -> Speed {
        Speed {
            kind: kind.to_owned(),
            sizes: Digest::of_bytes(sizes),
            device: "one".to_owned(),
            key: Digest::of_bytes(format!("{kind}{work}").as_bytes()),
            work,
            wall_s,
            peak_memory: Some((work * 10.0) as u64),
            planned_memory: 100,
        }
    }

    #[test]
    fn the_nearest_stages_say_how_fast() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("speeds.jsonl");
        append(&path, &[speed("score", b"small", 8.0, 2.0)]);
        fs::write(
            &path,
            [&fs::read(&path).expect("read")[..], b"{\"torn"].concat(),
        )
        .expect("torn");
        let tuned = [
            speed("rec_tune", b"small", 6.0, 3.0),
            speed("rec_tune", b"small", 2.0, 1.0),
            speed("rec_tune", b"large", 90.0, 3.0),
        ];
        append(&path, &tuned);
        let known = Speeds::read(&path, "one");
        assert_eq!(known.keys().len(), 4);
        let of = |kind, sizes: &[u8]| known.of(kind, Digest::of_bytes(sizes));
        let same = Some((2.0, Standing::SameKindAndModel));
        assert_eq!(of("rec_tune", b"small"), same);
        assert_eq!(of("score", b"large"), Some((30.0, Standing::SameModel)));
        // A small model is no measure of a large one: its matrices are slower by far.
        assert_eq!(of("score", b"other"), None);
        assert!(
            Speeds::read(&path, "another")
                .of("score", Digest::of_bytes(b"small"))
                .is_none()
        );
    }
}
