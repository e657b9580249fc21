//! Texts to vectors.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::BertModel;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BertConfiguration, TextEncoderError, WordPieces};
use crate::model_files::error::clipped;
use crate::model_files::{ModelFileError, WeightFiles};

/// Texts that pass through the encoder side by side.
const BATCH: usize = 32;

/// Batches between two looks at whether to stop.
const ROUND: usize = 4;

/// How the states of a text's tokens become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The state of `[CLS]` in the last layer (paper §3).
    #[default]
    Cls,
    /// The mean of all states of the last layer, `[CLS]` and `[SEP]` among them, as
    /// sentence-transformers takes it.
    Mean,
}

/// How texts are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbedOptions {
    /// How states become a vector.
    pub pooling: Pooling,
    /// Tokens of a text at most, `[CLS]` and `[SEP]` included; the end of a longer one is left
    /// out.
    pub max_tokens: usize,
}

/// A BERT in memory.
pub struct TextEncoder {
    configuration: BertConfiguration,
    pieces: WordPieces,
    model: BertModel,
}

impl std::fmt::Debug for TextEncoder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("TextEncoder")
            .field("configuration", &self.configuration)
            .finish_non_exhaustive()
    }
}

impl TextEncoder {
    /// Reads a Hugging Face folder: `config.json`, weights, and `tokenizer.json` or `vocab.txt`.
    ///
    /// The tensors of heads (`cls.…`, `classifier.…`, `pooler.…`) are passed over. The names
    /// `LayerNorm.gamma` and `LayerNorm.beta` of checkpoints that came from TensorFlow, such as
    /// bert-base-uncased, are understood.
    ///
    /// # Errors
    /// If the folder is not a whole BERT: another architecture, tensors missing, surplus or of
    /// other shapes, numbers that are not finite, a tokenizer with more pieces than embeddings.
    pub fn open(folder: &Path) -> Result<Self, TextEncoderError> {
        if !folder.is_dir() {
            return Err(ModelFileError::file(folder, "there is no such folder")
                .with_help(
                    "a text encoder is a folder with config.json, model.safetensors and \
                     tokenizer.json or vocab.txt",
                )
                .into());
        }
        let configuration = BertConfiguration::read(folder)?;
        let pieces = WordPieces::read(folder)?;
        pieces.check_against(folder, configuration.vocabulary_size)?;
        let weights = open_weights(folder, &configuration)?;
        let mut tensors = BTreeMap::new();
        for (name, numbers) in weights.all_f32()? {
            let shape = weights.shape(&name).unwrap_or_default().to_vec();
            let tensor = Tensor::from_vec(numbers, shape, &Device::Cpu);
            tensors.insert(name, tensor.map_err(TextEncoderError::candle("weights"))?);
        }
        let builder =
            VarBuilder::from_tensors(tensors.into_iter().collect(), DType::F32, &Device::Cpu);
        let model = BertModel::load(builder, &configuration.for_candle())
            .map_err(TextEncoderError::candle("layers"))?;
        Ok(Self {
            configuration,
            pieces,
            model,
        })
    }

    /// H, the width of the vectors.
    #[must_use]
    pub fn width(&self) -> usize {
        self.configuration.hidden_size
    }

