//! Low-rank adaptation (Hu et al., 2021) with PEFT's semantics and names.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::nearest::suggestion;

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
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// The field's name and what is wrong with it.
    pub fn check(&self) -> Result<(), (String, String)> {
        let wrong = |field: &str, message: String| Err((field.to_owned(), message));
        if self.r == 0 {
            return wrong("r", "is 0, must be at least 1".to_owned());
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return wrong("alpha", format!("is {}, must be above 0", self.alpha));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            let message = format!("is {}, must be from 0 to below 1", self.dropout);
            return wrong("dropout", message);
        }
        if self.target_modules.is_empty() {
            return wrong(
                "target_modules",
                "is empty, so nothing is trained".to_owned(),
            );
        }
        for (at, module) in self.target_modules.iter().enumerate() {
            let names = MODULES.iter().map(|(name, _)| *name);
            if !names.clone().any(|name| name == module) {
                return wrong(
                    "target_modules",
                    format!("has `{module}`; {}", suggestion(module, names)),
                );
            }
            if self.target_modules[..at].contains(module) {
                return wrong("target_modules", format!("has `{module}` twice"));
            }
        }
        Ok(())
    }

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
