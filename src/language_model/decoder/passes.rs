//! Passes through the whole model: forward to some rows, and back.

use candle_core::Result;

use super::head::cross_entropy;
use super::heads::Angles;
use super::layer::{Kept, Scene};
use super::network::{Gradients, Network};
use crate::language_model::layout::{Asked, Goal, Layout};
use crate::language_model::{Batch, LanguageModelError, Pass};
use crate::nn::vector::add;

/// What is asked of a batch: rows, and goals among them.
#[derive(Debug)]
pub(super) struct Task {
    layout: Layout,
    everywhere: Asked,
    asked: Asked,
    angles: Angles,
}

impl Task {
    /// Asks for the given (sequence, position) pairs of a batch whose first `prefix` tokens are
    /// computed once.
    pub(super) fn new(
        network: &Network<'_>,
        batch: &Batch,
        prefix: usize,
        at: &[(usize, usize)],
    ) -> std::result::Result<Self, LanguageModelError> {
        let vocabulary = network.configuration.vocabulary_size;
        let layout = Layout::new(&batch.sequences, prefix, vocabulary)?;
        let asked = Asked::at(&layout, at)?;
        let longest = layout.positions.iter().max().copied().unwrap_or(0);
        Ok(Self {
            everywhere: Asked::all(&layout),
            asked,
            angles: Angles::new(network.configuration, longest),
            layout,
        })
    }

    /// The index among the rows asked for of a position of a sequence.
    pub(super) fn index(&self, sequence: usize, position: usize) -> Option<usize> {
        self.asked.index(self.layout.row(sequence, position)?)
    }

    fn scene<'s>(&'s self, network: &'s Network<'_>, pass: &Pass, last: bool) -> Scene<'s> {
        Scene {
            configuration: network.configuration,
            layout: &self.layout,
            everywhere: &self.everywhere,
            asked: if last { &self.asked } else { &self.everywhere },
            angles: &self.angles,
            dropout: pass.dropout.filter(|dropout| dropout.rate > 0.0),
        }
    }

    fn embed(&self, network: &Network<'_>) -> Vec<f32> {
        let hidden = network.configuration.hidden_size;
        let mut x = Vec::with_capacity(self.layout.rows() * hidden);
        for token in &self.layout.tokens {
            let at = *token as usize * hidden;
            x.extend_from_slice(&network.embedding[at..at + hidden]);
        }
        x
    }

    /// The output of the last layer at the rows asked for, `[Q, H]`.
    pub(super) fn forward(&self, network: &Network<'_>) -> Result<Vec<f32>> {
        let mut x = self.embed(network);
        let count = network.layers.len();
        for (number, layer) in network.layers.iter().enumerate() {
            let scene = self.scene(network, &Pass::default(), number + 1 == count);
            (x, _) = layer.forward(&x, &scene, false)?;
        }
        Ok(x)
    }

    /// The loss, and its gradients added to `gradients`.
    pub(super) fn backward(
        &self,
        network: &Network<'_>,
        goals: &[Goal],
        pass: &Pass,
        gradients: &mut Gradients,
    ) -> Result<f64> {
        let count = network.layers.len();
        let lowest = gradients.lowest().unwrap_or(count);
        let mut x = self.embed(network);
        let mut inputs: Vec<(Vec<f32>, Option<Kept>)> = Vec::with_capacity(count);
        for (number, layer) in network.layers.iter().enumerate() {
            let scene = self.scene(network, pass, number + 1 == count);
            let keep = number >= lowest && !pass.checkpoint_layers;
            let (out, kept) = layer.forward(&x, &scene, keep)?;
            let input = std::mem::replace(&mut x, out);
            inputs.push((if number >= lowest { input } else { Vec::new() }, kept));
        }
        let (loss, mut gradient) = if gradients.any() {
            cross_entropy(network, &x, goals, Some(gradients))?
        } else {
            cross_entropy(network, &x, goals, None)?
        };
        drop(x);
        for (number, layer) in network.layers.iter().enumerate().skip(lowest).rev() {
            let scene = self.scene(network, pass, number + 1 == count);
            let Some((input, kept)) = inputs.pop() else {
                break;
            };
            let kept = match kept {
                Some(kept) => Some(kept),
                None => layer.forward(&input, &scene, true)?.1,
            };
            let Some(kept) = kept else { break };
            let wanted = number > lowest || gradients.embedding.is_some();
            let into = &mut gradients.layers[number];
            gradient = layer.backward(gradient, &input, kept, &scene, into, wanted)?;
        }
        if let Some(embedding) = &mut gradients.embedding {
            let hidden = network.configuration.hidden_size;
            for (token, row) in self.layout.tokens.iter().zip(gradient.chunks_exact(hidden)) {
                let at = *token as usize * hidden;
                add(&mut embedding[at..at + hidden], row);
            }
        }
        Ok(loss)
    }
}
