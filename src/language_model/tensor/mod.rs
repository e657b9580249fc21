//! The decoder on candle's tensors: on an NVIDIA GPU, or on the CPU in numbers that
//! [`super::decoder`] does not know (half precision, quantised weights).
//!
//! Forward and backward are written by hand, as there, over the same `super::layout`: rows of all
//! sequences side by side, a shared prefix once, of the last layer only the rows where something is
//! asked. No gradient is computed of a frozen weight. A quantised matrix is made dense where it is
//! used, and forgotten. Attention (`attention`) runs over groups of sequences of similar lengths
//! (`packing`).
//! What candle would do in many passes over memory is one kernel each (`operations`, `kernels.cu`,
//! launched by `cuda`), and each has a twin on the CPU that says what it must compute (`twins`); a
//! card's kernels are compared with these when it is opened (`proof`).

mod attention;
#[cfg(feature = "cuda")]
mod cuda;
mod custom;
pub mod device;
mod frozen;
#[cfg(any(test, feature = "cuda"))]
mod launch;
mod layer;
mod model;
mod numbers;
mod operations;
mod packing;
mod pass;
#[cfg(any(test, feature = "cuda"))]
mod proof;
mod twins;
mod weights;

pub use device::open;
pub(super) use model::ROWS_AT_ONCE;
pub use model::TensorDecoder;
pub(super) use numbers::{layer_numbers, layer_numbers_quantised, row_bytes};
pub(super) use pass::rows_of_logits;
pub use weights::TensorWeights;
