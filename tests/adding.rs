//! Runs the example of `docs/ADDING.md`, a program of the user's as a stage, and plans every
//! experiment that is shipped.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect, and says why it is skipped"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

const FIXTURES: &str = "tests/fixtures/adding";

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn run(experiment: &str, folder: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_runner"))
        .args(["run", experiment, "--store"])
        .arg(folder.join("store"))
        .arg("--results")
        .arg(folder.join("results"))
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    fs::read_to_string(folder.join("results/popularity/results.csv")).expect("results")
}

/// How often each stage template ran, by the manifests of the store.
fn made(folder: &Path) -> (usize, usize) {
    let mut made = (0, 0);
    for shard in fs::read_dir(folder.join("store/manifests")).expect("manifests") {
        for file in fs::read_dir(shard.expect("shard").path()).expect("shard") {
            let text = fs::read_to_string(file.expect("file").path()).expect("manifest");
            let manifest: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            match manifest["material"]["kind"].as_str() {
                Some("synthetic") => made.0 += 1,
                Some("command") => made.1 += 1,
                other => panic!("unexpected kind {other:?}"),
            }
        }
    }
    made
}

#[test]
fn the_guide_shows_the_files_that_are_tested() {
    let guide = read("docs/ADDING.md");
    for name in ["experiment.yaml", "pipeline.yaml", "popularity.awk"] {
        let text = read(&format!("{FIXTURES}/{name}"));
        assert!(
            guide.contains(text.trim_end()),
            "docs/ADDING.md does not show {name} as it is"
        );
    }
}

#[test]
fn every_shipped_experiment_can_be_planned() {
    let folder = tempfile::tempdir().expect("folder");
    for entry in fs::read_dir("experiments").expect("experiments") {
        let path = entry.expect("entry").path();
        // The models that experiments start from lie beside them.
        if path.is_dir() {
            continue;
        }
        let output = Command::new(env!("CARGO_BIN_EXE_runner"))
            .arg("plan")
            .arg(&path)
            .arg("--store")
            .arg(folder.path())
            .output()
            .expect("the program runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", path.display());
    }
}

#[test]
fn a_program_of_ones_own_is_a_stage_like_any_other() {
    let folder = tempfile::tempdir().expect("folder");
    // The pipeline names its program by path; a copy lets the test change the program.
    let program = folder.path().join("popularity.awk");
    fs::copy(format!("{FIXTURES}/popularity.awk"), &program).expect("copied");
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::write(
        at("pipeline.yaml"),
        read(&format!("{FIXTURES}/pipeline.yaml")).replace(
            "tests/fixtures/adding/popularity.awk",
            &program.display().to_string(),
        ),
    )
    .expect("written");
    fs::write(
        at("experiment.yaml"),
        read(&format!("{FIXTURES}/experiment.yaml"))
            .replace("tests/fixtures/adding/pipeline.yaml", &at("pipeline.yaml")),
    )
    .expect("written");

    let first = run(&at("experiment.yaml"), folder.path());
    assert_eq!(first.lines().count(), 1 + 2 * 3, "{first}");
    assert!(first.contains("popularity,popularity,,movie,movie,16,0,test,auc,"));
    assert_eq!(made(folder.path()), (1, 6));

    // Nothing changed, nothing runs.
    assert_eq!(run(&at("experiment.yaml"), folder.path()), first);
    assert_eq!(made(folder.path()), (1, 6));

    // Other bytes of the program: its stages run again, the data stage does not.
    let changed = read(&program.display().to_string()).replace("+ 1) /", "+ 2) /");
    fs::write(&program, changed).expect("written");
    run(&at("experiment.yaml"), folder.path());
    assert_eq!(made(folder.path()), (1, 12));
}

/// Skipped, with the reason, where Python has no PyTorch or pyarrow; `RUNNER_PYTHON` chooses the
/// interpreter.
#[test]
fn a_pytorch_script_is_a_method_beside_the_others() {
    let python = std::env::var("RUNNER_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let needs = Command::new(&python)
        .args(["-c", "import torch, pyarrow"])
        .output();
    match needs {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            println!("skipped: {}", String::from_utf8_lossy(&output.stderr));
            return;
        }
        Err(error) => {
            println!("skipped: `{python}` does not start: {error}");
            return;
        }
    }
    let run = |folder: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_runner"))
            .args(["run", "examples/pytorch_baseline/experiment.yaml"])
            .args(["--set", "grid.k=256", "--set", "grid.seed=[0, 1]"])
            .args(["--set", &format!("variables.python={python}")])
            .arg("--store")
            .arg(folder.join("store"))
            .arg("--results")
            .arg(folder.join("results"))
            .output()
            .expect("the program runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        fs::read_to_string(folder.join("results/pytorch_baseline/results.csv")).expect("results")
    };
    let folder = tempfile::tempdir().expect("folder");
    let results = run(folder.path());
    // Every metric of every split that the built-in methods have, for the script as well.
    let rows = |method: &str| {
        let start = format!("pytorch_baseline,{method},");
        results
            .lines()
            .filter(|line| line.starts_with(&start))
            .count()
    };
    assert!(rows("signed_sum") >= 2 * 2 * 3, "{results}");
    assert_eq!(rows("signed_sum"), rows("like_share"), "{results}");
    let again = tempfile::tempdir().expect("folder");
    assert_eq!(
        run(again.path()),
        results,
        "the same seed gives the same bytes"
    );
}
