//! Locks between runners on one store: the operating system's, so they die with their holder.
//!
//! A runner locks one file of its own for as long as it lives (see `scratch`). The lock of a stage
//! is a hard link `locks/<key>` to that file: making the link takes it, removing the link releases
//! it, and whoever finds a link to a file that nobody has locked any more knows that its runner is
//! dead. A file made and removed for each stage would do the same, but file systems are slow at
//! that: ext4 does not use a freed inode again for a while and looks past each of them.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Held while this runner makes a stage (or uses a lane); released when dropped or killed.
#[derive(Debug)]
pub struct StageLock {
    path: PathBuf,
    held: Held,
}

#[derive(Debug)]
enum Held {
    /// A link to the runner's own file.
    Link(#[expect(dead_code, reason = "keeps the file locked")] Arc<RunnerLock>),
    /// A file of its own.
    File { file: File, keep: bool },
}

/// The file that a runner keeps locked.
#[derive(Debug)]
pub(super) struct RunnerLock {
    path: PathBuf,
    file: File,
}

impl RunnerLock {
    /// Locks the file at `path`, which is this runner's alone; `None` if somebody who sweeps up
    /// was faster.
    pub(super) fn hold(path: &Path) -> io::Result<Option<Self>> {
        Ok(locked(path)?.map(|file| Self {
            path: path.to_owned(),
            file,
        }))
    }
}

impl Drop for RunnerLock {
    fn drop(&mut self) {
        // Removed while still held, so that nobody can lock the old file unnoticed.
        let _ = fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

impl StageLock {
    /// Takes a lock as a link to the runner's own file; `None` if another runner has it.
    ///
    /// # Errors
    /// If the link cannot be made.
    pub(super) fn link(path: &Path, runner: &Arc<RunnerLock>) -> io::Result<Option<Self>> {
        loop {
            match fs::hard_link(&runner.path, path) {
                Ok(()) => {
                    return Ok(Some(Self {
                        path: path.to_owned(),
                        held: Held::Link(Arc::clone(runner)),
                    }));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                // Not every file system has links.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::PermissionDenied
                            | io::ErrorKind::Unsupported
                            | io::ErrorKind::TooManyLinks
                    ) =>
                {
                    return Self::file(path, false);
                }
                Err(error) => return Err(error),
            }
            if !remove_if_dead(path)? {
                return Ok(None);
            }
        }
    }

    /// Takes a lock as a file of its own; `None` if another runner has it. With `keep` the file
    /// stays when the lock is released.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn file(path: &Path, keep: bool) -> io::Result<Option<Self>> {
        Ok(locked(path)?.map(|file| Self {
            path: path.to_owned(),
            held: Held::File { file, keep },
        }))
    }
}

/// A file system that knows no locks, as some over a network.
#[derive(Debug)]
pub(super) struct NoLocks(io::Error);

impl fmt::Display for NoLocks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "this file system has no locks ({})", self.0)
    }
}

impl std::error::Error for NoLocks {}

impl NoLocks {
    /// Whether that is what an error says.
    pub(super) fn is_why(error: &io::Error) -> bool {
        error
            .get_ref()
            .is_some_and(<dyn std::error::Error + Send + Sync>::is::<Self>)
    }
}

/// What a failed lock means.
fn explained(error: io::Error) -> io::Error {
    use rustix::io::Errno;
    let lacks = [
        Errno::NOLCK,
        Errno::NOTSUP,
        Errno::OPNOTSUPP,
        Errno::NOSYS,
        Errno::INVAL,
    ];
    let code = error.raw_os_error();
    if lacks.iter().any(|lack| code == Some(lack.raw_os_error())) {
        return io::Error::new(error.kind(), NoLocks(error));
    }
    error
}

/// Who uses a store: every runner shares the lock on one file, and who tidies up has it alone. So
/// nothing is tidied away under a runner, and none starts in the middle of it.
pub(super) fn share(path: &Path) -> io::Result<File> {
    let file = shared_file(path)?;
    file.lock_shared().map_err(explained)?;
    Ok(file)
}

/// The other side of [`share`]: `None` while a runner uses the store.
pub(super) fn alone(path: &Path) -> io::Result<Option<File>> {
    let file = shared_file(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(explained(error)),
    }
}

