//! Folders for work under way: one for each runner, one below it for each stage that runs.
//!
//! A runner's folder has a lock beside it that is held as long as the runner lives, so a folder
//! whose lock can be taken belongs to nobody and is swept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::lock::StageLock;

/// Orphans without a lock are left alone for this long (seconds), in case they are not orphans.
const PATIENCE_S: u64 = 60;

/// The folder of one runner.
#[derive(Debug)]
pub(super) struct Workbench {
    folder: PathBuf,
    next: AtomicU64,
    _lock: StageLock,
}

impl Workbench {
    /// Makes a folder that nobody else uses.
    pub(super) fn open(parent: &Path) -> io::Result<Arc<Self>> {
        loop {
            // The lock comes first: a sweep never sees a living runner's folder without one.
            let path = tempfile::Builder::new()
                .prefix("run-")
                .suffix(".lock")
                .tempfile_in(parent)?
                .into_temp_path()
                .keep()
                .map_err(|error| error.error)?;
            // A sweep may hold it for a moment, and removes it then.
            let Some(lock) = StageLock::try_acquire(&path, false)? else {
                continue;
            };
            let folder = path.with_extension("");
            fs::create_dir(&folder)?;
            return Ok(Arc::new(Self {
                folder,
                next: AtomicU64::new(0),
                _lock: lock,
            }));
        }
    }

    /// A path in the folder that was not used before.
    pub(super) fn fresh_path(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.folder.join(number.to_string())
    }

    /// Makes a folder for one stage.
    pub(super) fn scratch(self: &Arc<Self>) -> io::Result<Scratch> {
        let path = self.fresh_path();
        fs::create_dir(&path)?;
        Ok(Scratch {
            path,
            _bench: Arc::clone(self),
        })
    }
}

impl Drop for Workbench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A folder for one stage under way; removed when dropped, swept later if its runner is killed.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    _bench: Arc<Workbench>,
}

impl Scratch {
    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Mostly everything in it was published, that is, moved away.
        if fs::remove_dir(&self.path).is_err() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Removes folders whose runners are gone.
pub(super) fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    let paths: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .collect();
    for path in &paths {
        let is_lock = path
            .extension()
            .is_some_and(|extension| extension == "lock");
        if is_lock {
            // Held while the folder goes, removed with it.
            if let Ok(Some(_held)) = StageLock::try_acquire(path, false) {
                let _ = fs::remove_dir_all(path.with_extension(""));
            }
        } else if !path.with_extension("lock").exists() && is_old(path) {
            let _ = fs::remove_dir_all(path);
            let _ = fs::remove_file(path);
        }
    }
}

fn is_old(path: &Path) -> bool {
    fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .ok()
        .and_then(|modified| modified.elapsed().ok())
        .is_some_and(|age| age.as_secs() > PATIENCE_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_runners_folder_survives_a_sweep_and_a_dead_ones_does_not() {
        let parent = tempfile::tempdir().expect("folder");
        let bench = Workbench::open(parent.path()).expect("bench");
        let scratch = bench.scratch().expect("scratch");
        fs::write(scratch.path().join("half"), "done").expect("written");
        // What a killed runner leaves: a lock nobody holds, and a folder.
        fs::create_dir(parent.path().join("run-dead")).expect("made");
        fs::write(parent.path().join("run-dead/half"), "done").expect("written");
        fs::write(parent.path().join("run-dead.lock"), "").expect("written");
        sweep(parent.path());
        assert!(scratch.path().join("half").exists());
        assert!(!parent.path().join("run-dead").exists());
        assert!(!parent.path().join("run-dead.lock").exists());
        drop(scratch);
        drop(bench);
        assert_eq!(fs::read_dir(parent.path()).expect("listed").count(), 0);
    }
}
