//! The decoder on the CPU: forward and backward by hand over slices, layer by layer.
//!
//! Rows of all sequences lie side by side without padding (`super::layout`). A layer keeps what its
//! way back needs (`layer`), or only its input; no gradient is computed of a frozen weight or
//! below the lowest layer that is trained. Work is split into tasks by sizes alone and sums are
//! made in a fixed order, so the same inputs give the same bytes with any number of threads.

mod head;
mod heads;
mod layer;
mod linear;
mod model;
mod network;
mod numbers;
mod passes;
pub mod weights;

pub(super) use head::rows_per_block;
pub(super) use heads::Angles;
pub(super) use model::ROWS_AT_ONCE;
pub use model::{Decoder, Trainable};
pub(super) use numbers::layer_numbers;
pub(super) use weights::check_adapter;
pub use weights::{Weights, fresh_adapter, fresh_weights};
