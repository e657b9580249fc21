//! [`Store::collect_garbage`]: what can go, by reason, and what must not.
//!
//! Every artifact is of one class, the least needed first:
//!
//! | class | what | goes |
//! |---|---|---|
//! | unnamed | no manifest names it | always |
//! | older run | what named it was made again since, with other parameters or inputs | always |
//! | in between | a stage that stands made it and another one reads it, and it is not small | if asked |
//! | result | everything else: what result sets stand on | only if asked in so many words |
//!
//! Manifests stay, so nothing that stands becomes stale. Nothing goes while a runner uses the
//! store: it may be about to read just that.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::lock;
use super::manifest::Manifest;
use super::store::{SMALL, Store, StoreError, io_error, size};
use crate::base::{Digest, StageKey, clock};

/// What nobody came back to for this long is garbage: quarantined bytes, logs, unfinished work.
pub(super) const KEPT: Duration = Duration::from_hours(14 * 24);

/// Why an artifact can go; the least needed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// No manifest names it.
    Unnamed,
    /// What made it was run again since, with other parameters or inputs.
    OlderRun,
    /// It lies between what was given and what came out.
    Intermediate,
    /// It is a result, and somebody asked for results to go.
    Result,
}

/// What is to go.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Also what lies in between.
    pub intermediates: bool,
    /// Also what result sets stand on.
    pub results: bool,
    /// Only what is older than this.
    pub older_than: Option<Duration>,
    /// Only until the artifacts have no more bytes than this; what lies in between may go for that.
    pub max_size: Option<u64>,
    /// Stages that a result set names; what they made are results.
    pub standing: BTreeSet<StageKey>,
    /// Change nothing.
    pub dry_run: bool,
}

/// An artifact that went, or would go.
#[derive(Debug, Clone, Serialize)]
pub struct Removed {
    /// The artifact.
    pub digest: Digest,
    /// Why.
    pub why: Why,
    /// Its size.
    pub bytes: u64,
    /// When it was made, in milliseconds since 1970.
    pub made_at_ms: u64,
    /// The stages and outputs that it was: `train@k=16/model`.
    pub stages: Vec<String>,
}

/// How much of something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// How many.
    pub count: usize,
    /// How many bytes.
    pub bytes: u64,
}

/// What went, or would go.
#[derive(Debug, Clone, Default)]
pub struct Garbage {
    /// Artifacts, the first that go first.
    pub artifacts: Vec<Removed>,
    /// Bytes of the artifacts that stay.
    pub left_bytes: u64,
    /// Unfinished work of stages that are finished or that nobody came back to.
    pub unfinished: Amount,
    /// Old damaged bytes.
    pub quarantined: Amount,
    /// Old logs.
    pub logs: Amount,
    /// What dead runners left.
    pub abandoned: Amount,
    /// Whether a runner uses the store, so that artifacts stayed.
    pub in_use: bool,
}

/// One line of what is remembered of removed artifacts.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line {
    digest: Digest,
    why: Why,
    removed_at_ms: u64,
}

/// Artifacts that were removed on purpose; `None` if the store does not remember.
pub(super) fn removed(store: &Store) -> Option<BTreeSet<Digest>> {
    let bytes = fs::read(store.removed_path()).ok()?;
    let lines = bytes.split(|byte| *byte == b'\n');
    let read = lines.filter_map(|line| serde_json::from_slice::<Line>(line).ok());
    Some(read.map(|line| line.digest).collect())
}

impl Store {
    fn removed_path(&self) -> PathBuf {
        self.root().join("removed.jsonl")
    }

