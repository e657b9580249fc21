//! Thirty steps of tuning an adapter against those of transformers and PEFT.
//!
//! The optimiser is written out here: what is tested are the decoder's losses and gradients.

#![expect(
    clippy::expect_used,
    reason = "a test stops at what it does not expect"
)]

mod tiny_models;

use std::collections::BTreeMap;
use std::sync::Arc;

use runner::language_model::{
    Batch, Decoder, LanguageModel, Parameters, Pass, Sequence, Target, Trainable, Weights,
};
use serde_json::Value;
use tiny_models::{adapter, apart, configuration, folder, json, tensors, weights};

struct Sample {
    tokens: Vec<u32>,
    prompt: usize,
}

fn samples(trajectories: &Value) -> Vec<Sample> {
    let data = trajectories["data"].as_array().expect("a list").iter();
    data.map(|row| Sample {
        tokens: serde_json::from_value(row["ids"].clone()).expect("tokens"),
        prompt: row["prompt_len"].as_u64().expect("a length") as usize,
    })
    .collect()
}

/// A batch whose targets all have the weight one over `count`, their number if not given.
fn batch(samples: &[&Sample], whole: bool, share: f32, count: Option<usize>) -> Batch {
    let first = |sample: &Sample| if whole { 1 } else { sample.prompt };
    let targets = |sample: &&Sample| sample.tokens.len() - first(sample);
    let count = count.unwrap_or_else(|| samples.iter().map(targets).sum());
    let sequences = samples.iter().map(|sample| Sequence {
        tokens: sample.tokens.clone(),
        targets: (first(sample)..sample.tokens.len())
            .map(|at| Target {
                position: at - 1,
                token: sample.tokens[at],
                weight: share / count as f32,
            })
            .collect(),
        stream: 0,
    });
    Batch {
        sequences: sequences.collect(),
        shared_prefix: 0,
    }
}

fn norm(parameters: &Parameters) -> f64 {
    let gradients = parameters.iter().flat_map(|(_, one)| &one.gradient);
    gradients.map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
}

fn flat(parameters: &Parameters, part: &str, gradient: bool) -> Vec<f32> {
    let all = parameters.iter().filter(|(name, _)| name.contains(part));
    all.flat_map(|(_, one)| if gradient { &one.gradient } else { &one.values })
        .copied()
        .collect()
}

fn file(name: &str, part: &str) -> Vec<f32> {
    let all = tensors(&folder("train").join(name)).into_iter();
    let all = all.filter(|(name, _)| name.contains(part));
    all.flat_map(|(_, values)| values).collect()
}

#[test]
fn trajectories() {
    let trajectories = json(&folder("train/trajectories.json"));
    let base = trajectories["base"].as_str().expect("a name");
    let configuration = configuration(base);
    let shared = Arc::new(Weights::new(&configuration, weights(base)).expect("complete"));
    let samples = samples(&trajectories);
    let rate = trajectories["lr"].as_f64().expect("a rate");
    let runs = trajectories["runs"].as_object().expect("runs");
    for (name, run) in runs {
        if run["labels"] == "hf_full" {
            continue;
        }
        let (options, values) = adapter(base);
        let trainable = Trainable::Adapter { options, values };
        let mut decoder =
            Decoder::new(configuration.clone(), Arc::clone(&shared), trainable).expect("fits");
        let mut moments: BTreeMap<String, [Vec<f32>; 2]> = decoder
            .parameters()
            .iter()
            .map(|(name, one)| {
                (
                    name.to_owned(),
                    [(); 2].map(|()| vec![0.0; one.values.len()]),
                )
            })
            .collect();
        let steps = run["steps"].as_array().expect("steps");
        for (step, wanted) in steps.iter().enumerate() {
            let rows: Vec<&Sample> = (0..8).map(|at| &samples[(8 * step + at) % 40]).collect();
            let whole = run["labels"] == "full";
            let batches = if run["reduction"] == "token_mean" {
                let all = batch(&rows, whole, 1.0, None);
                let count = all.sequences.iter().map(|one| one.targets.len()).sum();
                [&rows[..4], &rows[4..]].map(|rows| batch(rows, whole, 1.0, Some(count)))
            } else {
                [&rows[..4], &rows[4..]].map(|rows| batch(rows, whole, 0.5, None))
            };
            decoder.parameters_mut().clear_gradients();
            let loss: f64 = batches
                .iter()
                .map(|batch| {
                    decoder
                        .accumulate(batch, &Pass::default())
                        .expect("in range")
                })
                .sum();
            let expected = |key: &str| wanted[key].as_f64().expect("a number");
            assert!((loss - expected("loss")).abs() < 2e-5, "{name} step {step}");
            let found = norm(decoder.parameters());
            let most = (found - expected("grad_norm")).abs();
            assert!(most < 1e-4, "{name} step {step}: {most:e}");
            let first = format!("{name}.grad0.safetensors");
            if step == 0 && folder("train").join(&first).exists() {
                for part in ["lora_A", "lora_B"] {
                    let most = apart(&flat(decoder.parameters(), part, true), &file(&first, part));
                    assert!(most < 5e-6, "{name} {part}: {most:e}");
                }
            }
            let factor = run["clip_norm"]
                .as_f64()
                .map_or(1.0, |clip| f64::min(1.0, clip / (found + 1e-6)));
            let rate = rate
                * if step < 5 {
                    step as f64 / 5.0
                } else {
                    (30 - step) as f64 / 25.0
                };
            let corrections = [0.9_f64, 0.999].map(|beta| 1.0 - beta.powi(step as i32 + 1));
            for (name, parameter) in decoder.parameters_mut().iter_mut() {
                let [first, second] = moments.get_mut(name).expect("as many");
                for (at, value) in parameter.values.iter_mut().enumerate() {
                    let gradient = parameter.gradient[at] * factor as f32;
                    first[at] = first[at] * 0.9 + gradient * 0.1;
                    second[at] = second[at] * 0.999 + gradient * gradient * 0.001;
                    let mean = f64::from(first[at]) / corrections[0];
                    let square = f64::from(second[at]) / corrections[1];
                    *value -= (rate * mean / (square.sqrt() + 1e-8)) as f32;
                }
            }
        }
        let last = file(&format!("{name}.final.safetensors"), "lora");
        let most = apart(&flat(decoder.parameters(), "lora", false), &last);
        assert!(most < 2e-6, "{name}: {most:e}");
    }
}
