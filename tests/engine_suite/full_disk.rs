//! A store on a full disk: a clear failure, nothing half published, and the same command goes on
//! once there is space.

use std::fs;
use std::process::Command;

use crate::support::{Project, Ran};

/// One stage fits, the other does not.
fn project() -> Project {
    let project = Project::new("", &[]);
    let large = "x".repeat(300_000);
    project.write(
        "pipeline.yaml",
        &format!(
            "pipeline: test\nstages:\n  small: {{kind: text, params: {{text: fits}}}}\n  large: \
             {{kind: text, params: {{text: {large}}}, inputs: {{s: small}}}}\n  after: {{kind: text, \
             inputs: {{l: large}}}}\n"
        ),
    );
    project
}

fn is_refused(ran: &Ran, project: &Project, words: &[&str]) {
    assert_eq!(ran.code, Some(20), "{ran:?}");
    assert_eq!(ran.made, ["small"], "{ran:?}");
    let message = &ran.failed["large"];
    for word in words {
        assert!(message.contains(word), "{message}");
    }
    assert_eq!(ran.skipped.len(), 1);
    project.check_store();
}

#[test]
fn a_full_disk() {
    let project = project();
    // A file system of its own, in a name space of its own: nothing of it outlives the shell.
    let script =
        "mkdir -p .runner/store && mount -t tmpfs -o size=200k none .runner/store || exit 99
        \"$0\" run test.yaml --json > full.out 2> full.err; echo $? > full.code
        cp -r .runner/store copy
        mount -o remount,size=8m .runner/store || exit 99
        \"$0\" run test.yaml --json > room.out 2> room.err; echo $? > room.code
        rm -rf copy2; cp -r .runner/store copy2";
    let status = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", script])
        .arg(env!("CARGO_BIN_EXE_runner"))
        .current_dir(project.path("."))
        .status();
    if !status.is_ok_and(|status| status.success()) {
        println!("skipped: this system allows no mounts in a name space of one's own");
        return;
    }
    let ran = |name: &str| {
        let read = |extension: &str| {
            fs::read(project.path(&format!("{name}.{extension}"))).expect("written")
        };
        let mut ran = Ran::read(&std::process::Output {
            status: std::process::ExitStatus::default(),
            stdout: read("out"),
            stderr: read("err"),
        });
        ran.code = String::from_utf8_lossy(&read("code")).trim().parse().ok();
        ran
    };
    fs::create_dir_all(project.path(".runner")).expect("made");
    fs::remove_dir_all(project.store()).expect("removed");
    fs::rename(project.path("copy"), project.store()).expect("moved");
    is_refused(
        &ran("full"),
        &project,
        &["No space left", "help: ", "free some space"],
    );
    let room = ran("room");
    assert_eq!(
        (room.code, room.made),
        (Some(0), vec!["after".to_owned(), "large".to_owned()])
    );
    fs::remove_dir_all(project.store()).expect("removed");
    fs::rename(project.path("copy2"), project.store()).expect("moved");
    project.check_store();
    assert_eq!(project.manifests().len(), 3);
}

#[test]
fn a_limit_on_the_size_of_files() {
    let project = project();
    // Half-kilobyte blocks; the signal that would end the program is ignored, as many do.
    let output = Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 200; exec \"$0\" run test.yaml --json",
        ])
        .arg(env!("CARGO_BIN_EXE_runner"))
        .current_dir(project.path("."))
        .output()
        .expect("started");
    is_refused(&Ran::read(&output), &project, &["too large"]);
    let ran = project.run(&[]);
    assert_eq!((ran.code, ran.made.len()), (Some(0), 2), "{ran:?}");
    project.check_store();
}
