//! Interactions, samples, splits, K-shot draws, and the readers of the field's raw formats.

pub mod frame;
pub mod sample;

pub use sample::{Domain, Item, Rated, Sample};
