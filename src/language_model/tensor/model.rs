//! [`TensorDecoder`] as a [`LanguageModel`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Device, Tensor};

use super::frozen::dtype;
use super::layer::{Layer, Linear, Lora, LoraGradient};
use super::pass::{Network, Task};
use super::weights::TensorWeights;
use crate::language_model::decoder::check_adapter;
use crate::language_model::layout::{
    check_asked, common_prefix, ends, goals, part, parts, places, readouts as readouts_of,
};
use crate::language_model::lora::{MODULES, parameter_name};
use crate::language_model::{
    Batch, Configuration, LanguageModel, LanguageModelError, LoraOptions, Parameters, Pass, Readout,
};

/// Most rows of a pass that only scores.
pub(in crate::language_model) const ROWS_AT_ONCE: usize = 16_384;

/// Matrices of the adapter by layer and module.
type OnDevice = BTreeMap<usize, Lora>;

/// A decoder-only model on candle's tensors, bare or with an adapter that can be trained.
#[derive(Debug)]
pub struct TensorDecoder {
    configuration: Configuration,
    weights: Arc<TensorWeights>,
    adapter: Option<LoraOptions>,
    parameters: Parameters,
    /// The adapter as the device has it; nothing after it changed.
    on_device: Mutex<Option<Arc<OnDevice>>>,
}

impl TensorDecoder {
    /// A model on shared weights, with an adapter if one is given.
    ///
    /// # Errors
    /// If weights or adapter do not fit.
    pub fn new(
        configuration: Configuration,
        weights: Arc<TensorWeights>,
        adapter: Option<(LoraOptions, Parameters)>,
    ) -> Result<Self, LanguageModelError> {
        configuration.check()?;
        let (adapter, parameters) = match adapter {
            None => (None, Parameters::default()),
            Some((options, values)) => {
                check_adapter(&configuration, &options, &values)?;
                (Some(options), values)
            }
        };
        let decoder = Self {
            configuration,
            weights,
            adapter,
            parameters,
            on_device: Mutex::new(None),
        };
        let lora = decoder.on_device()?;
        decoder.network(&lora)?;
        Ok(decoder)
    }

    /// The adapter on the device, in the type that is computed in.
    fn on_device(&self) -> Result<Arc<OnDevice>, LanguageModelError> {
        let mut there = self
            .on_device
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = &*there {
            return Ok(Arc::clone(found));
        }
        let made = Arc::new(
            self.upload()
                .map_err(LanguageModelError::candle("adapter"))?,
        );
        *there = Some(Arc::clone(&made));
        Ok(made)
    }

    fn upload(&self) -> candle_core::Result<OnDevice> {
        let mut all = OnDevice::new();
        let Some(options) = &self.adapter else {
            return Ok(all);
        };
        for layer in 0..self.configuration.layers {
            for (at, (module, block)) in MODULES.iter().enumerate() {
                let matrix = |which| {
                    let name = parameter_name(layer, block, module, which);
                    let found = self.parameters.get(&name)?;
                    let shape = found.shape.as_slice();
                    let made = Tensor::from_slice(&found.values, shape, &Device::Cpu)
                        .and_then(|one| one.to_dtype(dtype(self.weights.precision.compute)))
                        .and_then(|one| one.to_device(&self.weights.device));
                    Some(made)
                };
                let (Some(a), Some(b)) = (matrix('A'), matrix('B')) else {
                    continue;
                };
                let scale = options.scale();
                all.insert(
                    layer * MODULES.len() + at,
                    Lora {
                        a: a?,
                        b: b?,
                        scale,
                    },
                );
            }
        }
        Ok(all)
    }

    fn network<'a>(&'a self, lora: &'a OnDevice) -> Result<Network<'a>, LanguageModelError> {
        let weights = &*self.weights;
        let configuration = &self.configuration;
        let layer = |number: usize| {
            let in_layer = |name: &str| format!("model.layers.{number}.{name}");
            let linear = |at: usize| {
                let (module, block) = MODULES[at];
                let bias = if configuration.is_biased(module) {
                    Some(weights.dense(&in_layer(&format!("{block}.{module}.bias")))?)
                } else {
                    None
                };
                let number = number * MODULES.len() + at;
                Ok::<_, LanguageModelError>(Linear {
                    weight: weights.matrix(&in_layer(&format!("{block}.{module}.weight")))?,
                    bias,
                    lora: lora.get(&number),
                    number,
                })
            };
            let head_norms = if configuration.query_key_norm {
                let query = weights.dense(&in_layer("self_attn.q_norm.weight"))?;
                Some((query, weights.dense(&in_layer("self_attn.k_norm.weight"))?))
            } else {
                None
            };
            Ok::<_, LanguageModelError>(Layer {
                input_norm: weights.dense(&in_layer("input_layernorm.weight"))?,
                middle_norm: weights.dense(&in_layer("post_attention_layernorm.weight"))?,
                head_norms,
                modules: [
                    linear(0)?,
                    linear(1)?,
                    linear(2)?,
                    linear(3)?,
                    linear(4)?,
                    linear(5)?,
                    linear(6)?,
                ],
            })
        };
        let head = if configuration.tied_head {
            "model.embed_tokens.weight"
        } else {
            "lm_head.weight"
        };
        Ok(Network {
            configuration,
            compute: weights.precision.compute,
            device: weights.device.clone(),
            embedding: weights.dense("model.embed_tokens.weight")?,
            layers: (0..configuration.layers)
                .map(layer)
                .collect::<Result<_, _>>()?,
            norm: weights.dense("model.norm.weight")?,
            head: weights.dense(head)?,
        })
    }

