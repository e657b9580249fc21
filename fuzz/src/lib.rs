//! What the fuzz targets call; `tests/fuzz_corpus.rs` of the main crate calls the same.

pub mod targets;
