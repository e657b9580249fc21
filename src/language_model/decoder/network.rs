//! The model as slices: which numbers stand where, and where their gradients go.

use std::collections::BTreeMap;

use super::linear::{Linear, LinearGradients, Lora};
use super::weights::Weights;
use crate::language_model::lora::{MODULES, parameter_name};
use crate::language_model::{Configuration, LanguageModelError, LoraOptions, Parameters};

/// Indices into [`Layer::modules`], in the order of [`MODULES`].
pub(super) const QUERY: usize = 0;
pub(super) const KEY: usize = 1;
pub(super) const VALUE: usize = 2;
pub(super) const OUTPUT: usize = 3;
pub(super) const GATE: usize = 4;
pub(super) const UP: usize = 5;
pub(super) const DOWN: usize = 6;

/// One layer.
#[derive(Debug)]
pub(super) struct Layer<'a> {
    /// `[H]`.
    pub(super) input_norm: &'a [f32],
    /// `[H]`.
    pub(super) middle_norm: &'a [f32],
    /// `[D]` each, for q and k.
    pub(super) head_norms: Option<(&'a [f32], &'a [f32])>,
    /// In the order of [`MODULES`].
    pub(super) modules: [Linear<'a>; 7],
}

/// The model.
#[derive(Debug)]
pub(super) struct Network<'a> {
    /// Its sizes.
    pub(super) configuration: &'a Configuration,
    /// `[V, H]`.
    pub(super) embedding: &'a [f32],
    /// In order.
    pub(super) layers: Vec<Layer<'a>>,
    /// `[H]`.
    pub(super) norm: &'a [f32],
    /// `[V, H]`.
    pub(super) head: &'a [f32],
}

/// An adapter and how it is applied.
pub(super) type Adapter<'a> = Option<(&'a LoraOptions, &'a Parameters)>;

impl<'a> Network<'a> {
    /// Finds all numbers by name: in `trained` first, then in `weights`.
    pub(super) fn new(
        configuration: &'a Configuration,
        weights: &'a Weights,
        trained: &'a Parameters,
        adapter: Adapter<'a>,
    ) -> Result<Self, LanguageModelError> {
        let find = |name: &str| {
            let own = trained.get(name).map(|found| found.values.as_slice());
            own.or_else(|| weights.get(name))
                .ok_or_else(|| LanguageModelError::invalid(format!("`{name}` is missing")))
        };
        let layer = |number: usize| {
            let in_layer = |name: &str| find(&format!("model.layers.{number}.{name}"));
            let linear = |at: usize| {
                let (module, block) = MODULES[at];
                let (inputs, outputs) = configuration.module_widths(module).unwrap_or_default();
                let biased = configuration.is_biased(module);
                let bias = biased.then(|| in_layer(&format!("{block}.{module}.bias")));
                let matrix = |(options, values): (&'a LoraOptions, &'a Parameters), which| {
                    let _ = options;
                    let name = parameter_name(number, block, module, which);
                    values.get(&name).map(|found| found.values.as_slice())
                };
                let lora = adapter.and_then(|adapter| {
                    Some(Lora {
                        a: matrix(adapter, 'A')?,
                        b: matrix(adapter, 'B')?,
                        rank: adapter.0.r,
                        scale: adapter.0.scale() as f32,
                    })
                });
                Ok::<_, LanguageModelError>(Linear {
                    weight: in_layer(&format!("{block}.{module}.weight"))?,
                    bias: bias.transpose()?,
                    inputs,
                    outputs,
                    lora,
                    number: (number * MODULES.len() + at) as u64,
                })
            };
            let head_norms = if configuration.query_key_norm {
                let query = in_layer("self_attn.q_norm.weight")?;
                Some((query, in_layer("self_attn.k_norm.weight")?))
            } else {
                None
            };
            Ok::<_, LanguageModelError>(Layer {
                input_norm: in_layer("input_layernorm.weight")?,
                middle_norm: in_layer("post_attention_layernorm.weight")?,
                head_norms,
                modules: [
                    linear(QUERY)?,
                    linear(KEY)?,
                    linear(VALUE)?,
                    linear(OUTPUT)?,
                    linear(GATE)?,
                    linear(UP)?,
                    linear(DOWN)?,
                ],
            })
        };
        let head = if configuration.tied_head {
            "model.embed_tokens.weight"
        } else {
            "lm_head.weight"
        };
        Ok(Self {
            configuration,
            embedding: find("model.embed_tokens.weight")?,
            layers: (0..configuration.layers)
                .map(layer)
                .collect::<Result<_, _>>()?,
            norm: find("model.norm.weight")?,
            head: find(head)?,
        })
    }
}

