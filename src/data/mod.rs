//! Interactions, samples, splits, K-shot draws, and the readers of the field's raw formats.

pub mod alpaca;
pub mod audit;
pub mod book_crossing;
pub mod catalogue;
pub mod corpus;
pub mod error;
pub mod frame;
pub mod json_records;
pub mod movielens;
pub mod sample;
pub mod shots;
pub mod source;
pub mod splits;
pub mod synthetic;
pub mod tallrec_json;
pub mod tallrec_text;
pub mod tally;

pub use error::DataError;
pub use sample::{Domain, Item, Rated, Sample};
pub use source::Source;
pub use splits::{SplitSummary, Splits};
pub use tally::Tally;
