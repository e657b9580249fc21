//! Several runners on one store at once: every stage runs once in total.

use std::process::{Child, Stdio};
use std::time::Duration;

use crate::support::{Project, Ran, sh};

fn project() -> Project {
    Project::new(
        "grid: {i: 1..14}\n",
        &[
            sh("data", "sleep 0.02; echo seed > $1"),
            sh("train", "sleep 0.03; echo $I $(cat $2) > $1")
                .env("I", "${i}")
                .input("d", "data"),
            sh("device", "sleep 0.01; cat $2 > $1")
                .param("lane: accelerator")
                .input("t", "train"),
            sh("aggregate", "out=$1; shift; cat $@ > $out")
                .input("e", "{stage: device, over: all}"),
        ],
    )
}

fn start(project: &Project) -> Child {
    project
        .run_command(&["--jobs", "2"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started")
}

fn expected() -> String {
    (1..=14).map(|i| format!("{i} seed\n")).collect()
}

fn together(runners: usize) {
    let project = project();
    let children: Vec<Child> = (0..runners).map(|_| start(&project)).collect();
    let mut made = Vec::new();
    for child in children {
        let ran = Ran::read(&child.wait_with_output().expect("ended"));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(ran.cancelled, 0);
        made.extend(ran.made);
    }
    made.sort();
    let total = made.len();
    made.dedup();
    assert_eq!((made.len(), total), (30, 30), "every stage ran once");
    assert_eq!(project.executions().values().sum::<usize>(), 30);
    assert!(project.has_artifact(&expected()));
    project.check_store();
    let tmp = project.store().join("tmp");
    assert_eq!(std::fs::read_dir(tmp).expect("listed").count(), 0);
}

#[test]
fn two_runners_share_the_work() {
    together(2);
}

#[test]
fn eight_runners_share_the_work() {
    together(8);
}

#[test]
fn the_others_finish_what_a_killed_runner_had_begun() {
    for after_ms in [60, 150, 300] {
        let project = project();
        let mut victim = start(&project);
        let others = [start(&project), start(&project)];
        std::thread::sleep(Duration::from_millis(after_ms));
        victim.kill().expect("killed");
        victim.wait().expect("ended");
        for child in others {
            let ran = Ran::read(&child.wait_with_output().expect("ended"));
            assert_eq!(ran.code, Some(0), "{ran:?}");
        }
        let executed = project.executions().values().sum::<usize>();
        // Two on its CPU lane and one on its device were in flight at most.
        assert!((30..=33).contains(&executed), "{executed}");
        assert!(project.has_artifact(&expected()));
        project.check_store();
    }
}
