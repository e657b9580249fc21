//! The stages from samples to metrics, as the engine calls them.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::channel;

use runner::base::{Digest, Emitter, EventKind, Random};
use runner::data::frame::write_samples;
use runner::data::{Domain, Item, Rated, Sample};
use runner::stage::codec::{read_curve, read_predictions};
use runner::stage::evaluate::MetricRow;
use runner::stage::{InputArtifact, StageContext, StageError, find};
use serde_json::{Value, json};

fn item(number: usize) -> Item {
    Item {
        id: number.to_string(),
        title: format!("Item {number}"),
        maker: None,
    }
}

fn samples(rows: usize, seed: u64) -> Vec<Sample> {
    let mut random = Random::new(seed, "samples");
    (0..rows)
        .map(|row| {
            let label = random.uniform() < 0.5;
            Sample {
                row: row as u32,
                domain: Domain::Movie,
                user: Some(random.below(6).to_string()),
                time: None,
                history: (0..10)
                    .map(|_| Rated {
                        item: item(random.below(30)),
                        liked: random.uniform() < if label { 0.6 } else { 0.4 },
                    })
                    .collect(),
                target: item(random.below(30)),
                label,
                instruction: String::new(),
                input: String::new(),
                output: String::new(),
            }
        })
        .collect()
}

struct Ran {
    outputs: BTreeMap<String, PathBuf>,
    warnings: Vec<String>,
    result: Result<(), StageError>,
}

fn run(
    kind: &str,
    params: &Value,
    inputs: &[(&str, Vec<(PathBuf, &str)>)],
    scratch: &Path,
    cancelled: bool,
) -> Ran {
    let stage = find(kind).expect("registered");
    let completed = stage.complete(params).expect("parameters fit");
    assert_eq!(stage.complete(&completed).as_ref(), Ok(&completed));
    fs::create_dir_all(scratch).expect("folder");
    let outputs: BTreeMap<String, PathBuf> = stage
        .outputs(&completed)
        .expect("complete")
        .into_iter()
        .map(|output| (output.name, scratch.join(output.file)))
        .collect();
    let artifact = |(path, axis): &(PathBuf, &str)| InputArtifact {
        path: path.clone(),
        digest: Digest::of_bytes(b""),
        axes: BTreeMap::from([("weight_decay".to_owned(), (*axis).to_owned())]),
        origin: String::new(),
    };
    let inputs = inputs
        .iter()
        .map(|(name, paths)| ((*name).to_owned(), paths.iter().map(artifact).collect()))
        .collect();
    let (sender, receiver) = channel();
    let send = move |event| sender.send(event).unwrap_or_default();
    let emitter = Emitter::new(kind, Arc::new(send));
    let context = StageContext::new(inputs, outputs.clone(), scratch.to_owned(), emitter)
        .with_cancellation(Arc::new(AtomicBool::new(cancelled)));
    let result = stage.run(&completed, &context);
    drop(context);
    let warnings = receiver
        .iter()
        .filter_map(|event| match event {
            EventKind::Warned { message, .. } => Some(message),
            _ => None,
        })
        .collect();
    if result.is_ok() {
        assert!(outputs.values().all(|path| path.exists()), "{outputs:?}");
    }
    Ran {
        outputs,
        warnings,
        result,
    }
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("readable")).expect("json")
}

fn bytes(path: &Path) -> Vec<u8> {
    if path.is_dir() {
        let mut entries: Vec<PathBuf> = fs::read_dir(path)
            .expect("folder")
            .map(|entry| entry.expect("entry").path())
            .collect();
        entries.sort();
        return entries.iter().flat_map(|path| bytes(path)).collect();
    }
    fs::read(path).expect("readable")
}

