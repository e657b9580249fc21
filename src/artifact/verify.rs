//! [`Store::verify`]: everything in the store compared with what it should be.
//!
//! What is damaged is moved to `quarantine/`, so that nothing reads it and somebody can look at it;
//! then it counts as not there, and its maker runs again when something needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use serde::Serialize;

use super::files::FileDigests;
use super::garbage;
use super::manifest::{self, FORMAT, Manifest, OutputRecord};
use super::store::{Store, StoreError, io_error};
use super::{latest, tree};
use crate::base::{Digest, StageKey, clock};

/// What kind of thing was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// An artifact's bytes are not those it was made with.
    Artifact,
    /// A manifest is torn or was changed.
    Manifest,
    /// An artifact is not there, and garbage collection did not remove it.
    Lost,
    /// An artifact is not there: garbage collection removed it.
    Removed,
    /// An artifact is not there, and the store does not know whether it was removed.
    Missing,
    /// An artifact that no manifest names.
    Unnamed,
    /// Something that `runner` never puts into these folders.
    Foreign,
    /// Something that only saves time or explains is damaged.
    Memory,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// Where it lies, or should.
    pub path: PathBuf,
    /// The digest of an artifact, or the key of a manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The stages concerned; for an artifact with the output: `train@k=16/model`.
    pub stages: Vec<String>,
    /// What is wrong with it.
    pub what: String,
    /// Where it was moved.
    pub moved_to: Option<PathBuf>,
    /// Why it could not be moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_moved: Option<String>,
}

impl Finding {
    fn new(kind: FindingKind, path: PathBuf, what: impl Into<String>) -> Self {
        Self {
            kind,
            path,
            digest: None,
            stages: Vec::new(),
            what: what.into(),
            moved_to: None,
            not_moved: None,
        }
    }

    fn of(self, digest: Digest, stages: Vec<String>) -> Self {
        Self {
            digest: Some(digest),
            stages,
            ..self
        }
    }

    /// Whether something that was made is damaged or lost.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        use FindingKind as Kind;
        matches!(self.kind, Kind::Artifact | Kind::Manifest | Kind::Lost)
    }
}

/// What a look at the whole store found.
#[derive(Debug, Clone, Default)]
pub struct Verification {
    /// How many manifests were read.
    pub manifests: usize,
    /// How many artifacts were hashed.
    pub artifacts: usize,
    /// How many bytes they have.
    pub bytes: u64,
    /// What is not as it should be, by kind.
    pub findings: Vec<Finding>,
}

