//! What the decoder promises beside parity: right gradients of everything, and numbers that do
//! not depend on how a batch is put together or computed.

#![expect(
    clippy::expect_used,
    reason = "a test stops at what it does not expect"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use runner::base::Random;
use runner::language_model::decoder::{fresh_adapter, fresh_weights};
use runner::language_model::lora::MODULES;
use runner::language_model::{
    Batch, Compute, Configuration, Decoder, Dropout, Family, Frozen, LanguageModel, LoraOptions,
    Parameters, Pass, Precision, RopeScaling, Sequence, Target, TensorDecoder, TensorWeights,
    Trainable, Weights,
};

/// Grouped heads, norms and biases everywhere, heads that together are not the hidden width.
fn configuration() -> Configuration {
    Configuration {
        family: Family::Qwen3,
        hidden_size: 12,
        intermediate_size: 20,
        layers: 2,
        heads: 4,
        key_value_heads: 2,
        head_size: 4,
        vocabulary_size: 23,
        norm_epsilon: 1e-5,
        rope_theta: 100.0,
        rope_scaling: RopeScaling::None,
        max_positions: 64,
        sliding_window: None,
        tied_head: false,
        query_key_value_bias: true,
        output_bias: true,
        mlp_bias: true,
        query_key_norm: true,
    }
}

/// Weights large enough that every part has an influence.
fn weights(configuration: &Configuration) -> Arc<Weights> {
    let mut random = Random::new(5, "weights");
    let all: BTreeMap<String, Vec<f32>> = configuration
        .tensors()
        .into_iter()
        .map(|(name, shape)| {
            let centre = if name.ends_with("norm.weight") {
                1.0
            } else {
                0.0
            };
            let count: usize = shape.iter().product();
            let draw = |_| (centre + 0.3 * random.normal()) as f32;
            (name, (0..count).map(draw).collect())
        })
        .collect();
    Arc::new(Weights::new(configuration, all).expect("complete"))
}

fn lora() -> LoraOptions {
    LoraOptions {
        r: 3,
        alpha: 5.0,
        dropout: 0.1,
        target_modules: MODULES.iter().map(|(name, _)| (*name).to_owned()).collect(),
    }
}

/// An adapter whose B is not zero.
fn trained_adapter(configuration: &Configuration) -> Parameters {
    let mut values = fresh_adapter(configuration, &lora(), 3);
    let mut random = Random::new(6, "adapter");
    for (_, parameter) in values.iter_mut() {
        for value in &mut parameter.values {
            *value = (0.3 * random.normal()) as f32;
        }
    }
    values
}

fn with_adapter(configuration: &Configuration) -> Decoder {
    let trainable = Trainable::Adapter {
        options: lora(),
        values: trained_adapter(configuration),
    };
    Decoder::new(configuration.clone(), weights(configuration), trainable).expect("fits")
}

fn everything(configuration: &Configuration) -> Decoder {
    let trainable = Trainable::Everything;
    Decoder::new(configuration.clone(), weights(configuration), trainable).expect("fits")
}

/// Sequences that begin with the same four tokens, with targets in and behind them.
fn batch() -> Batch {
    let prefix = [3, 9, 14, 2];
    let tails: [&[u32]; 4] = [&[5, 6, 7, 8, 1], &[11, 4], &[20, 21, 22, 0, 1, 2, 3], &[7]];
    let sequences = tails.iter().enumerate().map(|(number, tail)| {
        let tokens = [&prefix, *tail].concat();
        let targets = (1..tokens.len()).filter(|at| at % 3 != number % 2);
        Sequence {
            targets: targets
                .map(|at| Target {
                    position: at - 1,
                    token: tokens[at],
                    weight: 0.05 + 0.01 * at as f32,
                })
                .collect(),
            stream: number as u64 + 40,
            tokens: tokens.clone(),
        }
    });
    Batch {
        sequences: sequences.collect(),
        shared_prefix: 0,
    }
}

fn dropout() -> Pass {
    Pass {
        dropout: Some(Dropout { rate: 0.3, seed: 8 }),
        checkpoint_layers: false,
    }
}

