//! A BERT with random weights, for whoever can download nothing.

use std::fs;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Activation, BertConfiguration, TextEncoderError, WordPieces};
use crate::model_files::safetensors_file::{self, ToWrite};
use crate::model_files::{ModelFileError, NumberType};
use crate::nn::Init;

/// What a BERT with random weights is made of.
///
/// It has read nothing and knows no language: texts with words in common get similar vectors, and
/// that is all. It shows that every part works, and whether the *text* of bert-base-uncased helps
/// or only more inputs do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RandomEncoder {
    /// Width of the states and of the vectors. bert-base-uncased: 768.
    pub hidden_size: usize,
    /// Layers. bert-base-uncased: 12.
    pub layers: usize,
    /// Heads of the attention; divides `hidden_size`. bert-base-uncased: 12.
    pub heads: usize,
    /// Width between the two maps of the feed-forward block. bert-base-uncased: 3072.
    pub intermediate_size: usize,
    /// Pieces of words at most. bert-base-uncased: 30522.
    pub vocabulary_size: usize,
    /// Tokens of a text at most. bert-base-uncased: 512.
    pub max_positions: usize,
    /// Drives the weights.
    pub seed: u64,
}

impl Default for RandomEncoder {
    fn default() -> Self {
        Self {
            hidden_size: 64,
            layers: 2,
            heads: 4,
            intermediate_size: 256,
            vocabulary_size: 8192,
            max_positions: 128,
            seed: 0,
        }
    }
}

impl RandomEncoder {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// The field's name and what is wrong with it.
    pub fn check(&self) -> Result<(), (String, String)> {
        let wrong = |field: &str, message: String| Err((field.to_owned(), message));
        for (field, value, most) in [
            ("hidden_size", self.hidden_size, 1 << 14),
            ("layers", self.layers, 128),
            ("heads", self.heads, 1 << 14),
            ("intermediate_size", self.intermediate_size, 1 << 16),
            ("vocabulary_size", self.vocabulary_size, 1 << 20),
            ("max_positions", self.max_positions, 1 << 14),
        ] {
            if !(1..=most).contains(&value) {
                return wrong(field, format!("is {value}, must be from 1 to {most}"));
            }
        }
        if !self.hidden_size.is_multiple_of(self.heads) {
            let hidden = self.hidden_size;
            return wrong(
                "heads",
                format!("is {}, must divide hidden_size {hidden}", self.heads),
            );
        }
        if self.max_positions < 3 {
            return wrong(
                "max_positions",
                format!("is {}: [CLS], a piece and [SEP] are 3", self.max_positions),
            );
        }
        Ok(())
    }

