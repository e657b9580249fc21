//! Tokens per second of training and prompts per second of scoring with the decoder on the CPU,
//! beside the machine's own limit; `bench_lora.py` (PyTorch, transformers, PEFT) measures the
//! same on the same files.
//!
//! ```text
//! cargo bench --bench language_model -- --dir DIR --size S --case train
//! ```
//!
//! `DIR/<size>` is a Hugging Face folder, `DIR/tokens.json` has the token ids of `train`,
//! `train_var` and `eval`. Cases: `train`, `train_ckpt`, `train_var`, `train_var_ckpt`, `eval`
//! (two tokens asked), `eval_full` (and the normaliser), `eval_shared` (prompts of which the
//! first 75 tokens are the same). Without `--dir` a small model is drawn: `--case tiny`,
//! `tiny_tune`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use runner::base::clock;
use runner::language_model::decoder::{fresh_adapter, fresh_weights};
use runner::language_model::{
    Batch, Configuration, Decoder, Dropout, Family, LanguageModel, LoraOptions, Pass, RopeScaling,
    Sequence, Target, Trainable, Weights,
};
use runner::nn::matrix::{Matrix, Write};
use runner::nn::product::product;
use serde_json::Value;

type Failure = Box<dyn std::error::Error>;

struct Options {
    dir: PathBuf,
    size: String,
    case: String,
    steps: usize,
    prompts: usize,
    threads: usize,
}

fn options() -> Options {
    let mut found = BTreeMap::new();
    let mut words = std::env::args().skip(1).peekable();
    while let Some(word) = words.next() {
        if let (Some(key), Some(value)) = (word.strip_prefix("--"), words.peek()) {
            found.insert(key.to_owned(), value.clone());
        }
    }
    let text = |key: &str, default: &str| {
        let value = found.get(key);
        value.cloned().unwrap_or_else(|| default.to_owned())
    };
    let number = |key: &str, default: usize| {
        let value = found.get(key).and_then(|value| value.parse().ok());
        value.unwrap_or(default)
    };
    let size = text("size", "S");
    Options {
        dir: text("dir", ".").into(),
        steps: number("steps", if size == "M" { 3 } else { 10 }),
        prompts: number("prompts", if size == "M" { 96 } else { 1000 }),
        case: text("case", "tiny"),
        threads: number("threads", 2),
        size,
    }
}

/// Wall seconds and processor seconds since the process began.
fn seconds(start: std::time::Instant) -> (f64, f64) {
    let ticks = || {
        let text = std::fs::read_to_string("/proc/self/stat").ok()?;
        let mut after_name = text.rsplit_once(')')?.1.split_whitespace().skip(11);
        let user: f64 = after_name.next()?.parse().ok()?;
        let system: f64 = after_name.next()?.parse().ok()?;
        Some((user + system) / 100.0)
    };
    let wall = start.elapsed().as_secs_f64();
    (wall, ticks().unwrap_or(wall))
}

/// Largest memory of the process so far, in MiB.
fn peak_memory() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    number.unwrap_or(0.0) / 1024.0
}

fn tiny() -> Configuration {
    Configuration {
        family: Family::Llama,
        hidden_size: 96,
        intermediate_size: 256,
        layers: 4,
        heads: 4,
        key_value_heads: 4,
        head_size: 24,
        vocabulary_size: 1000,
        norm_epsilon: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: RopeScaling::None,
        max_positions: 2048,
        sliding_window: None,
        tied_head: true,
        query_key_value_bias: false,
        output_bias: false,
        mlp_bias: false,
        query_key_norm: false,
    }
}

fn batch(rows: &[Vec<u32>]) -> Batch {
    let targets: usize = rows.iter().map(|row| row.len() - 1).sum();
    let sequences = rows.iter().enumerate().map(|(number, row)| Sequence {
        tokens: row.clone(),
        targets: (1..row.len())
            .map(|at| Target {
                position: at - 1,
                token: row[at],
                weight: 1.0 / targets as f32,
            })
            .collect(),
        stream: number as u64,
    });
    Batch {
        sequences: sequences.collect(),
        shared_prefix: 0,
    }
}

