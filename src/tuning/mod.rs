//! Trains the parameters of a language model as the Hugging Face Trainer does.

pub mod example;

pub use example::{Example, Question};
