//! README's first promise, from the file to the figure: the quickstart with short trainings.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use runner::results::comparison::{self, CHANCE, ComparisonRow, Question};
use runner::results::provenance::Provenance;
use runner::results::{ResultSet, System, summarise};
use runner::statistics::Test;

fn run(folder: &Path) -> (String, BTreeMap<String, Vec<u8>>) {
    let output = Command::new(env!("CARGO_BIN_EXE_runner"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["run", "experiments/quickstart.yaml", "--json"])
        .args(["--set", "settings.gru4rec.epochs=2"])
        .args(["--set", "settings.tallrec.alpaca_tune.epochs=1"])
        .args(["--set", "settings.tallrec.rec_tune.max_steps=4"])
        .args(["--set", "grid.k=[16, 64]", "--set", "grid.seed=0..1"])
        .arg("--store")
        .arg(folder.join("store"))
        .arg("--results")
        .arg(folder.join("results"))
        .env_remove("RUNNER_STORE")
        .env_remove("RUNNER_RESULTS")
        .output()
        .expect("started");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let files = fs::read_dir(folder.join("results/quickstart"))
        .expect("results")
        .map(|entry| {
            let entry = entry.expect("entry");
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, fs::read(entry.path()).expect("read"))
        })
        .collect();
    (said, files)
}

fn summary(said: &str) -> serde_json::Value {
    let last = said.lines().last().expect("a summary");
    let line: serde_json::Value = serde_json::from_str(last).expect("JSON");
    line["summary"].clone()
}

#[test]
fn quickstart_ends_in_a_table_and_a_figure_and_is_not_done_twice() {
    let folder = tempfile::tempdir().expect("folder");
    let (said, first) = run(folder.path());
    let names: Vec<&str> = first.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "auc_by_shots.png",
            "auc_by_shots.svg",
            "better.csv",
            "better.md",
            "better.tex",
            "comparison.csv",
            "comparison.md",
            "comparison.tex",
            "comparisons.csv",
            "provenance.json",
            "report.html",
            "report.json",
            "report.md",
            "results.csv",
            "zero_shot.png",
            "zero_shot.svg"
        ]
    );
    assert!(first["auc_by_shots.png"].starts_with(b"\x89PNG"));
    let table = String::from_utf8_lossy(&first["comparison.md"]).into_owned();
    for row in [
        "majority",
        "item mean",
        "share of likes",
        "GRU4Rec",
        "TALLRec (base)",
        "TALLRec (AT)",
        "TALLRec (RT)",
        "TALLRec (AT+RT)",
    ] {
        assert!(table.contains(row), "{row} is missing in\n{table}");
    }
    // 2 K × 2 seeds × 8 systems × 2 splits × 3 metrics, and the header.
    let rows = String::from_utf8_lossy(&first["results.csv"])
        .lines()
        .count();
    assert_eq!(rows, 2 * 2 * 8 * 2 * 3 + 1);
    assert!(summary(&said)["ran"].as_u64().is_some_and(|ran| ran > 60));

    // What only the store knows is on the page: stages, courses of trainings, rows in dispute.
    let page = String::from_utf8_lossy(&first["report.html"]).into_owned();
    for part in [
        "rec_tune",
        "training loss",
        "disagree most",
        "Whether the user will like",
    ] {
        assert!(page.contains(part), "{part} is missing on the page");
    }
    comparisons_are_about_the_results(&first["comparisons.csv"], &first["results.csv"]);
    let record = Provenance::from_json("provenance.json", &first["provenance.json"]);
    let stages = record.expect("own text").stages;
    let parameters = &stages["train (train_recommender, gru4rec)"].parameters;
    assert_eq!(parameters["settings.weight_decay"], "0.00001, 0.001");
    assert_eq!(parameters["settings.epochs"], "2");
    assert!(
        parameters.contains_key("settings.dropout"),
        "defaults are written out"
    );

    let (said, second) = run(folder.path());
    assert_eq!(summary(&said)["ran"], 0, "{said}");
    assert!(first == second, "a second run changed the results");

    // Without the predictions, and without the memory of what was written, the report stays.
    let removed = remove_predictions(&folder.path().join("store/artifacts"));
    assert!(removed > 20, "{removed}");
    fs::remove_file(folder.path().join("store/reports/quickstart.json")).expect("removed");
    let (said, third) = run(folder.path());
    assert_eq!(summary(&said)["ran"], 0, "{said}");
    assert_eq!(
        String::from_utf8_lossy(&third["comparisons.csv"]),
        String::from_utf8_lossy(&first["comparisons.csv"])
    );
    // The page alone tells of single rows, and cannot any more.
    let committed = |files: &BTreeMap<String, Vec<u8>>| {
        let mut files = files.clone();
        files.remove("report.html");
        files
    };
    assert!(
        committed(&first) == committed(&third),
        "what was known about predictions was lost"
    );
}

/// Removes every Parquet file with a column of scores; says how many there were.
fn remove_predictions(artifacts: &Path) -> usize {
    let mut removed = 0;
    for folder in fs::read_dir(artifacts).expect("a folder") {
        for file in fs::read_dir(folder.expect("an entry").path()).expect("a folder") {
            let path = file.expect("an entry").path();
            let Ok(bytes) = fs::read(&path) else { continue };
            let has_scores = bytes.windows(5).any(|window| window == b"score");
            if bytes.starts_with(b"PAR1") && has_scores {
                fs::remove_file(&path).expect("removed");
                removed += 1;
            }
        }
    }
    removed
}

/// What was computed from predictions agrees with the metrics in `results.csv`, which another
/// stage computed: every effect is the difference of two means.
fn comparisons_are_about_the_results(comparisons: &[u8], results: &[u8]) {
    let rows = comparison::from_csv("comparisons.csv", comparisons).expect("own text");
    let results = ResultSet::from_csv("results.csv", results).expect("own text");
    let summaries = summarise(results.rows());
    let mean = |system: &System, question: &Question| -> f64 {
        if system.method == CHANCE {
            return 0.5;
        }
        let found = summaries.iter().find(|(cell, _)| {
            cell.system == *system
                && cell.k == question.k
                && cell.split == "test"
                && cell.metric == "auc"
        });
        found
            .and_then(|(_, summary)| summary.mean())
            .expect("a mean")
    };
    let mut tests = BTreeSet::new();
    for row in &rows {
        let effect = row.comparison.effect.expect("predictions are there");
        let ComparisonRow { question, .. } = row;
        let expected = mean(&question.one, question) - mean(&question.other, question);
        assert!((effect - expected).abs() < 1e-12, "{row:?}: {expected}");
        if row.comparison.evidence.is_ok() {
            tests.insert(row.comparison.test);
        }
    }
    let over_rows = [Test::BootstrapUsers, Test::BootstrapRows, Test::Delong];
    assert!(
        tests.into_iter().eq(over_rows),
        "each test has something to say"
    );
}
