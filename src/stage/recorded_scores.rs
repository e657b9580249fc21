//! `recorded_scores`: scores that somebody measured elsewhere, checked against the samples they
//! are for: of models that are no longer served, and of other tools.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::codec::{read_values, write_predictions};
use super::language_model::template;
use super::samples::write_json;
use super::{
    InputArtifact, InputDeclaration, OutputDeclaration, StageContext, StageError, StageKind,
    samples,
};
use crate::base::nearest::suggestion;
use crate::base::{Digest, bounded};
use crate::data::Sample;
use crate::metric::Prediction;
use crate::metric::plausible::suspicions;

/// Takes scores that were measured elsewhere.
#[derive(Debug)]
pub struct RecordedScores;

/// Parameters of [`RecordedScores`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// Column with the score: higher means liked more, P(like) for the log-loss. Empty where
    /// there was no answer: such rows are left out of every metric, and counted.
    score: String,
    /// Column with the row's number in its split, from 0.
    row: String,
    /// Column with the blake3 of the prompt, as 64 hexadecimal digits.
    prompt_digest: String,
    /// Column with the prompt itself.
    prompt: String,
    /// Column with the label; where there is one it must be the sample's.
    label: String,
    /// Whether rows may be missing in the file; they are left out and counted.
    partial: bool,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            score: "score".to_owned(),
            row: "row".to_owned(),
            prompt_digest: "prompt_digest".to_owned(),
            prompt: "prompt".to_owned(),
            label: "label".to_owned(),
            partial: false,
        }
    }
}

impl StageKind for RecordedScores {
    type Params = Params;

    const NAME: &'static str = "recorded_scores";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Takes scores that were measured elsewhere (CSV, JSON, JSON \
                                   lines or Parquet), checked against the samples.";
    const INPUTS: &'static [InputDeclaration] = &[
        InputDeclaration::one("scores", "a file with a score for each row"),
        InputDeclaration::one("samples", "the samples they are for"),
        InputDeclaration::optional(
            "template",
            "prompt template, where rows are found by their prompts",
        ),
    ];

    fn outputs(_params: &Params) -> Vec<OutputDeclaration> {
        vec![
            OutputDeclaration::new("predictions", "predictions.parquet"),
            OutputDeclaration::new("summary", "summary.json"),
        ]
    }

    fn run(params: &Params, context: &StageContext) -> Result<(), StageError> {
        let samples = samples::read(context.input("samples")?)?;
        let input = context.input("scores")?;
        let table = Table::read(input)?;
        let prompts = prompts(params, context, &table, &samples)?;
        let mut found: Vec<Option<Option<f64>>> = vec![None; samples.len()];
        let rows: BTreeMap<u32, usize> = samples
            .iter()
            .enumerate()
            .map(|(at, sample)| (sample.row, at))
            .collect();
        table.need(&params.score)?;
        for entry in &table.entries {
            let at = entry.position(params, &rows, prompts.as_ref())?;
            let sample = &samples[at];
            entry.check_label(params, sample)?;
            if found[at].replace(entry.score(params)?).is_some() {
                return Err(entry.wrong(&format!("row {} has a score already", sample.row)));
            }
        }
        let absent: Vec<u32> = samples
            .iter()
            .zip(&found)
            .filter(|(_, found)| found.is_none())
            .map(|(sample, _)| sample.row)
            .collect();
        if let (Some(first), false) = (absent.first(), params.partial) {
            return Err(StageError::input(format!(
                "`{}` has no score for {} of {} rows, the first of them row {first}",
                input.origin,
                absent.len(),
                samples.len()
            ))
            .with_help(
                "a row without an answer has an empty score; with `partial: true` rows may be \
                 missing, and are left out and counted",
            ));
        }
        let predictions: Vec<Prediction> = samples
            .iter()
            .zip(&found)
            .filter_map(|(sample, score)| {
                Some(Prediction {
                    row: sample.row,
                    user: sample.user.clone(),
                    label: sample.label,
                    score: (*score)??,
                })
            })
            .collect();
        let unanswered = samples.len() - predictions.len();
        if unanswered > 0 {
            context.emitter().warn(format!(
                "{unanswered} of {} rows have no score: they are left out of every metric, and \
                 counted",
                samples.len()
            ));
        }
        for suspicion in suspicions(&predictions, true) {
            context.emitter().warn(suspicion);
        }
        write_predictions(context.output("predictions")?, &predictions)
            .map_err(StageError::other)?;
        write_json(
            context.output("summary")?,
            &json!({
                "rows": samples.len(),
                "answered": predictions.len(),
                "missing": unanswered,
            }),
        )
    }
}