impl Store {
    /// Compares everything in the store with what it should be, and moves what is damaged to
    /// `quarantine/` where that is possible.
    ///
    /// # Errors
    /// If the store cannot be listed.
    pub fn verify(&self) -> Result<Verification, StoreError> {
        let mut found = Verification::default();
        let manifests = self.verify_manifests(&mut found)?;
        let mut named: BTreeMap<Digest, (Vec<String>, OutputRecord)> = BTreeMap::new();
        for manifest in &manifests {
            for output in &manifest.outputs {
                let name = format!("{}/{}", manifest.stage, output.name);
                let (names, _) = named
                    .entry(output.digest)
                    .or_insert_with(|| (Vec::new(), output.clone()));
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        self.verify_artifacts(&named, &mut found)?;
        self.find_missing(&named, &mut found);
        self.verify_memory(&manifests, &mut found);
        found.findings.sort_by_key(|finding| finding.kind);
        Ok(found)
    }

    fn verify_manifests(&self, found: &mut Verification) -> Result<Vec<Manifest>, StoreError> {
        let stages = self.remembered_stages();
        let mut whole = Vec::new();
        for path in self.entries("manifests")? {
            let Some(key) = digest_at(&path, ".json") else {
                found.findings.push(Finding::new(
                    FindingKind::Foreign,
                    path,
                    "it is not named like a manifest",
                ));
                continue;
            };
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                // Somebody else moved it away meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(io_error("read", &path)(error)),
            };
            found.manifests += 1;
            match manifest_flaw(key, &bytes) {
                Ok(manifest) => whole.push(manifest),
                Err(what) => {
                    let mut names = stages.get(&key).cloned().unwrap_or_default();
                    names.extend(stage_in(&bytes).filter(|_| names.is_empty()));
                    let mut finding =
                        Finding::new(FindingKind::Manifest, path.clone(), what).of(key, names);
                    let is_still = || fs::read(&path).is_ok_and(|now| now == bytes);
                    self.put_aside(&mut finding, &key.short(), is_still);
                    found.findings.push(finding);
                }
            }
        }
        Ok(whole)
    }

    fn verify_artifacts(
        &self,
        named: &BTreeMap<Digest, (Vec<String>, OutputRecord)>,
        found: &mut Verification,
    ) -> Result<(), StoreError> {
        for path in self.entries("artifacts")? {
            let Some(digest) = digest_at(&path, "") else {
                found.findings.push(Finding::new(
                    FindingKind::Foreign,
                    path,
                    "it is not named like an artifact",
                ));
                continue;
            };
            found.artifacts += 1;
            let record = named.get(&digest);
            let stages = record.map(|(names, _)| names.clone()).unwrap_or_default();
            match artifact_flaw(&path, digest, record.map(|(_, record)| record)) {
                Ok(bytes) => {
                    found.bytes += bytes;
                    if record.is_none() {
                        let what = "no manifest names it; `runner cache gc` removes it";
                        let finding = Finding::new(FindingKind::Unnamed, path, what);
                        found.findings.push(finding.of(digest, stages));
                    }
                }
                // Somebody else moved it away meanwhile.
                Err(_) if fs::symlink_metadata(&path).is_err() => {}
                Err(what) => {
                    let mut finding =
                        Finding::new(FindingKind::Artifact, path.clone(), what).of(digest, stages);
                    let is_still = || artifact_flaw(&path, digest, None).is_err();
                    self.put_aside(&mut finding, &digest.short(), is_still);
                    found.findings.push(finding);
                }
            }
        }
        Ok(())
    }

    fn find_missing(
        &self,
        named: &BTreeMap<Digest, (Vec<String>, OutputRecord)>,
        found: &mut Verification,
    ) {
        let damaged: BTreeSet<Digest> = (found.findings.iter())
            .filter(|finding| finding.kind == FindingKind::Artifact)
            .filter_map(|finding| finding.digest)
            .collect();
        let removed = garbage::removed(self);
        for (digest, (stages, _)) in named {
            let path = self.artifact_path(*digest);
            if damaged.contains(digest) || fs::symlink_metadata(&path).is_ok() {
                continue;
            }
            let (kind, what) = match &removed {
                Some(removed) if removed.contains(digest) => {
                    (FindingKind::Removed, "`runner cache gc` removed it")
                }
                Some(_) => (
                    FindingKind::Lost,
                    "it is gone, and `runner cache gc` did not remove it",
                ),
                None => (
                    FindingKind::Missing,
                    "it is not there: removed to save space, or lost",
                ),
            };
            let finding = Finding::new(kind, path, what);
            found.findings.push(finding.of(*digest, stages.clone()));
        }
    }

    /// What only saves time or explains.
    fn verify_memory(&self, manifests: &[Manifest], found: &mut Verification) {
        let by_key: BTreeMap<StageKey, &Manifest> = (manifests.iter())
            .map(|manifest| (manifest.key, manifest))
            .collect();
        for path in self.latest_files() {
            let mut wrong = Vec::new();
            let damaged = latest::damaged_lines(&path);
            if damaged > 0 {
                wrong.push(format!("{damaged} of its lines cannot be read"));
            }
            let records = latest::read(&path);
            let differing = records.values().filter(|record| {
                let manifest = by_key.get(&record.key);
                manifest.is_some_and(|manifest| {
                    !record.outputs.is_empty() && manifest.outputs != record.outputs
                })
            });
            let differing: Vec<String> = differing.map(|record| record.stage.clone()).collect();
            if !differing.is_empty() {
                wrong.push(format!(
                    "{} of its lines name other outputs than the manifest",
                    differing.len()
                ));
            }
            let unknown = records
                .values()
                .filter(|record| !self.has_manifest(record.key))
                .count();
            if unknown > 0 {
                wrong.push(format!(
                    "{unknown} of its lines name a key without a manifest"
                ));
            }
            if !wrong.is_empty() {
                let what = format!(
                    "{}; this costs explanations and perhaps a run, never a result; remove the \
                     file to be rid of it",
                    wrong.join(", ")
                );
                let mut finding = Finding::new(FindingKind::Memory, path, what);
                finding.stages = differing;
                found.findings.push(finding);
            }
        }
        let path = self.files_path();
        let what = match FileDigests::wrong(&path) {
            None => "it cannot be read; your files are hashed again".to_owned(),
            Some(wrong) if wrong.is_empty() => return,
            Some(wrong) => format!(
                "it remembers other digests than these files have: {}; they are hashed again",
                wrong.join(", ")
            ),
        };
        let mut finding = Finding::new(FindingKind::Memory, path, what);
        self.put_aside(&mut finding, "files.json", || true);
        found.findings.push(finding);
    }

    /// Moves something to quarantine if it is still as it was found, and notes where, or why not.
    fn put_aside(&self, finding: &mut Finding, name: &str, is_still: impl Fn() -> bool) {
        let moved = || -> io::Result<Option<PathBuf>> {
            let _alone = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
            let folder = self.root().join("quarantine");
            fs::create_dir_all(&folder)?;
            let target = folder.join(format!("{name}-{}", clock::unix_milliseconds()));
            // Another runner may have put it aside and made it again.
            if !is_still() {
                return Ok(None);
            }
            fs::rename(&finding.path, &target)?;
            Ok(Some(target))
        };
        match moved() {
            Ok(target) => finding.moved_to = target,
            Err(error) => finding.not_moved = Some(error.to_string()),
        }
    }

    /// Everything in the shards of a folder and beside them.
    fn entries(&self, folder: &str) -> Result<Vec<PathBuf>, StoreError> {
        let root = self.root().join(folder);
        let mut found = Vec::new();
        for shard in listed(&root)? {
            let is_shard = shard.file_name().is_some_and(|name| name.len() == 2);
            if is_shard && fs::symlink_metadata(&shard).is_ok_and(|entry| entry.is_dir()) {
                found.extend(listed(&shard)?);
            } else {
                found.push(shard);
            }
        }
        found.sort();
        Ok(found)
    }

    pub(super) fn latest_files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.root().join("latest"));
        let mut paths: Vec<PathBuf> = (entries.into_iter().flatten().flatten())
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|name| name == "jsonl"))
            .collect();
        paths.sort();
        paths
    }

    /// Stages by the keys that experiments remember.
    fn remembered_stages(&self) -> BTreeMap<StageKey, Vec<String>> {
        let mut stages: BTreeMap<StageKey, Vec<String>> = BTreeMap::new();
        for path in self.latest_files() {
            for record in latest::read(&path).into_values() {
                stages.entry(record.key).or_default().push(record.stage);
            }
        }
        stages
    }
}

