//! `runner export samples`: samples in the released files' form.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::super::arguments::{ExperimentArguments, Global, default_jobs};
use super::super::{CliError, Exit, output};
use crate::base::EventKind;
use crate::data::Domain;
use crate::data::frame::read_samples;
use crate::data::tallrec_json::write_tallrec_json;
use crate::schedule::Interrupt;

/// Arguments of `runner export samples`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    /// The domain.
    #[arg(long, value_enum)]
    domain: DomainName,
    /// The split.
    #[arg(long, value_enum)]
    split: SplitName,
    /// The format: the released TALLRec files' exact form.
    #[arg(long, value_enum, default_value_t = SampleFormat::TallrecJson)]
    format: SampleFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DomainName {
    Movie,
    Book,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SplitName {
    Train,
    Valid,
    Test,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SampleFormat {
    TallrecJson,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, CliError> {
    let (domain, wanted) = match arguments.domain {
        DomainName::Movie => ("movie", Domain::Movie),
        DomainName::Book => ("book", Domain::Book),
    };
    let split = match arguments.split {
        SplitName::Train => "train",
        SplitName::Valid => "valid",
        SplitName::Test => "test",
    };
    let mut study = arguments.experiment.open(global)?;
    let bound: BTreeMap<String, Value> = BTreeMap::from([("domain".to_owned(), json!(domain))]);
    study.want_only("samples", &bound)?;
    let Some(node) = study.graph.targets.first().copied() else {
        return Err(CliError::NotThere(format!(
            "pipeline `{}` has no stage `samples` for domain {domain}",
            study.experiment.pipeline.name
        )));
    };
    let mut plan = study.plan()?;
    let summary = study.run(
        &mut plan,
        default_jobs(),
        true,
        &Interrupt::default(),
        &mut |event| match event {
            EventKind::Warned { message, .. } => output::note(&format!("warning: {message}")),
            EventKind::StageStarted { stage, .. } => output::note(&format!("making {stage} …")),
            _ => {}
        },
    );
    if let Some((stage, message, _)) = summary.failed.first() {
        return Err(CliError::Failed(format!("{stage} failed: {message}")));
    }
    let position = study.graph.graph[node]
        .outputs
        .iter()
        .position(|output| output.name == split)
        .ok_or_else(|| CliError::NotThere(format!("stage `samples` has no output `{split}`")))?;
    let path = study
        .artifact(&plan, node, position)?
        .ok_or_else(|| CliError::NotThere("the samples were removed from the store".to_owned()))?;
    let samples = read_samples(&path)
        .map_err(|error| CliError::Failed(format!("the samples cannot be read: {error}")))?;
    if samples.iter().any(|sample| sample.domain != wanted) {
        return Err(CliError::NotThere(format!(
            "stage `samples` of pipeline `{}` makes other samples than {domain} samples\n  help: it \
             must refer to `${{domain}}`, as in pipelines/tallrec.yaml",
            study.experiment.pipeline.name
        )));
    }
    let SampleFormat::TallrecJson = arguments.format;
    let mut out = BufWriter::new(io::stdout().lock());
    match write_tallrec_json(&mut out, &samples).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::Io {
            action: "write to standard output".to_owned(),
            source: error,
        }),
        _ => Ok(Exit::Fine),
    }
}
