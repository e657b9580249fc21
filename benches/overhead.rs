//! Overhead of the engine itself: a synthetic pipeline of trivial stages, beside ninja.
//!
//! The shape, for a size N: 2 data → N/2 train → N/2 eval → 1 aggregate, N + 3 stages in all. The
//! runner gets a grid and expands it itself; ninja gets the graph already expanded. Phases:
//!
//! - `plan`: what would run, before anything ran
//! - `cold`: everything runs
//! - `no-op`: the same again
//! - `change`: one training's parameter changed; it, its evaluation and the aggregate rerun
//! - `cutoff`: one training changed in a way that leaves its bytes equal; only it reruns
//!
//! The two programs alternate within each phase of one run, because ratios survive a noisy machine
//! and seconds do not. Run with `cargo bench --bench overhead -- 1000 10000`; without ninja on
//! PATH only the runner is measured.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::sys::resource::{UsageWho, getrusage};
use runner::base::{Digest, clock};
use serde::{Deserialize, Serialize};
use serde_json::Value;

type Fallible<T> = Result<T, Box<dyn Error>>;

/// Threads of the runner's CPU lane and jobs of ninja.
const JOBS: &str = "2";

/// How often phases that change nothing are repeated.
const REPEATS: usize = 5;

/// How often a cold run is repeated, each in a fresh folder.
const COLD_REPEATS: usize = 3;

/// The first argument of this program when it measures one command.
const MEASURE: &str = "--measure";

const PIPELINE: &str = r#"pipeline: overhead
stages:
  data:
    kind: text
    params: {text: "seed${d}\n"}
  train:
    kind: text
    params: {text: "${p} ", file: "${names.${i}?}"}
    inputs: {d: data/text}
  eval:
    kind: text
    inputs: {t: train/text}
  aggregate:
    kind: text
    inputs:
      e: {stage: eval, output: text, over: all}
"#;

/// What a command took; one is written as JSON by a fresh process around each command, because
/// the system only tells of all finished children together.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Cost {
    wall_s: f64,
    cpu_s: f64,
    peak_mib: f64,
    code: i32,
}

/// The sweep.
#[derive(Debug, Clone)]
struct Sweep {
    params: Vec<u64>,
    renamed: Option<usize>,
}

impl Sweep {
    fn new(size: usize) -> Self {
        Self {
            params: (0..size as u64 / 2).map(|i| 1000 + 10 * i).collect(),
            renamed: None,
        }
    }

    /// What the aggregate must contain.
    fn expected(&self) -> String {
        let mut text = String::new();
        for (i, p) in self.params.iter().enumerate() {
            let _ = writeln!(text, "{p} seed{}", i % 2);
        }
        text
    }

    fn list(&self, value: impl Fn(usize, u64) -> u64) -> String {
        let values: Vec<String> = self
            .params
            .iter()
            .enumerate()
            .map(|(i, p)| value(i, *p).to_string())
            .collect();
        format!("[{}]", values.join(", "))
    }

    fn experiment(&self) -> String {
        // Another file name is a changed parameter that leaves the bytes as they were.
        let names = self
            .renamed
            .map_or_else(String::new, |i| format!("\"{i}\": other.txt"));
        format!(
            "experiment: overhead\npipeline: pipeline.yaml\nvariables: {{names: {{{names}}}}}\n\
             grid:\n  zip:\n    - i: {}\n      d: {}\n      p: {}\n",
            self.list(|i, _| i as u64),
            self.list(|i, _| i as u64 % 2),
            self.list(|_, p| p),
        )
    }

    fn ninja(&self) -> String {
        let mut text = String::from("rule r\n  command = $cmd\n");
        for d in 0..2 {
            let _ = writeln!(text, "build o/d{d}: r\n  cmd = echo seed{d} > o/d{d}");
        }
        let mut evaluations = String::new();
        for (i, p) in self.params.iter().enumerate() {
            let same = if self.renamed == Some(i) { ": ; " } else { "" };
            let d = i % 2;
            let _ = writeln!(
                text,
                "build o/t{i}: r o/d{d}\n  cmd = {same}read x < o/d{d}; echo \"{p} $$x\" > o/t{i}\n\
                 build o/e{i}: r o/t{i}\n  cmd = read x < o/t{i}; echo \"$$x\" > o/e{i}"
            );
            let _ = write!(evaluations, " o/e{i}");
        }
        let _ = writeln!(
            text,
            "build o/agg: r{evaluations}\n  cmd = cat{evaluations} > o/agg\ndefault o/agg"
        );
        text
    }
}

