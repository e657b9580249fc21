//! The sizes of a BERT, from and to `config.json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use candle_transformers::models::bert;
use serde_json::{Value, json};

use crate::base::bounded;
use crate::model_files::error::clipped;
use crate::model_files::keys::{Keys, MOST, MOST_LAYERS, shown};
use crate::model_files::{CONFIGURATION_FILE, ModelFileError};

/// The function between the two maps of the feed-forward block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `gelu`, by the error function.
    Gelu,
    /// `gelu_new` and `gelu_pytorch_tanh`, by the hyperbolic tangent.
    GeluTanh,
    /// `relu`.
    Relu,
}

/// The sizes of a BERT.
#[derive(Debug, Clone, PartialEq)]
pub struct BertConfiguration {
    /// H, width of the states and of the vectors.
    pub hidden_size: usize,
    /// Layers.
    pub layers: usize,
    /// Heads of the attention; divides H.
    pub heads: usize,
    /// Width between the two maps of the feed-forward block.
    pub intermediate_size: usize,
    /// V, pieces of words.
    pub vocabulary_size: usize,
    /// Tokens of a text at most.
    pub max_positions: usize,
    /// Kinds of sentences; a text alone is of kind 0.
    pub sentence_types: usize,
    /// Between the two maps of the feed-forward block.
    pub activation: Activation,
    /// ε inside the root of `LayerNorm`.
    pub norm_epsilon: f64,
}

const ACTIVATIONS: [(&str, Activation); 4] = [
    ("gelu", Activation::Gelu),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("relu", Activation::Relu),
];

const WHAT_IS_READ: &str = "text encoders are BERT models, such as bert-base-uncased or \
                            sentence-transformers/all-MiniLM-L6-v2";

impl BertConfiguration {
    /// Reads `config.json` of a model folder.
    ///
    /// # Errors
    /// If it cannot be read, is of another architecture, asks for what is not built, or
    /// contradicts itself.
    pub fn read(folder: &Path) -> Result<Self, ModelFileError> {
        let path = folder.join(CONFIGURATION_FILE);
        let bytes =
            bounded::read(&path, bounded::SETTINGS).map_err(ModelFileError::io("read", &path))?;
        Self::from_json(&bytes, &path)
    }

    /// Reads the text of a `config.json`; `path` is only for errors.
    ///
    /// # Errors
    /// As [`BertConfiguration::read`].
    pub fn from_json(bytes: &[u8], path: &Path) -> Result<Self, ModelFileError> {
        let keys = Keys::from_json(bytes, path)?;
        check_architecture(&keys)?;
        let activation = match keys.get("hidden_act") {
            None => Activation::Gelu,
            Some(value) => ACTIVATIONS
                .iter()
                .find(|(name, _)| value.as_str() == Some(name))
                .map(|(_, activation)| *activation)
                .ok_or_else(|| {
                    let known: Vec<&str> = ACTIVATIONS.iter().map(|(name, _)| *name).collect();
                    keys.wrong(format!(
                        "`hidden_act` is {}, which is not built",
                        shown(value)
                    ))
                    .with_help(format!("built are {}", known.join(", ")))
                })?,
        };
        if let Some(positions) = keys.get("position_embedding_type")
            && positions != "absolute"
        {
            return Err(keys.wrong(format!(
                "`position_embedding_type` is {}; only \"absolute\" is built",
                shown(positions)
            )));
        }
        for flag in ["is_decoder", "add_cross_attention"] {
            if keys.flag(flag)? {
                return Err(keys
                    .wrong(format!("`{flag}` is true: this is not an encoder"))
                    .with_help(WHAT_IS_READ));
            }
        }
        let configuration = Self {
            hidden_size: keys.size("hidden_size")?,
            layers: keys.size_or("num_hidden_layers", None, MOST_LAYERS)?,
            heads: keys.size("num_attention_heads")?,
            intermediate_size: keys.size("intermediate_size")?,
            vocabulary_size: keys.size("vocab_size")?,
            max_positions: keys.size_or("max_position_embeddings", Some(512), MOST)?,
            sentence_types: keys.size_or("type_vocab_size", Some(2), MOST)?,
            activation,
            norm_epsilon: keys.number_or("layer_norm_eps", Some(1e-12))?,
        };
        if !configuration
            .hidden_size
            .is_multiple_of(configuration.heads)
        {
            return Err(keys.wrong(format!(
                "`hidden_size` {} is not a multiple of `num_attention_heads` {}",
                configuration.hidden_size, configuration.heads
            )));
        }
        Ok(configuration)
    }

