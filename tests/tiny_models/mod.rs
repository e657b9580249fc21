//! Reads the tiny models of `tests/fixtures`.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use runner::language_model::{
    Configuration, Family, LoraOptions, Parameter, Parameters, RopeScaling,
};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

pub(crate) const MODELS: [&str; 4] = [
    "tiny-llama-gqa",
    "tiny-llama-tied",
    "tiny-qwen2",
    "tiny-qwen3",
];

pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

pub(crate) fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("a fixture");
    serde_json::from_str(&text).expect("JSON")
}

/// Tensors of a file as `f32`, with their shapes.
pub(crate) fn tensors(path: &Path) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let bytes = fs::read(path).expect("a fixture");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let all = file.tensors().into_iter().map(|(name, tensor)| {
        let pairs = |data: &[u8]| -> Vec<u16> {
            let pairs = data.chunks_exact(2);
            pairs
                .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
                .collect()
        };
        let data = tensor.data();
        let values = match tensor.dtype() {
            Dtype::F32 => data
                .chunks_exact(4)
                .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
                .collect(),
            Dtype::BF16 => pairs(data)
                .into_iter()
                .map(|bits| f32::from_bits(u32::from(bits) << 16))
                .collect(),
            Dtype::F16 => pairs(data).into_iter().map(half).collect(),
            other => panic!("{other:?}"),
        };
        (name, (tensor.shape().to_vec(), values))
    });
    all.collect()
}

/// A number of IEEE's 16 bits.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2.0_f32.powi(-24),
        exponent => (1.0 + fraction / 1024.0) * 2.0_f32.powi(exponent - 15),
    }
}

pub(crate) fn configuration(name: &str) -> Configuration {
    let config = json(&folder(name).join("config.json"));
    let number = |key: &str| config[key].as_u64().map(|value| value as usize);
    let family = match config["model_type"].as_str() {
        Some("qwen2") => Family::Qwen2,
        Some("qwen3") => Family::Qwen3,
        _ => Family::Llama,
    };
    let (hidden, heads) = (
        number("hidden_size").expect("sizes"),
        number("num_attention_heads").expect("sizes"),
    );
    let theta = config["rope_theta"].as_f64();
    Configuration {
        family,
        hidden_size: hidden,
        intermediate_size: number("intermediate_size").expect("sizes"),
        layers: number("num_hidden_layers").expect("sizes"),
        heads,
        key_value_heads: number("num_key_value_heads").unwrap_or(heads),
        head_size: number("head_dim").unwrap_or(hidden / heads),
        vocabulary_size: number("vocab_size").expect("sizes"),
        norm_epsilon: config["rms_norm_eps"].as_f64().expect("a number"),
        rope_theta: theta
            .or_else(|| config["rope_parameters"]["rope_theta"].as_f64())
            .expect("a number"),
        rope_scaling: RopeScaling::None,
        max_positions: number("max_position_embeddings").expect("sizes"),
        sliding_window: None,
        tied_head: config["tie_word_embeddings"].as_bool().unwrap_or(false),
        query_key_value_bias: family == Family::Qwen2,
        output_bias: false,
        mlp_bias: false,
        query_key_norm: family == Family::Qwen3,
    }
}

pub(crate) fn weights(name: &str) -> BTreeMap<String, Vec<f32>> {
    let files = fs::read_dir(folder(name)).expect("a fixture");
    let files = files.map(|entry| entry.expect("entry").path());
    let is_model = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("model") && name.ends_with(".safetensors"))
    };
    files
        .filter(is_model)
        .flat_map(|path| tensors(&path))
        .map(|(name, (_, values))| (name, values))
        .collect()
}

pub(crate) fn parameters(path: &Path) -> Parameters {
    let all = tensors(path).into_iter();
    let all = all.map(|(name, (shape, values))| (name, Parameter::new(shape, values)));
    Parameters::new(all.collect())
}

pub(crate) fn adapter(name: &str) -> (LoraOptions, Parameters) {
    let folder = folder(name).join("adapter");
    let config = json(&folder.join("adapter_config.json"));
    let modules = config["target_modules"].as_array().expect("a list");
    let options = LoraOptions {
        r: config["r"].as_u64().expect("a rank") as usize,
        alpha: config["lora_alpha"].as_f64().expect("alpha"),
        dropout: 0.0,
        target_modules: modules
            .iter()
            .map(|name| name.as_str().expect("a name").to_owned())
            .collect(),
    };
    (
        options,
        parameters(&folder.join("adapter_model.safetensors")),
    )
}

pub(crate) fn apart(left: &[f32], right: &[f32]) -> f32 {
    assert_eq!(left.len(), right.len());
    let pairs = left.iter().zip(right);
    pairs.fold(0.0, |most, (a, b)| {
        assert!(a.is_finite() && b.is_finite());
        f32::max(most, (a - b).abs())
    })
}
