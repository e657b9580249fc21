//! The data stages from end to end, on the synthetic world.

#![expect(clippy::expect_used, reason = "what a test prepares may fail it")]

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use runner::base::{Digest, Emitter, EventKind};
use runner::data::Sample;
use runner::data::frame::{read_records, read_samples, write_samples};
use runner::data::tallrec_json::write_tallrec_json;
use runner::stage::{InputArtifact, StageContext, StageError, find};
use serde_json::{Value, json};

/// Runs a stage in `folder` and gives its output paths and warnings.
fn run(
    folder: &Path,
    kind: &str,
    params: &Value,
    inputs: &[(&str, &Path)],
) -> Result<(BTreeMap<String, PathBuf>, Vec<String>), StageError> {
    let stage = find(kind).expect("kind");
    let completed = stage.complete(params).expect("params");
    std::fs::create_dir_all(folder).expect("folder");
    let outputs: BTreeMap<String, PathBuf> = stage
        .outputs(&completed)
        .expect("outputs")
        .into_iter()
        .map(|output| (output.name, folder.join(output.file)))
        .collect();
    let mut given: BTreeMap<String, Vec<InputArtifact>> = BTreeMap::new();
    for (name, path) in inputs {
        given
            .entry((*name).to_owned())
            .or_default()
            .push(InputArtifact {
                path: path.to_path_buf(),
                digest: Digest::of_bytes(b""),
                axes: BTreeMap::new(),
                origin: format!("given/{name}"),
            });
    }
    let (sender, receiver) = mpsc::channel();
    let context = StageContext::new(
        given,
        outputs.clone(),
        folder.to_owned(),
        Emitter::new(
            kind,
            std::sync::Arc::new(move |event| {
                let _ = sender.send(event);
            }),
        ),
    );
    stage.run(&completed, &context)?;
    drop(context);
    let warnings = receiver
        .into_iter()
        .filter_map(|event| match event {
            EventKind::Warned { message, .. } => Some(message),
            _ => None,
        })
        .collect();
    Ok((outputs, warnings))
}

fn small_world(folder: &Path) -> BTreeMap<String, PathBuf> {
    let params = json!({
        "seed": 3, "movie_users": 60, "movie_items": 80, "movie_ratings_per_user": 22,
        "book_users": 900, "book_items": 120, "instructions": 60,
    });
    run(&folder.join("world"), "synthetic", &params, &[])
        .expect("world")
        .0
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("reads")).expect("JSON")
}

#[test]
fn films_go_all_the_way() {
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let world = small_world(folder);
    let (made, warnings) = run(
        &folder.join("films"),
        "movielens",
        &json!({}),
        &[("raw", &world["movie"])],
    )
    .expect("samples");
    assert!(warnings.is_empty(), "{warnings:?}");
    let summary = json_of(&made["summary"]);
    let train = read_samples(&made["train"]).expect("train");
    assert!(train.len() > 300, "{}", train.len());
    assert_eq!(summary["splits"]["train"]["samples"], train.len());
    let (few, _) = run(
        &folder.join("shots"),
        "k_shot",
        &json!({"k": 16, "seed": 0}),
        &[("train", &made["train"])],
    )
    .expect("shots");
    assert_eq!(read_samples(&few["train"]).expect("shots").len(), 16);
    let error = run(
        &folder.join("shots"),
        "k_shot",
        &json!({"k": 100_000, "seed": 0}),
        &[("train", &made["train"])],
    )
    .expect_err("too many");
    assert!(
        error.to_string().contains("k = 100000 asks for more than"),
        "{error}"
    );
    let parts = ["train", "valid", "test"];
    let tokenizer = folder.join("tokenizer");
    std::fs::write(&tokenizer, TOKENIZER).expect("writes");
    let mut inputs: Vec<(&str, &Path)> = parts
        .iter()
        .map(|part| (*part, made[*part].as_path()))
        .collect();
    inputs.push(("tokenizer", &tokenizer));
    let (audited, warnings) = run(
        &folder.join("audit"),
        "data_audit",
        &json!({"token_limit": 40}),
        &inputs,
    )
    .expect("audit");
    let audit = json_of(&audited["audit"]);
    assert!(
        audit["title_signal"]["agreement"].as_f64().expect("number") > 0.55,
        "{audit:#}"
    );
    assert!(audit["splits"]["test"]["trivial"]["user_like_share_auc"].is_f64());
    assert!(
        warnings
            .iter()
            .any(|text| text.contains("Longer than 40 tokens")),
        "{warnings:?}"
    );
    assert!(
        warnings
            .iter()
            .any(|text| text.contains("does not come after train")),
        "{warnings:?}"
    );
}

