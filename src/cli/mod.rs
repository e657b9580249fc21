//! Commands: one file each, and the one place where errors become words and exit codes.

mod arguments;
mod cache;
mod cat;
mod diagnostic;
mod diff;
mod exit;
mod export;
mod graph;
mod logs;
mod outlook;
mod output;
mod plan;
mod replay;
mod report;
mod requests;
mod run;
mod runs;
mod schema;
mod serve;
mod status;
mod verify;
mod why;
mod worker;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use arguments::Global;
pub use diagnostic::render;
pub use exit::{CliError, Exit};

/// Runs experiments of few-shot LLM recommendation research.
///
/// An experiment is a YAML file with a grid (K, seeds, methods, domains). `runner run` turns it
/// into stages, does only what is not done yet, and writes tables and figures under results/.
/// Everything made is kept in a store by content: nothing is computed twice, nothing is lost when
/// a run is killed, and `runner why` says why something has to run again.
#[derive(Debug, Parser)]
#[command(
    name = "runner",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = "Start here:\n  runner run experiments/quickstart.yaml\n\nExit codes:\n  0 fine \
                  · 1 a bug · 2 wrong usage · 3 `diff --fail-on` or `report --check` found something · 10 an invalid experiment or pipeline\n  20 a stage \
                  failed · 21 interrupted · 30 the store or a folder cannot be used"
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs an experiment: only what is not done yet.
    Run(run::Arguments),
    /// Shows what would run, what is fresh, how long it will take and how much memory.
    Plan(plan::Arguments),
    /// Says why a stage would run, with old and new values.
    Why(why::Arguments),
    /// Shows how far an experiment is and what its run does or how it ended; or lists all runs.
    Status(status::Arguments),
    /// Shows what runs tell of one stage: attempts, warnings, its log.
    Logs(logs::Arguments),
    /// Tells a past run again, at once or in time.
    Replay(replay::Arguments),
    /// Shows a run in the browser, on this machine only: states, progress, curves, failures.
    Serve(serve::Arguments),
    /// Draws the stages as DOT or Mermaid.
    Graph(graph::Arguments),
    /// Prints an artifact of a stage as a table, JSON or CSV.
    Cat(cat::Arguments),
    /// Says what changed between two result sets: commits, folders or experiments.
    Diff(diff::Arguments),
    /// Makes a report again without running anything, or checks that it follows from its results.
    Report(report::Arguments),
    /// Writes samples, results, curves or artifacts in other programs' formats.
    Export(export::Arguments),
    /// Makes stages once more and says whether they come out the same.
    Verify(verify::Arguments),
    /// Lists, verifies or cleans the store.
    Cache(cache::Arguments),
    /// Prints JSON Schemas for editors, or lists stage kinds and methods with their parameters.
    Schema(schema::Arguments),
    /// Does stages of the accelerator lane for a runner that starts it.
    #[command(hide = true)]
    Worker,
    /// Prints a completion script for a shell.
    Completions(CompletionArguments),
}

#[derive(Debug, clap::Args)]
struct CompletionArguments {
    /// The shell.
    shell: clap_complete::Shell,
}

/// Parses arguments, runs a command, prints what went wrong.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Fine
            };
            // Nothing can be done if the terminal is gone.
            let _ = error.print();
            return code.into();
        }
    };
    if let Err(error) = cli.global.enter() {
        return diagnostic::report(&error);
    }
    let result = match &cli.command {
        Command::Run(arguments) => run::run(&cli.global, arguments),
        Command::Plan(arguments) => plan::run(&cli.global, arguments),
        Command::Why(arguments) => why::run(&cli.global, arguments),
        Command::Status(arguments) => status::run(&cli.global, arguments),
        Command::Logs(arguments) => logs::run(&cli.global, arguments),
        Command::Replay(arguments) => replay::run(&cli.global, arguments),
        Command::Serve(arguments) => serve::run(&cli.global, arguments),
        Command::Graph(arguments) => graph::run(&cli.global, arguments),
        Command::Cat(arguments) => cat::run(&cli.global, arguments),
        Command::Diff(arguments) => diff::run(&cli.global, arguments),
        Command::Report(arguments) => report::run(&cli.global, arguments),
        Command::Export(arguments) => export::run(&cli.global, arguments),
        Command::Verify(arguments) => verify::run(&cli.global, arguments),
        Command::Cache(arguments) => cache::run(&cli.global, arguments),
        Command::Schema(arguments) => schema::run(arguments),
        Command::Worker => worker::run(),
        Command::Completions(arguments) => {
            let mut script = Vec::new();
            clap_complete::generate(arguments.shell, &mut Cli::command(), "runner", &mut script);
            output::write(&script).map(|()| Exit::Fine)
        }
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) => diagnostic::report(&error),
    }
}
