//! `kind: command`: a program of the user's as a stage, in the same graph, cache and lanes.

use std::collections::BTreeMap;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command as Process, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::program_log::ProgramLog;
use super::{Arity, InputDeclaration, OutputDeclaration, StageContext, StageError, StageKind};
use crate::base::machine::visible_card;
use crate::base::{Device, Lane};

/// Parameters of [`Command`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The program and its arguments. `${inputs.NAME}` and `${outputs.NAME}` become paths; a
    /// gathered input becomes its paths joined by spaces, or, alone in an argument, one argument
    /// each. For shell syntax write `[sh, -c, "…"]`. Numbers become texts.
    #[serde(deserialize_with = "texts")]
    #[schemars(with = "Vec<Text>")]
    pub command: Vec<String>,
    /// The files or folders it writes, by output name.
    pub outputs: BTreeMap<String, String>,
    /// Where it runs: `accelerator` for a program that uses the GPU.
    #[serde(default = "default_lane")]
    pub lane: Lane,
    /// Threads it uses on the CPU lane.
    #[serde(default = "default_threads")]
    pub threads: usize,
    /// Environment variables to set. Only these, and `PATH`, `HOME`, `LANG`, `TMPDIR`,
    /// `VIRTUAL_ENV`, `LD_LIBRARY_PATH` and `CUDA_VISIBLE_DEVICES` of the caller, are passed on;
    /// beside these `RUNNER_THREADS` and `RUNNER_DEVICE` say what it may use. On `cuda:1` it sees
    /// that card alone.
    #[serde(default, deserialize_with = "texts_by_name")]
    #[schemars(with = "BTreeMap<String, Text>")]
    pub environment: BTreeMap<String, String>,
    /// Names of further variables of the caller to pass on, such as `WANDB_API_KEY`. Their values
    /// are in no key, file or message; where the program prints one, its log shows `***`.
    #[serde(default)]
    pub pass_environment: Vec<String>,
    /// Raise it when the program changed in a way its inputs do not show.
    #[serde(default)]
    pub version: u32,
}

/// A text, or a number or truth value that is written as one: `--seed ${seed}` and `SEED: 0` are
/// what people write.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum Text {
    Plain(String),
    Bool(bool),
    Number(serde_json::Number),
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        match text {
            Text::Plain(text) => text,
            Text::Bool(value) => value.to_string(),
            Text::Number(number) => number.to_string(),
        }
    }
}

fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let texts = Vec::<Text>::deserialize(deserializer)?;
    Ok(texts.into_iter().map(String::from).collect())
}

fn texts_by_name<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let texts = BTreeMap::<String, Text>::deserialize(deserializer)?;
    Ok(texts
        .into_iter()
        .map(|(name, text)| (name, text.into()))
        .collect())
}

fn default_lane() -> Lane {
    Lane::Cpu
}

fn default_threads() -> usize {
    1
}

/// Variables of the caller that a program may see; others could hold secrets, or change results
/// without a trace.
const PASSED_ON: [&str; 7] = [
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "VIRTUAL_ENV",
    "LD_LIBRARY_PATH",
    VISIBLE_CARDS,
];

/// Which cards a program sees.
const VISIBLE_CARDS: &str = "CUDA_VISIBLE_DEVICES";

/// Runs a program with declared inputs and outputs, in a scratch folder.
pub struct Command;

impl StageKind for Command {
    type Params = Params;

