//! How much memory a pass through a decoder takes, before it is made.
//!
//! What is alive when follows from sizes alone: weights, what is trained with its gradients and
//! moments, what every layer keeps for the way back, what one layer needs while it works, and the
//! logits. An [`Engine`] says how large the numbers are and what its layers keep and need;
//! [`Engine::CPU`] follows the decoder of this crate step by step (`tests/memory_plan.rs` compares
//! it with measured peaks).
//!
//! `T` stands for the rows of a pass, `Q` for those of them that something is asked of.

use serde::{Deserialize, Serialize};

use super::lora::MODULES;
use super::{Compute, Configuration, Frozen, LoraOptions, Precision};
use crate::base::Device;

/// How numbers that are never trained are stored: so many bytes for so many numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packing {
    /// Its name.
    pub name: &'static str,
    /// Bytes of a block.
    pub bytes: u64,
    /// Numbers of a block.
    pub numbers: u64,
}

impl Packing {
    /// IEEE single precision.
    pub const F32: Self = Self::blocks("f32", 4, 1);

    /// IEEE half precision.
    pub const F16: Self = Self::blocks("f16", 2, 1);

    /// The upper half of single precision.
    pub const BF16: Self = Self::blocks("bf16", 2, 1);

    /// GGML's blocks of 32 numbers of 8 bits with a scale.
    pub const Q8_0: Self = Self::blocks("q8_0", 34, 32);

    /// GGML's blocks of 32 numbers of 4 bits with a scale.
    pub const Q4_0: Self = Self::blocks("q4_0", 18, 32);

    /// GGML's blocks of 256 numbers of 4 bits with scales and minima.
    pub const Q4_K: Self = Self::blocks("q4_k", 144, 256);

    const fn blocks(name: &'static str, bytes: u64, numbers: u64) -> Self {
        Self {
            name,
            bytes,
            numbers,
        }
    }

    /// Bytes of so many numbers.
    #[must_use]
    pub fn bytes_of(self, numbers: u64) -> u64 {
        numbers.div_ceil(self.numbers) * self.bytes
    }
}

/// What a pass is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PassSize {
    /// T: tokens, those of a shared beginning once.
    pub rows: usize,
    /// Q: rows of which something is asked.
    pub asked: usize,
    /// Sequences.
    pub sequences: usize,
    /// Tokens that all sequences share and that are computed once.
    pub prefix: usize,
    /// Tokens of the longest sequence.
    pub longest: usize,
}

/// What of a model is trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Trained<'a> {
    /// Nothing: it scores.
    Nothing,
    /// An adapter.
    Adapter(&'a LoraOptions),
    /// All weights.
    Everything,
}

impl<'a> Trained<'a> {
    /// The adapter of a module, counted as in [`MODULES`], if it has one.
    pub(super) fn adapter(self, module: usize) -> Option<&'a LoraOptions> {
        let Self::Adapter(options) = self else {
            return None;
        };
        let (name, _) = MODULES[module];
        let chosen = options.target_modules.iter().any(|one| one == name);
        chosen.then_some(options)
    }
}

/// The numbers that a layer needs beside its input, at their most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LayerNumbers {
    /// What stays of it until the way back.
    pub kept: u64,
    /// While it computes and keeps nothing.
    pub scoring: u64,
    /// While it computes and keeps.
    pub forward: u64,
    /// On the way back: what was kept and the incoming gradient included.
    pub backward: u64,
}

/// Counts what is alive.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    alive: u64,
    most: u64,
}

impl Ledger {
    pub(super) fn take(&mut self, numbers: usize) {
        self.alive += numbers as u64;
        self.most = self.most.max(self.alive);
    }

    pub(super) fn give(&mut self, numbers: usize) {
        self.alive = self.alive.saturating_sub(numbers as u64);
    }

    /// Something that is gone at once.
    pub(super) fn touch(&mut self, numbers: usize) {
        self.take(numbers);
        self.give(numbers);
    }

    /// The most that was alive at once.
    pub(super) fn most(&self) -> u64 {
        self.most
    }
}

