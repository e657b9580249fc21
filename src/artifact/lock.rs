//! Locks between runners on one store: the operating system's, so they die with their holder.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Held while this runner makes a stage (or uses a lane); released when dropped or killed.
#[derive(Debug)]
pub struct StageLock {
    path: PathBuf,
    file: File,
    keep_file: bool,
}

impl StageLock {
    /// Takes the lock if nobody holds it; `None` if another runner does.
    ///
    /// # Errors
    /// If the lock file cannot be made.
    pub fn try_acquire(path: &Path, keep_file: bool) -> io::Result<Option<Self>> {
        loop {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // The holder before us may have removed the file after we opened it; then our lock
            // is on a file nobody else will find, and we try again.
            let same = match (file.metadata(), fs::metadata(path)) {
                (Ok(ours), Ok(theirs)) => ours.ino() == theirs.ino() && ours.dev() == theirs.dev(),
                _ => false,
            };
            if same {
                return Ok(Some(Self {
                    path: path.to_owned(),
                    file,
                    keep_file,
                }));
            }
        }
    }
}

impl Drop for StageLock {
    fn drop(&mut self) {
        // Removed while still held, so that nobody can lock the old file unnoticed.
        if !self.keep_file {
            let _ = fs::remove_file(&self.path);
        }
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_no_file_left() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("lock");
        let first = StageLock::try_acquire(&path, false).expect("lock");
        assert!(first.is_some());
        assert!(
            StageLock::try_acquire(&path, false)
                .expect("lock")
                .is_none()
        );
        drop(first);
        assert!(!path.exists());
        assert!(
            StageLock::try_acquire(&path, false)
                .expect("lock")
                .is_some()
        );
    }
}
