//! One case of LoRA training or scoring of a model of LLaMA-7B's shape on a card, with weights made
//! on the spot; prints one line of JSON. `benches/gpu.sh` runs all cases beside PyTorch and PEFT.
//!
//! ```text
//! cargo bench --features cuda --bench gpu -- --device cuda:0 --case train --compute bf16
//! ```
//!
//! Cases: `product` (what the card's matrix products reach), `train`, `train_checkpoint`, `score`,
//! `course` (the losses of a small model's training, to be compared between devices). `--weights
//! dense|q8_0|q4_0|q4_k`, `--shape 7b|1b|small`, `--rows` of `--length` tokens a micro-batch,
//! `--steps`, and `--cap-gib 24` to leave the card no more than that.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Device as Candle, Tensor};
use runner::base::{Device, Random, clock};
use runner::language_model::decoder::fresh_adapter;
use runner::language_model::tensor::device::{memory, open};
use runner::language_model::{
    Batch, Configuration, Dropout, Family, LanguageModel, LoraOptions, Pass, Precision,
    RopeScaling, Sequence, Target, TensorDecoder, TensorWeights,
};
use runner::tuning::{AdamW, AdamWOptions};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

/// Bytes of a GiB.
const GIB: f64 = (1_u64 << 30) as f64;

struct Options(BTreeMap<String, String>);

impl Options {
    fn read() -> Self {
        let mut found = BTreeMap::new();
        let mut words = std::env::args().skip(1).peekable();
        while let Some(word) = words.next() {
            if let (Some(key), Some(value)) = (word.strip_prefix("--"), words.peek()) {
                found.insert(key.to_owned(), value.clone());
            }
        }
        Self(found)
    }

    fn text(&self, key: &str, default: &str) -> String {
        let value = self.0.get(key);
        value.cloned().unwrap_or_else(|| default.to_owned())
    }

    fn number(&self, key: &str, default: usize) -> usize {
        let value = self.0.get(key).and_then(|value| value.parse().ok());
        value.unwrap_or(default)
    }
}

/// LLaMA-7B, a 1.1B model of the same kind, or one small enough for a test.
fn shape(name: &str) -> Result<Configuration, Failure> {
    let (hidden_size, intermediate_size, layers, heads, vocabulary_size) = match name {
        "7b" => (4096, 11_008, 32, 32, 32_000),
        "1b" => (2048, 5504, 22, 32, 32_000),
        "small" => (256, 688, 4, 8, 4000),
        _ => return Err(format!("there is no shape `{name}`: 7b, 1b, small").into()),
    };
    Ok(Configuration {
        family: Family::Llama,
        hidden_size,
        intermediate_size,
        layers,
        heads,
        key_value_heads: heads,
        head_size: hidden_size / heads,
        vocabulary_size,
        norm_epsilon: 1e-6,
        rope_theta: 10_000.0,
        rope_scaling: RopeScaling::None,
        max_positions: 2048,
        sliding_window: None,
        tied_head: false,
        query_key_value_bias: false,
        output_bias: false,
        mlp_bias: false,
        query_key_norm: false,
    })
}

/// Weights of a sensible size: pieces of one block of normal numbers, for drawing seven thousand
/// million takes longer than the measurement.
fn weights(
    configuration: &Configuration,
    device: &Candle,
    precision: Precision,
) -> Result<TensorWeights, Failure> {
    let mut random = Random::new(1, "gpu");
    let block: Vec<f32> = (0..1_000_003).map(|_| random.normal() as f32).collect();
    let shapes: BTreeMap<String, Vec<usize>> = configuration.tensors().into_iter().collect();
    let read = |name: &str| {
        let shape = shapes.get(name).cloned().unwrap_or_default();
        let count: usize = shape.iter().product();
        if name.ends_with("norm.weight") {
            return Ok(vec![1.0; count]);
        }
        let deviation = 1.0 / (shape.last().copied().unwrap_or(1) as f32).sqrt();
        let start = Random::new(2, name).below(block.len());
        let values = block.iter().cycle().skip(start).take(count);
        Ok(values.map(|value| value * deviation).collect())
    };
    Ok(TensorWeights::make(configuration, device, precision, read)?)
}

/// Texts that begin alike, as prompts do, all tokens learnt as the released code has it.
fn batch(configuration: &Configuration, rows: usize, length: usize, seed: u64) -> Batch {
    let mut random = Random::new(seed, "gpu/batch");
    let vocabulary = configuration.vocabulary_size;
    let weight = 1.0 / (rows * (length - 1)) as f32;
    let sequences = (0..rows).map(|row| {
        let tokens: Vec<u32> = (0..length)
            .map(|_| random.below(vocabulary) as u32)
            .collect();
        Sequence {
            targets: (1..length)
                .map(|at| Target {
                    position: at - 1,
                    token: tokens[at],
                    weight,
                })
                .collect(),
            tokens,
            stream: row as u64,
        }
    });
    Batch {
        sequences: sequences.collect(),
        shared_prefix: 0,
    }
}

