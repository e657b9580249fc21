//! What changed between two result sets: cell by cell, how sure that is, and why it may be so.
//!
//! A side is a commit (read from git's objects, without a checkout), a folder of results, or an
//! experiment; see [`source`]. Everything is said from what the two sides hold: `results.csv` and
//! the `provenance.json` beside it.

pub mod cells;
pub mod show;
pub mod source;

pub use cells::{CellDiff, ExperimentDiff, Outcome, ResultDiff, compare};
pub use source::{Side, SourceError};
