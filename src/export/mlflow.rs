//! MLflow's file store: a folder for an experiment, in it a folder for each run.
//!
//! As `mlflow/store/tracking/file_store.py` of MLflow 2 and 3 reads it:
//!
//! ```text
//! mlruns/<experiment id>/meta.yaml      name, place, times
//!                        tags/<name>    the description
//!                        <run id>/meta.yaml
//!                                 params/<name>      the value
//!                                 metrics/<name>     lines of: milliseconds value step
//!                                 tags/<name>        the value
//!                                 artifacts/         empty
//! ```
//!
//! Ids are made from content and times are the store's, so that the same export gives the same
//! bytes; a time that the store does not know is 0. Only MLflow's own `artifact_uri` names the
//! folder that the store is in.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::ExportError;
use super::place::{entries, put};
use crate::base::{Digest, canonical_json};
use crate::study::runs::{Run, StageRun, Times};

/// The tag that tells an exported run from one that MLflow recorded.
const STAGE_KEY: &str = "runner.stage_key";

/// What MLflow calls the states of a run: `FINISHED`.
const FINISHED: u8 = 3;

/// Where a run comes from: `LOCAL`.
const LOCAL: u8 = 4;

/// The longest value of a parameter in characters, for every version of MLflow.
const LONGEST_VALUE: usize = 500;

/// The longest name of a parameter or metric in characters.
const LONGEST_NAME: usize = 200;

/// What MLflow is told about the experiment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its name.
    pub name: String,
    /// What it is for; may be empty.
    pub description: String,
    /// The name of its file, without folders.
    pub source: String,
    /// Name and version of the program.
    pub program: String,
}

/// The id of an experiment in MLflow: 18 digits that depend on its name alone.
#[must_use]
pub fn experiment_id(name: &str) -> String {
    const SMALLEST: u64 = 100_000_000_000_000_000;
    let hex = Digest::of_bytes(name.as_bytes()).hex();
    // Sixteen hexadecimal digits always fit.
    let number = u64::from_str_radix(&hex[..16], 16).unwrap_or_default();
    (SMALLEST + number % (9 * SMALLEST)).to_string()
}

/// The id of a run in MLflow, 32 hexadecimal digits: the same for the same cell, measured by the
/// same stages.
#[must_use]
pub fn run_id(experiment: &str, run: &Run) -> String {
    let keys: Vec<String> = run
        .rows
        .iter()
        .map(|(row, _)| format!("{}/{} {}", row.split, row.metric, row.stage_key.hex()))
        .collect();
    let content = serde_json::json!([
        experiment,
        run.system.method,
        run.system.variant,
        run.train_domain,
        run.test_domain,
        run.k,
        run.seed,
        keys,
    ]);
    let mut hex = Digest::of_bytes(canonical_json(&content).as_bytes()).hex();
    hex.truncate(32);
    hex
}

/// Writes an experiment with its runs into the file store at `root`, which is made if it is not
/// there. An experiment that was exported before is replaced as a whole; everything else in the
/// store stays as it is.
///
/// # Errors
/// [`ExportError::Foreign`] if `root` is something else than a file store, or has an experiment of
/// this name with runs that were not exported; if a file cannot be written.
pub fn write(root: &Path, facts: &Facts, runs: &[Run]) -> Result<(), ExportError> {
    let id = experiment_id(&facts.name);
    check(root, &id, &facts.name)?;
    fs::create_dir_all(root).map_err(ExportError::io("create", root))?;
    let root = fs::canonicalize(root).map_err(ExportError::io("read", root))?;
    let target = root.join(&id);
    // Beside the store, since MLflow takes every folder in it for an experiment.
    put(&target, &root, |draft| {
        write_files(draft, &experiment_files(facts, &id, &target, runs))?;
        for run in runs {
            let run_id = run_id(&facts.name, run);
            let folder = draft.join(&run_id);
            let artifacts = folder.join("artifacts");
            fs::create_dir_all(&artifacts).map_err(ExportError::io("create", &artifacts))?;
            write_files(&folder, &run_files(facts, &id, &target, run))?;
        }
        Ok(())
    })
}

