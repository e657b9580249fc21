//! What is trained, by name, with gradients.

use std::collections::BTreeMap;

/// A trainable matrix or vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its shape, as PyTorch has it.
    pub shape: Vec<usize>,
    /// Its numbers, row-major.
    pub values: Vec<f32>,
    /// The gradient of the loss, of the same length; zero before a step.
    pub gradient: Vec<f32>,
}

impl Parameter {
    /// A parameter with a zero gradient.
    #[must_use]
    pub fn new(shape: Vec<usize>, values: Vec<f32>) -> Self {
        let gradient = vec![0.0; values.len()];
        Self {
            shape,
            values,
            gradient,
        }
    }
}

/// All trainable parameters of a model, in the order of their names.
///
/// Names are those of files: PEFT's for an adapter
/// (`base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`), Hugging Face's for a whole
/// model (`model.layers.0.self_attn.q_proj.weight`).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parameters {
    by_name: BTreeMap<String, Parameter>,
}

impl Parameters {
    /// Collects parameters by name.
    #[must_use]
    pub fn new(by_name: BTreeMap<String, Parameter>) -> Self {
        Self { by_name }
    }

    /// Names and parameters, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Parameter)> {
        self.by_name.iter().map(|(name, one)| (name.as_str(), one))
    }

    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Parameter)> {
        self.by_name
            .iter_mut()
            .map(|(name, one)| (name.as_str(), one))
    }

    /// A parameter by name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.by_name.get(name)
    }

    /// A parameter by name, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Parameter> {
        self.by_name.get_mut(name)
    }

    /// How many numbers are trained.
    #[must_use]
    pub fn count(&self) -> usize {
        self.by_name.values().map(|one| one.values.len()).sum()
    }

    /// Sets all gradients to zero.
    pub fn clear_gradients(&mut self) {
        for parameter in self.by_name.values_mut() {
            parameter.gradient.fill(0.0);
        }
    }
}
