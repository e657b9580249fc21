//! What a stage made, from what: the readable side of a key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::{Digest, StageKey, canonical};

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
        let mut text = KeyText::default();
        for (name, records) in &self.inputs {
            let sources = records.iter().map(|record| (record.digest, &record.axes));
            text.input(name, sources);
        }
        text.key(&self.kind, self.version, &self.params)
    }
}

/// Writes the canonical JSON behind a key piece by piece: a plan makes thousands of keys and needs
/// the [`KeyMaterial`] of none.
#[derive(Debug, Default)]
pub struct KeyText {
    inputs: String,
}

impl KeyText {
    /// Adds an input; they come in the order of their names' bytes.
    pub fn input<'a>(
        &mut self,
        name: &str,
        sources: impl Iterator<Item = (Digest, &'a BTreeMap<String, String>)>,
    ) {
        let text = &mut self.inputs;
        if !text.is_empty() {
            text.push(',');
        }
        canonical::push_string(name, text);
        text.push_str(":[");
        for (position, (digest, axes)) in sources.enumerate() {
            if position > 0 {
                text.push(',');
            }
            text.push('{');
            if !axes.is_empty() {
                text.push_str("\"axes\":{");
                for (position, (axis, value)) in axes.iter().enumerate() {
                    if position > 0 {
                        text.push(',');
                    }
                    canonical::push_string(axis, text);
                    text.push(':');
                    canonical::push_string(value, text);
                }
                text.push_str("},");
            }
            text.push_str("\"digest\":\"");
            digest.push_hex(text);
            text.push_str("\"}");
        }
        text.push(']');
    }

    /// The key of everything added so far with the rest.
    #[must_use]
    pub fn key(&self, kind: &str, version: u32, params: &Value) -> StageKey {
        let mut text = String::with_capacity(self.inputs.len() + 256);
        text.push_str("{\"inputs\":{");
        text.push_str(&self.inputs);
        text.push_str("},\"kind\":");
        canonical::push_string(kind, &mut text);
        text.push_str(",\"params\":");
        canonical::write(params, &mut text);
        text.push_str(",\"version\":");
        text.push_str(&version.to_string());
        text.push('}');
        Digest::of_bytes(text.as_bytes())
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

/// The name in [`Manifest::environment`] of the bytes that a stage took of its device at its highest
/// moment.
pub const PEAK_MEMORY: &str = "peak_memory";

/// What stands before the seal, the last field of a manifest: the hash of all before it.
const SEAL: &[u8] = b",\"seal\":\"";

impl Manifest {
    /// The bytes of its file: JSON that ends with a seal, so that a change of any byte is noticed.
    ///
    /// # Errors
    /// If something in it has no JSON.
    pub fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self)?;
        // Without its closing brace.
        bytes.pop();
        let seal = Digest::of_bytes(&bytes).hex();
        bytes.extend_from_slice(SEAL);
        bytes.extend_from_slice(seal.as_bytes());
        bytes.extend_from_slice(b"\"}");
        Ok(bytes)
    }
}

/// Whether the seal of a manifest fits its bytes; `None` if it has none, as those of older programs.
#[must_use]
pub fn is_sealed(bytes: &[u8]) -> Option<bool> {
    let end = bytes.len().checked_sub(SEAL.len() + 64 + 2)?;
    let (before, rest) = bytes.split_at(end);
    let seal = rest.strip_prefix(SEAL)?.strip_suffix(b"\"}")?;
    Some(Digest::of_bytes(before).hex().as_bytes() == seal)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::canonical_json;
    use serde_json::json;

    #[test]
    fn a_key_is_the_hash_of_the_canonical_json_of_its_material() {
        let digest = Digest::of_bytes(b"bytes");
        let gathered = BTreeMap::from([
            ("seed".to_owned(), "1".to_owned()),
            ("k".to_owned(), "6\"4".to_owned()),
        ]);
        let material = KeyMaterial {
            kind: "train".to_owned(),
            version: 3,
            params: json!({"rate": 1e-3, "name": "a\nb", "deep": {"z": null, "a": [1, 2.0, true]}}),
            inputs: BTreeMap::from([
                ("b".to_owned(), Vec::new()),
                (
                    "a".to_owned(),
                    vec![
                        InputRecord {
                            digest,
                            axes: BTreeMap::new(),
                        },
                        InputRecord {
                            digest,
                            axes: gathered,
                        },
                    ],
                ),
            ]),
        };
        let value = serde_json::to_value(&material).expect("json");
        assert_eq!(
            material.key(),
            Digest::of_bytes(canonical_json(&value).as_bytes())
        );
    }
}
