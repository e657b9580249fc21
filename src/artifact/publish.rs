//! [`Store::publish`]: artifacts first, then the manifest, each by a rename.
//!
//! What is flushed to the disk, and why not everything is:
//!
//! - A *kill* of the runner loses nothing that was written, flushed or not: the system has it.
//! - A *power cut* can lose or tear whatever was not flushed. That is never wrong, because an
//!   artifact's bytes are compared with its digest before a stage reads them, and a manifest that
//!   does not parse counts as not there; the stage runs again. It is only a loss of time.
//! - So a stage that ran for [`WORTH_FLUSHING_S`] or longer is flushed completely, artifacts
//!   before the manifest, folders included; a shorter one takes less time to run again than many
//!   of them would spend waiting for the disk.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::environment::environment;
use super::manifest::{FORMAT, KeyMaterial, Manifest, OutputRecord};
use super::store::{ArtifactState, Store, StoreError, io_error};
use super::tree;
use crate::base::clock;

/// Work of this many seconds is not to be lost even to a power cut.
pub const WORTH_FLUSHING_S: f64 = 1.0;

impl Store {
    /// Publishes what a stage wrote: artifacts first, then the manifest, each by a rename; `notes`
    /// say how it came about, such as with how many tries, and stand beside the machine. After
    /// this returns, the stage is done for every runner; before, it is as if it never ran.
    ///
    /// # Errors
    /// If an output is missing or the disk refuses.
    pub fn publish(
        &self,
        stage: &str,
        material: KeyMaterial,
        outputs: &[(String, String, PathBuf)],
        wall_s: f64,
        notes: &BTreeMap<String, String>,
    ) -> Result<Manifest, StoreError> {
        let flush = wall_s >= WORTH_FLUSHING_S;
        let mut records = Vec::with_capacity(outputs.len());
        for (name, file, path) in outputs {
            let sealed = match tree::seal(path, flush) {
                Ok(sealed) => sealed,
                Err(error) if error.kind() == io::ErrorKind::NotFound && !path.exists() => {
                    return Err(StoreError::MissingOutput {
                        name: name.clone(),
                        file: file.clone(),
                    });
                }
                Err(error) => return Err(io_error("write", path)(error)),
            };
            let record = OutputRecord {
                name: name.clone(),
                file: file.clone(),
                digest: sealed.measure.digest,
                bytes: sealed.measure.bytes,
                folder: sealed.measure.folder,
            };
            self.place(path, &record, &sealed, flush)?;
            records.push(record);
        }
        let manifest = Manifest {
            format: FORMAT,
            key: material.key(),
            stage: stage.to_owned(),
            material,
            outputs: records,
            wall_s,
            made_at_ms: clock::unix_milliseconds(),
            environment: environment().into_iter().chain(notes.clone()).collect(),
        };
        self.write_manifest(&manifest, flush)?;
        Ok(manifest)
    }

    fn place(
        &self,
        from: &Path,
        record: &OutputRecord,
        sealed: &tree::Sealed,
        flush: bool,
    ) -> Result<(), StoreError> {
        let target = self.artifact_path(record.digest);
        if self.has_artifact(record) && self.check_artifact(record.digest)? == ArtifactState::Intact
        {
            return Ok(());
        }
        match move_into_place(from, &target) {
            Ok(()) => {}
            // A folder does not replace a folder: the one in the way is damaged, or another
            // runner placed the same bytes a moment ago.
            Err(_) if record.folder && target.exists() => {
                if self.check_artifact(record.digest)? == ArtifactState::Intact {
                    return Ok(());
                }
                self.quarantine(record.digest)?;
                fs::rename(from, &target).map_err(io_error("write", &target))?;
            }
            Err(error) => return Err(io_error("write", &target)(error)),
        }
        // These bytes were hashed a moment ago; whoever reads them next here need not do it again.
        if let Some(stamp) = sealed.stamp {
            self.remember_verified(record.digest, stamp);
        }
        if flush {
            flush_folder_of(&target)?;
        }
        Ok(())
    }

    fn write_manifest(&self, manifest: &Manifest, flush: bool) -> Result<(), StoreError> {
        let path = self.manifest_path(manifest.key);
        let text = manifest
            .to_bytes()
            .map_err(|error| io_error("write", &path)(io::Error::other(error)))?;
        let draft = self.workbench()?.fresh_path();
        let written = File::create(&draft).and_then(|mut file| {
            file.write_all(&text)?;
            if flush {
                file.sync_data()?;
            }
            Ok(())
        });
        if let Err(error) = written {
            let _ = fs::remove_file(&draft);
            return Err(io_error("write", &path)(error));
        }
        move_into_place(&draft, &path).map_err(io_error("write", &path))?;
        if flush {
            flush_folder_of(&path)?;
        }
        Ok(())
    }
}

/// Renames; makes the folder it goes to only if that is missing, which is rare.
fn move_into_place(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::rename(from, to)
        }
        other => other,
    }
}

/// A rename is on the disk only once its folder is.
fn flush_folder_of(path: &Path) -> Result<(), StoreError> {
    let Some(folder) = path.parent() else {
        return Ok(());
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(io_error("write", folder))
}