/// Splits at white space, knows one word.
const TOKENIZER: &str = r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],
"normalizer":null,"pre_tokenizer":{"type":"Whitespace"},"post_processor":null,"decoder":null,
"model":{"type":"WordLevel","vocab":{"[UNK]":0},"unk_token":"[UNK]"}}"#;

#[test]
fn books_go_all_the_way_and_the_audit_tells_noise_from_signal() {
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let world = small_world(folder);
    let mut statements = BTreeMap::new();
    for labels in ["permuted", "own"] {
        let (made, warnings) = run(
            &folder.join(labels),
            "book_crossing",
            &json!({"labels": labels}),
            &[("raw", &world["book"])],
        )
        .expect("samples");
        assert!(
            warnings.iter().any(|text| text.contains("too many fields")),
            "{warnings:?}"
        );
        let inputs: Vec<(&str, &Path)> = ["train", "valid", "test"]
            .iter()
            .map(|part| (*part, made[*part].as_path()))
            .collect();
        let (audited, _) =
            run(&folder.join("audit"), "data_audit", &json!({}), &inputs).expect("audit");
        let audit = json_of(&audited["audit"]);
        let lead = audit["title_signal"]["agreement"].as_f64().expect("number") - 0.5;
        statements.insert(
            labels,
            lead / audit["title_signal"]["standard_error"]
                .as_f64()
                .expect("number"),
        );
    }
    assert!(statements["own"] > 2.0, "{statements:?}");
    assert!(
        statements["own"] > statements["permuted"] + 1.5,
        "{statements:?}"
    );
}

#[test]
fn released_files_are_imported_and_instructions_too() {
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let world = small_world(folder);
    let (made, _) = run(
        &folder.join("films"),
        "movielens",
        &json!({}),
        &[("raw", &world["movie"])],
    )
    .expect("samples");
    let raw = folder.join("raw");
    std::fs::create_dir_all(&raw).expect("folder");
    for part in ["train", "valid", "test"] {
        let mut bytes = Vec::new();
        write_tallrec_json(&mut bytes, &read_samples(&made[part]).expect("samples")).expect("JSON");
        std::fs::write(raw.join(format!("{part}.json")), bytes).expect("writes");
    }
    let (imported, _) = run(
        &folder.join("imported"),
        "tallrec_json",
        &json!({"domain": "movie"}),
        &[("raw", &raw)],
    )
    .expect("imports");
    let one = read_samples(&made["test"]).expect("samples");
    let two = read_samples(&imported["test"]).expect("samples");
    assert_eq!(one.len(), two.len());
    for (one, two) in one.iter().zip(&two) {
        assert_eq!((&one.input, one.label), (&two.input, two.label));
        assert_eq!(one.target.title, two.target.title);
        assert_eq!(one.history.len(), two.history.len());
    }
    let error = run(
        &folder.join("imported"),
        "tallrec_json",
        &json!({"domain": "book"}),
        &[("raw", &raw)],
    )
    .expect_err("films");
    let text = error.to_string();
    assert!(
        text.contains("given/raw/train.json:6") && text.contains("help:"),
        "{text}"
    );
    let (records, _) = run(
        &folder.join("records"),
        "alpaca_json",
        &json!({}),
        &[("raw", &world["alpaca"])],
    )
    .expect("records");
    assert_eq!(
        read_records(&records["records"]).expect("records").len(),
        60
    );
    assert_eq!(json_of(&records["summary"])["records"], 60);
}

