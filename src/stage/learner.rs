//! A model that is pretrained in phases, with a vocabulary that grows with what it reads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::tuned::train;
use super::{StageContext, StageError};
use crate::language_model::decoder::{Decoder, Trainable, Weights};
use crate::language_model::{Configuration, LanguageModel, Parameter, Parameters};
use crate::tuning::{Example, Resources, Task, TuneOptions, Tuned, Validation};

const EMBEDDING: &str = "model.embed_tokens.weight";

/// A model whose vocabulary grows with what it reads.
///
/// In each phase it has the tokens alone that were met so far. With all of them from the start,
/// Adam pushes the embeddings of a thousand unused tokens, which have no other gradient than
/// "not this one", all in one direction, and small models then stay on the plateau of counting
/// likes (measured, see decision 0008).
pub(super) struct Learner {
    pub(super) configuration: Configuration,
    pub(super) weights: BTreeMap<String, Vec<f32>>,
    pub(super) known: BTreeSet<u32>,
}

impl Learner {
    pub(super) fn learn(
        &mut self,
        context: &StageContext,
        rows: &[Example],
        options: (&TuneOptions, &Resources),
        folder: Option<&Path>,
    ) -> Result<Tuned, StageError> {
        self.known.extend(rows.iter().flat_map(|row| &row.tokens));
        let number: BTreeMap<u32, u32> = self.known.iter().copied().zip(0..).collect();
        let rows: Vec<Example> = rows
            .iter()
            .map(|row| Example {
                tokens: row
                    .tokens
                    .iter()
                    .filter_map(|token| number.get(token).copied())
                    .collect(),
                answer_start: row.answer_start,
            })
            .collect();
        let hidden = self.configuration.hidden_size;
        let mut known = self.weights.clone();
        if let Some(all) = self.weights.get(EMBEDDING) {
            let rows = self.known.iter().map(|token| *token as usize * hidden);
            let some = rows.flat_map(|start| &all[start..start + hidden]).copied();
            known.insert(EMBEDDING.to_owned(), some.collect());
        }
        let configuration = Configuration {
            vocabulary_size: self.known.len(),
            ..self.configuration.clone()
        };
        let weights = Arc::new(Weights::new(&configuration, known)?);
        let base = format!("{} tokens known", self.known.len());
        let mut model = Decoder::new(configuration, weights, Trainable::Everything)?;
        let task = Task {
            train: &rows,
            validation: Validation::None,
            dropout: 0.0,
            base: &base,
        };
        let tuned = train(context, &mut model, &task, options, folder)?;
        for (name, learnt) in model.parameters().iter() {
            let Some(values) = self.weights.get_mut(name) else {
                continue;
            };
            if name == EMBEDDING {
                for (token, row) in self.known.iter().zip(learnt.values.chunks(hidden)) {
                    let start = *token as usize * hidden;
                    values[start..start + hidden].copy_from_slice(row);
                }
            } else {
                values.clone_from(&learnt.values);
            }
        }
        Ok(tuned)
    }

    /// The whole model. Tokens that were never met get the mean embedding of those that were, so
    /// that nothing is said about them.
    pub(super) fn parameters(mut self) -> Parameters {
        let hidden = self.configuration.hidden_size;
        if let Some(values) = self.weights.get_mut(EMBEDDING) {
            let mut mean = vec![0.0_f64; hidden];
            for token in &self.known {
                let row = &values[*token as usize * hidden..][..hidden];
                for (sum, value) in mean.iter_mut().zip(row) {
                    *sum += f64::from(*value) / self.known.len() as f64;
                }
            }
            for (token, row) in values.chunks_mut(hidden).enumerate() {
                if !self.known.contains(&(token as u32)) {
                    for (value, mean) in row.iter_mut().zip(&mean) {
                        *value = *mean as f32;
                    }
                }
            }
        }
        let shapes: BTreeMap<String, Vec<usize>> =
            self.configuration.tensors().into_iter().collect();
        let all = self.weights.into_iter().map(|(name, values)| {
            let shape = shapes.get(&name).cloned().unwrap_or_default();
            (name, Parameter::new(shape, values))
        });
        Parameters::new(all.collect())
    }
}
