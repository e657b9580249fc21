//! The worker process, seen from inside: does the work of one stage after the other, in a process
//! that may break down without taking the runner with it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::crew::Crew;
use super::wire::{Answer, Order, Request};
use super::work::{full_message, panic_message};
use crate::base::Emitter;
use crate::stage::{ErasedStage, Failure, Keep, StageContext, StageError, measured};

type Output = Arc<Mutex<File>>;

/// Does the stages that come in over standard input and answers over standard output, until the
/// input ends. Whatever else prints to standard output in this process prints to standard error
/// from now on.
///
/// # Errors
/// If the runner can no longer be told anything.
pub fn serve(kinds: &'static [&'static dyn ErasedStage]) -> io::Result<()> {
    let answers = rustix::io::dup(rustix::stdio::stdout())?;
    // What a library prints must not stand between the answers.
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    let output: Output = Arc::new(Mutex::new(File::from(answers)));
    let input = BufReader::new(io::stdin());
    let stop = Arc::new(AtomicBool::new(false));
    let (requests, received) = channel();
    let heard = Arc::clone(&stop);
    thread::Builder::new()
        .name("orders".to_owned())
        .spawn(move || listen(input, &requests, &heard))?;
    let keep = Arc::new(Keep::default());
    let mut crew = Crew::default();
    while let Ok(request) = received.recv() {
        let threads = request.threads.max(1);
        let hand = crew.take(threads)?;
        let (done, is_done) = channel();
        let (kept, stop, voice) = (Arc::clone(&keep), Arc::clone(&stop), Arc::clone(&output));
        let started = hand.start(Box::new(move || {
            let answer = answer(*request, kinds, kept, stop, &voice);
            let _ = done.send(answer);
        }));
        let answer = is_done.recv().ok().filter(|_| started);
        let answer = answer.unwrap_or_else(|| Answer::Failed {
            failure: Failure::Killed,
            message: "the thread that worked is gone".to_owned(),
        });
        tell(&output, &answer)?;
        crew.give_back(hand);
    }
    Ok(())
}

/// Reads orders; ends the process when nobody gives any more, for then the runner is gone.
fn listen(input: impl BufRead, requests: &Sender<Box<Request>>, stop: &AtomicBool) {
    for line in input.lines() {
        let Ok(order) = line.and_then(|line| Ok(serde_json::from_str(&line)?)) else {
            break;
        };
        match order {
            Order::Run(request) => {
                // A wish to stop is about the stage before.
                stop.store(false, Ordering::SeqCst);
                if requests.send(request).is_err() {
                    break;
                }
            }
            Order::Stop => stop.store(true, Ordering::SeqCst),
        }
    }
    leave();
}

/// Ends the process at once, in the middle of whatever it does: the runner is gone, and with it
/// the locks on what this process would go on writing.
#[expect(
    clippy::exit,
    reason = "a thread that listens must end what another one does"
)]
fn leave() {
    std::process::exit(0);
}

fn answer(
    request: Request,
    kinds: &[&'static dyn ErasedStage],
    keep: Arc<Keep>,
    stop: Arc<AtomicBool>,
    output: &Output,
) -> Answer {
    let Some(kind) = kinds.iter().find(|kind| kind.name() == request.kind) else {
        return Answer::Failed {
            failure: Failure::Certain,
            message: format!("the worker knows no stage kind `{}`", request.kind),
        };
    };
    limit_memory(request.memory);
    let voice = Arc::clone(output);
    let emitter = Emitter::new(
        &request.id,
        Arc::new(move |event| {
            if tell(&voice, &Answer::Event(event)).is_err() {
                leave();
            }
        }),
    );
    let mut context = StageContext::new(request.inputs, request.outputs, request.scratch, emitter)
        .with_log(request.log)
        .with_threads(request.threads)
        .with_device(request.device)
        .with_cancellation(stop)
        .with_keep(keep);
    if let Some(partial) = request.partial {
        context = context.with_partial(partial);
    }
    let device = request.device;
    measured::forget_peak(device);
    let ended = catch_unwind(AssertUnwindSafe(|| kind.run(&request.params, &context)))
        .unwrap_or_else(|panic| Err(StageError::Panicked(panic_message(panic.as_ref()))));
    match ended {
        Ok(()) => Answer::Done {
            peak_memory: measured::peak_memory(device),
        },
        Err(StageError::Cancelled) => Answer::Cancelled,
        Err(error) => Answer::Failed {
            failure: error.failure(),
            message: full_message(&error),
        },
    }
}

/// Sets what this process may take from now on. An allocation beyond it ends the process, and with
/// it the stage, and nothing else of the machine.
fn limit_memory(bytes: Option<u64>) {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Data);
    let wanted = rustix::process::Rlimit {
        current: match (bytes, limit.maximum) {
            (Some(bytes), Some(most)) => Some(bytes.min(most)),
            (Some(bytes), None) => Some(bytes),
            (None, most) => most,
        },
        maximum: limit.maximum,
    };
    if wanted.current != limit.current {
        // Where there are no such limits, the stage runs without.
        let _ = rustix::process::setrlimit(rustix::process::Resource::Data, wanted);
    }
}

fn tell(output: &Output, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    output.write_all(&line)?;
    output.flush()
}