/// A program under measurement, in a folder of its own.
struct Program {
    is_runner: bool,
    folder: PathBuf,
}

impl Program {
    fn write(&self, sweep: &Sweep) -> Fallible<()> {
        if self.is_runner {
            fs::write(self.folder.join("pipeline.yaml"), PIPELINE)?;
            fs::write(self.folder.join("overhead.yaml"), sweep.experiment())?;
        } else {
            fs::create_dir_all(self.folder.join("o"))?;
            fs::write(self.folder.join("build.ninja"), sweep.ninja())?;
        }
        Ok(())
    }

    fn command(&self, plan: bool) -> Vec<&'static str> {
        match (self.is_runner, plan) {
            (true, true) => vec![RUNNER, "plan", "overhead.yaml", "--all"],
            (true, false) => vec![RUNNER, "run", "overhead.yaml", "--quiet", "--jobs", JOBS],
            (false, true) => vec!["ninja", "-n", "-v"],
            (false, false) => vec!["ninja", "--quiet", "-j", JOBS],
        }
    }

    fn measure(&self, plan: bool) -> Fallible<Cost> {
        let output = Command::new(std::env::current_exe()?)
            .arg(MEASURE)
            .args(self.command(plan))
            .current_dir(&self.folder)
            .output()?;
        let cost: Cost = serde_json::from_slice(&output.stdout)?;
        if cost.code != 0 {
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("exit code {}: {message}", cost.code).into());
        }
        Ok(cost)
    }

    /// How many stages the last run executed; `None` where the program does not tell.
    fn ran(&self, journals_before: usize) -> Fallible<Option<u64>> {
        if !self.is_runner {
            return Ok(None);
        }
        let journals = self.journals()?;
        if journals.len() == journals_before {
            return Ok(Some(0));
        }
        let text = journals
            .last()
            .map(fs::read_to_string)
            .transpose()?
            .unwrap_or_default();
        let last: Value = serde_json::from_str(text.lines().last().unwrap_or("null"))?;
        Ok(last.pointer("/kind/ran").and_then(Value::as_u64))
    }

    fn journals(&self) -> Fallible<Vec<PathBuf>> {
        let folder = self.folder.join(".runner/store/runs");
        if !self.is_runner || !folder.exists() {
            return Ok(Vec::new());
        }
        let mut journals: Vec<PathBuf> = fs::read_dir(folder)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        journals.sort();
        Ok(journals)
    }

    fn check(&self, sweep: &Sweep) -> Fallible<()> {
        let expected = sweep.expected();
        let path = if self.is_runner {
            let hex = Digest::of_bytes(expected.as_bytes()).hex();
            let store = self.folder.join(".runner/store/artifacts");
            store.join(&hex[..2]).join(hex)
        } else {
            self.folder.join("o/agg")
        };
        if fs::read_to_string(&path)? == expected {
            return Ok(());
        }
        Err(format!("`{}` has other bytes than expected", path.display()).into())
    }
}

const RUNNER: &str = env!("CARGO_BIN_EXE_runner");

/// Costs of one phase, of the runner and of ninja, and how many stages the runner executed.
struct Phase {
    name: &'static str,
    costs: [Vec<Cost>; 2],
    ran: Option<u64>,
}

fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((first, command)) = arguments.split_first()
        && first == MEASURE
    {
        return measure(command);
    }
    // cargo adds `--bench`.
    let mut sizes: Vec<usize> = arguments
        .iter()
        .filter_map(|argument| argument.parse().ok())
        .collect();
    if sizes.is_empty() {
        sizes.push(1000);
    }
    for size in sizes {
        let phases = compare(size)?;
        say(&table(size, &phases))?;
    }
    Ok(())
}

/// Runs a command and tells on standard output what it took.
fn measure(command: &[String]) -> Fallible<()> {
    let (program, rest) = command.split_first().ok_or("no command")?;
    let started = clock::now();
    let status = Command::new(program)
        .args(rest)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    let wall_s = started.elapsed().as_secs_f64();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1_000_000.0;
    let cost = Cost {
        wall_s,
        cpu_s: seconds(usage.user_time()) + seconds(usage.system_time()),
        peak_mib: usage.max_rss() as f64 / 1024.0,
        code: status.code().unwrap_or(-1),
    };
    say(&serde_json::to_string(&cost)?)
}