/// Where each prompt stands among the samples, if rows are found by their prompts.
fn prompts(
    params: &Params,
    context: &StageContext,
    table: &Table,
    samples: &[Sample],
) -> Result<Option<BTreeMap<String, Vec<usize>>>, StageError> {
    let by_prompt = table.has(&params.prompt_digest) || table.has(&params.prompt);
    if !by_prompt && !table.has(&params.row) {
        let wanted = [&*params.row, &params.prompt_digest, &params.prompt];
        return Err(StageError::input(format!(
            "`{}` does not say which rows its scores are for: it needs a column `{}`, `{}` or `{}`",
            table.name, wanted[0], wanted[1], wanted[2]
        ))
        .with_help(format!("its columns: {}", table.columns().join(", "))));
    }
    if !by_prompt || context.inputs("template").is_empty() {
        return Ok(None);
    }
    let template = template(context)?;
    let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, sample) in samples.iter().enumerate() {
        let prompt = template.prompt(&sample.instruction, &sample.input);
        let digest = Digest::of_bytes(prompt.as_bytes()).hex();
        places.entry(digest).or_default().push(at);
    }
    Ok(Some(places))
}

/// One score as the file has it, with where it stands.
struct Entry {
    place: String,
    fields: BTreeMap<String, Value>,
}

impl Entry {
    fn wrong(&self, message: &str) -> StageError {
        StageError::input(format!("{}: {message}", self.place))
    }

    fn field(&self, name: &str) -> Option<&Value> {
        let value = self.fields.get(name)?;
        let is_empty = value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty());
        (!is_empty).then_some(value)
    }

    fn score(&self, params: &Params) -> Result<Option<f64>, StageError> {
        let Some(value) = self.field(&params.score) else {
            return Ok(None);
        };
        match number(value) {
            Some(score) if score.is_finite() => Ok(Some(score)),
            _ => Err(self.wrong(&format!("the score {value} is not a number"))),
        }
    }

    /// Which sample it is about.
    fn position(
        &self,
        params: &Params,
        rows: &BTreeMap<u32, usize>,
        prompts: Option<&BTreeMap<String, Vec<usize>>>,
    ) -> Result<usize, StageError> {
        let by_row = match self.field(&params.row) {
            None => None,
            Some(value) => {
                let row = number(value).filter(|row| row.fract() == 0.0 && *row >= 0.0);
                let Some(row) = row else {
                    return Err(self.wrong(&format!("`{}` is {value}, not a row", params.row)));
                };
                let Some(at) = rows.get(&(row as u32)) else {
                    return Err(self
                        .wrong(&format!("there is no row {row} among the samples"))
                        .with_help(format!(
                            "{} samples, numbered from 0; is it another split or other data?",
                            rows.len()
                        )));
                };
                Some(*at)
            }
        };
        let digest = match (
            self.field(&params.prompt_digest),
            self.field(&params.prompt),
        ) {
            (Some(Value::String(digest)), _) => Some(digest.to_lowercase()),
            (_, Some(Value::String(prompt))) => Some(Digest::of_bytes(prompt.as_bytes()).hex()),
            _ => None,
        };
        match (by_row, digest, prompts) {
            (Some(at), Some(digest), Some(prompts)) => {
                if prompts
                    .get(&digest)
                    .is_some_and(|places| places.contains(&at))
                {
                    return Ok(at);
                }
                Err(self
                    .wrong("its prompt is not the one of its row")
                    .with_help("is it of other data, of another split, or another template?"))
            }
            (Some(at), _, _) => Ok(at),
            (None, Some(digest), Some(prompts)) => match prompts.get(&digest).map(Vec::as_slice) {
                Some([at]) => Ok(*at),
                Some(several) => Err(self.wrong(&format!(
                    "{} rows have this prompt; a column `{}` tells them apart",
                    several.len(),
                    params.row
                ))),
                None => Err(self
                    .wrong("no sample has this prompt")
                    .with_help("is it of other data, of another split, or another template?")),
            },
            (None, _, _) => Err(self.wrong(&format!("`{}` is empty", params.row))),
        }
    }

    fn check_label(&self, params: &Params, sample: &Sample) -> Result<(), StageError> {
        let Some(value) = self.field(&params.label) else {
            return Ok(());
        };
        let text = match value {
            Value::String(text) => text.trim().trim_end_matches('.').to_lowercase(),
            other => other.to_string(),
        };
        let label = match text.as_str() {
            "true" | "1" | "1.0" | "yes" => true,
            "false" | "0" | "0.0" | "no" => false,
            _ => return Err(self.wrong(&format!("the label {value} is neither yes nor no"))),
        };
        if label == sample.label {
            return Ok(());
        }
        Err(self
            .wrong(&format!(
                "row {} has another label in the samples",
                sample.row
            ))
            .with_help("are the scores of other data or another split?"))
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A file of scores.
struct Table {
    name: String,
    entries: Vec<Entry>,
}

impl Table {
    fn columns(&self) -> Vec<&str> {
        let all = self.entries.iter().flat_map(|entry| entry.fields.keys());
        let names: BTreeSet<&str> = all.map(String::as_str).collect();
        names.into_iter().collect()
    }

    fn has(&self, column: &str) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.fields.contains_key(column))
    }

    fn need(&self, column: &str) -> Result<(), StageError> {
        if self.has(column) {
            return Ok(());
        }
        let help = suggestion(column, self.columns());
        let error = StageError::input(format!("`{}` has no column `{column}`", self.name));
        Err(error.with_help(help))
    }

    fn read(input: &InputArtifact) -> Result<Self, StageError> {
        let path = &input.path;
        let name = if input.origin.is_empty() {
            path.display().to_string()
        } else {
            input.origin.clone()
        };
        let extension = Path::new(&name)
            .extension()
            .or_else(|| path.extension())
            .map(|end| end.to_string_lossy().to_lowercase());
        let entries = match extension.as_deref() {
            Some("parquet") => of_parquet(path, &name)?,
            Some("json") => of_json(&text(path)?, &name)?,
            Some("jsonl" | "ndjson") => of_json_lines(&text(path)?, &name)?,
            Some("csv") => of_csv(&text(path)?, &name, b',')?,
            Some("tsv") => of_csv(&text(path)?, &name, b'\t')?,
            _ => {
                return Err(
                    StageError::input(format!("`{name}` is of no kind that is read"))
                        .with_help("scores are read from .csv, .tsv, .json, .jsonl and .parquet"),
                );
            }
        };
        if entries.is_empty() {
            return Err(StageError::input(format!("`{name}` holds no scores")));
        }
        Ok(Self { name, entries })
    }
}

