//! `config.json` of a Hugging Face folder, read.
//!
//! What changes the arithmetic is read or refused by name; what does not (`use_cache`,
//! `pretraining_tp`, the type of numbers, version numbers) is passed over.

use std::path::Path;

use serde_json::Value;

use super::{Configuration, Family, LanguageModelError, RopeScaling};
use crate::base::bounded;
use crate::base::nearest::suggestion;
use crate::model_files::ModelFileError;
use crate::model_files::error::clipped;
use crate::model_files::keys::{CONFIGURATION_FILE, Keys, MOST, MOST_LAYERS, shown};

/// Architectures by the names that stand in `config.json`. `LLaMAForCausalLM` is how the first
/// converted LLaMA checkpoints, those of 2023, spell it.
const ARCHITECTURES: [(&str, Family); 5] = [
    ("LlamaForCausalLM", Family::Llama),
    ("LLaMAForCausalLM", Family::Llama),
    ("MistralForCausalLM", Family::Mistral),
    ("Qwen2ForCausalLM", Family::Qwen2),
    ("Qwen3ForCausalLM", Family::Qwen3),
];

impl Configuration {
    /// Reads `config.json` of a model folder.
    ///
    /// # Errors
    /// If it cannot be read, is of an unknown architecture, asks for a feature that is not built,
    /// or contradicts itself.
    pub fn read(folder: &Path) -> Result<Self, LanguageModelError> {
        let path = folder.join(CONFIGURATION_FILE);
        let bytes = bounded::read(&path, bounded::SETTINGS)
            .map_err(LanguageModelError::io("read", &path))?;
        Self::from_json(&bytes, &path)
    }

    /// Reads the text of a `config.json`; `path` is only for errors.
    ///
    /// # Errors
    /// As [`Configuration::read`].
    pub fn from_json(bytes: &[u8], path: &Path) -> Result<Self, LanguageModelError> {
        let keys = Keys::from_json(bytes, path)?;
        let family = keys.family()?;
        keys.refuse_what_is_not_built()?;
        let configuration = keys.configuration(family)?;
        keys.check(&configuration)?;
        Ok(configuration)
    }
}

