//! What the sequence methods share: settings, items to numbers, histories to batches, and the way
//! from a [`Network`] to a method.

pub mod batch;
pub mod history;
pub mod item_vectors;
pub mod network;
pub mod recurrent;
pub mod settings;
pub mod vocabulary;

pub use batch::{Batch, Encoder, Padding, Row};
pub use history::{HistoryEmbedding, Items};
pub use item_vectors::ItemVectors;
pub use network::Network;
pub use recurrent::RecurrentNetwork;
pub(crate) use settings::sequence_settings;
pub use settings::{Feedback, SequenceSettings, Shared};
pub use vocabulary::{Vocabulary, item_key};
