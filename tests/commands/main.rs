//! What every command prints, on a small experiment of trivial methods.
//!
//! Accept a changed output with `INSTA_UPDATE=always cargo test --test commands` and read the
//! difference of the snapshots.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../program/mod.rs"]
mod program;

mod journals;
mod schema;
mod store;
mod verify;

use std::path::Path;

use program::{EXPERIMENT, Lab, PIPELINE, repository};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// A lab in which the small experiment has run.
fn after_a_run() -> Lab {
    let lab = Lab::small();
    lab.run_list(&["run", EXPERIMENT, "--quiet"]).fine();
    lab
}

#[test]
fn help() {
    let lab = Lab::empty();
    let mut text = String::new();
    for command in [
        "",
        "run",
        "plan",
        "why",
        "status",
        "logs",
        "replay",
        "serve",
        "graph",
        "cat",
        "diff",
        "report",
        "export",
        "export samples",
        "export results",
        "export tensorboard",
        "cache",
        "cache ls",
        "cache verify",
        "cache gc",
        "schema",
        "completions",
    ] {
        let line = format!("{command} --help");
        let outcome = lab.run(line.trim_start()).fine();
        let _ = writeln!(text, "$ runner {}\n{}", line.trim_start(), outcome.out);
    }
    assert_redacted!("help", text);
}

#[test]
fn without_a_command_there_is_help() {
    let outcome = Lab::empty().run_list(&[]);
    assert_eq!(outcome.code, 2);
    assert!(outcome.err.contains("Start here"), "{outcome}");
}

#[test]
fn a_report_is_checked_and_made_again() {
    let lab = after_a_run();
    let check = ["report", "results/small", "--check"];
    let fine = lab.run_list(&check).fine();
    assert!(fine.out.contains("follow from its results"), "{fine}");
    // From the folder alone, all but what the store knows.
    lab.write("results/small/comparison.md", "better numbers\n");
    std::fs::remove_file(lab.path("results/small/comparison.tex")).expect("removed");
    lab.write("results/small/better.png", "an old picture");
    let stale = lab.run_list(&check);
    assert_eq!(stale.code, 3, "{stale}");
    assert!(
        stale.out.contains(
            "2 files of results/small do not follow from its results: comparison.md, comparison.tex"
        ),
        "{stale}"
    );
    let json = lab.run_list(&[&check[..], &["--json"]].concat());
    assert_eq!(
        json.json()["stale"],
        json!(["comparison.md", "comparison.tex"])
    );
    lab.run_list(&["report", "results/small"]).fine();
    lab.run_list(&check).fine();
    // From the store, with the stages behind every number.
    let made = lab.run_list(&["report", EXPERIMENT]).fine();
    assert!(made.out.contains("report.html"), "{made}");
    lab.run_list(&["report", EXPERIMENT, "--check"]).fine();
    let page = std::fs::read_to_string(lab.path("results/small/report.html")).expect("a page");
    assert!(page.contains("evaluate@"), "the page names no stage");
    // A row that was changed by hand changes what follows from it.
    let rows = std::fs::read_to_string(lab.path("results/small/results.csv")).expect("rows");
    lab.write(
        "results/small/results.csv",
        rows.replacen("majority", "like_share", 1),
    );
    assert_ne!(lab.run_list(&check).code, 0);
}

#[test]
fn a_report_of_nothing_says_what_to_do() {
    let lab = Lab::small();
    let nothing = lab.run_list(&["report", EXPERIMENT]);
    let no_folder = lab.run_list(&["report", "results/small", "--check"]);
    assert_redacted!("report_of_nothing", format!("{nothing}\n{no_folder}"));
}