fn write_files(folder: &Path, files: &BTreeMap<String, String>) -> Result<(), ExportError> {
    for (name, text) in files {
        let path = folder.join(name);
        let parent = super::place::folder_of(&path);
        fs::create_dir_all(&parent).map_err(ExportError::io("create", &parent))?;
        fs::write(&path, text).map_err(ExportError::io("write", &path))?;
    }
    Ok(())
}

/// Refuses folders that are no file store, and experiments that somebody else made.
fn check(root: &Path, id: &str, name: &str) -> Result<(), ExportError> {
    if root.exists() && !root.is_dir() {
        let what = "is a file, and an MLflow file store is a folder";
        return Err(ExportError::foreign(root, what));
    }
    let mut experiments = 0;
    let mut others: Vec<String> = Vec::new();
    for entry in entries(root)? {
        let meta = root.join(&entry).join("meta.yaml");
        if let Ok(text) = fs::read_to_string(&meta) {
            experiments += 1;
            if entry != id && named(&text).as_deref() == Some(name) {
                let what = format!("has an experiment `{name}` that was not exported");
                return Err(ExportError::foreign(&root.join(entry), what));
            }
        } else if !entry.starts_with('.') && entry != "models" {
            others.push(entry);
        }
    }
    if experiments == 0
        && let Some(other) = others.first()
    {
        let what = format!("holds `{other}` and is no MLflow file store");
        return Err(ExportError::foreign(root, what));
    }
    let folder = root.join(id);
    for entry in entries(&folder)? {
        let inner = folder.join(&entry);
        let exported = inner.join("tags").join(STAGE_KEY).is_file();
        if !exported && !["meta.yaml", "tags"].contains(&entry.as_str()) {
            let what = format!("holds `{entry}`, which no export made");
            return Err(ExportError::foreign(&folder, what));
        }
    }
    Ok(())
}

/// The name in an experiment's `meta.yaml`, as MLflow and as we write it.
fn named(meta: &str) -> Option<String> {
    let line = meta.lines().find_map(|line| line.strip_prefix("name:"))?;
    let line = line.trim();
    serde_json::from_str(line)
        .ok()
        .or_else(|| Some(line.trim_matches('\'').to_owned()))
}

/// The files of an experiment beside its runs, by path.
fn experiment_files(
    facts: &Facts,
    id: &str,
    place: &Path,
    runs: &[Run],
) -> BTreeMap<String, String> {
    let times = || runs.iter().map(times);
    let started = times().map(|times| times.started_ms).filter(|at| *at > 0);
    let created = started.min().unwrap_or(0);
    let measured = runs.iter().flat_map(|run| &run.rows);
    let updated = measured.filter_map(|(_, at)| *at).max().unwrap_or(0);
    let meta = [
        ("artifact_location", text(&uri(place))),
        ("creation_time", created.to_string()),
        ("experiment_id", text(id)),
        ("last_update_time", updated.to_string()),
        ("lifecycle_stage", "active".to_owned()),
        ("name", text(&facts.name)),
    ];
    let mut files = BTreeMap::from([("meta.yaml".to_owned(), yaml(&meta))]);
    if !facts.description.is_empty() {
        files.insert(
            "tags/mlflow.note.content".to_owned(),
            facts.description.clone(),
        );
    }
    files.insert("tags/runner.program".to_owned(), facts.program.clone());
    files
}

