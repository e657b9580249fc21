//! The sizes of a model, from `config.json` of a Hugging Face folder.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::LanguageModelError;
use super::gguf_names::of_hugging_face;
use crate::model_files::WeightFiles;

/// The tensor of a head that is not the embedding.
const HEAD: &str = "lm_head.weight";

/// Architectures that differ in more than sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// `LlamaForCausalLM`: LLaMA 1 to 3, `SmolLM`.
    Llama,
    /// `MistralForCausalLM`.
    Mistral,
    /// `Qwen2ForCausalLM`: a bias on q, k and v.
    Qwen2,
    /// `Qwen3ForCausalLM`: `RMSNorm` on q and k of each head.
    Qwen3,
}

/// How rotary frequencies are stretched for longer contexts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All positions divided by a factor.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// LLaMA 3's: low frequencies divided by a factor, high ones kept, smooth between.
    Llama3 {
        /// Divides low frequencies.
        factor: f64,
        /// Below: wavelengths longer than `original / low` are divided.
        low_frequency_factor: f64,
        /// Above: wavelengths shorter than `original / high` are kept.
        high_frequency_factor: f64,
        /// Context length before stretching.
        original_max_positions: usize,
    },
}

/// The sizes of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Configuration {
    /// The architecture.
    pub family: Family,
    /// H.
    pub hidden_size: usize,
    /// Inner width of the feed-forward block.
    pub intermediate_size: usize,
    /// Number of layers.
    pub layers: usize,
    /// N, heads of queries.
    pub heads: usize,
    /// Heads of keys and values; divides `heads`.
    pub key_value_heads: usize,
    /// D; `heads · head_size` need not be H.
    pub head_size: usize,
    /// V.
    pub vocabulary_size: usize,
    /// ε inside the root of `RMSNorm`.
    pub norm_epsilon: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How they are stretched.
    pub rope_scaling: RopeScaling,
    /// The longest sequence the model was made for.
    pub max_positions: usize,
    /// Every token sees this many tokens back at most; `None` for all.
    pub sliding_window: Option<usize>,
    /// Whether the head is the embedding.
    pub tied_head: bool,
    /// Whether q, k and v have a bias.
    pub query_key_value_bias: bool,
    /// Whether o has a bias.
    pub output_bias: bool,
    /// Whether gate, up and down have a bias.
    pub mlp_bias: bool,
    /// Whether q and k of each head pass through an `RMSNorm` before rotation.
    pub query_key_norm: bool,
}

impl Configuration {
    /// Checks what the decoders' arithmetic relies on.
    pub(super) fn check(&self) -> Result<(), LanguageModelError> {
        let Self {
            heads,
            key_value_heads,
            head_size,
            ..
        } = *self;
        if key_value_heads == 0 || heads == 0 || heads % key_value_heads != 0 {
            return Err(LanguageModelError::invalid(format!(
                "{heads} heads cannot share {key_value_heads} heads of keys"
            )));
        }
        if head_size == 0 || head_size % 2 == 1 {
            return Err(LanguageModelError::invalid(format!(
                "heads of {head_size} numbers cannot be turned in pairs"
            )));
        }
        if self.sliding_window == Some(0) {
            return Err(LanguageModelError::invalid(
                "a sliding window of 0 sees nothing",
            ));
        }
        if self.hidden_size == 0
            || self.intermediate_size == 0
            || self.vocabulary_size == 0
            || self.layers == 0
        {
            return Err(LanguageModelError::invalid("a size of the model is 0"));
        }
        Ok(())
    }

    /// Whether a module of [`super::lora::MODULES`] has a bias.
    pub(super) fn is_biased(&self, module: &str) -> bool {
        match module {
            "q_proj" | "k_proj" | "v_proj" => self.query_key_value_bias,
            "o_proj" => self.output_bias,
            _ => self.mlp_bias,
        }
    }

