//! Optimiser steps of `tuning` against those of PyTorch, transformers and PEFT: learning rates,
//! reductions, clipping, `AdamW`, through the step function that trainings are made of.

#![expect(
    clippy::expect_used,
    reason = "a test stops at what it does not expect"
)]

mod tiny_models;

use std::sync::Arc;

use runner::language_model::{Decoder, LanguageModel, Pass, Trainable, Weights};
use runner::tuning::{
    AdamW, AdamWOptions, Evaluate, Example, Hooks, Keep, LossOn, Recipe, Reduction, Resources, Row,
    Schedule, Silent, StepDone, Task, TuneOptions, Validation, step, tune,
};
use serde_json::Value;
use tiny_models::{adapter, apart, configuration, folder, json, tensors, weights};

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn examples(trajectories: &Value) -> Vec<Example> {
    let data = trajectories["data"].as_array().expect("a list").iter();
    data.map(|row| Example {
        tokens: serde_json::from_value(row["ids"].clone()).expect("tokens"),
        answer_start: number(&row["prompt_len"]) as usize,
    })
    .collect()
}

#[test]
fn learning_rates() {
    let trajectories = json(&folder("train/trajectories.json"));
    let cases = trajectories["schedule_cases"].as_array().expect("a list");
    assert_eq!(cases.len(), 4);
    for case in cases {
        let (warmup, total) = (number(&case["warmup"]), number(&case["total"]));
        for (at, wanted) in case["lr"].as_array().expect("a list").iter().enumerate() {
            let found = Schedule::Linear.learning_rate(
                number(&case["base"]),
                at,
                warmup as usize,
                total as usize,
            );
            assert!((found - number(wanted)).abs() < 1e-15, "{case} {at}");
        }
    }
}

/// The five runs that are parity targets; `pass_tokens` cuts micro-batches into smaller passes.
fn compare(pass_tokens: usize) {
    let trajectories = json(&folder("train/trajectories.json"));
    let base = trajectories["base"].as_str().expect("a name");
    let configuration = configuration(base);
    let shared = Arc::new(Weights::new(&configuration, weights(base)).expect("complete"));
    let examples = examples(&trajectories);
    let runs = trajectories["runs"].as_object().expect("runs");
    let mut compared = 0;
    for (name, run) in runs {
        let loss_on = match run["labels"].as_str() {
            Some("full") => LossOn::Whole,
            Some("response") => LossOn::Answer,
            _ => continue,
        };
        compared += 1;
        let recipe = Recipe {
            loss_on,
            reduction: if run["reduction"] == "token_mean" {
                Reduction::TokenMean
            } else {
                Reduction::MicroMean
            },
            accumulation: 2,
            clip: run["clip_norm"].as_f64(),
            pass_tokens,
            shared_prefix: 0,
        };
        let (options, values) = adapter(base);
        let trainable = Trainable::Adapter { options, values };
        let mut model =
            Decoder::new(configuration.clone(), Arc::clone(&shared), trainable).expect("fits");
        let mut optimiser = AdamW::new(model.parameters(), AdamWOptions::default());
        let steps = run["steps"].as_array().expect("steps");
        for (at, wanted) in steps.iter().enumerate() {
            let row = |place: usize| Row {
                example: &examples[(8 * at + place) % 40],
                stream: 0,
            };
            let window = [(0..4).map(row).collect(), (4..8).map(row).collect()];
            let rate = Schedule::Linear.learning_rate(1e-3, at, 5, 30);
            assert!((rate - number(&wanted["lr"])).abs() < 1e-15);
            let StepDone {
                loss,
                gradient_norm,
                targets,
                ..
            } = step(
                &mut model,
                &mut optimiser,
                &window,
                &recipe,
                &Pass::default(),
                (at + 1, rate),
                &Silent,
            )
            .expect("a step");
            let apart = (loss - number(&wanted["loss"])).abs();
            assert!(apart < 2e-5, "{name} step {at}: loss {apart:e}");
            let apart = (gradient_norm - number(&wanted["grad_norm"])).abs();
            assert!(apart < 1e-4, "{name} step {at}: norm {apart:e}");
            let labels = wanted["label_tokens"].as_array().expect("a list");
            let labels = labels.iter().map(|count| number(count) as usize);
            assert_eq!(targets, labels.sum::<usize>());
        }
        let wanted = tensors(&folder("train").join(format!("{name}.final.safetensors")));
        for (parameter, found) in model.parameters().iter() {
            let wanted = wanted.get(parameter).expect("the same names");
            let most = apart(&found.values, wanted);
            assert!(most < 2e-6, "{name} {parameter}: {most:e}");
        }
    }
    assert_eq!(compared, 5);
}

#[test]
fn trajectories_of_whole_micro_batches() {
    compare(usize::MAX);
}

#[test]
fn trajectories_in_small_passes() {
    compare(40);
}

/// A whole training of an adapter from nothing: it learns, and the gradient of A, which is zero as
/// long as B is, is no error.
#[test]
fn an_adapter_is_trained_from_zero() {
    let trajectories = json(&folder("train/trajectories.json"));
    let base = "tiny-llama-gqa";
    let configuration = configuration(base);
    let shared = Arc::new(Weights::new(&configuration, weights(base)).expect("complete"));
    let (options, mut values) = adapter(base);
    for (name, parameter) in values.iter_mut() {
        if name.contains("lora_B") {
            parameter.values.fill(0.0);
        }
    }
    let trainable = Trainable::Adapter { options, values };
    let mut model = Decoder::new(configuration, shared, trainable).expect("fits");
    let examples = examples(&trajectories);
    let tuned = tune(
        &mut model,
        &Task {
            train: &examples[..16],
            validation: Validation::None,
            dropout: 0.05,
            base,
        },
        &TuneOptions {
            learning_rate: 5e-3,
            warmup_steps: 2,
            epochs: 12,
            batch_size: 8,
            micro_batch_size: 4,
            loss_on: LossOn::Answer,
            evaluate: Evaluate::Epoch,
            keep: Keep::Last,
            ..TuneOptions::default()
        },
        &Resources {
            pass_tokens: 120,
            checkpoint_layers: true,
            ..Resources::default()
        },
        &mut Hooks {
            observer: &mut Silent,
            folder: None,
        },
    )
    .expect("trained");
    assert_eq!(tuned.steps, 24);
    let (first, last) = (tuned.curve[0].loss, tuned.curve[23].loss);
    assert!(last < 0.8 * first, "{first} {last}");
    assert!(tuned.warnings.is_empty(), "{:?}", tuned.warnings);
}