    /// Writes a `config.json` that transformers loads as a `BertModel`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), ModelFileError> {
        let activation = ACTIVATIONS.iter().find(|(_, one)| *one == self.activation);
        let text = json!({
            "architectures": ["BertModel"],
            "attention_probs_dropout_prob": 0.1,
            "hidden_act": activation.map_or("gelu", |(name, _)| *name),
            "hidden_dropout_prob": 0.1,
            "hidden_size": self.hidden_size,
            "initializer_range": 0.02,
            "intermediate_size": self.intermediate_size,
            "layer_norm_eps": self.norm_epsilon,
            "max_position_embeddings": self.max_positions,
            "model_type": "bert",
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "pad_token_id": 0,
            "position_embedding_type": "absolute",
            "torch_dtype": "float32",
            "type_vocab_size": self.sentence_types,
            "vocab_size": self.vocabulary_size,
        });
        let path = folder.join(CONFIGURATION_FILE);
        fs::write(&path, format!("{text:#}\n")).map_err(ModelFileError::io("write", path))
    }

    /// Every tensor by its name without the prefix `bert.`, with its shape. The pooler is not
    /// among them: what is wanted are the states of the last layer.
    #[must_use]
    pub fn tensors(&self) -> BTreeMap<String, Vec<usize>> {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let mut all = BTreeMap::new();
        for (name, rows) in [
            ("word", self.vocabulary_size),
            ("position", self.max_positions),
            ("token_type", self.sentence_types),
        ] {
            let name = format!("embeddings.{name}_embeddings.weight");
            all.insert(name, vec![rows, hidden]);
        }
        let mut norm = |name: String| {
            all.insert(format!("{name}.weight"), vec![hidden]);
            all.insert(format!("{name}.bias"), vec![hidden]);
        };
        norm("embeddings.LayerNorm".to_owned());
        for layer in 0..self.layers {
            norm(format!("encoder.layer.{layer}.attention.output.LayerNorm"));
            norm(format!("encoder.layer.{layer}.output.LayerNorm"));
        }
        for layer in 0..self.layers {
            for (name, outputs, inputs) in [
                ("attention.self.query", hidden, hidden),
                ("attention.self.key", hidden, hidden),
                ("attention.self.value", hidden, hidden),
                ("attention.output.dense", hidden, hidden),
                ("intermediate.dense", inner, hidden),
                ("output.dense", hidden, inner),
            ] {
                let name = format!("encoder.layer.{layer}.{name}");
                all.insert(format!("{name}.weight"), vec![outputs, inputs]);
                all.insert(format!("{name}.bias"), vec![outputs]);
            }
        }
        all
    }

    /// As candle-transformers wants it.
    pub(super) fn for_candle(&self) -> bert::Config {
        bert::Config {
            vocab_size: self.vocabulary_size,
            hidden_size: self.hidden_size,
            num_hidden_layers: self.layers,
            num_attention_heads: self.heads,
            intermediate_size: self.intermediate_size,
            hidden_act: match self.activation {
                Activation::Gelu => bert::HiddenAct::Gelu,
                Activation::GeluTanh => bert::HiddenAct::GeluApproximate,
                Activation::Relu => bert::HiddenAct::Relu,
            },
            max_position_embeddings: self.max_positions,
            type_vocab_size: self.sentence_types,
            layer_norm_eps: self.norm_epsilon,
            model_type: None,
            ..bert::Config::default()
        }
    }
}

/// `model_type` decides; without it, as in checkpoints of 2019, the name of the architecture.
fn check_architecture(keys: &Keys) -> Result<(), ModelFileError> {
    let named = keys
        .get("architectures")
        .and_then(Value::as_array)
        .and_then(|names| names.first())
        .and_then(Value::as_str);
    let kind = keys.get("model_type");
    let (what, is_bert) = match (kind, named) {
        (Some(kind), _) => (shown(kind), kind == "bert"),
        (None, Some(name)) => (format!("\"{}\"", clipped(name)), name.starts_with("Bert")),
        (None, None) => {
            return Err(keys
                .wrong("neither `model_type` nor `architectures` says what kind of model this is")
                .with_help(WHAT_IS_READ));
        }
    };
    if is_bert {
        return Ok(());
    }
    Err(keys
        .wrong(format!("the model is of the kind {what}, not \"bert\""))
        .with_help(WHAT_IS_READ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &Value) -> Result<BertConfiguration, String> {
        BertConfiguration::from_json(text.to_string().as_bytes(), Path::new("config.json"))
            .map_err(|error| error.to_string())
    }

    fn base() -> Value {
        json!({
            "model_type": "bert", "hidden_size": 32, "num_hidden_layers": 2,
            "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 100,
        })
    }

    #[test]
    fn what_is_written_is_read_and_defaults_are_transformers() {
        let read_back = read(&base()).expect("a BERT");
        assert_eq!(read_back.max_positions, 512);
        assert_eq!(read_back.sentence_types, 2);
        assert_eq!(read_back.activation, Activation::Gelu);
        let folder = tempfile::tempdir().expect("folder");
        read_back.write(folder.path()).expect("write");
        assert_eq!(
            BertConfiguration::read(folder.path()).expect("read"),
            read_back
        );
        let mut old = base();
        old.as_object_mut()
            .expect("object")
            .shift_remove("model_type");
        old["architectures"] = json!(["BertForMaskedLM"]);
        assert!(read(&old).is_ok());
    }

    #[test]
    fn what_is_not_built_is_refused_by_name() {
        for (key, value, expected) in [
            ("model_type", json!("roberta"), "\"roberta\""),
            ("hidden_act", json!("silu"), "\"silu\""),
            (
                "position_embedding_type",
                json!("relative_key"),
                "relative_key",
            ),
            ("is_decoder", json!(true), "`is_decoder`"),
            ("num_attention_heads", json!(5), "multiple"),
            ("vocab_size", json!(0), "`vocab_size` is 0"),
            ("hidden_size", json!(null), "`hidden_size` is missing"),
            ("layer_norm_eps", json!(-1.0), "layer_norm_eps"),
        ] {
            let mut text = base();
            text[key] = value;
            let error = read(&text).expect_err(key);
            assert!(error.contains(expected), "{key}: {error}");
        }
    }
}
