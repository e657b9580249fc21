//! Result files: what is written reads back the same, and what is wrong is named.

use crate::fixture::{row, set};
use proptest::prelude::*;
use runner::base::Digest;
use runner::results::{ResultRow, ResultSet};

const HEADER: &str =
    "experiment,method,variant,train_domain,test_domain,k,seed,split,metric,value,n,stage_key";

fn read(lines: &[&str]) -> Result<ResultSet, String> {
    let text = format!("{HEADER}\n{}\n", lines.join("\n"));
    ResultSet::from_csv("results.csv", text.as_bytes()).map_err(|error| error.to_string())
}

fn line(k: &str, value: &str) -> String {
    let key = Digest::of_bytes(b"stage").hex();
    format!("e,caser,,movie,movie,{k},1,test,auc,{value},1000,{key}")
}

#[test]
fn the_fixture_round_trips_through_csv_and_json() {
    let set = set();
    let text = set.to_csv();
    assert!(text.starts_with(&format!("{HEADER}\nfixture,dros,,book,book,16,0,test,auc,")));
    assert!(!text.contains('\r') && text.ends_with('\n'));
    assert_eq!(ResultSet::from_csv("a", text.as_bytes()).expect("csv"), set);
    let json = set.to_json();
    assert_eq!(
        ResultSet::from_json("a", json.as_bytes()).expect("json"),
        set
    );
}

#[test]
fn rows_are_sorted_naturally_and_floats_stay_floats() {
    let rows = [
        row(["caser", "movie", "movie"], Some(256), 10, "auc", Some(1.0)),
        row(
            ["caser", "movie", "movie"],
            Some(256),
            9,
            "auc",
            Some(0.1 + 0.2),
        ),
        row(["caser", "movie", "movie"], Some(16), 3, "auc", None),
        row(["caser", "movie", "movie"], None, 0, "auc", Some(1e-7)),
        row(
            ["caser/x, \"y\"", "movie", "movie"],
            Some(2),
            0,
            "auc",
            Some(1e300),
        ),
    ];
    let text = ResultSet::from_rows(rows).expect("a set").to_csv();
    let shown: Vec<String> = text
        .lines()
        .skip(1)
        .map(|line| line[..line.rfind(',').expect("a key")].to_owned())
        .collect();
    assert_eq!(
        shown,
        [
            "fixture,caser,,movie,movie,,0,test,auc,1e-7,1000",
            "fixture,caser,,movie,movie,16,3,test,auc,,1000",
            "fixture,caser,,movie,movie,256,9,test,auc,0.30000000000000004,1000",
            "fixture,caser,,movie,movie,256,10,test,auc,1.0,1000",
            "fixture,caser,\"x, \"\"y\"\"\",movie,movie,2,0,test,auc,1e300,1000",
        ]
    );
}

#[test]
fn errors_name_line_column_and_value() {
    let good = line("16", "0.5");
    let error = |second: &str| read(&[&good, second]).expect_err("wrong");
    insta::assert_snapshot!(error(&line("1O", "0.5")), @"results.csv:3:22: `1O` in column `k` is not a whole number (or empty, where there is no K)");
    insta::assert_snapshot!(error(&line("64", "NaN")), @"results.csv:3:36: `NaN` in column `value` is not a finite number (an undefined value is an empty field)");
    insta::assert_snapshot!(error("e,caser,movie"), @"results.csv:3:1: the line has 3 fields, and not 12: `e,caser,movie`");
    insta::assert_snapshot!(error("\"e,caser,movie"), @"results.csv:3:1: the line has a quote that is not closed");
    insta::assert_snapshot!(error(&line("16", "0.75")), @"two results for one cell, auc of caser, movie → movie, K = 16, seed 1, test split, experiment e: 0.5 (results.csv:2, stage 1e78fa080411) and 0.75 (results.csv:3, stage 1e78fa080411); a result set has one number per cell, so one of them must go");
    let other = ResultSet::from_csv("old.csv", b"method,value\n").expect_err("wrong");
    insta::assert_snapshot!(other, @"old.csv:1:1: the header is `method,value`, and not `experiment,method,variant,train_domain,test_domain,k,seed,split,metric,value,n,stage_key`");
    let bytes = [HEADER.as_bytes(), b"\n\xff\xff"].concat();
    let error = ResultSet::from_csv("results.csv", &bytes).expect_err("not UTF-8");
    insta::assert_snapshot!(error, @"results.csv:2:1: the line is not UTF-8");
}

#[test]
fn rows_that_would_not_read_back_are_refused() {
    let mut newline = row(["caser", "movie", "movie"], Some(1), 0, "auc", Some(0.5));
    newline.method = "a\nb".to_owned();
    let mut nan = row(
        ["caser", "movie", "movie"],
        Some(1),
        0,
        "auc",
        Some(f64::NAN),
    );
    let error = |row: &ResultRow| ResultSet::from_rows([row.clone()]).expect_err("refused");
    insta::assert_snapshot!(error(&newline), @r"
    method `a
    b` of auc of a
    b, movie → movie, K = 1, seed 0, test split, experiment fixture is not a name: it has a control character in it
    ");
    insta::assert_snapshot!(error(&nan), @"value `NaN` of auc of caser, movie → movie, K = 1, seed 0, test split, experiment fixture is not a finite number (an undefined value is `None`)");
    nan.value = None;
    nan.variant = Some(String::new());
    insta::assert_snapshot!(error(&nan), @"variant `` of auc of caser (), movie → movie, K = 1, seed 0, test split, experiment fixture is not a name: it is empty");
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_]{1,6}[0-9]{0,3}", "[ -~é→]{1,8}"]
}

fn any_row() -> impl Strategy<Value = ResultRow> {
    let names = (
        any_name(),
        any_name(),
        proptest::option::of(any_name()),
        any_name(),
        any_name(),
    );
    let numbers = (
        proptest::option::of(any::<u64>()),
        any::<u64>(),
        proptest::option::of(any::<f64>().prop_filter("finite", |value| value.is_finite())),
        any::<u64>(),
    );
    (names, numbers, any_name(), any_name()).prop_map(
        |((experiment, method, variant, train_domain, test_domain), numbers, split, metric)| {
            let (k, seed, value, n) = numbers;
            ResultRow {
                experiment,
                method,
                variant,
                train_domain,
                test_domain,
                k,
                seed,
                split,
                metric,
                value,
                n,
                stage_key: Digest::of_bytes(&n.to_le_bytes()),
            }
        },
    )
}

proptest! {
    #[test]
    fn any_set_reads_back_the_same(rows in proptest::collection::vec(any_row(), 0..12)) {
        // Two rows of one cell are refused, which is not what this is about.
        if let Ok(set) = ResultSet::from_rows(rows.clone()) {
            let text = set.to_csv();
            prop_assert_eq!(text.lines().count(), rows.len() + 1);
            let back = ResultSet::from_csv("any", text.as_bytes()).expect("what we wrote");
            prop_assert_eq!(back.to_csv(), text);
            for (one, other) in set.rows().iter().zip(back.rows()) {
                prop_assert_eq!(one.value.map(f64::to_bits), other.value.map(f64::to_bits));
            }
            let json = ResultSet::from_json("any", set.to_json().as_bytes()).expect("JSON");
            prop_assert_eq!(&json, &set);
            let mut turned = rows;
            turned.reverse();
            prop_assert_eq!(ResultSet::from_rows(turned).expect("a set"), set);
        }
    }
}