/// Gradients of one layer; `None` for what is not trained.
#[derive(Debug, Default)]
pub(super) struct LayerGradients {
    pub(super) input_norm: Option<Vec<f32>>,
    pub(super) middle_norm: Option<Vec<f32>>,
    pub(super) query_norm: Option<Vec<f32>>,
    pub(super) key_norm: Option<Vec<f32>>,
    pub(super) modules: [LinearGradients; 7],
}

impl LayerGradients {
    /// Whether something up to the attention (its norm, q, k, v) is trained.
    pub(super) fn any_before_attention(&self) -> bool {
        self.input_norm.is_some()
            || self.query_norm.is_some()
            || self.key_norm.is_some()
            || self.modules[QUERY..=VALUE].iter().any(LinearGradients::any)
    }

    /// Whether anything of the layer is trained.
    pub(super) fn any(&self) -> bool {
        self.any_before_attention()
            || self.middle_norm.is_some()
            || self.modules.iter().any(LinearGradients::any)
    }
}

/// Gradients of the model; `None` for what is not trained.
///
/// They are moved out of the parameters for the time of a pass, so that the parameters' values
/// can be borrowed meanwhile.
#[derive(Debug, Default)]
pub(super) struct Gradients {
    pub(super) embedding: Option<Vec<f32>>,
    pub(super) layers: Vec<LayerGradients>,
    pub(super) norm: Option<Vec<f32>>,
    pub(super) head: Option<Vec<f32>>,
}

impl Gradients {
    /// Every gradient by the name of its parameter.
    fn visit(&mut self, mut act: impl FnMut(&str, &mut Option<Vec<f32>>)) {
        act("model.embed_tokens.weight", &mut self.embedding);
        act("model.norm.weight", &mut self.norm);
        act("lm_head.weight", &mut self.head);
        for (number, layer) in self.layers.iter_mut().enumerate() {
            let prefix = format!("model.layers.{number}");
            act(
                &format!("{prefix}.input_layernorm.weight"),
                &mut layer.input_norm,
            );
            act(
                &format!("{prefix}.post_attention_layernorm.weight"),
                &mut layer.middle_norm,
            );
            act(
                &format!("{prefix}.self_attn.q_norm.weight"),
                &mut layer.query_norm,
            );
            act(
                &format!("{prefix}.self_attn.k_norm.weight"),
                &mut layer.key_norm,
            );
            for (at, (module, block)) in MODULES.iter().enumerate() {
                let into = &mut layer.modules[at];
                act(
                    &format!("{prefix}.{block}.{module}.weight"),
                    &mut into.weight,
                );
                act(&format!("{prefix}.{block}.{module}.bias"), &mut into.bias);
                let (mut a, mut b) = into.lora.take().unzip();
                act(&parameter_name(number, block, module, 'A'), &mut a);
                act(&parameter_name(number, block, module, 'B'), &mut b);
                into.lora = a.zip(b);
            }
        }
    }

    /// Moves the gradients out of the parameters.
    pub(super) fn take(parameters: &mut Parameters, layers: usize) -> Self {
        let mut all = Self::default();
        all.layers.resize_with(layers, LayerGradients::default);
        all.visit(|name, place| {
            if let Some(parameter) = parameters.get_mut(name) {
                let mut gradient = std::mem::take(&mut parameter.gradient);
                gradient.resize(parameter.values.len(), 0.0);
                *place = Some(gradient);
            }
        });
        all
    }

    /// Moves them back.
    pub(super) fn put_back(mut self, parameters: &mut Parameters) {
        self.visit(|name, place| {
            if let (Some(parameter), Some(gradient)) = (parameters.get_mut(name), place.take()) {
                parameter.gradient = gradient;
            }
        });
    }

    /// The lowest layer through which a gradient must go; `None` if only the head and the norm
    /// before it are trained, or nothing.
    pub(super) fn lowest(&self) -> Option<usize> {
        if self.embedding.is_some() {
            return Some(0);
        }
        self.layers.iter().position(LayerGradients::any)
    }

    /// The parts of it, without which a pass only needs the loss.
    pub(super) fn any(&self) -> bool {
        self.lowest().is_some() || self.norm.is_some() || self.head.is_some()
    }
}

/// Parameters that hold every tensor of a backbone.
pub(super) fn everything(configuration: &Configuration, weights: &Weights) -> Parameters {
    let all = configuration
        .tensors()
        .into_iter()
        .filter_map(|(name, shape)| {
            let values = weights.get(&name)?.to_vec();
            Some((name, crate::language_model::Parameter::new(shape, values)))
        });
    Parameters::new(all.collect::<BTreeMap<_, _>>())
}
