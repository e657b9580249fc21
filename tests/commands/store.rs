//! What `cache verify` and `cache gc` find and do, and what works on a store that cannot be written.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::after_a_run;
use crate::program::running::{Running, lab, wait_for};
use crate::program::{EXPERIMENT, Lab};

const STORE: &str = ".runner/store";

/// Changes one bit and nothing of the size.
fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("bytes");
    bytes[at] ^= 1;
    write(path, &bytes);
}

/// Writes over what may be read-only, in place.
fn write(path: &Path, bytes: &[u8]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("writable");
    fs::write(path, bytes).expect("written");
}

/// Where outputs of stages lie, by `stage/output`.
fn artifacts(lab: &Lab) -> BTreeMap<String, PathBuf> {
    let list = lab.run("cache ls --json").fine().json();
    let mut found = BTreeMap::new();
    for manifest in list.as_array().expect("manifests") {
        for output in manifest["outputs"].as_array().expect("outputs") {
            let digest = output["digest"].as_str().expect("a digest");
            let path = format!("{STORE}/artifacts/{}/{digest}", &digest[..2]);
            let name = [&manifest["stage"], &output["name"]];
            let name = name.map(|text| text.as_str().expect("a text")).join("/");
            found.insert(name, lab.path(&path));
        }
    }
    found
}

fn manifest(lab: &Lab, stage: &str) -> PathBuf {
    let list = lab.run("cache ls --json").fine().json();
    let mut all = list.as_array().expect("manifests").iter();
    let of_it = all.find(|manifest| manifest["stage"] == stage);
    let key = of_it.expect("made")["key"].as_str().expect("a key");
    lab.path(&format!("{STORE}/manifests/{}/{key}.json", &key[..2]))
}

fn count(value: &Value) -> usize {
    value.as_array().map_or(0, Vec::len)
}

/// Puts an artifact into the store that no manifest names.
fn stray(lab: &Lab) -> String {
    let digest = runner::base::Digest::of_bytes(b"mine").hex();
    let path = format!("{STORE}/artifacts/{}/{digest}", &digest[..2]);
    lab.write(&path, "mine");
    path
}

/// A copy of the lab's folders, since a run takes longer than a copy.
fn copy_of(lab: &Lab) -> Lab {
    let copy = Lab::empty();
    let status = Command::new("cp")
        .args(["-a", "."])
        .arg(copy.path("."))
        .current_dir(lab.path("."))
        .status();
    assert!(status.expect("started").success());
    copy
}