/// The files of a run, by path.
fn run_files(facts: &Facts, experiment: &str, place: &Path, run: &Run) -> BTreeMap<String, String> {
    let id = run_id(&facts.name, run);
    let name = run_name(run);
    let Times {
        started_ms,
        ended_ms,
    } = times(run);
    let meta = [
        (
            "artifact_uri",
            text(&uri(&place.join(&id).join("artifacts"))),
        ),
        ("deleted_time", "null".to_owned()),
        ("end_time", ended_ms.to_string()),
        ("entry_point_name", text("")),
        ("experiment_id", text(experiment)),
        ("lifecycle_stage", "active".to_owned()),
        ("run_id", text(&id)),
        ("run_name", text(&name)),
        ("run_uuid", text(&id)),
        ("source_name", text("")),
        ("source_type", LOCAL.to_string()),
        ("source_version", text("")),
        ("start_time", started_ms.to_string()),
        ("status", FINISHED.to_string()),
        ("tags", "[]".to_owned()),
        ("user_id", text("runner")),
    ];
    let mut files = BTreeMap::from([("meta.yaml".to_owned(), yaml(&meta))]);
    for (key, value) in parameters(run) {
        files
            .entry(format!("params/{}", file_name(&key)))
            .or_insert_with(|| cut(&value));
    }
    for (key, lines) in metrics(run) {
        files.insert(format!("metrics/{key}"), lines);
    }
    for (key, value) in tags(facts, run, name) {
        files.insert(format!("tags/{key}"), value);
    }
    files
}

/// The name people read: `TALLRec (AT+RT), movie, K = 16, seed 0`.
fn run_name(run: &Run) -> String {
    let mut name = run.system.to_string();
    let is_across = run.train_domain != run.test_domain;
    if is_across && run.train_domain != crate::results::UNTRAINED {
        let _ = write!(name, ", {} → {}", run.train_domain, run.test_domain);
    } else {
        let _ = write!(name, ", {}", run.test_domain);
    }
    if let Some(k) = run.k {
        let _ = write!(name, ", K = {k}");
    }
    let _ = write!(name, ", seed {}", run.seed);
    name
}

/// When the run's training ran, or the stage that predicted; 0 where the store does not know.
fn times(run: &Run) -> Times {
    let known = run.stages.first().and_then(|stage| stage.times);
    known.unwrap_or(Times {
        started_ms: 0,
        ended_ms: 0,
    })
}

fn parameters(run: &Run) -> BTreeMap<String, String> {
    let mut parameters = run.chosen.clone();
    for stage in &run.stages {
        for (path, value) in &stage.parameters {
            parameters.insert(format!("{}.{path}", stage.template), value.clone());
        }
    }
    // After the others, so that nothing hides them.
    let coordinates = [
        ("method", Some(run.system.method.clone())),
        ("variant", run.system.variant.clone()),
        ("train", Some(run.train_domain.clone())),
        ("test", Some(run.test_domain.clone())),
        ("k", run.k.map(|k| k.to_string())),
        ("seed", Some(run.seed.to_string())),
    ];
    for (name, value) in coordinates {
        parameters.extend(value.map(|value| (name.to_owned(), value)));
    }
    parameters
}

/// `test_auc` and so on, one point each, and the course of the training.
fn metrics(run: &Run) -> BTreeMap<String, String> {
    let mut metrics = BTreeMap::new();
    for (row, at) in &run.rows {
        if let Some(value) = row.value {
            let name = file_name(&format!("{}_{}", row.split, row.metric));
            metrics.insert(name, format!("{} {value:?} 0\n", at.unwrap_or(0)));
        }
    }
    let Some(training) = run.stages.first() else {
        return metrics;
    };
    let at = training.times.map_or(0, |times| times.ended_ms);
    for point in &training.curve {
        for (name, value) in &point.values {
            let lines: &mut String = metrics.entry((*name).to_owned()).or_default();
            let _ = writeln!(lines, "{at} {value:?} {}", point.step);
        }
    }
    metrics
}

