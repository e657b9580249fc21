//! The result set of an experiment: tidy rows, their files, and what they say over seeds.
//!
//! A row is one number: a metric of one method for one cell of the grid and one seed. The set is
//! the contract between the runner and whoever reads results: tables, figures, pages and diffs
//! are pure functions of it. It is written as `results.csv`, sorted and with exact floats, so
//! that git shows a changed number as one changed line.
//!
//! Readers take bytes and a label, never a path, so that a file of the work tree and a blob of a
//! commit are the same thing.

pub mod comparison;
pub mod csv;
pub mod error;
pub mod method;
pub mod metric;
pub mod natural;
pub mod provenance;
pub mod row;
pub mod set;
pub mod summary;

pub use error::ResultError;
pub use method::{Group, METHODS, MethodInfo, System};
pub use metric::{METRICS, MetricStyle};
pub use row::{ResultRow, UNTRAINED};
pub use set::ResultSet;
pub use summary::{Cell, Summary, summarise};