#[test]
fn every_kind_of_damage_is_found_told_and_made_good() {
    type Damage = fn(&Lab);
    let sound = after_a_run();
    let cases: [(&str, Damage, &str, &str); 11] = [
        (
            "a bit of a file",
            |lab| flip(&artifacts(lab)["samples/test"], 100),
            "samples/test",
            "its bytes were changed",
        ),
        (
            "a file that was cut",
            |lab| {
                let path = &artifacts(lab)["samples/test"];
                let bytes = fs::read(path).expect("bytes");
                write(path, &bytes[..50]);
            },
            "samples/test",
            "it has 50 bytes instead of",
        ),
        (
            "a bit of a file in a folder",
            |lab| flip(&artifacts(lab)["world/movie"].join("u.data"), 0),
            "world/movie",
            "a file in it was changed",
        ),
        (
            "a file too many in a folder",
            |lab| fs::write(artifacts(lab)["world/movie"].join("more"), "").expect("written"),
            "world/movie",
            "a file in it was changed, renamed or added",
        ),
        (
            "a file missing in a folder",
            |lab| fs::remove_file(artifacts(lab)["world/movie"].join("u.item")).expect("removed"),
            "world/movie",
            "a file in it is missing",
        ),
        (
            "a link in a folder, to the same bytes",
            |lab| {
                let path = artifacts(lab)["world/movie"].join("u.item");
                fs::rename(&path, lab.path("u.item")).expect("moved");
                symlink(lab.path("u.item"), &path).expect("linked");
            },
            "world/movie",
            "`u.item` in it is a link",
        ),
        (
            "a file in place of a folder",
            |lab| {
                let path = &artifacts(lab)["world/movie"];
                fs::remove_dir_all(path).expect("removed");
                fs::write(path, "").expect("written");
            },
            "world/movie",
            "a file in place of a folder",
        ),
        (
            "a bit of a manifest",
            |lab| {
                let path = manifest(lab, "samples");
                let text = fs::read_to_string(&path).expect("a text");
                let at = text.find("\"wall_s\":").expect("seconds") + "\"wall_s\":".len();
                flip(&path, at);
            },
            "samples",
            "it was changed after it was written",
        ),
        (
            "a torn manifest",
            |lab| {
                let path = manifest(lab, "samples");
                let bytes = fs::read(&path).expect("bytes");
                write(&path, &bytes[..bytes.len() / 2]);
            },
            "samples",
            "it is torn",
        ),
        (
            "an empty manifest",
            |lab| write(&manifest(lab, "samples"), b""),
            "samples",
            "it is torn",
        ),
        (
            "another stage's manifest",
            |lab| {
                let bytes = fs::read(manifest(lab, "world")).expect("bytes");
                write(&manifest(lab, "samples"), &bytes);
            },
            "samples",
            "and lies under another",
        ),
    ];
    for (name, damage, stage, what) in cases {
        let lab = copy_of(&sound);
        damage(&lab);
        let verified = lab.run("cache verify --json");
        assert_eq!(verified.code, 30, "{name}: {verified}");
        let json = verified.json();
        assert_eq!(count(&json["damaged"]), 1, "{name}: {verified}");
        let found = &json["damaged"][0];
        assert_eq!(found["stages"][0], stage, "{name}: {verified}");
        let told = found["what"].as_str().expect("words");
        assert!(told.contains(what), "{name}: {told}");
        let moved = found["moved_to"].as_str().expect("quarantined");
        assert!(
            fs::symlink_metadata(lab.path(moved)).is_ok(),
            "{name}: {moved}"
        );
        // Once it is put aside, nothing is damaged any more, and a run makes what it needs.
        if name.starts_with("a bit of") {
            let change = ["--set", "fidelity=released_code"];
            lab.run("cache verify").fine();
            lab.run_list(&["run", EXPERIMENT, "--quiet"]).fine();
            lab.run_list(&["run", EXPERIMENT, "--quiet", change[0], change[1]])
                .fine();
            let whole = lab.run("cache verify --json").fine().json();
            assert_eq!(count(&whole["damaged"]), 0, "{name}");
            let is_manifest = !stage.contains('/');
            assert!(!is_manifest || manifest(&lab, stage).exists(), "{name}");
        }
    }
    // In words, with what it means and what to do.
    let lab = copy_of(&sound);
    flip(&artifacts(&lab)["samples/test"], 100);
    let told = lab.run("cache verify");
    for words in [
        ", 1 damaged",
        "of samples/test: its bytes were changed → .runner/store/quarantine/",
        "made again by `runner run`",
    ] {
        assert!(told.out.contains(words), "{words}\n{told}");
    }
}

