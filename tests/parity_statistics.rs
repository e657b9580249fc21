//! Tests and intervals against SciPy (`tests/fixtures/stats/ttest.json`) and against DeLong's
//! formulas written with NumPy (`delong.json`, made by `make_delong.py` beside it).

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use runner::statistics::{CannotSay, Comparison, Test, bootstrap, delong, student};
use serde_json::Value;

fn fixture(name: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/stats")
        .join(name);
    let bytes = std::fs::read(path).expect("fixture");
    serde_json::from_slice(&bytes).expect("json")
}

fn numbers(value: &Value) -> Vec<f64> {
    let array = value.as_array().expect("array");
    array.iter().map(|v| v.as_f64().expect("number")).collect()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    value[key].as_array().expect("array")
}

/// Near in relation to the size, so that p = 4e-23 is tested as well as p = 0.3.
fn assert_near(name: &str, found: f64, expected: &Value) {
    let expected = expected.as_f64().expect("number");
    let tolerance = 1e-9 * expected.abs().max(1e-300);
    assert!(
        (found - expected).abs() <= tolerance,
        "{name}: {found} and not {expected}"
    );
}

/// Compares with SciPy's t, p and df, or expects silence where SciPy has no finite t.
fn assert_same(name: &str, found: &Comparison, expected: &Value) {
    if expected["t"].is_null() {
        let reason = found.evidence.clone().expect_err(name);
        assert!(
            matches!(reason, CannotSay::NoSpread | CannotSay::TooFewSeeds(_)),
            "{name}: {reason}"
        );
        return;
    }
    let evidence = found.evidence.clone().expect(name);
    assert_near(name, evidence.p, &expected["p"]);
    let degrees = evidence.degrees_of_freedom.expect("t has degrees");
    assert_near(name, degrees, &expected["df"]);
    let t = evidence.statistic.expect("t");
    let expected = expected["t"].as_f64().expect("number");
    assert!(
        (t - expected).abs() <= 1e-9 * expected.abs(),
        "{name}: {t} {expected}"
    );
}

#[test]
fn t_tests_are_those_of_scipy() {
    let all = fixture("ttest.json");
    let cases = list(&all, "cases");
    assert_eq!(cases.len(), 10);
    let mut paired = 0;
    for case in cases {
        let name = case["name"].as_str().expect("name");
        let [one, other] = [numbers(&case["a"]), numbers(&case["b"])];
        assert_same(name, &student::welch(&one, &other), &case["welch"]);
        if !case["paired"].is_null() {
            assert_same(name, &student::paired(&one, &other), &case["paired"]);
            paired += 1;
        }
    }
    assert_eq!(paired, 7);
}

#[test]
fn intervals_are_those_of_scipy() {
    let all = fixture("delong.json");
    let ends = |name: &str, found: &Comparison, expected: &Value| {
        let evidence = found.evidence.clone().expect(name);
        assert_near(name, evidence.interval.low, &expected["low"]);
        assert_near(name, evidence.interval.high, &expected["high"]);
        assert_near(name, evidence.p, &expected["p"]);
    };
    for case in list(&all, "one_sample") {
        let fixed = case["fixed"].as_f64().expect("number");
        ends(
            "one sample",
            &student::one_sample(&numbers(&case["values"]), fixed),
            case,
        );
    }
    for case in list(&all, "welch") {
        ends(
            "welch",
            &student::welch(&numbers(&case["one"]), &numbers(&case["other"])),
            case,
        );
    }
}

#[test]
fn delong_is_delong() {
    let all = fixture("delong.json");
    let cases = list(&all, "cases");
    assert_eq!(cases.len(), 6);
    for case in cases {
        let name = case["name"].as_str().expect("name");
        let labels: Vec<bool> = list(case, "labels")
            .iter()
            .map(|label| *label == 1)
            .collect();
        let of = |scores: &Value| {
            delong::Placements::new(&labels, &[numbers(scores)]).expect("both classes")
        };
        let [one, other] = [of(&case["one"]), of(&case["other"])];
        let chance = delong::Placements::chance(&labels).expect("both classes");
        for (found, expected) in [
            (delong::difference(&one, &other), &case["difference"]),
            (
                delong::difference(&one, &chance),
                &case["one_against_chance"],
            ),
        ] {
            assert_eq!((found.test, found.n), (Test::Delong, [labels.len(); 2]));
            let effect = found.effect.expect("effect");
            let wanted = expected["effect"].as_f64().expect("number");
            assert!((effect - wanted).abs() < 1e-13, "{name}: {effect} {wanted}");
            let evidence = found.evidence.expect(name);
            assert_near(name, evidence.statistic.expect("z"), &expected["z"]);
            assert_near(name, evidence.p, &expected["p"]);
            for (end, key) in [
                (evidence.interval.low, "low"),
                (evidence.interval.high, "high"),
            ] {
                let wanted = expected[key].as_f64().expect("number");
                assert!((end - wanted).abs() < 1e-9, "{name}: {key} {end} {wanted}");
            }
        }
    }
}

/// Independent ways to the same answer: on many rows the bootstrap over rows and DeLong agree.
#[test]
fn the_bootstrap_over_rows_agrees_with_delong() {
    let all = fixture("delong.json");
    for name in ["balanced", "ties", "alike", "far"] {
        let case = list(&all, "cases").iter().find(|case| case["name"] == name);
        let case = case.expect("case");
        let labels: Vec<bool> = list(case, "labels")
            .iter()
            .map(|label| *label == 1)
            .collect();
        let resampler = bootstrap::Resampler::of_rows(&labels, 3, 4000).expect("rows");
        let systems = [vec![numbers(&case["one"])], vec![numbers(&case["other"])]];
        let mut areas = resampler
            .areas(&systems)
            .into_iter()
            .map(|one| one.expect("sound"));
        let mut next = || areas.next().expect("two systems");
        let (one, other) = (next(), next());
        let found = bootstrap::difference(&one, &other).evidence.expect(name);
        let width = found.interval.high - found.interval.low;
        let expected = &case["difference"];
        let [low, high] = ["low", "high"].map(|key| expected[key].as_f64().expect("number"));
        let ratio = width / (high - low);
        assert!((0.85..1.15).contains(&ratio), "{name}: {ratio}");
    }
}
