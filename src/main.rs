//! The `runner` program; see the library's `cli` module.

use std::process::ExitCode;

fn main() -> ExitCode {
    runner::cli::main()
}