fn tags(facts: &Facts, run: &Run, name: String) -> Vec<(&'static str, String)> {
    let tested = run.rows.iter().find(|(row, _)| row.split == "test");
    let measured = tested.or(run.rows.first());
    let undefined: Vec<String> = run
        .rows
        .iter()
        .filter(|(row, _)| row.value.is_none())
        .map(|(row, _)| format!("{}_{}", row.split, row.metric))
        .collect();
    let mut tags = vec![
        ("mlflow.runName", name),
        ("mlflow.source.name", facts.source.clone()),
        ("mlflow.source.type", "LOCAL".to_owned()),
        ("runner.program", facts.program.clone()),
        (
            STAGE_KEY,
            measured.map_or_else(String::new, |(row, _)| row.stage_key.hex()),
        ),
    ];
    if !undefined.is_empty() {
        tags.push(("runner.undefined", undefined.join(", ")));
    }
    // The one whose times and course these are: the training, or what predicted without one.
    if let Some(StageRun { stage, key, .. }) = run.stages.first().map(|stage| &**stage) {
        tags.push(("runner.main_stage", stage.clone()));
        tags.push(("runner.main_stage_key", key.hex()));
    }
    tags
}

/// A text in YAML; every JSON string is one.
fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn yaml(fields: &[(&str, String)]) -> String {
    let mut yaml = String::new();
    for (name, value) in fields {
        let _ = writeln!(yaml, "{name}: {value}");
    }
    yaml
}