    /// One vector of width H for each text, in their order.
    ///
    /// Only texts of the same number of tokens pass side by side, so nothing is padded. Texts with
    /// the same tokens are encoded once. The same texts give the same numbers with any number of
    /// threads, in any order. `progress` is told how many of the different texts are done, and
    /// says whether to go on.
    ///
    /// # Errors
    /// If `max_tokens` does not fit the model, a text cannot be read, a vector is not finite, or
    /// `progress` says no.
    pub fn embed(
        &self,
        texts: &[&str],
        options: EmbedOptions,
        progress: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Result<Vec<Vec<f32>>, TextEncoderError> {
        let most = self.configuration.max_positions;
        if !(3..=most).contains(&options.max_tokens) {
            return Err(ModelFileError::invalid(format!(
                "{} tokens of a text at most: it must be from 3 to {most}, the positions this \
                 encoder has",
                options.max_tokens
            ))
            .into());
        }
        let mut ids = Vec::with_capacity(texts.len());
        for text in texts {
            ids.push(self.pieces.encode(text, options.max_tokens)?);
        }
        // Every different text with its first place, the short ones first.
        let mut different: BTreeMap<(usize, &[u32]), usize> = BTreeMap::new();
        for (place, tokens) in ids.iter().enumerate() {
            different.entry((tokens.len(), tokens)).or_insert(place);
        }
        let ordered: Vec<&[u32]> = different.keys().map(|(_, tokens)| *tokens).collect();
        let batches: Vec<&[&[u32]]> = ordered
            .chunk_by(|one, two| one.len() == two.len())
            .flat_map(|same| same.chunks(BATCH))
            .collect();
        let mut vectors: Vec<Vec<f32>> = Vec::with_capacity(ordered.len());
        for round in batches.chunks(ROUND) {
            if !progress(vectors.len(), ordered.len()) {
                return Err(TextEncoderError::Cancelled);
            }
            let made: Vec<Vec<Vec<f32>>> = round
                .par_iter()
                .map(|batch| self.batch(batch, options.pooling))
                .collect::<Result<_, _>>()?;
            vectors.extend(made.into_iter().flatten());
        }
        progress(vectors.len(), ordered.len());
        let found: BTreeMap<&[u32], &Vec<f32>> = ordered.into_iter().zip(&vectors).collect();
        let mut all = Vec::with_capacity(texts.len());
        for (tokens, text) in ids.iter().zip(texts) {
            let vector = found.get(tokens.as_slice()).copied();
            let finite = vector.filter(|vector| vector.iter().all(|one| one.is_finite()));
            all.push(finite.cloned().ok_or_else(|| {
                ModelFileError::invalid(format!(
                    "the encoder makes numbers of `{}` that are not finite",
                    clipped(text)
                ))
                .with_help("its weights are too large for single precision, or damaged")
            })?);
        }
        Ok(all)
    }

    /// Texts of one length to vectors.
    fn batch(&self, texts: &[&[u32]], pooling: Pooling) -> Result<Vec<Vec<f32>>, TextEncoderError> {
        let length = texts.first().map_or(0, |text| text.len());
        let run = || {
            let ids = Tensor::from_vec(texts.concat(), (texts.len(), length), &Device::Cpu)?;
            let states = self.model.forward(&ids, &ids.zeros_like()?, None)?; // [B, T, H]
            let vectors = match pooling {
                Pooling::Cls => states.narrow(1, 0, 1)?.squeeze(1)?,
                Pooling::Mean => states.mean(1)?,
            }; // [B, H]
            vectors.to_vec2()
        };
        run().map_err(TextEncoderError::candle("encoder"))
    }
}

/// Opens the weights of a BERT under the names of [`BertConfiguration::tensors`].
fn open_weights(
    folder: &Path,
    configuration: &BertConfiguration,
) -> Result<WeightFiles, ModelFileError> {
    let mut weights = WeightFiles::open(folder)?;
    let prefix = if weights.names().any(|name| name.starts_with("bert.")) {
        "bert."
    } else {
        ""
    };
    let is_head = |name: &str| {
        // With a prefix, what does not have it belongs to a head.
        let Some(inside) = name.strip_prefix(prefix) else {
            return true;
        };
        let heads = ["pooler.", "cls.", "classifier.", "qa_outputs."];
        heads.iter().any(|head| inside.starts_with(head))
    };
    let plain = |name: &str| {
        let inside = name.strip_prefix(prefix).unwrap_or(name);
        match inside.strip_suffix("LayerNorm.gamma") {
            Some(layer) => format!("{layer}LayerNorm.weight"),
            None => match inside.strip_suffix("LayerNorm.beta") {
                Some(layer) => format!("{layer}LayerNorm.bias"),
                None => inside.to_owned(),
            },
        }
    };
    weights.rename(is_head, plain)?;
    weights.keep_exactly(&configuration.tensors(), |_| None)?;
    Ok(weights)
}
