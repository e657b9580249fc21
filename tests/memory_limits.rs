//! What a plan says of memory and time, a run that is refused, and one that is made to fit.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "program/mod.rs"]
mod program;

use program::{Lab, Outcome, repository};
use runner::language_model::decoder::fresh_weights;
use runner::language_model::{
    Backbone, Configuration, NumberType, Parameter, Parameters, Tokenizer,
};
use serde_json::Value;

/// Only the language model, with few steps.
const SMALL: [&str; 14] = [
    "--set",
    "grid.method=[{tallrec: {variant: [base, RT]}}]",
    "--set",
    "grid.k=[64]",
    "--set",
    "grid.seed=0",
    "--set",
    "settings.tallrec.rec_tune.max_steps=1",
    "--set",
    "settings.tallrec.rec_tune.warmup_steps=0",
    "--set",
    "settings.tallrec.rec_tune.batch_size=64",
    "--set",
    "settings.tallrec.rec_tune.max_validation_rows=32",
];

/// The program in the repository, with a store in the lab.
fn run(lab: &Lab, command: &str, more: &[&str]) -> Outcome {
    run_experiment(
        lab,
        command,
        "experiments/quickstart.yaml",
        &[&SMALL[..], more].concat(),
    )
}

fn run_experiment(lab: &Lab, command: &str, experiment: &str, more: &[&str]) -> Outcome {
    let [repository, store, results] = [
        repository().to_owned(),
        lab.path("store"),
        lab.path("results"),
    ]
    .map(|path| path.display().to_string());
    let fixed = ["-C", &repository, command, experiment];
    let folders = ["--store", &store, "--results", &results];
    lab.run_list(&[&fixed[..], more, &folders[..]].concat())
}

/// What the plan says of the stages of a template.
fn planned(lab: &Lab, template: &str, more: &[&str]) -> Vec<Value> {
    let json = run(lab, "plan", &[more, &["--json"]].concat())
        .fine()
        .json();
    let stages = json["accelerator"]["stages"].as_array().expect("stages");
    let of_template = |stage: &&Value| {
        let id = stage["stage"].as_str().unwrap_or_default();
        id.split('@').next() == Some(template)
    };
    stages.iter().filter(of_template).cloned().collect()
}

/// A model of random weights that is large enough for its memory to be seen, with the small
/// model's tokenizer.
fn model(lab: &Lab) -> String {
    let world = repository().join("experiments/backbones/world");
    let tokenizer = Tokenizer::read(&world).expect("a tokenizer");
    let configuration = Configuration {
        hidden_size: 256,
        intermediate_size: 688,
        heads: 8,
        key_value_heads: 8,
        head_size: 32,
        ..Configuration::read(&world).expect("a configuration")
    };
    let weights = fresh_weights(&configuration, 1);
    let shapes = configuration.tensors().into_iter();
    let all = shapes.map(|(name, shape)| {
        let values = weights.get(&name).expect("a tensor").to_vec();
        (name, Parameter::new(shape, values))
    });
    let folder = lab.path("model");
    let parameters = Parameters::new(all.collect());
    Backbone::write(
        &folder,
        &configuration,
        &parameters,
        NumberType::F32,
        &tokenizer,
    )
    .expect("written");
    format!("backbone.path={}", folder.display())
}

/// Stages with the environments of their manifests.
fn environments(lab: &Lab) -> Vec<(String, Value)> {
    let manifests = lab.files("store/manifests");
    let read = |name: &String| {
        let text = std::fs::read(lab.path("store/manifests").join(name)).ok()?;
        let manifest: Value = serde_json::from_slice(&text).ok()?;
        let stage = manifest["stage"].as_str()?.to_owned();
        Some((stage, manifest["environment"].clone()))
    };
    manifests.iter().filter_map(read).collect()
}

