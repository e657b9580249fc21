//! The numbers of a backbone by name, shared by all decoders on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::Random;
use crate::language_model::lora::{MODULES, parameter_name};
use crate::language_model::{
    Configuration, LanguageModelError, LoraOptions, Parameter, Parameters,
};
use crate::nn::matrix::{Matrix, Write};
use crate::nn::product::product;

/// All tensors of a backbone by their Hugging Face names, never changed once made.
#[derive(Debug, Clone, Default)]
pub struct Weights {
    by_name: BTreeMap<String, Arc<Vec<f32>>>,
}

impl Weights {
    /// Takes the tensors of [`Configuration::tensors`], row-major.
    ///
    /// # Errors
    /// If one is missing, unknown, or has another length.
    pub fn new(
        configuration: &Configuration,
        mut tensors: BTreeMap<String, Vec<f32>>,
    ) -> Result<Self, LanguageModelError> {
        let mut by_name = BTreeMap::new();
        for (name, shape) in configuration.tensors() {
            let Some(values) = tensors.remove(&name) else {
                return Err(LanguageModelError::invalid(format!("`{name}` is missing")));
            };
            if values.len() != shape.iter().product::<usize>() {
                let found = values.len();
                return Err(LanguageModelError::invalid(format!(
                    "`{name}` has {found} numbers, not {shape:?}"
                )));
            }
            by_name.insert(name, Arc::new(values));
        }
        match tensors.keys().next() {
            Some(name) => Err(LanguageModelError::invalid(format!(
                "there is no `{name}` in such a model"
            ))),
            None => Ok(Self { by_name }),
        }
    }

    /// Names and numbers, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[f32])> {
        let all = self.by_name.iter();
        all.map(|(name, values)| (name.as_str(), values.as_slice()))
    }

    /// A tensor by name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[f32]> {
        self.by_name.get(name).map(|values| values.as_slice())
    }

    /// The backbone with an adapter added into it, W + (alpha / r) · B A; what has no adapter is
    /// shared.
    ///
    /// # Errors
    /// If the adapter does not fit.
    pub fn merged(
        &self,
        configuration: &Configuration,
        options: &LoraOptions,
        adapter: &Parameters,
    ) -> Result<Self, LanguageModelError> {
        check_adapter(configuration, options, adapter)?;
        let mut merged = self.clone();
        for_each_module(configuration, options, |layer, block, module, widths| {
            let (inputs, outputs) = widths;
            let matrix = |which| adapter.get(&parameter_name(layer, block, module, which));
            let name = format!("model.layers.{layer}.{block}.{module}.weight");
            let (Some(a), Some(b)) = (matrix('A'), matrix('B')) else {
                return Ok(());
            };
            let Some(weight) = merged.by_name.get_mut(&name) else {
                return Err(LanguageModelError::invalid(format!("`{name}` is missing")));
            };
            let scaled: Vec<f32> = b
                .values
                .iter()
                .map(|value| (f64::from(*value) * options.scale()) as f32)
                .collect();
            let mut sum = weight.to_vec();
            if let (Some(left), Some(right)) = (
                Matrix::new(&scaled, outputs, options.r),
                Matrix::new(&a.values, options.r, inputs),
            ) {
                product(&mut sum, Write::Add, left, right)
                    .map_err(LanguageModelError::candle(&name))?;
            }
            *weight = Arc::new(sum);
            Ok(())
        })?;
        Ok(merged)
    }
}

fn for_each_module(
    configuration: &Configuration,
    options: &LoraOptions,
    mut act: impl FnMut(usize, &str, &str, (usize, usize)) -> Result<(), LanguageModelError>,
) -> Result<(), LanguageModelError> {
    for layer in 0..configuration.layers {
        for (module, block) in MODULES {
            let chosen = options.target_modules.iter().any(|name| name == module);
            if let (true, Some(widths)) = (chosen, configuration.module_widths(module)) {
                act(layer, block, module, widths)?;
            }
        }
    }
    Ok(())
}

