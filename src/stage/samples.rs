//! What the stages that make samples have in common.

use std::fs;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{InputArtifact, OutputDeclaration, StageContext, StageError};
use crate::data::catalogue::catalogue;
use crate::data::frame::{read_samples_from, write_samples};
use crate::data::{DataError, Sample, Source, SplitSummary, Splits, Tally};

impl From<DataError> for StageError {
    fn from(error: DataError) -> Self {
        match error {
            DataError::Invalid { message, help } => Self::Input { message, help },
            DataError::At {
                place,
                message,
                help,
            } => Self::Input {
                message: format!("{place}: {message}"),
                help,
            },
            error @ DataError::Io { .. } => Self::other(error),
        }
    }
}

/// `train`, `valid`, `test` as Parquet, `items` and `summary` as JSON.
pub(super) fn split_outputs() -> Vec<OutputDeclaration> {
    vec![
        OutputDeclaration::new("train", "train.parquet"),
        OutputDeclaration::new("valid", "valid.parquet"),
        OutputDeclaration::new("test", "test.parquet"),
        OutputDeclaration::new("items", "items.json"),
        OutputDeclaration::new("summary", "summary.json"),
    ]
}

/// An input with the name its user knows it by.
pub(super) fn source(artifact: &InputArtifact) -> Source {
    if artifact.origin.is_empty() {
        Source::new(&artifact.path)
    } else {
        Source::named(&artifact.path, &*artifact.origin)
    }
}

/// The samples of an input.
pub(super) fn read(artifact: &InputArtifact) -> Result<Vec<Sample>, StageError> {
    Ok(read_samples_from(&source(artifact))?)
}

/// What a stage tells about the samples it made.
pub(super) struct Account<'a> {
    /// What was read: counts by name.
    pub(super) read: Vec<(&'static str, usize)>,
    /// What was left out.
    pub(super) dropped: &'a Tally,
    /// Reasons the parameters ask for; they are in the summary, but nobody is warned of them.
    pub(super) asked_for: &'a [&'a str],
    /// What else the reader should know.
    pub(super) notes: &'a [String],
}

/// Writes the outputs of [`split_outputs`] and warns of what was left out.
pub(super) fn write_splits(
    context: &StageContext,
    splits: &Splits,
    account: &Account<'_>,
) -> Result<(), StageError> {
    let mut summaries = Map::new();
    for (name, part) in splits.parts() {
        context.check_cancelled()?;
        write_samples(context.output(name)?, part)?;
        summaries.insert(name.to_owned(), to_value(&SplitSummary::of(part))?);
    }
    let all = splits.parts().into_iter().flat_map(|(_, part)| part);
    write_json(context.output("items")?, &to_value(&catalogue(all))?)?;
    for (note, (reason, _)) in account
        .dropped
        .sentences()
        .iter()
        .zip(account.dropped.iter())
    {
        if !account.asked_for.contains(&reason) {
            context.emitter().warn(format!("left out: {note}"));
        }
    }
    for note in account.notes {
        context.emitter().warn(note.clone());
    }
    let read: Map<String, Value> = account
        .read
        .iter()
        .map(|(name, count)| ((*name).to_owned(), json!(count)))
        .collect();
    let summary = json!({
        "read": read,
        "dropped": to_value(account.dropped)?,
        "notes": account.notes,
        "splits": summaries,
    });
    let origins: Vec<String> = context
        .all_inputs()
        .values()
        .flatten()
        .map(|input| format!("{}/", input.origin))
        .collect();
    write_json(
        context.output("summary")?,
        &without_origins(summary, &origins),
    )
}

/// An artifact must not depend on where its inputs lie: files are named within their folder.
fn without_origins(value: Value, origins: &[String]) -> Value {
    match value {
        Value::String(text) => Value::String(
            origins
                .iter()
                .fold(text, |text, origin| text.replace(origin, "")),
        ),
        Value::Array(items) => items
            .into_iter()
            .map(|item| without_origins(item, origins))
            .collect(),
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, value)| (key, without_origins(value, origins)))
                .collect(),
        ),
        other => other,
    }
}

/// A value as JSON.
pub(super) fn to_value(value: &impl Serialize) -> Result<Value, StageError> {
    serde_json::to_value(value).map_err(StageError::other)
}

/// Writes JSON people can read.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), StageError> {
    let mut text = serde_json::to_string_pretty(value).map_err(StageError::other)?;
    text.push('\n');
    fs::write(path, text).map_err(StageError::io("write", path))
}
