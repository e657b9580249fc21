//! `config.json` of a Hugging Face folder, written.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{Configuration, Family, LanguageModelError, RopeScaling};
use crate::model_files::CONFIGURATION_FILE;

/// Ids of the tokens that begin, end and fill a text, for `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpecialIds {
    /// Begins a text.
    pub bos: Option<u32>,
    /// Ends it.
    pub eos: Option<u32>,
    /// Fills a batch.
    pub pad: Option<u32>,
}

impl Configuration {
    /// Writes a `config.json` that transformers loads.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(
        &self,
        folder: &Path,
        special: SpecialIds,
        number_type: &str,
    ) -> Result<(), LanguageModelError> {
        let path = folder.join(CONFIGURATION_FILE);
        let mut text = serde_json::to_string_pretty(&self.to_json(special, number_type))
            .map_err(|error| LanguageModelError::file(&path, error.to_string()))?;
        text.push('\n');
        fs::write(&path, text).map_err(LanguageModelError::io("write", path))
    }

    /// What [`Configuration::write`] writes; keys in alphabetical order, as transformers does.
    #[must_use]
    pub fn to_json(&self, special: SpecialIds, number_type: &str) -> Value {
        let (architecture, model_type) = match self.family {
            Family::Llama => ("LlamaForCausalLM", "llama"),
            Family::Mistral => ("MistralForCausalLM", "mistral"),
            Family::Qwen2 => ("Qwen2ForCausalLM", "qwen2"),
            Family::Qwen3 => ("Qwen3ForCausalLM", "qwen3"),
        };
        let mut all = json!({
            "architectures": [architecture],
            "attention_dropout": 0.0,
            "bos_token_id": special.bos,
            "eos_token_id": special.eos,
            "head_dim": self.head_size,
            "hidden_act": "silu",
            "hidden_size": self.hidden_size,
            "initializer_range": 0.02,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": self.max_positions,
            "model_type": model_type,
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "num_key_value_heads": self.key_value_heads,
            "pad_token_id": special.pad,
            "rms_norm_eps": self.norm_epsilon,
            "rope_scaling": self.rope_scaling.to_json(),
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": self.tied_head,
            "torch_dtype": number_type,
            "use_cache": true,
            "vocab_size": self.vocabulary_size,
        });
        match self.family {
            Family::Llama => {
                all["attention_bias"] = self.output_bias.into();
                all["mlp_bias"] = self.mlp_bias.into();
            }
            Family::Mistral => all["sliding_window"] = self.sliding_window.into(),
            Family::Qwen2 | Family::Qwen3 => {
                all["use_sliding_window"] = self.sliding_window.is_some().into();
                all["sliding_window"] = self.sliding_window.into();
                all["max_window_layers"] = match self.sliding_window {
                    Some(_) => 0.into(),
                    None => self.layers.into(),
                };
                if self.family == Family::Qwen3 {
                    all["attention_bias"] = self.output_bias.into();
                }
            }
        }
        if let Value::Object(keys) = &mut all {
            keys.sort_keys();
        }
        all
    }
}

impl RopeScaling {
    fn to_json(self) -> Value {
        match self {
            Self::None => Value::Null,
            Self::Linear { factor } => json!({"factor": factor, "rope_type": "linear"}),
            Self::Llama3 {
                factor,
                low_frequency_factor,
                high_frequency_factor,
                original_max_positions,
            } => json!({
                "factor": factor,
                "high_freq_factor": high_frequency_factor,
                "low_freq_factor": low_frequency_factor,
                "original_max_position_embeddings": original_max_positions,
                "rope_type": "llama3",
            }),
        }
    }
}
