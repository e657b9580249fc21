//! The worker process of the accelerator lane: it may abort, hang, be killed or run out of memory,
//! and that costs one stage one try.
//!
//! This program is its own worker, with a stage kind that misbehaves as it is told; so it has a
//! `main` of its own.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::exit,
    reason = "a test fails by panicking, and a faulty stage does worse"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use runner::base::{EventKind, Lane, clock};
use runner::schedule::{Interrupt, RunSummary, WorkerCommand, serve};
use runner::spec::Request;
use runner::stage::{
    Arity, Erased, ErasedStage, InputDeclaration, OutputDeclaration, STAGES, StageContext,
    StageError, StageKind,
};
use runner::study::{Folders, Study};

/// What goes wrong.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
enum How {
    Abort,
    Kill,
    Exit,
    /// Neither works nor listens.
    Hang,
    /// Works without end, and listens.
    Endless,
    Panic,
    Network,
    Wrong,
    /// Takes 40 MB for each unit of `at_once`.
    Allocate,
    /// Reads a backbone, once if it can.
    Load,
    /// Writes down its device, and waits for another stage to do so on another one.
    Meet,
    Nothing,
}

#[derive(Clone, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Params {
    how: How,
    /// Each try adds a line here.
    tries: PathBuf,
    /// So many tries go wrong.
    #[serde(default = "always")]
    times: usize,
    /// How much is done at once.
    #[serde(default)]
    at_once: usize,
}

fn always() -> usize {
    usize::MAX
}

/// A kind that misbehaves.
struct Faulty;

impl StageKind for Faulty {
    type Params = Params;

    const NAME: &'static str = "faulty";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Misbehaves.";
    const INPUTS: &'static [InputDeclaration] = &[InputDeclaration {
        name: "parts",
        arity: Arity::AnyName,
        about: "anything",
    }];
    const SKIP: &'static [&'static str] = &["at_once"];

    fn outputs(_: &Params) -> Vec<OutputDeclaration> {
        vec![OutputDeclaration::new("out", "out.txt")]
    }

    fn lane(_: &Params) -> Lane {
        Lane::Accelerator
    }

    fn lighter(params: &Params) -> Option<(Params, String)> {
        (params.at_once > 1).then(|| {
            let mut lighter = params.clone();
            lighter.at_once /= 2;
            let words = format!("at_once {} → {}", params.at_once, lighter.at_once);
            (lighter, words)
        })
    }

    fn run(params: &Params, context: &StageContext) -> Result<(), StageError> {
        println!("a library that prints");
        let mut tries = fs::read_to_string(&params.tries).unwrap_or_default();
        tries.push_str(&format!("{}\n", std::process::id()));
        fs::write(&params.tries, &tries).map_err(StageError::io("write", &params.tries))?;
        let path = context.output("out")?;
        fs::write(path, "half").map_err(StageError::io("write", path))?;
        context.emitter().progress(1, 2, "step");
        if tries.lines().count() <= params.times {
            misbehave(params, context)?;
        }
        fs::write(path, "done").map_err(StageError::io("write", path))
    }
}

fn misbehave(params: &Params, context: &StageContext) -> Result<(), StageError> {
    match params.how {
        How::Abort => std::process::abort(),
        How::Kill => {
            let itself = nix::unistd::getpid();
            let _ = nix::sys::signal::kill(itself, nix::sys::signal::Signal::SIGKILL);
        }
        How::Exit => std::process::exit(3),
        How::Hang => thread::sleep(Duration::from_mins(10)),
        How::Endless => loop {
            context.check_cancelled()?;
            context.emitter().progress(1, 2, "step");
            thread::sleep(Duration::from_millis(5));
        },
        How::Panic => panic!("index out of luck"),
        How::Network => {
            let lost = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
            return Err(StageError::io("download", Path::new("weights"))(lost));
        }
        How::Wrong => return Err(StageError::input("K is larger than the split")),
        How::Allocate => {
            let mut memory = vec![0_u8; params.at_once * 40_000_000];
            memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
            std::hint::black_box(&memory);
        }
        How::Load => {
            let input = context.inputs("backbone");
            let digest = input[0].digest;
            let load = || -> Result<String, std::io::Error> {
                let loads = params.tries.with_extension("loads");
                let text = fs::read_to_string(&loads).unwrap_or_default();
                fs::write(&loads, text + "loaded\n")?;
                fs::read_to_string(&input[0].path)
            };
            let keep = context.keep().expect("a worker keeps");
            keep.get_or_make(digest, load).map_err(StageError::other)?;
        }
        How::Meet => {
            let devices = params.tries.with_file_name("devices");
            fs::create_dir_all(&devices).map_err(StageError::io("create", &devices))?;
            let own = devices.join(context.device().to_string());
            fs::write(&own, std::process::id().to_string())
                .map_err(StageError::io("write", &own))?;
            for _ in 0..1000 {
                if fs::read_dir(&devices).is_ok_and(|all| all.count() > 1) {
                    return Ok(());
                }
                context.check_cancelled()?;
                thread::sleep(Duration::from_millis(10));
            }
            return Err(StageError::input("nobody else came"));
        }
        How::Nothing => {}
    }
    Ok(())
}

