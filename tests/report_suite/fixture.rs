//! A small experiment made by hand: two domains, three K, three seeds, every oddity once.

use runner::base::Digest;
use runner::report::evidence;
use runner::report::{Choice, Missing, MissingReason, ReportInput};
use runner::results::comparison::ComparisonRow;
use runner::results::{ResultRow, ResultSet};
use runner::statistics::{Comparison, Evidence, Interval, Test};
use serde_json::json;

/// One row; `path` is method, variant (after `/`), train and test domain.
pub(crate) fn row(
    path: [&str; 3],
    k: Option<u64>,
    seed: u64,
    metric: &str,
    value: Option<f64>,
) -> ResultRow {
    let [system, train, test] = path;
    let (method, variant) = match system.split_once('/') {
        Some((method, variant)) => (method, Some(variant.to_owned())),
        None => (system, None),
    };
    let name = format!("{system} {train} {test} {k:?} {seed}");
    ResultRow {
        experiment: "fixture".to_owned(),
        method: method.to_owned(),
        variant,
        train_domain: train.to_owned(),
        test_domain: test.to_owned(),
        k,
        seed,
        split: "test".to_owned(),
        metric: metric.to_owned(),
        value,
        n: if test == "movie" { 1000 } else { 2427 },
        stage_key: Digest::of_bytes(name.as_bytes()),
    }
}

/// All rows of the fixture.
pub(crate) fn rows() -> Vec<ResultRow> {
    let mut rows = Vec::new();
    for (domain, shift) in [("movie", 0.0), ("book", -0.04)] {
        rows.push(row(["majority", "none", domain], None, 0, "auc", Some(0.5)));
        rows.push(row(
            ["like_share", "none", domain],
            None,
            0,
            "auc",
            Some(0.689),
        ));
        rows.push(row(
            ["like_share", "none", domain],
            None,
            0,
            "uauc",
            Some(0.53),
        ));
        for (step, k) in [16, 64, 256].into_iter().enumerate() {
            let step = step as f64;
            for seed in 0..3_u64 {
                // Hand-picked wobble, so that spreads differ by system and nothing is random.
                let wobble = [0.0, 0.0125, -0.009][seed as usize];
                let mut add = |system: &str, metric: &str, value: f64| {
                    let value = (value * 1e6).round() / 1e6;
                    rows.push(row(
                        [system, domain, domain],
                        Some(k),
                        seed,
                        metric,
                        Some(value),
                    ));
                };
                add(
                    "item_mean",
                    "auc",
                    0.52 + 0.02 * step + wobble * 0.3 + shift / 4.0,
                );
                add(
                    "gru4rec",
                    "auc",
                    0.495 + 0.012 * step + wobble + shift / 4.0,
                );
                add("sasrec", "auc", 0.501 + 0.009 * step - wobble * 0.7);
                add(
                    "dros",
                    "auc",
                    0.507 + 0.011 * step + wobble * 0.5 + shift / 8.0,
                );
                add(
                    "tallrec/AT+RT",
                    "auc",
                    0.655 + 0.031 * step - wobble + shift,
                );
                add(
                    "tallrec/RT",
                    "auc",
                    0.63 + 0.035 * step + wobble * 1.5 + shift,
                );
                add("gru4rec", "uauc", 0.502 + 0.004 * step + wobble);
                add("tallrec/AT+RT", "uauc", 0.541 + 0.012 * step - wobble);
                add("gru4rec", "log_loss", 0.694 - 0.002 * step + wobble / 2.0);
                add(
                    "tallrec/AT+RT",
                    "log_loss",
                    0.6512 - 0.011 * step - wobble / 2.0,
                );
            }
        }
        rows.push(row(
            ["tallrec/AT", "none", domain],
            None,
            0,
            "auc",
            Some(0.561 + shift),
        ));
    }
    // One undefined value, one cell with a seed less, one system known only at one K.
    for row in &mut rows {
        let gru = row.method == "gru4rec" && row.metric == "auc" && row.test_domain == "book";
        if gru && row.k == Some(16) && row.seed == 1 {
            row.value = None;
        }
    }
    rows.retain(|row| !(row.method == "dros" && row.test_domain == "book" && row.k == Some(256)));
    rows.retain(|row| {
        !(row.method == "sasrec"
            && row.test_domain == "movie"
            && row.k == Some(64)
            && row.seed == 2)
    });
    rows
}

/// The fixture as a set.
pub(crate) fn set() -> ResultSet {
    ResultSet::from_rows(rows()).expect("the fixture is a set")
}

/// The fixture with everything a report can have.
pub(crate) fn input(results: &ResultSet) -> ReportInput<'_> {
    let mut input = ReportInput::new("fixture", results);
    "Few-shot comparison on two domains, made by hand.".clone_into(&mut input.description);
    input.missing = vec![
        Missing::new("caser", MissingReason::NotBuilt),
        Missing {
            what: "dros, book, K = 256".to_owned(),
            reason: MissingReason::Failed,
            detail: "out of memory".to_owned(),
        },
    ];
    input.audits.insert(
        "movie".to_owned(),
        json!({
            "findings": [
                {"severity": "warning", "text": "the test split has 16 users only"},
                {"severity": "note", "text": "2 users straddle a cut"},
            ],
            "rows": {
                "train": {"rows": 8000, "users": 80, "likes": 0.5731},
                "test": {"rows": 1000, "users": 16, "likes": 0.5122},
            },
            "longest_history": 10,
        }),
    );
    input.choices.push(Choice {
        method: "gru4rec".to_owned(),
        case: "movie, K = 16, seed 0".to_owned(),
        chosen: "weight_decay = 1e-5".to_owned(),
        because: "validation AUC 0.531, next 0.529".to_owned(),
    });
    input.comparisons = comparisons(&input);
    input
        .fidelity
        .insert("loss.on".to_owned(), "answer tokens".to_owned());
    input
        .fidelity
        .insert("movie.split".to_owned(), "time".to_owned());
    input
        .data
        .insert("u.data".to_owned(), Digest::of_bytes(b"u.data").hex());
    input
        .provenance
        .insert("program".to_owned(), "runner 0.1.0".to_owned());
    input
}

/// What predictions on films would say: the tuned system with alpaca tuning is surely better than
/// all others, the one without is not; of books nobody kept predictions.
fn comparisons(input: &ReportInput<'_>) -> Vec<ComparisonRow> {
    let asked = evidence::questions(input).into_iter();
    asked
        .filter(|question| question.test_domain == "movie")
        .map(|question| {
            let sure = question.one.variant.as_deref() == Some("AT+RT");
            let effect = if question.k == Some(256) {
                0.0268
            } else {
                0.08
            };
            let reach = if sure { 0.02 } else { 0.1 };
            ComparisonRow {
                question,
                comparison: Comparison {
                    test: Test::BootstrapUsers,
                    n: [16; 2],
                    effect: Some(effect),
                    evidence: Ok(Evidence {
                        interval: Interval {
                            low: effect - reach,
                            high: effect + reach,
                            level: 0.95,
                        },
                        p: if sure { 0.0002 } else { 0.31 },
                        statistic: None,
                        degrees_of_freedom: None,
                    }),
                },
                stages: Digest::of_bytes(b"predictions"),
            }
        })
        .collect()
}