/// The loss and all gradients, one after the other.
fn gradients(decoder: &mut Decoder, batches: &[Batch], pass: &Pass) -> (f64, Vec<f32>) {
    decoder.parameters_mut().clear_gradients();
    let losses = batches
        .iter()
        .map(|batch| decoder.accumulate(batch, pass).expect("in range"));
    let loss = losses.sum();
    let all = decoder.parameters().iter();
    let all = all.flat_map(|(_, one)| one.gradient.iter().copied());
    (loss, all.collect())
}

fn assert_close(left: &(f64, Vec<f32>), right: &(f64, Vec<f32>)) {
    assert!((left.0 - right.0).abs() < 1e-5, "{} {}", left.0, right.0);
    let size = left.1.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    for (a, b) in left.1.iter().zip(&right.1) {
        assert!((a - b).abs() < 2e-6 * (1.0 + size), "{a} {b}");
    }
}

/// Central differences of the loss in single precision, at a few numbers of every parameter.
fn check_differences(decoder: &mut Decoder, batch: &Batch) {
    let pass = Pass::default();
    gradients(decoder, std::slice::from_ref(batch), &pass);
    let all: Vec<(String, Vec<f32>)> = decoder
        .parameters()
        .iter()
        .map(|(name, one)| (name.to_owned(), one.gradient.clone()))
        .collect();
    let mut random = Random::new(2, "places");
    for (name, gradient) in all {
        assert!(gradient.iter().any(|x| *x != 0.0), "nothing reaches {name}");
        for _ in 0..6 {
            let at = random.below(gradient.len());
            let mut loss_at = |step: f32| {
                let parameter = decoder.parameters_mut().get_mut(&name).expect("there");
                let before = parameter.values[at];
                parameter.values[at] = before + step;
                let loss = decoder.loss(batch).expect("in range");
                let parameter = decoder.parameters_mut().get_mut(&name).expect("there");
                parameter.values[at] = before;
                loss
            };
            let step = 4e-3;
            // Two steps' differences, combined so that the error is of fourth order.
            let near = (loss_at(step) - loss_at(-step)) / (2.0 * f64::from(step));
            let far = (loss_at(2.0 * step) - loss_at(-2.0 * step)) / (4.0 * f64::from(step));
            let slope = (4.0 * near - far) / 3.0;
            let found = f64::from(gradient[at]);
            assert!(
                (slope - found).abs() < 4e-4 * (1.0 + found.abs()),
                "{name}[{at}]: {found} and not {slope}"
            );
        }
    }
}

#[test]
fn gradients_of_everything_agree_with_differences() {
    for shared_prefix in [0, 4] {
        let batch = Batch {
            shared_prefix,
            ..batch()
        };
        check_differences(&mut everything(&configuration()), &batch);
    }
    let tied = Configuration {
        tied_head: true,
        query_key_norm: false,
        sliding_window: Some(3),
        ..configuration()
    };
    check_differences(&mut everything(&tied), &batch());
}

#[test]
fn gradients_of_an_adapter_on_all_modules_agree_with_differences() {
    check_differences(&mut with_adapter(&configuration()), &batch());
}

#[test]
fn a_shared_prefix_changes_nothing_without_dropout() {
    for window in [None, Some(3)] {
        let configuration = Configuration {
            sliding_window: window,
            ..configuration()
        };
        let pass = Pass::default();
        for mut decoder in [everything(&configuration), with_adapter(&configuration)] {
            let plain = gradients(&mut decoder, &[batch()], &pass);
            for shared_prefix in 1..=4 {
                let shared = Batch {
                    shared_prefix,
                    ..batch()
                };
                assert_close(&plain, &gradients(&mut decoder, &[shared], &pass));
            }
        }
    }
}

#[test]
fn checkpoints_change_no_byte() {
    for mut decoder in [everything(&configuration()), with_adapter(&configuration())] {
        let plain = gradients(&mut decoder, &[batch()], &dropout());
        let pass = Pass {
            checkpoint_layers: true,
            ..dropout()
        };
        assert_eq!(plain, gradients(&mut decoder, &[batch()], &pass));
    }
}

