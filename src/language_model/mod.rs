//! Decoder-only language models of the LLaMA family, and LoRA adapters on them.
//!
//! A backbone is a Hugging Face folder ([`Configuration`], weights, tokenizer). [`LanguageModel`]
//! is what training and scoring need of it: losses with gradients for the trainable
//! [`Parameters`] (an adapter, or all weights in pretraining), and logits where an answer stands.
//! Sequences of a [`Batch`] lie side by side without padding.
//!
//! Letters in shapes: `T` tokens of a batch, `H` hidden width, `N` heads, `D` head width, `V`
//! vocabulary, `R` rank of an adapter.

pub mod adapter;
mod adapter_config;
pub mod backbone;
pub mod batch;
pub mod configuration;
pub mod configuration_file;
pub mod configuration_write;
pub mod decoder;
pub mod error;
mod gguf_names;
mod layout;
pub mod lora;
pub mod memory;
pub mod model;
pub mod operations;
pub mod parameters;
pub mod precision;
pub mod tensor;
pub mod tokenizer;
pub mod tokenizer_training;

pub use adapter::Adapter;
pub use backbone::Backbone;
pub use batch::{Batch, Sequence, Target};
pub use configuration::{Configuration, Family, RopeScaling};
pub use configuration_write::SpecialIds;
pub use decoder::{Decoder, Trainable, Weights};
pub use error::LanguageModelError;
pub use lora::LoraOptions;
pub use model::{Dropout, LanguageModel, Pass, Readout};
pub use parameters::{Parameter, Parameters};
pub use precision::{Compute, Frozen, Precision};
pub use tensor::{TensorDecoder, TensorWeights};
pub use tokenizer::{Answers, Tokenizer};

pub use crate::model_files::{HubCache, HubFolder, HubModel, NumberType, WeightFiles};