/// A report block of an experiment's own: a table under another name, from some rows.
#[test]
fn an_experiment_declares_its_tables_and_figures() {
    let lab = Lab::small();
    lab.edit(
        EXPERIMENT,
        "data:",
        "report:\n  tables: [{kind: systems_across, name: table9, title: Mine, where: {metric: auc, method: majority}}]\n  figures: [zero_shot]\ndata:",
    );
    lab.run_list(&["run", EXPERIMENT, "--quiet"]).fine();
    let table = std::fs::read_to_string(lab.path("results/small/table9.md")).expect("a table");
    assert!(table.starts_with("# Mine\n"), "{table}");
    assert!(
        table.contains("*majority*") && !table.contains("share of likes"),
        "{table}"
    );
    let page = std::fs::read_to_string(lab.path("results/small/report.md")).expect("a page");
    assert!(
        page.contains("## Table: table9") && page.contains("Not drawn: "),
        "{page}"
    );
    assert!(!lab.path("results/small/comparison.md").exists());
    lab.run_list(&["report", EXPERIMENT, "--check"]).fine();
    // Its files go with it.
    lab.edit(EXPERIMENT, "name: table9", "name: table8");
    lab.run_list(&["run", EXPERIMENT, "--quiet"]).fine();
    assert!(!lab.path("results/small/table9.md").exists());
    assert!(lab.path("results/small/table8.md").exists());
}

/// A language model on a pipeline that tunes none is said to be left out, everywhere.
#[test]
fn a_method_without_stages_is_named_as_left_out() {
    let lab = Lab::small();
    let with = ["--set", "grid.method=[majority, tallrec]"];
    let plan = lab
        .run_list(&[&["plan", EXPERIMENT][..], &with].concat())
        .fine();
    let said = "the pipeline has no stages for, left out: tallrec";
    assert!(plan.out.contains(said), "{plan}");
    let ran = lab
        .run_list(&[&["run", EXPERIMENT][..], &with].concat())
        .fine();
    let said = "the pipeline has no stages for tallrec; ";
    assert!(ran.err.contains(said), "{ran}");
    let page = std::fs::read_to_string(lab.path("results/small/report.md")).expect("a page");
    assert!(
        page.contains("The pipeline has no stages for it: TALLRec"),
        "{page}"
    );
}

#[test]
fn plan_before_and_after() {
    let lab = Lab::small();
    let fresh = lab.run_list(&["plan", EXPERIMENT]).fine();
    lab.run_list(&["run", EXPERIMENT, "--quiet"]).fine();
    let done = lab.run_list(&["plan", EXPERIMENT]).fine();
    let changed = lab
        .run_list(&[
            "plan",
            EXPERIMENT,
            "--set",
            "fidelity.movie.split=by_user",
            "--all",
        ])
        .fine();
    assert_redacted!("plan", format!("{fresh}\n{done}\n{changed}"));
    let plan = lab
        .run_list(&["plan", EXPERIMENT, "--set", "grid.k=[2, 8]", "--json"])
        .fine()
        .json();
    assert_eq!(plan["experiment"], "small");
    assert_eq!(plan["cells"], 8);
    let stages = plan["stages"].as_array().expect("stages");
    let mut shots: Vec<(&str, bool)> = stages
        .iter()
        .filter(|stage| stage["kind"] == "k_shot")
        .filter_map(|stage| Some((stage["stage"].as_str()?, stage["to_run"].as_bool()?)))
        .collect();
    shots.sort_unstable();
    assert_eq!(
        shots,
        [
            ("shots@k=2,seed=0", false),
            ("shots@k=2,seed=1", false),
            ("shots@k=8,seed=0", true),
            ("shots@k=8,seed=1", true),
        ]
    );
}

