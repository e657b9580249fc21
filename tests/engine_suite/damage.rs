//! Damaged bytes, torn manifests, links and permissions.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::support::{AGGREGATE, GRID, Project, files_below, sh, sweep};

/// Changes one byte and nothing of the size.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).expect("read");
    bytes[0] ^= 1;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("writable");
    fs::write(path, bytes).expect("written");
}

#[test]
fn a_damaged_artifact_is_put_aside_and_made_again_before_anyone_reads_it() {
    let project = Project::sweep();
    project.run(&[]);
    damage(&project.artifact("train@i=b"));
    // Nothing that runs reads it yet.
    assert_eq!(project.run(&[]).made.len(), 0);
    let ran = project.run(&["--set", "variables.way=two"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.made.contains(&"train@i=b".to_owned()));
    assert_eq!(project.executions()["train"], 4);
    assert!(ran.warnings.iter().any(|line| line.contains("quarantine")));
    assert_eq!(files_below(&project.store().join("quarantine")).len(), 1);
    assert!(project.has_artifact(AGGREGATE));
    project.check_store();
}

#[test]
fn many_readers_of_one_damaged_artifact_send_its_maker_back_once() {
    let project = Project::new(
        "grid: {i: [a, b, c, d, e, f]}\nvariables: {way: one}\n",
        &[
            sh("data", "echo seed > $1"),
            sh("read", "cat $2 > $1; echo $I >> $1")
                .env("I", "${i}${way}")
                .input("d", "data"),
        ],
    );
    assert_eq!(project.run(&[]).made.len(), 7);
    damage(&project.artifact("data"));
    let ran = project.run(&["--jobs", "6", "--set", "variables.way=two"]);
    assert_eq!((ran.code, ran.made.len()), (Some(0), 7), "{ran:?}");
    assert_eq!(project.executions()["data"], 2);
    project.check_store();
}

#[test]
fn a_torn_manifest_counts_as_not_there() {
    let project = Project::sweep();
    project.run(&[]);
    let victims: Vec<_> = files_below(&project.store().join("manifests"))
        .into_iter()
        .filter(|path| fs::read_to_string(path).is_ok_and(|text| text.contains("train@i=c")))
        .collect();
    assert_eq!(victims.len(), 1);
    fs::write(&victims[0], "").expect("torn");
    fs::remove_file(project.store().join("latest/test.jsonl")).expect("forgotten");
    let ran = project.run(&[]);
    assert_eq!(
        (ran.code, ran.made),
        (Some(0), vec!["train@i=c".to_owned()])
    );
    project.check_store();
}

#[test]
fn an_output_that_is_a_link_becomes_a_copy_and_the_users_file_stays_as_it_was() {
    for link in ["ln", "ln -s"] {
        let mut stages = sweep();
        stages[0] = sh("data", "$LINK $MODEL $1")
            .env("LINK", "${link}")
            .env("MODEL", "${model}");
        let project = Project::new(GRID, &stages);
        project.write("model.txt", "seed\n");
        let model = project.path("model.txt").display().to_string();
        project.experiment(
            &format!("{GRID}  model: {model}\n  link: {link}\n").replace(
                "variables: {way: one, rates: {a: 10, b: 20, c: 30}}",
                "variables:\n  way: one\n  rates: {a: 10, b: 20, c: 30}",
            ),
        );
        let ran = project.run(&[]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let writable = !fs::metadata(&model)
            .expect("there")
            .permissions()
            .readonly();
        assert!(writable, "the user's file was made read-only");
        project.write("model.txt", "changed\n");
        project.check_store();
    }
}

#[test]
fn a_read_only_equal_artifact_of_before_is_used() {
    let project = Project::sweep();
    project.run(&[]);
    for path in files_below(&project.store().join("artifacts")) {
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o222, 0, "artifacts are read-only");
    }
    // The same bytes come out again, and lie there already.
    fs::remove_dir_all(project.store().join("manifests")).expect("forgotten");
    let ran = project.run(&[]);
    assert_eq!((ran.code, ran.made.len()), (Some(0), 8), "{ran:?}");
    project.check_store();
}

#[test]
fn another_user_of_the_store_can_read_what_the_umask_allows() {
    let project = Project::sweep();
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "umask 022; exec \"$0\" run test.yaml --quiet"])
        .arg(env!("CARGO_BIN_EXE_runner"))
        .current_dir(project.path("."));
    assert!(command.status().expect("started").success());
    for folder in ["artifacts", "manifests"] {
        for path in files_below(&project.store().join(folder)) {
            let mode = fs::metadata(&path).expect("there").permissions().mode();
            assert_eq!(mode & 0o044, 0o044, "{}: {mode:o}", path.display());
        }
    }
}

#[test]
fn what_killed_runners_left_is_swept_and_what_living_ones_use_is_not() {
    let project = Project::sweep();
    project.run(&[]);
    let tmp = project.store().join("tmp");
    fs::create_dir(tmp.join("run-dead")).expect("made");
    fs::write(tmp.join("run-dead/half"), "done").expect("written");
    fs::write(tmp.join("run-dead.lock"), "").expect("written");
    symlink("/nowhere", tmp.join("run-dead/link")).expect("linked");
    project.run(&["--set", "variables.way=two"]);
    assert_eq!(fs::read_dir(&tmp).expect("listed").count(), 0);
}
