//! [`Decoder`] as a [`LanguageModel`].

use std::sync::Arc;

use super::head::{chosen_logits, cross_entropy, logits};
use super::network::{Gradients, Network, everything};
use super::passes::Task;
use super::weights::{Weights, check_adapter};
use crate::language_model::layout::{
    check_asked, common_prefix, ends, goals, part, parts, places, readouts as readouts_of,
};
use crate::language_model::{
    Batch, Configuration, LanguageModel, LanguageModelError, LoraOptions, Parameters, Pass, Readout,
};

/// Most rows of a pass that only scores.
pub(in crate::language_model) const ROWS_AT_ONCE: usize = 4096;

/// What of a model is trained.
#[derive(Debug, Clone, PartialEq)]
pub enum Trainable {
    /// Nothing: the backbone as it is.
    Nothing,
    /// An adapter; the backbone stays frozen.
    Adapter {
        /// Rank, scale and modules.
        options: LoraOptions,
        /// Its matrices, from [`super::fresh_adapter`] or a file.
        values: Parameters,
    },
    /// All weights, starting from those given.
    Everything,
}

/// A decoder-only model on the CPU.
#[derive(Debug, Clone)]
pub struct Decoder {
    configuration: Configuration,
    weights: Arc<Weights>,
    adapter: Option<LoraOptions>,
    parameters: Parameters,
}

impl Decoder {
    /// A model on shared weights.
    ///
    /// # Errors
    /// If sizes contradict each other, or weights or adapter do not fit.
    pub fn new(
        configuration: Configuration,
        weights: Arc<Weights>,
        trainable: Trainable,
    ) -> Result<Self, LanguageModelError> {
        configuration.check()?;
        let (adapter, parameters) = match trainable {
            Trainable::Nothing => (None, Parameters::default()),
            Trainable::Adapter { options, values } => {
                check_adapter(&configuration, &options, &values)?;
                (Some(options), values)
            }
            Trainable::Everything => (None, everything(&configuration, &weights)),
        };
        let decoder = Self {
            configuration,
            weights,
            adapter,
            parameters,
        };
        decoder.network()?;
        Ok(decoder)
    }

    /// The backbone: without training, the weights given; after training all of them, a copy.
    ///
    /// An adapter is not in it; see [`Weights::merged`].
    #[must_use]
    pub fn weights(&self) -> Arc<Weights> {
        if self.adapter.is_some() || self.parameters.count() == 0 {
            return Arc::clone(&self.weights);
        }
        let all = self.parameters.iter();
        let all = all.map(|(name, one)| (name.to_owned(), one.values.clone()));
        Weights::new(&self.configuration, all.collect())
            .map_or_else(|_| Arc::clone(&self.weights), Arc::new)
    }

    /// The adapter's options, if an adapter is trained.
    #[must_use]
    pub fn adapter(&self) -> Option<&LoraOptions> {
        self.adapter.as_ref()
    }

    fn network(&self) -> Result<Network<'_>, LanguageModelError> {
        let adapter = self.adapter.as_ref();
        Network::new(
            &self.configuration,
            &self.weights,
            &self.parameters,
            adapter.map(|options| (options, &self.parameters)),
        )
    }
}

impl LanguageModel for Decoder {
    fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    fn accumulate(&mut self, batch: &Batch, pass: &Pass) -> Result<f64, LanguageModelError> {
        pass.check()?;
        let places = places(batch, &self.configuration)?;
        let mut gradients = Gradients::take(&mut self.parameters, self.configuration.layers);
        let mut run = || {
            let network = self.network()?;
            let task = Task::new(&network, batch, batch.shared_prefix, &places)?;
            if places.is_empty() {
                return Ok(0.0);
            }
            let goals = goals(batch, |number, at| task.index(number, at));
            task.backward(&network, &goals, pass, &mut gradients)
                .map_err(LanguageModelError::candle("training pass"))
        };
        let loss = run();
        gradients.put_back(&mut self.parameters);
        loss
    }

    fn loss(&self, batch: &Batch) -> Result<f64, LanguageModelError> {
        let network = self.network()?;
        let prefix = common_prefix(batch);
        let mut loss = 0.0;
        for range in parts(batch, prefix, ROWS_AT_ONCE) {
            let batch = part(batch, range);
            let places = places(&batch, &self.configuration)?;
            let task = Task::new(&network, &batch, prefix, &places)?;
            if places.is_empty() {
                continue;
            }
            let goals = goals(&batch, |number, at| task.index(number, at));
            let run = || {
                let x = task.forward(&network)?;
                cross_entropy(&network, &x, &goals, None)
            };
            loss += run().map_err(LanguageModelError::candle("loss"))?.0;
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
        let network = self.network()?;
        let prefix = common_prefix(batch);
        let mut readouts = Vec::with_capacity(batch.sequences.len());
        for range in parts(batch, prefix, ROWS_AT_ONCE) {
            let batch = part(batch, range);
            let ends = ends(&batch);
            let task = Task::new(&network, &batch, prefix, &ends)?;
            let run = || {
                let x = task.forward(&network)?;
                chosen_logits(&network, &x, asked, normalised)
            };
            let found = run().map_err(LanguageModelError::candle("scoring"))?;
            let rows = ends.iter().map(|(number, at)| task.index(*number, *at));
            let rows = rows.map(Option::unwrap_or_default);
            readouts.extend(readouts_of(rows, asked.len(), &found));
        }
        Ok(readouts)
    }

    fn logits(&self, batch: &Batch, at: &[(usize, usize)]) -> Result<Vec<f32>, LanguageModelError> {
        let network = self.network()?;
        let vocabulary = self.configuration.vocabulary_size;
        let mut all = vec![0.0; at.len() * vocabulary];
        let task = Task::new(&network, batch, common_prefix(batch), at)?;
        if at.is_empty() {
            return Ok(all);
        }
        let run = || logits(&network, &task.forward(&network)?);
        let found = run().map_err(LanguageModelError::candle("logits"))?;
        for (out, (sequence, position)) in all.chunks_exact_mut(vocabulary).zip(at) {
            let row = task.index(*sequence, *position).unwrap_or(0);
            out.copy_from_slice(&found[row * vocabulary..(row + 1) * vocabulary]);
        }
        Ok(all)
    }
}
