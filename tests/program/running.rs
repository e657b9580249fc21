//! A run that waits for a gate, looked at while it runs.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Lab;

/// One `data`, two `train` of which `b` fails with a log, and two `slow`, which wait for a gate.
pub fn lab() -> Lab {
    let lab = Lab::empty();
    lab.write(
        "test.yaml",
        "experiment: test\npipeline: pipeline.yaml\ngrid: {i: [a, b]}\n",
    );
    let gate = lab.path("gate").display().to_string();
    let stage = |name: &str, script: &str, more: &str| {
        format!(
            "  {name}:\n    kind: command\n    params:\n      command: [sh, -c, \"{script}\", sh, \
             \"${{outputs.out}}\"{more}\n"
        )
    };
    let pipeline = [
        "pipeline: test\nstages:\n".to_owned(),
        stage("data", "echo seed > $1", "]\n      outputs: {out: out.txt}"),
        stage(
            "train",
            "if [ $I = b ]; then echo the reason is here >&2; exit 3; fi; cat $2 > $1",
            ", \"${inputs.d}\"]\n      outputs: {out: out.txt}\n      environment: {I: \"${i}\"}\n    \
             inputs: {d: data}",
        ),
        stage(
            "slow",
            &format!("while [ ! -e {gate} ]; do sleep 0.05; done; cat $2 > $1"),
            ", \"${inputs.t}\"]\n      outputs: {out: out.txt}\n    inputs: {t: train}",
        ),
    ];
    lab.write("pipeline.yaml", pipeline.concat());
    lab
}

/// The program while it runs, with what it has said to standard error so far.
pub struct Running {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Running {
    pub fn start(lab: &Lab, line: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_runner"))
            .args(line.split(' '))
            .current_dir(lab.path("."))
            .env_remove("RUNNER_STORE")
            .env_remove("RUNNER_RESULTS")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let said = Arc::new(Mutex::new(String::new()));
        let own = Arc::clone(&said);
        let stderr = child.stderr.take().expect("piped");
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut said = own.lock().expect("not poisoned");
                said.push_str(&line);
                said.push('\n');
            }
        });
        Self { child, said }
    }

    pub fn said(&self) -> String {
        self.said.lock().expect("not poisoned").clone()
    }

    /// `127.0.0.1:7878`, as the program says.
    pub fn address(&self) -> String {
        wait_for("an address", || {
            let said = self.said();
            let (_, rest) = said.split_once("http://")?;
            Some(rest.split_once('/')?.0.to_owned())
        })
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process number");
        kill(Pid::from_raw(pid), signal).expect("sent");
    }

    pub fn end(&mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(found) = look() {
            return found;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} never came");
}