/// Operations of a training step that any exact way needs: forward, and back to what is trained.
fn work(c: &Configuration, tokens: f64, trains: bool) -> f64 {
    let (hidden, inner) = (c.hidden_size as f64, c.intermediate_size as f64);
    let layer = 4.0 * hidden * hidden + 3.0 * hidden * inner;
    let body = 2.0 * tokens * c.layers as f64 * layer;
    let head = 2.0 * tokens * hidden * c.vocabulary_size as f64;
    if trains { 2.0 * (body + head) } else { body }
}

/// The best of several products of large matrices, in operations a second.
fn product(device: &Candle, dtype: DType, size: usize) -> Result<f64, Failure> {
    let one = Tensor::ones((size, size), dtype, device)?;
    let mut best = 0.0_f64;
    for _ in 0..5 {
        device.synchronize()?;
        let start = clock::now();
        for _ in 0..4 {
            one.matmul(&one)?;
        }
        device.synchronize()?;
        let seconds = start.elapsed().as_secs_f64();
        best = best.max(4.0 * 2.0 * (size as f64).powi(3) / seconds);
    }
    Ok(best)
}

fn run(options: &Options) -> Result<Value, Failure> {
    let device: Device = options.text("device", "cuda:0").parse()?;
    let opened = open(device)?;
    // What CUDA itself takes, and what others have.
    let at_first = memory(device).map_or(0, |found| found.total - found.free);
    let mut ballast = Vec::new();
    let cap = options.number("cap-gib", 0);
    if cap > 0
        && let Some(found) = memory(device)
    {
        // Pieces, since one tensor may not be as large as a card.
        let mut left = found.free.saturating_sub((cap as u64) << 30);
        while left > 0 {
            let piece = left.min(1 << 30);
            ballast.push(Tensor::zeros(piece as usize, DType::U8, &opened)?);
            left -= piece;
        }
    }
    let held = memory(device).map_or(0, |found| found.highest);
    let case = options.text("case", "train");
    let precision: Precision = serde_json::from_value(json!({
        "compute": options.text("compute", "bf16"),
        "weights": options.text("weights", "dense"),
    }))?;
    let mut said = json!({
        "case": case, "device": device, "precision": precision, "cap_gib": cap,
        "shape": options.text("shape", "7b"),
    });
    if case == "product" {
        let rate = product(&opened, DType::BF16, options.number("size", 8192))?;
        said["tflops"] = json!(rate / 1e12);
        return Ok(said);
    }
    let course = case == "course";
    let configuration = shape(&options.text("shape", if course { "small" } else { "7b" }))?;
    let (rows, length) = (options.number("rows", 32), options.number("length", 200));
    let steps = options.number("steps", if course { 20 } else { 5 });
    let start = clock::now();
    let kept = Arc::new(weights(&configuration, &opened, precision)?);
    opened.synchronize()?;
    said["load_s"] = json!(start.elapsed().as_secs_f64());
    said["weights_gib"] = json!(kept.size_bytes() as f64 / GIB);
    let lora = LoraOptions::default();
    let values = fresh_adapter(&configuration, &lora, 1);
    let mut model = TensorDecoder::new(configuration.clone(), kept, Some((lora, values)))?;
    let mut losses = Vec::new();
    let mut seconds = Vec::new();
    if case == "score" {
        for _ in 0..=steps {
            let batch = batch(&configuration, rows, length, 9);
            let start = clock::now();
            model.read_out(&batch, &[10, 11], true)?;
            seconds.push(start.elapsed().as_secs_f64());
        }
    } else {
        let mut optimiser = AdamW::new(model.parameters(), AdamWOptions::default());
        for step in 0..=steps {
            let batch = batch(
                &configuration,
                rows,
                length,
                if course { step as u64 } else { 9 },
            );
            let pass = Pass {
                dropout: Some(Dropout {
                    rate: 0.05,
                    seed: step as u64,
                }),
                checkpoint_layers: case == "train_checkpoint",
            };
            let start = clock::now();
            model.parameters_mut().clear_gradients();
            losses.push(model.accumulate(&batch, &pass)?);
            optimiser.step(model.parameters_mut(), 1e-3)?;
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    let peak = memory(device).map_or(0, |found| found.highest);
    // The first one compiles and fills caches.
    let best = seconds[1..].iter().copied().fold(f64::INFINITY, f64::min);
    let tokens = (rows * length) as f64;
    let work = work(&configuration, tokens, case != "score");
    said["rows"] = json!(rows);
    said["length"] = json!(length);
    said["losses"] = json!(losses);
    said["seconds"] = json!(seconds);
    said["tokens_per_s"] = json!(tokens / best);
    said["tflops"] = json!(work / best / 1e12);
    said["peak_gib"] = json!(peak.saturating_sub(held) as f64 / GIB);
    said["cuda_gib"] = json!(at_first as f64 / GIB);
    drop(ballast);
    Ok(said)
}

#[expect(clippy::print_stdout, reason = "a benchmark's output is its purpose")]
fn main() -> Result<(), Failure> {
    let said = run(&Options::read()).map_err(|error| error.to_string())?;
    println!("{said}");
    Ok(())
}
