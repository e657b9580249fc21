//! Result sets and reports, from rows to files.
//!
//! One program for all of it, so that it links once. To look at the figures that the tests draw,
//! name a folder: `RUNNER_SHOW_FIGURES=/some/folder cargo test --test report_suite`.

// `cfg(test)` is always on here; with it, clippy takes helper functions for test code too.
#[cfg(test)]
mod browser;
#[cfg(test)]
mod figure;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod markdown;
#[cfg(test)]
mod results;
#[cfg(test)]
mod thirteen;
#[cfg(test)]
mod write;
