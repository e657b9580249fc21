//! All layers of a GRU over a batch of sequences as one operation, forward and backward.
//!
//! Sequences are sorted by length and their steps laid out time-major without any padding
//! (PyTorch's packed sequences), so at every step the rows still going are the first ones. The
//! input projection is one product for all steps; what remains is sequential, per step one product
//! with the packed `W_hh` and the gates. The inputs may be looked up in tables here: then the
//! gradient of the history's vectors goes straight to the rows of the tables that were used.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::dropout::Dropping;
use super::gradients::{Gradient, RowGradient, hand_over};
use super::matrix::{Matrix, Write, add_rows, numbers, with_numbers};
use super::packed::Packed;
use super::product::product;
use super::steps::Plan;
use super::vector::{add, drop_out, drop_out_backward};
use super::{gates, gradients};

/// What a forward pass is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A backward pass will follow: activations are kept.
    Training,
    /// Only the result counts: a backward pass is an error.
    Scoring,
}

/// The weights of one layer: `[3H, I]`, `[3H, H]`, `[3H]`, `[3H]`, gates in the order r, z, n.
#[derive(Debug, Clone)]
pub(super) struct Weights {
    pub(super) input: Tensor,
    pub(super) recurrent: Tensor,
    pub(super) input_bias: Tensor,
    pub(super) recurrent_bias: Tensor,
}

/// Where the vectors of the steps come from.
#[derive(Debug)]
pub(super) enum Source {
    /// The argument of the operation, `[B, T, I]`.
    Argument,
    /// Numbers that do not depend on a variable, `[B, T, I]`. The argument of the operation is a
    /// variable that only makes candle go backward.
    Constant(Tensor),
    /// Rows of tables side by side, looked up by `[B, T]` identifiers each, then dropped out; the
    /// argument as above.
    Tables(Vec<(Tensor, Vec<u32>)>, Option<Dropping>),
}

/// `→ [L, B, H]`: each layer's state after each row's own length, zero for length 0.
///
/// `n = tanh(W_in x + b_in + r ∘ (W_hn h + b_hn))` and `h' = (1 − z) ∘ n + z ∘ h`, as in PyTorch.
#[derive(Debug)]
pub(super) struct Recurrence {
    pub(super) layers: Vec<Weights>,
    pub(super) source: Source,
    pub(super) lengths: Vec<usize>,
    pub(super) time: usize,
    pub(super) purpose: Purpose,
    pub(super) kept: Mutex<Option<Vec<Activations>>>,
}

/// What the backward pass of a layer needs, a row for each step of each sequence.
#[derive(Debug)]
pub(super) struct Activations {
    /// The inputs, `[S, I]`.
    x: Vec<f32>,
    /// r, z, n and `W_hn h + b_hn`: `[S, 4H]`.
    gates: Vec<f32>,
    /// The state after each step: `[S, H]`.
    states: Vec<f32>,
}

impl Recurrence {
    fn hidden(&self) -> Result<usize> {
        match self.layers.first() {
            Some(first) => first.recurrent.dim(1),
            None => candle_core::bail!("a GRU without layers"),
        }
    }

    /// The inputs of the first layer, `[S, I]`.
    fn inputs(&self, plan: &Plan, argument: &[f32], width: usize) -> Result<Vec<f32>> {
        let mut x = vec![0.0; plan.total * width];
        match &self.source {
            Source::Argument => plan.lay_out(&mut x, self.time, argument, width),
            Source::Constant(constant) => with_numbers(constant, |constant| {
                plan.lay_out(&mut x, self.time, constant, width);
                Ok(())
            })?,
            Source::Tables(tables, dropping) => {
                let mut at = 0;
                for (table, identifiers) in tables {
                    let (rows, columns) = table.dims2()?;
                    with_numbers(table, |table| {
                        let outs = x.chunks_exact_mut(width);
                        for (out, place) in outs.zip(plan.places(self.time)) {
                            let row = identifiers[place] as usize;
                            if row >= rows {
                                candle_core::bail!("identifier {row} of a table of {rows} rows");
                            }
                            let from = &table[row * columns..(row + 1) * columns];
                            out[at..at + columns].copy_from_slice(from);
                        }
                        Ok(())
                    })?;
                    at += columns;
                }
                if let Some(dropping) = dropping {
                    let mut whole = vec![0.0; width];
                    for (out, place) in x.chunks_exact_mut(width).zip(plan.places(self.time)) {
                        whole.copy_from_slice(out);
                        drop_out(out, &whole, dropping.key(place), dropping.rate);
                    }
                }
            }
        }
        Ok(x)
    }

