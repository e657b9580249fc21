//! The engine from the outside: what reruns and what does not, failures, interruptions, kills,
//! several runners at once, a full disk.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::format_collect,
    reason = "a test fails by panicking and may say why it is skipped"
)]

mod damage;
mod failure;
mod faults;
mod freshness;
mod full_disk;
mod interrupt;
mod kill;
mod support;
mod two_runners;
