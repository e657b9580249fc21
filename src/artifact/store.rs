//! [`Store`]: publish, find, verify, lock, collect garbage.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::lock::{NoLocks, StageLock};
use super::manifest::{FORMAT, Manifest, ManifestSummary, OutputRecord};
use super::scratch::{self, Scratch, Workbench};
use super::tree::{self, Stamp};
use crate::base::{Digest, StageKey, bounded, clock};

/// Artifacts below this size (bytes) are not worth removing.
pub const SMALL: u64 = 64 * 1024;

/// A content-addressed store in a folder.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    /// The folder of manifests, if there is one.
    manifests: Option<fs::File>,
    /// Artifacts whose bytes were compared with their digest in this process, by the state of
    /// the file then.
    verified: Mutex<BTreeMap<Digest, Stamp>>,
    /// This runner's folder for work under way, once it has some.
    bench: Mutex<Option<Arc<Workbench>>>,
    /// Held while a damaged artifact is moved away.
    pub(super) moving: Mutex<()>,
}

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed.
    #[error("cannot {action} `{}`: {source}{}", .path.display(), hint(action, .source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The store was written by another version.
    #[error(
        "the store `{}` says to have format `{found}`; this is runner {}, which reads format {FORMAT}\n  \
         help: {}", .path.display(), env!("CARGO_PKG_VERSION"), format_help(found)
    )]
    Format {
        /// The store.
        path: PathBuf,
        /// What its `format` file says.
        found: String,
    },
    /// A stage did not write what it declared.
    #[error("the stage ended without writing its output `{name}` (`{file}`)")]
    MissingOutput {
        /// The output.
        name: String,
        /// The file that should be there.
        file: String,
    },
}

/// What to do about a full disk.
pub(crate) const FULL_DISK_HELP: &str = "\n  help: the disk is full; free some space (`runner cache \
                                         gc` removes artifacts that no result needs) and run the \
                                         same command again, finished work is kept";

fn hint(action: &str, error: &io::Error) -> &'static str {
    if NoLocks::is_why(error) {
        return "\n  help: without locks two runners would disturb each other, so nothing was run; \
                name a folder on a disk of this machine with --store (results still go where \
                --results says)";
    }
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FULL_DISK_HELP,
        io::ErrorKind::PermissionDenied if ["read", "list"].contains(&action) => {
            "\n  help: the store must be readable; ask its owner, or choose another folder with \
             --store"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "\n  help: the store must be writable; choose another folder with --store (commands \
             that only read, such as plan, status and cat, work on this one)"
        }
        _ => "",
    }
}

/// Which program reads a store of another format.
fn format_help(found: &str) -> String {
    match found.parse::<u32>() {
        Ok(found) if found > FORMAT => {
            "a later version of runner made it and reads it; update this one, or name another \
             folder with --store"
                .to_owned()
        }
        Ok(_) => "an earlier version of runner made it and reads it; name another folder with \
                  --store, what this version needs is made there again"
            .to_owned(),
        Err(_) => format!(
            "its file `format` is damaged: it must hold the number of the format and nothing \
             else, {FORMAT} if this version made the store; correct it, then `runner cache \
             verify` looks at the rest"
        ),
    }
}

/// What is known about an artifact on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArtifactState {
    /// Its bytes match its digest.
    Intact,
    /// It is not there.
    Missing,
    /// Its bytes differ.
    Corrupt,
}

pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io {
        action,
        path,
        source,
    }
}