    /// Removes artifacts that are wanted gone, and what is left of the dead; with `dry_run` only
    /// says what that would be.
    ///
    /// # Errors
    /// If something cannot be listed or removed.
    pub fn collect_garbage(&self, wanted: &Wanted) -> Result<Garbage, StoreError> {
        let mut garbage = Garbage::default();
        let alone = if wanted.dry_run {
            None
        } else {
            let path = self.in_use_path();
            let alone = lock::alone(&path).map_err(io_error("lock", &path))?;
            garbage.in_use = alone.is_none();
            alone
        };
        garbage.artifacts = self.candidates(wanted, &mut garbage.left_bytes)?;
        if garbage.in_use {
            let kept = std::mem::take(&mut garbage.artifacts);
            garbage.left_bytes += kept.iter().map(|removed| removed.bytes).sum::<u64>();
        } else if !wanted.dry_run {
            self.remove(&garbage.artifacts)?;
        }
        let (count, bytes) = self.remove_old_partials(wanted.dry_run);
        garbage.unfinished = Amount { count, bytes };
        let age = match wanted.older_than {
            // What is new may be in use.
            Some(age) if garbage.in_use => age.max(KEPT),
            Some(age) => age,
            None => KEPT,
        };
        let old = |folder: &str| remove_old(&self.root().join(folder), age, wanted.dry_run);
        garbage.quarantined = old("quarantine");
        garbage.logs = old("logs");
        if !wanted.dry_run {
            let (count, bytes) = self.sweep();
            garbage.abandoned = Amount { count, bytes };
        }
        drop(alone);
        Ok(garbage)
    }

    /// What would go, in order; `left_bytes` is what stays.
    fn candidates(
        &self,
        wanted: &Wanted,
        left_bytes: &mut u64,
    ) -> Result<Vec<Removed>, StoreError> {
        let mut manifests = Vec::new();
        for key in self.keys()? {
            manifests.extend(self.manifest(key)?);
        }
        let classes = self.classes(&manifests, &wanted.standing);
        let mut named: BTreeMap<Digest, (u64, Vec<String>)> = BTreeMap::new();
        for manifest in &manifests {
            for output in &manifest.outputs {
                let (made_at_ms, stages) = named.entry(output.digest).or_default();
                *made_at_ms = manifest.made_at_ms.max(*made_at_ms);
                stages.push(format!("{}/{}", manifest.stage, output.name));
            }
        }
        let now_ms = clock::unix_milliseconds();
        let mut found = Vec::new();
        for (digest, path) in self.artifacts()? {
            let bytes = size(&path).map_err(io_error("read", &path))?;
            *left_bytes += bytes;
            let (made_at_ms, stages) = match named.remove(&digest) {
                Some(known) => known,
                None => (modified_ms(&path).unwrap_or(now_ms), Vec::new()),
            };
            found.push(Removed {
                digest,
                why: classes.get(&digest).copied().unwrap_or(Why::Unnamed),
                bytes,
                made_at_ms,
                stages,
            });
        }
        found.retain(|one| {
            let may_go = match one.why {
                Why::Unnamed | Why::OlderRun => true,
                Why::Intermediate => wanted.intermediates || wanted.max_size.is_some(),
                Why::Result => wanted.results,
            };
            let age = Duration::from_millis(now_ms.saturating_sub(one.made_at_ms));
            may_go && wanted.older_than.is_none_or(|limit| age > limit)
        });
        found.sort_by_key(|one| (one.why, one.made_at_ms, one.digest));
        let mut going = Vec::new();
        for one in found {
            if wanted.max_size.is_some_and(|most| *left_bytes <= most) {
                break;
            }
            *left_bytes -= one.bytes;
            going.push(one);
        }
        Ok(going)
    }

