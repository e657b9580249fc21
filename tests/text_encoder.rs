//! The text encoder against transformers: vectors of a small BERT, in every form of its folder;
//! and folders that are refused.
//!
//! The interop tests are skipped, with the reason, where Python has no PyTorch or transformers;
//! `RUNNER_PYTHON` chooses the interpreter, `RUNNER_TEXT_ENCODER` another encoder to compare.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test stops at what it does not expect, and says why it is skipped"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use runner::base::Random;
use runner::data::catalogue::catalogue;
use runner::data::{Domain, Item, Rated, Sample};
use runner::recommender::sequence::{ItemVectors, item_key};
use runner::recommender::{self, FitTask, ScoreTask};
use runner::text_encoder::{EmbedOptions, Pooling, RandomEncoder, TextEncoder, WordPieces};
use runner::train::Silent;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

/// Between single precision here and in PyTorch.
const TOLERANCE: f32 = 1e-5;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-bert")
}

fn expected() -> Value {
    let bytes = fs::read(fixture().join("expected.json")).expect("fixture");
    serde_json::from_slice(&bytes).expect("JSON")
}

fn texts(expected: &Value) -> Vec<&str> {
    let list = expected["texts"].as_array().expect("a list").iter();
    list.map(|text| text.as_str().expect("a text")).collect()
}

fn embed(folder: &Path, texts: &[&str], pooling: Pooling, max_tokens: usize) -> Vec<Vec<f32>> {
    let encoder = TextEncoder::open(folder).expect("a BERT");
    let options = EmbedOptions {
        pooling,
        max_tokens,
    };
    encoder
        .embed(texts, options, &mut |_, _| true)
        .expect("vectors")
}

/// The largest difference from the vectors of the fixture.
fn apart(folder: &Path) -> f32 {
    let expected = expected();
    let mut most: f32 = 0.0;
    for (name, pooling) in [("cls", Pooling::Cls), ("mean", Pooling::Mean)] {
        let wanted: Vec<Vec<f32>> = serde_json::from_value(expected[name].clone()).expect("rows");
        let found = embed(folder, &texts(&expected), pooling, 16);
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(&wanted) {
            assert_eq!(found.len(), wanted.len());
            let each = found.iter().zip(wanted).map(|(one, two)| (one - two).abs());
            most = each.fold(most, f32::max);
        }
    }
    most
}

/// A copy of the fixture to change.
fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    for entry in fs::read_dir(fixture()).expect("fixture") {
        let path = entry.expect("entry").path();
        let name = path.file_name().expect("a name");
        fs::copy(&path, folder.path().join(name)).expect("copy");
    }
    folder
}

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// Writes the weights of a copy again after a change.
fn rewrite(folder: &Path, change: impl FnOnce(&mut Tensors)) {
    let path = folder.join("model.safetensors");
    let bytes = fs::read(&path).expect("weights");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let mut tensors: Tensors = file
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            let stored = (view.dtype(), view.shape().to_vec(), view.data().to_vec());
            (name, stored)
        })
        .collect();
    change(&mut tensors);
    let views = tensors.iter().map(|(name, (kind, shape, data))| {
        let view = TensorView::new(*kind, shape.clone(), data).expect("fits");
        (name, view)
    });
    fs::write(path, safetensors::serialize(views, None).expect("fits")).expect("write");
}

fn refused(folder: &Path) -> String {
    TextEncoder::open(folder).expect_err("refused").to_string()
}

fn set(folder: &Path, key: &str, value: Value) {
    let path = folder.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
    config[key] = value;
    fs::write(path, config.to_string()).expect("write");
}

#[test]
fn tokens_and_vectors_are_those_of_transformers() {
    let expected = expected();
    let pieces = WordPieces::read(&fixture()).expect("a tokenizer");
    let ids: Vec<Vec<u32>> = serde_json::from_value(expected["ids"].clone()).expect("ids");
    for (text, ids) in texts(&expected).into_iter().zip(ids) {
        assert_eq!(pieces.encode(text, 16).expect("encode"), ids, "{text}");
    }
    let apart = apart(&fixture());
    println!("largest difference {apart:.2e}");
    assert!(apart < TOLERANCE, "{apart:e}");
}

