//! Low-rank adaptation (Hu et al., 2021) with PEFT's semantics and names.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The linear modules of a layer that an adapter can be put on, with the block they are in.
pub const MODULES: [(&str, &str); 7] = [
    ("q_proj", "self_attn"),
    ("k_proj", "self_attn"),
    ("v_proj", "self_attn"),
    ("o_proj", "self_attn"),
    ("gate_proj", "mlp"),
    ("up_proj", "mlp"),
    ("down_proj", "mlp"),
];

/// The numbers of an adapter: y = W x + (alpha / r) · B A dropout(x).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LoraOptions {
    /// Rank.
    pub r: usize,
    /// Numerator of the scale alpha / r.
    pub alpha: f64,
    /// Dropout on the input of A, in training.
    pub dropout: f64,
    /// Modules of every layer that get an adapter.
    pub target_modules: Vec<String>,
}

impl Default for LoraOptions {
    fn default() -> Self {
        Self {
            r: 8,
            alpha: 16.0,
            dropout: 0.05,
            target_modules: vec!["q_proj".to_owned(), "v_proj".to_owned()],
        }
    }
}

impl LoraOptions {
    /// alpha / r.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.alpha / self.r as f64
    }
}

/// PEFT's name of a module's matrix, `which` being `A` or `B`.
#[must_use]
pub fn parameter_name(layer: usize, block: &str, module: &str, which: char) -> String {
    format!("base_model.model.model.layers.{layer}.{block}.{module}.lora_{which}.weight")
}
