//! Ctrl-C once and twice, and what `status` says afterwards.

use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runner::base::clock;

use crate::support::{Project, Ran, sh};

fn slow(script: &'static str) -> Project {
    Project::new(
        "grid: {i: [a, b, c, d]}\n",
        &[
            sh("work", script).env("I", "${i}"),
            sh("all", "out=$1; shift; cat $@ > $out").input("w", "{stage: work, over: all}"),
        ],
    )
}

pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = clock::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_mins(1),
            "waited for {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn started(project: &Project) -> Child {
    let child = project
        .run_command(&["--jobs", "2"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    wait_until("two stages to run", || {
        project.executions().get("work") == Some(&2)
    });
    child
}

fn press(child: &Child) {
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).expect("sent");
}

#[test]
fn once_finishes_what_runs_and_the_same_command_goes_on() {
    let project = slow("sleep 0.6; echo $I > $1");
    let child = started(&project);
    press(&child);
    let ran = Ran::read(&child.wait_with_output().expect("ended"));
    assert_eq!(ran.code, Some(21), "{ran:?}");
    assert_eq!(ran.made.len(), 2, "{ran:?}");
    assert_eq!(ran.cancelled, 3);
    assert!(ran.stderr.contains("goes on where this stopped") || !ran.warnings.is_empty());
    project.check_store();
    let rest = project.run(&[]);
    assert_eq!((rest.code, rest.made.len()), (Some(0), 3));
    assert_eq!(project.executions()["work"], 4);
    assert!(project.has_artifact("a\nb\nc\nd\n"));
}

#[test]
fn twice_ends_the_programs_with_all_they_started_and_keeps_nothing_half() {
    // The sleeper is a grandchild: ending only the shell would leave it behind.
    let project =
        slow("sh -c 'echo $$ >> pids; echo half > out.txt; sleep 30 & wait'; echo $I > $1");
    let pids = project.path("pids");
    let project_pids = pids.display().to_string();
    let text = fs::read_to_string(project.path("pipeline.yaml")).expect("read");
    project.write(
        "pipeline.yaml",
        &text.replace(">> pids", &format!(">> {project_pids}")),
    );
    let child = started(&project);
    wait_until("the programs", || {
        fs::read_to_string(&pids).is_ok_and(|text| text.lines().count() == 2)
    });
    press(&child);
    std::thread::sleep(Duration::from_millis(100));
    let begun = clock::now();
    press(&child);
    let ran = Ran::read(&child.wait_with_output().expect("ended"));
    assert!(begun.elapsed() < Duration::from_secs(5), "it waited");
    assert_eq!((ran.code, ran.made.len()), (Some(21), 0), "{ran:?}");
    assert_eq!(ran.cancelled, 5);
    assert!(project.manifests().is_empty());
    let tmp = project.store().join("tmp");
    assert_eq!(fs::read_dir(tmp).expect("listed").count(), 0);
    let text = fs::read_to_string(&pids).expect("read");
    for pid in text.lines() {
        let pid: i32 = pid.parse().expect("number");
        wait_until("the group to end", || {
            kill(Pid::from_raw(pid), None).is_err()
        });
    }
}

#[test]
fn status_after_a_kill_says_that_it_was_killed() {
    let project = slow("sleep 0.3; echo $I > $1");
    let mut child = project
        .run_command(&["--jobs", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    wait_until("a stage to be done", || !project.manifests().is_empty());
    child.kill().expect("killed");
    child.wait().expect("ended");
    // A program that was just being started holds the journal until it is one of its own.
    let killed = || {
        project
            .says(&["status", "test.yaml"])
            .contains("was killed or lost power")
    };
    wait_until("the journal to be let go", killed);
    let text = project.says(&["status", "test.yaml"]);
    assert!(text.contains("next: runner run test.yaml"), "{text}");
    assert_eq!(project.run(&[]).code, Some(0));
    let text = project.says(&["status", "test.yaml"]);
    assert!(
        text.contains("complete") && !text.contains("was killed"),
        "{text}"
    );
}
