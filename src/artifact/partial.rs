//! What a long stage keeps of unfinished work, so that a killed one goes on where it was.
//!
//! The folder is named after the stage's key, so it can only be found by the same stage with the
//! same parameters and inputs. It is no artifact: nothing reads it but that stage, and losing it
//! costs time.

use std::fs;
use std::path::PathBuf;

use super::garbage::KEPT;
use super::{Store, store};
use crate::base::StageKey;

impl Store {
    /// Where a stage keeps unfinished work; the folder need not exist.
    #[must_use]
    pub fn partial_folder(&self, key: StageKey) -> PathBuf {
        self.root().join("partial").join(key.hex())
    }

    /// Where answers of models by API are kept; the folder need not exist. No stage owns them, and
    /// only their owner removes them: they were paid for.
    #[must_use]
    pub fn answers_folder(&self) -> PathBuf {
        self.root().join("answers")
    }

    /// Removes the unfinished work of a stage that is finished.
    pub fn remove_partial(&self, key: StageKey) {
        let _ = fs::remove_dir_all(self.partial_folder(key));
    }

    /// Removes, or only counts, unfinished work that is finished by now or that nobody came back
    /// to for two weeks: how many folders, and how many bytes.
    pub fn remove_old_partials(&self, dry_run: bool) -> (usize, u64) {
        let (mut count, mut bytes) = (0, 0);
        for entry in fs::read_dir(self.root().join("partial"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let finished = entry
                .file_name()
                .to_string_lossy()
                .parse()
                .is_ok_and(|key| self.has_manifest(key));
            let old = entry
                .metadata()
                .and_then(|metadata| metadata.modified())
                .ok()
                .and_then(|modified| modified.elapsed().ok())
                .is_some_and(|age| age > KEPT);
            if finished || old {
                count += 1;
                bytes += store::size(&entry.path()).unwrap_or(0);
                if !dry_run {
                    let _ = fs::remove_dir_all(entry.path());
                }
            }
        }
        (count, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Digest;

    #[test]
    fn unfinished_work_of_today_is_kept() {
        let home = tempfile::tempdir().expect("folder");
        let store = Store::open(home.path()).expect("store");
        let key = Digest::of_bytes(b"stage");
        let folder = store.partial_folder(key);
        fs::create_dir_all(&folder).expect("made");
        fs::write(folder.join("state"), "half").expect("written");
        assert_eq!(store.remove_old_partials(false), (0, 0));
        assert!(folder.join("state").exists());
        store.remove_partial(key);
        assert!(!folder.exists());
    }
}