fn listed(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("list", folder)(error)),
    };
    entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()
        .map_err(io_error("list", folder))
}

/// The digest that names a file, if the file lies where one with that name belongs.
fn digest_at(path: &Path, extension: &str) -> Option<Digest> {
    let name = path.file_name()?.to_str()?.strip_suffix(extension)?;
    let digest: Digest = name.parse().ok()?;
    let shard = path.parent()?.file_name()?.to_str()?;
    name.starts_with(shard).then_some(digest)
}

/// The manifest, or what is wrong with it.
fn manifest_flaw(key: StageKey, bytes: &[u8]) -> Result<Manifest, String> {
    let changed = || "it was changed after it was written".to_owned();
    let manifest: Manifest = serde_json::from_slice(bytes)
        .map_err(|error| format!("it is torn or was changed: {error}"))?;
    match manifest::is_sealed(bytes) {
        Some(true) => {}
        Some(false) => return Err(changed()),
        // Older programs wrote no seal; then it has the fields that they wrote.
        None => {
            let fields: serde_json::Map<_, _> = serde_json::from_slice(bytes).unwrap_or_default();
            let known = serde_json::to_value(&manifest).unwrap_or_default();
            if fields.len() != known.as_object().map_or(0, serde_json::Map::len) {
                return Err(changed());
            }
        }
    }
    if manifest.format != FORMAT {
        return Err(format!("it says to have format {}", manifest.format));
    }
    if manifest.key != key {
        return Err(format!(
            "it says to be of the key {} and lies under another",
            manifest.key.short()
        ));
    }
    if manifest.material.key() != key {
        return Err("its key is not the hash of the material it names".to_owned());
    }
    Ok(manifest)
}