    /// Runs one layer over `x [S, I]`; `last [B, H]` receives the state of each row.
    fn layer(
        &self,
        weights: &Weights,
        plan: &Plan,
        x: Vec<f32>,
        last: &mut [f32],
    ) -> Result<Activations> {
        let (width, hidden) = weights.recurrent.dims2()?;
        let inputs = weights.input.dim(1)?;
        let mut projected = vec![0.0; plan.total * width];
        with_numbers(&weights.input, |weight| {
            let weight = matrix(weight, width, inputs)?;
            let x = matrix(&x, plan.total, inputs)?;
            product(&mut projected, Write::Set, x, weight.transposed()) // [S, 3H]
        })?;
        let packed = with_numbers(&weights.recurrent, |weight| {
            Ok(Packed::new(matrix(weight, width, hidden)?.transposed()))
        })?;
        // In scoring the gates of one step are enough, used again and again.
        let keeps = self.purpose == Purpose::Training;
        let most = plan.steps.first().map_or(0, |(_, going)| *going);
        let mut gates = vec![0.0; if keeps { plan.total } else { most } * 4 * hidden];
        let mut states = vec![0.0; plan.total * hidden];
        let mut recurrent = vec![0.0; most * width];
        let first = vec![0.0; most * hidden];
        with_numbers(&weights.input_bias, |input_bias| {
            with_numbers(&weights.recurrent_bias, |recurrent_bias| {
                for (step, (begin, going)) in plan.steps.iter().copied().enumerate() {
                    let (past, now) = states.split_at_mut(begin * hidden);
                    let recurrent = &mut recurrent[..going * width];
                    let before = match step.checked_sub(1) {
                        None => &first[..],
                        Some(step) => {
                            let before = &past[plan.range(step, hidden)][..going * hidden];
                            let left = matrix(before, going, hidden)?;
                            packed.multiply(recurrent, Write::Set, left)?; // [going, 3H]
                            before
                        }
                    };
                    let at = if keeps { begin } else { 0 } * 4 * hidden;
                    gates::forward(
                        &mut now[..going * hidden],
                        &mut gates[at..at + going * 4 * hidden],
                        before,
                        &projected[begin * width..(begin + going) * width],
                        recurrent,
                        [input_bias, recurrent_bias],
                    );
                }
                Ok(())
            })
        })?;
        for (place, row) in plan.order.iter().enumerate() {
            if let Some(step) = self.lengths[*row].checked_sub(1) {
                let at = (plan.steps[step].0 + place) * hidden;
                last[row * hidden..(row + 1) * hidden].copy_from_slice(&states[at..at + hidden]);
            }
        }
        Ok(Activations { x, gates, states })
    }

    /// Back through one layer.
    ///
    /// `for_last [B, H]` is the gradient of the rows' last states, `above [S, H]`, unless it is
    /// empty, that of the states as inputs of the layer above; what comes back is that of the
    /// products `W_ih x`, `[S, 3H]`.
    fn layer_backward(
        weights: &Weights,
        plan: &Plan,
        kept: &Activations,
        for_last: &[f32],
        above: &[f32],
    ) -> Result<Vec<f32>> {
        let (width, hidden) = weights.recurrent.dims2()?;
        let inputs = weights.input.dim(1)?;
        let packed = with_numbers(&weights.recurrent, |weight| {
            Ok(Packed::new(matrix(weight, width, hidden)?))
        })?;
        let mut for_projected = vec![0.0; plan.total * width];
        let mut for_recurrent = vec![0.0; plan.total * width];
        let mut before = vec![0.0; plan.total * hidden];
        let mut for_state = Vec::with_capacity(plan.order.len() * hidden);
        for row in &plan.order {
            for_state.extend_from_slice(&for_last[row * hidden..(row + 1) * hidden]);
        }
        for (step, (begin, going)) in plan.steps.iter().copied().enumerate().rev() {
            let state = &mut for_state[..going * hidden];
            if !above.is_empty() {
                add(state, &above[plan.range(step, hidden)]);
            }
            let before = &mut before[plan.range(step, hidden)];
            if let Some(step) = step.checked_sub(1) {
                let past = &kept.states[plan.range(step, hidden)];
                before.copy_from_slice(&past[..going * hidden]);
            }
            let recurrent = &mut for_recurrent[begin * width..(begin + going) * width];
            gates::backward(
                state,
                &mut for_projected[begin * width..(begin + going) * width],
                recurrent,
                &kept.gates[plan.range(step, 4 * hidden)],
                before,
                hidden,
            );
            if step > 0 {
                let recurrent = matrix(recurrent, going, width)?;
                packed.multiply(state, Write::Add, recurrent)?; // [going, H]
            }
        }
        // Before the first step the state is zero, so its rows add nothing to the weight.
        let begin = plan.steps.first().map_or(0, |(_, going)| *going);
        let past = matrix(&before[begin * hidden..], plan.total - begin, hidden)?;
        let recurrent = matrix(&for_recurrent[begin * width..], plan.total - begin, width)?;
        give(&weights.recurrent, |out| {
            product(out, Write::Set, recurrent.transposed(), past) // [3H, H]
        })?;
        let x = matrix(&kept.x, plan.total, inputs)?;
        let projected = matrix(&for_projected, plan.total, width)?;
        give(&weights.input, |out| {
            product(out, Write::Set, projected.transposed(), x) // [3H, I]
        })?;
        for (bias, gradient) in [
            (&weights.input_bias, &for_projected),
            (&weights.recurrent_bias, &for_recurrent),
        ] {
            give(bias, |out| {
                add_rows(out, gradient);
                Ok(())
            })?;
        }
        Ok(for_projected)
    }