/// How a device computes, as far as memory is concerned.
#[derive(Debug, Clone, Copy)]
pub struct Engine {
    /// Its name, as people know the device.
    pub name: &'static str,
    /// The matrices of layers.
    pub matrices: Packing,
    /// Embedding and head.
    pub vocabulary: Packing,
    /// Other forms that it can hold the matrices of layers in, the most exact first.
    pub packings: &'static [Packing],
    /// Bytes of a number of hidden states, of what is kept and of what a layer needs meanwhile.
    pub activation_bytes: u64,
    /// Bytes of a number of what is trained, of its gradient and of each of its moments.
    pub trained_bytes: u64,
    /// Bytes of a logit.
    pub logit_bytes: u64,
    /// Whether training all weights needs a copy of them beside the frozen ones.
    pub copies_trained_weights: bool,
    /// Rows whose logits are made at once, from the size of the vocabulary.
    pub rows_of_logits: fn(usize) -> usize,
    /// Most rows of a pass that only scores, however many it was given.
    pub most_scored_rows: usize,
    /// The numbers of a layer with `T` rows of which `Q` are asked.
    pub layer: fn(&Configuration, Trained<'_>, PassSize) -> LayerNumbers,
    /// Bytes for each row of a pass that are no hidden states: tokens, positions, angles.
    pub row_bytes: fn(&Configuration, Trained<'_>) -> u64,
    /// What the heap loses in gaps while a pass scores, as a share of what it works with, where
    /// hidden states are smaller than so many bytes: larger ones come from the system and go back.
    pub gaps: (f64, u64),
    /// Bytes of the program itself on the device: code, threads, buffers of matrix products.
    pub program_bytes: u64,
}

impl Engine {
    /// The decoder on the CPU: everything in `f32`.
    pub const CPU: Self = Self {
        name: "CPU, f32",
        matrices: Packing::F32,
        vocabulary: Packing::F32,
        packings: &[],
        activation_bytes: 4,
        trained_bytes: 4,
        logit_bytes: 4,
        copies_trained_weights: true,
        rows_of_logits: super::decoder::rows_per_block,
        most_scored_rows: super::decoder::ROWS_AT_ONCE,
        layer: super::decoder::layer_numbers,
        row_bytes: |_, _| 112,
        // Measured with glibc, which maps what is larger than this.
        gaps: (0.45, 32 << 20),
        program_bytes: 40 << 20,
    };

    /// The engine that computes in these numbers on this device.
    #[must_use]
    pub fn of(device: Device, precision: Precision) -> Self {
        if device == Device::Cpu && precision.is_default() {
            return Self::CPU;
        }
        Self::on_tensors(device, precision)
    }

    /// The decoder on candle's tensors.
    #[must_use]
    pub fn on_tensors(device: Device, precision: Precision) -> Self {
        let on_card = device != Device::Cpu;
        let bytes = precision.compute.size_bytes() as u64;
        let plain = match precision.compute {
            Compute::F32 => Packing::F32,
            Compute::F16 => Packing::F16,
            Compute::Bf16 => Packing::BF16,
        };
        Self {
            name: match (on_card, precision.compute) {
                (true, Compute::F32) => "card, f32",
                (true, Compute::F16) => "card, f16",
                (true, Compute::Bf16) => "card, bf16",
                (false, Compute::F32) => "CPU, tensors in f32",
                (false, Compute::F16) => "CPU, tensors in f16",
                (false, Compute::Bf16) => "CPU, tensors in bf16",
            },
            matrices: match precision.weights {
                Frozen::Dense => plain,
                Frozen::Q8_0 => Packing::Q8_0,
                Frozen::Q4_0 => Packing::Q4_0,
                Frozen::Q4K => Packing::Q4_K,
            },
            vocabulary: plain,
            packings: match precision.weights {
                Frozen::Dense => &[Packing::Q8_0, Packing::Q4_K],
                Frozen::Q8_0 => &[Packing::Q4_K],
                Frozen::Q4_0 | Frozen::Q4K => &[],
            },
            activation_bytes: bytes,
            trained_bytes: 4,
            logit_bytes: bytes,
            copies_trained_weights: false,
            rows_of_logits: super::tensor::rows_of_logits,
            most_scored_rows: super::tensor::ROWS_AT_ONCE,
            layer: match precision.weights {
                Frozen::Dense => super::tensor::layer_numbers,
                _ => super::tensor::layer_numbers_quantised,
            },
            row_bytes: super::tensor::row_bytes,
            gaps: (0.0, 0),
            // CUDA's own, with its libraries' buffers; not measured yet.
            program_bytes: if on_card { 600 << 20 } else { 40 << 20 },
        }
    }
}

/// Bytes of a peak, by what they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Peak {
    /// The backbone.
    pub weights: u64,
    /// What is trained, and its gradients.
    pub trained: u64,
    /// Moments of the optimiser, and the best state so far.
    pub optimiser: u64,
    /// Inputs of layers and what they keep for the way back.
    pub kept: u64,
    /// What one layer needs while it works, or the end of the model beside logits.
    pub working: u64,
    /// Logits.
    pub logits: u64,
    /// Everything else: the program, rows as tokens.
    pub other: u64,
}

impl Peak {
    /// All together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.weights + self.resting() + self.kept + self.working + self.logits + self.other
    }

