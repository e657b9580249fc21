//! Python's transformers and PEFT load what runner writes, and compute the same with it.
//!
//! Skipped, with the reason, where Python has no PEFT; `RUNNER_PYTHON` chooses the interpreter.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test stops at what it does not expect, and says why it is skipped"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use runner::language_model::{
    Adapter, Backbone, Configuration, NumberType, Parameter, Parameters, Tokenizer,
};
use safetensors::SafeTensors;
use serde_json::{Value, json};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// A base, an adapter, and what Python must make of them.
type Case = (PathBuf, PathBuf, Value);

/// Runs the script on all cases; whether it ran.
fn python(cases: &[Case]) -> bool {
    let folder = tempfile::tempdir().expect("folder");
    let mut arguments = Vec::new();
    for (index, (base, adapter, expected)) in cases.iter().enumerate() {
        let path = folder.path().join(format!("{index}.json"));
        fs::write(&path, expected.to_string()).expect("write");
        arguments.extend([base.clone(), adapter.clone(), path]);
    }
    let interpreter = std::env::var("RUNNER_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = Command::new(&interpreter)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peft_interop.py"))
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

/// The sequences of a fixture and PyTorch's logits with its adapter.
fn expected(name: &str) -> Value {
    let cases = fs::read(fixture(name).join("cases.json")).expect("cases");
    let cases: Value = serde_json::from_slice(&cases).expect("JSON");
    let bytes = fs::read(fixture(name).join("logits.safetensors")).expect("logits");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let tensor = file.tensor("adapter").expect("adapter");
    let numbers: Vec<f32> = tensor
        .data()
        .as_chunks()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect();
    let rows: Vec<&[f32]> = numbers.chunks(tensor.shape()[1]).collect();
    json!({"sequences": cases["sequences"], "rows": cases["rows"], "logits": rows})
}

#[test]
fn transformers_and_peft_load_what_we_write_and_we_read_what_they_do() {
    let folder = tempfile::tempdir().expect("folder");
    let mut cases = Vec::new();
    for name in [
        "tiny-llama-gqa",
        "tiny-llama-tied",
        "tiny-qwen2",
        "tiny-qwen3",
    ] {
        let written = folder.path().join(name);
        let adapter = Adapter::read(&fixture(name).join("adapter")).expect("adapter");
        adapter.write(&written).expect("write");
        cases.push((fixture(name), written, expected(name)));
    }

    let name = "tiny-llama-gqa";
    let configuration = Configuration::read(&fixture(name)).expect("config.json");
    let weights = configuration.open_weights(&fixture(name)).expect("weights");
    let numbers = weights.all_f32().expect("numbers");
    let parameters: BTreeMap<String, Parameter> = configuration
        .tensors()
        .into_iter()
        .map(|(name, shape)| {
            let values = numbers[&name].clone();
            (name, Parameter::new(shape, values))
        })
        .collect();
    let line = |index: usize| format!("User {index} liked \"Amélie {}\".\nYes. ", index % 31);
    let tokenizer = Tokenizer::train_bpe((0..500).map(line), 512).expect("tokenizer");
    let base = folder.path().join("base");
    Backbone::write(
        &base,
        &configuration,
        &Parameters::new(parameters),
        NumberType::F32,
        &tokenizer,
    )
    .expect("write");
    let texts: Vec<Value> = [
        "User 7 liked",
        " a  b\n\n",
        "東京 🎬 it's 1995, isn't it?",
        "",
    ]
    .iter()
    .map(|text| json!([text, tokenizer.encode(text, true).expect("encode")]))
    .collect();
    let pickles = folder.path().join("pickles");
    fs::create_dir(&pickles).expect("folder");
    let mut all = expected(name);
    all["texts"] = texts.into();
    all["make_bin"] = json!(pickles);
    cases.push((base, fixture(name).join("adapter"), all));
    if !python(&cases) {
        return;
    }
    let read = configuration
        .open_weights(&pickles)
        .expect("pytorch_model.bin");
    assert_eq!(
        read.digest().expect("digest"),
        weights.digest().expect("digest")
    );
    let config = fs::read(fixture(name).join("adapter/adapter_config.json")).expect("read");
    fs::write(pickles.join("adapter_config.json"), config).expect("write");
    let adapter = Adapter::read(&pickles).expect("adapter_model.bin");
    assert_eq!(
        adapter,
        Adapter::read(&fixture(name).join("adapter")).expect("adapter")
    );
}