#[test]
fn micro_batches_and_the_order_of_sequences_change_nothing() {
    for mut decoder in [everything(&configuration()), with_adapter(&configuration())] {
        let together = gradients(&mut decoder, &[batch()], &dropout());
        let alone: Vec<Batch> = batch()
            .sequences
            .into_iter()
            .map(|sequence| Batch {
                sequences: vec![sequence],
                shared_prefix: 0,
            })
            .collect();
        assert_close(&together, &gradients(&mut decoder, &alone, &dropout()));
        let mut turned = batch();
        turned.sequences.reverse();
        assert_close(&together, &gradients(&mut decoder, &[turned], &dropout()));
    }
}

#[test]
fn one_and_two_threads_give_the_same_bytes() {
    let configuration = Configuration {
        hidden_size: 64,
        intermediate_size: 200,
        vocabulary_size: 500,
        ..configuration()
    };
    let mut random = Random::new(1, "tokens");
    let sequences = (0..12).map(|stream| {
        let length = 30 + 5 * stream as usize;
        let tokens: Vec<u32> = (0..length).map(|_| random.below(500) as u32).collect();
        Sequence {
            targets: (1..length)
                .map(|at| Target {
                    position: at - 1,
                    token: tokens[at],
                    weight: 0.01,
                })
                .collect(),
            tokens,
            stream,
        }
    });
    let batch = Batch {
        sequences: sequences.collect(),
        shared_prefix: 0,
    };
    for decoder in [everything(&configuration), with_adapter(&configuration)] {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let mut decoder = decoder.clone();
            pool.expect("threads").install(|| {
                let found = gradients(&mut decoder, std::slice::from_ref(&batch), &dropout());
                let readouts = decoder.read_out(&batch, &[1, 2], true).expect("in range");
                (found, readouts)
            })
        };
        let one = run(1);
        assert!(one == run(2) && one == run(3));
    }
}

#[test]
fn an_adapter_merged_or_fresh() {
    let configuration = configuration();
    let base = weights(&configuration);
    let at: Vec<(usize, usize)> = (0..4).map(|number| (number, 4)).collect();
    let logits = |weights: &Arc<Weights>, trainable| {
        let decoder = Decoder::new(configuration.clone(), Arc::clone(weights), trainable);
        decoder
            .expect("fits")
            .logits(&batch(), &at)
            .expect("in range")
    };
    let plain = logits(&base, Trainable::Nothing);
    let fresh = Trainable::Adapter {
        options: lora(),
        values: fresh_adapter(&configuration, &lora(), 1),
    };
    assert_eq!(plain, logits(&base, fresh));
    let values = trained_adapter(&configuration);
    let merged = base.merged(&configuration, &lora(), &values).expect("fits");
    let merged = logits(&Arc::new(merged), Trainable::Nothing);
    let apart = logits(
        &base,
        Trainable::Adapter {
            options: lora(),
            values,
        },
    );
    for ((merged, apart), plain) in merged.iter().zip(&apart).zip(&plain) {
        assert!((merged - apart).abs() < 1e-4 && merged.is_finite());
        assert!((merged - plain).abs() > 0.0);
    }
}

#[test]
fn readouts_are_the_logits_at_the_ends() {
    let decoder = with_adapter(&configuration());
    let batch = batch();
    let ends: Vec<(usize, usize)> = batch
        .sequences
        .iter()
        .enumerate()
        .map(|(number, sequence)| (number, sequence.tokens.len() - 1))
        .collect();
    let logits = decoder.logits(&batch, &ends).expect("in range");
    let readouts = decoder.read_out(&batch, &[7, 3], true).expect("in range");
    for (row, readout) in logits.chunks(23).zip(&readouts) {
        assert!((row[7] - readout.logits[0]).abs() < 1e-5);
        assert!((row[3] - readout.logits[1]).abs() < 1e-5);
        let sum = row.iter().map(|x| f64::from(*x).exp()).sum::<f64>().ln();
        let found = f64::from(readout.log_normaliser.expect("asked for"));
        assert!((sum - found).abs() < 1e-5);
    }
    let plain = decoder.read_out(&batch, &[7, 3], false).expect("in range");
    assert!(plain.iter().all(|readout| readout.log_normaliser.is_none()));
}

