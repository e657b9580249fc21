//! `runner replay`: a past run's events once more.

use std::io;
use std::thread;
use std::time::Duration;

use clap::Args;

use super::arguments::Global;
use super::{CliError, Exit, output, runs};
use crate::base::clock;
use crate::reporter::{JsonLines, KnownRun, Lines, Outcome, Reporter};

/// Arguments of `runner replay`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  runner replay\n  runner replay experiments/quickstart.yaml --speed \
                  60\n\nNothing is run. `runner status` lists the runs there are."
)]
pub(super) struct Arguments {
    /// The name of a run, its journal, or an experiment (its file or its name) whose latest run is
    /// meant; the latest run of the store if nobody says.
    #[arg(value_name = "EXPERIMENT or RUN")]
    run: Option<String>,
    /// Play in time, so many times as fast as it was; 1 is as it was [default: all at once].
    #[arg(long, value_name = "N", value_parser = speed)]
    speed: Option<f64>,
    /// Print the events as JSON lines, as `runner run --json` did.
    #[arg(long)]
    json: bool,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed.is_finite() && speed > 0.0 => Ok(speed),
        _ => Err("it takes a number above 0, such as 1 or 60".to_owned()),
    }
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, CliError> {
    let journal = runs::newest(&global.folders(), arguments.run.as_deref())?;
    let path = journal.path.clone();
    let mut run = KnownRun::new(journal);
    let mut reporter: Box<dyn Reporter> = if arguments.json {
        Box::new(JsonLines::new(io::stdout()))
    } else {
        Box::new(Lines::new(io::stdout()))
    };
    let started = clock::now();
    let mut failure = None;
    run.read_on(&mut |state, event| {
        if failure.is_none() {
            if let Some(speed) = arguments.speed {
                let due = Duration::try_from_secs_f64(event.elapsed_s / speed).unwrap_or_default();
                thread::sleep(due.saturating_sub(started.elapsed()));
            }
            failure = reporter.on_event(&event).err();
        }
        state.fold(event);
    })
    .map_err(|error| runs::unreadable(&path, error))?;
    match failure {
        // A reader that went away (`| head`) has seen enough.
        Some(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Fine),
        Some(source) => {
            return Err(CliError::Io {
                action: "write to standard output".to_owned(),
                source,
            });
        }
        None => {}
    }
    let mut last = Vec::new();
    if run.outcome() == Outcome::Running {
        last.push(format!(
            "this run goes on; runner serve {} shows it while it does",
            run.journal.run()
        ));
    }
    if run.outcome() == Outcome::Killed {
        last.push(torn(&run));
    }
    if run.unread_lines() > 0 {
        last.push(runs::unread_lines(run.unread_lines()));
    }
    for line in last {
        if arguments.json {
            output::note(&line);
        } else {
            output::line(&line)?;
        }
    }
    Ok(Exit::Fine)
}

/// What it means that a journal has no end.
fn torn(run: &KnownRun) -> String {
    let last_ms = run.state.last_ms.unwrap_or(run.state.started_ms);
    let in_flight: Vec<&str> = (run.state.in_flight.iter())
        .map(|running| running.stage.as_str())
        .collect();
    let in_flight = match in_flight.as_slice() {
        [] => "nothing was running".to_owned(),
        stages => format!("in flight: {}", stages.join(", ")),
    };
    format!(
        "here the journal ends: the runner was killed or lost power after {}; {in_flight}\n  \
         help: `runner run` with the file of `{}` goes on where it stopped; what was made is kept",
        clock::moment(last_ms),
        run.state.experiment
    )
}
