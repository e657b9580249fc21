//! `runner diff` on small repositories made here: a planted change is found, and no other.
//!
//! Repositories are made with the git program; where there is none, those tests say so and do
//! nothing.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use runner::base::Digest;
use runner::results::provenance::{Provenance, StageRecord};
use runner::results::{ResultRow, ResultSet};
use serde_json::{Value, json};
use tempfile::TempDir;

const SEEDS: u64 = 5;

/// Two systems at two K; `shift` is added to the AUC of GRU4Rec at K = 64.
fn rows(experiment: &str, shift: f64, wobbles: bool) -> Vec<ResultRow> {
    let mut rows = Vec::new();
    for (method, base) in [("gru4rec", 0.51), ("majority", 0.5)] {
        for k in [16, 64] {
            for seed in 0..SEEDS {
                let wobble = [0.0, 0.011, -0.007, 0.004, -0.002][seed as usize];
                let planted = method == "gru4rec" && k == 64;
                let other = if wobbles { wobble / 20.0 } else { 0.0 };
                let change = if planted { shift + other } else { 0.0 };
                let name = format!("{method} {k} {seed} {change}");
                rows.push(ResultRow {
                    experiment: experiment.to_owned(),
                    method: method.to_owned(),
                    variant: None,
                    train_domain: "movie".to_owned(),
                    test_domain: "movie".to_owned(),
                    k: Some(k),
                    seed,
                    split: "test".to_owned(),
                    metric: "auc".to_owned(),
                    value: Some(base + wobble + change),
                    n: 264,
                    stage_key: Digest::of_bytes(name.as_bytes()),
                });
            }
        }
    }
    rows
}

fn provenance(learning_rate: f64) -> Provenance {
    let parameters = json!({"learning_rate": learning_rate, "hidden_size": 64});
    let stage = StageRecord::of(1, [&parameters]);
    let mut provenance = Provenance {
        program: "runner 0.1.0".to_owned(),
        pipeline: "tallrec".to_owned(),
        ..Provenance::default()
    };
    provenance
        .fidelity
        .insert("loss.on".to_owned(), "answer".to_owned());
    provenance
        .stages
        .insert("train (train_recommender)".to_owned(), stage);
    provenance
}

fn write(folder: &Path, rows: Vec<ResultRow>, provenance: Option<&Provenance>) {
    fs::create_dir_all(folder).expect("a folder");
    let set = ResultSet::from_rows(rows).expect("a set");
    fs::write(folder.join("results.csv"), set.to_csv()).expect("written");
    let path = folder.join("provenance.json");
    match provenance {
        Some(provenance) => fs::write(path, provenance.to_json()).expect("written"),
        None => {
            let _ = fs::remove_file(path);
        }
    }
}

struct Lab(TempDir);

impl Lab {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn results(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join("results").join(name)
    }