#[test]
fn what_is_not_there_and_what_should_not_be_there_is_told_apart() {
    let lab = after_a_run();
    fs::remove_file(&artifacts(&lab)["samples/test"]).expect("removed");
    let missing = lab.run("cache verify --json").fine().json();
    assert_eq!(missing["missing"][0]["stages"], json!(["samples/test"]));
    // Once garbage was collected here, the store knows what it removed.
    lab.run("cache gc --intermediates --include-results --max-size 1K")
        .fine();
    let verified = lab.run("cache verify --json");
    assert_eq!(verified.code, 30, "{verified}");
    let json = verified.json();
    assert_eq!(count(&json["damaged"]), 1);
    assert_eq!(json["damaged"][0]["kind"], "lost");
    assert!(count(&json["removed"]) > 10, "{verified}");
    let text = lab.run("cache verify").out;
    assert!(
        text.contains("artifacts were removed by `runner cache gc`"),
        "{text}"
    );
    // A run makes all of it again, and then nothing is missing.
    lab.run_list(&["run", EXPERIMENT, "--quiet", "--set", "grid.k=3"])
        .fine();
    fs::remove_dir_all(lab.path(&format!("{STORE}/manifests"))).expect("removed");
    lab.run_list(&["run", EXPERIMENT, "--quiet"]).fine();
    let whole = lab.run("cache verify --json").fine().json();
    assert_eq!((count(&whole["removed"]), count(&whole["missing"])), (0, 0));

    lab.write(&format!("{STORE}/artifacts/ab/notes.txt"), "mine");
    lab.write(&format!("{STORE}/manifests/notes.txt"), "mine");
    let stray = format!("{STORE}/artifacts/00/{}", "0".repeat(64));
    lab.write(&stray, "no such digest");
    let verified = lab.run("cache verify --json");
    let json = verified.json();
    assert_eq!(count(&json["foreign"]), 2, "{verified}");
    assert_eq!(json["damaged"][0]["stages"], json!([]));
    assert!(!lab.path(&stray).exists(), "it is in quarantine");
    assert!(lab.path(&format!("{STORE}/manifests/notes.txt")).exists());
}

/// What only saves time: it is said, costs no result, and `run` goes on.
#[test]
fn damaged_memory_costs_nothing_but_time() {
    let lab = after_a_run();
    let latest = lab.path(&format!("{STORE}/latest/small.jsonl"));
    let text = fs::read_to_string(&latest).expect("lines");
    // The last line's digest of its last output, then a line that is none.
    let at = text.rfind("\"digest\":\"").expect("a digest") + "\"digest\":\"".len();
    let other = if text.as_bytes()[at] == b'0' {
        "1"
    } else {
        "0"
    };
    let changed = format!("{}{other}{}\u{fffd}\n", &text[..at], &text[at + 1..]);
    fs::write(&latest, changed).expect("written");
    lab.write(&format!("{STORE}/files.json"), "{\"torn");
    let verified = lab.run("cache verify").fine();
    for words in [
        "1 of its lines cannot be read, 1 of its lines name other outputs than the manifest",
        "it cannot be read; your files are hashed again",
    ] {
        assert!(verified.out.contains(words), "{words}\n{verified}");
    }
    lab.run_list(&["run", EXPERIMENT, "--quiet"]).fine();
    lab.run_list(&["status", EXPERIMENT]).fine();
    assert!(!lab.path(&format!("{STORE}/files.json")).exists());
}

#[test]
fn a_store_of_another_format_is_refused_with_the_version_that_reads_it() {
    let lab = after_a_run();
    let format = format!("{STORE}/format");
    for (bytes, words) in [
        (&b"2\n"[..], "a later version of runner made it"),
        (b"0\n", "an earlier version of runner made it"),
        (
            b"\xb1\n",
            "is damaged: it must hold the number of the format",
        ),
        (b"", "is damaged: it must hold the number of the format"),
    ] {
        lab.write(&format, bytes);
        for line in ["run", "plan", "status"] {
            let refused = lab.run_list(&[line, EXPERIMENT]);
            assert_eq!(refused.code, 30, "{refused}");
            assert!(refused.err.contains(words), "{words}\n{refused}");
            assert!(refused.err.contains("which reads format 1"), "{refused}");
        }
        assert_eq!(lab.run("cache verify").code, 30);
    }
    lab.write(&format, "1");
    lab.run("cache verify").fine();
}