/// The stage that a torn manifest names, as far as it can be made out.
fn stage_in(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let (_, rest) = text.split_once("\"stage\":\"")?;
    let (stage, _) = rest.split_once('"')?;
    Some(stage.to_owned())
}

/// The size of an artifact, or what is wrong with it.
fn artifact_flaw(
    path: &Path,
    digest: Digest,
    record: Option<&OutputRecord>,
) -> Result<u64, String> {
    let unreadable = |error: io::Error| format!("it cannot be read: {error}");
    if let Some(link) = link_in(path).map_err(unreadable)? {
        return Err(if link == path {
            "it is a link or no file, so its bytes lie elsewhere".to_owned()
        } else {
            format!(
                "`{}` in it is a link or no file, so its bytes lie elsewhere",
                link.strip_prefix(path).unwrap_or(&link).display()
            )
        });
    }
    let measured = tree::measure(path).map_err(unreadable)?;
    if measured.digest == digest {
        return Ok(measured.bytes);
    }
    Err(match record {
        Some(record) if record.folder != measured.folder => {
            "it is not what was made: a file in place of a folder, or a folder in place of a file"
                .to_owned()
        }
        Some(record) if record.bytes != measured.bytes => format!(
            "it has {} bytes instead of {}{}",
            measured.bytes,
            record.bytes,
            if record.folder {
                ": a file in it is missing, added or changed"
            } else {
                ""
            }
        ),
        _ if measured.folder => "a file in it was changed, renamed or added".to_owned(),
        _ => "its bytes were changed".to_owned(),
    })
}

/// The first thing at or below a path that is neither a file nor a folder itself.
fn link_in(path: &Path) -> io::Result<Option<PathBuf>> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            if let Some(link) = link_in(&entry?.path())? {
                return Ok(Some(link));
            }
        }
        return Ok(None);
    }
    Ok((!metadata.is_file()).then(|| path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::manifest::KeyMaterial;
    use super::*;

    fn manifest() -> Manifest {
        let material = KeyMaterial {
            kind: "text".to_owned(),
            version: 1,
            params: serde_json::json!({"text": "fits", "rate": 1e-3}),
            inputs: BTreeMap::new(),
        };
        Manifest {
            format: FORMAT,
            key: material.key(),
            stage: "small".to_owned(),
            material,
            outputs: vec![OutputRecord {
                name: "text".to_owned(),
                file: "text.txt".to_owned(),
                digest: Digest::of_bytes(b"fits"),
                bytes: 4,
                folder: false,
            }],
            wall_s: 0.25,
            made_at_ms: 1_764_000_000_000,
            environment: BTreeMap::from([("program".to_owned(), "runner 0.1.0".to_owned())]),
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_in_a_manifest_is_seen() {
        let manifest = manifest();
        let bytes = manifest.to_bytes().expect("JSON");
        assert_eq!(manifest_flaw(manifest.key, &bytes), Ok(manifest.clone()));
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                let flaw = manifest_flaw(manifest.key, &changed);
                assert!(flaw.is_err(), "byte {at}, bit {bit}");
            }
            assert!(
                manifest_flaw(manifest.key, &bytes[..at]).is_err(),
                "cut at {at}"
            );
        }
    }

    #[test]
    fn a_manifest_without_a_seal_is_one_of_an_older_program() {
        let manifest = manifest();
        let bytes = serde_json::to_vec(&manifest).expect("JSON");
        assert_eq!(manifest_flaw(manifest.key, &bytes), Ok(manifest.clone()));
        let text = String::from_utf8(bytes).expect("a text");
        let edited = text.replace("\"text\":\"fits\"", "\"text\":\"fats\"");
        let flaw = manifest_flaw(manifest.key, edited.as_bytes()).expect_err("a flaw");
        assert!(flaw.contains("not the hash of the material"), "{flaw}");
        assert_eq!(stage_in(&text.as_bytes()[..200]), Some("small".to_owned()));
    }
}