impl Keys {
    fn family(&self) -> Result<Family, ModelFileError> {
        let known = || ARCHITECTURES.iter().map(|(name, _)| *name);
        let name = match self.get("architectures") {
            Some(Value::Array(names)) if names.len() == 1 => names[0].as_str(),
            Some(other) => {
                return Err(self
                    .wrong(format!("`architectures` is {}, not one name", shown(other)))
                    .with_help(suggestion("", known())));
            }
            None => None,
        };
        let Some(name) = name else {
            return Err(self
                .wrong("`architectures` is missing, so the kind of model is not known")
                .with_help(suggestion("", known())));
        };
        ARCHITECTURES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, family)| *family)
            .ok_or_else(|| {
                self.wrong(format!("the architecture `{}` is not known", clipped(name)))
                    .with_help(suggestion(name, known()))
            })
    }

    fn refuse_what_is_not_built(&self) -> Result<(), ModelFileError> {
        if let Some(activation) = self.get("hidden_act")
            && activation != "silu"
        {
            return Err(self.wrong(format!(
                "`hidden_act` is {}; only \"silu\" is built",
                shown(activation)
            )));
        }
        if let Some(quantised) = self.get("quantization_config") {
            let method = quantised.get("quant_method").unwrap_or(quantised);
            return Err(self
                .wrong(format!("the weights are quantised ({})", shown(method)))
                .with_help("use the folder of the model that is not quantised"));
        }
        if let Some(factor) = self.get("partial_rotary_factor")
            && factor.as_f64() != Some(1.0)
        {
            return Err(self.wrong(format!(
                "`partial_rotary_factor` is {}; only whole heads are rotated here",
                shown(factor)
            )));
        }
        if let Some(rate) = self.get("attention_dropout")
            && rate.as_f64() != Some(0.0)
        {
            return Err(self
                .wrong(format!(
                    "`attention_dropout` is {}; there is no dropout in attention here",
                    shown(rate)
                ))
                .with_help("set it to 0.0 if training without it is what you want"));
        }
        Ok(())
    }

    fn configuration(&self, family: Family) -> Result<Configuration, ModelFileError> {
        let heads = self.size("num_attention_heads")?;
        let hidden_size = self.size("hidden_size")?;
        let layers = self.size_or("num_hidden_layers", None, MOST_LAYERS)?;
        // transformers gives Qwen3 a constant here, all others a share of the width.
        let head_size = match (self.get("head_dim"), family) {
            (Some(_), _) => self.size("head_dim")?,
            (None, Family::Qwen3) => 128,
            (None, _) if hidden_size.is_multiple_of(heads) => hidden_size / heads,
            (None, _) => {
                return Err(self.wrong(format!(
                    "`hidden_size` {hidden_size} is not a multiple of `num_attention_heads` \
                     {heads}, and there is no `head_dim`"
                )));
            }
        };
        let (rope_theta, rope_scaling) = self.rope()?;
        // LLaMA's attention_bias is for all four projections, Qwen2's bias for three of them.
        let attention_bias = match family {
            Family::Llama | Family::Qwen3 => self.flag("attention_bias")?,
            Family::Mistral | Family::Qwen2 => false,
        };
        let max_positions = match self.get("max_sequence_length") {
            Some(_) if self.get("max_position_embeddings").is_none() => {
                self.size("max_sequence_length")?
            }
            _ => self.size_or("max_position_embeddings", Some(2048), MOST)?,
        };
        Ok(Configuration {
            family,
            hidden_size,
            intermediate_size: self.size("intermediate_size")?,
            layers,
            heads,
            key_value_heads: self.size_or("num_key_value_heads", Some(heads as u64), MOST)?,
            head_size,
            vocabulary_size: self.size("vocab_size")?,
            norm_epsilon: self.number_or("rms_norm_eps", Some(1e-6))?,
            rope_theta,
            rope_scaling,
            max_positions,
            sliding_window: self.sliding_window(family, layers, max_positions)?,
            tied_head: self.flag("tie_word_embeddings")?,
            query_key_value_bias: attention_bias || family == Family::Qwen2,
            output_bias: attention_bias,
            mlp_bias: family == Family::Llama && self.flag("mlp_bias")?,
            query_key_norm: family == Family::Qwen3,
        })
    }

    /// Frequencies in either layout: `rope_theta` and `rope_scaling` side by side, or both inside
    /// `rope_parameters` as transformers 5 writes them.
    fn rope(&self) -> Result<(f64, RopeScaling), ModelFileError> {
        let inside = |key: &str| match self.get(key) {
            None => Ok(None),
            Some(Value::Object(keys)) => Ok(Some(Keys {
                path: self.path.clone(),
                keys: keys.clone(),
            })),
            Some(other) => Err(self.wrong(format!("`{key}` is {}, not an object", shown(other)))),
        };
        let parameters = inside("rope_parameters")?;
        let scaling = inside("rope_scaling")?;
        let theta = match &parameters {
            Some(keys) if keys.get("rope_theta").is_some() => keys.number_or("rope_theta", None)?,
            _ => self.number_or("rope_theta", Some(10_000.0))?,
        };
        let Some(keys) = parameters.or(scaling) else {
            return Ok((theta, RopeScaling::None));
        };
        if keys.keys.values().any(Value::is_object) {
            return Err(self.wrong("`rope_parameters` differ from layer to layer; not built"));
        }
        if let Some(factor) = keys.get("partial_rotary_factor")
            && factor.as_f64() != Some(1.0)
        {
            return Err(self.wrong(format!(
                "`partial_rotary_factor` is {}; only whole heads are rotated here",
                shown(factor)
            )));
        }
        let kind = keys.get("rope_type").or_else(|| keys.get("type"));
        let kind = match kind {
            None => "default",
            Some(kind) => kind
                .as_str()
                .ok_or_else(|| self.wrong(format!("`rope_type` is {}, not a name", shown(kind))))?,
        };
        let scaling = match kind {
            "default" => RopeScaling::None,
            "linear" => RopeScaling::Linear {
                factor: keys.number_or("factor", None)?,
            },
            "llama3" => RopeScaling::Llama3 {
                factor: keys.number_or("factor", None)?,
                low_frequency_factor: keys.number_or("low_freq_factor", None)?,
                high_frequency_factor: keys.number_or("high_freq_factor", None)?,
                original_max_positions: keys.size("original_max_position_embeddings")?,
            },
            other => {
                return Err(self
                    .wrong(format!(
                        "`rope_type` is `{}`, which is not built",
                        clipped(other)
                    ))
                    .with_help(suggestion(other, ["default", "linear", "llama3"])));
            }
        };
        if let RopeScaling::Llama3 {
            low_frequency_factor: low,
            high_frequency_factor: high,
            ..
        } = scaling
            && low >= high
        {
            return Err(self.wrong(format!(
                "`low_freq_factor` {low} is not below `high_freq_factor` {high}"
            )));
        }
        Ok((theta, scaling))
    }

    fn sliding_window(
        &self,
        family: Family,
        layers: usize,
        max_positions: usize,
    ) -> Result<Option<usize>, ModelFileError> {
        let window = match family {
            Family::Llama => return Ok(None),
            // Where the key is missing, transformers takes 4096; `null` says that there is none.
            Family::Mistral if !self.keys.contains_key("sliding_window") => Some(4096),
            Family::Qwen2 | Family::Qwen3 if !self.flag("use_sliding_window")? => None,
            _ if self.get("sliding_window").is_none() => None,
            _ => Some(self.size("sliding_window")?),
        };
        let Some(window) = window.filter(|window| *window < max_positions) else {
            return Ok(window);
        };
        if family == Family::Mistral {
            return Ok(Some(window));
        }
        let slides: Vec<bool> = match self.get("layer_types") {
            Some(Value::Array(types)) => {
                types.iter().map(|one| one == "sliding_attention").collect()
            }
            _ => {
                let first = match self.get("max_window_layers") {
                    None => 28,
                    Some(value) => value.as_u64().ok_or_else(|| {
                        self.wrong(format!(
                            "`max_window_layers` is {}, not a whole number",
                            shown(value)
                        ))
                    })?,
                };
                (0..layers as u64).map(|layer| layer >= first).collect()
            }
        };
        let sliding = slides.iter().filter(|slides| **slides).count();
        match sliding {
            0 => Ok(None),
            count if count == layers => Ok(Some(window)),
            count => Err(self.wrong(format!(
                "{count} of {layers} layers see {window} tokens back and the others all; only the \
                 same window in all layers is built"
            ))),
        }
    }

    fn check(&self, sizes: &Configuration) -> Result<(), ModelFileError> {
        if !sizes.heads.is_multiple_of(sizes.key_value_heads) {
            return Err(self.wrong(format!(
                "`num_attention_heads` {} is not a multiple of `num_key_value_heads` {}",
                sizes.heads, sizes.key_value_heads
            )));
        }
        if !sizes.head_size.is_multiple_of(2) {
            return Err(self.wrong(format!(
                "`head_dim` is {}; rotation turns pairs, so it must be even",
                sizes.head_size
            )));
        }
        if (sizes.heads as u64) * (sizes.head_size as u64) > MOST {
            return Err(self.wrong(format!(
                "`num_attention_heads` {} times `head_dim` {} is more than {MOST}",
                sizes.heads, sizes.head_size
            )));
        }
        Ok(())
    }
}
