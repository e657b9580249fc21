//! Files of models in the forms of the Hugging Face Hub: weights as safetensors or PyTorch's
//! `.bin`, whole or sharded, GGUF, the keys of `config.json`, and the hub's own cache.
//!
//! Nothing here knows what a model computes; `language_model` and `text_encoder` do.

mod blocks;
#[cfg(feature = "hub")]
mod download;
pub mod error;
mod gguf_file;
pub mod hub;
pub(crate) mod keys;
pub mod number_type;
mod pickle;
pub mod safetensors_file;
pub mod stored;
pub mod torch_file;
pub mod weight_files;

pub use error::ModelFileError;
pub use hub::{HubCache, HubFolder, HubModel, TOKENIZER_FILE, WORD_PIECE_FILE};
pub use keys::CONFIGURATION_FILE;
pub use number_type::NumberType;
pub use stored::Stored;
pub use weight_files::WeightFiles;
