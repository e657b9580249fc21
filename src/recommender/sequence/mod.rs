//! What the sequence methods share: items to numbers, histories to batches, networks to folders.

pub mod batch;
pub mod network;
pub mod vocabulary;

pub use batch::{Batch, Encoder, Padding, Row};
pub use network::{Network, fit_network, score_network};
pub use vocabulary::{Vocabulary, item_key};
