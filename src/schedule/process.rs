//! The worker process, seen from the runner: started when the first stage needs it, kept for the
//! next ones, and replaced when it breaks down.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::wire::{Answer, Order, Request};
use crate::base::{Device, EventKind, clock};
use crate::stage::{Failure, StageError};

/// How to start a worker: a program that calls [`super::serve`].
#[derive(Debug, Clone)]
pub struct WorkerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// How often to look whether the stage is to stop.
const LOOK: Duration = Duration::from_millis(50);

/// How long a stage may take to stop when it is asked to; then its process is killed.
const GRACE: Duration = Duration::from_secs(5);

/// How long a worker may take to end when there is nothing more to do.
const FAREWELL: Duration = Duration::from_secs(2);

/// Lines of what a broken worker printed last that are shown.
const LAST_LINES: usize = 6;

/// The process of one device, if it runs.
#[derive(Debug)]
pub(super) struct DeviceProcess {
    command: WorkerCommand,
    /// Where what it prints goes.
    printed: PathBuf,
    process: Mutex<Option<Process>>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    /// None once the process is to end.
    orders: Option<ChildStdin>,
    answers: Receiver<Answer>,
}

impl DeviceProcess {
    pub(super) fn new(command: WorkerCommand, logs: &Path, device: Device) -> Self {
        let own = std::process::id();
        let device = device.to_string().replace(':', "-");
        Self {
            command,
            printed: logs.join(format!("worker-{own}-{device}.txt")),
            process: Mutex::default(),
        }
    }

    /// Does the work of a stage in the process, which is started if need be; gives the bytes that it
    /// took at its highest moment.
    pub(super) fn run(
        &self,
        request: Request,
        hear: &dyn Fn(EventKind),
        stop: &AtomicBool,
    ) -> Result<Option<u64>, StageError> {
        let log = request.log.clone();
        let mut held = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let already_printed = fs::metadata(&self.printed).map_or(0, |file| file.len());
        let killed_before = killed_for_memory();
        // One that died between two stages is nobody's failure.
        if let Some(process) = &mut *held
            && !matches!(process.child.try_wait(), Ok(None))
        {
            *held = None;
        }
        let process = match held.take() {
            Some(process) => held.insert(process),
            None => held.insert(self.start().map_err(|error| StageError::Reported {
                failure: Failure::Certain,
                message: format!(
                    "cannot start the worker process `{}`: {error}",
                    self.command.program.display()
                ),
            })?),
        };
        let ended = process.work(request, hear, stop);
        let result = match ended {
            Ended::Answered(Answer::Done { peak_memory }) => return Ok(peak_memory),
            // What it holds and how its memory is cut up go with the process.
            Ended::Answered(Answer::Failed {
                failure: failure @ Failure::OutOfMemory,
                message,
            }) => Err(StageError::Reported { failure, message }),
            Ended::Answered(Answer::Failed { failure, message }) => {
                return Err(StageError::Reported { failure, message });
            }
            Ended::Answered(_) => return Err(StageError::Cancelled),
            Ended::Gone => {
                let status = process.child.wait();
                let printed = self.keep_printed(already_printed, &log);
                let for_memory = killed_for_memory() > killed_before;
                Err(broken_down(status.ok(), for_memory, &printed))
            }
            Ended::Killed => Err(StageError::Cancelled),
        };
        *held = None;
        result
    }

