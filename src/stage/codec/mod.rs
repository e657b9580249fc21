//! Small Parquet tables that stages hand to each other: predictions, learning curves.

pub mod curve;
pub mod error;
pub mod event_file;
pub mod plain;
pub mod predictions;
pub mod readouts;
pub mod scalars;
pub mod table;
pub mod training_curve;
pub mod values;

pub use curve::{read_curve, write_curve};
pub use error::CodecError;
pub use event_file::{EVENT_FILE, write_event_file, write_scalars};
pub use plain::{PlainColumn, PlainValues, write_plain};
pub use predictions::{read_predictions, write_predictions};
pub use scalars::{Scalars, read_scalars};
pub use training_curve::{read_training_curve, write_training_curve, write_training_picture};
pub use values::{ValueTable, read_values};