fn shared_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // Some network file systems want both for a lock.
    options.create(true).truncate(false).read(true).write(true);
    options.open(path)
}

/// Makes and locks a file; `None` if it is locked.
fn locked(path: &Path) -> io::Result<Option<File>> {
    locked_by(path, File::try_lock)
}

fn locked_by(
    path: &Path,
    try_lock: impl Fn(&File) -> Result<(), TryLockError>,
) -> io::Result<Option<File>> {
    loop {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        match try_lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(explained(error)),
        }
        // The holder before us may have removed the file after we opened it; then our lock is on
        // a file nobody else will find, and we try again.
        if is_at(&file, path) {
            return Ok(Some(file));
        }
    }
}

/// Removes a lock whose runner is dead; `false` if it lives.
///
/// # Errors
/// If the lock cannot be opened or removed.
pub(super) fn remove_if_dead(path: &Path) -> io::Result<bool> {
    let file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(error)) => return Err(explained(error)),
    }
    // Whoever removes a dead runner's link holds its file, so this is still the one we opened.
    if is_at(&file, path) {
        fs::remove_file(path)?;
    }
    file.unlock()?;
    Ok(true)
}

/// Whether a file that was opened is still the one that its path names.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(theirs)) => ours.ino() == theirs.ino() && ours.dev() == theirs.dev(),
        _ => false,
    }
}

impl Drop for StageLock {
    fn drop(&mut self) {
        match &self.held {
            Held::Link(_) => {
                let _ = fs::remove_file(&self.path);
            }
            Held::File { file, keep } => {
                // Removed while still held, so that nobody can lock the old file unnoticed.
                if !keep {
                    let _ = fs::remove_file(&self.path);
                }
                let _ = file.unlock();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_no_file_left() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("lock");
        let first = StageLock::file(&path, false).expect("lock");
        assert!(first.is_some());
        assert!(StageLock::file(&path, false).expect("lock").is_none());
        drop(first);
        assert!(!path.exists());
        assert!(StageLock::file(&path, false).expect("lock").is_some());
    }

    #[test]
    fn a_file_system_without_locks_is_said_to_be_one() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("lock");
        let refused = |error: rustix::io::Errno| {
            let refuses = |_: &File| Err(TryLockError::Error(error.into()));
            locked_by(&path, refuses).expect_err("no lock")
        };
        for lack in [rustix::io::Errno::NOLCK, rustix::io::Errno::NOTSUP] {
            let error = super::super::store::io_error("lock", &path)(refused(lack)).to_string();
            assert!(error.contains("this file system has no locks"), "{error}");
            assert!(
                error.contains("help: ") && error.contains("--store"),
                "{error}"
            );
        }
        assert!(!NoLocks::is_why(&refused(rustix::io::Errno::IO)));
    }

    #[test]
    fn who_tidies_up_is_alone() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("in-use");
        let (one, two) = (share(&path).expect("locked"), share(&path).expect("locked"));
        assert!(alone(&path).expect("asked").is_none());
        drop((one, two));
        assert!(alone(&path).expect("asked").is_some());
    }

    #[test]
    fn a_link_is_held_until_it_is_dropped_or_its_runner_is_gone() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("key");
        let runner = |name: &str| {
            let held = RunnerLock::hold(&folder.path().join(name)).expect("lock");
            Arc::new(held.expect("nobody else's"))
        };
        let (one, two) = (runner("one.lock"), runner("two.lock"));
        let held = StageLock::link(&path, &one).expect("link");
        assert!(held.is_some());
        assert!(StageLock::link(&path, &two).expect("link").is_none());
        assert!(StageLock::link(&path, &one).expect("link").is_none());
        drop(held);
        let held = StageLock::link(&path, &two).expect("link");
        assert!(held.is_some());
        drop(held);
        // What a killed runner leaves: links to a file that nobody has locked.
        for name in ["key", "other"] {
            fs::write(folder.path().join("dead.lock"), "").expect("written");
            fs::hard_link(folder.path().join("dead.lock"), folder.path().join(name))
                .expect("linked");
        }
        let first = StageLock::link(&path, &one).expect("link");
        let second = StageLock::link(&folder.path().join("other"), &two).expect("link");
        assert!(first.is_some() && second.is_some());
    }
}
