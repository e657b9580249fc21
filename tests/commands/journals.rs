//! What `status`, `logs` and `replay` tell of runs: of one that runs, one that was killed, one that
//! ended, and from a journal that is damaged.

use std::fmt::Write as _;
use std::fs;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::assert_redacted;
use crate::program::Lab;
use crate::program::running::{Running, lab, wait_for};

/// A run in which all has happened that can happen before the gate opens.
fn before_the_gate(lab: &Lab) -> Running {
    let run = Running::start(lab, "run test.yaml --jobs 2 --quiet");
    wait_for("the gate", || {
        // Before the first event there is no run yet.
        let outcome = lab.run("status test --json");
        let value: Value = serde_json::from_str(&outcome.out).ok()?;
        let at_gate = value["running"][0]["stage"] == "slow@i=a"
            && value["stages"]["failed"] == 1
            && value["stages"]["skipped"] == 1;
        at_gate.then_some(())
    });
    run
}

#[test]
fn a_run_is_seen_from_another_terminal_while_it_lives_and_when_it_is_dead() {
    let lab = lab();
    let mut text = String::new();
    let mut say = |line: &str| {
        let outcome = lab.run(line);
        let shown = match line {
            // Columns are as wide as the times in them.
            "status" => {
                let lines = outcome.to_string();
                let lines = lines.lines().map(|line| {
                    let words: Vec<&str> = line.split_whitespace().collect();
                    words.join(" ") + "\n"
                });
                lines.collect()
            }
            // Two threads end in any order.
            "replay" if outcome.code == 0 => {
                let lines = outcome.out.lines();
                lines
                    .filter(|line| !line.starts_with('['))
                    .collect::<Vec<_>>()
                    .join("\n")
            }
            _ => outcome.to_string(),
        };
        let _ = writeln!(text, "$ runner {line}\n{shown}");
        outcome
    };
    say("status");
    say("logs train");
    say("replay");
    let mut run = before_the_gate(&lab);
    say("status test.yaml");
    say("status");
    say("replay");
    let alive = lab.run("status test.yaml --json").fine().json();
    assert_eq!(alive["run"]["state"], "running");
    assert_eq!(alive["run"]["running"][0]["stage"], "slow@i=a");
    assert_eq!(alive["failed"][0]["stage"], "train@i=b");

    run.signal(Signal::SIGKILL);
    run.end();
    // What it had started would wait for ever.
    lab.write("gate", "");
    say("status test.yaml");
    say("status");
    say("replay");
    let told = say("logs slow@i=a");
    assert!(told.out.contains("was running when the runner went away"));
    let dead = lab.run("status test --json").fine().json();
    assert_eq!(dead["state"], "killed");
    assert_eq!(dead["in_flight"][0]["stage"], "slow@i=a");
    assert_eq!(dead["stages"]["running"], 0);

    assert_eq!(lab.run("run test.yaml --quiet").code, 20);
    say("status test.yaml");
    say("status test");
    say("logs train@i=b");
    say("logs b test.yaml --runs 1");
    say("logs i=");
    say("logs tran@i=b");
    say("logs elsewhere");
    say("logs train@i=b elsewhere");
    assert_redacted!("journals", text);

    let runs = lab.run("status --json").fine().json();
    let states: Vec<&Value> = (runs.as_array().expect("runs").iter())
        .map(|run| &run["state"])
        .collect();
    assert_eq!(states, ["failed", "killed"], "the newest first");
    let told = lab.run("logs train@i=b --json").fine().json();
    assert_eq!(told["runs"].as_array().map(Vec::len), Some(2));
    let attempt = &told["runs"][0]["attempts"][0];
    assert_eq!(attempt["standing"], "failed");
    assert!(
        attempt["message"]
            .as_str()
            .is_some_and(|text| text.contains("exit")),
        "{told:#}"
    );
    assert_eq!(told["logs"][0]["text"], "the reason is here");
}

#[test]
fn a_run_is_told_again_as_it_was() {
    let lab = lab();
    lab.write("gate", "");
    let run = lab.run("run test.yaml --jobs 1");
    assert_eq!(run.code, 20, "{run}");
    let again = lab.run("replay").fine();
    let expected: Vec<&str> = (run.err.lines())
        .take_while(|line| !line.starts_with("failed: "))
        .collect();
    assert_eq!(again.out.lines().collect::<Vec<_>>(), expected);
    let in_time = lab.run("replay test.yaml --speed 100").fine();
    assert_eq!(in_time.out, again.out);
    let journals = lab.files(".runner/store/runs");
    let journal = format!(".runner/store/runs/{}", journals[0]);
    let written = fs::read_to_string(lab.path(&journal)).expect("a journal");
    let json = lab.run("replay test --json").fine();
    assert_eq!(json.out, written);
    // From wherever somebody copied it to.
    lab.write(&format!("elsewhere/{}", journals[0]), written);
    fs::remove_dir_all(lab.path(".runner")).expect("removed");
    let copied = lab.run(&format!("replay elsewhere/{}", journals[0])).fine();
    assert_eq!(copied.out, again.out);
    for wrong in ["0", "-1", "fast", "inf"] {
        assert_eq!(lab.run(&format!("replay --speed={wrong}")).code, 2);
    }
}

/// One flipped bit, and a last line that a power cut has torn.
#[test]
fn a_damaged_journal_loses_its_damaged_lines_and_says_so() {
    let lab = lab();
    lab.write("gate", "");
    lab.run("run test.yaml --quiet");
    let journals = lab.files(".runner/store/runs");
    let journal = format!(".runner/store/runs/{}", journals[0]);
    let mut bytes = fs::read(lab.path(&journal)).expect("a journal");
    let second = 1 + bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .expect("a line");
    // No text any more, and no JSON.
    bytes[second] ^= 0x80;
    bytes.truncate(bytes.len() - 9);
    lab.write(&journal, &bytes);
    let said = "2 lines of its journal are damaged, cut off or of another version of runner";
    for line in ["status test.yaml", "status test", "replay", "cache verify"] {
        let outcome = lab.run(line).fine();
        assert!(outcome.out.contains(said), "{line}\n{outcome}");
    }
    let status = lab.run("status test --json").fine().json();
    assert_eq!(
        (&status["state"], &status["unread_lines"]),
        (&json!("killed"), &json!(2))
    );
    let verified = lab.run("cache verify --json").fine().json();
    assert_eq!(verified["journals"][0]["unread_lines"], 2);
    // Nothing but an old story is lost.
    assert_eq!(lab.run("run test.yaml --quiet --only i=a").code, 0);
    lab.write(&journal, "");
    let empty = lab.run("status test").fine();
    assert!(empty.out.contains("was killed or lost power"), "{empty}");
}