/// The address of a folder: `file:///…`, with what an address may not hold as `%20`.
fn uri(path: &Path) -> String {
    let mut uri = "file://".to_owned();
    for byte in path.to_string_lossy().bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

/// A name that MLflow takes and that is a file's name: letters, digits, `_`, `-`, `.` and spaces,
/// with no point at its start.
fn file_name(name: &str) -> String {
    let letters = name.chars().take(LONGEST_NAME).enumerate();
    letters
        .map(|(at, letter)| match letter {
            '.' if at == 0 => '_',
            letter if letter.is_ascii_alphanumeric() || "_-. ".contains(letter) => letter,
            _ => '_',
        })
        .collect()
}

/// A value as long as every version of MLflow takes it.
fn cut(value: &str) -> String {
    if value.chars().count() <= LONGEST_VALUE {
        return value.to_owned();
    }
    let mut short: String = value.chars().take(LONGEST_VALUE - 1).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{ResultRow, System};
    use crate::stage::codec::Scalars;
    use std::sync::Arc;

    fn run(seed: u64) -> Run {
        let row = |metric: &str, value| ResultRow {
            experiment: "small".to_owned(),
            method: "tallrec".to_owned(),
            variant: Some("AT+RT".to_owned()),
            train_domain: "both".to_owned(),
            test_domain: "movie".to_owned(),
            k: Some(16),
            seed,
            split: "test".to_owned(),
            metric: metric.to_owned(),
            value,
            n: 264,
            stage_key: Digest::of_bytes(b"evaluate"),
        };
        let stage = StageRun {
            stage: format!("train@k=16,seed={seed}"),
            template: "train".to_owned(),
            key: Digest::of_bytes(b"train"),
            parameters: BTreeMap::from([
                ("lora.rank".to_owned(), "8".to_owned()),
                ("text".to_owned(), "ü".repeat(600)),
            ]),
            times: Some(Times {
                started_ms: 1000,
                ended_ms: 4500,
            }),
            curve: vec![
                Scalars {
                    step: 1,
                    values: vec![("train/loss", 0.5)],
                },
                Scalars {
                    step: 2,
                    values: vec![("train/loss", 0.25), ("validation/auc", 0.75)],
                },
            ],
        };
        Run {
            system: System::new("tallrec", Some("AT+RT")),
            train_domain: "both".to_owned(),
            test_domain: "movie".to_owned(),
            k: Some(16),
            seed,
            rows: vec![
                (row("auc", Some(0.625)), Some(5000)),
                (row("uauc", None), None),
            ],
            chosen: BTreeMap::from([("learning_rate".to_owned(), "1e-4".to_owned())]),
            stages: vec![Arc::new(stage)],
        }
    }

    fn facts() -> Facts {
        Facts {
            name: "small".to_owned(),
            description: "What it is for.".to_owned(),
            source: "small.yaml".to_owned(),
            program: "runner 0.1.0".to_owned(),
        }
    }

    #[test]
    fn a_run_has_the_files_that_mlflow_reads() {
        let files = run_files(&facts(), "12", Path::new("a place"), &run(3));
        assert_eq!(files["metrics/test_auc"], "5000 0.625 0\n");
        assert_eq!(files["metrics/train/loss"], "4500 0.5 1\n4500 0.25 2\n");
        assert_eq!(files["metrics/validation/auc"], "4500 0.75 2\n");
        assert!(!files.contains_key("metrics/test_uauc"));
        assert_eq!(files["tags/runner.undefined"], "test_uauc");
        assert_eq!(files["params/k"], "16");
        assert_eq!(files["params/learning_rate"], "1e-4");
        assert_eq!(files["params/train"], "both");
        assert_eq!(files["params/train.lora.rank"], "8");
        assert_eq!(files["params/train.text"].chars().count(), 500);
        assert_eq!(
            files["tags/mlflow.runName"],
            "TALLRec (AT+RT), both → movie, K = 16, seed 3"
        );
        let meta = &files["meta.yaml"];
        assert!(meta.contains("start_time: 1000\nstatus: 3\n"), "{meta}");
        assert!(meta.contains("end_time: 4500\n"), "{meta}");
        assert!(meta.contains("artifact_uri: \"file://a%20place/"), "{meta}");
    }

    #[test]
    fn ids_are_stable_and_tell_runs_apart() {
        let id = experiment_id("small");
        assert_eq!((id.len(), &id), (18, &experiment_id("small")));
        assert!(id.bytes().all(|byte| byte.is_ascii_digit()));
        assert_ne!(id, experiment_id("large"));
        assert_eq!(run_id("small", &run(1)).len(), 32);
        assert_eq!(run_id("small", &run(1)), run_id("small", &run(1)));
        assert_ne!(run_id("small", &run(1)), run_id("small", &run(2)));
        assert_ne!(run_id("small", &run(1)), run_id("large", &run(1)));
    }

    #[test]
    fn names_are_names_of_files() {
        assert_eq!(file_name("../a/b:c"), "_._a_b_c");
        assert_eq!(file_name("train.lora.rank"), "train.lora.rank");
        assert_eq!(named("name: 'a b'\n").as_deref(), Some("a b"));
        assert_eq!(named("id: 1\nname: \"a\"\n").as_deref(), Some("a"));
    }

    #[test]
    fn an_experiment_is_replaced_and_what_is_foreign_stays() {
        let home = tempfile::tempdir().expect("folder");
        let root = home.path().join("mlruns");
        write(&root, &facts(), &[run(0), run(1)]).expect("written");
        let folder = root.join(experiment_id("small"));
        assert_eq!(entries(&folder).expect("listed").len(), 4);
        write(&root, &facts(), &[run(0)]).expect("replaced");
        let left = [run_id("small", &run(0)), "meta.yaml".to_owned()];
        for name in left {
            assert!(folder.join(name).exists());
        }
        assert_eq!(entries(&folder).expect("listed").len(), 3);
        assert_eq!(entries(home.path()).expect("listed"), ["mlruns"]);

        // Another experiment may stand beside it; a run of somebody else's in it may not.
        fs::create_dir(root.join("0")).expect("made");
        fs::write(root.join("0/meta.yaml"), "name: Default\n").expect("written");
        write(&root, &facts(), &[run(0)]).expect("beside another");
        fs::create_dir_all(folder.join("feed/tags")).expect("made");
        let refused = write(&root, &facts(), &[run(0)]).expect_err("a run of MLflow's");
        assert!(refused.to_string().contains("holds `feed`"), "{refused}");
        fs::remove_dir_all(folder.join("feed")).expect("removed");
        fs::write(root.join("0/meta.yaml"), "name: small\n").expect("written");
        let refused = write(&root, &facts(), &[run(0)]).expect_err("the same name");
        assert!(refused.to_string().contains("not exported"), "{refused}");
        let refused = write(home.path(), &facts(), &[]).expect_err("no store");
        assert!(refused.to_string().contains("holds `mlruns`"), "{refused}");
    }
}
