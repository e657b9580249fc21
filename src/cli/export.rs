//! `runner export`: samples and results in other programs' formats.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::arguments::{ExperimentArguments, Global, default_jobs};
use super::{CliError, Exit, output};
use crate::base::EventKind;
use crate::base::nearest::suggestion;
use crate::data::Domain;
use crate::data::frame::read_samples;
use crate::data::tallrec_json::write_tallrec_json;
use crate::schedule::Interrupt;
use crate::study::collect;

/// Arguments of `runner export`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The samples of a domain and split, made if they are not there yet.
    Samples(SampleArguments),
    /// All result rows of an experiment.
    Results(ResultArguments),
    /// Copies a file or folder that a stage made, such as an adapter or a backbone.
    Artifact(ArtifactArguments),
}

#[derive(Debug, Args)]
struct ArtifactArguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    /// The stage and its output, such as `backbone/backbone`.
    #[arg(value_name = "STAGE/OUTPUT")]
    what: String,
    /// Where the copy goes; nothing may be there yet.
    #[arg(long, value_name = "PATH")]
    to: PathBuf,
}

#[derive(Debug, Args)]
struct SampleArguments {
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

#[derive(Debug, Args)]
struct ResultArguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    /// The format.
    #[arg(long, value_enum, default_value_t = ResultFormat::Csv)]
    format: ResultFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ResultFormat {
    Csv,
    Json,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, CliError> {
    match &arguments.what {
        What::Samples(arguments) => samples(global, arguments),
        What::Results(arguments) => results(global, arguments),
        What::Artifact(arguments) => artifact(global, arguments),
    }
}

fn artifact(global: &Global, arguments: &ArtifactArguments) -> Result<Exit, CliError> {
    let Some((id, name)) = arguments.what.rsplit_once('/') else {
        return Err(CliError::NotThere(format!(
            "`{}` names no output\n  help: write STAGE/OUTPUT, for example backbone/backbone",
            arguments.what
        )));
    };
    let study = arguments.experiment.open(global)?;
    let plan = study.plan()?;
    let node = study.find_stage(id).map_err(CliError::NotThere)?;
    let stage = &study.graph.graph[node];
    let names = stage.outputs.iter().map(|output| output.name.as_str());
    let position = names
        .clone()
        .position(|known| known == name)
        .ok_or_else(|| {
            CliError::NotThere(format!(
                "stage `{}` has no output `{name}`\n  help: {}",
                stage.id,
                suggestion(name, names)
            ))
        })?;
    let path = study.artifact(&plan, node, position)?.ok_or_else(|| {
        CliError::NotThere(format!(
            "`{}` is not made yet\n  help: {}",
            arguments.what,
            arguments.experiment.run_command()
        ))
    })?;
    let to = &arguments.to;
    if to.exists() {
        return Err(CliError::NotThere(format!(
            "`{}` is there already\n  help: name another path, or remove it first",
            to.display()
        )));
    }
    copy_writable(&path, to).map_err(|source| CliError::Io {
        action: format!("copy to `{}`", to.display()),
        source,
    })?;
    output::line(&format!("copied {} to {}", arguments.what, to.display()))?;
    Ok(Exit::Fine)
}

/// Copies a file or a folder; artifacts are read-only, their copies belong to the user.
fn copy_writable(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy_writable(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut source = fs::File::open(from)?;
    let mut target = fs::File::create_new(to)?;
    io::copy(&mut source, &mut target).map(drop)
}

fn samples(global: &Global, arguments: &SampleArguments) -> Result<Exit, CliError> {
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

fn results(global: &Global, arguments: &ResultArguments) -> Result<Exit, CliError> {
    let study = arguments.experiment.open(global)?;
    let plan = study.plan()?;
    let collected = collect::collect(&study, &plan, None)?;
    if collected.results.is_empty() {
        return Err(CliError::NotThere(format!(
            "`{}` has no results yet\n  help: {}",
            study.experiment.name,
            arguments.experiment.run_command()
        )));
    }
    for missing in &collected.missing {
        output::note(&format!(
            "{}: {} {}",
            missing.what, missing.reason, missing.detail
        ));
    }
    let text = match arguments.format {
        ResultFormat::Csv => collected.results.to_csv(),
        ResultFormat::Json => collected.results.to_json(),
    };
    output::write(text.as_bytes())?;
    if !text.ends_with('\n') {
        output::write(b"\n")?;
    }
    Ok(Exit::Fine)
}