#[test]
fn what_is_out_of_range_is_an_error() {
    let mut decoder = with_adapter(&configuration());
    let fails = |decoder: &mut Decoder, change: &dyn Fn(&mut Batch)| {
        let mut batch = batch();
        change(&mut batch);
        assert!(decoder.accumulate(&batch, &Pass::default()).is_err());
        assert!(decoder.loss(&batch).is_err());
    };
    fails(&mut decoder, &|batch| batch.sequences[1].tokens[2] = 23);
    fails(&mut decoder, &|batch| {
        batch.sequences[1].targets[0].token = 23;
    });
    fails(&mut decoder, &|batch| {
        batch.sequences[1].targets[0].position = 6;
    });
    fails(&mut decoder, &|batch| batch.sequences[1].tokens.clear());
    fails(&mut decoder, &|batch| batch.shared_prefix = 5);
    fails(&mut decoder, &|batch| batch.shared_prefix = 60);
    assert!(decoder.read_out(&batch(), &[23], false).is_err());
    assert!(decoder.logits(&batch(), &[(4, 0)]).is_err());
    let pass = Pass {
        dropout: Some(Dropout { rate: 1.0, seed: 0 }),
        checkpoint_layers: false,
    };
    assert!(decoder.accumulate(&batch(), &pass).is_err());
    let none = decoder.accumulate(&Batch::default(), &Pass::default());
    assert!(none.expect("nothing").abs() < f64::MIN_POSITIVE);
    assert!(
        decoder
            .read_out(&Batch::default(), &[1], true)
            .expect("nothing")
            .is_empty()
    );
    let wrong = Configuration {
        key_value_heads: 3,
        ..configuration()
    };
    assert!(Decoder::new(wrong, weights(&configuration()), Trainable::Nothing).is_err());
    let options = LoraOptions { r: 4, ..lora() };
    let values = trained_adapter(&configuration());
    let trainable = Trainable::Adapter { options, values };
    assert!(Decoder::new(configuration(), weights(&configuration()), trainable).is_err());
}

#[test]
fn fresh_numbers_have_their_own_streams() {
    let weights = fresh_weights(&configuration(), 1);
    let again = fresh_weights(&configuration(), 1);
    let norm = weights.get("model.norm.weight").expect("there");
    assert!(norm.iter().all(|x| (x - 1.0).abs() < 1e-9));
    let [q, k] = ["q_proj", "k_proj"].map(|name| format!("model.layers.0.self_attn.{name}.weight"));
    assert_eq!(weights.get(&q), again.get(&q));
    assert_ne!(weights.get(&q).map(|x| x[0]), weights.get(&k).map(|x| x[0]));
    let adapter = fresh_adapter(&configuration(), &lora(), 1);
    for (name, parameter) in adapter.iter() {
        let bound = 1.0 / (parameter.shape[1] as f32).sqrt();
        let is_b = name.contains("lora_B");
        assert!(
            parameter
                .values
                .iter()
                .all(|x| if is_b { *x == 0.0 } else { x.abs() <= bound })
        );
    }
}

/// Where tensors are: on the CPU, or where `RUNNER_TEST_DEVICE` says (`cuda:0`).
fn device() -> candle_core::Device {
    let name = std::env::var("RUNNER_TEST_DEVICE").unwrap_or_else(|_| "cpu".to_owned());
    runner::language_model::tensor::open(name.parse().expect("a device")).expect("opens")
}

/// The same model on candle's tensors.
fn on_tensors(configuration: &Configuration, precision: Precision) -> TensorDecoder {
    let weights = weights(configuration);
    let read = |name: &str| Ok(weights.get(name).expect("there").to_vec());
    let kept = TensorWeights::make(configuration, &device(), precision, read).expect("kept");
    let adapter = Some((lora(), trained_adapter(configuration)));
    TensorDecoder::new(configuration.clone(), Arc::new(kept), adapter).expect("fits")
}

/// Loss and gradients, one parameter after the other.
fn trained(model: &mut dyn LanguageModel, batch: &Batch, pass: &Pass) -> (f64, Vec<f32>) {
    model.parameters_mut().clear_gradients();
    let loss = model.accumulate(batch, pass).expect("passes");
    let gradients = model.parameters().iter();
    let gradients = gradients.flat_map(|(_, one)| one.gradient.clone());
    (loss, gradients.collect())
}

