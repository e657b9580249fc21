//! Passes through the whole model: forward to some rows, and back.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor};

use super::layer::{Kept, Layer, LoraGradient, Rows, Scene};
use super::operations::{
    Mask, NOWHERE, cross_entropy_backward, log_sums, normed, normed_backward, product,
};
use super::packing::Packing;
use crate::language_model::decoder::Angles;
use crate::language_model::layout::{Asked, Goal, Layout, dropout_key};
use crate::language_model::lora::MODULES;
use crate::language_model::{Batch, Compute, Configuration, LanguageModelError, Pass};

/// Most logits at a time: 2^24, 64 MiB.
const LOGITS_AT_ONCE: usize = 1 << 24;

/// Gradients are this much larger on their way back through halves, where small ones would be
/// nothing.
const HALF_SCALE: f64 = 1024.0;

/// The model as tensors.
#[derive(Debug)]
pub(super) struct Network<'a> {
    pub(super) configuration: &'a Configuration,
    pub(super) compute: Compute,
    pub(super) device: Device,
    /// `[V, H]`.
    pub(super) embedding: Tensor,
    pub(super) layers: Vec<Layer<'a>>,
    /// `[H]`.
    pub(super) norm: Tensor,
    /// `[V, H]`.
    pub(super) head: Tensor,
}

/// What is asked of a batch.
#[derive(Debug)]
pub(super) struct Task {
    layout: Layout,
    everywhere: Asked,
    asked: Asked,
    /// Cosines and sines by position, `[P, D/2]`.
    angles: Angles,
}

/// A task on its device.
struct Staged {
    every: Rows,
    asked: Rows,
    /// For all layers but the last, and for that.
    packings: [Packing; 2],
    chosen: Option<(Tensor, Tensor)>,
}

impl Task {
    /// Asks for the given (sequence, position) pairs of a batch whose first `prefix` tokens are
    /// computed once.
    pub(super) fn new(
        configuration: &Configuration,
        batch: &Batch,
        prefix: usize,
        at: &[(usize, usize)],
    ) -> std::result::Result<Self, LanguageModelError> {
        let layout = Layout::new(&batch.sequences, prefix, configuration.vocabulary_size)?;
        let asked = Asked::at(&layout, at)?;
        let longest = layout.positions.iter().max().copied().unwrap_or(0);
        Ok(Self {
            everywhere: Asked::all(&layout),
            asked,
            angles: Angles::new(configuration, longest),
            layout,
        })
    }

    /// The index among the rows asked for of a position of a sequence.
    pub(super) fn index(&self, sequence: usize, position: usize) -> Option<usize> {
        self.asked.index(self.layout.row(sequence, position)?)
    }

    fn rows(&self, of: &Asked, network: &Network<'_>, pass: &Pass) -> Result<Rows> {
        let device = &network.device;
        let half = network.configuration.head_size / 2;
        let (cosine, sine) = self.angles.both();
        let pick = |all: &[f32]| {
            let mut picked = Vec::with_capacity(of.rows.len() * half);
            for position in &of.positions {
                picked.extend_from_slice(&all[position * half..(position + 1) * half]);
            }
            Tensor::from_vec(picked, (of.rows.len(), half), device)
        };
        let mut masks = BTreeMap::new();
        let dropout = pass.dropout.filter(|dropout| dropout.rate > 0.0);
        if let Some(dropout) = dropout {
            let modules = network.layers.iter().flat_map(|layer| &layer.modules);
            for module in modules.filter(|module| module.lora.is_some()) {
                let mut all = Vec::with_capacity(of.rows.len() * 2);
                for (stream, position) in of.streams.iter().zip(&of.positions) {
                    let number = module.number as u64;
                    let key = dropout_key(dropout.seed, *stream, number, *position);
                    all.extend([key as u32, (key >> 32) as u32]);
                }
                let mask = Mask {
                    keys: Tensor::from_vec(all, (of.rows.len(), 2), device)?,
                    rate: dropout.rate,
                };
                masks.insert(module.number, mask);
            }
        }
        Ok(Rows {
            angles: (pick(cosine)?, pick(sine)?),
            masks,
        })
    }

    fn stage(&self, network: &Network<'_>, pass: &Pass) -> Result<Staged> {
        let device = &network.device;
        let packing =
            |asked: &Asked| Packing::new(network.configuration, &self.layout, asked, device);
        let chosen = if self.asked.is_all(&self.layout) {
            None
        } else {
            let rows: Vec<u32> = self.asked.rows.iter().map(|row| *row as u32).collect();
            let mut places = vec![NOWHERE; self.layout.rows()];
            for (at, row) in self.asked.rows.iter().enumerate() {
                places[*row] = at as u32;
            }
            let (count, all) = (rows.len(), places.len());
            Some((
                Tensor::from_vec(rows, count, device)?,
                Tensor::from_vec(places, all, device)?,
            ))
        };
        Ok(Staged {
            every: self.rows(&self.everywhere, network, pass)?,
            asked: self.rows(&self.asked, network, pass)?,
            packings: [packing(&self.everywhere)?, packing(&self.asked)?],
            chosen,
        })
    }

