//! A small language model with exact gradients, for tests of the training around it.

use std::collections::BTreeMap;

use crate::base::Random;
use crate::language_model::{
    Batch, Configuration, Family, LanguageModel, LanguageModelError, Parameter, Parameters, Pass,
    Readout, RopeScaling,
};

/// Each token is predicted from the one before it: logits = O · E\[before\] + bias, with dropout
/// on E.
#[derive(Debug, Clone)]
pub(super) struct Bigram {
    configuration: Configuration,
    parameters: Parameters,
    /// Tokens of the largest pass so far.
    pub(super) largest_pass: usize,
}

pub(super) const VOCABULARY: usize = 12;
const RANK: usize = 3;

impl Bigram {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, "bigram");
        let mut matrix = |shape: Vec<usize>| {
            let count = shape.iter().product();
            let values = (0..count).map(|_| (0.5 * random.normal()) as f32).collect();
            Parameter::new(shape, values)
        };
        let parameters = BTreeMap::from([
            ("bias".to_owned(), matrix(vec![VOCABULARY])),
            ("in.weight".to_owned(), matrix(vec![VOCABULARY, RANK])),
            ("out.weight".to_owned(), matrix(vec![VOCABULARY, RANK])),
        ]);
        Self {
            configuration: Configuration {
                family: Family::Llama,
                hidden_size: RANK,
                intermediate_size: 1,
                layers: 1,
                heads: 1,
                key_value_heads: 1,
                head_size: RANK,
                vocabulary_size: VOCABULARY,
                norm_epsilon: 1e-5,
                rope_theta: 1e4,
                rope_scaling: RopeScaling::None,
                max_positions: 64,
                sliding_window: None,
                tied_head: false,
                query_key_value_bias: false,
                output_bias: false,
                mlp_bias: false,
                query_key_norm: false,
            },
            parameters: Parameters::new(parameters),
            largest_pass: 0,
        }
    }

    fn values(&self, name: &str) -> &[f32] {
        &self.parameters.get(name).expect("a parameter").values
    }

    /// What of E is used, by a factor for each number of it.
    fn inner(&self, before: u32, mask: &[f64]) -> Vec<f64> {
        let row = &self.values("in.weight")[before as usize * RANK..][..RANK];
        row.iter()
            .zip(mask)
            .map(|(value, factor)| f64::from(*value) * factor)
            .collect()
    }

    fn logits_of(&self, inner: &[f64]) -> Vec<f64> {
        let (out, bias) = (self.values("out.weight"), self.values("bias"));
        (0..VOCABULARY)
            .map(|token| {
                let row = &out[token * RANK..][..RANK];
                let products = row.iter().zip(inner).map(|(a, b)| f64::from(*a) * b);
                products.sum::<f64>() + f64::from(bias[token])
            })
            .collect()
    }
}

fn log_normaliser(logits: &[f64]) -> f64 {
    let most = logits.iter().copied().fold(f64::MIN, f64::max);
    most + logits.iter().map(|x| (x - most).exp()).sum::<f64>().ln()
}

fn mask(pass: &Pass, stream: u64, position: usize) -> Vec<f64> {
    let Some(dropout) = pass.dropout else {
        return vec![1.0; RANK];
    };
    let mut random = Random::new(dropout.seed, &format!("{stream}/{position}"));
    let rate = f64::from(dropout.rate);
    (0..RANK)
        .map(|_| {
            if random.uniform() < rate {
                0.0
            } else {
                1.0 / (1.0 - rate)
            }
        })
        .collect()
}

impl LanguageModel for Bigram {
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
        self.largest_pass = self.largest_pass.max(batch.tokens());
        let mut loss = 0.0;
        for sequence in &batch.sequences {
            for target in &sequence.targets {
                let weight = f64::from(target.weight);
                let before = sequence.tokens[target.position];
                let mask = mask(pass, sequence.stream, target.position);
                let inner = self.inner(before, &mask);
                let logits = self.logits_of(&inner);
                let normaliser = log_normaliser(&logits);
                loss += weight * (normaliser - logits[target.token as usize]);
                let out = self.values("out.weight").to_vec();
                for (token, logit) in logits.iter().enumerate() {
                    let hit = f64::from(u8::from(token == target.token as usize));
                    let slope = weight * ((logit - normaliser).exp() - hit);
                    let mut add = |name: &str, at: usize, value: f64| {
                        let one = self.parameters.get_mut(name).expect("a parameter");
                        one.gradient[at] += value as f32;
                    };
                    add("bias", token, slope);
                    for r in 0..RANK {
                        add("out.weight", token * RANK + r, slope * inner[r]);
                        let back = slope * f64::from(out[token * RANK + r]) * mask[r];
                        add("in.weight", before as usize * RANK + r, back);
                    }
                }
            }
        }
        Ok(loss)
    }

    fn loss(&self, batch: &Batch) -> Result<f64, LanguageModelError> {
        self.clone().accumulate(batch, &Pass::default())
    }

    fn read_out(
        &self,
        batch: &Batch,
        asked: &[u32],
        normalised: bool,
    ) -> Result<Vec<Readout>, LanguageModelError> {
        let one = |tokens: &[u32]| {
            let before = *tokens.last().expect("a token");
            let logits = self.logits_of(&self.inner(before, &[1.0; RANK]));
            Readout {
                logits: asked.iter().map(|at| logits[*at as usize] as f32).collect(),
                log_normaliser: normalised.then(|| log_normaliser(&logits) as f32),
            }
        };
        Ok(batch.sequences.iter().map(|s| one(&s.tokens)).collect())
    }

    fn logits(
        &self,
        _batch: &Batch,
        _at: &[(usize, usize)],
    ) -> Result<Vec<f32>, LanguageModelError> {
        Err(LanguageModelError::invalid("not needed here"))
    }
}
