//! One layer, forward and backward; the same steps as `crate::language_model::decoder`'s.

use std::collections::BTreeMap;

use candle_core::{DType, Result, Tensor};

use super::frozen::Matrix;
use super::operations::{
    Mask, activated, activated_backward, add_inputs, add_outputs, dropped, lowered, normed,
    normed_backward, product, turn,
};
use super::packing::Packing;
use crate::language_model::{Compute, Configuration};

/// Indices into [`Layer::modules`], in the order of `lora::MODULES`.
pub(super) const QUERY: usize = 0;
pub(super) const KEY: usize = 1;
pub(super) const VALUE: usize = 2;
pub(super) const OUTPUT: usize = 3;
pub(super) const GATE: usize = 4;
pub(super) const UP: usize = 5;
pub(super) const DOWN: usize = 6;

/// An adapter's matrices in the type that is computed in.
#[derive(Debug, Clone)]
pub(super) struct Lora {
    /// `[R, I]`.
    pub(super) a: Tensor,
    /// `[O, R]`.
    pub(super) b: Tensor,
    /// alpha / r.
    pub(super) scale: f64,
}

/// `y = x Wᵀ + bias + scale · dropout(x) Aᵀ Bᵀ`.
#[derive(Debug)]
pub(super) struct Linear<'a> {
    pub(super) weight: &'a Matrix,
    pub(super) bias: Option<Tensor>,
    pub(super) lora: Option<&'a Lora>,
    /// Through all modules of all layers.
    pub(super) number: usize,
}

/// One layer.
#[derive(Debug)]
pub(super) struct Layer<'a> {
    pub(super) input_norm: Tensor,
    pub(super) middle_norm: Tensor,
    /// `[D]` each, for q and k.
    pub(super) head_norms: Option<(Tensor, Tensor)>,
    /// In the order of `lora::MODULES`.
    pub(super) modules: [Linear<'a>; 7],
}

/// Rows as a module meets them: all, or those asked for.
#[derive(Debug)]
pub(super) struct Rows {
    /// Cosine and sine of every row's angles, `[T, D/2]`, in `f32`.
    pub(super) angles: (Tensor, Tensor),
    /// The dropout of each module with an adapter; empty without dropout.
    pub(super) masks: BTreeMap<usize, Mask>,
}

/// What a pass through a layer depends on beside the layer and its input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) configuration: &'a Configuration,
    pub(super) compute: Compute,
    pub(super) packing: &'a Packing,
    /// All rows.
    pub(super) every: &'a Rows,
    /// Rows of which the output is wanted.
    pub(super) asked: &'a Rows,
    /// Which those are, unless all: `[Q]` among all rows, and `[T]` of every row among them, or
    /// `NOWHERE`.
    pub(super) chosen: Option<&'a (Tensor, Tensor)>,
}

/// What the way back needs of a layer.
#[derive(Debug)]
pub(super) struct Kept {
    /// q and k before their norms, if there are any.
    raw: Option<(Tensor, Tensor)>,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    attended: Tensor,
    middle: Tensor,
    gate: Tensor,
    up: Tensor,
    low: [Option<Tensor>; 7],
}

/// Gradients of an adapter's matrices, in `f32`.
pub(super) type LoraGradient = (Tensor, Tensor);

impl Linear<'_> {
    /// The output `[T, O]`, and for the way back scale · dropout(x) Aᵀ `[T, R]`.
    fn forward(
        &self,
        x: &Tensor,
        rows: &Rows,
        compute: Compute,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let mut y = product(x, &self.weight.dense(compute)?.t()?)?;
        if let Some(bias) = &self.bias {
            y = y.broadcast_add(bias)?;
        }
        let Some(lora) = self.lora else {
            return Ok((y, None));
        };
        let low = lowered(x, &lora.a, lora.scale, rows.masks.get(&self.number))?;
        add_outputs(&y, &low, &lora.b)?;
        Ok((y, Some(low)))
    }

    /// The gradient of the input if it is `wanted`, and that of the adapter's matrices. `x` is only
    /// asked for where there is an adapter.
    fn backward(
        &self,
        gradient: &Tensor,
        x: impl FnOnce() -> Result<Tensor>,
        low: Option<&Tensor>,
        rows: &Rows,
        compute: Compute,
        wanted: bool,
    ) -> Result<(Option<Tensor>, Option<LoraGradient>)> {
        let for_x = wanted
            .then(|| product(gradient, &self.weight.dense(compute)?)) // [T, I]
            .transpose()?;
        let (Some(lora), Some(low)) = (self.lora, low) else {
            return Ok((for_x, None));
        };
        let for_low = (product(gradient, &lora.b)? * lora.scale)?; // [T, R]
        let for_b = product(&gradient.t()?, low)?; // [O, R]
        let mask = rows.masks.get(&self.number);
        let mut input = x()?;
        if let Some(mask) = mask {
            input = dropped(&input, mask)?;
        }
        let for_a = product(&for_low.t()?, &input)?; // [R, I]
        drop(input);
        if let Some(so_far) = &for_x {
            // Dropout on the way back drops the same numbers.
            add_inputs(so_far, &for_low, &lora.a, mask)?;
        }
        let whole = |gradient: Tensor| gradient.to_dtype(DType::F32);
        Ok((for_x, Some((whole(for_a)?, whole(for_b)?))))
    }
}

