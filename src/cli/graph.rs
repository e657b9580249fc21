//! `runner graph`.

use clap::{Args, ValueEnum};

use super::arguments::{ExperimentArguments, Global};
use super::{CliError, Exit, output};
use crate::graph::{Format, export};

/// Picture languages.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Language {
    /// Graphviz: `runner graph … | dot -Tsvg > graph.svg`.
    Dot,
    /// Mermaid, which Markdown viewers draw.
    Mermaid,
}

/// Arguments of `runner graph`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    /// The picture language.
    #[arg(long, value_enum, default_value_t = Language::Dot)]
    format: Language,
    /// One box a stage instead of one a template.
    #[arg(long)]
    all: bool,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, CliError> {
    let study = arguments.experiment.open_to_read(global)?;
    let format = match arguments.format {
        Language::Dot => Format::Dot,
        Language::Mermaid => Format::Mermaid,
    };
    output::write(export(&study.graph, format, !arguments.all).as_bytes())?;
    Ok(Exit::Fine)
}