/// A stage exists once per distinct value of what it refers to.
#[test]
fn stages_exist_once_per_value_they_refer_to() {
    let lab = Lab::small();
    let graph = lab.run_list(&["graph", EXPERIMENT]).fine();
    for stage in [
        "world ×1",
        "samples ×1",
        "shots ×4",
        "train ×8",
        "evaluate ×8",
    ] {
        assert!(graph.out.contains(stage), "{stage}\n{graph}");
    }
    // Five candidates, one choice: a gather over the search reads all.
    let searched = "grid.method=[{gru4rec: {weight_decay: [1e-3, 1e-4, 1e-5, 1e-6, 1e-7]}}]";
    let graph = lab
        .run_list(&[
            "graph",
            EXPERIMENT,
            "--set",
            searched,
            "--set",
            "grid.seed=0",
        ])
        .fine();
    for stage in ["shots ×2", "train ×10", "select ×2", "evaluate ×2"] {
        assert!(graph.out.contains(stage), "{stage}\n{graph}");
    }
    // Picking some candidates does not make the choice among fewer.
    let all = lab
        .run_list(&[
            "plan",
            EXPERIMENT,
            "--set",
            searched,
            "--only",
            "weight_decay=1e-3",
            "--json",
        ])
        .fine()
        .json();
    let trained = all["stages"].as_array().expect("stages");
    let trained = trained
        .iter()
        .filter(|stage| stage["kind"] == "train_recommender");
    assert_eq!(trained.count(), 20);
}

#[test]
fn only_picks_cells() {
    let lab = Lab::small();
    let count = |only: &[&str]| {
        let mut arguments = vec!["plan", EXPERIMENT, "--json"];
        for selection in only {
            arguments.extend(["--only", selection]);
        }
        let plan = lab.run_list(&arguments).fine().json();
        let stages = plan["stages"].as_array().expect("stages").clone();
        stages
            .iter()
            .filter(|stage| stage["kind"] == "evaluate")
            .count()
    };
    assert_eq!(count(&[]), 8);
    assert_eq!(count(&["k=2"]), 4);
    assert_eq!(count(&["k=2,4", "seed=0"]), 4);
    assert_eq!(count(&["method!=majority"]), 4);
    assert_eq!(
        count(&["domain=movie", "method=majority", "k!=2", "seed=1"]),
        1
    );
}

#[test]
fn why() {
    let lab = Lab::small();
    let never = lab.run_list(&["why", EXPERIMENT, "samples"]).fine();
    lab.run_list(&["run", EXPERIMENT, "--quiet"]).fine();
    let mut text = format!("{never}\n");
    for arguments in [
        &["samples"] as &[&str],
        &["samples", "--set", "fidelity=released_code"],
        &["shots@k=2,seed=0", "--set", "fidelity=released_code"],
        &["samples", "--set", "fidelity=released_code", "--json"],
        &["train"],
        &["evaluat"],
        &["nothing"],
        &["train@k=2,seed=0,method=majorty"],
    ] {
        let mut all = vec!["why", EXPERIMENT];
        all.extend(arguments);
        let _ = writeln!(text, "$ runner {}\n{}", all.join(" "), lab.run_list(&all));
    }
    assert_redacted!("why", text);
}

#[test]
fn graph() {
    let lab = Lab::small();
    let mut text = String::new();
    for arguments in [
        &[] as &[&str],
        &["--format", "mermaid"],
        &["--all", "--only", "k=2", "--only", "seed=0"],
    ] {
        let mut all = vec!["graph", EXPERIMENT];
        all.extend(arguments);
        let _ = writeln!(
            text,
            "$ runner {}\n{}",
            all.join(" "),
            lab.run_list(&all).fine()
        );
    }
    assert_redacted!("graph", text);
}

#[test]
fn cat() {
    let lab = after_a_run();
    let mut text = String::new();
    for arguments in [
        &["samples"] as &[&str],
        &["samples/test", "--rows", "2", "--format", "csv"],
        &["samples/tst"],
        &["world/movie"],
        &["world/movie/u.genre"],
        &["world/movie/u.gener"],
        &["evaluate@k=2,seed=0,method=majority/metrics"],
        &[
            "evaluate@k=2,seed=0,method=majority/metrics",
            "--format",
            "table",
        ],
        &[
            "evaluate@k=2,seed=0,method=majority/metrics",
            "--format",
            "csv",
        ],
        &[
            "select@k=2,seed=0,method=majority/choice",
            "--format",
            "csv",
        ],
        &["samples/test", "--set", "fidelity=released_code"],
    ] {
        let mut all = vec!["cat", EXPERIMENT];
        all.extend(arguments);
        let _ = writeln!(text, "$ runner {}\n{}", all.join(" "), lab.run_list(&all));
    }
    assert_redacted!("cat", text);
    let rows = lab
        .run_list(&["cat", EXPERIMENT, "samples/test", "--format", "json"])
        .fine()
        .json();
    assert_eq!(rows.as_array().map(Vec::len), Some(14));
    assert!(rows[0]["history_titles"].is_array());
}