impl Scene<'_> {
    /// The rows asked for of `[T, width]`.
    fn gather(&self, all: &Tensor) -> Result<Tensor> {
        match self.chosen {
            None => Ok(all.clone()),
            Some((rows, _)) => all.index_select(rows, 0),
        }
    }

    /// Rows asked for back in their places, zeros elsewhere.
    fn spread(&self, some: Tensor) -> Result<Tensor> {
        match self.chosen {
            None => Ok(some),
            // candle reads zeros where a place is the largest number.
            Some((_, places)) => some.index_select(places, 0),
        }
    }

    fn head_normed(&self, raw: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let by_head = raw.reshape(((), self.configuration.head_size))?;
        normed(&by_head, weight, self.configuration.norm_epsilon)?.reshape(raw.shape())
    }

    fn head_normed_backward(
        &self,
        raw: &Tensor,
        gradient: &Tensor,
        weight: &Tensor,
    ) -> Result<Tensor> {
        let size = self.configuration.head_size;
        let by_head = raw.reshape(((), size))?;
        let gradient = gradient.reshape(((), size))?;
        normed_backward(&by_head, &gradient, weight, self.configuration.norm_epsilon)?
            .reshape(raw.shape())
    }
}

impl Layer<'_> {
    /// `x [T, H] → [Q, H]`, and if `keep`, what the way back needs.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        scene: &Scene<'_>,
        keep: bool,
    ) -> Result<(Tensor, Option<Kept>)> {
        let Configuration {
            norm_epsilon,
            head_size,
            ..
        } = *scene.configuration;
        let (compute, modules) = (scene.compute, &self.modules);
        let mut low: [Option<Tensor>; 7] = Default::default();
        let forth =
            |x: &Tensor, rows: &Rows| turn(x, (&rows.angles.0, &rows.angles.1), head_size, 1.0);

        let normed_x = normed(x, &self.input_norm, norm_epsilon)?;
        let chosen = scene.gather(&normed_x)?;
        let (mut queries, low_query) = modules[QUERY].forward(&chosen, scene.asked, compute)?;
        drop(chosen);
        let (mut keys, low_key) = modules[KEY].forward(&normed_x, scene.every, compute)?;
        let (values, low_value) = modules[VALUE].forward(&normed_x, scene.every, compute)?;
        drop(normed_x);
        (low[QUERY], low[KEY], low[VALUE]) = (low_query, low_key, low_value);
        let mut raw = None;
        if let Some((for_query, for_key)) = &self.head_norms {
            raw = keep.then(|| (queries.clone(), keys.clone()));
            queries = scene.head_normed(&queries, for_query)?;
            keys = scene.head_normed(&keys, for_key)?;
        }
        forth(&queries, scene.asked)?;
        forth(&keys, scene.every)?;
        let attended = scene.attend(&queries, &keys, &values)?;
        let (middle, low_output) = modules[OUTPUT].forward(&attended, scene.asked, compute)?;
        low[OUTPUT] = low_output;
        let middle = (middle + scene.gather(x)?)?;

        let normed_middle = normed(&middle, &self.middle_norm, norm_epsilon)?;
        let (gate, low_gate) = modules[GATE].forward(&normed_middle, scene.asked, compute)?;
        let (up, low_up) = modules[UP].forward(&normed_middle, scene.asked, compute)?;
        drop(normed_middle);
        let (out, low_down) =
            modules[DOWN].forward(&activated(&gate, &up)?, scene.asked, compute)?;
        let out = (out + &middle)?;
        (low[GATE], low[UP], low[DOWN]) = (low_gate, low_up, low_down);
        let kept = keep.then_some(Kept {
            raw,
            queries,
            keys,
            values,
            attended,
            middle,
            gate,
            up,
            low,
        });
        Ok((out, kept))
    }

    /// From the gradient of the output `[Q, H]` to that of the input `[T, H]`, which is only
    /// computed if `wanted`; hands on the gradients of the layer's adapter by module.
    pub(super) fn backward(
        &self,
        gradient: Tensor,
        x: &Tensor,
        kept: Kept,
        scene: &Scene<'_>,
        into: &mut [Option<LoraGradient>],
        wanted: bool,
    ) -> Result<Option<Tensor>> {
        let Configuration {
            norm_epsilon,
            head_size,
            ..
        } = *scene.configuration;
        let (compute, modules) = (scene.compute, &self.modules);

        let Kept {
            raw,
            queries,
            keys,
            values,
            attended,
            middle,
            gate,
            up,
            low,
        } = kept;

        // Feed-forward block.
        let (for_active, of_down) = modules[DOWN].backward(
            &gradient,
            || activated(&gate, &up),
            low[DOWN].as_ref(),
            scene.asked,
            compute,
            true,
        )?;
        into[DOWN] = of_down;
        let for_active = there(for_active)?;
        let (for_gate, for_up) = activated_backward(&gate, &up, &for_active)?;
        drop(for_active);
        let mut for_normed = None;
        for (at, incoming) in [(GATE, &for_gate), (UP, &for_up)] {
            let (for_x, of_module) = modules[at].backward(
                incoming,
                || normed(&middle, &self.middle_norm, norm_epsilon),
                low[at].as_ref(),
                scene.asked,
                compute,
                true,
            )?;
            into[at] = of_module;
            for_normed = Some(plus(for_normed, there(for_x)?)?);
        }
        drop((for_gate, for_up, gate, up));
        let for_normed = there(for_normed)?;
        let through = normed_backward(&middle, &for_normed, &self.middle_norm, norm_epsilon)?;
        drop(for_normed);
        let for_middle = (gradient + through)?;

        // Attention block.
        let before = wanted || modules[QUERY..=VALUE].iter().any(|one| one.lora.is_some());
        let (for_attended, of_output) = modules[OUTPUT].backward(
            &for_middle,
            || Ok(attended.clone()),
            low[OUTPUT].as_ref(),
            scene.asked,
            compute,
            before,
        )?;
        into[OUTPUT] = of_output;
        let Some(for_attended) = for_attended else {
            return Ok(None);
        };
        let [mut for_query, mut for_key, for_value] =
            scene.attend_backward([&queries, &keys, &values], &for_attended)?;
        drop(for_attended);
        let back =
            |x: &Tensor, rows: &Rows| turn(x, (&rows.angles.0, &rows.angles.1), head_size, -1.0);
        back(&for_query, scene.asked)?;
        back(&for_key, scene.every)?;
        if let (Some((of_query, of_key)), Some((raw_query, raw_key))) = (&self.head_norms, &raw) {
            for_query = scene.head_normed_backward(raw_query, &for_query, of_query)?;
            for_key = scene.head_normed_backward(raw_key, &for_key, of_key)?;
        }
        let normed_x = normed(x, &self.input_norm, norm_epsilon)?;
        let (for_chosen, of_query) = modules[QUERY].backward(
            &for_query,
            || scene.gather(&normed_x),
            low[QUERY].as_ref(),
            scene.asked,
            compute,
            wanted,
        )?;
        into[QUERY] = of_query;
        let mut for_normed = for_chosen.map(|some| scene.spread(some)).transpose()?;
        for (at, incoming) in [(KEY, &for_key), (VALUE, &for_value)] {
            let (for_x, of_module) = modules[at].backward(
                incoming,
                || Ok(normed_x.clone()),
                low[at].as_ref(),
                scene.every,
                compute,
                wanted,
            )?;
            into[at] = of_module;
            if let Some(for_x) = for_x {
                for_normed = Some(plus(for_normed, for_x)?);
            }
        }
        let Some(for_normed) = for_normed else {
            return Ok(None);
        };
        let through = normed_backward(x, &for_normed, &self.input_norm, norm_epsilon)?;
        Ok(Some((scene.spread(for_middle)? + through)?))
    }
}

fn plus(sum: Option<Tensor>, more: Tensor) -> Result<Tensor> {
    match sum {
        Some(sum) => sum + more,
        None => Ok(more),
    }
}

fn there(tensor: Option<Tensor>) -> Result<Tensor> {
    match tensor {
        Some(tensor) => Ok(tensor),
        None => candle_core::bail!("a gradient that was asked for is not there"),
    }
}
