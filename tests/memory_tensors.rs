//! What the decoder on tensors holds at its highest moment, counted allocation by allocation, against
//! the plan: on a card no more can be counted without one, and there the same tensors live as long.

#![expect(
    unsafe_code,
    reason = "an allocator that counts is unsafe by its trait"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use runner::base::Device;
use runner::language_model::decoder::{fresh_adapter, fresh_weights};
use runner::language_model::memory::{Engine, PassSize, Peak, Planned, Trained};
use runner::language_model::{
    Batch, Configuration, Dropout, Family, Frozen, LanguageModel, LoraOptions, Pass, Precision,
    RopeScaling, Sequence, Target, TensorDecoder, TensorWeights, lora,
};

/// The system's allocator, with a count of what is alive and of the most that was.
struct Counting;

static ALIVE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is handed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let alive = ALIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(alive, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that was alive while something was done, beyond what was before.
fn peak_of(act: impl FnOnce()) -> u64 {
    let before = ALIVE.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    act();
    (MOST.load(Ordering::Relaxed) - before) as u64
}

fn configuration() -> Configuration {
    Configuration {
        family: Family::Llama,
        hidden_size: 256,
        intermediate_size: 512,
        layers: 4,
        heads: 8,
        key_value_heads: 8,
        head_size: 32,
        vocabulary_size: 2000,
        norm_epsilon: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: RopeScaling::None,
        max_positions: 2048,
        sliding_window: None,
        tied_head: false,
        query_key_value_bias: false,
        output_bias: false,
        mlp_bias: false,
        query_key_norm: false,
    }
}

/// Sequences of about the same length; targets everywhere, or in the last place alone.
fn batch(rows: usize, length: usize, whole: bool, shared_prefix: usize) -> Batch {
    let sequences = (0..rows).map(|row| {
        let own = |at: usize| {
            if at < shared_prefix {
                at
            } else {
                row * 31 + at * 7
            }
        };
        let tokens: Vec<u32> = (0..length - row % 3)
            .map(|at| (own(at) % 2000) as u32)
            .collect();
        let first = if whole { 1 } else { tokens.len() - 1 };
        Sequence {
            targets: (first..tokens.len())
                .map(|at| Target {
                    position: at - 1,
                    token: tokens[at],
                    weight: 0.01,
                })
                .collect(),
            tokens,
            stream: row as u64,
        }
    });
    Batch {
        sequences: sequences.collect(),
        shared_prefix,
    }
}

fn size(batch: &Batch) -> PassSize {
    let lengths = batch.sequences.iter().map(|one| one.tokens.len());
    let prefix = batch.shared_prefix;
    // What is asked of the shared beginning is asked once.
    let mut asked = BTreeSet::new();
    for (number, sequence) in batch.sequences.iter().enumerate() {
        let places = sequence.targets.iter().map(|target| target.position);
        asked.extend(places.map(|at| (if at < prefix { 0 } else { number }, at)));
    }
    PassSize {
        rows: prefix + lengths.clone().map(|length| length - prefix).sum::<usize>(),
        asked: asked.len(),
        sequences: batch.sequences.len(),
        prefix,
        longest: lengths.max().unwrap_or(0),
    }
}

/// What a pass adds to what rests.
fn of_the_pass(engine: &Engine, peak: &Peak) -> u64 {
    peak.kept + peak.working + peak.logits + peak.other - engine.program_bytes
}

#[test]
fn peaks_are_predicted_within_a_tenth() {
    let grouped = Configuration {
        key_value_heads: 2,
        query_key_norm: true,
        layers: 3,
        ..configuration()
    };
    let all_modules = LoraOptions {
        target_modules: lora::MODULES.map(|(name, _)| name.to_owned()).to_vec(),
        ..LoraOptions::default()
    };
    let mut report = String::new();
    let mut wrong = false;
    for (name, sizes, options, frozen, checkpoint_layers, whole, prefix) in [
        (
            "plain",
            configuration(),
            LoraOptions::default(),
            Frozen::Dense,
            false,
            true,
            0,
        ),
        (
            "checkpoints",
            configuration(),
            LoraOptions::default(),
            Frozen::Dense,
            true,
            true,
            0,
        ),
        (
            "quantised",
            configuration(),
            LoraOptions::default(),
            Frozen::Q8_0,
            true,
            true,
            0,
        ),
        (
            "answers",
            configuration(),
            LoraOptions::default(),
            Frozen::Dense,
            false,
            false,
            0,
        ),
        (
            "a shared beginning",
            configuration(),
            LoraOptions::default(),
            Frozen::Dense,
            false,
            true,
            60,
        ),
        (
            "all modules",
            configuration(),
            all_modules.clone(),
            Frozen::Dense,
            false,
            true,
            0,
        ),
        (
            "grouped heads",
            grouped,
            all_modules,
            Frozen::Dense,
            false,
            false,
            60,
        ),
    ] {
        let precision = Precision {
            weights: frozen,
            ..Precision::default()
        };
        let source = fresh_weights(&sizes, 1);
        let read = |name: &str| Ok(source.get(name).expect("there").to_vec());
        let device = candle_core::Device::Cpu;
        let kept = TensorWeights::make(&sizes, &device, precision, read).expect("kept");
        drop(source);
        let values = fresh_adapter(&sizes, &options, 1);
        let mut model = TensorDecoder::new(
            sizes.clone(),
            Arc::new(kept),
            Some((options.clone(), values)),
        )
        .expect("fits");
        let pass = Pass {
            dropout: Some(Dropout {
                rate: 0.05,
                seed: 1,
            }),
            checkpoint_layers,
        };
        let engine = Engine::on_tensors(Device::Cpu, precision);
        let planned = |trained| Planned {
            engine: &engine,
            configuration: &sizes,
            trained,
            keeps_best: false,
        };
        // The first pass starts what stays: threads, tables.
        model
            .accumulate(&batch(2, 20, whole, 0), &pass)
            .expect("a pass");
        let learnt = batch(10, 140, whole, prefix);
        let training = peak_of(|| {
            model.accumulate(&learnt, &pass).expect("a pass");
        });
        let scored = batch(10, 140, false, prefix);
        let scoring = peak_of(|| {
            model.read_out(&scored, &[1, 2], true).expect("scores");
        });
        let trained = Trained::Adapter(&options);
        let of_training = planned(trained).training(size(&learnt), checkpoint_layers);
        // An adapter is applied in scoring, too.
        let mut asked = size(&scored);
        asked.asked = asked.sequences;
        let of_scoring = planned(trained).scoring(asked);
        for (what, found, peak) in [
            ("learning", training, of_training),
            ("scoring", scoring, of_scoring),
        ] {
            let expected = of_the_pass(&engine, &peak);
            let ratio = expected as f64 / found as f64;
            wrong |= (ratio - 1.0).abs() > 0.1;
            report.push_str(&format!(
                "{name}, {what}: {:.2} MiB predicted, {:.2} MiB counted, ratio {ratio:.3}; {peak:?}\n",
                expected as f64 / f64::from(1 << 20),
                found as f64 / f64::from(1 << 20),
            ));
        }
    }
    if let Ok(path) = std::env::var("RUNNER_TEST_MEMORY_REPORT") {
        std::fs::write(path, &report).expect("written");
    }
    assert!(!wrong, "{report}");
}
