//! Differentiable layers: everything a model is made of, nothing that knows a model or a loop.
//!
//! Layers follow PyTorch's semantics and weight layouts, so a checkpoint moves between the two.
//! Numbers are `f32`. On the CPU the hot layers ([`Linear`], [`Gru`], [`HorizontalConvolution`],
//! [`LastAttention`], …) are single operations with their own backward pass over slices: candle's
//! graph of ten small operations per time step costs more than the arithmetic at hidden sizes of
//! 64. They sum in a fixed order, so the same inputs give the same bytes with any number of
//! threads, and hand the gradients of their variables to [`Gradients`] instead of to candle.
//! On other devices the same layers are plain candle operations (in that form they are also
//! what the fused ones are tested against).
//!
//! Letters in shapes: `B` batch, `T` time, `I` input width, `H` hidden width, `V` items.

pub mod activation;
pub mod attention;
pub mod convolution;
mod convolution_operations;
pub mod dropout;
pub mod embedding;
pub mod error;
#[cfg(test)]
mod finite_difference;
pub mod gates;
pub mod gradients;
pub mod gru;
pub mod initialise;
pub mod last_attention;
pub mod layer_norm;
pub mod linear;
pub mod matrix;
pub mod moments;
pub mod packed;
pub mod product;
mod recurrence;
mod steps;
mod threads;
pub mod variables;
pub mod vector;
mod wide;

pub use convolution::{HorizontalConvolution, VerticalConvolution};
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use error::NnError;
pub use gradients::{Gradient, Gradients};
pub use gru::Gru;
pub use initialise::Init;
pub use last_attention::LastAttention;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use threads::keep_candle_to_one_thread;
pub use variables::{VariableBuilder, Variables};