/// Length of the difference over the length of what it should be.
fn relative(found: &[f32], wanted: &[f32]) -> f64 {
    let length = |all: &mut dyn Iterator<Item = f64>| all.map(|x| x * x).sum::<f64>().sqrt();
    let pairs = found.iter().zip(wanted);
    let far = length(&mut pairs.map(|(a, b)| f64::from(*a) - f64::from(*b)));
    far / length(&mut wanted.iter().map(|x| f64::from(*x)))
}

/// Architectures that differ in what the two decoders do by different means.
fn architectures() -> [Configuration; 3] {
    let rich = configuration();
    let plain = Configuration {
        family: Family::Llama,
        key_value_heads: 4,
        query_key_value_bias: false,
        output_bias: false,
        mlp_bias: false,
        query_key_norm: false,
        tied_head: true,
        ..rich.clone()
    };
    let narrow = Configuration {
        sliding_window: Some(3),
        layers: 3,
        ..plain.clone()
    };
    [rich, plain, narrow]
}

#[test]
fn on_tensors_the_model_is_the_same() {
    let dropout = Some(Dropout {
        rate: 0.3,
        seed: 11,
    });
    let passes = [
        Pass::default(),
        Pass {
            dropout,
            ..Pass::default()
        },
        Pass {
            dropout,
            checkpoint_layers: true,
        },
    ];
    for configuration in architectures() {
        let mut plain = with_adapter(&configuration);
        let mut other = on_tensors(&configuration, Precision::default());
        for shared_prefix in [0, 3] {
            let batch = Batch {
                shared_prefix,
                ..batch()
            };
            for pass in &passes {
                let (wanted_loss, wanted) = trained(&mut plain, &batch, pass);
                let (loss, found) = trained(&mut other, &batch, pass);
                assert!((loss - wanted_loss).abs() < 1e-5, "{loss} {wanted_loss}");
                let far = relative(&found, &wanted);
                assert!(far < 1e-4, "{:?} {pass:?} {far}", configuration.family);
            }
            let (one, two) = (plain.loss(&batch), other.loss(&batch));
            assert!((one.expect("loss") - two.expect("loss")).abs() < 1e-5);
            let asked = [3, 7, 22];
            let one = plain.read_out(&batch, &asked, true).expect("read");
            let two = other.read_out(&batch, &asked, true).expect("read");
            for (one, two) in one.iter().zip(&two) {
                assert!(relative(&two.logits, &one.logits) < 1e-5, "{one:?} {two:?}");
                let normaliser =
                    |of: &runner::language_model::Readout| of.log_normaliser.expect("asked");
                assert!((normaliser(one) - normaliser(two)).abs() < 1e-4);
            }
            let at = [(0, 2), (2, 8), (1, 5)];
            let one = plain.logits(&batch, &at).expect("logits");
            let two = other.logits(&batch, &at).expect("logits");
            assert!(relative(&two, &one) < 1e-5);
        }
        // A step of an optimiser reaches what the device has.
        for model in [&mut plain as &mut dyn LanguageModel, &mut other] {
            for (_, parameter) in model.parameters_mut().iter_mut() {
                parameter.values.iter_mut().for_each(|value| *value *= 0.9);
            }
        }
        let (one, two) = (plain.loss(&batch()), other.loss(&batch()));
        assert!((one.expect("loss") - two.expect("loss")).abs() < 1e-5);
    }
}

/// In halves loss and gradients are near, and nothing is lost on the way back.
#[test]
fn in_halves_the_model_is_nearly_the_same() {
    for configuration in architectures() {
        let mut plain = with_adapter(&configuration);
        let (wanted_loss, wanted) = trained(&mut plain, &batch(), &Pass::default());
        for (compute, tolerance) in [(Compute::Bf16, 0.15), (Compute::F16, 0.02)] {
            let precision = Precision {
                compute,
                ..Precision::default()
            };
            let mut halves = on_tensors(&configuration, precision);
            // A weight of 1e-6 of a target would give gradients below what an f16 can be.
            for factor in [1.0, 1e-6] {
                let mut batch = batch();
                for target in batch.sequences.iter_mut().flat_map(|one| &mut one.targets) {
                    target.weight *= factor;
                }
                let (loss, found) = trained(&mut halves, &batch, &Pass::default());
                let factor = f64::from(factor);
                let far = (loss / factor / wanted_loss - 1.0).abs();
                assert!(far < tolerance, "{compute:?}: {loss} {wanted_loss}");
                let found: Vec<f32> = found
                    .iter()
                    .map(|one| (f64::from(*one) / factor) as f32)
                    .collect();
                let far = relative(&found, &wanted);
                assert!(far < tolerance, "{compute:?} {factor}: {far}");
            }
        }
    }
}

