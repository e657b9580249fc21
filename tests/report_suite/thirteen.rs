//! The made-up result set of `tests/fixtures/results/thirteen`: as many systems, K and seeds as a
//! full comparison has.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use runner::base::Digest;
use runner::report::{Details, Only, ReportInput, Selection, files_of};
use runner::results::{ResultRow, ResultSet, UNTRAINED};

const SHOTS: [u64; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];
const SEEDS: u64 = 5;

/// How a system's made-up AUC goes with K: from `start` towards `start + gain`, half of the way at
/// `half` samples; `spread` is how far seeds lie apart at most, at K = 1.
struct Course {
    system: &'static str,
    start: f64,
    gain: f64,
    half: f64,
    spread: f64,
}

const fn course(system: &'static str, start: f64, gain: f64, half: f64, spread: f64) -> Course {
    Course {
        system,
        start,
        gain,
        half,
        spread,
    }
}

const TRAINED: &[Course] = &[
    course("tallrec/base", 0.541, 0.0, 1.0, 0.0),
    course("tallrec/AT", 0.556, 0.0, 1.0, 0.0),
    course("tallrec/RT", 0.508, 0.212, 40.0, 0.05),
    course("tallrec/AT+RT", 0.566, 0.162, 20.0, 0.03),
    course("gru4rec", 0.493, 0.035, 200.0, 0.02),
    course("caser", 0.495, 0.046, 180.0, 0.022),
    course("sasrec", 0.494, 0.04, 220.0, 0.018),
    course("dros", 0.496, 0.043, 190.0, 0.02),
    course("gru_bert", 0.498, 0.051, 120.0, 0.019),
    course("dros_bert", 0.499, 0.057, 110.0, 0.017),
    course("majority", 0.5, 0.0, 1.0, 0.0),
    course("item_mean", 0.502, 0.06, 400.0, 0.012),
    course("like_share", 0.587, 0.0, 1.0, 0.0),
];

const ZERO_SHOT: [(&str, f64); 3] = [
    ("text_davinci_002", 0.517),
    ("text_davinci_003", 0.522),
    ("chatgpt", 0.529),
];

const DOMAINS: [&str; 2] = ["movie", "book"];

/// What a domain adds to every AUC, and its rows and users.
fn domain(name: &str) -> (f64, u64, u64) {
    if name == "movie" {
        (0.0, 1000, 58)
    } else {
        (-0.021, 2427, 310)
    }
}

/// A number in [-1, 1] that depends on a text alone. Only sums, products and quotients are used in
/// this file, so that it gives the same bits on every machine.
fn wobble(name: &str) -> f64 {
    let hex = Digest::of_bytes(name.as_bytes()).hex();
    let number = u32::from_str_radix(&hex[..6], 16).expect("hexadecimal digits");
    f64::from(number) / f64::from(0x7f_ffff) - 1.0
}

fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// The rows of one cell: AUC, and the other metrics from it where they are wanted.
fn cell(
    rows: &mut Vec<ResultRow>,
    (system, train, test): (&str, &str, &str),
    k: Option<u64>,
    seed: u64,
    auc: f64,
) {
    let (method, variant) = match system.split_once('/') {
        Some((method, variant)) => (method, Some(variant)),
        None => (system, None),
    };
    let name = format!("made up: {system}, {train} → {test}, K = {k:?}, seed {seed}");
    let (_, test_rows, users) = domain(test);
    let is_guess = method == "majority";
    let small = |what: &str| {
        if is_guess {
            0.0
        } else {
            wobble(&format!("{name}, {what}"))
        }
    };
    let mut values = vec![("auc", auc, test_rows)];
    if k.is_none_or(|k| [16, 64, 256].contains(&k)) {
        let uauc = 0.5 + (auc - 0.5) * 0.7 + 0.006 * small("uauc");
        let log_loss = 0.693 - (auc - 0.5) * 0.45 + 0.008 * small("log-loss");
        values.push(("uauc", uauc, users));
        values.push(("log_loss", log_loss, test_rows));
    }
    rows.extend(values.into_iter().map(|(metric, value, n)| ResultRow {
        experiment: "thirteen".to_owned(),
        method: method.to_owned(),
        variant: variant.map(str::to_owned),
        train_domain: train.to_owned(),
        test_domain: test.to_owned(),
        k,
        seed,
        split: "test".to_owned(),
        metric: metric.to_owned(),
        value: Some(rounded(value)),
        n,
        stage_key: Digest::of_bytes(name.as_bytes()),
    }));
}