/// Checks names and shapes of an adapter.
pub(in crate::language_model) fn check_adapter(
    configuration: &Configuration,
    options: &LoraOptions,
    adapter: &Parameters,
) -> Result<(), LanguageModelError> {
    let known = |name: &&String| MODULES.iter().all(|(module, _)| module != name);
    if let Some(name) = options.target_modules.iter().find(known) {
        return Err(LanguageModelError::invalid(format!(
            "there is no module `{name}` to put an adapter on"
        )));
    }
    if options.r == 0 || options.target_modules.is_empty() {
        return Err(LanguageModelError::invalid(
            "an adapter needs a rank of at least 1 and a module",
        ));
    }
    let mut count = 0;
    for_each_module(configuration, options, |layer, block, module, widths| {
        let shapes = [
            ('A', vec![options.r, widths.0]),
            ('B', vec![widths.1, options.r]),
        ];
        for (which, shape) in shapes {
            let name = parameter_name(layer, block, module, which);
            let Some(found) = adapter.get(&name) else {
                return Err(LanguageModelError::invalid(format!("`{name}` is missing")));
            };
            if found.shape != shape || found.values.len() != shape.iter().product::<usize>() {
                return Err(LanguageModelError::invalid(format!(
                    "`{name}` is {:?}, not {shape:?}",
                    found.shape
                )));
            }
            count += 1;
        }
        Ok(())
    })?;
    match adapter.iter().count() {
        found if found == count => Ok(()),
        found => Err(LanguageModelError::invalid(format!(
            "the adapter has {found} matrices where {count} belong"
        ))),
    }
}

/// A new adapter that changes nothing yet: A uniform in ±1/√in as PEFT draws it, B zero.
///
/// Every matrix has a random stream of its own, named after it.
#[must_use]
pub fn fresh_adapter(
    configuration: &Configuration,
    options: &LoraOptions,
    seed: u64,
) -> Parameters {
    let mut all = BTreeMap::new();
    // The closure never fails.
    let _: Result<(), LanguageModelError> =
        for_each_module(configuration, options, |layer, block, module, widths| {
            let (inputs, outputs) = widths;
            let name = parameter_name(layer, block, module, 'A');
            let bound = 1.0 / (inputs.max(1) as f64).sqrt();
            let mut random = Random::new(seed, &name);
            let draw =
                (0..options.r * inputs).map(|_| ((2.0 * random.uniform() - 1.0) * bound) as f32);
            let a = Parameter::new(vec![options.r, inputs], draw.collect());
            all.insert(name, a);
            let b = Parameter::new(vec![outputs, options.r], vec![0.0; outputs * options.r]);
            all.insert(parameter_name(layer, block, module, 'B'), b);
            Ok(())
        });
    Parameters::new(all)
}

/// A new backbone: embeddings and head normal with deviation 0.1, other matrices with
/// 1 / √inputs, norms one, biases zero. Every tensor has a random stream of its own, named after
/// it.
///
/// transformers draws all matrices with 0.02, which suits a hidden width of some thousands; at 64
/// attention would begin with next to no differences between tokens.
#[must_use]
pub fn fresh_weights(configuration: &Configuration, seed: u64) -> Weights {
    let tensors = configuration.tensors().into_iter().map(|(name, shape)| {
        let count = shape.iter().product();
        let values = if name.ends_with("norm.weight") {
            vec![1.0; count]
        } else if shape.len() == 1 {
            vec![0.0; count]
        } else {
            let vocabulary = name.contains("embed_tokens") || name.contains("lm_head");
            let deviation = match shape.last() {
                Some(inputs) if !vocabulary => 1.0 / (*inputs as f64).sqrt(),
                _ => 0.1,
            };
            let mut random = Random::new(seed, &name);
            (0..count)
                .map(|_| (random.normal() * deviation) as f32)
                .collect()
        };
        (name, Arc::new(values))
    });
    Weights {
        by_name: tensors.collect(),
    }
}
