//! Failures stay where they are, and say so.

use std::path::PathBuf;
use std::sync::Arc;

use runner::schedule::Interrupt;
use runner::spec::Request;
use runner::stage::{
    Arity, Erased, ErasedStage, InputDeclaration, OutputDeclaration, STAGES, StageContext,
    StageError, StageKind,
};
use runner::study::{Folders, Study};

use crate::support::{GRID, Project, sh, sweep};

fn with_a_failing_training() -> Project {
    let mut stages = sweep();
    stages[1] = sh(
        "train",
        "if test $RATE = 200; then echo out of luck; exit 3; fi; echo $((RATE / 100)) $(cat $2) > $1",
    )
    .env("RATE", "${rates.${i}}0")
    .input("d", "data");
    Project::new(GRID, &stages)
}

#[test]
fn a_failure_skips_what_depends_on_it_and_nothing_else() {
    let project = with_a_failing_training();
    let ran = project.run(&["--jobs", "2"]);
    assert_eq!(ran.code, Some(20), "{ran:?}");
    assert_eq!(
        ran.made,
        ["data", "eval@i=a", "eval@i=c", "train@i=a", "train@i=c"]
    );
    assert_eq!(ran.failed.keys().collect::<Vec<_>>(), ["train@i=b"]);
    let message = &ran.failed["train@i=b"];
    assert!(message.contains("exit code 3") && message.contains("out of luck"));
    assert_eq!(
        ran.skipped.iter().collect::<Vec<_>>(),
        ["aggregate", "eval@i=b"]
    );
    // The same command tries again only what failed, and a repaired one finishes.
    let again = project.run(&[]);
    assert_eq!((again.code, again.made.len()), (Some(20), 0));
    let repaired = project.run(&["--set", "variables.rates.b=40"]);
    assert_eq!(repaired.code, Some(0));
    assert_eq!(repaired.made, ["aggregate", "eval@i=b", "train@i=b"]);
    project.check_store();
}

/// A program may use a secret and print it, and it may fail: it is in no file and no message.
#[test]
fn a_secret_is_in_no_file_and_no_message() {
    const SECRET: &str = "sk-0123456789";
    for (script, code) in [
        ("echo key $WANDB_API_KEY; echo fine > $1", 0),
        ("echo key $WANDB_API_KEY; exit 3", 20),
    ] {
        let pass = "pass_environment: [WANDB_API_KEY]";
        let project = Project::new("", &[sh("data", script).param(pass)]);
        let mut command = project.run_command(&[]);
        let output = command
            .env("WANDB_API_KEY", SECRET)
            .output()
            .expect("started");
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains(SECRET), "{said}");
        let mut logs = 0;
        let mut open = vec![project.path("")];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                let entries = std::fs::read_dir(&path).expect("listed");
                open.extend(entries.map(|entry| entry.expect("an entry").path()));
                continue;
            }
            let text = String::from_utf8_lossy(&std::fs::read(&path).expect("read")).into_owned();
            assert!(!text.contains(SECRET), "{}", path.display());
            logs += usize::from(text.contains("key ***"));
        }
        assert!(logs > 0, "its log shows that something was there");
    }
    let project = Project::new("", &[sh("data", "true").env("HF_TOKEN", SECRET)]);
    let said = project.says(&["run", "test.yaml"]);
    assert!(said.contains("sounds like a secret"), "{said}");
    assert!(said.contains("pass_environment"), "{said}");
}