const KINDS: &[&dyn ErasedStage] = &{
    let mut kinds: [&dyn ErasedStage; STAGES.len() + 1] =
        [&Erased::<Faulty>::NEW; STAGES.len() + 1];
    let mut at = 0;
    while at < STAGES.len() {
        kinds[at] = STAGES[at];
        at += 1;
    }
    kinds
};

/// How a run went.
struct Ran {
    home: tempfile::TempDir,
    summary: RunSummary,
    events: Vec<EventKind>,
    study: Study,
    took: Duration,
}

impl Ran {
    /// `stages` are lines of a pipeline; `TRIES/` in them is a folder for what tries leave.
    fn of(stages: &str, limits: &str) -> Self {
        Self::on("cpu", stages, limits)
    }

    /// The same on other devices.
    fn on(devices: &str, stages: &str, limits: &str) -> Self {
        let home = tempfile::tempdir().expect("folder");
        let at = |name: &str| home.path().join(name);
        let stages = stages.replace("TRIES", &home.path().display().to_string());
        let pipeline = format!("pipeline: test\nstages:\n{stages}");
        fs::write(at("pipeline.yaml"), pipeline).expect("written");
        let experiment = format!(
            "experiment: test\npipeline: {}\nlimits: {limits}\ndevice: {devices}\n",
            at("pipeline.yaml").display()
        );
        fs::write(at("test.yaml"), experiment).expect("written");
        let request = Request {
            path: at("test.yaml"),
            ..Request::default()
        };
        let folders = Folders {
            store: at("store"),
            results: at("results"),
        };
        let mut study = Study::open_with(&request, folders, KINDS).expect("opened");
        study.worker = Some(WorkerCommand {
            program: std::env::current_exe().expect("a path"),
            arguments: vec!["worker".into()],
        });
        let mut events = Vec::new();
        let started = clock::now();
        let mut plan = study.plan().expect("planned");
        let summary = study.run(&mut plan, 2, false, &Interrupt::default(), &mut |event| {
            events.push(event);
        });
        drop(plan);
        Self {
            summary,
            events,
            study,
            took: started.elapsed(),
            home,
        }
    }

