//! One layer, forward and backward.

use candle_core::Result;
use rayon::prelude::*;

use super::heads::{Angles, Heads, Shaping, norm, norm_again, norm_backward};
use super::linear::Rows;
use super::network::{DOWN, GATE, KEY, Layer, LayerGradients, OUTPUT, QUERY, UP, VALUE};
use crate::language_model::layout::{Asked, Layout};
use crate::language_model::{Configuration, Dropout};
use crate::nn::matrix::Write;
use crate::nn::vector::{add, rows_per_task, swiglu, swiglu_backward};

/// What a pass through a layer depends on beside the layer and its input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) configuration: &'a Configuration,
    pub(super) layout: &'a Layout,
    /// All rows.
    pub(super) everywhere: &'a Asked,
    /// Rows of which the output is wanted: of the last layer only some.
    pub(super) asked: &'a Asked,
    pub(super) angles: &'a Angles,
    pub(super) dropout: Option<Dropout>,
}

/// What the way back needs of a layer.
#[derive(Debug)]
pub(super) struct Kept {
    /// `[T]`.
    input_inverse: Vec<f32>,
    /// q `[Q, N·D]` and k `[T, N_kv·D]` before their norms; empty without norms.
    raw: [Vec<f32>; 2],
    /// `[N, Q, D]`.
    queries: Vec<f32>,
    /// `[N_kv, T, D]`.
    keys: Vec<f32>,
    /// `[N_kv, T, D]`.
    values: Vec<f32>,
    /// `[N, Q]`.
    log_sums: Vec<f32>,
    /// `[Q, N·D]`.
    attended: Vec<f32>,
    /// `[Q, H]`.
    middle: Vec<f32>,
    /// `[Q]`.
    middle_inverse: Vec<f32>,
    /// `[Q, I]`.
    gate: Vec<f32>,
    /// `[Q, I]`.
    up: Vec<f32>,
    /// Low-rank activations of the modules, `[T or Q, R]`; empty without an adapter.
    low: [Vec<f32>; 7],
}

impl<'a> Scene<'a> {
    fn rows(&self, of: &'a Asked) -> Rows<'a> {
        Rows {
            positions: &of.positions,
            streams: &of.streams,
            dropout: self.dropout,
        }
    }

    /// The rows asked for of `[T, width]`; `None` if all are.
    fn gather(&self, all: &[f32], width: usize) -> Option<Vec<f32>> {
        if self.asked.is_all(self.layout) {
            return None;
        }
        let mut some = Vec::with_capacity(self.asked.rows.len() * width);
        for row in &self.asked.rows {
            some.extend_from_slice(&all[row * width..(row + 1) * width]);
        }
        Some(some)
    }
}

/// How q, k and v become heads.
fn shapings<'s>(scene: &Scene<'s>, norms: Option<(&'s [f32], &'s [f32])>) -> [Shaping<'s>; 3] {
    let Configuration {
        heads,
        key_value_heads,
        head_size,
        norm_epsilon,
        ..
    } = *scene.configuration;
    let shaping = |heads, of: &'s Asked, weight: Option<&'s [f32]>| Shaping {
        heads,
        size: head_size,
        norm: weight.map(|weight| (weight, norm_epsilon as f32)),
        turn: Some((scene.angles, of.positions.as_slice())),
        factor: 1.0,
    };
    let (query_norm, key_norm) = norms.unzip();
    [
        Shaping {
            factor: 1.0 / (head_size as f32).sqrt(),
            ..shaping(heads, scene.asked, query_norm)
        },
        shaping(key_value_heads, scene.everywhere, key_norm),
        Shaping {
            turn: None,
            ..shaping(key_value_heads, scene.everywhere, None)
        },
    ]
}

/// `into += from`, in tasks.
fn add_all(into: &mut [f32], from: &[f32]) {
    let task = rows_per_task(1);
    into.par_chunks_mut(task)
        .zip(from.par_chunks(task))
        .for_each(|(into, from)| add(into, from));
}

fn activate(gate: &[f32], up: &[f32]) -> Vec<f32> {
    let task = rows_per_task(8);
    let mut out = vec![0.0; gate.len()];
    out.par_chunks_mut(task)
        .zip(gate.par_chunks(task))
        .zip(up.par_chunks(task))
        .for_each(|((out, gate), up)| swiglu(out, gate, up));
    out
}