    fn embed(&self, network: &Network<'_>) -> Result<Tensor> {
        let tokens = Tensor::new(self.layout.tokens.as_slice(), &network.device)?;
        network.embedding.index_select(&tokens, 0)
    }

    /// The output of the last layer at the rows asked for, `[Q, H]`.
    pub(super) fn forward(&self, network: &Network<'_>) -> Result<Tensor> {
        let staged = self.stage(network, &Pass::default())?;
        let mut x = self.embed(network)?;
        let count = network.layers.len();
        for (number, layer) in network.layers.iter().enumerate() {
            let scene = staged.scene(network, number + 1 == count);
            (x, _) = layer.forward(&x, &scene, false)?;
        }
        Ok(x)
    }

    /// The loss, one number on the device, and the gradients of every module's adapter, by layer and
    /// module, times the factor that comes with them.
    pub(super) fn backward(
        &self,
        network: &Network<'_>,
        goals: &[Goal],
        pass: &Pass,
    ) -> Result<(Tensor, Vec<Option<LoraGradient>>, f64)> {
        let staged = self.stage(network, pass)?;
        let count = network.layers.len();
        let mut gradients: Vec<Option<LoraGradient>> =
            (0..count * MODULES.len()).map(|_| None).collect();
        let trained = |layer: &Layer<'_>| layer.modules.iter().any(|one| one.lora.is_some());
        let lowest = network.layers.iter().position(trained).unwrap_or(count);
        let mut x = self.embed(network)?;
        let mut inputs: Vec<(Tensor, Option<Kept>)> = Vec::with_capacity(count);
        for (number, layer) in network.layers.iter().enumerate() {
            let scene = staged.scene(network, number + 1 == count);
            let keep = number >= lowest && !pass.checkpoint_layers;
            let (out, kept) = layer.forward(&x, &scene, keep)?;
            let input = std::mem::replace(&mut x, out);
            if number >= lowest {
                inputs.push((input, kept));
            }
        }
        let scale = if network.compute == Compute::F16 {
            HALF_SCALE
        } else {
            1.0
        };
        let wanted = lowest < count;
        let (loss, gradient) = network.cross_entropy(&x, goals, wanted.then_some(scale))?;
        drop(x);
        let Some(mut gradient) = gradient else {
            return Ok((loss, gradients, scale));
        };
        for (number, layer) in network.layers.iter().enumerate().skip(lowest).rev() {
            let scene = staged.scene(network, number + 1 == count);
            let Some((input, kept)) = inputs.pop() else {
                break;
            };
            let kept = match kept {
                Some(kept) => Some(kept),
                None => layer.forward(&input, &scene, true)?.1,
            };
            let Some(kept) = kept else { break };
            let begin = number * MODULES.len();
            let into = &mut gradients[begin..begin + MODULES.len()];
            match layer.backward(gradient, &input, kept, &scene, into, number > lowest)? {
                Some(next) => gradient = next,
                None => break,
            }
        }
        Ok((loss, gradients, scale))
    }
}

impl Staged {
    fn scene<'s>(&'s self, network: &Network<'s>, last: bool) -> Scene<'s> {
        Scene {
            configuration: network.configuration,
            compute: network.compute,
            packing: &self.packings[usize::from(last)],
            every: &self.every,
            asked: if last { &self.asked } else { &self.every },
            chosen: self.chosen.as_ref().filter(|_| last),
        }
    }
}

/// Rows whose logits are made at once.
pub(in crate::language_model) fn rows_of_logits(vocabulary: usize) -> usize {
    (LOGITS_AT_ONCE / vocabulary.max(1)).max(16)
}