/// Floating-point operations that any exact algorithm needs, as `bench_lora.py` counts them.
fn floor_train(c: &Configuration, lengths: &[usize]) -> f64 {
    let (hidden, layers) = (c.hidden_size as f64, c.layers as f64);
    let queries = hidden * (c.heads * c.head_size) as f64;
    let keys = hidden * (c.key_value_heads * c.head_size) as f64;
    let mlp = 3.0 * hidden * c.intermediate_size as f64;
    let tokens: f64 = lengths.iter().map(|n| *n as f64).sum();
    let pairs: f64 = lengths.iter().map(|n| (n * (n + 1) / 2) as f64).sum();
    let rows = tokens - lengths.len() as f64;
    let width = (c.heads * c.head_size) as f64;
    let forward = 2.0 * tokens * layers * (2.0 * queries + 2.0 * keys + mlp);
    let head = 2.0 * rows * hidden * c.vocabulary_size as f64;
    let attention = 4.0 * pairs * width * layers;
    let lora = 16.0 * tokens * layers * (2.0 * hidden + queries / hidden + keys / hidden);
    let backward =
        2.0 * tokens * ((layers - 1.0) * (queries + 2.0 * keys) + layers * (queries + mlp));
    forward + backward + 2.0 * head + 3.0 * attention + 3.0 * lora
}

fn floor_eval(c: &Configuration, lengths: &[usize]) -> f64 {
    let hidden = c.hidden_size as f64;
    let queries = hidden * (c.heads * c.head_size) as f64;
    let keys = hidden * (c.key_value_heads * c.head_size) as f64;
    let mlp = 3.0 * hidden * c.intermediate_size as f64;
    let tokens: f64 = lengths.iter().map(|n| *n as f64).sum();
    let pairs: f64 = lengths.iter().map(|n| (n * (n + 1) / 2) as f64).sum();
    let width = (c.heads * c.head_size) as f64;
    let layers = c.layers as f64;
    2.0 * tokens * layers * (2.0 * queries + 2.0 * keys + mlp) + 4.0 * pairs * width * layers
        - 2.0 * (tokens - lengths.len() as f64) * (2.0 * queries + mlp)
}

/// GFLOP per wall second and per processor second of a square product.
fn machine(start: std::time::Instant) -> Result<(f64, f64), Failure> {
    let n = 1536;
    let (a, b) = (vec![0.5_f32; n * n], vec![0.25_f32; n * n]);
    let mut out = vec![0.0_f32; n * n];
    let mut best = (0.0_f64, 0.0_f64);
    for _ in 0..6 {
        let before = seconds(start);
        for _ in 0..3 {
            let view = |data| Matrix::new(data, n, n).ok_or("long enough");
            product(&mut out, Write::Set, view(&a)?, view(&b)?.transposed())?;
        }
        let after = seconds(start);
        let work = 6.0 * (n as f64).powi(3) / 1e9;
        best.0 = best.0.max(work / (after.0 - before.0));
        best.1 = best.1.max(work / (after.1 - before.1));
    }
    Ok(best)
}