    const NAME: &'static str = "command";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Runs a program of yours with declared inputs and outputs.";
    const INPUTS: &'static [InputDeclaration] = &[InputDeclaration {
        name: "inputs",
        arity: Arity::AnyName,
        about: "anything the program reads, its own script included",
    }];
    const SKIP: &'static [&'static str] = &["lane", "threads"];
    const SKIP_IF_DEFAULT: &'static [&'static str] = &["pass_environment"];
    const OWN_PROCESS: bool = true;

    fn outputs(params: &Params) -> Vec<OutputDeclaration> {
        params
            .outputs
            .iter()
            .map(|(name, file)| OutputDeclaration::new(name, file))
            .collect()
    }

    fn lane(params: &Params) -> Lane {
        params.lane
    }

    fn threads(params: &Params) -> usize {
        params.threads
    }

    fn check(params: &Params) -> Result<(), (String, String)> {
        if params.command.first().is_none_or(String::is_empty) {
            return Err(("command".to_owned(), "names no program".to_owned()));
        }
        if params.outputs.is_empty() {
            return Err((
                "outputs".to_owned(),
                "a stage without outputs cannot be cached; name at least one file".to_owned(),
            ));
        }
        let mut names = params.environment.keys();
        if let Some(name) = names.find(|name| is_secret(name)) {
            return Err((
                format!("environment.{name}"),
                "sounds like a secret, and what stands here is written into keys and manifests; set \
                 it where you start the runner and name it under `pass_environment`"
                    .to_owned(),
            ));
        }
        for (name, file) in &params.outputs {
            check_file_name(file).map_err(|message| (format!("outputs.{name}"), message))?;
        }
        Ok(())
    }

    fn run(params: &Params, context: &StageContext) -> Result<(), StageError> {
        let arguments = arguments(params, context)?;
        let Some((program, rest)) = arguments.split_first() else {
            return Err(StageError::input("the command is empty"));
        };
        let secrets = params.pass_environment.iter();
        let secrets = secrets.filter_map(|name| std::env::var(name).ok());
        let (log, printed) = ProgramLog::open(context.log(), secrets)?;
        let both = printed
            .try_clone()
            .map_err(StageError::io("open a pipe for", context.log()))?;
        let mut process = Process::new(program);
        process
            .args(rest)
            .env_clear()
            .envs(
                PASSED_ON.iter().filter_map(|name| {
                    std::env::var_os(name).map(|value| ((*name).to_owned(), value))
                }),
            )
            .envs(
                params
                    .pass_environment
                    .iter()
                    .filter_map(|name| std::env::var_os(name).map(|value| (name.clone(), value))),
            )
            .envs(&params.environment)
            .env("RUNNER_THREADS", context.threads().to_string())
            .envs(device_variables(context.device()))
            .stdin(Stdio::null())
            .stdout(printed)
            .stderr(both)
            // Its own process group: Ctrl-C in the terminal reaches the runner, which decides,
            // and stopping reaches the program's children too.
            .process_group(0);
        goes_with_us(&mut process);
        let child = process.spawn().map_err(|error| {
            StageError::input(format!("cannot start `{program}`: {error}"))
                .with_help("is it installed and in PATH? Paths to scripts belong under `inputs:`")
        })?;
        // It holds the pipe's end for writing: while we do, the log does not end.
        drop(process);
        let ended = wait(child, context);
        let how = match ended? {
            status if status.success() => {
                log.end();
                return Ok(());
            }
            status => how_it_ended(status),
        };
        let message = log.without_secrets(&format!("`{program}` {how}"));
        Err(StageError::input(message + &log.end()))
    }
}

/// What tells a program of the accelerator lane which device is its own: it sees that card alone.
fn device_variables(device: Device) -> Vec<(&'static str, String)> {
    let mut variables = vec![("RUNNER_DEVICE", device.to_string())];
    if let Device::Cuda(ordinal) = device {
        // The caller may see some of the machine's cards only, in an order of its own.
        let visible = std::env::var(VISIBLE_CARDS).unwrap_or_default();
        variables.push((VISIBLE_CARDS, visible_card(&visible, ordinal)));
    }
    variables
}

/// Lets the system end a program whose runner was killed; its own children end when they print.
fn goes_with_us(process: &mut Process) {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};

    let runner = rustix::process::getpid();
    let ask = move || {
        set_parent_process_death_signal(Some(Signal::TERM))?;
        // It was killed before it could be asked.
        if getppid() != Some(runner) {
            return Err(std::io::Error::from(rustix::io::Errno::SRCH));
        }
        Ok(())
    };
    #[expect(
        unsafe_code,
        reason = "between fork and exec only system calls are made: nothing is allocated or locked"
    )]
    // SAFETY: prctl and getppid may be called in the child of a process with many threads.
    unsafe {
        process.pre_exec(ask);
    }
}