    fn resting(&self) -> u64 {
        self.trained + self.optimiser
    }
}

/// A model on a device, and what of it is trained.
#[derive(Debug, Clone, Copy)]
pub struct Planned<'a> {
    /// The device.
    pub engine: &'a Engine,
    /// The sizes of the model.
    pub configuration: &'a Configuration,
    /// What is trained.
    pub trained: Trained<'a>,
    /// Whether the best state so far is kept beside the present one.
    pub keeps_best: bool,
}

impl Planned<'_> {
    /// Bytes of the weights in the other forms that the engine knows, by name.
    #[must_use]
    pub fn packings(&self) -> Vec<(&'static str, u64)> {
        let forms = self.engine.packings.iter();
        forms
            .map(|packing| (packing.name, self.weights(*packing).0))
            .collect()
    }

    /// Bytes of the weights with the matrices of layers in some form, and how many numbers there
    /// are.
    fn weights(&self, matrices: Packing) -> (u64, u64) {
        let Self { engine, .. } = self;
        let (mut weights, mut all) = (0, 0);
        for (name, shape) in self.configuration.tensors() {
            let numbers = shape.iter().product::<usize>() as u64;
            let packing = match shape.len() {
                1 => Packing {
                    name: "plain",
                    bytes: engine.activation_bytes,
                    numbers: 1,
                },
                _ if name.contains("embed_tokens") || name.contains("lm_head") => engine.vocabulary,
                _ => matrices,
            };
            weights += packing.bytes_of(numbers);
            all += numbers;
        }
        (weights, all)
    }

    /// Bytes that are there whatever is done: weights, what is trained, its gradients and moments.
    fn resting(&self) -> Peak {
        let Self { engine, .. } = self;
        let (mut weights, all) = self.weights(engine.matrices);
        let numbers = match self.trained {
            Trained::Nothing => 0,
            Trained::Adapter(options) => adapter_numbers(self.configuration, options),
            Trained::Everything => all,
        };
        if self.trained == Trained::Everything && !engine.copies_trained_weights {
            weights = 0;
        }
        let states = 2 + u64::from(self.keeps_best);
        Peak {
            weights,
            trained: 2 * numbers * engine.trained_bytes,
            optimiser: states * numbers * engine.trained_bytes,
            other: engine.program_bytes,
            ..Peak::default()
        }
    }

    fn layer(&self, size: PassSize) -> LayerNumbers {
        (self.engine.layer)(self.configuration, self.trained, size)
    }

    /// Rows that are scored at once of a pass; a longer sequence passes alone.
    #[must_use]
    pub fn scored_rows(&self, size: PassSize) -> usize {
        size.rows
            .min(self.engine.most_scored_rows.max(size.longest))
    }

    /// The peak while it scores.
    #[must_use]
    pub fn scoring(&self, size: PassSize) -> Peak {
        let size = PassSize {
            rows: self.scored_rows(size),
            asked: size.asked.min(size.rows),
            ..size
        };
        let hidden = self.configuration.hidden_size as u64;
        let all = PassSize {
            asked: size.rows,
            ..size
        };
        let mut peak = self.resting();
        let last = self.layer(size).scoring;
        let others = if self.configuration.layers > 1 {
            self.layer(all).scoring
        } else {
            0
        };
        let input = size.rows as u64 * hidden;
        let bytes = self.engine.activation_bytes;
        let (in_layer, at_end, logits) = (
            (input + last.max(others)) * bytes,
            2 * size.asked as u64 * hidden * bytes,
            self.logits(size.asked),
        );
        if in_layer >= at_end + logits {
            peak.working = in_layer;
        } else {
            (peak.working, peak.logits) = (at_end, logits);
        }
        peak.other += size.rows as u64 * (self.engine.row_bytes)(self.configuration, self.trained);
        let (share, below) = self.engine.gaps;
        if input * bytes < below {
            peak.other += (peak.working as f64 * share) as u64;
        }
        peak
    }

    /// The peak of a training pass, with layers computed again on the way back or not.
    #[must_use]
    pub fn training(&self, size: PassSize, checkpoint_layers: bool) -> Peak {
        let hidden = self.configuration.hidden_size as u64;
        let layers = self.configuration.layers as u64;
        let bytes = self.engine.activation_bytes;
        let all = PassSize {
            asked: size.rows,
            ..size
        };
        let (inner, last) = (self.layer(all), self.layer(size));
        let input = size.rows as u64 * hidden;
        let kept = |layer: LayerNumbers| if checkpoint_layers { 0 } else { layer.kept };
        // What is kept by so many layers below the last one.
        let below = |count: u64| count * (input + kept(inner));
        let back = |layer: LayerNumbers, rows: usize| {
            if checkpoint_layers {
                // Computed again while the gradient of its output waits.
                layer.backward.max(layer.forward + rows as u64 * hidden)
            } else {
                layer.backward
            }
        };
        let under = layers.saturating_sub(1);
        let asked = size.asked as u64 * hidden;
        // (kept, working, logits) at the moments that can be the highest.
        let mut moments = vec![
            (below(under) + input, last.forward, 0),
            (
                below(under) + input + kept(last),
                4 * asked,
                self.logits(size.asked),
            ),
            (below(under) + input, back(last, size.asked), 0),
        ];
        if under > 0 {
            moments.push((below(under - 1) + input, back(inner, size.rows), 0));
        }
        let highest = moments
            .into_iter()
            .map(|(kept, working, logits)| (kept * bytes, working * bytes, logits))
            .max_by_key(|(kept, working, logits)| kept + working + logits);
        let mut peak = self.resting();
        (peak.kept, peak.working, peak.logits) = highest.unwrap_or_default();
        peak.other += size.rows as u64 * (self.engine.row_bytes)(self.configuration, self.trained);
        peak
    }

    fn logits(&self, asked: usize) -> u64 {
        let vocabulary = self.configuration.vocabulary_size;
        let rows = (self.engine.rows_of_logits)(vocabulary).min(asked);
        (rows * vocabulary) as u64 * self.engine.logit_bytes
    }
}

