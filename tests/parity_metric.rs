//! AUC against scikit-learn's values (`tests/fixtures/stats`, made by `make_fixtures.py`).

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use candle_core::{DType, Device};
use runner::metric::{Prediction, find};
use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/stats")
        .join(name)
}

fn auc(labels: &[bool], scores: &[f64]) -> Option<f64> {
    let rows: Vec<Prediction> = labels
        .iter()
        .zip(scores)
        .enumerate()
        .map(|(row, (label, score))| Prediction {
            row: row as u32,
            user: None,
            label: *label,
            score: *score,
        })
        .collect();
    let measured = find("auc")
        .expect("registered")
        .compute(&rows)
        .expect("finite");
    assert_eq!(measured.value.is_none(), measured.note.is_some());
    measured.value
}

/// scikit-learn integrates trapezoids, we count pairs: a few units in the last place apart.
fn assert_near(name: &str, found: Option<f64>, expected: Option<f64>) {
    match (found, expected) {
        (Some(found), Some(expected)) => {
            assert!(
                (found - expected).abs() < 1e-13,
                "{name}: {found} {expected}"
            );
        }
        (found, expected) => assert_eq!(found, expected, "{name}"),
    }
}

#[test]
fn small_cases_agree() {
    let text = std::fs::read_to_string(fixture("auc.json")).expect("fixture");
    let all: Value = serde_json::from_str(&text).expect("json");
    let cases = all["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 13);
    for case in cases {
        let numbers = |key: &str| -> Vec<f64> {
            let array = case[key].as_array().expect("array");
            array.iter().map(|v| v.as_f64().expect("number")).collect()
        };
        let labels: Vec<bool> = numbers("labels").iter().map(|label| *label > 0.5).collect();
        let name = case["name"].as_str().expect("name");
        assert_near(name, auc(&labels, &numbers("scores")), case["auc"].as_f64());
    }
}

#[test]
fn ten_thousand_rows_agree() {
    let text = std::fs::read_to_string(fixture("auc.json")).expect("fixture");
    let all: Value = serde_json::from_str(&text).expect("json");
    let tensors = candle_core::safetensors::load(fixture("auc_10k.safetensors"), &Device::Cpu)
        .expect("fixture");
    let numbers = |name: &str| -> Vec<f64> {
        let wide = tensors[name].to_dtype(DType::F64).expect("cast");
        wide.to_vec1().expect("one dimension")
    };
    let mut compared = 0;
    for (key, value) in all["big"].as_object().expect("object") {
        let Some((labels, scores)) = key.split_once('/') else {
            continue;
        };
        let labels: Vec<bool> = numbers(labels).iter().map(|label| *label > 0.5).collect();
        assert_near(key, auc(&labels, &numbers(scores)), value.as_f64());
        compared += 1;
    }
    assert_eq!(compared, 4);
}