    /// The gradient of some columns of a layer's inputs, `[S, columns]`.
    fn for_inputs(
        weights: &Weights,
        plan: &Plan,
        for_projected: &[f32],
        begin: usize,
        columns: usize,
    ) -> Result<Vec<f32>> {
        let (width, inputs) = weights.input.dims2()?;
        let mut out = vec![0.0; plan.total * columns];
        with_numbers(&weights.input, |weight| {
            let some = weight.get(begin..).unwrap_or_default();
            let Some(weight) = Matrix::strided(some, width, columns, inputs) else {
                candle_core::bail!("columns {begin} to {} of {inputs}", begin + columns);
            };
            let projected = matrix(for_projected, plan.total, width)?;
            product(&mut out, Write::Set, projected, weight)
        })?;
        Ok(out)
    }

    /// Hands the gradient of the looked-up vectors to their tables.
    fn to_tables(
        &self,
        tables: &[(Tensor, Vec<u32>)],
        dropping: Option<Dropping>,
        plan: &Plan,
        for_projected: &[f32],
    ) -> Result<()> {
        let Some(first) = self.layers.first() else {
            return Ok(());
        };
        let inputs = first.input.dim(1)?;
        // The columns between the first and the last table that learns.
        let (mut at, mut columns) = (0, inputs..0);
        for (table, _) in tables {
            let width = table.dim(1)?;
            if table.is_variable() {
                columns = columns.start.min(at)..at + width;
            }
            at += width;
        }
        if columns.is_empty() {
            return Ok(());
        }
        let learnt = columns.len();
        let mut gradient = Self::for_inputs(first, plan, for_projected, columns.start, learnt)?;
        if let Some(dropping) = dropping {
            // The mask of a row is that of all its columns.
            let mut whole = vec![0.0; inputs];
            let mut back = vec![0.0; inputs];
            for (row, place) in gradient
                .chunks_exact_mut(learnt)
                .zip(plan.places(self.time))
            {
                whole[columns.clone()].copy_from_slice(row);
                back.fill(0.0);
                drop_out_backward(&mut back, &whole, dropping.key(place), dropping.rate);
                row.copy_from_slice(&back[columns.clone()]);
            }
        }
        let mut at = 0;
        for (table, identifiers) in tables {
            let (rows, width) = table.dims2()?;
            if table.is_variable() {
                let from = at - columns.start;
                let mut sums = RowGradient::new(rows, width);
                for (row, place) in gradient.chunks_exact(learnt).zip(plan.places(self.time)) {
                    sums.add(identifiers[place] as usize, &row[from..from + width]);
                }
                hand_over(table, Gradient::Rows(sums))?;
            }
            at += width;
        }
        Ok(())
    }
}

/// Makes the gradient of a variable, from zeros, and hands it over.
fn give(variable: &Tensor, make: impl FnOnce(&mut [f32]) -> Result<()>) -> Result<()> {
    if !variable.is_variable() {
        return Ok(());
    }
    let mut out = vec![0.0; variable.elem_count()];
    make(&mut out)?;
    let gradient = Tensor::from_vec(out, variable.shape(), variable.device())?;
    hand_over(variable, Gradient::All(gradient))
}

