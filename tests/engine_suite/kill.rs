//! kill -9 at random moments: the same command ends with the right bytes and reruns only what was
//! in flight.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use runner::base::Random;

use crate::support::{Project, sh};

const JOBS: usize = 2;

/// 1 data → 12 × (train → eval → note) → 1 aggregate, 38 stages, some of them in-process.
fn project() -> Project {
    let project = Project::new(
        "grid: {i: 1..12}\n",
        &[
            sh("data", "sleep 0.01; echo seed > $1"),
            sh(
                "train",
                "sleep 0.0$((I % 4)); echo $I $(cat $2) > $1; echo $I done >> LOG",
            )
            .env("I", "${i}")
            .input("d", "data"),
            sh("eval", "cat $2 > $1; echo scored >> $1").input("t", "train"),
            sh("aggregate", "out=$1; shift; cat $@ > $out")
                .input("n", "{stage: note, output: text, over: all}"),
        ],
    );
    let text = std::fs::read_to_string(project.path("pipeline.yaml")).expect("read");
    let log = project.path("trainings.log").display().to_string();
    let note = "  note: {kind: text, params: {text: \"note \"}, inputs: {e: eval}}\n";
    project.write(
        "pipeline.yaml",
        &(text.replace(">> LOG", &format!(">> {log}")) + note),
    );
    project
}

fn expected() -> String {
    (1..=12)
        .map(|i| format!("note {i} seed\nscored\n"))
        .collect()
}

/// How often each training was executed.
fn trainings(project: &Project) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let text = std::fs::read_to_string(project.path("trainings.log")).unwrap_or_default();
    for line in text.lines() {
        let number = line.trim_end_matches(" done").to_owned();
        *counts.entry(format!("train@i={number}")).or_default() += 1;
    }
    counts
}

#[derive(Debug, Default)]
struct Tally {
    kills: usize,
    completions: usize,
    executed: usize,
    repeated: usize,
}

fn kill_often(kills: usize, seed: u64) -> Tally {
    let mut random = Random::new(seed, "kills");
    let mut tally = Tally::default();
    while tally.kills < kills {
        let project = project();
        let mut in_flight = 0;
        loop {
            let published = project.manifests();
            let before = trainings(&project);
            let mut child = project
                .run_command(&["--jobs", &JOBS.to_string()])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("started");
            // A whole run takes some 400 ms; most kills hit it in its middle.
            std::thread::sleep(Duration::from_micros(random.below(220_000) as u64));
            let ended = child.try_wait().expect("asked");
            if ended.is_none() {
                child.kill().expect("killed");
                tally.kills += 1;
                in_flight += JOBS;
            }
            let status = child.wait().expect("ended");
            // What was published is never executed again.
            let after = trainings(&project);
            for (stage, count) in &before {
                if published.contains_key(stage) {
                    assert_eq!(after.get(stage), Some(count), "{stage} ran again");
                }
            }
            project.check_store();
            if ended.is_some() {
                assert!(status.success(), "the run after a kill failed: {status}");
                break;
            }
            if tally.kills == kills {
                assert_eq!(project.run(&[]).code, Some(0));
                break;
            }
        }
        tally.completions += 1;
        assert!(
            project.has_artifact(&expected()),
            "other bytes than undisturbed"
        );
        assert_eq!(project.run(&[]).made.len(), 0, "not everything was kept");
        assert_eq!(project.manifests().len(), 38);
        let counts = project.executions();
        let executed: usize = counts.values().sum();
        // 26 of the stages are commands; what is above was in flight when it was killed.
        tally.executed += executed;
        tally.repeated += executed - 26;
        assert!(
            executed - 26 <= in_flight,
            "{counts:?}, {in_flight} in flight"
        );
    }
    tally
}

#[test]
fn ten_kills() {
    kill_often(10, 1);
}

/// `cargo test --test engine_suite -- --ignored a_hundred_kills --nocapture`
#[test]
#[ignore = "takes about a minute"]
fn a_hundred_kills() {
    println!("{:?}", kill_often(100, 2));
}