    /// The class of every artifact that a manifest names.
    fn classes(
        &self,
        manifests: &[Manifest],
        standing: &BTreeSet<StageKey>,
    ) -> BTreeMap<Digest, Why> {
        // What stands: the newest run of every stage id. Stages are shared across experiments
        // under the id that first made them, so what any experiment remembers as its last key
        // stands as well, and what a result set names.
        let mut newest: BTreeMap<&str, &Manifest> = BTreeMap::new();
        let mut also = self.remembered_keys();
        also.extend(standing);
        for manifest in manifests {
            let known = newest.entry(&manifest.stage).or_insert(manifest);
            if known.made_at_ms <= manifest.made_at_ms {
                *known = manifest;
            }
        }
        let others = manifests
            .iter()
            .filter(|manifest| also.contains(&manifest.key));
        let stands: Vec<&Manifest> = newest.into_values().chain(others).collect();
        let read: BTreeSet<Digest> = (stands.iter())
            .flat_map(|manifest| manifest.material.inputs.values().flatten())
            .map(|input| input.digest)
            .collect();
        let mut classes: BTreeMap<Digest, Why> = (manifests.iter())
            .flat_map(|manifest| &manifest.outputs)
            .map(|output| (output.digest, Why::OlderRun))
            .collect();
        for manifest in stands {
            // A stage that any other reads from lies in between with all it made. Choices and
            // audits are small and told in every report.
            let outputs = &manifest.outputs;
            let is_read = outputs.iter().any(|output| read.contains(&output.digest));
            let is_named = standing.contains(&manifest.key);
            for output in outputs {
                let class = if !is_read || is_named || output.bytes < SMALL {
                    Why::Result
                } else {
                    Why::Intermediate
                };
                let known = classes.entry(output.digest).or_insert(class);
                *known = class.max(*known);
            }
        }
        classes
    }

    fn remove(&self, artifacts: &[Removed]) -> Result<(), StoreError> {
        if artifacts.is_empty() {
            return Ok(());
        }
        // Said first: what was said and is still there was not removed, and that can be seen.
        self.remember_removed(artifacts)?;
        let away = self.root().join("tmp");
        for one in artifacts {
            let path = self.artifact_path(one.digest);
            // A folder goes at once or not at all; what a kill leaves is swept later.
            let target = away.join(format!("removed-{}", one.digest.short()));
            let from = if fs::rename(&path, &target).is_ok() {
                &target
            } else {
                &path
            };
            let removed = if from.is_dir() {
                fs::remove_dir_all(from)
            } else {
                fs::remove_file(from)
            };
            removed.map_err(io_error("remove", &path))?;
        }
        Ok(())
    }

    /// Remembers what was removed on purpose, and forgets what was made again.
    fn remember_removed(&self, artifacts: &[Removed]) -> Result<(), StoreError> {
        let path = self.removed_path();
        let now_ms = clock::unix_milliseconds();
        let mut lines: BTreeMap<Digest, Line> = (fs::read(&path).unwrap_or_default())
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice::<Line>(line).ok())
            .filter(|line| !self.artifact_path(line.digest).exists())
            .map(|line| (line.digest, line))
            .collect();
        for one in artifacts {
            let line = Line {
                digest: one.digest,
                why: one.why,
                removed_at_ms: now_ms,
            };
            lines.insert(one.digest, line);
        }
        let write = || -> io::Result<()> {
            let mut draft = tempfile::NamedTempFile::new_in(self.root())?;
            for line in lines.values() {
                serde_json::to_writer(&mut draft, line)?;
                draft.write_all(b"\n")?;
            }
            draft.persist(&path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(io_error("write", &path))
    }
}

/// Removes, or only counts, what lies in a folder for longer than some time.
fn remove_old(folder: &Path, age: Duration, dry_run: bool) -> Amount {
    let now_ms = clock::unix_milliseconds();
    let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    let mut gone = Amount::default();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_old = modified_ms(&path).is_some_and(|at| now_ms.saturating_sub(at) > age_ms);
        if !is_old {
            continue;
        }
        let bytes = size(&path).unwrap_or(0);
        if dry_run || fs::remove_file(&path).is_ok() || fs::remove_dir_all(&path).is_ok() {
            gone.count += 1;
            gone.bytes += bytes;
        }
    }
    gone
}

/// When something was changed last, in milliseconds since 1970.
fn modified_ms(path: &Path) -> Option<u64> {
    let modified = fs::symlink_metadata(path).ok()?.modified().ok()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}
