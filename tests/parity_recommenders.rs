//! The networks of the recommenders against PyTorch 2 (`tests/fixtures/baselines`): what they make
//! of histories, losses, the gradient of every weight, the robust term, and steps of Adam.
//!
//! The fixtures' padding is item 40 on the right; here it is nothing at all. Number 0 stands for
//! unknown items here and for none there: its embedding and its output must get no gradient.
//!
//! Weights are stored as F16 and exact in f32. PyTorch sums in another order and uses other
//! polynomials: where this was written features and outputs were 1.4e-6 apart at most (`SASRec`;
//! 4e-7 for a GRU) and gradients less, values being of order 1. 4e-6 absolute leaves room for
//! processors that sum in yet another order.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor, Var};
use runner::nn::gru::Purpose;
use runner::nn::{Embedding, Gradients, Gru, Init, Linear, VariableBuilder, Variables};
use runner::recommender::caser::Caser;
use runner::recommender::dros::Dros;
use runner::recommender::gru4rec::Gru4Rec;
use runner::recommender::sasrec::SasRec;
use runner::recommender::sequence::{Batch, Items, Network, Row};
use runner::train::{Adam, AdamOptions, Loss, Propensities, Robustness};
use serde_json::{Value, json};

const TOLERANCE: f32 = 4e-6;
const ITEMS: usize = 40;

/// Names there and here: the reference repository's.
const NAMES: &[(&str, &str)] = &[
    ("item_emb.", "item_embeddings."),
    ("out.", "s_fc."),
    ("h_convs.", "horizontal_cnn."),
    ("v_conv.", "vertical_cnn."),
    ("pos_emb.", "positional_embeddings."),
    ("ln1.", "ln_1."),
    ("ln2.", "ln_2."),
    ("ln3.", "ln_3."),
    ("q.", "mh_attn.linear_q."),
    ("k.", "mh_attn.linear_k."),
    ("v.", "mh_attn.linear_v."),
    ("ff1.", "feed_forward.w_1."),
    ("ff2.", "feed_forward.w_2."),
    ("ff_ln.", "feed_forward.layer_norm."),
];

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/baselines")
        .join(name)
}

fn our_name(name: &str) -> String {
    let known = NAMES.iter().find(|(theirs, _)| name.starts_with(theirs));
    match known {
        Some((theirs, ours)) => format!("{ours}{}", &name[theirs.len()..]),
        None => name.to_owned(),
    }
}

/// A tensor over the fixture's items as one over our numbers: padding, or nothing, becomes 0.
fn renumbered(name: &str, tensor: &Tensor) -> Tensor {
    let items = tensor.narrow(0, 0, ITEMS.min(tensor.dim(0).expect("rows")));
    let first = match name {
        "item_emb.weight" => tensor.narrow(0, ITEMS, 1),
        "out.weight" | "out.bias" => tensor.narrow(0, 0, 1).and_then(|row| row.zeros_like()),
        _ => return tensor.clone(),
    };
    Tensor::cat(&[first.expect("rows"), items.expect("rows")], 0).expect("rows")
}

struct Case<N> {
    network: N,
    variables: Variables,
    batch: Batch,
    targets: Vec<u32>,
    /// Tensors that PyTorch gave, by their names there.
    expected: BTreeMap<String, Tensor>,
    facts: Value,
    propensities: Propensities,
}

fn floats(value: &Value) -> Vec<f64> {
    let all = value.as_array().expect("array").iter();
    all.map(|number| number.as_f64().expect("number")).collect()
}

fn open<N: Network>(name: &str, mut settings: Value) -> Case<N> {
    let text = std::fs::read_to_string(fixture("baselines.json")).expect("fixture");
    let all: Value = serde_json::from_str(&text).expect("json");
    let device = Device::Cpu;
    let path = fixture(&format!("{name}.safetensors"));
    let tensors = candle_core::safetensors::load(path, &device).expect("fixture");
    let mut weights = BTreeMap::new();
    let mut expected = BTreeMap::new();
    for (key, tensor) in tensors {
        match key.strip_prefix("w.") {
            Some(name) => {
                let tensor = tensor.to_dtype(DType::F32).expect("f32");
                weights.insert(our_name(name), renumbered(name, &tensor));
            }
            None => {
                expected.insert(key, tensor);
            }
        }
    }
    settings["hidden_size"] = json!(64);
    settings["feedback"] = json!("none");
    let settings = serde_json::from_value(settings).expect("settings");
    N::check(&settings).expect("in range");
    let mut builder = VariableBuilder::from_tensors(weights, &device);
    let items = Items {
        rows: ITEMS + 1,
        vectors: None,
    };
    let network = N::build(&settings, items, &mut builder).expect("weights");
    let variables = builder.finish().expect("nothing left");

    let ours = |id: f64| id as u32 + 1;
    let lengths = floats(&all["lens"]);
    let targets: Vec<u32> = floats(&all["target"]).into_iter().map(ours).collect();
    let labels = floats(&all["label"]);
    let rows: Vec<Row> = all["ids"]
        .as_array()
        .expect("rows")
        .iter()
        .enumerate()
        .map(|(row, ids)| {
            let ids = floats(ids).into_iter().take(lengths[row] as usize);
            let history: Vec<(u32, bool)> = ids.map(|id| (ours(id), true)).collect();
            Row::new(&history, targets[row], labels[row] > 0.5)
        })
        .collect();
    let rows: Vec<&Row> = rows.iter().collect();
    let counts = floats(&all["item_counts"]);
    let counts: Vec<u64> = counts.into_iter().map(|count| count as u64).collect();
    Case {
        network,
        variables,
        batch: Batch::of(&rows, &device).expect("batch"),
        targets,
        expected,
        facts: all["models"][name].clone(),
        propensities: Propensities::of_counts(&counts, 0.05),
    }
}