    /// Writes a Hugging Face folder with a vocabulary made of `texts`.
    ///
    /// Weights as BERT's own first values: embeddings and maps ~ N(0, 0.02²), the embedding of
    /// `[PAD]` and all biases zero, `LayerNorm` one and zero. (BERT cut the normal distribution
    /// at two deviations; transformers, and this, do not.) The same texts and seed give the same
    /// bytes, whatever the order of the texts.
    ///
    /// # Errors
    /// If the vocabulary does not hold the characters of the texts, or a file cannot be written.
    pub fn write<'a>(
        &self,
        folder: &Path,
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), TextEncoderError> {
        let pieces = WordPieces::from_texts(texts, self.vocabulary_size)?;
        let configuration = BertConfiguration {
            hidden_size: self.hidden_size,
            layers: self.layers,
            heads: self.heads,
            intermediate_size: self.intermediate_size,
            vocabulary_size: pieces.size(),
            max_positions: self.max_positions,
            sentence_types: 2,
            activation: Activation::Gelu,
            norm_epsilon: 1e-12,
        };
        fs::create_dir_all(folder).map_err(ModelFileError::io("create", folder))?;
        configuration.write(folder)?;
        pieces.write(folder, self.max_positions)?;
        let mut tensors = configuration.tensors();
        // Not read here, but transformers' BertModel has it.
        let hidden = self.hidden_size;
        tensors.insert("pooler.dense.weight".to_owned(), vec![hidden, hidden]);
        tensors.insert("pooler.dense.bias".to_owned(), vec![hidden]);
        let drawn: Vec<(String, Vec<usize>, Vec<f32>)> = tensors
            .into_iter()
            .map(|(name, shape)| {
                let values = self.draw(&name, &shape);
                (name, shape, values)
            })
            .collect();
        let listed: Vec<ToWrite<'_>> = drawn
            .iter()
            .map(|(name, shape, values)| ToWrite {
                name,
                shape,
                values,
            })
            .collect();
        let path = folder.join("model.safetensors");
        Ok(safetensors_file::write(&path, &listed, NumberType::F32)?)
    }

    fn draw(&self, name: &str, shape: &[usize]) -> Vec<f32> {
        let init = match name.rsplit_once('.') {
            Some((_, "bias")) => Init::Constant(0.0),
            Some((layer, _)) if layer.ends_with("LayerNorm") => Init::Constant(1.0),
            _ => Init::Normal { deviation: 0.02 },
        };
        let mut values = init.draw(self.seed, name, shape);
        if name == "embeddings.word_embeddings.weight" {
            // [PAD] is the first piece.
            values[..self.hidden_size].fill(0.0);
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text_encoder::{EmbedOptions, Pooling, TextEncoder};

    const TITLES: [&str; 6] = [
        "Toy Story (1995)",
        "Story",
        "The Story of Us (1999)",
        "Toy Story 2 (1999)",
        "Story",
        "Get Shorty (1995)",
    ];

    fn made(seed: u64) -> (tempfile::TempDir, TextEncoder) {
        let folder = tempfile::tempdir().expect("folder");
        let options = RandomEncoder {
            hidden_size: 32,
            heads: 4,
            intermediate_size: 48,
            max_positions: 40,
            seed,
            ..RandomEncoder::default()
        };
        options.write(folder.path(), TITLES).expect("write");
        let encoder = TextEncoder::open(folder.path()).expect("a BERT");
        (folder, encoder)
    }

    fn embed(encoder: &TextEncoder, texts: &[&str], pooling: Pooling) -> Vec<Vec<f32>> {
        let options = EmbedOptions {
            pooling,
            max_tokens: 40,
        };
        encoder
            .embed(texts, options, &mut |_, _| true)
            .expect("vectors")
    }

    #[test]
    fn company_order_and_threads_change_no_vector() {
        let (_folder, encoder) = made(1);
        for pooling in [Pooling::Cls, Pooling::Mean] {
            let together = embed(&encoder, &TITLES, pooling);
            assert_eq!(together[1], together[4]);
            assert_ne!(together[0], together[3]);
            for (text, vector) in TITLES.iter().zip(&together) {
                let alone = &embed(&encoder, &[text], pooling)[0];
                let apart = alone.iter().zip(vector).map(|(one, two)| (one - two).abs());
                assert!(apart.fold(0.0, f32::max) < 1e-6, "{text}");
            }
            let mut reversed = TITLES;
            reversed.reverse();
            let mut backwards = embed(&encoder, &reversed, pooling);
            backwards.reverse();
            assert_eq!(backwards, together);
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(3)
                .build()
                .expect("threads");
            assert_eq!(pool.install(|| embed(&encoder, &TITLES, pooling)), together);
        }
    }

    #[test]
    fn the_seed_decides_and_bytes_do_not_depend_on_the_order_of_texts() {
        let bytes = |seed| {
            let (folder, _) = made(seed);
            let names = [
                "model.safetensors",
                "config.json",
                "tokenizer.json",
                "vocab.txt",
            ];
            names.map(|name| fs::read(folder.path().join(name)).expect("written"))
        };
        let (one, again, other) = (bytes(1), bytes(1), bytes(2));
        assert_eq!(one, again);
        assert_ne!(one[0], other[0]);
        assert_eq!(one[1..], other[1..]);
    }

    #[test]
    fn progress_may_stop_and_limits_are_named() {
        let (_folder, encoder) = made(1);
        let options = |max_tokens| EmbedOptions {
            pooling: Pooling::Cls,
            max_tokens,
        };
        let stopped = encoder.embed(&TITLES, options(40), &mut |_, _| false);
        assert!(matches!(stopped, Err(TextEncoderError::Cancelled)));
        for most in [2, 41] {
            let error = encoder.embed(&TITLES, options(most), &mut |_, _| true);
            let error = error.expect_err("out of range").to_string();
            assert!(error.contains("from 3 to 40"), "{error}");
        }
        let mut told = Vec::new();
        let vectors = encoder.embed(&TITLES, options(40), &mut |done, of| {
            told.push((done, of));
            true
        });
        assert_eq!(vectors.expect("vectors").len(), TITLES.len());
        assert_eq!(told.last(), Some(&(5, 5)));
    }
}
