//! BERT as an encoder of texts, frozen: one vector for the text of an item.
//!
//! GRU-BERT and DROS-BERT see, beside the embedding of an item's identifier, what BERT makes of
//! its title (Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language
//! Understanding", NAACL 2019; TALLRec §3 takes bert-base-uncased and the vector of `[CLS]`). Any
//! Hugging Face folder of `model_type: bert` is read, with or without a head;
//! [`RandomEncoder`] makes one where nothing can be downloaded.
//!
//! Nothing is trained here, so the layers are those of candle-transformers: their fused
//! operations cut the gradient, which does not matter without one.

pub mod configuration;
pub mod encoder;
pub mod error;
pub mod random;
pub mod word_pieces;

pub use configuration::{Activation, BertConfiguration};
pub use encoder::{EmbedOptions, Pooling, TextEncoder};
pub use error::TextEncoderError;
pub use random::RandomEncoder;
pub use word_pieces::WordPieces;
