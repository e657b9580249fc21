//! Folders for work under way: one for each runner, one below it for each stage that runs.
//!
//! A runner's folder has a lock beside it that is held as long as the runner lives, so a folder
//! whose lock can be taken belongs to nobody and is swept.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::lock::{RunnerLock, StageLock, remove_if_dead, share};
use super::store::size;

/// Orphans without a lock are left alone for this long (seconds), in case they are not orphans.
const PATIENCE_S: u64 = 60;

/// The folder of one runner.
#[derive(Debug)]
pub(super) struct Workbench {
    folder: PathBuf,
    next: AtomicU64,
    /// Empty folders, to be used again: freeing and making inodes is what costs.
    idle: Mutex<Vec<PathBuf>>,
    lock: Arc<RunnerLock>,
    /// Keeps everybody from tidying up while this runner lives.
    _in_use: fs::File,
}

impl Workbench {
    /// Makes a folder that nobody else uses; waits while somebody tidies up.
    pub(super) fn open(parent: &Path, in_use: &Path) -> io::Result<Arc<Self>> {
        let in_use = share(in_use)?;
        loop {
            // The lock comes first: a sweep never sees a living runner's folder without one.
            let path = tempfile::Builder::new()
                .prefix("run-")
                .suffix(".lock")
                .permissions(fs::Permissions::from_mode(0o666))
                .tempfile_in(parent)?
                .into_temp_path()
                .keep()
                .map_err(|error| error.error)?;
            // A sweep may hold it for a moment, and removes it then.
            let Some(lock) = RunnerLock::hold(&path)? else {
                continue;
            };
            let folder = path.with_extension("");
            fs::create_dir(&folder)?;
            return Ok(Arc::new(Self {
                folder,
                next: AtomicU64::new(0),
                idle: Mutex::default(),
                lock: Arc::new(lock),
                _in_use: in_use,
            }));
        }
    }

    /// A path in the folder that was not used before.
    pub(super) fn fresh_path(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.folder.join(number.to_string())
    }

    /// Takes the lock of a stage; `None` if another runner has it.
    pub(super) fn try_lock(&self, path: &Path) -> io::Result<Option<StageLock>> {
        StageLock::link(path, &self.lock)
    }

    /// Makes a folder for one stage.
    pub(super) fn scratch(self: &Arc<Self>) -> io::Result<Scratch> {
        let path = self.fresh_path();
        let idle = self.idle.lock().ok().and_then(|mut idle| idle.pop());
        // Under a new name: a program left over from the stage before finds nothing at the old.
        if idle.is_none_or(|idle| fs::rename(idle, &path).is_err()) {
            fs::create_dir(&path)?;
        }
        Ok(Scratch {
            path,
            bench: Arc::clone(self),
        })
    }
}

impl Drop for Workbench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A folder for one stage under way; emptied when dropped, swept later if its runner is killed.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    bench: Arc<Workbench>,
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
        let is_empty = fs::read_dir(&self.path).is_ok_and(|mut entries| entries.next().is_none());
        if is_empty && let Ok(mut idle) = self.bench.idle.lock() {
            idle.push(std::mem::take(&mut self.path));
        } else {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Removes folders and locks of stages whose runners are gone: how many folders, and how many
/// bytes.
pub(super) fn sweep(parent: &Path, locks: &Path) -> (usize, u64) {
    for path in &listed(locks) {
        let is_lane = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("lane-"));
        if !is_lane {
            let _ = remove_if_dead(path);
        }
    }
    let mut swept = (0, 0);
    let mut remove = |path: &Path| {
        let bytes = size(path).unwrap_or(0);
        if fs::remove_dir_all(path).is_ok() || fs::remove_file(path).is_ok() {
            swept = (swept.0 + 1, swept.1 + bytes);
        }
    };
    for path in &listed(parent) {
        let is_lock = path
            .extension()
            .is_some_and(|extension| extension == "lock");
        if is_lock {
            // Held while the folder goes, removed with it.
            if let Ok(Some(_held)) = RunnerLock::hold(path) {
                remove(&path.with_extension(""));
            }
        } else if !path.with_extension("lock").exists() && is_old(path) {
            remove(path);
        }
    }
    swept
}

fn listed(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .map(|entries| {
            entries
                .filter_map(Result::ok)
                .map(|entry| entry.path())
                .collect()
        })
        .unwrap_or_default()
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
        let home = tempfile::tempdir().expect("folder");
        let (parent, locks) = (home.path().join("tmp"), home.path().join("locks"));
        for folder in [&parent, &locks, &parent.join("run-dead")] {
            fs::create_dir(folder).expect("made");
        }
        let bench = Workbench::open(&parent, &home.path().join("in-use")).expect("bench");
        let scratch = bench.scratch().expect("scratch");
        let lock = bench.try_lock(&locks.join("alive")).expect("lock");
        fs::write(scratch.path().join("half"), "done").expect("written");
        // What a killed runner leaves: a lock nobody holds, links to it, and a folder.
        fs::write(parent.join("run-dead/half"), "done").expect("written");
        fs::write(parent.join("run-dead.lock"), "").expect("written");
        fs::hard_link(parent.join("run-dead.lock"), locks.join("dead")).expect("linked");
        assert_eq!(sweep(&parent, &locks), (1, 4));
        assert!(scratch.path().join("half").exists());
        assert!(locks.join("alive").exists());
        for gone in ["tmp/run-dead", "tmp/run-dead.lock", "locks/dead"] {
            assert!(!home.path().join(gone).exists(), "{gone}");
        }
        drop((scratch, lock, bench));
        assert_eq!(listed(&parent), Vec::<PathBuf>::new());
        assert_eq!(listed(&locks), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_folder_is_used_again_empty_and_under_a_new_name() {
        let home = tempfile::tempdir().expect("folder");
        let bench = Workbench::open(home.path(), &home.path().join("in-use")).expect("bench");
        let first = bench.scratch().expect("scratch");
        let name = first.path().to_owned();
        drop(first);
        let second = bench.scratch().expect("scratch");
        assert!(!name.exists() && second.path().is_dir());
        fs::write(second.path().join("left"), "over").expect("written");
        let name = second.path().to_owned();
        drop(second);
        assert!(!name.exists());
        let third = bench.scratch().expect("scratch");
        assert!(listed(third.path()).is_empty());
    }
}
