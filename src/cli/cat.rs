//! `runner cat`: look into any artifact.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::arguments::{ExperimentArguments, Global};
use super::{CliError, Exit, output};
use crate::artifact::tree;
use crate::base::nearest::suggestion;
use crate::stage::codec::{ValueTable, read_values};

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Aligned columns, long texts cut.
    Table,
    /// JSON; a table becomes a list of objects.
    Json,
    /// CSV.
    Csv,
}

/// Arguments of `runner cat`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  runner cat experiments/quickstart.yaml \
                        samples@domain=movie/valid --rows 5\n  runner cat \
                        experiments/quickstart.yaml audit/audit --format json\n\nWithout an \
                        output, lists the stage's outputs. A file inside a folder is named behind \
                        it: STAGE/model/config.json.")]
pub(super) struct Arguments {
    #[command(flatten)]
    experiment: ExperimentArguments,
    /// The stage, with an output and, for a folder, a file in it.
    #[arg(value_name = "STAGE[/OUTPUT[/FILE]]")]
    artifact: String,
    /// How to print [default: table; text files as they are].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Rows of a table to print; 0 for all [default: 20 as a table, all as JSON or CSV].
    #[arg(long)]
    rows: Option<usize>,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, CliError> {
    let study = arguments.experiment.open_to_read(global)?;
    let mut parts = arguments.artifact.splitn(3, '/');
    let stage_id = parts.next().unwrap_or_default();
    let (wanted, inner) = (parts.next(), parts.next());
    let node = study.find_stage(stage_id).map_err(CliError::NotThere)?;
    let plan = study.plan()?;
    let stage = &study.graph.graph[node];
    let not_made = || {
        CliError::NotThere(format!(
            "`{}` is not made yet\n  help: run the experiment first: {}",
            stage.id,
            arguments.experiment.run_command()
        ))
    };
    let records = plan.keys.get(node).ok_or_else(not_made)?;
    let Some(wanted) = wanted else {
        let mut rows = vec![
            ["output", "file", "bytes", "digest"]
                .map(str::to_owned)
                .to_vec(),
        ];
        rows.extend(records.iter().map(|record| {
            vec![
                record.name.clone(),
                record.file.clone(),
                record.bytes.to_string(),
                record.digest.short(),
            ]
        }));
        output::write(output::columns(&rows).as_bytes())?;
        return Ok(Exit::Fine);
    };
    let position = stage
        .outputs
        .iter()
        .position(|output| output.name == wanted)
        .ok_or_else(|| {
            let names = stage.outputs.iter().map(|output| output.name.as_str());
            CliError::NotThere(format!(
                "`{}` has no output `{wanted}`\n  help: {}",
                stage.id,
                suggestion(wanted, names)
            ))
        })?;
    let path = study.artifact(&plan, node, position)?.ok_or_else(|| {
        CliError::NotThere(format!(
            "the bytes of `{}/{wanted}` were removed from the store\n  help: they are made again \
             when a stage that is not fresh needs them",
            stage.id
        ))
    })?;
    let file = stage.outputs[position].file.clone();
    let (path, file) = match inner {
        Some(inner) => within(&path, inner)?,
        None => (path, file),
    };
    show(&path, &file, arguments)?;
    Ok(Exit::Fine)
}

/// A file inside a folder artifact.
fn within(folder: &Path, inner: &str) -> Result<(PathBuf, String), CliError> {
    let files = tree::files_below(folder).map_err(|source| CliError::Io {
        action: "list the folder".to_owned(),
        source,
    })?;
    let names: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    if !names.iter().any(|name| name == inner) {
        return Err(CliError::NotThere(format!(
            "the folder has no file `{inner}`\n  help: {}",
            suggestion(inner, names.iter().map(String::as_str))
        )));
    }
    Ok((folder.join(inner), inner.to_owned()))
}

fn show(path: &Path, file: &str, arguments: &Arguments) -> Result<(), CliError> {
    let unreadable = |source| CliError::Io {
        action: format!("read `{file}`"),
        source,
    };
    if path.is_dir() {
        let mut rows = vec![["file", "bytes"].map(str::to_owned).to_vec()];
        for name in tree::files_below(path).map_err(unreadable)? {
            let bytes = fs::metadata(path.join(&name)).map_err(unreadable)?.len();
            rows.push(vec![name.display().to_string(), bytes.to_string()]);
        }
        return output::write(output::columns(&rows).as_bytes());
    }
    let extension = Path::new(file)
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default();
    match extension {
        "parquet" => {
            let table = read_values(path)
                .map_err(|error| CliError::NotThere(format!("`{file}` cannot be read: {error}")))?;
            show_table(&table, arguments)
        }
        "safetensors" => {
            let bytes = fs::read(path).map_err(unreadable)?;
            show_table(&tensors(&bytes, file)?, arguments)
        }
        "json" if arguments.format != Some(Format::Csv) => {
            let bytes = fs::read(path).map_err(unreadable)?;
            let value: Value = serde_json::from_slice(&bytes).map_err(|error| {
                CliError::NotThere(format!("`{file}` is not valid JSON: {error}"))
            })?;
            match (arguments.format, rows_of(&value)) {
                (Some(Format::Table), Some(table)) => show_table(&table, arguments),
                _ => output::json(&value),
            }
        }
        "json" => {
            let bytes = fs::read(path).map_err(unreadable)?;
            let table = serde_json::from_slice::<Value>(&bytes)
                .ok()
                .as_ref()
                .and_then(rows_of)
                .ok_or_else(|| {
                    CliError::Usage(format!(
                        "`{file}` is not a list of objects; use --format json"
                    ))
                })?;
            show_table(&table, arguments)
        }
        _ => output::write(&fs::read(path).map_err(unreadable)?),
    }
}

/// A list of flat objects as a table.
fn rows_of(value: &Value) -> Option<ValueTable> {
    let list = value.as_array()?;
    let mut columns: Vec<String> = Vec::new();
    for item in list {
        for name in item.as_object()?.keys() {
            if !columns.contains(name) {
                columns.push(name.clone());
            }
        }
    }
    let rows = list
        .iter()
        .map(|item| {
            columns
                .iter()
                .map(|name| item.get(name).cloned().unwrap_or(Value::Null))
                .collect()
        })
        .collect();
    Some(ValueTable { columns, rows })
}

fn tensors(bytes: &[u8], file: &str) -> Result<ValueTable, CliError> {
    let tensors = safetensors::SafeTensors::deserialize(bytes)
        .map_err(|error| CliError::NotThere(format!("`{file}` cannot be read: {error}")))?;
    let mut rows: Vec<Vec<Value>> = tensors
        .iter()
        .map(|(name, view)| {
            vec![
                json!(name),
                json!(format!("{:?}", view.dtype())),
                json!(view.shape()),
            ]
        })
        .collect();
    rows.sort_by_key(|row| row[0].to_string());
    Ok(ValueTable {
        columns: ["tensor", "dtype", "shape"].map(str::to_owned).to_vec(),
        rows,
    })
}

fn show_table(table: &ValueTable, arguments: &Arguments) -> Result<(), CliError> {
    let format = arguments.format.unwrap_or(Format::Table);
    let limit = match arguments.rows {
        Some(0) => table.rows.len(),
        Some(rows) => rows,
        None if format == Format::Table => 20,
        None => table.rows.len(),
    };
    let shown = &table.rows[..limit.min(table.rows.len())];
    match format {
        Format::Json => {
            let list: Vec<Value> = shown
                .iter()
                .map(|row| {
                    let map: Map<String, Value> = table
                        .columns
                        .iter()
                        .cloned()
                        .zip(row.iter().cloned())
                        .collect();
                    Value::Object(map)
                })
                .collect();
            output::json(&list)
        }
        Format::Csv => {
            let mut writer = csv::Writer::from_writer(Vec::new());
            let failed = |error: csv::Error| CliError::Io {
                action: "write CSV".to_owned(),
                source: error.into(),
            };
            writer.write_record(&table.columns).map_err(failed)?;
            for row in shown {
                writer.write_record(row.iter().map(plain)).map_err(failed)?;
            }
            let bytes = writer.into_inner().map_err(|error| CliError::Io {
                action: "write CSV".to_owned(),
                source: error.into_error(),
            })?;
            output::write(&bytes)
        }
        Format::Table => {
            let mut rows = vec![table.columns.clone()];
            rows.extend(
                shown
                    .iter()
                    .map(|row| row.iter().map(|value| cut(&plain(value))).collect()),
            );
            let mut text = output::columns(&rows);
            if shown.len() < table.rows.len() {
                let _ = writeln!(
                    text,
                    "… {} of {} rows; --rows 0 prints all",
                    shown.len(),
                    table.rows.len()
                );
            }
            output::write(text.as_bytes())
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// One line of at most 40 characters.
fn cut(text: &str) -> String {
    let line = text.replace('\n', "⏎");
    if line.chars().count() <= 40 {
        return line;
    }
    let mut short: String = line.chars().take(39).collect();
    short.push('…');
    short
}
