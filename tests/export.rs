//! Exports of an experiment: what they say, what they leave, what they replace and refuse.
//!
//! That other programs read them is asked of Python, if it has MLflow; `RUNNER_PYTHON` chooses the
//! interpreter.

#![expect(
    clippy::expect_used,
    reason = "a test stops at what it does not expect"
)]

#[path = "program/mod.rs"]
mod program;

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use program::{EXPERIMENT, Lab, Outcome, repository};
use serde_json::{Value, json};

/// One method that learns in epochs and one that has nothing to learn.
const CHANGES: [&str; 8] = [
    "--set",
    "grid.method=[gru4rec, like_share]",
    "--set",
    "settings.gru4rec.epochs=3",
    "--set",
    "settings.gru4rec.evaluate_every=1",
    "--set",
    "description=Made for a test.",
];

/// The small experiment with these methods, run.
fn after_a_run() -> Lab {
    let lab = Lab::small();
    run(&lab, &["run", EXPERIMENT, "--quiet"]).fine();
    lab
}

fn run(lab: &Lab, arguments: &[&str]) -> Outcome {
    lab.run_list(&[arguments, &CHANGES].concat())
}

/// Every file of a folder with its bytes.
fn bytes(lab: &Lab, folder: &str) -> Vec<(String, Vec<u8>)> {
    let read = |name: String| {
        let path = lab.path(folder).join(&name);
        let bytes = fs::read(path).expect("bytes");
        (name, bytes)
    };
    lab.files(folder).into_iter().map(read).collect()
}

/// The folder of the run that MLflow shows under a name.
fn run_folder(lab: &Lab, name: &str) -> String {
    let tags = lab.files("mlruns").into_iter();
    let mut folders = tags.filter_map(|path| {
        let folder = path.strip_suffix("/tags/mlflow.runName")?.to_owned();
        let tag = fs::read_to_string(lab.path("mlruns").join(&path)).expect("a tag");
        (tag == name).then_some(folder)
    });
    let found = folders.next().expect("a run of this name");
    assert_eq!(folders.next(), None, "two runs are called {name}");
    format!("mlruns/{found}")
}