#[test]
fn leaks_and_repetitions_are_found() {
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let world = small_world(folder);
    let (made, _) = run(
        &folder.join("films"),
        "movielens",
        &json!({"split": "by_time"}),
        &[("raw", &world["movie"])],
    )
    .expect("samples");
    let mut test = read_samples(&made["test"]).expect("test");
    let train = read_samples(&made["train"]).expect("train");
    test.push(train[0].clone());
    test.push(test[0].clone());
    let mut contradiction = test[1].clone();
    contradiction.output = if contradiction.label { "No." } else { "Yes." }.to_owned();
    test.push(contradiction);
    let leaky = folder.join("leaky");
    write_samples(&leaky, &test).expect("writes");
    let inputs: [(&str, &Path); 3] = [
        ("train", &made["train"]),
        ("valid", &made["valid"]),
        ("test", &leaky),
    ];
    let (audited, warnings) =
        run(&folder.join("audit"), "data_audit", &json!({}), &inputs).expect("audit");
    let audit = json_of(&audited["audit"]);
    assert_eq!(audit["splits"]["test"]["duplicates"], 1);
    assert_eq!(audit["splits"]["test"]["contradictions"], 1);
    assert!(audit["splits"]["test"]["tokens"].is_null());
    let said = |part: &str| warnings.iter().any(|text| text.contains(part));
    assert!(
        said("In both train and test, to the letter: 1 row."),
        "{warnings:?}"
    );
    assert!(said("In both train and test: "), "{warnings:?}");
    assert!(said("With both answers in test: 1 input"), "{warnings:?}");
    assert!(
        said("test does not come after train in time"),
        "{warnings:?}"
    );
}

/// Share of pairs of a liked and a disliked row in which the liked one has the higher share of
/// likes in its history; equal shares count half.
fn like_share_auc(samples: &[Sample]) -> f64 {
    let share = |sample: &Sample| {
        let likes = sample.history.iter().filter(|rated| rated.liked).count();
        likes as f64 / sample.history.len() as f64
    };
    let (mut sum, mut pairs) = (0.0, 0);
    for liked in samples.iter().filter(|sample| sample.label) {
        for disliked in samples.iter().filter(|sample| !sample.label) {
            pairs += 1;
            sum += match share(liked).total_cmp(&share(disliked)) {
                Ordering::Greater => 1.0,
                Ordering::Equal => 0.5,
                Ordering::Less => 0.0,
            };
        }
    }
    sum / f64::from(pairs)
}

#[test]
fn the_default_world_is_large_enough_and_trivial_scores_get_somewhere() {
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let (world, _) = run(&folder.join("world"), "synthetic", &json!({}), &[]).expect("world");
    for (kind, raw) in [("movielens", "movie"), ("book_crossing", "book")] {
        let (made, _) = run(
            &folder.join(kind),
            kind,
            &json!({}),
            &[("raw", &world[raw])],
        )
        .expect("samples");
        let [train, valid, test] =
            ["train", "valid", "test"].map(|part| read_samples(&made[part]).expect("samples"));
        assert!(train.len() >= 1000 && valid.len() >= 200 && test.len() >= 200);
        let held_out = [valid, test].concat();
        let likes = held_out.iter().filter(|sample| sample.label).count();
        let share = likes as f64 / held_out.len() as f64;
        assert!((0.3..0.7).contains(&share), "{kind}: {share}");
        let auc = like_share_auc(&held_out);
        assert!((0.58..0.75).contains(&auc), "{kind}: {auc}");
    }
}

#[test]
fn same_parameters_same_bytes() {
    let folder = tempfile::tempdir().expect("folder");
    let (one, two) = (
        small_world(&folder.path().join("one")),
        small_world(&folder.path().join("two")),
    );
    for (file, place) in [
        ("u.data", "movie"),
        ("u.item", "movie"),
        ("BX-Books.csv", "book"),
        ("BX-Book-Ratings.csv", "book"),
    ] {
        let read = |world: &BTreeMap<String, PathBuf>| {
            std::fs::read(world[place].join(file)).expect("reads")
        };
        assert_eq!(read(&one), read(&two), "{file}");
    }
    assert!(
        find("synthetic")
            .expect("kind")
            .complete(&json!({"movie_users": 2}))
            .is_err()
    );
    assert!(
        find("k_shot")
            .expect("kind")
            .complete(&json!({"k": 0, "seed": 1}))
            .is_err()
    );
}