    /// Adds what a pass found to the parameters' gradients, and gives its loss as a number.
    fn add(
        &mut self,
        loss: &Tensor,
        found: &[Option<LoraGradient>],
        scale: f64,
    ) -> candle_core::Result<f64> {
        let mut parts = vec![loss.reshape(1)?];
        let mut names = Vec::new();
        for (number, gradient) in found.iter().enumerate() {
            let Some((for_a, for_b)) = gradient else {
                continue;
            };
            let (module, block) = MODULES[number % MODULES.len()];
            for (which, gradient) in [('A', for_a), ('B', for_b)] {
                names.push(parameter_name(number / MODULES.len(), block, module, which));
                parts.push(gradient.flatten_all()?);
            }
        }
        // All in one go: a copy from a card waits for it each time.
        let all: Vec<f32> = Tensor::cat(&parts, 0)?.to_vec1()?;
        let Some((loss, mut rest)) = all.split_first() else {
            return Ok(0.0);
        };
        let factor = (1.0 / scale) as f32;
        for (name, part) in names.iter().zip(&parts[1..]) {
            let (here, after) = rest.split_at(part.elem_count());
            rest = after;
            if let Some(parameter) = self.parameters.get_mut(name) {
                for (sum, more) in parameter.gradient.iter_mut().zip(here) {
                    *sum += more * factor;
                }
            }
        }
        Ok(f64::from(*loss))
    }
}

impl LanguageModel for TensorDecoder {
    fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn parameters_mut(&mut self) -> &mut Parameters {
        *self
            .on_device
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner) = None;
        &mut self.parameters
    }

    fn accumulate(&mut self, batch: &Batch, pass: &Pass) -> Result<f64, LanguageModelError> {
        pass.check()?;
        let places = places(batch, &self.configuration)?;
        let task = Task::new(&self.configuration, batch, batch.shared_prefix, &places)?;
        if places.is_empty() {
            return Ok(0.0);
        }
        let goals = goals(batch, |sequence, position| task.index(sequence, position));
        let lora = self.on_device()?;
        let (loss, gradients, scale) = task
            .backward(&self.network(&lora)?, &goals, pass)
            .map_err(LanguageModelError::candle("training pass"))?;
        self.add(&loss, &gradients, scale)
            .map_err(LanguageModelError::candle("gradients"))
    }

    fn loss(&self, batch: &Batch) -> Result<f64, LanguageModelError> {
        let lora = self.on_device()?;
        let network = self.network(&lora)?;
        let prefix = common_prefix(batch);
        let mut loss = 0.0;
        for range in parts(batch, prefix, ROWS_AT_ONCE) {
            let batch = part(batch, range);
            let places = places(&batch, &self.configuration)?;
            let task = Task::new(&self.configuration, &batch, prefix, &places)?;
            if places.is_empty() {
                continue;
            }
            let goals = goals(&batch, |sequence, position| task.index(sequence, position));
            let run = || network.loss(&task.forward(&network)?, &goals);
            loss += run().map_err(LanguageModelError::candle("loss"))?;
        }
        Ok(loss)
    }

    fn read_out(
        &self,
        batch: &Batch,
        asked: &[u32],
        normalised: bool,
    ) -> Result<Vec<Readout>, LanguageModelError> {
        check_asked(asked, &self.configuration)?;
        let lora = self.on_device()?;
        let network = self.network(&lora)?;
        let prefix = common_prefix(batch);
        let mut readouts = Vec::with_capacity(batch.sequences.len());
        for range in parts(batch, prefix, ROWS_AT_ONCE) {
            let batch = part(batch, range);
            let ends = ends(&batch);
            let task = Task::new(&self.configuration, &batch, prefix, &ends)?;
            let run = || network.chosen_logits(&task.forward(&network)?, asked, normalised);
            let found = run().map_err(LanguageModelError::candle("scoring"))?;
            let rows = ends.iter().map(|(number, at)| task.index(*number, *at));
            let rows = rows.map(Option::unwrap_or_default);
            readouts.extend(readouts_of(rows, asked.len(), &found));
        }
        Ok(readouts)
    }

    fn logits(&self, batch: &Batch, at: &[(usize, usize)]) -> Result<Vec<f32>, LanguageModelError> {
        let vocabulary = self.configuration.vocabulary_size;
        let mut all = vec![0.0; at.len() * vocabulary];
        let task = Task::new(&self.configuration, batch, common_prefix(batch), at)?;
        if at.is_empty() {
            return Ok(all);
        }
        let lora = self.on_device()?;
        let network = self.network(&lora)?;
        let run = || network.logits(&task.forward(&network)?);
        let found = run().map_err(LanguageModelError::candle("logits"))?;
        for (out, (sequence, position)) in all.chunks_exact_mut(vocabulary).zip(at) {
            let row = task.index(*sequence, *position).unwrap_or(0);
            out.copy_from_slice(&found[row * vocabulary..(row + 1) * vocabulary]);
        }
        Ok(all)
    }
}
