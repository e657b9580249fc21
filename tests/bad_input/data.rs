//! Data and folders that are wrong, found while running: the exit code, what is said, and that
//! nothing half written is left.

#![expect(clippy::expect_used, reason = "a test may fail where it stands")]

use std::fmt::Write as _;
use std::fs;

use crate::assert_redacted;
use crate::program::{EXPERIMENT, Lab, Outcome, repository};

/// A lab with the shipped pipeline, since the small one knows no books.
fn shipped() -> Lab {
    let lab = Lab::small();
    let pipeline = fs::read_to_string(repository().join("pipelines/tallrec.yaml"));
    lab.write("pipelines/small.yaml", pipeline.expect("the pipeline"));
    lab
}

/// Writes a file of the synthetic world as a user's own.
fn own_file(lab: &Lab, from: &str, to: &str, change: impl Fn(Vec<u8>) -> Vec<u8>) {
    let outcome = lab.run_list(&["cat", EXPERIMENT, from]).fine();
    lab.write(to, change(outcome.bytes));
}

/// Nothing may be left in the store's working folders.
fn nothing_half_written(lab: &Lab) {
    let left: Vec<String> = lab
        .files(".runner/store")
        .into_iter()
        .filter(|file| file.starts_with("tmp/"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// What was said of failures, without progress, which threads tell in any order.
fn failures(outcome: &Outcome) -> String {
    let lines = outcome.err.lines();
    let lines = lines.skip_while(|line| !line.starts_with("failed: "));
    let text: Vec<&str> = lines.collect();
    format!("exit {}\n{}", outcome.code, text.join("\n"))
}

#[test]
fn k_above_the_training_set() {
    let lab = Lab::small();
    let outcome = lab.run_list(&[
        "run",
        EXPERIMENT,
        "--set",
        "grid={domain: movie, k: [2, 100000], seed: 0, method: [majority, like_share]}",
    ]);
    assert_eq!(outcome.code, 20, "{outcome}");
    assert_redacted!("k_above_the_training_set", failures(&outcome));
    // What does not need the draws that failed is there.
    let results = fs::read_to_string(lab.path("results/small/results.csv")).expect("results");
    assert!(
        results.contains(",2,0,test,auc,") && !results.contains("100000"),
        "{results}"
    );
    nothing_half_written(&lab);
}

#[test]
fn ratings_cut_off() {
    let lab = shipped();
    lab.run_list(&["run", EXPERIMENT, "--quiet"]).fine();
    own_file(&lab, "world/movie/u.item", "films/u.item", |bytes| bytes);
    own_file(&lab, "world/movie/u.data", "films/u.data", |bytes| {
        // In the middle of a line, as a full disk leaves it.
        let lines = bytes.split_inclusive(|byte| *byte == b'\n').take(200);
        let whole: usize = lines.map(<[u8]>::len).sum();
        bytes[..whole - 12].to_vec()
    });
    let before = lab.files(".runner/store/manifests");
    let outcome = lab.run_list(&["run", EXPERIMENT, "--set", "data.movie.path=films"]);
    assert_eq!(outcome.code, 20, "{outcome}");
    assert_redacted!("ratings_cut_off", failures(&outcome));
    assert_eq!(before, lab.files(".runner/store/manifests"));
    nothing_half_written(&lab);
}

#[test]
fn books_in_another_encoding() {
    let lab = shipped();
    lab.run_list(&["run", EXPERIMENT, "--quiet"]).fine();
    own_file(
        &lab,
        "world/book/BX-Book-Ratings.csv",
        "books/BX-Book-Ratings.csv",
        |bytes| bytes,
    );
    own_file(
        &lab,
        "world/book/BX-Books.csv",
        "books/BX-Books.csv",
        |bytes| {
            let text: String = bytes.into_iter().map(char::from).collect();
            text.replacen("The ", "Thé ", 3).into_bytes()
        },
    );
    lab.edit(EXPERIMENT, "domain: movie", "domain: book");
    let outcome = lab.run_list(&["run", EXPERIMENT, "--set", "data.book.path=books"]);
    assert_eq!(outcome.code, 20, "{outcome}");
    assert_redacted!("books_in_another_encoding", failures(&outcome));
    nothing_half_written(&lab);
}

#[test]
fn folders_that_cannot_be_used() {
    let lab = Lab::small();
    let mut text = String::new();
    for line in [
        "run experiments/small.yaml --results experiments/small.yaml",
        "run experiments/small.yaml --store experiments/small.yaml",
    ] {
        let outcome = lab.run(line);
        assert_eq!(outcome.code, 30, "{line}\n{outcome}");
        let _ = writeln!(text, "$ runner {line}\n{outcome}");
    }
    assert_redacted!("folders_that_cannot_be_used", text);
    assert!(lab.files("results").is_empty());
}

#[cfg(unix)]
#[test]
fn results_folder_without_permission() {
    use std::os::unix::fs::PermissionsExt;

    let lab = Lab::small();
    fs::create_dir(lab.path("locked")).expect("a folder");
    fs::set_permissions(lab.path("locked"), fs::Permissions::from_mode(0o555)).expect("locked");
    if fs::write(lab.path("locked/probe"), "").is_ok() {
        // Nothing is locked for the superuser.
        return;
    }
    let outcome = lab.run("run experiments/small.yaml --results locked");
    assert_eq!(outcome.code, 30, "{outcome}");
    assert!(outcome.err.contains("Permission denied"), "{outcome}");
    assert!(outcome.err.contains("nothing was run"), "{outcome}");
}