#[test]
fn garbage_goes_by_reason_and_results_only_if_asked() {
    let lab = after_a_run();
    let removed = |line: &str| -> BTreeMap<String, usize> {
        let json = lab.run(line).fine().json();
        let mut reasons = BTreeMap::new();
        for artifact in json["artifacts"].as_array().expect("a list") {
            let why = artifact["why"].as_str().expect("a reason");
            *reasons.entry(why.to_owned()).or_default() += 1;
        }
        reasons
    };
    let reasons = |list: &[&str], found: &BTreeMap<String, usize>| {
        assert_eq!(
            found.keys().map(String::as_str).collect::<Vec<_>>(),
            list,
            "{found:?}"
        );
    };
    reasons(&[], &removed("cache gc --dry-run --json"));
    // Other samples for the same stages: the old ones are of an older run.
    let other = ["--set", "data.synthetic.movie_users=41"];
    lab.run_list(&["run", EXPERIMENT, "--quiet", other[0], other[1]])
        .fine();
    let stray = stray(&lab);
    reasons(
        &["older_run", "unnamed"],
        &removed("cache gc --dry-run --json"),
    );
    reasons(&[], &removed("cache gc --dry-run --json --older-than 1h"));
    reasons(&[], &removed("cache gc --dry-run --json --max-size 1G"));
    let everything = removed("cache gc --dry-run --json --max-size 0");
    assert!(!everything.contains_key("result"), "{everything:?}");
    reasons(
        &["older_run", "result", "unnamed"],
        &removed("cache gc --dry-run --json --include-results"),
    );
    let told = lab.run("cache gc --dry-run --max-size 0").fine();
    for words in [
        "would remove",
        "no manifest names them: 1, 4 B",
        "of older runs: ",
        "result sets stand on it; --include-results",
    ] {
        assert!(told.out.contains(words), "{words}\n{told}");
    }
    let before = lab.files(&format!("{STORE}/artifacts")).len();
    let went = lab.run("cache gc").fine();
    assert!(went.out.starts_with("removed "), "{went}");
    assert!(lab.files(&format!("{STORE}/artifacts")).len() < before);
    assert!(!lab.path(&stray).exists());
    // What stands is whole, and nothing has to run again.
    let whole = lab.run("cache verify --json").fine().json();
    assert_eq!((count(&whole["unnamed"]), count(&whole["missing"])), (0, 0));
    let plan = lab
        .run_list(&["plan", EXPERIMENT, "--json", other[0], other[1]])
        .fine()
        .json();
    let mut stages = plan["stages"].as_array().expect("stages").iter();
    assert!(stages.all(|stage| stage["to_run"] == false));
    // A result set that is kept elsewhere stands on older stages.
    let kept = lab.run("cache gc --include-results --max-size 0").fine();
    assert!(!kept.out.contains("more than"), "{kept}");
    assert_eq!(lab.files(&format!("{STORE}/artifacts")).len(), 0);
}

#[test]
fn old_quarantine_and_logs_go_and_new_ones_stay() {
    let lab = after_a_run();
    for name in [
        "quarantine/old",
        "quarantine/new",
        "logs/old.log",
        "logs/new.log",
    ] {
        lab.write(&format!("{STORE}/{name}"), "bytes");
    }
    let old = ["quarantine/old", "logs/old.log"];
    for name in old {
        let status = Command::new("touch")
            .args(["-d", "20 days ago"])
            .arg(lab.path(&format!("{STORE}/{name}")))
            .status();
        assert!(status.expect("started").success());
    }
    fs::create_dir(lab.path(&format!("{STORE}/tmp/run-dead"))).expect("made");
    lab.write(&format!("{STORE}/tmp/run-dead/half"), "done");
    lab.write(&format!("{STORE}/tmp/run-dead.lock"), "");
    let went = lab.run("cache gc").fine();
    for words in [
        "removed old damaged bytes in quarantine: 1, 5 B",
        "removed old logs: 1, 5 B",
        "removed what dead runners left: 1, 4 B",
    ] {
        assert!(went.out.contains(words), "{words}\n{went}");
    }
    for name in ["quarantine/new", "logs/new.log"] {
        assert!(lab.path(&format!("{STORE}/{name}")).exists(), "{name}");
    }
    for name in old {
        assert!(!lab.path(&format!("{STORE}/{name}")).exists(), "{name}");
    }
}

