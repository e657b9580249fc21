//! What a stage made, from what: the readable side of a key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::base::{Digest, StageKey, canonical_json};

/// Version of the manifest and of the store layout.
pub const FORMAT: u32 = 1;

/// Digests behind one input, in order; axes tell gathered artifacts apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputRecord {
    /// Hash of the bytes.
    pub digest: Digest,
    /// Axis values of a gathered artifact.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub axes: BTreeMap<String, String>,
}

/// Everything that enters a key, in a form a person can read. See `docs/CACHE.md`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyMaterial {
    /// The stage kind.
    pub kind: String,
    /// Its version.
    pub version: u32,
    /// Parameters after defaults.
    pub params: Value,
    /// Inputs by name.
    pub inputs: BTreeMap<String, Vec<InputRecord>>,
}

impl KeyMaterial {
    /// The key: blake3 of the canonical JSON.
    #[must_use]
    pub fn key(&self) -> StageKey {
        let value = json!({
            "kind": self.kind,
            "version": self.version,
            "params": self.params,
            "inputs": self.inputs,
        });
        Digest::of_bytes(canonical_json(&value).as_bytes())
    }
}

/// One artifact of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputRecord {
    /// Its name, as in `stage/name`.
    pub name: String,
    /// The file or folder name the kind gave it.
    pub file: String,
    /// Hash of its bytes; for a folder, of the sorted list of its files and their hashes.
    pub digest: Digest,
    /// Size of all its bytes.
    pub bytes: u64,
    /// Whether it is a folder.
    #[serde(default)]
    pub folder: bool,
}

/// What a stage made. Its presence in the store is the commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Layout version.
    pub format: u32,
    /// The key.
    pub key: StageKey,
    /// The stage id of the experiment that first made it.
    pub stage: String,
    /// What the key was made from.
    pub material: KeyMaterial,
    /// What the stage made.
    pub outputs: Vec<OutputRecord>,
    /// Seconds the stage ran.
    pub wall_s: f64,
    /// When it was published, in milliseconds since 1970.
    pub made_at_ms: u64,
    /// With what: program version, operating system, processor.
    pub environment: BTreeMap<String, String>,
}

/// The part of a manifest that planning needs; reading stops at nothing else.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ManifestSummary {
    /// Layout version.
    pub format: u32,
    /// What the stage made.
    pub outputs: Vec<OutputRecord>,
    /// Seconds the stage ran.
    pub wall_s: f64,
}
