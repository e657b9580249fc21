//! Reads the tiny models of `tests/fixtures`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use runner::language_model::{Adapter, Configuration, LoraOptions, Parameters};
use safetensors::SafeTensors;
use serde_json::Value;

pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

pub(crate) fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("a fixture");
    serde_json::from_str(&text).expect("JSON")
}

/// The tensors of an `f32` file.
pub(crate) fn tensors(path: &Path) -> BTreeMap<String, Vec<f32>> {
    let bytes = fs::read(path).expect("a fixture");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let all = file.tensors().into_iter().map(|(name, tensor)| {
        let (fours, _) = tensor.data().as_chunks::<4>();
        let values = fours.iter().map(|four| f32::from_le_bytes(*four));
        (name, values.collect())
    });
    all.collect()
}

pub(crate) fn configuration(name: &str) -> Configuration {
    Configuration::read(&folder(name)).expect("a model")
}

pub(crate) fn weights(name: &str) -> BTreeMap<String, Vec<f32>> {
    let files = configuration(name)
        .open_weights(&folder(name))
        .expect("a model");
    files.all_f32().expect("finite")
}

pub(crate) fn adapter(name: &str) -> (LoraOptions, Parameters) {
    let adapter = Adapter::read(&folder(name).join("adapter")).expect("an adapter");
    (adapter.options, adapter.parameters)
}

pub(crate) fn apart(left: &[f32], right: &[f32]) -> f32 {
    assert_eq!(left.len(), right.len());
    let pairs = left.iter().zip(right);
    pairs.fold(0.0, |most, (a, b)| {
        assert!(a.is_finite() && b.is_finite());
        f32::max(most, (a - b).abs())
    })
}