#[test]
fn export_results() {
    let lab = after_a_run();
    let csv = lab.run_list(&["export", "results", EXPERIMENT]).fine();
    let mut lines = csv.out.lines();
    assert_eq!(
        lines.next(),
        Some(
            "experiment,method,variant,train_domain,test_domain,k,seed,split,metric,value,n,stage_key"
        )
    );
    // Two methods, two K, two seeds, three metrics.
    assert_eq!(lines.count(), 24);
    let rows = lab
        .run_list(&["export", "results", EXPERIMENT, "--format", "json"])
        .fine()
        .json();
    assert_eq!(rows.as_array().map(Vec::len), Some(24));
    let nothing = Lab::small().run_list(&["export", "results", EXPERIMENT]);
    assert_eq!(nothing.code, 2);
    assert!(
        nothing
            .err
            .contains("has no results yet\n  help: runner run"),
        "{nothing}"
    );
}

/// The released files hold one list of objects with three texts each, indented by four.
#[test]
fn export_samples() {
    let lab = Lab::small();
    let arguments = [
        "export", "samples", EXPERIMENT, "--domain", "movie", "--split", "test",
    ];
    let made = lab.run_list(&arguments).fine();
    assert!(
        made.out
            .starts_with("[\n    {\n        \"instruction\": \"Given the user's preference"),
        "{made}"
    );
    let list = made.json();
    let list = list.as_array().expect("a list");
    assert_eq!(list.len(), 14);
    for sample in list {
        let keys: Vec<&String> = sample.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["instruction", "input", "output"]);
        assert!(["Yes.", "No."].contains(&sample["output"].as_str().expect("a text")));
    }
    // A second time nothing is made.
    let again = lab.run_list(&arguments).fine();
    assert_eq!(again.err, "");
    assert_eq!(again.out, made.out);
    // The small pipeline knows no books and must not pass films off as books.
    let books = lab.run_list(&[
        "export", "samples", EXPERIMENT, "--domain", "book", "--split", "test",
    ]);
    assert_eq!(books.code, 2, "{books}");
    assert!(
        books.err.contains("must refer to `${domain}`"),
        "{}",
        books.err
    );
}

#[test]
fn cache() {
    let lab = after_a_run();
    let list = lab
        .run_list(&["cache", "ls", "shots@", "--json"])
        .fine()
        .json();
    assert_eq!(list.as_array().map(Vec::len), Some(4));
    let shown = lab.run_list(&["cache", "ls", "shots@"]).fine();
    assert!(shown.out.contains("4 stages, "), "{shown}");
    let sound = lab.run_list(&["cache", "verify", "--json"]).fine().json();
    assert_eq!(sound["damaged"], json!([]));
    let kept = lab.run_list(&["cache", "gc", "--json"]).fine().json();
    assert_eq!((&kept["removed"], &kept["bytes"]), (&json!(0), &json!(0)));
    assert_eq!(kept["artifacts"], json!([]));
    // Another K leaves the old draws behind; a dry run removes none of them.
    let would = lab.run_list(&["cache", "gc", "--dry-run"]).fine();
    assert_eq!(would.out, "would remove 0 artifacts, 0 B\n");
    // One byte too many in one artifact is found, and made anew by the next run.
    let artifacts = lab.files(".runner/store/artifacts");
    let victim = artifacts
        .iter()
        .find(|path| !path.contains("movie/"))
        .expect("an artifact");
    let path = format!(".runner/store/artifacts/{victim}");
    let file = lab.path(&path);
    let mut bytes = std::fs::read(&file).expect("bytes");
    bytes.push(b'\n');
    let writable = std::fs::remove_file(&file);
    assert!(writable.is_ok());
    lab.write(&path, bytes);
    let damaged = lab.run_list(&["cache", "verify", "--json"]);
    assert_eq!(damaged.code, 30, "{damaged}");
    assert_eq!(damaged.json()["damaged"].as_array().map(Vec::len), Some(1));
    lab.run_list(&["run", EXPERIMENT, "--quiet"]).fine();
    lab.run_list(&["cache", "verify"]).fine();
}