/// How many numbers an adapter has.
#[must_use]
pub fn adapter_numbers(configuration: &Configuration, options: &LoraOptions) -> u64 {
    let of_module = |(name, _): &(&str, &str)| {
        let (inputs, outputs) = configuration.module_widths(name)?;
        let chosen = options.target_modules.iter().any(|module| module == name);
        chosen.then_some((options.r * (inputs + outputs)) as u64)
    };
    configuration.layers as u64 * MODULES.iter().filter_map(of_module).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language_model::{Family, RopeScaling};

    fn seven_billion() -> Configuration {
        Configuration {
            family: Family::Llama,
            hidden_size: 4096,
            intermediate_size: 11_008,
            layers: 32,
            heads: 32,
            key_value_heads: 32,
            head_size: 128,
            vocabulary_size: 32_000,
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
        }
    }

    fn pass(rows: usize) -> PassSize {
        PassSize {
            rows,
            asked: rows - 1,
            sequences: 1,
            prefix: 0,
            longest: rows,
        }
    }

    #[test]
    fn weights_and_adapter_of_llama_7b_are_counted_exactly() {
        let configuration = seven_billion();
        let lora = LoraOptions::default();
        // 6,738,415,616 parameters, and PEFT's 4,194,304 of rank 8 on q and v.
        assert_eq!(adapter_numbers(&configuration, &lora), 4_194_304);
        let planned = Planned {
            engine: &Engine::CPU,
            configuration: &configuration,
            trained: Trained::Adapter(&lora),
            keeps_best: true,
        };
        let peak = planned.training(pass(512), false);
        assert_eq!(peak.weights, 4 * 6_738_415_616);
        assert_eq!(peak.trained, 2 * 4 * 4_194_304);
        assert_eq!(peak.optimiser, 3 * 4 * 4_194_304);
    }

    /// The promise for 24 GiB: a micro-batch of 32 prompts, cut into passes, fits in `bf16`; whole
    /// passes fit with layers computed again, or with fewer bits.
    #[test]
    fn llama_7b_trains_within_24_gib() {
        let configuration = seven_billion();
        let lora = LoraOptions::default();
        let peak = |weights, rows, checkpoint| {
            let precision = Precision {
                compute: Compute::Bf16,
                weights,
            };
            let planned = Planned {
                engine: &Engine::of(Device::Cuda(0), precision),
                configuration: &configuration,
                trained: Trained::Adapter(&lora),
                keeps_best: true,
            };
            let size = PassSize {
                rows,
                asked: rows - rows / 200,
                sequences: rows / 200,
                prefix: 0,
                longest: 200,
            };
            planned.training(size, checkpoint).total() as f64 / f64::from(1 << 30)
        };
        assert!(peak(Frozen::Dense, 2000, false) < 22.0);
        assert!(peak(Frozen::Dense, 6400, false) > 24.0);
        assert!(peak(Frozen::Dense, 6400, true) < 20.0);
        assert!(peak(Frozen::Q8_0, 4000, false) < 24.0);
        assert!(peak(Frozen::Q4K, 4000, false) < peak(Frozen::Q8_0, 4000, false));
    }

    #[test]
    fn blocks_of_packed_numbers_are_whole() {
        assert_eq!(Packing::Q8_0.bytes_of(64), 68);
        assert_eq!(Packing::Q8_0.bytes_of(65), 102);
        assert_eq!(Packing::F32.bytes_of(7), 28);
        assert_eq!(Packing::BF16.bytes_of(7), 14);
        // A device that can hold matrices in other forms says how large the weights are in them.
        let engine = Engine {
            packings: &[Packing::BF16, Packing::Q4_K],
            ..Engine::CPU
        };
        let configuration = seven_billion();
        let planned = Planned {
            engine: &engine,
            configuration: &configuration,
            trained: Trained::Nothing,
            keeps_best: false,
        };
        // Embedding and head, 262,144,000 numbers, and the norms, 266,240, stay as they are.
        let layers = 6_738_415_616 - 262_144_000 - 266_240;
        let plain = 4 * (262_144_000 + 266_240);
        let expected = [
            ("bf16", plain + 2 * layers),
            ("q4_k", plain + layers / 256 * 144),
        ];
        assert_eq!(planned.packings(), expected);
    }

    #[test]
    fn fewer_rows_and_checkpoints_take_less_and_all_weights_more() {
        let configuration = seven_billion();
        let lora = LoraOptions::default();
        let planned = |trained| Planned {
            engine: &Engine::CPU,
            configuration: &configuration,
            trained,
            keeps_best: false,
        };
        let adapter = planned(Trained::Adapter(&lora));
        let mut before = u64::MAX;
        for rows in [4096, 2048, 1024, 512, 64] {
            let now = adapter.training(pass(rows), false).total();
            assert!(now < before, "{rows}");
            assert!(adapter.training(pass(rows), true).total() < now, "{rows}");
            before = now;
        }
        let everything = planned(Trained::Everything).training(pass(512), false);
        assert!(everything.total() > adapter.training(pass(512), false).total());
        let scoring = planned(Trained::Nothing);
        assert!(scoring.scoring(pass(4096)).total() < adapter.training(pass(4096), true).total());
    }
}