impl Layer<'_> {
    /// `x [T, H] → [Q, H]`, and if `keep`, what the way back needs.
    pub(super) fn forward(
        &self,
        x: &[f32],
        scene: &Scene<'_>,
        keep: bool,
    ) -> Result<(Vec<f32>, Option<Kept>)> {
        let hidden = scene.configuration.hidden_size;
        let epsilon = scene.configuration.norm_epsilon as f32;
        let every = scene.rows(scene.everywhere);
        let asked = scene.rows(scene.asked);
        let modules = &self.modules;
        let mut low: [Vec<f32>; 7] = Default::default();

        let (normed, input_inverse) = norm(x, self.input_norm, epsilon);
        let chosen = scene.gather(&normed, hidden);
        let for_query = chosen.as_ref().unwrap_or(&normed);
        let mut raw = [QUERY, KEY, VALUE].map(|_| Vec::new());
        for (at, raw) in raw.iter_mut().enumerate() {
            let (input, rows) = if at == QUERY {
                (for_query, &asked)
            } else {
                (&normed, &every)
            };
            (*raw, low[at]) = modules[at].forward(input, rows)?;
        }
        drop((chosen, normed));
        let [query_shape, key_shape, value_shape] = shapings(scene, self.head_norms);
        let queries = query_shape.forward(&raw[QUERY]);
        let keys = key_shape.forward(&raw[KEY]);
        let values = value_shape.forward(&raw[VALUE]);
        let raw = match raw {
            [raw_query, raw_key, _] if keep && self.head_norms.is_some() => [raw_query, raw_key],
            all => {
                drop(all);
                [Vec::new(), Vec::new()]
            }
        };
        let heads = Heads {
            configuration: scene.configuration,
            layout: scene.layout,
            asked: scene.asked,
            queries: &queries,
            keys: &keys,
            values: &values,
        };
        let (attended, log_sums) = heads.forward()?;
        let (mut middle, low_output) = modules[OUTPUT].forward(&attended, &asked)?;
        low[OUTPUT] = low_output;
        // The widest part is still to come: where nothing goes back, all that is not needed goes.
        let [queries, keys, values, attended] = if keep {
            [queries, keys, values, attended]
        } else {
            drop([queries, keys, values, attended]);
            Default::default()
        };
        match scene.gather(x, hidden) {
            Some(chosen) => add_all(&mut middle, &chosen),
            None => add_all(&mut middle, x),
        }

        let (normed, middle_inverse) = norm(&middle, self.middle_norm, epsilon);
        let (gate, low_gate) = modules[GATE].forward(&normed, &asked)?;
        let (up, low_up) = modules[UP].forward(&normed, &asked)?;
        drop(normed);
        let active = activate(&gate, &up);
        let (mut out, low_down) = modules[DOWN].forward(&active, &asked)?;
        add_all(&mut out, &middle);
        (low[GATE], low[UP], low[DOWN]) = (low_gate, low_up, low_down);
        let kept = keep.then_some(Kept {
            input_inverse,
            raw,
            queries,
            keys,
            values,
            log_sums,
            attended,
            middle,
            middle_inverse,
            gate,
            up,
            low,
        });
        Ok((out, kept))
    }

    /// From the gradient of the output `[Q, H]` to that of the input `[T, H]`, which is only
    /// computed if `wanted`; adds the gradients of the layer's own parameters.
    pub(super) fn backward(
        &self,
        gradient: Vec<f32>,
        x: &[f32],
        kept: Kept,
        scene: &Scene<'_>,
        into: &mut LayerGradients,
        wanted: bool,
    ) -> Result<Vec<f32>> {
        let hidden = scene.configuration.hidden_size;
        let every = scene.rows(scene.everywhere);
        let asked = scene.rows(scene.asked);
        let modules = &self.modules;
        let Kept {
            mut gate,
            mut up,
            middle,
            middle_inverse,
            low,
            ..
        } = kept;

        // Feed-forward block: gate and up turn into their gradients in place.
        let mut for_active = vec![0.0; gate.len()];
        {
            let used = into.modules[DOWN].any();
            let active = if used {
                activate(&gate, &up)
            } else {
                Vec::new()
            };
            modules[DOWN].backward(
                &gradient,
                &active,
                &low[DOWN],
                &asked,
                &mut into.modules[DOWN],
                Some((&mut for_active, Write::Set)),
            )?;
        }
        let task = rows_per_task(8);
        gate.par_chunks_mut(task)
            .zip(up.par_chunks_mut(task))
            .zip(for_active.par_chunks(task))
            .for_each(|((gate, up), gradient)| swiglu_backward(gate, up, gradient));
        drop(for_active);
        let used = into.modules[GATE].any() || into.modules[UP].any();
        let normed = if used {
            norm_again(&middle, &middle_inverse, self.middle_norm)
        } else {
            Vec::new()
        };
        let mut for_normed = vec![0.0; middle.len()];
        for (at, incoming, write) in [(GATE, &gate, Write::Set), (UP, &up, Write::Add)] {
            let out = Some((for_normed.as_mut_slice(), write));
            let gradients = &mut into.modules[at];
            modules[at].backward(incoming, &normed, &low[at], &asked, gradients, out)?;
        }
        drop((gate, up, normed));
        let mut for_middle = gradient;
        norm_backward(
            &mut for_middle,
            into.middle_norm.as_mut(),
            &for_normed,
            &middle,
            &middle_inverse,
            self.middle_norm,
        );
        drop((for_normed, middle));

        // Attention block.
        let mut for_attended = vec![0.0; kept.attended.len()];
        let below = wanted || into.any_before_attention();
        modules[OUTPUT].backward(
            &for_middle,
            &kept.attended,
            &low[OUTPUT],
            &asked,
            &mut into.modules[OUTPUT],
            below.then_some((for_attended.as_mut_slice(), Write::Set)),
        )?;
        if !below {
            return Ok(Vec::new());
        }
        let heads = Heads {
            configuration: scene.configuration,
            layout: scene.layout,
            asked: scene.asked,
            queries: &kept.queries,
            keys: &kept.keys,
            values: &kept.values,
        };
        let [mut for_query, mut for_key, mut for_value] =
            heads.backward(&kept.attended, &for_attended, &kept.log_sums)?;
        drop(for_attended);
        let shapes = shapings(scene, self.head_norms);
        let [raw_query, raw_key] = &kept.raw;
        let for_query = shapes[QUERY].backward(&mut for_query, raw_query, into.query_norm.as_mut());
        let for_key = shapes[KEY].backward(&mut for_key, raw_key, into.key_norm.as_mut());
        let for_value = shapes[VALUE].backward(&mut for_value, &[], None);

        let used = into.modules[QUERY..=VALUE]
            .iter()
            .any(super::linear::LinearGradients::any);
        let normed = if used {
            norm_again(x, &kept.input_inverse, self.input_norm)
        } else {
            Vec::new()
        };
        let chosen = if used {
            scene.gather(&normed, hidden)
        } else {
            None
        };
        let below = wanted || into.input_norm.is_some();
        let mut for_chosen = if below {
            vec![0.0; scene.asked.rows.len() * hidden]
        } else {
            Vec::new()
        };
        let input = chosen.as_ref().unwrap_or(&normed);
        modules[QUERY].backward(
            &for_query,
            input,
            &low[QUERY],
            &asked,
            &mut into.modules[QUERY],
            below.then_some((for_chosen.as_mut_slice(), Write::Set)),
        )?;
        let all = scene.asked.is_all(scene.layout);
        let mut for_normed = match (below, all) {
            (false, _) => Vec::new(),
            (true, true) => std::mem::take(&mut for_chosen),
            (true, false) => {
                let mut spread = vec![0.0; x.len()];
                scatter(&mut spread, &for_chosen, &scene.asked.rows, hidden);
                spread
            }
        };
        for (at, incoming) in [(KEY, &for_key), (VALUE, &for_value)] {
            let out = below.then_some((for_normed.as_mut_slice(), Write::Add));
            let gradients = &mut into.modules[at];
            modules[at].backward(incoming, &normed, &low[at], &every, gradients, out)?;
        }
        if !below {
            return Ok(Vec::new());
        }
        let mut for_x = if all {
            for_middle
        } else {
            let mut spread = vec![0.0; x.len()];
            scatter(&mut spread, &for_middle, &scene.asked.rows, hidden);
            spread
        };
        norm_backward(
            &mut for_x,
            into.input_norm.as_mut(),
            &for_normed,
            x,
            &kept.input_inverse,
            self.input_norm,
        );
        Ok(for_x)
    }
}

/// Writes the rows of `some` to their places in `all`.
fn scatter(all: &mut [f32], some: &[f32], rows: &[usize], width: usize) {
    for (row, from) in rows.iter().zip(some.chunks_exact(width)) {
        all[row * width..(row + 1) * width].copy_from_slice(from);
    }
}
