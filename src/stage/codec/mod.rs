//! Small Parquet tables that stages hand to each other: predictions, learning curves.

pub mod curve;
pub mod error;
pub mod predictions;
pub mod readouts;
pub mod table;
pub mod values;

pub use curve::{read_curve, write_curve};
pub use error::CodecError;
pub use predictions::{read_predictions, write_predictions};
pub use values::{ValueTable, read_values};