/// The whole set.
fn made() -> ResultSet {
    let mut rows = Vec::new();
    for course in TRAINED {
        let crosses = course.system == "tallrec/AT+RT";
        let trains: &[&str] = if crosses {
            &["movie", "book", "both"]
        } else {
            &DOMAINS
        };
        for train in trains {
            for test in DOMAINS {
                let is_own = *train == test || *train == "both";
                if !is_own && !crosses {
                    continue;
                }
                // Half of what is learnt of one domain is good for the other.
                let carried = if is_own { 1.0 } else { 0.5 };
                let (shift, ..) = domain(test);
                // A guess is a guess in every domain.
                let shift = if course.system == "majority" {
                    0.0
                } else {
                    shift
                };
                for k in SHOTS {
                    let samples = k as f64;
                    let learnt = course.gain * carried * samples / (samples + course.half);
                    let spread = course.spread / (1.0 + samples / 64.0);
                    for seed in 0..SEEDS {
                        let noise = wobble(&format!("{} {train} {test} {k} {seed}", course.system));
                        let auc = course.start + shift + learnt + spread * noise;
                        let path = (course.system, *train, test);
                        cell(&mut rows, path, Some(k), seed, auc);
                    }
                }
            }
        }
    }
    for (system, auc) in ZERO_SHOT {
        for test in DOMAINS {
            let auc = auc + domain(test).0 / 2.0;
            cell(&mut rows, (system, UNTRAINED, test), None, 0, auc);
        }
    }
    ResultSet::from_rows(rows).expect("one row for a cell")
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/results/thirteen/results.csv")
}

#[test]
fn thirteen_is_what_is_made_here() {
    let bytes = fs::read(path()).expect("the file");
    assert!(bytes.len() < 600_000, "{} bytes", bytes.len());
    let made = made();
    assert_eq!(
        ResultSet::from_csv("thirteen", &bytes),
        Ok(made.clone()),
        "made anew by `cargo test --test report_suite -- --ignored remake_thirteen`"
    );
    let mut systems: Vec<_> = made.rows().iter().map(ResultRow::system).collect();
    systems.sort();
    systems.dedup();
    assert_eq!(systems.len(), 16, "thirteen, and three trivial ones");
    for row in made.rows() {
        let value = row.value.expect("a value");
        assert!((0.4..0.8).contains(&value), "{}: {value}", row.describe());
    }
}

#[test]
#[ignore = "writes the file"]
fn remake_thirteen() {
    fs::write(path(), made().to_csv()).expect("written");
}

/// All tables and figures of the paper, from all systems at once: every one is drawn, names every
/// system, and is the same twice. `RUNNER_SHOW_FIGURES=FOLDER` leaves them to be looked at.
#[test]
fn the_full_layout_renders() {
    let results = recorded();
    let input = ReportInput::new("thirteen", &results);
    let only = |column: &str, values: &[&str]| {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        Only(BTreeMap::from([(column.to_owned(), values)]))
    };
    let mut selection = Selection::named(
        &["systems_across", "comparison", "better"],
        &["auc_by_shots", "zero_shot", "by_train_domain"],
    )
    .expect("registered");
    selection.tables[0].only = only("k", &["16", "64", "256"]);
    selection.figures[0].only = only("train", &["movie", "book"]);
    selection.figures[2].only = only("k", &["16", "64", "256"]);
    let files = files_of(&input, &selection, Some(&Details::default())).expect("made");
    let text = |name: &str| {
        let file = files.written.iter().find(|(known, _)| known == name);
        let bytes = &file.unwrap_or_else(|| panic!("no {name}")).1;
        String::from_utf8_lossy(bytes).into_owned()
    };
    let systems = [
        "TALLRec (AT+RT)",
        "GRU4Rec",
        "Caser",
        "SASRec",
        "DROS",
        "GRU-BERT",
        "DROS-BERT",
    ];
    for system in systems {
        assert!(text("systems_across.md").contains(system), "{system}");
        assert!(text("auc_by_shots.svg").contains(system), "{system}");
    }
    for system in ["Text-Davinci-002", "Text-Davinci-003", "ChatGPT", "K = 64"] {
        assert!(text("zero_shot.svg").contains(system), "{system}");
    }
    for bar in ["trained on book", "trained on movie", "trained on both"] {
        assert!(text("by_train_domain.svg").contains(bar), "{bar}");
    }
    assert!(text("report.html").contains("TALLRec (AT+RT)"));
    let again = files_of(&input, &selection, Some(&Details::default())).expect("made");
    assert_eq!(files.written, again.written);
    if let Ok(folder) = std::env::var("RUNNER_SHOW_FIGURES") {
        for (name, bytes) in &files.written {
            let path = Path::new(&folder).join(format!("thirteen-{name}"));
            fs::write(path, bytes).expect("written");
        }
    }
}

fn recorded() -> ResultSet {
    let bytes = fs::read(path()).expect("the fixture");
    ResultSet::from_csv("results.csv", &bytes).expect("a result set")
}