impl Network<'_> {
    fn rows_at_once(&self) -> usize {
        rows_of_logits(self.configuration.vocabulary_size)
    }

    fn final_norm(&self, x: &Tensor) -> Result<Tensor> {
        normed(x, &self.norm, self.configuration.norm_epsilon)
    }

    /// Logits of some rows, `[n, H] → [n, V]`.
    fn all_logits(&self, normed: &Tensor) -> Result<Tensor> {
        product(normed, &self.head.t()?)
    }

    /// Σ weight · cross-entropy over the goals, which are in order of rows, as one number in `f32`
    /// on the device; with a `scale` also the gradient of `x` times it.
    fn cross_entropy(
        &self,
        x: &Tensor,
        goals: &[Goal],
        scale: Option<f64>,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let normed_x = self.final_norm(x)?;
        let rows = x.dim(0)?;
        let most = self.rows_at_once().min(rows.max(1));
        let mut rest = goals;
        let mut losses = Vec::new();
        let mut for_normed = Vec::new();
        for begin in (0..rows).step_by(most) {
            let count = most.min(rows - begin);
            let (here, after) =
                rest.split_at(rest.partition_point(|goal| goal.row < begin + count));
            rest = after;
            let sparse = Sparse::new(here, begin, count, &self.device)?;
            let logits = self.all_logits(&normed_x.narrow(0, begin, count)?)?;
            let log_sums = log_sums(&logits)?;
            let picked = logits.gather(&sparse.tokens, 1)?.to_dtype(DType::F32)?; // [n, m]
            let far = log_sums.unsqueeze(1)?.broadcast_sub(&picked)?;
            losses.push((far * &sparse.weights)?.sum_all()?);
            let Some(scale) = scale else { continue };
            cross_entropy_backward(&logits, &sparse.tokens, &sparse.weights, &log_sums, scale)?;
            for_normed.push(product(&logits, &self.head)?);
        }
        let loss = Tensor::stack(&losses, 0)?.sum_all()?;
        if for_normed.is_empty() {
            return Ok((loss, None));
        }
        let for_normed = Tensor::cat(&for_normed, 0)?;
        let for_x = normed_backward(x, &for_normed, &self.norm, self.configuration.norm_epsilon)?;
        Ok((loss, Some(for_x)))
    }

    /// [`Network::cross_entropy`] without a gradient.
    pub(super) fn loss(&self, x: &Tensor, goals: &[Goal]) -> Result<f64> {
        let (loss, _) = self.cross_entropy(x, goals, None)?;
        Ok(f64::from(loss.to_scalar::<f32>()?))
    }

    /// Logits of all tokens, `x [Q, H] → [Q, V]`.
    pub(super) fn logits(&self, x: &Tensor) -> Result<Vec<f32>> {
        self.all_logits(&self.final_norm(x)?)?
            .to_dtype(DType::F32)?
            .flatten_all()?
            .to_vec1()
    }

    /// Logits of the tokens `chosen`, `x [Q, H] → [Q, chosen]`, and with `normalised` ln Σ e^logit
    /// over the vocabulary of every row. The chosen ones are made in `f32`: what ranks rows should
    /// not be rounded to eight bits.
    pub(super) fn chosen_logits(
        &self,
        x: &Tensor,
        chosen: &[u32],
        normalised: bool,
    ) -> Result<(Vec<f32>, Vec<f32>)> {
        let normed_x = self.final_norm(x)?;
        let chosen = Tensor::new(chosen, &self.device)?;
        let rows = self.head.index_select(&chosen, 0)?.to_dtype(DType::F32)?;
        let logits = normed_x.to_dtype(DType::F32)?.matmul(&rows.t()?)?;
        let mut sums = Vec::new();
        if normalised {
            let count = normed_x.dim(0)?;
            let most = self.rows_at_once();
            let mut parts = Vec::new();
            for begin in (0..count).step_by(most) {
                let some = normed_x.narrow(0, begin, most.min(count - begin))?;
                parts.push(log_sums(&self.all_logits(&some)?)?);
            }
            sums = Tensor::cat(&parts, 0)?.to_vec1()?;
        }
        Ok((logits.flatten_all()?.to_vec1()?, sums))
    }
}

/// Goals of some rows as tensors: as many columns as a row has most, the rest with weight zero.
struct Sparse {
    /// `[n, m]`.
    tokens: Tensor,
    /// `[n, m]`.
    weights: Tensor,
}

impl Sparse {
    fn new(goals: &[Goal], begin: usize, count: usize, device: &Device) -> Result<Self> {
        let mut used = vec![0_usize; count];
        for goal in goals {
            used[goal.row - begin] += 1;
        }
        let most = used.iter().max().copied().unwrap_or(0).max(1);
        let mut tokens = vec![0_u32; count * most];
        let mut weights = vec![0.0_f32; count * most];
        used.fill(0);
        for goal in goals {
            let row = goal.row - begin;
            let at = row * most + used[row];
            used[row] += 1;
            (tokens[at], weights[at]) = (goal.token, goal.weight);
        }
        Ok(Self {
            tokens: Tensor::from_vec(tokens, (count, most), device)?,
            weights: Tensor::from_vec(weights, (count, most), device)?,
        })
    }
}