fn compare(size: usize) -> Fallible<Vec<Phase>> {
    let has_ninja = Command::new("ninja")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    let home = tempfile::tempdir()?;
    let programs = |round: usize| -> Fallible<Vec<Program>> {
        let mut list = Vec::new();
        for (is_runner, name) in [(true, "runner"), (false, "ninja")] {
            if is_runner || has_ninja {
                let folder = home.path().join(format!("{name}-{round}"));
                fs::create_dir_all(&folder)?;
                list.push(Program { is_runner, folder });
            }
        }
        Ok(list)
    };
    let mut sweep = Sweep::new(size);
    let mut plan = phase("plan");
    let mut cold = phase("cold");
    let mut last = Vec::new();
    for round in 0..COLD_REPEATS {
        last = programs(round)?;
        for program in &last {
            program.write(&sweep)?;
        }
        for _ in 0..REPEATS.div_ceil(COLD_REPEATS) {
            time(&last, &mut plan, true, &sweep)?;
        }
        time(&last, &mut cold, false, &sweep)?;
    }
    let mut noop = phase("no-op");
    for _ in 0..REPEATS {
        time(&last, &mut noop, false, &sweep)?;
    }
    let mut change = phase("change");
    let mut cutoff = phase("cutoff");
    for round in 0..COLD_REPEATS {
        sweep.params[size / 4 + round] += 1_000_000;
        for program in &last {
            program.write(&sweep)?;
        }
        time(&last, &mut change, false, &sweep)?;
        sweep.renamed = Some(size / 8 + round);
        for program in &last {
            program.write(&sweep)?;
        }
        time(&last, &mut cutoff, false, &sweep)?;
    }
    Ok(vec![plan, cold, noop, change, cutoff])
}

fn phase(name: &'static str) -> Phase {
    Phase {
        name,
        costs: [Vec::new(), Vec::new()],
        ran: None,
    }
}

/// Measures each program once, and checks what it made.
fn time(programs: &[Program], phase: &mut Phase, plan: bool, sweep: &Sweep) -> Fallible<()> {
    for program in programs {
        let before = program.journals()?.len();
        let cost = program.measure(plan)?;
        phase.costs[usize::from(!program.is_runner)].push(cost);
        if !plan {
            program.check(sweep)?;
            if program.is_runner {
                phase.ran = program.ran(before)?;
            }
        }
    }
    Ok(())
}

/// The least of several: what the work takes when nothing else disturbs it.
fn least(costs: &[Cost], of: impl Fn(&Cost) -> f64) -> Option<f64> {
    costs.iter().map(of).reduce(f64::min)
}

fn table(size: usize, phases: &[Phase]) -> String {
    let stages = size + 3;
    let mut text = format!(
        "\nN = {size}, {stages} stages, {JOBS} jobs; least of several, runner / ninja\n\n\
         | phase | wall ms | ratio | CPU ms | ratio | CPU µs a stage | peak MiB | stages run |\n\
         |---|---|---|---|---|---|---|---|\n"
    );
    for phase in phases {
        let [ours, theirs] = &phase.costs;
        let pair = |of: &dyn Fn(&Cost) -> f64| (least(ours, of), least(theirs, of));
        let wall = pair(&|cost| cost.wall_s * 1e3);
        let cpu = pair(&|cost| cost.cpu_s * 1e3);
        let each = pair(&|cost| cost.cpu_s * 1e6 / stages as f64);
        let peak = pair(&|cost| cost.peak_mib);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            phase.name,
            both(wall),
            ratio(wall),
            both(cpu),
            ratio(cpu),
            both(each),
            both(peak),
            phase
                .ran
                .map_or_else(String::new, |count| count.to_string()),
        );
    }
    text
}

fn both((ours, theirs): (Option<f64>, Option<f64>)) -> String {
    let number = |value: f64| {
        if value < 10.0 {
            format!("{value:.1}")
        } else {
            format!("{value:.0}")
        }
    };
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => format!("{} / {}", number(ours), number(theirs)),
        (Some(ours), None) => number(ours),
        (None, _) => String::new(),
    }
}

fn ratio(pair: (Option<f64>, Option<f64>)) -> String {
    match pair {
        (Some(ours), Some(theirs)) => format!("{:.2}", ours / theirs),
        _ => String::new(),
    }
}

#[expect(
    clippy::print_stdout,
    clippy::unnecessary_wraps,
    reason = "a benchmark's output is its purpose"
)]
fn say(text: &str) -> Fallible<()> {
    println!("{text}");
    Ok(())
}