fn how_it_ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(9)) => "was killed (signal 9), perhaps because memory ran out".to_owned(),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended in an unknown way".to_owned(),
    }
}

/// Whether a variable of this name usually holds a secret.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let ends = [
        "KEY",
        "TOKEN",
        "SECRET",
        "PASSWORD",
        "PASSWD",
        "CREDENTIALS",
    ];
    ends.iter().any(|end| {
        name == *end
            || name
                .strip_suffix(end)
                .is_some_and(|before| before.ends_with('_'))
    })
}

/// Waits for a program, and stops it where nobody wants it any more.
fn wait(mut child: Child, context: &StageContext) -> Result<ExitStatus, StageError> {
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(status) = child
            .try_wait()
            .map_err(|error| StageError::input(format!("cannot wait for the program: {error}")))?
        {
            return Ok(status);
        }
        if context.is_cancelled() {
            stop(&mut child);
            return Err(StageError::Cancelled);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Ends a program with its whole process group.
fn stop(child: &mut Child) {
    let group = format!("-{}", child.id());
    let ended = Process::new("kill")
        .args(["-TERM", "--", &group])
        .status()
        .is_ok_and(|status| status.success());
    if ended {
        for _ in 0..20 {
            if matches!(child.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
    let _ = Process::new("kill").args(["-KILL", "--", &group]).status();
    let _ = child.kill();
    let _ = child.wait();
}

fn arguments(params: &Params, context: &StageContext) -> Result<Vec<String>, StageError> {
    let mut arguments = Vec::new();
    for argument in &params.command {
        let alone = argument
            .strip_prefix("${inputs.")
            .and_then(|rest| rest.strip_suffix('}'))
            .filter(|name| !name.contains('}'));
        if let Some(name) = alone {
            let paths = input_paths(context, name)?;
            arguments.extend(paths);
        } else {
            arguments.push(substitute(argument, context)?);
        }
    }
    Ok(arguments)
}

fn substitute(argument: &str, context: &StageContext) -> Result<String, StageError> {
    let mut text = String::new();
    let mut rest = argument;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        text.push_str(before);
        let Some(end) = from.find('}') else {
            return Err(StageError::input(format!(
                "a reference in `{argument}` is not closed"
            )));
        };
        let name = &from[2..end];
        if let Some(input) = name.strip_prefix("inputs.") {
            text.push_str(&input_paths(context, input)?.join(" "));
        } else if let Some(output) = name.strip_prefix("outputs.") {
            let path = context
                .all_outputs()
                .get(output)
                .ok_or_else(|| unknown("output", output, context.all_outputs().keys()))?;
            text.push_str(&path.display().to_string());
        } else {
            text.push_str(&from[..=end]);
        }
        rest = &from[end + 1..];
    }
    text.push_str(rest);
    Ok(text)
}

fn input_paths(context: &StageContext, name: &str) -> Result<Vec<String>, StageError> {
    let artifacts = context
        .all_inputs()
        .get(name)
        .ok_or_else(|| unknown("input", name, context.all_inputs().keys()))?;
    artifacts
        .iter()
        .map(|artifact| {
            std::path::absolute(&artifact.path)
                .map(|path| path.display().to_string())
                .map_err(StageError::io("find", &artifact.path))
        })
        .collect()
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a String>) -> StageError {
    let known: Vec<&str> = known.map(String::as_str).collect();
    StageError::input(format!(
        "the command refers to {what} `{name}`, which is not declared"
    ))
    .with_help(crate::base::nearest::suggestion(
        name,
        known.iter().copied(),
    ))
}

/// An output is a plain name inside the scratch folder.
pub(super) fn check_file_name(file: &str) -> Result<(), String> {
    let plain = !file.is_empty()
        && !file.contains('/')
        && !file.contains('\0')
        && file != "."
        && file != "..";
    if plain {
        return Ok(());
    }
    Err(format!(
        "`{file}` is not a plain file name (no folders, not empty)"
    ))
}