    /// Process ids of the tries of a stage.
    fn tries(&self, stage: &str) -> Vec<String> {
        let text = fs::read_to_string(self.home.path().join(stage)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Messages of retries, with what was changed.
    fn retries(&self) -> Vec<(String, String)> {
        let retries = self.events.iter().filter_map(|event| match event {
            EventKind::StageRetried {
                message, change, ..
            } => Some((message.clone(), change.clone())),
            _ => None,
        });
        retries.collect()
    }

    fn failure(&self) -> &str {
        match self.summary.failed.as_slice() {
            [(_, message, _)] => message,
            others => panic!("one failure, not {others:?}"),
        }
    }

    /// What the manifest of a stage says of how it came about.
    fn note(&self, stage: &str, name: &str) -> Option<String> {
        let keys = self.study.store.keys().expect("listed");
        let mut manifests = keys
            .into_iter()
            .filter_map(|key| self.study.store.manifest(key).expect("read"));
        let manifest = manifests.find(|manifest| manifest.stage == stage)?;
        manifest.environment.get(name).cloned()
    }
}

fn faulty(name: &str, how: &str) -> String {
    format!("  {name}: {{kind: faulty, params: {{tries: TRIES/{name}, {how}}}}}\n")
}

/// Each device has a stage at a time and a process of its own; nothing here opens a card.
fn two_devices_work_at_the_same_time() {
    let mut stages: String = ["one", "two", "three"]
        .map(|name| faulty(name, "how: meet, at_once: 1"))
        .concat();
    stages += &faulty("four", "how: nothing");
    let ran = Ran::on("[cuda:0, cuda:1]", &stages, "{}");
    assert_eq!(
        (ran.summary.ran, ran.summary.failed.len()),
        (4, 0),
        "{:?}",
        ran.summary
    );
    let folder = ran.home.path().join("devices");
    let names = fs::read_dir(&folder).expect("listed");
    let mut names: Vec<PathBuf> = names.map(|one| one.expect("an entry").path()).collect();
    names.sort();
    assert_eq!(names, [folder.join("cuda:0"), folder.join("cuda:1")]);
    let process = |path: &PathBuf| fs::read_to_string(path).expect("read");
    assert_ne!(process(&names[0]), process(&names[1]));
}

/// Every way to break down costs one try, and the next stage finds a new process.
fn a_broken_process_is_replaced() {
    for (how, words) in [
        ("abort", "aborted (signal 6)"),
        ("kill", "was killed (signal 9)"),
        ("exit", "ended with exit code 3"),
    ] {
        let stages =
            faulty("bad", &format!("how: {how}, times: 1")) + &faulty("good", "how: nothing");
        let ran = Ran::of(&stages, "{}");
        assert_eq!((ran.summary.ran, ran.summary.failed.len()), (2, 0), "{how}");
        let retries = ran.retries();
        assert_eq!(retries.len(), 1, "{how}: {retries:?}");
        assert!(retries[0].0.contains(words), "{how}: {retries:?}");
        let tries = ran.tries("bad");
        assert!(tries.len() == 2 && tries[0] != tries[1], "{how}: {tries:?}");
        assert_eq!(ran.note("bad", "tries").as_deref(), Some("2"));
        assert_eq!(ran.note("good", "tries"), None);
    }
}

fn one_that_always_breaks_fails_alone() {
    let stages = faulty("bad", "how: abort")
        + "  after: {kind: text, inputs: {b: bad/out}}\n"
        + &faulty("good", "how: nothing");
    let ran = Ran::of(&stages, "{bad: {retries: 1}}");
    assert_eq!((ran.summary.ran, ran.summary.skipped), (1, 1));
    assert!(
        ran.failure().contains("aborted (signal 6)"),
        "{}",
        ran.failure()
    );
    assert!(ran.failure().contains("tried 2 times"), "{}", ran.failure());
    assert!(
        ran.failure().contains("a library that prints"),
        "{}",
        ran.failure()
    );
    assert_eq!(ran.tries("bad").len(), 2);
    // Of the half-written artifact nothing is left.
    assert_eq!(ran.study.store.keys().expect("listed").len(), 1);
}

/// What would fail again is not tried again.
fn certain_failures_are_not_tried_again() {
    for (how, words) in [
        ("panic", "index out of luck"),
        ("wrong", "K is larger than the split"),
    ] {
        let ran = Ran::of(&faulty("bad", &format!("how: {how}")), "{}");
        assert!(ran.failure().contains(words), "{}", ran.failure());
        assert_eq!(ran.tries("bad").len(), 1, "{how}");
    }
    let ran = Ran::of(&faulty("bad", "how: network, times: 2"), "{}");
    assert_eq!((ran.summary.ran, ran.tries("bad").len()), (1, 3));
    // The same process went on: nothing was wrong with it.
    let tries = ran.tries("bad");
    assert!(tries.iter().all(|id| *id == tries[0]), "{tries:?}");
    let ran = Ran::of(&faulty("bad", "how: network"), "{faulty: {retries: 0}}");
    assert_eq!(ran.tries("bad").len(), 1);
}

/// A stage that is silent or takes too long is stopped: one that listens at once, one that does
/// not with its process.
fn limits_end_what_does_not_end() {
    let limits = "{faulty: {timeout: 0.3, retries: 0}}";
    let ran = Ran::of(&faulty("bad", "how: endless"), limits);
    assert!(
        ran.failure().contains("longer than its timeout of 0.3 s"),
        "{}",
        ran.failure()
    );
    assert!(ran.took < Duration::from_secs(4), "{:?}", ran.took);

    // Long enough for a process to be started on a machine that is busy.
    let limits = "{bad: {heartbeat: 1500ms}}";
    let stages = faulty("bad", "how: hang, times: 1") + &faulty("good", "how: nothing");
    let ran = Ran::of(&stages, limits);
    assert_eq!((ran.summary.ran, ran.summary.failed.len()), (2, 0));
    let retries = ran.retries();
    assert!(
        retries[0].0.contains("no sign of life for 1.5 s"),
        "{retries:?}"
    );
    let tries = ran.tries("bad");
    assert!(tries.len() == 2 && tries[0] != tries[1], "{tries:?}");
}

/// Out of memory is tried again with less at once, and siblings begin where it went well.
fn less_at_once_where_memory_is_short() {
    let mut stages = faulty("one", "how: allocate, at_once: 16");
    stages += "  two:\n    cases:\n    - {kind: faulty, params: {tries: TRIES/two, how: allocate, at_once: 1}}\n";
    let ran = Ran::of(&stages, "{faulty: {memory: 300MB, retries: 0}}");
    assert_eq!(
        (ran.summary.ran, ran.summary.failed.len()),
        (2, 0),
        "{:?}",
        ran.summary
    );
    let retries = ran.retries();
    let changes: Vec<&str> = retries.iter().map(|(_, change)| change.as_str()).collect();
    assert_eq!(changes, ["at_once 16 → 8", "at_once 8 → 4"], "{retries:?}");
    assert!(retries[0].0.contains("out of memory"), "{retries:?}");
    let note = ran.note("one", "memory");
    assert_eq!(note.as_deref(), Some("at_once 16 → 8; at_once 8 → 4"));
    assert_eq!(ran.note("two", "memory"), None);

    let ran = Ran::of(
        &faulty("one", "how: allocate, at_once: 64"),
        "{faulty: {memory: 30MB}}",
    );
    assert!(
        ran.failure().contains("as little at once as can be"),
        "{}",
        ran.failure()
    );
    assert_eq!(ran.tries("one").len(), 7, "64, 32, 16, 8, 4, 2, 1");
}

/// What was too much for one stage of a template is not tried again by its siblings.
fn siblings_begin_lighter() {
    let stages = "  one: {kind: faulty, params: {tries: \"TRIES/one${seed}\", how: allocate, at_once: 16}}\n";
    let ran = Ran::of(stages, "{faulty: {memory: 300MB}}\ngrid: {seed: [0, 1, 2]}");
    assert_eq!(
        (ran.summary.ran, ran.retries().len()),
        (3, 2),
        "{:?}",
        ran.summary
    );
    let tries: Vec<usize> = (0..3)
        .map(|seed| ran.tries(&format!("one{seed}")).len())
        .collect();
    assert_eq!(tries.iter().sum::<usize>(), 5, "{tries:?}");
}

/// Stages that share a backbone follow one another, and it is read once.
fn a_backbone_is_read_once() {
    let mut stages = String::new();
    for name in ["x", "y"] {
        stages += &format!("  {name}: {{kind: text, params: {{text: \"{name}\"}}}}\n");
    }
    for (at, backbone) in ["x", "y", "x", "y", "x"].iter().enumerate() {
        stages += &format!(
            "  use{at}: {{kind: faulty, params: {{tries: TRIES/use, how: load, at_once: {at}, times: \
             {}}}, inputs: {{backbone: {backbone}/text}}}}\n",
            100 + at
        );
    }
    let ran = Ran::of(&stages, "{}");
    assert_eq!(
        (ran.summary.ran, ran.summary.failed.len()),
        (7, 0),
        "{:?}",
        ran.summary
    );
    let loads = fs::read_to_string(ran.home.path().join("use.loads")).expect("read");
    assert_eq!(loads.lines().count(), 2, "once each");
}

/// Nothing of a run is left behind: no process, no file of its own.
fn the_process_ends_with_the_run() {
    let ran = Ran::of(&faulty("good", "how: nothing"), "{}");
    let id: i32 = ran.tries("good")[0].parse().expect("a process id");
    let alive = nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), None).is_ok();
    assert!(!alive, "the worker is still there");
    let logs = fs::read_dir(ran.home.path().join("store/logs"));
    assert_eq!(logs.map_or(0, Iterator::count), 0);
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some("worker") {
        serve(KINDS).expect("served");
        return;
    }
    let tests: [(&str, fn()); 9] = [
        (
            "two_devices_work_at_the_same_time",
            two_devices_work_at_the_same_time,
        ),
        ("a_broken_process_is_replaced", a_broken_process_is_replaced),
        (
            "one_that_always_breaks_fails_alone",
            one_that_always_breaks_fails_alone,
        ),
        (
            "certain_failures_are_not_tried_again",
            certain_failures_are_not_tried_again,
        ),
        ("limits_end_what_does_not_end", limits_end_what_does_not_end),
        (
            "less_at_once_where_memory_is_short",
            less_at_once_where_memory_is_short,
        ),
        ("siblings_begin_lighter", siblings_begin_lighter),
        ("a_backbone_is_read_once", a_backbone_is_read_once),
        (
            "the_process_ends_with_the_run",
            the_process_ends_with_the_run,
        ),
    ];
    let trials = tests.into_iter().map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}
