//! Scores that somebody measured.

use std::fmt::Write as _;
use std::fs;

use crate::server::{Reply, Server, completion};
use crate::{ROWS, Trial, completions};

fn trial(name: &str, text: &str, more: &str) -> Trial {
    let trial = Trial::new("{}");
    fs::write(trial.path(name), text).expect("written");
    let path = trial.path(name);
    let old = fs::read_to_string(trial.path("trial.yaml")).expect("read");
    let new = format!("own: {{recorded: {{movie: '{}'}}{more}}}", path.display());
    fs::write(trial.path("trial.yaml"), old.replace("own: {}", &new)).expect("written");
    trial
}

fn table(head: &str, line: impl Fn(usize) -> String) -> String {
    (0..ROWS).fold(head.to_owned(), |mut text, row| {
        let _ = write!(text, "\n{}", line(row));
        text
    })
}

#[test]
fn scores_measured_elsewhere_are_a_system_like_any_other() {
    let csv = table("row,score", |row| match row {
        3 | 7 => format!("{row},"),
        row => format!("{row},{}", (row * 37 % 101) as f64 / 100.0),
    });
    let one = trial("scores.csv", &csv, "");
    let said = one.run(&[]);
    assert_eq!(said.code, 0, "{}", said.text);
    let results = one.results();
    assert_eq!(results["auc"].1, ROWS - 2);
    assert_eq!(
        results["answered"],
        (Some((ROWS - 2) as f64 / ROWS as f64), ROWS)
    );
    // The same scores as JSON, and as JSON lines: the same numbers.
    let record = |row: usize| match row {
        3 | 7 => format!("{{\"row\": {row}, \"score\": null}}"),
        row => format!(
            "{{\"row\": {row}, \"score\": {}}}",
            (row * 37 % 101) as f64 / 100.0
        ),
    };
    let records: Vec<String> = (0..ROWS).map(record).collect();
    for (name, text) in [
        ("scores.json", format!("[{}]", records.join(",\n"))),
        ("scores.jsonl", records.join("\n")),
    ] {
        let other = trial(name, &text, "");
        assert_eq!(other.run(&[]).code, 0);
        assert_eq!(other.results(), results, "{name}");
    }
    // A domain it has no scores for is left out.
    let both = one.run(&["--set", "grid.domain=[movie,book]"]);
    assert_eq!(both.code, 0, "{}", both.text);
    assert_eq!(one.results(), results);
}

#[test]
fn what_does_not_fit_the_samples_is_refused_with_its_line() {
    let score = |row: usize| format!("{row},0.5");
    let cases = [
        (
            "a.csv",
            table("row,scre", score),
            "no column `score`",
            "did you mean `scre`",
        ),
        (
            "b.csv",
            table("id,score", score),
            "does not say which rows",
            "columns: id, score",
        ),
        (
            "c.csv",
            table("row,score", |row| format!("{},0.5", row + 1)),
            "c.csv:265: there is no row 264",
            "another split",
        ),
        (
            "d.csv",
            table("row,score", |row| format!("{},0.5", row / 2 * 2)),
            "d.csv:3: row 0 has a score already",
            "",
        ),
        (
            "e.csv",
            table("row,score", |row| format!("{row},high")),
            "e.csv:2: the score \"high\" is not a number",
            "",
        ),
        (
            "f.csv",
            "row,score\n0,0.5\n".to_owned(),
            "no score for 263 of 264 rows, the first of them row 1",
            "partial: true",
        ),
        (
            "g.csv",
            table("row,label,score", |row| format!("{row},yes,0.5")),
            "has another label in the samples",
            "other data",
        ),
        (
            "h.json",
            "[{\"row\": 0,\n \"score\": }]".to_owned(),
            "h.json:2:11",
            "list of records",
        ),
        (
            "i.txt",
            "0.5".to_owned(),
            "is of no kind that is read",
            ".parquet",
        ),
        (
            "j.csv",
            table("prompt,score", |row| format!("what {row},0.5")),
            "j.csv:2: no sample has this prompt",
            "another template",
        ),
        ("k.csv", "row,score\n0,0.5,7\n".to_owned(), "k.csv:2", ""),
    ];
    for (name, text, expected, help) in cases {
        let one = trial(name, &text, "");
        let said = one.run(&[]);
        assert_eq!(said.code, 20, "{name}: {}", said.text);
        assert!(
            said.text.contains(expected),
            "{name}: {expected}\n{}",
            said.text
        );
        assert!(said.text.contains(help), "{name}: {help}\n{}", said.text);
    }
    let some = trial("some.csv", "row,score\n0,0.5\n5,0.25\n", ", partial: true");
    let said = some.run(&[]);
    assert_eq!(said.code, 0, "{}", said.text);
    assert_eq!(some.results()["answered"].1, ROWS);
}

/// What an API said once is what can be recorded: the table of answers is such a file.
#[test]
fn a_table_of_answers_can_be_recorded() {
    let server = Server::start(|asked| Reply::Json(200, completion(asked.prompt())));
    let asked = Trial::new(&completions(&server, "top: 5"));
    assert_eq!(asked.run(&[]).code, 0);
    let file = asked.path("answers.parquet");
    let mut export = std::process::Command::new(env!("CARGO_BIN_EXE_runner"));
    export
        .args(["export", "artifact"])
        .arg(asked.path("trial.yaml"));
    export.arg(crate::ANSWERS).arg("--to").arg(&file);
    export.arg("--store").arg(asked.path("store"));
    let said = crate::said(&mut export);
    assert_eq!(said.code, 0, "{}", said.text);
    let set = format!("systems.own={{recorded: {{movie: '{}'}}}}", file.display());
    let before = asked.results();
    let said = asked.run(&["--set", &set]);
    assert_eq!(said.code, 0, "{}", said.text);
    assert_eq!(asked.results(), before);
}
