//! The live page of the built program: a run that runs, one that ended, one that was killed.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

#[path = "program/mod.rs"]
mod program;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

use nix::sys::signal::Signal;
use program::running::{Running, lab, wait_for};
use program::{Lab, repository};
use serde_json::{Value, json};

fn send(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.write_all(request.as_bytes()).expect("asked");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("answered");
    String::from_utf8(answer).expect("a text")
}

fn get(address: &str, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    send(address, &request)
}

fn state(address: &str) -> Value {
    let answer = get(address, "/state.json");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    serde_json::from_str(body).expect("JSON")
}

/// The state once all that can happen before the gate opens has happened.
#[track_caller]
fn before_the_gate(address: &str) -> Value {
    wait_for("the gate", || {
        let state = state(address);
        let slow = state["running"][0]["stage"] == "slow@i=a";
        let counts = &state["counts"];
        (slow && counts["failed"] == 1 && counts["skipped"] == 1).then_some(state)
    })
}

#[test]
fn a_run_is_shown_while_it_runs_and_after_it() {
    let lab = lab();
    let mut run = Running::start(&lab, "run test.yaml --jobs 2 --serve=0");
    let address = run.address();
    let first = before_the_gate(&address);
    assert_eq!(first["experiment"], "test");
    assert_eq!(first["alive"], true);
    assert_eq!(first["ended"], Value::Null);
    assert_eq!(first["report"], false);
    assert_eq!(
        first["counts"],
        json!({"stages": 5, "fresh": 0, "made": 2, "running": 1, "failed": 1, "skipped": 1, "waiting": 0})
    );
    let templates = first["templates"].as_array().expect("templates");
    let shapes: Vec<Value> = templates
        .iter()
        .map(|template| {
            json!([
                template["name"],
                template["kind"],
                template["lane"],
                template["needs"]
            ])
        })
        .collect();
    assert_eq!(
        shapes,
        [
            json!(["data", "command", "cpu", []]),
            json!(["train", "command", "cpu", ["data"]]),
            json!(["slow", "command", "cpu", ["train"]]),
        ]
    );
    let of = |name: &str| -> u64 {
        let counts = templates.iter().map(|template| &template["counts"][name]);
        counts.map(|count| count.as_u64().expect("a number")).sum()
    };
    assert_eq!(of("all"), 5);
    assert_eq!((of("made"), of("running"), of("waiting")), (2, 1, 0));
    assert_eq!(first["failed"][0]["stage"], "train@i=b");
    let log = first["failed"][0]["log"].as_str().expect("a log");
    assert!(log.contains("the reason is here"), "{first:#}");

    assert!(get(&address, "/").contains("</html>"));
    assert!(get(&address, "/nowhere").starts_with("HTTP/1.1 404"));
    assert!(get(&address, "/report.html").starts_with("HTTP/1.1 404"));
    let foreign = "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    assert!(send(&address, foreign).starts_with("HTTP/1.1 403"));
    let post = format!("POST / HTTP/1.1\r\nHost: {address}\r\nContent-Length: 2\r\n\r\n{{}}");
    assert!(send(&address, &post).starts_with("HTTP/1.1 405"));

    // The same from another process.
    let mut beside = Running::start(&lab, "serve --port 0");
    let other = beside.address();
    assert_eq!(state(&other)["counts"], first["counts"]);
    assert_eq!(state(&other)["run"], first["run"]);

    lab.write("gate", "");
    assert_eq!(run.end(), Some(20), "{}", run.said());
    assert!(TcpStream::connect(&address).is_err(), "it serves on");
    let last = state(&other);
    assert_eq!(last["ended"]["failed"], 1);
    assert_eq!(last["ended"]["skipped"], 1);
    assert_eq!(last["counts"]["made"], 3);
    assert_eq!(last["running"], json!([]));
    beside.signal(Signal::SIGINT);
    assert_eq!(beside.end(), Some(0), "{}", beside.said());

    // What stands is counted as fresh from the start.
    let mut again = Running::start(&lab, "run test.yaml --quiet");
    assert_eq!(again.end(), Some(20));
    let beside = Running::start(&lab, "serve test.yaml --port 0");
    let again = state(&beside.address());
    assert_ne!(again["run"], first["run"]);
    assert_eq!(
        again["counts"],
        json!({"stages": 5, "fresh": 3, "made": 0, "running": 0, "failed": 1, "skipped": 1, "waiting": 0})
    );
    let run = first["run"].as_str().expect("a name");
    let old = Running::start(&lab, &format!("serve {run} --port 0"));
    assert_eq!(state(&old.address())["run"], run);
}