impl Store {
    /// Opens a store, making it if it is not there.
    ///
    /// # Errors
    /// If the folder cannot be written or has another format.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        if !is_made(root)? {
            let format = root.join("format");
            fs::create_dir_all(root).map_err(io_error("create", root))?;
            // By a rename: another runner that starts now sees all of it or nothing.
            let draft = root.join(format!("format.{}", std::process::id()));
            fs::write(&draft, format!("{FORMAT}\n"))
                .and_then(|()| fs::rename(&draft, &format))
                .map_err(io_error("write", &format))?;
        }
        // Whoever wants everything made again may have removed one of the folders.
        make_folders(root)?;
        let manifests = root.join("manifests");
        let folder = fs::File::open(&manifests).map_err(io_error("read", &manifests))?;
        Ok(Self::at(root, Some(folder)))
    }

    /// Opens a store to look at: nothing is made or changed, and one that is not there is empty.
    /// What only reads then works on a store that cannot be written.
    ///
    /// # Errors
    /// If the store cannot be read or has another format.
    pub fn open_to_read(root: &Path) -> Result<Self, StoreError> {
        is_made(root)?;
        let manifests = root.join("manifests");
        match fs::File::open(&manifests) {
            Ok(folder) => Ok(Self::at(root, Some(folder))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::at(root, None)),
            Err(error) => Err(io_error("read", &manifests)(error)),
        }
    }

    fn at(root: &Path, manifests: Option<fs::File>) -> Self {
        Self {
            root: root.to_owned(),
            manifests,
            verified: Mutex::default(),
            bench: Mutex::default(),
            moving: Mutex::default(),
        }
    }

    /// Makes sure before any work that there can be some: the store's folders can be written, and
    /// its file system has locks. From now on nobody tidies up until this store is dropped.
    ///
    /// # Errors
    /// What is in the way, and what to do.
    pub fn prepare(&self) -> Result<(), StoreError> {
        for folder in ["manifests", "artifacts", "locks", "latest"] {
            let path = self.root.join(folder);
            rustix::fs::access(&path, rustix::fs::Access::WRITE_OK)
                .map_err(|error| io_error("write", &path)(error.into()))?;
        }
        self.workbench().map(|_| ())
    }

    /// The store's folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn sharded(&self, folder: &str, digest: Digest, extension: &str) -> PathBuf {
        let hex = digest.hex();
        self.root
            .join(folder)
            .join(&hex[..2])
            .join(format!("{hex}{extension}"))
    }

    /// Where an artifact lies.
    #[must_use]
    pub fn artifact_path(&self, digest: Digest) -> PathBuf {
        self.sharded("artifacts", digest, "")
    }

    pub(super) fn manifest_path(&self, key: StageKey) -> PathBuf {
        self.sharded("manifests", key, ".json")
    }

    /// Where the last keys of an experiment's stages are remembered.
    #[must_use]
    pub fn latest_path(&self, experiment: &str) -> PathBuf {
        self.root.join("latest").join(format!("{experiment}.jsonl"))
    }

    /// Where digests of the user's files are remembered.
    #[must_use]
    pub fn files_path(&self) -> PathBuf {
        self.root.join("files.json")
    }

    /// Where lengths of texts are remembered.
    #[must_use]
    pub fn lengths_path(&self) -> PathBuf {
        self.root.join("lengths.json")
    }

    /// Where it is remembered how fast stages were.
    #[must_use]
    pub fn speeds_path(&self) -> PathBuf {
        self.root.join("speeds.jsonl")
    }

    /// Whether a stage was made; what it made is not read.
    #[must_use]
    pub fn has_manifest(&self, key: StageKey) -> bool {
        // Asked for every stage of every plan, so from the folder on instead of from the root, and
        // without the file's size and times.
        let Some(manifests) = &self.manifests else {
            return false;
        };
        let hex = key.hex();
        let name = format!("{}/{hex}.json", &hex[..2]);
        rustix::fs::accessat(
            manifests,
            name,
            rustix::fs::Access::EXISTS,
            rustix::fs::AtFlags::empty(),
        )
        .is_ok()
    }

    /// What a stage made, if it was made: the part that planning needs. A manifest that a power
    /// cut has torn counts as not there.
    ///
    /// # Errors
    /// If the manifest is there but cannot be opened.
    pub fn summary(&self, key: StageKey) -> Result<Option<ManifestSummary>, StoreError> {
        self.read_manifest(key)
    }

    /// What a stage made and from what, if it was made. A manifest that a power cut has torn
    /// counts as not there.
    ///
    /// # Errors
    /// If the manifest is there but cannot be opened.
    pub fn manifest(&self, key: StageKey) -> Result<Option<Manifest>, StoreError> {
        self.read_manifest(key)
    }

    fn read_manifest<T: serde::de::DeserializeOwned>(
        &self,
        key: StageKey,
    ) -> Result<Option<T>, StoreError> {
        let path = self.manifest_path(key);
        let bytes = match bounded::read(&path, bounded::RECORDS) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        Ok(serde_json::from_slice(&bytes).ok())
    }

    /// Whether an artifact is there; its bytes are not read.
    #[must_use]
    pub fn has_artifact(&self, record: &OutputRecord) -> bool {
        let path = self.artifact_path(record.digest);
        match fs::metadata(&path) {
            Ok(metadata) if record.folder => metadata.is_dir(),
            Ok(metadata) => metadata.is_file() && metadata.len() == record.bytes,
            Err(_) => false,
        }
    }

    /// Compares an artifact's bytes with its digest, once per process and state of the file.
    ///
    /// # Errors
    /// If the bytes cannot be read.
    pub fn check_artifact(&self, digest: Digest) -> Result<ArtifactState, StoreError> {
        let path = self.artifact_path(digest);
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(ArtifactState::Missing);
            }
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        let state = Stamp::of(&metadata);
        // A folder's own time stamp says nothing about its files' bytes.
        let can_remember = !metadata.is_dir();
        if can_remember
            && let Ok(verified) = self.verified.lock()
            && verified.get(&digest) == Some(&state)
        {
            return Ok(ArtifactState::Intact);
        }
        let measured = match tree::measure(&path) {
            Ok(measured) => measured,
            // Between the two looks someone else found the damage and moved it to quarantine.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.exists() => {
                return Ok(ArtifactState::Missing);
            }
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        if measured.digest != digest {
            return Ok(ArtifactState::Corrupt);
        }
        if can_remember {
            self.remember_verified(digest, state);
        }
        Ok(ArtifactState::Intact)
    }

    pub(super) fn remember_verified(&self, digest: Digest, state: Stamp) {
        if let Ok(mut verified) = self.verified.lock() {
            verified.insert(digest, state);
        }
    }

    /// Moves a damaged artifact out of the way, keeping it for inspection. An artifact that was
    /// made again in the meantime stays.
    ///
    /// # Errors
    /// If it cannot be moved.
    pub fn quarantine(&self, digest: Digest) -> Result<PathBuf, StoreError> {
        // Several stages may find the same damage at once; the last one must not move away what
        // was made again after the first one's finding.
        let _alone = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = self.root.join("quarantine");
        fs::create_dir_all(&folder).map_err(io_error("create", &folder))?;
        let target = folder.join(format!("{}-{}", digest.short(), clock::unix_milliseconds()));
        let path = self.artifact_path(digest);
        if self.check_artifact(digest)? != ArtifactState::Corrupt {
            return Ok(target);
        }
        match fs::rename(&path, &target) {
            Ok(()) => Ok(target),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(target),
            Err(error) => Err(io_error("move", &path)(error)),
        }
    }

    /// Tries to become the runner that makes a stage.
    ///
    /// # Errors
    /// If the lock file cannot be made.
    pub fn try_lock(&self, key: StageKey) -> Result<Option<StageLock>, StoreError> {
        let path = self.root.join("locks").join(key.hex());
        self.at_bench(|bench| bench.try_lock(&path))?
            .map_err(io_error("lock", &path))
    }

    /// Tries to become the runner that uses a lane which only one may use.
    ///
    /// # Errors
    /// If the lock file cannot be made.
    pub fn try_lock_lane(&self, name: &str) -> Result<Option<StageLock>, StoreError> {
        let path = self.root.join("locks").join(format!("lane-{name}"));
        StageLock::file(&path, true).map_err(io_error("lock", &path))
    }

    /// Opens a folder for work under way.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn scratch(&self) -> Result<Scratch, StoreError> {
        self.at_bench(Workbench::scratch)?
            .map_err(io_error("create a folder in", &self.root.join("tmp")))
    }

    /// Does something with this runner's folder, which somebody may have tidied away.
    fn at_bench<T>(
        &self,
        mut attempt: impl FnMut(&Arc<Workbench>) -> io::Result<T>,
    ) -> Result<io::Result<T>, StoreError> {
        match attempt(&self.workbench()?) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.bench
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take();
                make_folders(&self.root)?;
                Ok(attempt(&self.workbench()?))
            }
            other => Ok(other),
        }
    }

    pub(super) fn workbench(&self) -> Result<Arc<Workbench>, StoreError> {
        let mut bench = self.bench.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bench) = bench.as_ref() {
            return Ok(Arc::clone(bench));
        }
        let parent = self.root.join("tmp");
        let made = Workbench::open(&parent, &self.in_use_path())
            .map_err(io_error("create a folder in", &parent))?;
        Ok(Arc::clone(bench.insert(made)))
    }

    /// Locked by everybody who makes something here.
    pub(super) fn in_use_path(&self) -> PathBuf {
        self.root.join("in-use")
    }

    /// Removes scratch folders and locks whose runners are gone: how many folders, and how many
    /// bytes.
    pub fn sweep(&self) -> (usize, u64) {
        scratch::sweep(&self.root.join("tmp"), &self.root.join("locks"))
    }

    /// Forgets that a stage was made; its artifacts stay until garbage collection.
    ///
    /// # Errors
    /// If the manifest cannot be removed.
    pub fn forget(&self, key: StageKey) -> Result<(), StoreError> {
        let path = self.manifest_path(key);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Every key that has a manifest.
    ///
    /// # Errors
    /// If the store cannot be listed.
    pub fn keys(&self) -> Result<Vec<StageKey>, StoreError> {
        let mut keys: Vec<StageKey> = self
            .listed("manifests")?
            .into_iter()
            .filter_map(|(name, _)| name.strip_suffix(".json")?.parse().ok())
            .collect();
        keys.sort();
        Ok(keys)
    }

    /// Every artifact with its path.
    ///
    /// # Errors
    /// If the store cannot be listed.
    pub fn artifacts(&self) -> Result<Vec<(Digest, PathBuf)>, StoreError> {
        let mut artifacts: Vec<(Digest, PathBuf)> = self
            .listed("artifacts")?
            .into_iter()
            .filter_map(|(name, path)| Some((name.parse().ok()?, path)))
            .collect();
        artifacts.sort();
        Ok(artifacts)
    }

    /// The last key of every stage of every experiment.
    #[must_use]
    pub fn remembered_keys(&self) -> BTreeSet<StageKey> {
        fs::read_dir(self.root.join("latest"))
            .map(|entries| {
                entries
                    .filter_map(Result::ok)
                    .flat_map(|entry| super::latest::read(&entry.path()).into_values())
                    .map(|record| record.key)
                    .collect()
            })
            .unwrap_or_default()
    }

    fn listed(&self, folder: &str) -> Result<Vec<(String, PathBuf)>, StoreError> {
        let root = self.root.join(folder);
        let mut found = Vec::new();
        let shards = match fs::read_dir(&root) {
            Ok(shards) => shards,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(io_error("list", &root)(error)),
        };
        for shard in shards {
            let shard = shard.map_err(io_error("list", &root))?.path();
            if !shard.is_dir() {
                continue;
            }
            for entry in fs::read_dir(&shard).map_err(io_error("list", &shard))? {
                let entry = entry.map_err(io_error("list", &shard))?;
                found.push((
                    entry.file_name().to_string_lossy().into_owned(),
                    entry.path(),
                ));
            }
        }
        Ok(found)
    }
}