impl CustomOp1 for Recurrence {
    fn name(&self) -> &'static str {
        "recurrence"
    }

    fn cpu_fwd(&self, argument: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let hidden = self.hidden()?;
        let (batch, time) = (self.lengths.len(), self.time);
        if let Some(length) = self.lengths.iter().find(|length| **length > time) {
            candle_core::bail!("length {length} of a sequence of {time} steps");
        }
        let width = match &self.source {
            Source::Argument | Source::Constant(_) => {
                let shape = match &self.source {
                    Source::Constant(constant) => constant.shape(),
                    _ => layout.shape(),
                };
                let (rows, steps, width) = shape.dims3()?;
                if (rows, steps) != (batch, time) {
                    candle_core::bail!("x [{rows}, {steps}, {width}], {batch} lengths");
                }
                width
            }
            Source::Tables(tables, _) => {
                let mut width = 0;
                for (table, identifiers) in tables {
                    width += table.dim(1)?;
                    if identifiers.len() != batch * time {
                        candle_core::bail!(
                            "{} identifiers for [{batch}, {time}]",
                            identifiers.len()
                        );
                    }
                }
                width
            }
        };
        if self.layers[0].input.dim(1)? != width {
            candle_core::bail!(
                "inputs of width {width}, a weight of shape {:?}",
                self.layers[0].input.dims()
            );
        }
        let plan = Plan::of(&self.lengths);
        let argument = match &self.source {
            Source::Argument => numbers(argument, layout)?,
            _ => &[],
        };
        let mut x = self.inputs(&plan, argument, width)?;
        let mut last = vec![0.0; self.layers.len() * batch * hidden];
        let mut kept = Vec::new();
        for (number, weights) in self.layers.iter().enumerate() {
            let at = number * batch * hidden;
            let last = &mut last[at..at + batch * hidden];
            let activations = self.layer(weights, &plan, x, last)?;
            if self.purpose == Purpose::Scoring {
                x = activations.states;
            } else {
                x = Vec::new();
                if number + 1 < self.layers.len() {
                    x.clone_from(&activations.states);
                }
                kept.push(activations);
            }
        }
        if self.purpose == Purpose::Training {
            *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        }
        let shape = (self.layers.len(), batch, hidden).into();
        Ok((CpuStorage::F32(last), shape))
    }

    fn bwd(&self, argument: &Tensor, _last: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(kept) = kept.as_ref() else {
            candle_core::bail!("the GRU kept nothing to go backward with: it ran for scoring");
        };
        if !gradients::wanted() {
            candle_core::bail!(
                "the GRU hands its gradients to nn::Gradients: call Gradients::of(&loss) instead \
                 of loss.backward()"
            );
        }
        let plan = Plan::of(&self.lengths);
        let size = self.lengths.len() * self.hidden()?;
        with_numbers(gradient, |gradient| {
            let mut above = Vec::new();
            for (number, weights) in self.layers.iter().enumerate().rev() {
                let for_last = &gradient[number * size..(number + 1) * size];
                let for_projected =
                    Self::layer_backward(weights, &plan, &kept[number], for_last, &above)?;
                let inputs = weights.input.dim(1)?;
                match (&self.source, number) {
                    (Source::Constant(_), 0) => {}
                    (Source::Tables(tables, dropping), 0) => {
                        self.to_tables(tables, *dropping, &plan, &for_projected)?;
                    }
                    _ => {
                        above = Self::for_inputs(weights, &plan, &for_projected, 0, inputs)?;
                    }
                }
            }
            if !matches!(self.source, Source::Argument) {
                return Ok(None);
            }
            let width = argument.dim(2)?;
            let mut for_x = vec![0.0; argument.elem_count()];
            for (from, place) in above.chunks_exact(width).zip(plan.places(self.time)) {
                for_x[place * width..(place + 1) * width].copy_from_slice(from);
            }
            let for_x = Tensor::from_vec(for_x, argument.shape(), argument.device())?;
            gradients::carry(argument, for_x)
        })
    }
}

fn matrix(data: &[f32], rows: usize, columns: usize) -> Result<Matrix<'_>> {
    match Matrix::new(data, rows, columns) {
        Some(matrix) => Ok(matrix),
        None => candle_core::bail!("{} numbers for [{rows}, {columns}]", data.len()),
    }
}