#[test]
fn a_killed_run_is_known_as_dead() {
    let lab = lab();
    let mut run = Running::start(&lab, "run test.yaml --jobs 2 --serve=0");
    before_the_gate(&run.address());
    let beside = Running::start(&lab, "serve test --port 0");
    let address = beside.address();
    assert_eq!(state(&address)["alive"], true);
    run.signal(Signal::SIGKILL);
    run.end();
    // What it had started would wait for ever.
    lab.write("gate", "");
    let dead = wait_for("the news", || {
        let state = state(&address);
        (state["alive"] == false).then_some(state)
    });
    assert_eq!(dead["ended"], Value::Null);
    assert_eq!(dead["running"], json!([]));
    assert_eq!(dead["counts"]["running"], 0);
    let last = &dead["recent"][0];
    assert_eq!(last["stage"], "slow@i=a");
    assert_eq!(last["what"], "was running when the runner went away");
}

#[test]
fn what_cannot_be_shown_is_said() {
    let lab = lab();
    let nothing = lab.run("serve");
    assert_eq!(nothing.code, 2, "{nothing}");
    assert!(nothing.err.contains("there is no run in"), "{nothing}");
    lab.write("gate", "");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let run = lab.run(&format!("run test.yaml --serve={port}"));
    assert_eq!(run.code, 20, "{run}");
    let warning = format!("warning: cannot show a page on port {port}: another program has it");
    assert_eq!(run.err.matches(&warning).count(), 1, "{run}");
    assert!(run.err.contains("the run goes on"), "{run}");
    let serve = lab.run(&format!("serve --port {port}"));
    assert_eq!(serve.code, 2, "{serve}");
    assert!(serve.err.contains("another program has it"), "{serve}");
    let wrong = lab.run("serve tset");
    assert_eq!(wrong.code, 2, "{wrong}");
    assert!(wrong.err.contains("did you mean `test`?"), "{wrong}");
    let foreign = lab.run("serve elsewhere");
    assert!(foreign.err.contains("there are runs of test"), "{foreign}");
    let file = lab.run("serve nowhere.yaml");
    assert_eq!(file.code, 2, "{file}");
    assert!(file.err.contains("cannot read the experiment"), "{file}");
    let both = lab.run("run test.yaml --serve --dry-run");
    assert_eq!(both.code, 2, "{both}");
    let word = lab.run("run test.yaml --serve=much");
    assert_eq!(word.code, 2, "{word}");
    let fine = lab.run("run test.yaml --only i=a --quiet --serve=0");
    assert_eq!(fine.code, 0, "{fine}");
    assert!(fine.err.contains("nothing is to run"), "{fine}");
}

/// Hands on what the server says, with the check's script in the page.
fn with_check(address: String) -> String {
    let check = repository().join("tests/browser/live_check.js");
    let check = std::fs::read_to_string(check).expect("the check");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let own = listener.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), address, check) = (stream, address.clone(), check.clone()) else {
                continue;
            };
            // A browser opens connections that it may never use.
            thread::spawn(move || {
                let mut line = String::new();
                let mut reader = BufReader::new(&stream);
                if reader.read_line(&mut line).is_err() || line.is_empty() {
                    return;
                }
                let mut field = String::new();
                while reader.read_line(&mut field).is_ok_and(|count| count > 2) {
                    field.clear();
                }
                let answer = get(&address, line.split(' ').nth(1).unwrap_or("/"));
                let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
                let body = body.replace("</body>", &format!("<script>{check}</script></body>"));
                let head: Vec<&str> = head
                    .lines()
                    .filter(|line| !line.starts_with("Content-Length"))
                    .collect();
                let head = head.join("\r\n");
                let _ = stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes());
            });
        }
    });
    own
}

/// Runs the check in a browser; `None` if there is none.
fn in_a_browser(lab: &Lab, url: &str) -> Option<String> {
    let home = lab.path("browser");
    let output = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
        ])
        .args([
            "--disable-sync",
            "--virtual-time-budget=20000",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", home.display()))
        .arg(url)
        .env("XDG_CONFIG_HOME", &home)
        .env("XDG_CACHE_HOME", &home)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let page = String::from_utf8_lossy(&output.stdout).into_owned();
    let Some((_, rest)) = page.split_once("<pre id=\"check-result\">") else {
        panic!("the check did not end: {page}");
    };
    Some(rest.split("</pre>").next().unwrap_or_default().to_owned())
}

#[test]
fn the_page_shows_in_a_browser_what_the_server_says() {
    let lab = lab();
    let mut run = Running::start(&lab, "run test.yaml --jobs 2 --serve=0");
    let address = run.address();
    before_the_gate(&address);
    let Some(result) = in_a_browser(&lab, &format!("http://{}/", with_check(address))) else {
        println!("there is no chromium; the page was not looked at");
        lab.write("gate", "");
        return;
    };
    lab.write("gate", "");
    assert!(
        !result.contains("FAILED") && result.contains("done "),
        "{result}"
    );
    run.end();
    let ended = Running::start(&lab, "serve --port 0");
    let url = format!("http://{}/", with_check(ended.address()));
    let result = in_a_browser(&lab, &url).expect("it was there before");
    assert!(
        !result.contains("FAILED") && result.contains("done "),
        "{result}"
    );
}
