//! Digests of the user's own files, remembered by size, time and inode.
//!
//! A file is hashed again when any of these changed, or when it was changed so recently that a
//! second change could hide behind the same time stamp.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::tree;
use crate::base::{Digest, bounded, clock};

/// Changes closer together than this could share a time stamp.
const RACY_MS: u64 = 2_000;

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    size: u64,
    modified_ns: i128,
    inode: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Known {
    stamp: Stamp,
    digest: Digest,
}

/// The remembered digests of one store.
#[derive(Debug, Default)]
pub struct FileDigests {
    path: PathBuf,
    known: BTreeMap<String, Known>,
    changed: bool,
}

/// A user's file or folder as it was when it was hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Hash of the bytes that count.
    pub digest: Digest,
    /// The state of each file that counts.
    pub stamps: Vec<(PathBuf, Stamp)>,
}

impl FileDigests {
    /// Reads what is remembered; an unreadable file only costs hashing again.
    #[must_use]
    pub fn load(path: &Path) -> Self {
        let known = bounded::read(path, bounded::RECORDS)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        Self {
            path: path.to_owned(),
            known,
            changed: false,
        }
    }

    /// Hashes a file, or those of a folder's files that count (`files` empty: all).
    ///
    /// # Errors
    /// If something cannot be read.
    pub fn digest(&mut self, path: &Path, files: &[String]) -> io::Result<Seen> {
        if !fs::metadata(path)?.is_dir() {
            let (digest, stamp) = self.file(path)?;
            return Ok(Seen {
                digest,
                stamps: vec![(path.to_owned(), stamp)],
            });
        }
        let names: Vec<PathBuf> = if files.is_empty() {
            tree::files_below(path)?
        } else {
            let mut names: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
            names.sort();
            names
        };
        let mut listing = Map::new();
        let mut stamps = Vec::new();
        for name in names {
            let file = path.join(&name);
            let (digest, stamp) = self.file(&file)?;
            listing.insert(
                name.to_string_lossy().into_owned(),
                Value::String(digest.hex()),
            );
            stamps.push((file, stamp));
        }
        Ok(Seen {
            digest: tree::folder_digest(listing),
            stamps,
        })
    }

    fn file(&mut self, path: &Path) -> io::Result<(Digest, Stamp)> {
        let stamp = stamp(path)?;
        let name = fs::canonicalize(path)?.to_string_lossy().into_owned();
        if let Some(known) = self.known.get(&name)
            && known.stamp == stamp
        {
            return Ok((known.digest, stamp));
        }
        let digest = Digest::of_file(path)?;
        let modified_ms = u64::try_from(stamp.modified_ns / 1_000_000).unwrap_or(0);
        if clock::unix_milliseconds().saturating_sub(modified_ms) > RACY_MS {
            self.known.insert(name, Known { stamp, digest });
            self.changed = true;
        }
        Ok((digest, stamp))
    }

    /// The remembered files that are as they were when they were hashed, and whose bytes have
    /// another digest than the one remembered; `None` if what is remembered cannot be read.
    #[must_use]
    pub fn wrong(path: &Path) -> Option<Vec<String>> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Some(Vec::new()),
            Err(_) => return None,
        };
        let known: BTreeMap<String, Known> = serde_json::from_slice(&bytes).ok()?;
        let is_wrong = |name: &str, known: &Known| {
            let file = Path::new(name);
            stamp(file).is_ok_and(|stamp| stamp == known.stamp)
                && Digest::of_file(file).is_ok_and(|digest| digest != known.digest)
        };
        let wrong = known.iter().filter(|(name, known)| is_wrong(name, known));
        Some(wrong.map(|(name, _)| name.clone()).collect())
    }

    /// Remembers for the next run; failing only costs hashing again.
    pub fn save(&mut self) {
        if !self.changed {
            return;
        }
        self.changed = false;
        let folder = self.path.parent().unwrap_or_else(|| Path::new("."));
        // A plan may come before there is a store.
        let _ = fs::create_dir_all(folder);
        if let (Ok(bytes), Ok(file)) = (
            serde_json::to_vec(&self.known),
            tempfile::NamedTempFile::new_in(folder),
        ) && fs::write(file.path(), bytes).is_ok()
        {
            let _ = file.persist(&self.path);
        }
    }
}

impl Seen {
    /// The first file that is no longer as it was when it was hashed.
    #[must_use]
    pub fn changed(&self) -> Option<&Path> {
        self.stamps
            .iter()
            .find(|(path, old)| stamp(path).ok() != Some(*old))
            .map(|(path, _)| path.as_path())
    }
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = fs::metadata(path)?;
    Ok(Stamp {
        size: metadata.len(),
        modified_ns: i128::from(metadata.mtime()) * 1_000_000_000
            + i128::from(metadata.mtime_nsec()),
        inode: metadata.ino(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_seen_and_its_digest_follows() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("u.data");
        fs::write(&path, "one").expect("written");
        let mut digests = FileDigests::load(&folder.path().join("files.json"));
        let first = digests.digest(&path, &[]).expect("hashed");
        assert_eq!(first.changed(), None);
        fs::write(&path, "three").expect("written");
        assert_eq!(first.changed(), Some(path.as_path()));
        assert_ne!(
            digests.digest(&path, &[]).expect("hashed").digest,
            first.digest
        );
    }
}