impl<N: Network> Case<N> {
    fn features(&self) -> Tensor {
        self.network.features(&self.batch, None).expect("fits")
    }

    /// As in training, without dropout.
    fn loss(&self, loss: Loss) -> Tensor {
        let output = self.network.output();
        let mut random = runner::base::Random::new(1, "dropout");
        let features = self.network.features(&self.batch, Some(&mut random));
        let logits = output.forward_chosen(&features.expect("fits"), &self.batch.targets);
        loss.of(&logits.expect("fits"), &self.batch.labels)
            .expect("labels")
    }

    /// Output of all items, number 0 left out.
    fn out(&self) -> Tensor {
        let out = self.network.output().forward(&self.features());
        let out = out.expect("fits").narrow(1, 1, ITEMS);
        out.expect("columns")
    }

    fn robust(&self, logits: &Tensor, robustness: Robustness) -> Tensor {
        let targets = self.targets.clone();
        let labels = &self.batch.labels;
        let same = same(ITEMS + 1);
        let propensities = &self.propensities;
        robustness
            .of(&same, logits, targets, labels, Loss::Mse, propensities)
            .expect("fits")
    }
}

/// A layer that gives back what it gets, so that the features are the outputs.
fn same(width: usize) -> Linear {
    let device = Device::Cpu;
    let weights = [
        ("same.weight", Tensor::eye(width, DType::F32, &device)),
        ("same.bias", Tensor::zeros(width, DType::F32, &device)),
    ];
    let weights = weights.map(|(name, tensor)| (name.to_owned(), tensor.expect("cpu")));
    let mut builder = VariableBuilder::from_tensors(weights.into(), &device);
    Linear::new(&mut builder, "same", width, width).expect("weights")
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

fn scalar(tensor: &Tensor) -> f64 {
    f64::from(tensor.to_scalar::<f32>().expect("scalar"))
}

/// `features` names the fixture's tensor of what goes into the output layer.
fn check<N: Network>(name: &str, settings: Value, features: &str, gradients_there: usize) {
    let case = open::<N>(name, settings);
    let expected = &case.expected[features];
    // A GRU's states come layer by layer.
    let layers = expected.dims().len() == 3;
    let expected = if layers {
        let last = expected.dim(0).expect("layers") - 1;
        expected.get(last).expect("a layer")
    } else {
        expected.clone()
    };
    let distance = worst(&case.features(), &expected);
    assert!(distance < TOLERANCE, "{name} {features} {distance}");
    let distance = worst(&case.out(), &case.expected["out"]);
    assert!(distance < TOLERANCE, "{name} out {distance}");

    for (key, loss) in [("mse_sigmoid", Loss::Mse), ("bce", Loss::Bce)] {
        let found = scalar(&case.loss(loss));
        let expected = case.facts[key].as_f64().expect("number");
        let apart = (found - expected).abs();
        assert!(apart < 1e-6, "{name} {key} {found} {expected}");
    }

    let gradients = Gradients::of(&case.loss(Loss::Mse)).expect("differentiable");
    let norms = case.facts["mse_sigmoid_grad_norms"].as_object();
    let (mut compared, mut reached) = (0, 0);
    for (theirs, norm) in norms.expect("an object") {
        let ours = our_name(theirs);
        let variable = case.variables.get(&ours).expect("the same variables");
        let gradient = gradients.get(variable).expect("cpu");
        let gradient = gradient.expect("a gradient reaches all");
        if let Some(expected) = case.expected.get(&format!("g.{theirs}")) {
            let distance = worst(&gradient, &renumbered(theirs, expected));
            assert!(distance < TOLERANCE, "{name} {theirs} {distance}");
            compared += 1;
        }
        let found = gradient.sqr().and_then(|t| t.sum_all()).expect("cpu");
        let apart = (scalar(&found).sqrt() - norm.as_f64().expect("number")).abs();
        assert!(apart < 1e-6, "{name} norm of {theirs}: {apart}");
        reached += 1;
    }
    assert_eq!(compared, gradients_there, "{name}");
    assert_eq!(reached, case.variables.iter().count(), "{name}");

    robust_term(&case, name);

    let options = AdamOptions {
        weight_decay: 1e-6,
        ..AdamOptions::default()
    };
    let mut adam = Adam::new(&case.variables, options);
    for expected in floats(&case.facts["adam_lr1e-3_l2_1e-6_mse_sigmoid_losses"]) {
        let loss = case.loss(Loss::Mse);
        let found = scalar(&loss);
        let apart = (found - expected).abs();
        assert!(apart < 2e-6, "{name} adam {found} {expected}");
        let gradients = Gradients::of(&loss).expect("differentiable");
        adam.step(&case.variables, &gradients).expect("gradients");
    }
}

/// The term's value at two temperatures and its gradient together with the loss.
fn robust_term<N: Network>(case: &Case<N>, name: &str) {
    let logits = case.network.output().forward(&case.features());
    let logits = Var::from_tensor(&logits.expect("fits")).expect("cpu"); // [B, V]
    let robustness = |weight, temperature| Robustness {
        weight,
        temperature,
        propensity_power: 0.05,
    };
    let plain = scalar(&case.robust(&logits, robustness(0.0, 1.0)));
    for temperature in [1.0, 0.5] {
        let found = scalar(&case.robust(&logits, robustness(1.0, temperature))) - plain;
        let facts = &case.facts[format!("dro_beta{temperature:.1}")];
        let expected = facts["mean_f64"].as_f64().expect("number");
        let apart = (found - expected).abs();
        assert!(apart < 1e-6 * expected, "{name} {found} {expected}");
    }
    let total = case.robust(&logits, robustness(0.1, 1.0));
    let expected = case.facts["total_sigmoid_dro_alpha0.1_beta1"].as_f64();
    let apart = (scalar(&total) - expected.expect("number")).abs();
    assert!(apart < 1e-6, "{name} total {apart}");
    let gradients = Gradients::of(&total).expect("differentiable");
    let gradient = gradients.get(&logits).expect("cpu").expect("reached");
    let items = gradient.narrow(1, 1, ITEMS).expect("columns");
    let expected = &case.expected["g_out.sigmoid_dro_alpha0.1_beta1"];
    let distance = worst(&items, expected);
    assert!(distance < 1e-7, "{name} gradient of the term {distance}");
    let unknown = gradient.narrow(1, 0, 1).and_then(|t| t.abs()?.max_all());
    assert!(scalar(&unknown.expect("columns")) < 1e-30, "{name}");
}

#[test]
fn gru4rec_agrees() {
    let settings = json!({"layers": 1, "dropout": 0.0});
    check::<Gru4Rec>("gru1", settings, "h_n", 7);
}

#[test]
fn gru4rec_of_four_layers_agrees() {
    let settings = json!({"layers": 4, "dropout": 0.0});
    check::<Gru4Rec>("gru4", settings, "h_n", 6);
}

#[test]
fn caser_agrees() {
    check::<Caser>("caser", json!({"dropout": 0.0}), "features", 11);
}

#[test]
fn sasrec_agrees() {
    check::<SasRec>("sasrec", json!({"dropout": 0.0}), "last", 22);
}

/// DROS is GRU4Rec with the term, α 0.1 and β 1 by default.
#[test]
fn dros_agrees() {
    let settings = json!({"layers": 1, "dropout": 0.0});
    check::<Dros>("gru1", settings.clone(), "h_n", 7);
    let settings = serde_json::from_value(settings).expect("settings");
    let expected = Robustness {
        weight: 0.1,
        temperature: 1.0,
        propensity_power: 0.05,
    };
    assert_eq!(Dros::robustness(&settings), Some(expected));
}

/// The states of all four layers, of which the method uses the last.
#[test]
fn every_layer_of_the_gru_agrees() {
    let case = open::<Gru4Rec>("gru4", json!({"layers": 4}));
    let weights = case.variables.iter();
    let weights = weights.map(|(name, variable)| (name.to_owned(), variable.as_tensor().clone()));
    let mut weights: BTreeMap<String, Tensor> = weights.collect();
    weights.retain(|name, _| !name.starts_with("s_fc"));
    let mut builder = VariableBuilder::from_tensors(weights, &Device::Cpu);
    let any = Init::Constant(0.0);
    let items = Embedding::new(&mut builder, "item_embeddings", ITEMS + 1, 64, any);
    let gru = Gru::new(&mut builder, "gru", 64, 64, 4).expect("weights");
    let x = items.and_then(|items| items.forward(&case.batch.items));
    let states = gru.forward(&x.expect("items"), &case.batch.lengths, Purpose::Scoring);
    let all = states.expect("fits").last; // [L, B, H]
    let distance = worst(&all, &case.expected["h_n"]);
    assert!(distance < TOLERANCE, "{distance}");
}
