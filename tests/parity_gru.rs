//! The GRU recommender's arithmetic against PyTorch 2 (`tests/fixtures/baselines`).
//!
//! Weights are stored as F16 and exact in f32. PyTorch sums in another order and uses other
//! polynomials for the gates: 3.6e-7 apart at most where this was written, for values of order 1;
//! 2e-6 absolute leaves room for processors that sum in yet another order.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use runner::nn::gru::{GruStates, Purpose};
use runner::nn::{Embedding, Gradients, Gru, Init, Linear, VariableBuilder, Variables};
use runner::train::{Adam, AdamOptions, Loss};
use serde_json::Value;

const TOLERANCE: f32 = 2e-6;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/baselines")
        .join(name)
}

struct Case {
    variables: Variables,
    embedding: Embedding,
    gru: Gru,
    output: Linear,
    ids: Tensor,
    lengths: Vec<usize>,
    target: Tensor,
    labels: Vec<bool>,
    expected: BTreeMap<String, Tensor>,
    facts: Value,
}

fn open(name: &str, layers: usize) -> Case {
    let text = std::fs::read_to_string(fixture("baselines.json")).expect("fixture");
    let all: Value = serde_json::from_str(&text).expect("json");
    let number = |value: &Value| value.as_f64().expect("number");
    let list = |key: &str| -> Vec<f64> {
        let array = all[key].as_array().expect("array");
        array.iter().map(number).collect()
    };
    let ids: Vec<u32> = all["ids"]
        .as_array()
        .expect("rows")
        .iter()
        .flat_map(|row| {
            row.as_array()
                .expect("row")
                .iter()
                .map(|id| number(id) as u32)
        })
        .collect();
    let target: Vec<u32> = list("target").iter().map(|id| *id as u32).collect();
    let rows = target.len();
    let device = Device::Cpu;
    let path = fixture(&format!("{name}.safetensors"));
    let tensors = candle_core::safetensors::load(path, &device).expect("fixture");
    let (weights, expected): (BTreeMap<_, _>, BTreeMap<_, _>) = tensors
        .into_iter()
        .partition(|(name, _)| name.starts_with("w."));
    let weights = weights
        .into_iter()
        .map(|(name, tensor)| (name.trim_start_matches("w.").to_owned(), tensor))
        .collect();
    let mut builder = VariableBuilder::from_tensors(weights, &device);
    let any = Init::Constant(0.0);
    let embedding = Embedding::new(&mut builder, "item_emb", 41, 64, any).expect("weights");
    let gru = Gru::new(&mut builder, "gru", 64, 64, layers).expect("weights");
    let output = Linear::new(&mut builder, "out", 64, 40).expect("weights");
    Case {
        variables: builder.finish().expect("nothing left"),
        embedding,
        gru,
        output,
        ids: Tensor::from_vec(ids, (rows, 10), &device).expect("ids"),
        lengths: list("lens").iter().map(|length| *length as usize).collect(),
        target: Tensor::from_vec(target, rows, &device).expect("target"),
        labels: list("label").iter().map(|label| *label > 0.5).collect(),
        expected,
        facts: all["models"][name].clone(),
    }
}

impl Case {
    fn states(&self) -> GruStates {
        let x = self.embedding.forward(&self.ids).expect("ids"); // [B, T, H]
        self.gru
            .forward(&x, &self.lengths, Purpose::Training)
            .expect("shapes")
    }

    fn loss(&self, loss: Loss) -> Tensor {
        let states = self.states();
        let last = states.into_last().expect("a layer"); // [B, H]
        let logits = self.output.forward_chosen(&last, &self.target); // [B]
        loss.of(&logits.expect("shapes"), &self.labels)
            .expect("labels")
    }
}

fn worst(one: &Tensor, two: &Tensor) -> f32 {
    assert_eq!(one.dims(), two.dims());
    let numbers = |tensor: &Tensor| {
        let flat = tensor.to_dtype(DType::F32).and_then(|t| t.flatten_all());
        flat.and_then(|t| t.to_vec1::<f32>()).expect("f32")
    };
    let pairs = numbers(one).into_iter().zip(numbers(two));
    pairs
        .map(|(one, two)| (one - two).abs())
        .fold(0.0, f32::max)
}

fn check(name: &str, layers: usize) {
    let case = open(name, layers);
    let states = case.states();
    let last = states.clone().into_last().expect("a layer");
    let out = case.output.forward(&last).expect("shapes"); // [B, V]
    let distance = worst(&out, &case.expected["out"]);
    assert!(distance < TOLERANCE, "{name} out {distance}");
    let distance = worst(&states.last, &case.expected["h_n"]);
    assert!(distance < TOLERANCE, "{name} h_n {distance}");

    for (key, loss) in [("mse_sigmoid", Loss::Mse), ("bce", Loss::Bce)] {
        let found = case.loss(loss).to_scalar::<f32>().expect("scalar");
        let expected = case.facts[key].as_f64().expect("number");
        assert!(
            (f64::from(found) - expected).abs() < 1e-6,
            "{name} {key} {found} {expected}"
        );
    }

    let gradients = Gradients::of(&case.loss(Loss::Mse)).expect("differentiable");
    let mut compared = 0;
    for (variable_name, variable) in case.variables.iter() {
        let gradient = gradients.get(variable).expect("cpu");
        let gradient = gradient.expect("a gradient reaches all");
        if let Some(expected) = case.expected.get(&format!("g.{variable_name}")) {
            let distance = worst(&gradient, expected);
            assert!(distance < TOLERANCE, "{name} {variable_name} {distance}");
            compared += 1;
        }
        let norm = gradient.sqr().and_then(|t| t.sum_all()).expect("cpu");
        let norm = norm.to_scalar::<f32>().expect("scalar").sqrt();
        let expected = case.facts["mse_sigmoid_grad_norms"][variable_name].as_f64();
        let apart = (f64::from(norm) - expected.expect("number")).abs();
        assert!(apart < 1e-6, "{name} norm of {variable_name}: {apart}");
    }
    assert_eq!(compared, if layers == 1 { 7 } else { 6 });

    let options = AdamOptions {
        weight_decay: 1e-6,
        ..AdamOptions::default()
    };
    let mut adam = Adam::new(&case.variables, options);
    let losses = case.facts["adam_lr1e-3_l2_1e-6_mse_sigmoid_losses"].as_array();
    for expected in losses.expect("array") {
        let loss = case.loss(Loss::Mse);
        let found = f64::from(loss.to_scalar::<f32>().expect("scalar"));
        let expected = expected.as_f64().expect("number");
        assert!(
            (found - expected).abs() < 2e-6,
            "{name} adam {found} {expected}"
        );
        let gradients = Gradients::of(&loss).expect("differentiable");
        adam.step(&case.variables, &gradients).expect("gradients");
    }
}

#[test]
fn one_layer_agrees() {
    check("gru1", 1);
}

#[test]
fn four_layers_agree() {
    check("gru4", 4);
}