#[test]
fn memory_is_planned_refused_fitted_and_measured() {
    let lab = Lab::empty();
    let backbone = model(&lab);
    let with_model = ["--set", &backbone];

    // Before there are samples, lengths are only bounded, and nothing is refused for that.
    let train = planned(&lab, "train", &with_model);
    assert_eq!(train.len(), 1);
    assert_eq!(train[0]["needs"]["basis"], "limit");
    assert_eq!(train[0]["needs"]["longest"][0], 4096);
    assert_eq!(train[0]["fit"], "fits");
    let at_most = train[0]["training_bytes"].as_u64().expect("bytes");

    // Scoring needs the samples, so after it the lengths of the texts are known.
    let only = [&with_model[..], &["--only", "variant=base"]].concat();
    run(&lab, "run", &[&only[..], &["--quiet"]].concat()).fine();
    let train = planned(&lab, "train", &with_model);
    assert_eq!(train[0]["needs"]["basis"], "pool");
    let pool = train[0]["training_bytes"].as_u64().expect("bytes");
    // A shared beginning, of which nothing was known before, costs a little by itself.
    assert!(pool <= at_most * 21 / 20, "{pool} {at_most}");
    // How fast the model is was learnt from scoring.
    assert_eq!(train[0]["seconds_by"], "same_model");
    assert!(train[0]["seconds"].as_f64().expect("seconds") > 0.0);

    // Too large: refused before anything runs.
    let limit = pool * 7 / 10;
    let limits = format!("limits={{train: {{memory: {limit}}}}}");
    let limited = [&with_model[..], &["--set", &limits]].concat();
    let plan = run(&lab, "plan", &limited).fine();
    let says = "that `limits` allow (CPU, f32); it fits with pass_tokens 4096 → ";
    assert!(plan.out.contains(says), "{plan}");
    assert!(plan.out.contains(", or with checkpoint_layers ("), "{plan}");
    let refused = run(&lab, "run", &limited);
    assert_eq!(refused.code, 10, "{refused}");
    assert!(refused.err.contains("nothing was run"), "{refused}");
    assert!(refused.err.contains(says), "{refused}");

    // Made to fit, it keeps to the limit at the first try, and its manifest says what was changed.
    let fitted = run(&lab, "run", &[&limited[..], &["--fit"]].concat()).fine();
    let changed = "1 × train: pass_tokens 4096 → ";
    assert!(fitted.err.contains(changed), "{fitted}");
    assert!(!fitted.err.contains("out of memory"), "{fitted}");
    let notes = environments(&lab).into_iter();
    let notes = notes.filter_map(|(_, all)| Some(all["memory"].as_str()?.to_owned()));
    let notes: Vec<String> = notes.collect();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].starts_with("pass_tokens 4096 → "), "{notes:?}");
    // The key is the same, so there is nothing left to do without a limit either.
    let after = run(&lab, "plan", &with_model).fine();
    assert!(after.out.contains(" 0 to run"), "{after}");

    // Whole passes: what the worker took, as the manifest says, is what was planned.
    let other = [
        &with_model[..],
        &["--set", "settings.tallrec.rec_tune.seed=9"],
    ]
    .concat();
    let train = planned(&lab, "train", &other);
    assert_eq!(train[0]["needs"]["basis"], "rows");
    assert_eq!(train[0]["seconds_by"], "same_kind_and_model");
    let exact = train[0]["training_bytes"].as_u64().expect("bytes");
    run(&lab, "run", &[&other[..], &["--quiet"]].concat()).fine();
    let peaks = environments(&lab)
        .into_iter()
        .filter(|(stage, _)| stage.starts_with("train@"));
    let peaks = peaks.filter_map(|(_, all)| all["peak_memory"].as_str()?.parse::<u64>().ok());
    let measured = peaks.max().expect("a peak");
    let ratio = exact as f64 / measured as f64;
    assert!(
        (ratio - 1.0).abs() < 0.1,
        "{exact} planned, {measured} measured: {ratio:.3}; {train:?}"
    );
    // And the next plan says how near the plans were.
    let more = [
        &with_model[..],
        &["--set", "settings.tallrec.rec_tune.seed=10"],
    ]
    .concat();
    let plan = run(&lab, "plan", &more).fine();
    let says = "measured so far: ";
    let line = plan.out.lines().find(|line| line.starts_with(says));
    let line = line.unwrap_or_else(|| panic!("{plan}"));
    assert!(line.ends_with(" % of the memory planned"), "{line}");
}

/// Of LLaMA-7B no more than its sizes is here; that is enough for a plan.
#[test]
fn llama_7b_is_planned_from_its_sizes() {
    let lab = Lab::empty();
    lab.write(
        "llama-7b/config.json",
        r#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
        "num_attention_heads": 32, "vocab_size": 32000, "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6, "tie_word_embeddings": false}"#,
    );
    let folder = format!("backbone.path={}", lab.path("llama-7b").display());
    let limits =
        "limits={rec_tune: {memory: 4GB}, alpaca_tune: {memory: 4GB}, score: {memory: 4GB}}";
    let only = ["--only", "method=tallrec", "--set", limits];
    let table3 = "experiments/table3.yaml";
    let known = run_experiment(
        &lab,
        "plan",
        table3,
        &[&only[..], &["--set", &folder]].concat(),
    )
    .fine();
    // Nobody fetches anything for a plan.
    let hub = ["--set", "backbone.hf=nobody/has-this-model"];
    let unknown = run_experiment(&lab, "plan", table3, &[&only[..], &hub].concat()).fine();
    let refused = run_experiment(
        &lab,
        "run",
        table3,
        &[&only[..], &["--set", &folder]].concat(),
    );
    assert_eq!(refused.code, 10, "{refused}");
    assert_redacted!("llama_7b", format!("{known}\n{unknown}\n{refused}"));
}