#[test]
fn what_exports_say_and_leave() {
    let lab = after_a_run();
    let mut text = String::new();
    for line in [
        &["results", EXPERIMENT, "--format", "csv", "--to", "rows.csv"] as &[&str],
        &[
            "results",
            EXPERIMENT,
            "--format",
            "json",
            "--to",
            "new/rows.json",
        ],
        &["results", EXPERIMENT, "--format", "parquet"],
        &[
            "results",
            EXPERIMENT,
            "--format",
            "parquet",
            "--to",
            "rows.parquet",
        ],
        &["results", EXPERIMENT, "--format", "mlflow"],
        &[
            "results",
            EXPERIMENT,
            "--format",
            "mlflow",
            "--to",
            "deep/store",
        ],
        &["tensorboard", EXPERIMENT],
        &["tensorboard", EXPERIMENT, "--to", "curves"],
        &["results", EXPERIMENT, "--to", "experiments"],
        &["results", EXPERIMENT, "--to", EXPERIMENT],
        &[
            "results", EXPERIMENT, "--format", "parquet", "--to", "rows.csv",
        ],
        &[
            "results",
            EXPERIMENT,
            "--format",
            "mlflow",
            "--to",
            "experiments",
        ],
        &[
            "results", EXPERIMENT, "--format", "mlflow", "--to", "rows.csv",
        ],
        &["tensorboard", EXPERIMENT, "--to", "experiments"],
        &["tensorboard", EXPERIMENT, "--to", "rows.csv"],
    ] {
        let outcome = run(&lab, &[&["export"], line].concat());
        let _ = writeln!(text, "$ runner export {}\n{outcome}", line.join(" "));
    }
    for line in [
        &["results", "results/small", "--format", "mlflow"] as &[&str],
        &["results", "results/small", "--only", "k=2"],
        &["results", "experiments"],
        &["results", "missing.csv"],
        &[
            "results",
            "results/small",
            "--format",
            "parquet",
            "--to",
            "again.parquet",
        ],
    ] {
        let outcome = lab.run_list(&[&["export"], line].concat());
        let _ = writeln!(text, "$ runner export {}\n{outcome}", line.join(" "));
    }
    let folder = run_folder(&lab, "GRU4Rec, movie, K = 4, seed 1");
    let _ = writeln!(
        text,
        "a run of MLflow's:\n{}",
        lab.files(&folder).join("\n")
    );
    let _ = writeln!(text, "\ncurves:\n{}", lab.files("curves").join("\n"));
    assert_redacted!("export", text);

    let csv = run(&lab, &["export", "results", EXPERIMENT]).fine();
    let file = fs::read_to_string(lab.path("rows.csv")).expect("a file");
    assert_eq!(file, csv.out);
    // The rows of a folder of results are those of the experiment.
    let results = fs::read_to_string(lab.path("results/small/results.csv")).expect("a file");
    assert_eq!(file, results);
    for path in ["results/small", "results/small/results.csv"] {
        let again = lab.run_list(&["export", "results", path]).fine();
        assert_eq!(again.out, csv.out);
    }
    assert_eq!(bytes(&lab, "experiments").len(), 1);
    let left: Vec<String> = fs::read_dir(lab.path(""))
        .expect("listed")
        .map(|entry| entry.expect("entry").file_name().display().to_string())
        .filter(|name| name.starts_with(".export"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn a_second_export_gives_the_same_bytes() {
    let lab = after_a_run();
    let mlflow = ["export", "results", EXPERIMENT, "--format", "mlflow"];
    let tensorboard = ["export", "tensorboard", EXPERIMENT];
    run(&lab, &mlflow).fine();
    run(&lab, &tensorboard).fine();
    let (store, curves) = (bytes(&lab, "mlruns"), bytes(&lab, "runs"));
    // Four trainings have a curve; a share of likes is not trained in epochs.
    assert_eq!(curves.len(), 4);
    run(&lab, &mlflow).fine();
    run(&lab, &tensorboard).fine();
    assert!(bytes(&lab, "mlruns") == store, "another store");
    assert!(bytes(&lab, "runs") == curves, "other event files");
    // What is exported again is replaced as a whole.
    let folder = run_folder(&lab, "GRU4Rec, movie, K = 4, seed 1");
    lab.edit(EXPERIMENT, "k: [2, 4]", "k: [2]");
    run(&lab, &mlflow).fine();
    assert!(!lab.path(&folder).exists(), "a run that was left out");
    // Notes of the user's are never removed.
    lab.write("runs/small/notes.txt", "mine");
    let refused = run(&lab, &tensorboard);
    assert_eq!(refused.code, 2, "{refused}");
    assert!(refused.err.contains("holds `notes.txt`"), "{refused}");
    assert!(lab.path("runs/small/notes.txt").exists());
}

/// Of two trainings with other hyper-parameters, the run is the one that validation chose.
#[test]
fn a_run_has_the_parameters_that_were_chosen() {
    let lab = Lab::small();
    let changed = |arguments: &[&str]| {
        let changes = [
            "grid.method=[{gru4rec: {weight_decay: [1e-3, 1e-5]}}]",
            "settings.gru4rec={epochs: 2, evaluate_every: 1}",
            "grid.k=2",
            "grid.seed=0",
        ];
        let mut all = arguments.to_vec();
        all.extend(changes.iter().flat_map(|change| ["--set", change]));
        lab.run_list(&all).fine()
    };
    changed(&["run", EXPERIMENT, "--quiet"]);
    changed(&["export", "results", EXPERIMENT, "--format", "mlflow"]);
    let folder = run_folder(&lab, "GRU4Rec, movie, K = 2, seed 0");
    let parameter = |name: &str| -> f64 {
        let path = lab.path(&folder).join("params").join(name);
        let text = fs::read_to_string(path).expect("a parameter");
        text.parse().expect("a number")
    };
    let (chosen, trained) = (
        parameter("weight_decay"),
        parameter("train.settings.weight_decay"),
    );
    assert_eq!(chosen.to_bits(), trained.to_bits());
    // Both trainings have curves, chosen or not.
    changed(&["export", "tensorboard", EXPERIMENT]);
    assert_eq!(lab.files("runs/small").len(), 2);
}

#[test]
fn without_results_exports_say_what_to_do() {
    let lab = Lab::small();
    for line in [
        &["results", EXPERIMENT, "--format", "mlflow"] as &[&str],
        &[
            "results",
            EXPERIMENT,
            "--format",
            "parquet",
            "--to",
            "rows.parquet",
        ],
        &["tensorboard", EXPERIMENT],
    ] {
        let outcome = lab.run_list(&[&["export"], line].concat());
        assert_eq!(outcome.code, 2, "{outcome}");
        assert!(outcome.err.contains("help: runner run "), "{outcome}");
    }
    assert_eq!(lab.files("mlruns"), Vec::<String>::new());
    let unknown = lab.run_list(&["export", "results", EXPERIMENT, "--format", "xlsx"]);
    assert_eq!(unknown.code, 2, "{unknown}");
    assert!(
        unknown.err.contains("csv, parquet, json, mlflow"),
        "{unknown}"
    );
}

#[test]
fn other_programs_read_what_was_exported() {
    let lab = after_a_run();
    let parquet = ["--format", "parquet", "--to", "rows.parquet"];
    let results = ["export", "results", EXPERIMENT];
    run(&lab, &[&results[..], &parquet].concat()).fine();
    run(&lab, &[&results[..], &["--format", "mlflow"]].concat()).fine();
    run(&lab, &["export", "tensorboard", EXPERIMENT]).fine();
    let expected = json!({
        "mlflow": {
            "root": lab.path("mlruns"),
            "name": "small",
            "description": "Made for a test.",
            "runs": 8,
            "metrics": ["test_auc", "test_uauc", "test_log_loss"],
            "params": ["method", "train", "test", "k", "seed", "train.method"],
            "curves": ["train/loss", "validation/auc"],
        },
        "parquet": {"path": lab.path("rows.parquet"), "rows": 24, "types": types()},
        "tensorboard": {
            "root": lab.path("runs/small"),
            "trainings": 4,
            "tags": ["train/loss", "validation/auc"],
        },
    });
    lab.write("expected.json", expected.to_string());
    let interpreter = std::env::var("RUNNER_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = Command::new(&interpreter)
        .arg(repository().join("tests/mlflow_interop.py"))
        .arg(lab.path("expected.json"))
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            println!("skipped: `{interpreter}` does not start: {error}");
            return;
        }
    };
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{shown}");
    if output.status.code() != Some(77) {
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{shown}\n{errors}");
    }
}

/// What pyarrow calls the types of the columns.
fn types() -> Value {
    json!({
        "experiment": "string",
        "method": "string",
        "variant": "string",
        "train_domain": "string",
        "test_domain": "string",
        "k": "int64",
        "seed": "int64",
        "split": "string",
        "metric": "string",
        "value": "double",
        "n": "int64",
        "stage_key": "string",
    })
}