#[test]
fn from_samples_to_metrics() {
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name);
    for (name, rows, seed) in [("train", 40, 1), ("valid", 60, 2), ("test", 50, 3)] {
        write_samples(&at(name), &samples(rows, seed)).expect("write");
    }
    let one = |name: &str| vec![(at(name), "")];
    let data = [("train", one("train")), ("valid", one("valid"))];
    let train = |weight_decay: f64, scratch: &str| {
        let params = json!({
            "method": "gru4rec", "seed": 3,
            "settings": {"hidden_size": 8, "epochs": 4, "weight_decay": 1.0},
            "overrides": {"weight_decay": weight_decay},
        });
        let ran = run("train_recommender", &params, &data, &at(scratch), false);
        ran.result.as_ref().expect("fits");
        ran
    };
    let (first, again) = (train(1e-3, "a"), train(1e-3, "a2"));
    for (name, path) in &first.outputs {
        assert_eq!(bytes(path), bytes(&again.outputs[name]), "{name}");
    }
    let config = json_of(&first.outputs["model"].join("config.json"));
    assert_eq!(config["settings"]["weight_decay"], 1e-3);
    assert_eq!(config["settings"]["layers"], 1);
    let summary = json_of(&first.outputs["summary"]);
    assert_eq!(summary["epochs"], 4);
    let curve = read_curve(&first.outputs["curve"]).expect("curve");
    let best = summary["best_epoch"].as_u64().expect("number") as usize;
    let best = curve.iter().find(|point| point.epoch == best);
    let best = best.expect("validated").valid_auc;
    assert_eq!(summary["valid_auc"], best);
    assert!(curve.iter().all(|point| point.valid_auc <= best));
    let valid = read_predictions(&first.outputs["valid"]).expect("predictions");
    assert_eq!(valid.len(), 60);

    let second = train(0.5, "b");
    let both = |name: &str| {
        vec![
            (first.outputs[name].clone(), "0.001"),
            (second.outputs[name].clone(), "0.5"),
        ]
    };
    let gathered = [
        ("candidates", both("model")),
        ("summaries", both("summary")),
    ];
    let chosen = run("select", &json!({}), &gathered, &at("c"), false);
    chosen.result.expect("selects");
    let choice = json_of(&chosen.outputs["choice"]);
    let area = |candidate: &Value| candidate["valid_auc"].as_f64().expect("number");
    let candidates = choice["candidates"].as_array().expect("array");
    assert_eq!(candidates.len(), 2);
    assert!(
        candidates
            .iter()
            .all(|candidate| area(candidate) <= area(&choice["chosen"]))
    );
    let winner = if choice["chosen"]["axes"]["weight_decay"] == "0.001" {
        &first
    } else {
        &second
    };
    assert_eq!(
        bytes(&chosen.outputs["model"]),
        bytes(&winner.outputs["model"])
    );
    let crossed = [
        ("candidates", both("model")),
        ("summaries", {
            let mut summaries = both("summary");
            summaries.reverse();
            summaries
        }),
    ];
    assert!(
        run("select", &json!({}), &crossed, &at("d"), false)
            .result
            .is_err()
    );

    let inputs = [
        ("model", vec![(chosen.outputs["model"].clone(), "")]),
        ("samples", one("test")),
    ];
    let predicted = run("predict", &json!({}), &inputs, &at("e"), false);
    predicted.result.expect("predicts");
    assert_eq!(
        json_of(&predicted.outputs["summary"])["unknown_items"]["targets"],
        50
    );
    let other = json!({"method": "majority"});
    assert!(
        run("predict", &other, &inputs, &at("f"), false)
            .result
            .is_err()
    );

    let inputs = [(
        "predictions",
        vec![(predicted.outputs["predictions"].clone(), "")],
    )];
    let measured = run(
        "evaluate",
        &json!({"split": "test"}),
        &inputs,
        &at("g"),
        false,
    );
    measured.result.expect("measures");
    let rows: Vec<MetricRow> =
        serde_json::from_value(json_of(&measured.outputs["metrics"])).expect("rows");
    let names: Vec<&str> = rows.iter().map(|row| row.metric.as_str()).collect();
    assert_eq!(names, ["auc", "uauc", "log_loss"]);
    assert!(rows.iter().all(|row| row.value.is_some() && row.n > 0));
}

#[test]
fn a_yardstick_may_score_all_alike_and_a_cancelled_training_is_no_failure() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("samples");
    write_samples(&path, &samples(30, 1)).expect("write");
    let data = [
        ("train", vec![(path.clone(), "")]),
        ("valid", vec![(path.clone(), "")]),
    ];
    let scratch = folder.path().join("a");
    let params = json!({"method": "majority", "seed": 1});
    let ran = run("train_recommender", &params, &data, &scratch, false);
    ran.result.expect("fits");
    // Equal scores are what this method is for.
    assert!(ran.warnings.is_empty(), "{:?}", ran.warnings);
    assert_eq!(json_of(&ran.outputs["summary"])["valid_auc"], 0.5);

    let params = json!({"method": "gru4rec", "seed": 1});
    let ran = run(
        "train_recommender",
        &params,
        &data,
        &folder.path().join("b"),
        true,
    );
    assert!(matches!(ran.result, Err(StageError::Cancelled)));
}

#[test]
fn wrong_parameters_are_found_before_anything_runs() {
    let error = |kind: &str, params: Value| {
        let stage = find(kind).expect("registered");
        stage.complete(&params).expect_err("does not fit")
    };
    let kind = "train_recommender";
    let wrong = error(kind, json!({"method": "gru4rek", "seed": 1}));
    assert_eq!(wrong.path, "method");
    let params = json!({"method": "gru4rec", "seed": 1, "overrides": {"weight_decai": 1}});
    let wrong = error(kind, params);
    assert!(wrong.path.starts_with("settings"), "{wrong:?}");
    assert!(wrong.message.contains("weight_decai"), "{wrong:?}");
    let params = json!({"method": "gru4rec", "seed": 1, "settings": {"dropout": 1}});
    assert_eq!(error(kind, params).path, "settings.dropout");
    assert!(
        error(kind, json!({"method": "gru4rec"}))
            .message
            .contains("seed")
    );
    assert_eq!(
        error("evaluate", json!({"metrics": ["ndgc"]})).path,
        "metrics[0]"
    );
    assert!(error("select", json!({"by": "auc"})).message.contains("by"));
}

#[test]
fn the_same_settings_written_in_two_ways_are_one_key() {
    let stage = find("train_recommender").expect("registered");
    let key = |params: Value| {
        stage
            .key_params(&stage.complete(&params).expect("fits"))
            .into_owned()
    };
    let below = json!({"method": "gru4rec", "seed": 1, "settings": {"weight_decay": 0.01}});
    let above = json!({"method": "gru4rec", "seed": 1, "overrides": {"weight_decay": 0.01},
        "settings": {"hidden_size": 64, "weight_decay": 1}});
    assert_eq!(key(below), key(above));
    let schema = serde_json::to_value(stage.schema()).expect("json");
    assert!(
        schema["properties"]["overrides"]["description"].is_string(),
        "{schema}"
    );
}
