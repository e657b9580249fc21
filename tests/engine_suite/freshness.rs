//! What reruns and what does not, and what `why` says.

use std::fs;
use std::time::SystemTime;

use serde_json::Value;

use crate::support::{AGGREGATE, GRID, Project, files_below, sh, sweep};

fn times(project: &Project) -> Vec<(std::path::PathBuf, SystemTime)> {
    let mut files = files_below(&project.store().join("artifacts"));
    files.extend(files_below(&project.store().join("manifests")));
    files
        .into_iter()
        .map(|path| {
            let time = fs::metadata(&path).and_then(|metadata| metadata.modified());
            (path, time.expect("time"))
        })
        .collect()
}

#[test]
fn a_second_run_executes_nothing_and_touches_nothing() {
    let project = Project::sweep();
    let first = project.run(&[]);
    assert_eq!((first.code, first.made.len()), (Some(0), 8), "{first:?}");
    assert!(project.has_artifact(AGGREGATE));
    project.check_store();
    let (before, executions) = (times(&project), project.executions());
    let second = project.run(&[]);
    assert_eq!((second.code, second.made.len()), (Some(0), 0));
    assert_eq!(times(&project), before);
    assert_eq!(project.executions(), executions);
    // Neither is anything executed where only the manifests are left to tell.
    fs::remove_dir_all(project.store().join("latest")).expect("removed");
    assert_eq!(project.run(&[]).made.len(), 0);
    assert_eq!(project.executions(), executions);
}

#[test]
fn a_changed_parameter_reruns_exactly_its_descendants() {
    let project = Project::sweep();
    project.run(&[]);
    let ran = project.run(&["--set", "variables.rates.b=70"]);
    assert_eq!(ran.made, ["aggregate", "eval@i=b", "train@i=b"]);
    assert!(project.has_artifact(&AGGREGATE.replace("2 seed", "7 seed")));
    // Back to what was: everything is in the store still.
    assert_eq!(project.run(&[]).made.len(), 0);
}

#[test]
fn equal_bytes_stop_the_change_there() {
    let project = Project::sweep();
    project.run(&[]);
    let ran = project.run(&["--set", "variables.rates.b=21"]);
    assert_eq!(ran.made, ["train@i=b"]);
    let fresh: Vec<(&str, &str)> = ran
        .fresh
        .iter()
        .map(|(stage, because)| (stage.as_str(), because.as_str()))
        .collect();
    assert_eq!(
        fresh,
        [
            ("aggregate", "same inputs as before"),
            ("eval@i=b", "same inputs as before")
        ]
    );
}

#[test]
fn why_names_the_parameter_with_its_old_and_new_value() {
    let project = Project::sweep();
    assert!(
        project
            .says(&["why", "test.yaml", "data"])
            .contains("never ran")
    );
    project.run(&[]);
    let changed = ["--set", "variables.rates.b=70"];
    let why = |stage: &str, more: &[&str]| {
        let mut arguments = vec!["why", "test.yaml", stage];
        arguments.extend(changed);
        arguments.extend(more);
        project.says(&arguments)
    };
    let text = why("train@i=b", &[]);
    for part in ["environment.RATE", "\"200\"", "\"700\""] {
        assert!(text.contains(part), "{text}");
    }
    let json: Value = serde_json::from_str(&why("train@i=b", &["--json"])).expect("json");
    assert_eq!(
        json["reasons"],
        serde_json::json!([{
            "reason": "parameter_changed", "path": "environment.RATE", "old": "200", "new": "700"
        }])
    );
    assert!(why("eval@i=b", &[]).contains("depends on train@i=b"));
    assert!(why("aggregate", &[]).contains("depends on eval@i=b"));
    assert!(why("train@i=a", &[]).contains("is fresh"));
}

#[test]
fn a_changed_file_of_the_users_reruns_what_reads_it() {
    let mut stages = sweep();
    stages[0] = sh("data", "cat $2 > $1").input("raw", "{path: raw.txt}");
    let project = Project::new(GRID, &stages);
    project.write("raw.txt", "seed\n");
    assert_eq!(project.run(&[]).made.len(), 8);
    project.write("raw.txt", "seeds\n");
    let why = project.says(&["why", "test.yaml", "data"]);
    assert!(
        why.contains("raw.txt") && why.contains("other bytes"),
        "{why}"
    );
    assert_eq!(project.run(&[]).made.len(), 8);
    // Touched, or back to what it was: the bytes count.
    project.write("raw.txt", "seed\n");
    assert_eq!(project.run(&[]).made.len(), 0);
}

#[test]
fn evicted_intermediates_are_made_again_only_for_a_stage_that_runs() {
    let project = Project::sweep();
    project.run(&[]);
    for stage in ["train@i=a", "train@i=b", "train@i=c", "data"] {
        fs::remove_file(project.artifact(stage)).expect("evicted");
    }
    assert_eq!(project.run(&[]).made.len(), 0, "results stand");
    let ran = project.run(&["--set", "variables.way=two", "--only", "i=b"]);
    assert_eq!(
        ran.made,
        ["aggregate", "data", "eval@i=b", "train@i=b"],
        "{ran:?}"
    );
    assert_eq!(project.executions()["train"], 4);
}

#[test]
fn an_evicted_result_is_made_again() {
    let project = Project::sweep();
    project.run(&[]);
    fs::remove_file(project.artifact("aggregate")).expect("evicted");
    let why = project.says(&["why", "test.yaml", "aggregate"]);
    assert!(why.contains("no longer in the store"), "{why}");
    assert_eq!(project.run(&[]).made, ["aggregate"]);
    assert!(project.has_artifact(AGGREGATE));
}

#[test]
fn equal_work_in_one_run_is_done_once_without_waiting_for_a_lock() {
    // Two different `first` make the same bytes, so both `second` have one key: known only once
    // the bytes are.
    let project = Project::new(
        "grid: {i: [a, b]}\n",
        &[
            sh("first", "echo same > $1").env("I", "${i}"),
            sh("second", "sleep 0.4; cat $2 > $1").input("f", "first"),
            sh("third", "cat $2 > $1")
                .env("I", "${i}")
                .input("s", "second"),
        ],
    );
    let ran = project.run(&["--jobs", "2"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(project.executions()["second"], 1);
    assert_eq!(project.executions()["third"], 2);
    let because: Vec<&String> = ran
        .fresh
        .iter()
        .filter(|(stage, _)| stage.starts_with("second"))
        .map(|(_, because)| because)
        .collect();
    assert_eq!(because.len(), 1, "{ran:?}");
    assert!(because[0].starts_with("same work as second@i="), "{ran:?}");
}

#[test]
fn an_aggregate_of_thousands_is_planned_and_explained() {
    let values: Vec<String> = (0..6000).map(|value| value.to_string()).collect();
    let project = Project::new(
        &format!("grid: {{i: [{}]}}\n", values.join(", ")),
        &[
            sh("part", "echo $I > $1").env("I", "${i}."),
            sh("all", "true").input("p", "{stage: part, over: all}"),
        ],
    );
    let plan = project.says(&["plan", "test.yaml", "--all"]);
    assert!(plan.contains("and 5997 more"), "{}", plan.len());
    assert!(
        project
            .says(&["why", "test.yaml", "all"])
            .contains("and 5997 more")
    );
}
