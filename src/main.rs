//! The `runner` program; see the library's `cli` module.

use std::process::ExitCode;

fn main() -> ExitCode {
    runner::nn::keep_candle_to_one_thread();
    runner::cli::main()
}