fn run(options: &Options) -> Result<(), Failure> {
    let start = clock::now();
    let Options { size, case, .. } = options;
    let folder = options.dir.join(size);
    let small = case.starts_with("tiny");
    let configuration = if small {
        tiny()
    } else {
        Configuration::read(&folder)?
    };
    let weights = if small {
        fresh_weights(&configuration, 1)
    } else {
        Weights::new(
            &configuration,
            configuration.open_weights(&folder)?.all_f32()?,
        )?
    };
    let lora = LoraOptions::default();
    let values = fresh_adapter(&configuration, &lora, 1);
    let trainable = match case.as_str() {
        "tiny" => Trainable::Everything,
        _ => Trainable::Adapter {
            options: lora,
            values,
        },
    };
    let mut model = Decoder::new(configuration.clone(), Arc::new(weights), trainable)?;
    let rows = |key: &str| -> Result<Vec<Vec<Vec<u32>>>, Failure> {
        if small {
            let row = |n: u32| {
                (0..128)
                    .map(|at| (n * 131 + at * 37 + at * at) % 1000)
                    .collect()
            };
            return Ok(vec![(0..32).map(row).collect()]);
        }
        let text = std::fs::read(options.dir.join("tokens.json"))?;
        let all: Value = serde_json::from_slice(&text)?;
        let found = all[size][key].clone();
        if key == "eval" {
            return Ok(vec![serde_json::from_value(found)?]);
        }
        Ok(serde_json::from_value(found)?)
    };
    let (floor, tokens, unit, count, before, after);
    if case.starts_with("eval") {
        let mut prompts = rows("eval")?.concat();
        prompts.truncate(options.prompts);
        if case == "eval_shared" {
            let prefix: Vec<u32> = prompts[0][..75].to_vec();
            for prompt in &mut prompts {
                prompt[..75].copy_from_slice(&prefix);
            }
        }
        let lengths: Vec<usize> = prompts.iter().map(Vec::len).collect();
        before = seconds(start);
        for rows in prompts.chunks(32) {
            model.read_out(&batch(rows), &[10, 11], case == "eval_full")?;
        }
        after = seconds(start);
        floor = floor_eval(&configuration, &lengths);
        tokens = lengths.iter().sum::<usize>() as f64;
        (unit, count) = ("prompts", prompts.len());
    } else {
        let batches = rows(if case.contains("var") {
            "train_var"
        } else {
            "train"
        })?;
        let steps = if small {
            options.steps * 4
        } else {
            options.steps
        };
        let mut lengths = Vec::new();
        let first: Vec<Vec<u32>> = batches[0][..2]
            .iter()
            .map(|row| row[..64].to_vec())
            .collect();
        model.accumulate(&batch(&first), &Pass::default())?;
        before = seconds(start);
        let mut loss = 0.0;
        for step in 1..=steps {
            let rows = &batches[step % batches.len()];
            let pass = Pass {
                dropout: (case != "tiny").then_some(Dropout {
                    rate: 0.05,
                    seed: step as u64,
                }),
                checkpoint_layers: case.ends_with("ckpt"),
            };
            model.parameters_mut().clear_gradients();
            loss = model.accumulate(&batch(rows), &pass)?;
            // A plain step of gradient descent stands for the optimiser.
            for (_, parameter) in model.parameters_mut().iter_mut() {
                for (value, gradient) in parameter.values.iter_mut().zip(&parameter.gradient) {
                    *value -= 1e-3 * gradient;
                }
            }
            lengths.extend(rows.iter().map(Vec::len));
        }
        after = seconds(start);
        floor = floor_train(&configuration, &lengths);
        tokens = lengths.iter().sum::<usize>() as f64;
        (unit, count) = ("steps", steps);
        print(&format!("loss {loss:.4}"));
    }
    let memory = peak_memory();
    let (wall, processor) = (after.0 - before.0, after.1 - before.1);
    let (peak_wall, peak_processor) = machine(start)?;
    let work = floor / 1e9;
    print(&format!(
        "{size} {case}: {:.0} tokens/s, {:.0} tokens/CPU s, {:.2} {unit}/s, {:.2} {unit}/CPU s, \
         {memory:.0} MiB; {:.1} GFLOP/s = {:.0} % of {peak_wall:.0}, {:.1} GFLOP/CPU s = {:.0} % of \
         {peak_processor:.0}",
        tokens / wall,
        tokens / processor,
        count as f64 / wall,
        count as f64 / processor,
        work / wall,
        100.0 * work / wall / peak_wall,
        work / processor,
        100.0 * work / processor / peak_processor,
    ));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a benchmark's output is its purpose")]
fn print(line: &str) {
    println!("{line}");
}

fn main() -> Result<(), Failure> {
    runner::nn::keep_candle_to_one_thread();
    let options = options();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .build()?;
    pool.install(|| run(&options).map_err(|error| error.to_string()))?;
    Ok(())
}