    /// None where there is no git program.
    fn git(&self, arguments: &[&str]) -> Option<()> {
        let output = Command::new("git")
            .args([
                "-c",
                "user.name=a",
                "-c",
                "user.email=a@b",
                "-c",
                "init.defaultBranch=main",
            ])
            .args(arguments)
            .current_dir(self.0.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .output()
            .ok()?;
        assert!(output.status.success(), "git {arguments:?}: {output:?}");
        Some(())
    }

    fn commit(&self) -> Option<()> {
        self.git(&["add", "-A"])?;
        self.git(&["commit", "-q", "-m", "results"])
    }

    fn diff(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_runner"))
            .arg("diff")
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .expect("the program runs")
    }

    fn text(&self, arguments: &[&str]) -> String {
        let output = self.diff(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let mut all = arguments.to_vec();
        all.extend(["--format", "json"]);
        serde_json::from_str(&self.text(&all)).expect("JSON")
    }
}

/// A repository with two experiments in two commits: the second commit has one change in one.
fn repository(shift: f64, wobbles: bool) -> Option<Lab> {
    let lab = Lab::new();
    lab.git(&["init", "-q"])?;
    write(
        &lab.results("small"),
        rows("small", 0.0, false),
        Some(&provenance(1e-3)),
    );
    write(
        &lab.results("other"),
        rows("other", 0.0, false),
        Some(&provenance(1e-3)),
    );
    lab.commit()?;
    write(
        &lab.results("small"),
        rows("small", shift, wobbles),
        Some(&provenance(1e-2)),
    );
    lab.commit()?;
    Some(lab)
}

/// The hash of a commit depends on the time it was made; it stands in the heading.
fn without_hashes(text: &str) -> String {
    let (heading, rest) = text.split_once('\n').expect("a heading");
    let words = heading.split(' ').map(|word| match word.strip_prefix('(') {
        Some(_) => "(HASH)",
        None => word,
    });
    format!("{}\n{rest}", words.collect::<Vec<_>>().join(" "))
}

#[test]
fn a_planted_change_is_found_and_no_other() {
    let Some(lab) = repository(-0.03, true) else {
        println!("skipped: there is no git program");
        return;
    };
    insta::assert_snapshot!(without_hashes(&lab.text(&["HEAD~1", "HEAD"])));
    let diff = lab.json(&["HEAD~1", "HEAD"]);
    let experiments = diff["experiments"].as_array().expect("experiments");
    let cells = |name: &str| {
        let one = experiments.iter().find(|one| one["name"] == name);
        one.expect("an experiment")["cells"]
            .as_array()
            .expect("cells")
            .clone()
    };
    assert!(cells("other").is_empty());
    let [cell] = <[Value; 1]>::try_from(cells("small")).expect("one cell");
    assert_eq!(
        (&cell["system"], &cell["k"]),
        (&json!("GRU4Rec"), &json!(64))
    );
    assert_eq!(cell["outcome"], "worse");
    // The other way round it is better, and what did not change is not there at all.
    let back = lab.json(&["HEAD", "HEAD~1"]);
    assert_eq!(back["experiments"][1]["cells"][0]["outcome"], "better");
}

/// Sides may be experiment files: their results are what lies in the results folder.
#[test]
fn experiments_and_folders_are_sides_too_and_a_browser_can_show_it() {
    let Some(lab) = repository(-0.03, true) else {
        println!("skipped: there is no git program");
        return;
    };
    for (path, text) in [
        (
            "experiments/small.yaml",
            include_str!("bad_input/files/experiment.yaml"),
        ),
        (
            "pipelines/small.yaml",
            include_str!("bad_input/files/pipeline.yaml"),
        ),
    ] {
        let path = lab.0.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        fs::write(path, text).expect("written");
    }
    let by_file = lab.json(&["HEAD~1", "experiments/small.yaml"]);
    let by_folder = lab.json(&["HEAD~1", "results/small"]);
    assert_eq!(by_file["experiments"], by_folder["experiments"]);
    let experiments = by_file["experiments"].as_array().expect("experiments");
    assert_eq!(
        experiments.len(),
        1,
        "the other experiment was not asked for"
    );
    assert_eq!(experiments[0]["cells"][0]["outcome"], "worse");
    let page = lab.text(&["HEAD~1", "HEAD", "--format", "html"]);
    assert!(
        page.starts_with("<!doctype html>") && page.contains("<table>"),
        "{page}"
    );
    assert!(page.contains("GRU4Rec") && page.contains("worse"), "{page}");
}

#[test]
fn exit_codes_are_for_ci() {
    let Some(lab) = repository(-0.03, true) else {
        println!("skipped: there is no git program");
        return;
    };
    let code = |arguments: &[&str]| lab.diff(arguments).status.code();
    assert_eq!(code(&["HEAD~1", "HEAD"]), Some(0), "nobody asked");
    assert_eq!(code(&["HEAD~1", "HEAD", "--fail-on", "worse"]), Some(3));
    assert_eq!(
        code(&["HEAD", "HEAD~1", "--fail-on", "worse"]),
        Some(0),
        "better is not worse"
    );
    assert_eq!(code(&["HEAD", "HEAD~1", "--fail-on", "changed"]), Some(3));
    assert_eq!(code(&["HEAD", "HEAD", "--fail-on", "changed"]), Some(0));
}

#[test]
fn alone_it_compares_the_last_commit_with_the_work_tree() {
    let Some(lab) = repository(0.02, true) else {
        println!("skipped: there is no git program");
        return;
    };
    assert!(lab.text(&[]).contains("Nothing changed: 8 cells the same."));
    let mut fewer = rows("other", 0.0, false);
    fewer.retain(|row| row.k == Some(16));
    write(&lab.results("other"), fewer, Some(&provenance(1e-3)));
    write(&lab.results("third"), rows("third", 0.0, false), None);
    let diff = lab.json(&[]);
    let outcomes = |at: usize| -> Vec<String> {
        let cells = diff["experiments"][at]["cells"].as_array().expect("cells");
        cells
            .iter()
            .map(|cell| cell["outcome"].as_str().expect("text").to_owned())
            .collect()
    };
    assert_eq!(outcomes(0), ["vanished"; 2], "other");
    assert_eq!(outcomes(1), [""; 0], "small");
    assert_eq!(outcomes(2), ["appeared"; 4], "third");
}

#[test]
fn a_change_that_is_the_same_for_all_seeds_is_no_proof_and_edited_files_are_named() {
    let lab = Lab::new();
    write(&lab.results("one"), rows("one", 0.0, false), None);
    write(&lab.results("two"), rows("two", 0.02, false), None);
    let mut edited = rows("two", 0.0, false);
    edited[0].value = Some(0.9);
    write(&lab.results("three"), edited, None);
    let text = lab.text(&["results/one", "results/two"]);
    assert!(
        text.contains("cannot say (the values do not vary over seeds"),
        "{text}"
    );
    assert!(text.contains("no provenance.json"), "{text}");
    let text = lab.text(&["results/one", "results/three"]);
    assert!(text.contains("the same stage gave another number: one of the files was edited"));
}

#[test]
fn what_cannot_be_read_is_named_with_what_to_do() {
    let lab = Lab::new();
    let error = |arguments: &[&str]| {
        let output = lab.diff(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    fs::create_dir_all(lab.results("empty")).expect("a folder");
    assert!(error(&["results", "results"]).contains("there is no results.csv in `results`"));
    write(&lab.results("one"), rows("one", 0.0, false), None);
    fs::write(lab.results("one").join("results.csv"), "no header\n").expect("written");
    assert!(error(&["results/one", "results/one"]).contains("results/one/results.csv:1:1"));
    write(&lab.results("one"), rows("one", 0.0, false), None);
    fs::write(lab.results("one").join("provenance.json"), "{}").expect("written");
    assert!(error(&["results/one", "results"]).contains("results/one/provenance.json: missing"));
    if lab.git(&["init", "-q"]).is_some() {
        let text = error(&["nowhere", "results/one"]);
        assert!(
            text.contains("`nowhere` is no folder, no experiment and no revision"),
            "{text}"
        );
        lab.git(&["commit", "-q", "--allow-empty", "-m", "empty"]);
        assert!(error(&["HEAD", "results/one"]).contains("has no `results/*/results.csv`"));
    }
}