    fn start(&self) -> io::Result<Process> {
        if let Some(folder) = self.printed.parent() {
            fs::create_dir_all(folder)?;
        }
        let printed = File::options()
            .create(true)
            .append(true)
            .open(&self.printed)?;
        let mut child = Command::new(&self.command.program)
            .args(&self.command.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(printed)
            // Its own process group: Ctrl-C in the terminal reaches the runner, which decides.
            .process_group(0)
            .spawn()?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("it has no input and output"));
        };
        let (sender, received) = channel();
        thread::Builder::new()
            .name("answers".to_owned())
            .spawn(move || {
                for line in BufReader::new(answers).lines() {
                    // Its last line may be torn; then it is gone, and the channel says so.
                    let Ok(answer) = line.and_then(|line| Ok(serde_json::from_str(&line)?)) else {
                        return;
                    };
                    if sender.send(answer).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Process {
            child,
            orders: Some(orders),
            answers: received,
        })
    }

    /// Puts what the process printed during this stage into the stage's log.
    fn keep_printed(&self, since: u64, log: &Path) -> String {
        let mut text = Vec::new();
        let read = File::open(&self.printed).and_then(|mut file| {
            file.seek(SeekFrom::Start(since))?;
            file.take(1 << 20).read_to_end(&mut text)
        });
        if read.is_ok() && !text.is_empty() {
            // Losing an explanation must not hide the failure.
            let _ = File::options()
                .create(true)
                .append(true)
                .open(log)
                .and_then(|mut file| file.write_all(&text));
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Drop for DeviceProcess {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.printed);
    }
}

enum Ended {
    Answered(Answer),
    /// The process ended without an answer.
    Gone,
    /// It did not stop when it was asked to.
    Killed,
}

impl Process {
    fn work(&mut self, request: Request, hear: &dyn Fn(EventKind), stop: &AtomicBool) -> Ended {
        if self.order(&Order::Run(Box::new(request))).is_err() {
            return Ended::Gone;
        }
        let mut asked_to_stop = None;
        loop {
            match self.answers.recv_timeout(LOOK) {
                Ok(Answer::Event(event)) => hear(event),
                Ok(answer) => return Ended::Answered(answer),
                Err(RecvTimeoutError::Disconnected) => return Ended::Gone,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if !stop.load(Ordering::SeqCst) {
                continue;
            }
            match asked_to_stop {
                None => {
                    asked_to_stop = Some(clock::now());
                    if self.order(&Order::Stop).is_err() {
                        return Ended::Gone;
                    }
                }
                Some(at) if at.elapsed() > GRACE => {
                    let _ = self.child.kill();
                    let _ = self.child.wait();
                    return Ended::Killed;
                }
                Some(_) => {}
            }
        }
    }

    fn order(&mut self, order: &Order) -> io::Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        let orders = self.orders.as_mut();
        let orders = orders.ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
        orders.write_all(&line)?;
        orders.flush()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It ends by itself once its input ends; but not if it hangs.
        self.orders = None;
        let since = clock::now();
        while since.elapsed() < FAREWELL {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What became of a process that ended without an answer, in plain words.
fn broken_down(status: Option<ExitStatus>, for_memory: bool, printed: &str) -> StageError {
    let signal = status.and_then(|status| status.signal());
    let lines: Vec<&str> = printed.trim_end().lines().collect();
    let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n    ");
    let last = if last.is_empty() {
        String::new()
    } else {
        format!("; it printed:\n    {last}")
    };
    // The words of Rust's own allocator before it aborts.
    let refused = printed.contains("memory allocation of");
    if refused || (signal == Some(9) && for_memory) {
        let who = if refused {
            "the system refused it memory"
        } else {
            "the system killed its process because memory ran out"
        };
        return StageError::OutOfMemory {
            message: format!("out of memory: {who}{last}"),
        };
    }
    let how = match (signal, status.and_then(|status| status.code())) {
        (Some(9), _) => {
            "was killed (signal 9): by somebody, a job scheduler, or because memory ran \
                         out"
            .to_owned()
        }
        (Some(6), _) => "aborted (signal 6)".to_owned(),
        (Some(11), _) => "broke down (signal 11, a bad memory access)".to_owned(),
        (Some(7), _) => {
            "broke down (signal 7, a bus error: a file or disk that is gone?)".to_owned()
        }
        (Some(signal), _) => format!("was ended by signal {signal}"),
        (None, Some(code)) => format!("ended with exit code {code}"),
        (None, None) => "is gone".to_owned(),
    };
    StageError::Reported {
        failure: Failure::Killed,
        message: format!("the process that did the work {how}{last}"),
    }
}

/// How many processes the system has killed for want of memory so far, here or on the machine.
fn killed_for_memory() -> u64 {
    ["/sys/fs/cgroup/memory.events", "/proc/vmstat"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|text| {
            let counts = text
                .lines()
                .filter_map(|line| line.strip_prefix("oom_kill "));
            let counts: Vec<u64> = counts.filter_map(|n| n.trim().parse().ok()).collect();
            counts
        })
        .sum()
}