#[test]
fn completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = Lab::empty().run_list(&["completions", shell]).fine();
        assert!(
            script.out.contains("runner") && script.out.contains("intermediates"),
            "{shell}"
        );
    }
}

#[test]
fn status() {
    let lab = Lab::small();
    let before = lab.run_list(&["status", EXPERIMENT]).fine();
    lab.run_list(&["run", EXPERIMENT, "--quiet"]).fine();
    let after = lab.run_list(&["status", EXPERIMENT]).fine();
    let failed = ["--set", "grid.k=100000"];
    lab.run_list(&[
        "run", EXPERIMENT, "--quiet", failed[0], failed[1], "--only", "seed=0",
    ]);
    let failed = lab
        .run_list(&["status", EXPERIMENT, failed[0], failed[1]])
        .fine();
    assert_redacted!("status", format!("{before}\n{after}\n{failed}"));
    let value = lab
        .run_list(&["status", EXPERIMENT, "--json"])
        .fine()
        .json();
    assert_eq!((&value["fresh"], &value["to_run"]), (&json!(38), &json!(0)));
    assert_eq!(value["failed"][0]["stage"], "shots@k=100000,seed=0");
}

#[test]
fn from_another_folder() {
    let lab = after_a_run();
    lab.write("elsewhere/file", "");
    let elsewhere = lab.path("elsewhere").display().to_string();
    let here = lab.run_list(&["plan", EXPERIMENT]).fine();
    let there = lab
        .run_list(&[
            "-C",
            &elsewhere,
            "plan",
            "../experiments/small.yaml",
            "--store",
            "../.runner/store",
            "--set",
            "pipeline=../pipelines/small.yaml",
        ])
        .fine();
    assert_eq!(here.out, there.out);
}

/// Every shipped experiment can be planned without any data at hand.
#[test]
fn shipped_experiments_can_be_planned() {
    let lab = Lab::empty();
    let root = repository().display().to_string();
    let store = lab.path("store").display().to_string();
    let mut count = 0;
    for entry in std::fs::read_dir(repository().join("experiments")).expect("experiments") {
        let path = entry.expect("an entry").path();
        let path = path
            .strip_prefix(repository())
            .expect("below")
            .display()
            .to_string();
        if Path::new(&path)
            .extension()
            .is_none_or(|extension| extension != "yaml")
        {
            continue;
        }
        count += 1;
        let plan = lab
            .run_list(&["-C", &root, "plan", &path, "--store", &store, "--json"])
            .fine()
            .json();
        assert!(
            plan["stages"]
                .as_array()
                .is_some_and(|stages| !stages.is_empty()),
            "{path}"
        );
    }
    assert!(count >= 3);
}

/// What a script reads must be JSON on standard output and nothing else.
#[test]
fn json_lines_of_a_run() {
    let lab = Lab::small();
    let run = lab.run_list(&["run", EXPERIMENT, "--json"]).fine();
    let lines: Vec<Value> = run
        .out
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let summary = &lines.last().expect("a summary")["summary"];
    assert_eq!(summary["experiment"], "small");
    assert_eq!(summary["failed"], json!([]));
    assert_eq!(run.err, "");
    assert!(
        lab.files("results/small")
            .contains(&"results.csv".to_owned())
    );
    lab.edit(PIPELINE, "k: ${k}", "k: many");
    let wrong = lab.run_list(&["run", EXPERIMENT, "--json"]);
    assert_eq!((wrong.code, wrong.out.as_str()), (10, ""));
}