fn text(path: &Path) -> Result<String, StageError> {
    bounded::read_text(path, bounded::RECORDS).map_err(StageError::io("read", path))
}

fn of_parquet(path: &Path, name: &str) -> Result<Vec<Entry>, StageError> {
    let table = read_values(path)
        .map_err(|message| StageError::input(format!("`{name}` is no Parquet: {message}")))?;
    let columns = table.columns;
    let entries = table.rows.into_iter().enumerate();
    Ok(entries
        .map(|(at, values)| Entry {
            place: format!("{name}, row {at} of the table"),
            fields: columns.iter().cloned().zip(values).collect(),
        })
        .collect())
}

fn of_csv(text: &str, name: &str, delimiter: u8) -> Result<Vec<Entry>, StageError> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let wrong = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        StageError::input(format!("{name}:{line}: {error}"))
    };
    let headers = reader.headers().map_err(wrong)?.clone();
    let mut entries = Vec::new();
    for record in reader.records() {
        let record = record.map_err(wrong)?;
        let line = record.position().map_or(0, csv::Position::line);
        let fields = headers.iter().zip(&record);
        entries.push(Entry {
            place: format!("{name}:{line}"),
            fields: fields
                .map(|(column, value)| (column.trim().to_owned(), json!(value)))
                .collect(),
        });
    }
    Ok(entries)
}

fn of_json(text: &str, name: &str) -> Result<Vec<Entry>, StageError> {
    let values: Vec<BTreeMap<String, Value>> = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        StageError::input(format!("{name}:{line}:{column}: {error}"))
            .with_help("write a list of records: [{\"row\": 0, \"score\": 0.7}, …]")
    })?;
    let entries = values.into_iter().enumerate();
    Ok(entries
        .map(|(at, fields)| Entry {
            place: format!("{name}, record {at}"),
            fields,
        })
        .collect())
}

fn of_json_lines(text: &str, name: &str) -> Result<Vec<Entry>, StageError> {
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(at, line)| {
            let place = format!("{name}:{}", at + 1);
            let fields = serde_json::from_str(line).map_err(|error| {
                StageError::input(format!("{place}:{}: {error}", error.column()))
            })?;
            Ok(Entry { place, fields })
        })
        .collect()
}