    /// Every tensor of the model by its Hugging Face name, with its shape. A tied head is not
    /// listed.
    #[must_use]
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let queries = self.heads * self.head_size;
        let keys = self.key_value_heads * self.head_size;
        let mut all = vec![(
            "model.embed_tokens.weight".to_owned(),
            vec![self.vocabulary_size, hidden],
        )];
        for layer in 0..self.layers {
            let mut add = |name: &str, shape: Vec<usize>| {
                all.push((format!("model.layers.{layer}.{name}"), shape));
            };
            add("input_layernorm.weight", vec![hidden]);
            for (name, outputs, inputs, bias) in [
                (
                    "self_attn.q_proj",
                    queries,
                    hidden,
                    self.query_key_value_bias,
                ),
                ("self_attn.k_proj", keys, hidden, self.query_key_value_bias),
                ("self_attn.v_proj", keys, hidden, self.query_key_value_bias),
                ("self_attn.o_proj", hidden, queries, self.output_bias),
                ("mlp.gate_proj", inner, hidden, self.mlp_bias),
                ("mlp.up_proj", inner, hidden, self.mlp_bias),
                ("mlp.down_proj", hidden, inner, self.mlp_bias),
            ] {
                add(&format!("{name}.weight"), vec![outputs, inputs]);
                if bias {
                    add(&format!("{name}.bias"), vec![outputs]);
                }
            }
            if self.query_key_norm {
                add("self_attn.q_norm.weight", vec![self.head_size]);
                add("self_attn.k_norm.weight", vec![self.head_size]);
            }
            add("post_attention_layernorm.weight", vec![hidden]);
        }
        all.push(("model.norm.weight".to_owned(), vec![hidden]));
        if !self.tied_head {
            all.push((
                "lm_head.weight".to_owned(),
                vec![self.vocabulary_size, hidden],
            ));
        }
        all
    }

    /// Opens the weights in a folder and checks that they are exactly those of this model.
    ///
    /// Two kinds of tensors may be there beyond: the `rotary_emb.inv_freq` of checkpoints of
    /// before 2024, which follow from the configuration, and the `lm_head.weight` of a model whose
    /// head is its embedding, a copy of it. Neither is read. Of a GGUF file names and the order in
    /// which rows of q and k are turned become those of Hugging Face.
    ///
    /// # Errors
    /// If there are none, a shard is missing, a file is cut, or tensors are missing, surplus or of
    /// other shapes.
    pub fn open_weights(&self, folder: &Path) -> Result<WeightFiles, LanguageModelError> {
        let mut weights = WeightFiles::open(folder)?;
        if weights.is_gguf() {
            weights.rename(|_| false, of_hugging_face)?;
            // llama.cpp turns neighbours in the first two families, halves of a head in the others.
            if matches!(self.family, Family::Llama | Family::Mistral) {
                for layer in 0..self.layers {
                    for (module, heads) in [("q", self.heads), ("k", self.key_value_heads)] {
                        for end in ["weight", "bias"] {
                            let name =
                                format!("model.layers.{layer}.self_attn.{module}_proj.{end}");
                            weights.turned(&name, heads);
                        }
                    }
                }
            }
        }
        let mut expected: BTreeMap<String, Vec<usize>> = self.tensors().into_iter().collect();
        if let Some(shape) = weights.shape(HEAD).filter(|_| self.tied_head) {
            let right = [self.vocabulary_size, self.hidden_size];
            if *shape != right {
                expected.insert(HEAD.to_owned(), right.to_vec());
            }
        }
        let passed_over = |name: &str| {
            name.ends_with("rotary_emb.inv_freq")
                || name == "rope_freqs.weight"
                || (name == HEAD && self.tied_head && !expected.contains_key(HEAD))
        };
        weights.rename(passed_over, str::to_owned)?;
        weights.keep_exactly(&expected, |missing| {
            (missing == [HEAD]).then_some(
                "if the head of this model is its embedding, config.json must say \
                 \"tie_word_embeddings\": true",
            )
        })?;
        Ok(weights)
    }

    /// Width of the inputs and outputs of a module of [`super::lora::MODULES`]; `None` for
    /// another name.
    #[must_use]
    pub fn module_widths(&self, module: &str) -> Option<(usize, usize)> {
        let queries = self.heads * self.head_size;
        let keys = self.key_value_heads * self.head_size;
        Some(match module {
            "q_proj" => (self.hidden_size, queries),
            "k_proj" | "v_proj" => (self.hidden_size, keys),
            "o_proj" => (queries, self.hidden_size),
            "gate_proj" | "up_proj" => (self.hidden_size, self.intermediate_size),
            "down_proj" => (self.intermediate_size, self.hidden_size),
            _ => return None,
        })
    }

    /// The rotary frequencies after stretching, D/2 of them: entry i turns the pair (i, i + D/2)
    /// of a head by `position · frequency`.
    #[must_use]
    pub fn rotary_frequencies(&self) -> Vec<f32> {
        let size = self.head_size as f64;
        (0..self.head_size / 2)
            .map(|pair| {
                let frequency = self.rope_theta.powf(-2.0 * pair as f64 / size);
                self.rope_scaling.stretch(frequency) as f32
            })
            .collect()
    }
}

impl RopeScaling {
    fn stretch(self, frequency: f64) -> f64 {
        match self {
            Self::None => frequency,
            Self::Linear { factor } => frequency / factor,
            Self::Llama3 {
                factor,
                low_frequency_factor,
                high_frequency_factor,
                original_max_positions,
            } => {
                let original = original_max_positions as f64;
                let wavelength = std::f64::consts::TAU / frequency;
                if wavelength < original / high_frequency_factor {
                    frequency
                } else if wavelength > original / low_frequency_factor {
                    frequency / factor
                } else {
                    let smooth = (original / wavelength - low_frequency_factor)
                        / (high_frequency_factor - low_frequency_factor);
                    (1.0 - smooth) * frequency / factor + smooth * frequency
                }
            }
        }
    }
}
