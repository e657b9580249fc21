//! Logits and scores of tiny models against those of transformers and PEFT.

#![expect(
    clippy::expect_used,
    reason = "a test stops at what it does not expect"
)]

mod tiny_models;

use std::sync::Arc;

use runner::language_model::{Batch, Decoder, LanguageModel, Sequence, Trainable, Weights};
use serde_json::Value;
use tiny_models::{adapter, apart, configuration, folder, json, tensors, weights};

const MODELS: [&str; 4] = [
    "tiny-llama-gqa",
    "tiny-llama-tied",
    "tiny-qwen2",
    "tiny-qwen3",
];
const MOST_APART: f32 = 5e-5;

fn sequences(cases: &Value) -> Vec<Sequence> {
    let all = cases["sequences"].as_array().expect("a list").iter();
    all.map(|tokens| Sequence {
        tokens: serde_json::from_value(tokens.clone()).expect("tokens"),
        ..Sequence::default()
    })
    .collect()
}

#[test]
fn logits_and_scores_of_all_families() {
    for name in MODELS {
        let configuration = configuration(name);
        let base = Arc::new(Weights::new(&configuration, weights(name)).expect("complete"));
        let (options, values) = adapter(name);
        let merged = base
            .merged(&configuration, &options, &values)
            .expect("fits");
        let expected = tensors(&folder(name).join("logits.safetensors"));
        let value = merged.get("model.layers.0.self_attn.v_proj.weight");
        let wanted = &expected["merged.layers.0.v_proj.weight"];
        assert!(apart(value.expect("there"), wanted) < 1e-6, "{name}");

        let cases = json(&folder(name).join("cases.json"));
        let at: Vec<(usize, usize)> = serde_json::from_value(cases["rows"].clone()).expect("pairs");
        let batch = Batch {
            sequences: sequences(&cases),
            shared_prefix: 0,
        };
        let asked = [&cases["yes_id"], &cases["no_id"]].map(|id| id.as_u64().expect("id") as u32);
        let with_adapter = Trainable::Adapter { options, values };
        for (which, weights, trainable) in [
            ("base", &base, Trainable::Nothing),
            ("adapter", &base, with_adapter),
            ("merged", &Arc::new(merged), Trainable::Nothing),
            ("base", &base, Trainable::Everything),
        ] {
            let decoder =
                Decoder::new(configuration.clone(), Arc::clone(weights), trainable).expect("fits");
            let logits = decoder.logits(&batch, &at).expect("in range");
            let most = apart(&logits, &expected[which]);
            assert!(most < MOST_APART, "{name} {which}: {most:e}");
            // One sequence at a time, which shares no prefix with another.
            let vocabulary = configuration.vocabulary_size;
            for (row, (sequence, position)) in at.iter().enumerate() {
                let alone = Batch {
                    sequences: vec![batch.sequences[*sequence].clone()],
                    shared_prefix: 0,
                };
                let logits = decoder.logits(&alone, &[(0, *position)]).expect("in range");
                let wanted = &expected[which][row * vocabulary..(row + 1) * vocabulary];
                let most = apart(&logits, wanted);
                assert!(most < MOST_APART, "{name} {which} {row}: {most:e}");
            }
            let scores = &cases[format!("{which}_scores")];
            let readouts = decoder.read_out(&batch, &asked, true).expect("in range");
            for (row, readout) in readouts.iter().enumerate() {
                if scores.is_null() {
                    continue;
                }
                let wanted = |key: &str| scores[key][row].as_f64().expect("a score");
                let [yes, no] = [readout.logits[0], readout.logits[1]].map(f64::from);
                let normaliser = f64::from(readout.log_normaliser.expect("asked for"));
                let pair = 1.0 / (1.0 + (no - yes).exp());
                let chance = (yes - normaliser).exp();
                assert!((yes - wanted("logit_yes")).abs() < 5e-5, "{name} {which}");
                assert!((no - wanted("logit_no")).abs() < 5e-5, "{name} {which}");
                assert!((pair - wanted("pair_softmax_yes")).abs() < 1e-5);
                assert!((chance - wanted("vocab_prob_yes")).abs() < 1e-5);
            }
        }
    }
}

#[test]
fn rotary_angles() {
    for name in MODELS {
        let cases = json(&folder(name).join("cases.json"));
        let frequencies = configuration(name).rotary_frequencies();
        for position in 0..4 {
            for (pair, frequency) in frequencies.iter().enumerate() {
                let angle = position as f32 * frequency;
                for (key, found) in [
                    ("rope_cos_pos0_3", angle.cos()),
                    ("rope_sin_pos0_3", angle.sin()),
                ] {
                    let wanted = cases[key][position][pair].as_f64().expect("a number");
                    assert!((f64::from(found) - wanted).abs() < 1e-6, "{name}");
                }
            }
        }
    }
}