#[test]
fn nothing_goes_under_a_runner_that_lives() {
    let lab = lab();
    let mut run = Running::start(&lab, "run test.yaml --jobs 2 --quiet --only i=a");
    wait_for("the gate", || {
        let outcome = lab.run("status test --json");
        let value: Value = serde_json::from_str(&outcome.out).ok()?;
        (value["running"][0]["stage"] == "slow@i=a").then_some(())
    });
    let stray = stray(&lab);
    let refused = lab.run("cache gc --intermediates --include-results");
    assert_eq!(refused.code, 30, "{refused}");
    assert!(refused.out.contains("a runner uses the store"), "{refused}");
    assert!(lab.path(&stray).exists());
    lab.run("cache verify").fine();
    lab.write("gate", "");
    assert_eq!(run.end(), Some(0), "{}", run.said());
    lab.run("cache gc").fine();
    assert!(!lab.path(&stray).exists());
}

/// A store on a read-only file system: what only reads works, what would write says so at once.
#[test]
fn a_store_that_cannot_be_written() {
    let lab = after_a_run();
    // Something is to run, something is damaged.
    let shots = artifacts(&lab)["shots@k=2,seed=0/train"].clone();
    flip(&shots, 10);
    let commands = [
        ("plan", "plan experiments/small.yaml --set grid.k=3"),
        ("why", "why experiments/small.yaml samples"),
        ("status", "status experiments/small.yaml"),
        ("runs", "status"),
        ("ls", "cache ls"),
        ("dry", "cache gc --dry-run"),
        ("cat", "cat experiments/small.yaml samples/test"),
        ("report", "report experiments/small.yaml"),
        ("check", "report results/small --check"),
        ("export", "export results experiments/small.yaml"),
        ("replay", "replay"),
        ("logs", "logs world"),
        ("fresh", "run experiments/small.yaml --quiet"),
        ("run", "run experiments/small.yaml --set grid.k=3"),
        ("verify", "cache verify"),
        ("gc", "cache gc"),
    ];
    let mut script = String::from(
        "mount --bind .runner/store .runner/store && mount -o remount,bind,ro .runner/store || exit 99\n",
    );
    for (name, line) in commands {
        script += &format!("\"$0\" {line} > {name}.out 2> {name}.err; echo $? > {name}.code\n");
    }
    let before = lab.files(STORE);
    let status = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", &script])
        .arg(env!("CARGO_BIN_EXE_runner"))
        .env_remove("RUNNER_STORE")
        .env_remove("RUNNER_RESULTS")
        .current_dir(lab.path("."))
        .status();
    if !status.is_ok_and(|status| status.success()) {
        println!("skipped: this system allows no mounts in a name space of one's own");
        return;
    }
    assert_eq!(lab.files(STORE), before, "something was written");
    let read = |name: &str, what: &str| {
        let text = fs::read_to_string(lab.path(&format!("{name}.{what}"))).expect("written");
        text.trim().to_owned()
    };
    for (name, line) in commands {
        let expected = match name {
            "run" | "verify" | "gc" => "30",
            _ => "0",
        };
        let said = format!("{}\n{}", read(name, "out"), read(name, "err"));
        assert_eq!(read(name, "code"), expected, "{line}\n{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
    let refused = read("run", "err");
    assert!(refused.contains("the store must be writable"), "{refused}");
    assert!(
        !refused.contains("FAILED") && !refused.contains("to run"),
        "{refused}"
    );
    assert!(read("gc", "err").contains("the store must be writable"));
    let verified = read("verify", "out");
    assert!(verified.contains("1 damaged"), "{verified}");
    assert!(
        verified.contains("could not be moved to quarantine (Read-only file system"),
        "{verified}"
    );
    assert!(shots.exists());
}

/// What only reads makes no store.
#[test]
fn looking_at_nothing_makes_nothing() {
    let lab = Lab::small();
    lab.run_list(&["plan", EXPERIMENT]).fine();
    lab.run_list(&["status", EXPERIMENT]).fine();
    assert_eq!(lab.run("status").code, 2);
    for line in ["cache ls", "cache verify", "cache gc"] {
        let nothing = lab.run(line);
        assert_eq!(nothing.code, 2, "{nothing}");
        assert!(
            nothing.err.contains("there is no store at `.runner/store`"),
            "{nothing}"
        );
    }
    assert!(!lab.path(".runner").exists());
}