/// Whether there is a store of this format.
fn is_made(root: &Path) -> Result<bool, StoreError> {
    let format = root.join("format");
    match bounded::read(&format, bounded::SETTINGS) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            if text.trim() == FORMAT.to_string() {
                return Ok(true);
            }
            Err(StoreError::Format {
                path: root.to_owned(),
                found: text.trim().escape_debug().take(40).collect(),
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_error("read", &format)(error)),
    }
}

fn make_folders(root: &Path) -> Result<(), StoreError> {
    for folder in ["manifests", "artifacts", "locks", "tmp", "latest"] {
        let path = root.join(folder);
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !path.is_dir() => {
                return Err(io_error("create", &path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Bytes of a file or of all files below a folder.
///
/// # Errors
/// If something cannot be read.
pub fn size(path: &Path) -> io::Result<u64> {
    if fs::metadata(path)?.is_dir() {
        let mut bytes = 0;
        for file in tree::files_below(path)? {
            bytes += fs::metadata(path.join(file))?.len();
        }
        return Ok(bytes);
    }
    Ok(fs::metadata(path)?.len())
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    /// Looking at damaged bytes while another thread moves them away is no error: they are
    /// damaged or gone.
    #[test]
    fn damage_that_someone_else_moves_away_meanwhile_is_damaged_or_gone() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let draft = folder.path().join("draft");
        fs::write(&draft, vec![1_u8; 1 << 16]).unwrap();
        let digest = tree::measure(&draft).unwrap().digest;
        let path = store.artifact_path(digest);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        for _ in 0..60 {
            fs::write(&path, vec![2_u8; 1 << 16]).unwrap();
            let together = Barrier::new(6);
            thread::scope(|scope| {
                for _ in 0..6 {
                    scope.spawn(|| {
                        together.wait();
                        let state = store.check_artifact(digest).unwrap();
                        assert_ne!(state, ArtifactState::Intact);
                        store.quarantine(digest).unwrap();
                    });
                }
            });
            assert_eq!(
                store.check_artifact(digest).unwrap(),
                ArtifactState::Missing
            );
        }
    }
}
