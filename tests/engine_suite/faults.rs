//! A disk that fails at every single call that changes the store, for a moment or for good, or is
//! slow: never a half artifact, never a panic, and the same command ends well once it works again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::{AGGREGATE, Project};

const EIO: i32 = 5;
const NO_SPACE: i32 = 28;

/// The faults as a library to be put before the C library; none where there is no compiler.
fn library(folder: &Path) -> Option<PathBuf> {
    let path = folder.join("faults.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engine_suite/faults.c");
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&path)
        .arg(source)
        .arg("-ldl")
        .status();
    if status.is_ok_and(|status| status.success()) {
        return Some(path);
    }
    println!("skipped: there is no C compiler to make the faults with");
    None
}

fn run(project: &Project, library: &Path, variables: &[(&str, String)]) -> Output {
    let mut command = project.run_command(&["--jobs", "2"]);
    command
        .env("LD_PRELOAD", library)
        .env("FAULT_UNDER", ".runner/store")
        .env("FAULT_COUNT", project.path("count"));
    for (name, value) in variables {
        command.env(name, value);
    }
    command.output().expect("started")
}

#[derive(Debug, Default)]
struct Tally {
    faults: usize,
    /// The run went well all the same: a further try, or nothing that matters.
    survived: usize,
    /// The run said that it failed.
    refused: usize,
}

/// Lets each `every`-th call fail.
fn fail_at(every: usize, error: i32, sticky: bool) -> Option<Tally> {
    let folder = tempfile::tempdir().expect("folder");
    let library = library(folder.path())?;
    let project = Project::sweep();
    let output = run(&project, &library, &[]);
    assert!(output.status.success(), "{output:?}");
    let count = fs::read_to_string(project.path("count")).expect("counted");
    let count: usize = count.trim().parse().expect("a number");
    assert!(count > 50, "only {count} calls were seen");
    let mut tally = Tally::default();
    for at in (1..=count).step_by(every) {
        let project = Project::sweep();
        let mut variables = vec![
            ("FAULT_AT", at.to_string()),
            ("FAULT_ERRNO", error.to_string()),
        ];
        if sticky {
            variables.push(("FAULT_STICKY", "1".to_owned()));
        }
        let output = run(&project, &library, &variables);
        let said = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        assert!(!said.contains("panicked"), "call {at}: {said}");
        tally.faults += 1;
        match output.status.code() {
            Some(0) => tally.survived += 1,
            Some(20 | 30) => {
                tally.refused += 1;
                let why = if error == NO_SPACE {
                    "No space left"
                } else {
                    "Input/output error"
                };
                assert!(said.contains(why), "call {at}: {said}");
            }
            other => panic!("call {at} ended with {other:?}: {said}"),
        }
        project.check_store();
        // The disk works again.
        let again = project.run(&[]);
        assert_eq!(again.code, Some(0), "call {at}: {again:?}");
        assert!(project.has_artifact(AGGREGATE), "call {at}: other bytes");
        project.check_store();
    }
    Some(tally)
}

#[test]
fn every_eleventh_call_fails_once_or_for_good() {
    for (error, sticky) in [(EIO, false), (EIO, true), (NO_SPACE, true)] {
        if let Some(tally) = fail_at(11, error, sticky) {
            println!("{error}, {sticky}: {tally:?}");
        }
    }
}

/// `cargo test --test engine_suite -- --ignored every_call_fails --nocapture`
#[test]
#[ignore = "takes some minutes"]
fn every_call_fails_once_or_for_good() {
    for error in [EIO, NO_SPACE] {
        for sticky in [false, true] {
            println!(
                "error {error}, for good: {sticky}: {:?}",
                fail_at(1, error, sticky)
            );
        }
    }
}

#[test]
fn a_slow_disk_is_only_slow() {
    let folder = tempfile::tempdir().expect("folder");
    let Some(library) = library(folder.path()) else {
        return;
    };
    let project = Project::sweep();
    let output = run(&project, &library, &[("FAULT_SLEEP", "5000".to_owned())]);
    assert!(output.status.success(), "{output:?}");
    assert!(project.has_artifact(AGGREGATE));
    project.check_store();
}