/// A program does not outlive a runner that was killed, and what it printed by then holds no
/// secret.
#[test]
fn a_program_goes_with_a_killed_runner() {
    const SECRET: &str = "sk-0123456789";
    let script = "echo key $WANDB_API_KEY; echo $$ > $PLACE; mv $PLACE $PLACE.pid; exec sleep 300";
    let pass = "pass_environment: [WANDB_API_KEY, PLACE]";
    let project = Project::new("", &[sh("data", script).param(pass)]);
    let place = project.path("place");
    let mut runner = project
        .run_command(&[])
        .env("WANDB_API_KEY", SECRET)
        .env("PLACE", &place)
        .spawn()
        .expect("started");
    let wait_for = |what: &str, there: &dyn Fn() -> bool| {
        for _ in 0..600 {
            if there() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("{what}");
    };
    let pid_file = place.with_extension("pid");
    let pid = || std::fs::read_to_string(&pid_file).unwrap_or_default();
    wait_for("it never started", &|| !pid().is_empty());
    let program = std::path::Path::new("/proc").join(pid().trim());
    assert!(program.exists());
    runner.kill().expect("killed");
    runner.wait().expect("ended");
    wait_for("it still runs", &|| !program.exists());
    let logs = std::fs::read_dir(project.store().join("logs")).expect("listed");
    let logs: Vec<String> = logs
        .map(|entry| std::fs::read_to_string(entry.expect("an entry").path()).expect("read"))
        .collect();
    assert_eq!(logs, ["key ***\n"]);
}

#[test]
fn fail_fast_leaves_the_rest_undone() {
    let project = with_a_failing_training();
    let ran = project.run(&["--jobs", "1", "--fail-fast"]);
    assert_eq!((ran.code, ran.failed.len()), (Some(20), 1), "{ran:?}");
    assert!(ran.cancelled > 0, "{ran:?}");
}

#[test]
fn a_command_that_writes_no_output_or_does_not_exist_fails_with_a_reason() {
    let project = Project::new("grid: {i: [a]}\n", &[sh("data", "true").env("I", "${i}")]);
    let ran = project.run(&[]);
    assert_eq!(ran.code, Some(20));
    assert!(
        ran.failed["data@i=a"].contains("without writing its output `out`"),
        "{ran:?}"
    );
}

#[test]
fn a_file_that_changes_while_a_stage_reads_it_is_noticed() {
    let mut stages = sweep();
    stages[0] = sh("data", "cat $2 > $1; echo more >> $2").input("raw", "{path: raw.txt}");
    let project = Project::new(GRID, &stages);
    project.write("raw.txt", "seed\n");
    let ran = project.run(&[]);
    assert_eq!(ran.code, Some(20), "{ran:?}");
    let message = &ran.failed["data"];
    assert!(message.contains("changed while the stage was reading it"));
    assert!(project.manifests().is_empty());
}

/// A kind with a bug.
struct Panics;

#[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl StageKind for Panics {
    type Params = Nothing;

    const NAME: &'static str = "panics";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Panics.";
    const INPUTS: &'static [InputDeclaration] = &[InputDeclaration {
        name: "parts",
        arity: Arity::AnyName,
        about: "anything",
    }];

    fn outputs(_: &Nothing) -> Vec<OutputDeclaration> {
        vec![OutputDeclaration::new("out", "out.txt")]
    }

    fn run(_: &Nothing, context: &StageContext) -> Result<(), StageError> {
        let path = context.output("out")?;
        std::fs::write(path, "half").map_err(StageError::io("write", path))?;
        panic!("index out of luck");
    }
}

#[test]
fn a_panic_is_the_failure_of_one_stage() {
    let home = tempfile::tempdir().expect("folder");
    let write = |name: &str, text: &str| -> PathBuf {
        let path = home.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    let pipeline = write(
        "pipeline.yaml",
        "pipeline: test\nstages:\n  bad: {kind: panics}\n  after: {kind: text, inputs: {b: \
         bad/out}}\n  good: {kind: text, params: {text: fine}}\n",
    );
    let path = write(
        "test.yaml",
        &format!("experiment: test\npipeline: {}\n", pipeline.display()),
    );
    let mut kinds: Vec<&'static dyn ErasedStage> = STAGES.to_vec();
    kinds.push(&Erased::<Panics>::NEW);
    let request = Request {
        path,
        ..Request::default()
    };
    let folders = Folders {
        store: home.path().join("store"),
        results: home.path().join("results"),
    };
    let study = Study::open_with(&request, folders, &kinds).expect("opened");
    let mut plan = study.plan().expect("planned");
    let summary = study.run(&mut plan, 2, false, &Interrupt::default(), &mut |_| {});
    assert_eq!((summary.ran, summary.skipped), (1, 1));
    let [(stage, message, _)] = summary.failed.as_slice() else {
        panic!("one failure: {summary:?}");
    };
    assert_eq!(stage, "bad");
    assert!(message.contains("index out of luck") && message.contains("bug"));
    let store = Arc::clone(&study.store);
    assert_eq!(store.keys().expect("listed").len(), 1);
}