#[test]
fn every_form_of_the_folder_gives_the_same_vectors() {
    // The older tokenizer file.
    let folder = copy();
    fs::remove_file(folder.path().join("tokenizer.json")).expect("remove");
    assert!(apart(folder.path()) < TOLERANCE);

    // As bert-base-uncased lies on the hub: prefix, TensorFlow's names, heads, integers.
    rewrite(folder.path(), |tensors| {
        let old = std::mem::take(tensors);
        for (name, stored) in old {
            let name = name
                .replace("LayerNorm.weight", "LayerNorm.gamma")
                .replace("LayerNorm.bias", "LayerNorm.beta");
            tensors.insert(format!("bert.{name}"), stored);
        }
        let bias = (Dtype::F32, vec![94], vec![0; 94 * 4]);
        tensors.insert("cls.predictions.bias".to_owned(), bias);
        let positions: Vec<u8> = (0..24_i64).flat_map(i64::to_le_bytes).collect();
        let positions = (Dtype::I64, vec![1, 24], positions);
        tensors.insert("bert.embeddings.position_ids".to_owned(), positions);
    });
    assert!(apart(folder.path()) < TOLERANCE);

    // In shards.
    let bytes = fs::read(folder.path().join("model.safetensors")).expect("weights");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let mut map = BTreeMap::new();
    for (shard, odd) in [("a.safetensors", false), ("b.safetensors", true)] {
        let mut views = BTreeMap::new();
        for (at, (name, view)) in file.tensors().into_iter().enumerate() {
            if (at % 2 == 1) == odd && !name.ends_with("position_ids") {
                map.insert(name.clone(), shard);
                views.insert(name, view);
            }
        }
        let bytes = safetensors::serialize(views, None).expect("fits");
        fs::write(folder.path().join(shard), bytes).expect("write");
    }
    fs::remove_file(folder.path().join("model.safetensors")).expect("remove");
    let index = json!({"metadata": {}, "weight_map": map}).to_string();
    let path = folder.path().join("model.safetensors.index.json");
    fs::write(path, index).expect("write");
    assert!(apart(folder.path()) < TOLERANCE);
}

#[test]
fn what_is_not_a_whole_bert_is_refused_by_name() {
    let folder = copy();
    set(folder.path(), "model_type", json!("distilbert"));
    let error = refused(folder.path());
    assert!(error.contains("\"distilbert\", not \"bert\""), "{error}");

    let query = "encoder.layer.1.attention.self.query.weight";
    let folder = copy();
    rewrite(folder.path(), |tensors| drop(tensors.remove(query)));
    let error = refused(folder.path());
    assert!(
        error.contains("missing") && error.contains(query),
        "{error}"
    );

    let folder = copy();
    rewrite(folder.path(), |tensors| {
        let nan = f32::NAN.to_le_bytes();
        tensors.get_mut(query).expect("there").2[8..12].copy_from_slice(&nan);
    });
    let error = refused(folder.path());
    assert!(
        error.contains(query) && error.contains("NaN at index 2"),
        "{error}"
    );

    let folder = copy();
    rewrite(folder.path(), |tensors| {
        let extra = (Dtype::F32, vec![1], vec![0; 4]);
        tensors.insert("encoder.rotary.weight".to_owned(), extra);
    });
    let error = refused(folder.path());
    assert!(error.contains("encoder.rotary.weight"), "{error}");

    // One layer less in config.json than in the weights.
    let folder = copy();
    set(folder.path(), "num_hidden_layers", json!(1));
    assert!(refused(folder.path()).contains("encoder.layer.1"));

    let folder = copy();
    set(folder.path(), "vocab_size", json!(80));
    let error = refused(folder.path());
    assert!(error.contains("different models"), "{error}");

    let folder = copy();
    set(folder.path(), "max_position_embeddings", json!(23));
    let error = refused(folder.path());
    assert!(error.contains("position_embeddings"), "{error}");

    let folder = copy();
    let path = folder.path().join("model.safetensors");
    let bytes = fs::read(&path).expect("read");
    fs::write(&path, &bytes[..bytes.len() - 4]).expect("write");
    assert!(refused(folder.path()).contains("cut"));

    let folder = tempfile::tempdir().expect("folder");
    let none = folder.path().join("none");
    assert!(refused(&none).contains("no such folder"));
}

/// Runs the script; whether it ran.
fn python(what: &str, arguments: &[&Path]) -> bool {
    let interpreter = std::env::var("RUNNER_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = Command::new(&interpreter)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/text_encoder_interop.py"))
        .arg(what)
        .args(arguments)
        .env("HF_HUB_OFFLINE", "1")
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            println!("skipped: `{interpreter}` does not start: {error}");
            return false;
        }
    };
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{shown}");
    if output.status.code() == Some(77) {
        return false;
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shown}\n{errors}");
    true
}

/// What runner makes of some texts, in the form the script reads.
fn ours(folder: &Path, texts: &[&str], max_tokens: usize, tolerance: f64) -> Value {
    json!({
        "texts": texts,
        "max_tokens": max_tokens,
        "tolerance": tolerance,
        "cls": embed(folder, texts, Pooling::Cls, max_tokens),
        "mean": embed(folder, texts, Pooling::Mean, max_tokens),
    })
}

#[test]
fn transformers_loads_what_we_make_and_we_read_what_it_saves() {
    let titles: Vec<String> = (0..50)
        .map(|index| {
            format!(
                "The {} of Amélie, No. {index} (19{:02})",
                index * 7 % 13,
                40 + index
            )
        })
        .collect();
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    let folder = tempfile::tempdir().expect("folder");
    let made = folder.path().join("random");
    let options = RandomEncoder {
        seed: 5,
        ..RandomEncoder::default()
    };
    options.write(&made, titles.iter().copied()).expect("write");
    let expected = folder.path().join("expected.json");
    fs::write(&expected, ours(&made, &titles, 24, 1e-5).to_string()).expect("write");
    let pickled = folder.path().join("pickled");
    if python("check", &[&made, &expected, &pickled]) {
        assert!(pickled.join("pytorch_model.bin").exists());
        assert_eq!(
            embed(&pickled, &titles, Pooling::Cls, 24),
            embed(&made, &titles, Pooling::Cls, 24)
        );
    }
}