/// A quantised weight is what it is made dense to, forward and back.
#[test]
fn quantised_weights_compute_as_their_dense_numbers() {
    use candle_core::quantized::{GgmlDType, QTensor};
    use candle_core::{Device, Tensor};

    let configuration = Configuration {
        hidden_size: 256,
        intermediate_size: 512,
        heads: 8,
        key_value_heads: 4,
        head_size: 32,
        ..configuration()
    };
    for (frozen, kind) in [
        (Frozen::Q8_0, GgmlDType::Q8_0),
        (Frozen::Q4_0, GgmlDType::Q4_0),
        (Frozen::Q4K, GgmlDType::Q4K),
    ] {
        let exact = weights(&configuration);
        let shapes: BTreeMap<String, Vec<usize>> = configuration.tensors().into_iter().collect();
        let rounded = exact.iter().map(|(name, values)| {
            let kept = name.contains("proj.weight");
            let shape = shapes[name].as_slice();
            let tensor = Tensor::from_slice(values, shape, &Device::Cpu).expect("tensor");
            let values = if kept {
                let small = QTensor::quantize(&tensor, kind).expect("quantised");
                let dense = small.dequantize(&Device::Cpu).expect("dense");
                dense
                    .flatten_all()
                    .and_then(|one| one.to_vec1())
                    .expect("numbers")
            } else {
                values.to_vec()
            };
            (name.to_owned(), values)
        });
        let rounded = Weights::new(&configuration, rounded.collect()).expect("complete");
        let trainable = Trainable::Adapter {
            options: lora(),
            values: trained_adapter(&configuration),
        };
        let mut dense =
            Decoder::new(configuration.clone(), Arc::new(rounded), trainable).expect("fits");
        let precision = Precision {
            weights: frozen,
            ..Precision::default()
        };
        let mut small = on_tensors(&configuration, precision);
        let (wanted_loss, wanted) = trained(&mut dense, &batch(), &Pass::default());
        let (loss, found) = trained(&mut small, &batch(), &Pass::default());
        assert!(
            (loss - wanted_loss).abs() < 1e-3 * wanted_loss,
            "{kind:?} {loss} {wanted_loss}"
        );
        let far = relative(&found, &wanted);
        assert!(far < 1e-3, "{kind:?} {far}");
    }
}

/// As many bytes as the formats have: what a card must hold.
#[test]
fn quantised_weights_take_the_room_they_should() {
    let configuration = Configuration {
        hidden_size: 256,
        intermediate_size: 512,
        ..configuration()
    };
    let values = weights(&configuration);
    let size = |precision| {
        let read = |name: &str| Ok(values.get(name).expect("there").to_vec());
        let kept = TensorWeights::make(&configuration, &device(), precision, read);
        kept.expect("kept").size_bytes()
    };
    let (mut modules, mut rest) = (0, 0);
    for (name, shape) in configuration.tensors() {
        let count: usize = shape.iter().product();
        // Rows of 16 numbers, those of o_proj, are no whole block and stay dense.
        if name.contains("proj.weight") && shape[1] % 256 == 0 {
            modules += count;
        } else {
            rest += count;
        }
    }
    for frozen in [Frozen::Q8_0, Frozen::Q4_0, Frozen::Q4K] {
        let (numbers, bytes) = frozen.block().expect("blocks");
        let precision = Precision {
            compute: Compute::Bf16,
            weights: frozen,
        };
        assert_eq!(size(precision), modules / numbers * bytes + 2 * rest);
    }
    assert_eq!(size(Precision::default()), 4 * (modules + rest));
}
