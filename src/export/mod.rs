//! Results and courses of training in other programs' formats.
//!
//! Everything is a function of rows and of what the store has, so that the same experiment gives
//! the same bytes each time. Nothing is half written: it is built beside its place and then moved
//! there. What stands there already is replaced only if it was made by the same export.

pub mod error;
pub mod mlflow;
pub mod place;
pub mod table;
pub mod tensorboard;

pub use error::ExportError;