#[test]
fn another_encoder_agrees_with_transformers() {
    let Some(encoder) = std::env::var_os("RUNNER_TEXT_ENCODER").map(PathBuf::from) else {
        println!("skipped: RUNNER_TEXT_ENCODER names no folder of a BERT");
        return;
    };
    let titles = [
        "Toy Story (1995)",
        "Misérables, Les (1995)",
        "2 Days in the Valley (1996)",
        "Star Wars: Episode IV - A New Hope (1977)",
        "Harry Potter and the Sorcerer's Stone (Book 1) written by J. K. Rowling",
    ];
    let folder = tempfile::tempdir().expect("folder");
    let expected = folder.path().join("expected.json");
    // Twelve layers of numbers around one.
    fs::write(&expected, ours(&encoder, &titles, 64, 1e-4).to_string()).expect("write");
    python("check", &[&encoder, &expected]);
}

/// Samples over a few films with titles of their own; of the targets some are of no catalogue.
fn samples(rows: u32) -> Vec<Sample> {
    let mut random = Random::new(3, "samples");
    let film = |number: usize| Item {
        id: number.to_string(),
        title: format!("Film of {} words {number}", number % 5),
        maker: None,
    };
    (0..rows)
        .map(|row| Sample {
            row,
            domain: Domain::Movie,
            user: None,
            time: None,
            history: (0..random.below(13))
                .map(|_| Rated {
                    item: film(random.below(20)),
                    liked: random.uniform() < 0.5,
                })
                .collect(),
            target: film(random.below(20)),
            label: random.uniform() < 0.5,
            instruction: String::new(),
            input: String::new(),
            output: String::new(),
        })
        .collect()
}

#[test]
fn networks_with_text_vectors_score_as_pytorch_does() {
    let (train, valid) = (samples(24), samples(30));
    let folder = tempfile::tempdir().expect("folder");
    let encoder = folder.path().join("encoder");
    let catalogue = catalogue(train.iter().chain(&valid));
    let titles: Vec<&str> = catalogue
        .iter()
        .map(|one| one.item.title.as_str())
        .collect();
    RandomEncoder::default()
        .write(&encoder, titles.iter().copied())
        .expect("write");
    let numbers = embed(&encoder, &titles, Pooling::Mean, 32);
    let keys: Vec<String> = catalogue
        .iter()
        .map(|one| item_key(one.domain, &one.item))
        .collect();
    let path = folder.path().join("vectors.safetensors");
    ItemVectors::write(&path, 64, &keys, &numbers.concat()).expect("write");
    let vectors = ItemVectors::read(&path).expect("read");
    for name in ["gru_bert", "dros_bert"] {
        let method = recommender::find(name).expect("built");
        let model = folder.path().join(name);
        let task = FitTask {
            train: &train,
            valid: &valid,
            catalogue: &catalogue,
            seed: 1,
            folder: &model,
            item_vectors: Some(&vectors),
        };
        // Four layers, as the paper's; large steps, so that scores differ.
        let settings = json!({"hidden_size": 24, "epochs": 12, "learning_rate": 0.02});
        method.fit(&settings, &task, &mut Silent).expect("fits");
        let mut asked = valid.clone();
        for (sample, unknown) in asked.iter_mut().zip(["a", "b"]) {
            // Items of no catalogue.
            sample.target.id = unknown.to_owned();
            if let Some(first) = sample.history.first_mut() {
                first.item.id = unknown.to_owned();
            }
        }
        let scores = method
            .score(&ScoreTask {
                folder: &model,
                samples: &asked,
                item_vectors: Some(&vectors),
            })
            .expect("scores");
        assert_eq!(scores.unknown.unknown_targets, 2);
        let spread = |pick: fn(f64, f64) -> f64| scores.likes.iter().copied().reduce(pick);
        assert!(spread(f64::max).expect("rows") - spread(f64::min).expect("rows") > 0.1);
        let rows: Vec<Value> = asked
            .iter()
            .map(|sample| {
                let key = |item| item_key(sample.domain, item);
                let items: Vec<String> = sample.history.iter().map(|one| key(&one.item)).collect();
                let likes: Vec<bool> = sample.history.iter().map(|one| one.liked).collect();
                json!([items, likes, key(&sample.target)])
            })
            .collect();
        let expected = folder.path().join("scores.json");
        let text = json!({"rows": rows, "scores": scores.likes}).to_string();
        fs::write(&expected, text).expect("write");
        python("scores", &[&model, &path, &expected]);
    }
}
