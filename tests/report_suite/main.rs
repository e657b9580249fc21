//! Result sets and reports, from rows to files.

mod figure;
mod fixture;
mod markdown;
mod results;
mod write;
