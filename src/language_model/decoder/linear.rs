//! A linear module of a layer with its adapter, forward and backward.

use candle_core::Result;
use rayon::prelude::*;

use crate::language_model::Dropout;
use crate::language_model::layout::dropout_key;
use crate::nn::matrix::{Matrix, Write, add_rows, multiply};
use crate::nn::product::product;
use crate::nn::vector::{add, drop_out, drop_out_backward, rows_per_task, scale};

/// An adapter's matrices.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lora<'a> {
    /// `[R, I]`.
    pub(super) a: &'a [f32],
    /// `[O, R]`.
    pub(super) b: &'a [f32],
    /// R.
    pub(super) rank: usize,
    /// alpha / r.
    pub(super) scale: f32,
}

/// `y = x Wᵀ + bias + scale · dropout(x) Aᵀ Bᵀ`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Linear<'a> {
    /// `[O, I]`.
    pub(super) weight: &'a [f32],
    /// `[O]`.
    pub(super) bias: Option<&'a [f32]>,
    /// I.
    pub(super) inputs: usize,
    /// O.
    pub(super) outputs: usize,
    /// Its adapter.
    pub(super) lora: Option<Lora<'a>>,
    /// Distinguishes its dropout from that of the other modules of all layers.
    pub(super) number: u64,
}

/// Where the gradients of a module are summed; `None` for what is not trained.
#[derive(Debug, Default)]
pub(super) struct LinearGradients {
    /// `[O, I]`.
    pub(super) weight: Option<Vec<f32>>,
    /// `[O]`.
    pub(super) bias: Option<Vec<f32>>,
    /// `[R, I]` and `[O, R]`.
    pub(super) lora: Option<(Vec<f32>, Vec<f32>)>,
}

impl LinearGradients {
    /// Whether anything of the module is trained.
    pub(super) fn any(&self) -> bool {
        self.weight.is_some() || self.bias.is_some() || self.lora.is_some()
    }
}

/// The rows of a product's input, as dropout knows them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    /// Position of each in its sequence.
    pub(super) positions: &'a [usize],
    /// Stream of each.
    pub(super) streams: &'a [u64],
    /// The dropout of this pass.
    pub(super) dropout: Option<Dropout>,
}

impl Rows<'_> {
    /// What decides the mask of a row's numbers in a module.
    fn key(&self, row: usize, module: u64, seed: u64) -> u64 {
        dropout_key(seed, self.streams[row], module, self.positions[row])
    }

    /// Which rows begin at `begin` for a block.
    fn dropped(&self, out: &mut [f32], x: &[f32], begin: usize, linear: &Linear<'_>) {
        let Some(Dropout { rate, seed }) = self.dropout else {
            return;
        };
        let rows = out.chunks_exact_mut(linear.inputs);
        for (row, (out, x)) in rows.zip(x.chunks_exact(linear.inputs)).enumerate() {
            drop_out(out, x, self.key(begin + row, linear.number, seed), rate);
        }
    }
}

/// `[rows, columns]` of a slice.
pub(super) fn view(data: &[f32], rows: usize, columns: usize) -> Result<Matrix<'_>> {
    match Matrix::new(data, rows, columns) {
        Some(matrix) => Ok(matrix),
        None => candle_core::bail!("{} numbers for [{rows}, {columns}]", data.len()),
    }
}

/// Sums over rows, `[T, O] → [O]`, added to `sums`; by fixed blocks.
pub(super) fn sum_rows(sums: &mut [f32], rows: &[f32]) {
    let width = sums.len().max(1);
    let parts: Vec<Vec<f32>> = rows
        .par_chunks(rows_per_task(width) * width)
        .map(|rows| {
            let mut part = vec![0.0; width];
            add_rows(&mut part, rows);
            part
        })
        .collect();
    for part in &parts {
        add(sums, part);
    }
}

impl Linear<'_> {
    fn task(&self) -> usize {
        rows_per_task(self.inputs)
    }

    /// The output `[T, O]`, and for the way back scale · dropout(x) Aᵀ `[T, R]`.
    pub(super) fn forward(&self, x: &[f32], rows: &Rows<'_>) -> Result<(Vec<f32>, Vec<f32>)> {
        let count = rows.positions.len();
        let mut y = vec![0.0; count * self.outputs];
        let input = view(x, count, self.inputs)?;
        let weight = view(self.weight, self.outputs, self.inputs)?;
        product(&mut y, Write::Set, input, weight.transposed())?;
        if let Some(bias) = self.bias {
            y.par_chunks_mut(rows_per_task(self.outputs) * self.outputs)
                .for_each(|rows| {
                    rows.chunks_exact_mut(self.outputs)
                        .for_each(|row| add(row, bias));
                });
        }
        let mut low = Vec::new();
        if let Some(lora) = self.lora {
            let Lora { rank, .. } = lora;
            low = vec![0.0; count * rank];
            let task = self.task();
            low.par_chunks_mut(task * rank)
                .zip(x.par_chunks(task * self.inputs))
                .enumerate()
                .try_for_each(|(number, (low, x))| {
                    let mut dropped = Vec::new();
                    let x = self.input(&mut dropped, x, number * task, rows);
                    let here = low.len() / rank;
                    let a = view(lora.a, rank, self.inputs)?.transposed();
                    multiply(low, Write::Set, view(x, here, self.inputs)?, a)?;
                    scale(low, lora.scale);
                    Ok::<(), candle_core::Error>(())
                })?;
            let b = view(lora.b, self.outputs, rank)?.transposed();
            product(&mut y, Write::Add, view(&low, count, rank)?, b)?;
        }
        Ok((y, low))
    }

    /// The input of A for rows from `begin` on.
    fn input<'x>(
        &self,
        dropped: &'x mut Vec<f32>,
        x: &'x [f32],
        begin: usize,
        rows: &Rows<'_>,
    ) -> &'x [f32] {
        if rows.dropout.is_none() {
            return x;
        }
        dropped.resize(x.len(), 0.0);
        rows.dropped(dropped, x, begin, self);
        dropped
    }

    /// Adds the gradients of the module's parameters and, if `for_x` is given, writes or adds
    /// that of its input.
    ///
    /// # Shapes
    /// `gradient [T, O], x [T, I], low [T, R], for_x [T, I]`.
    pub(super) fn backward(
        &self,
        gradient: &[f32],
        x: &[f32],
        low: &[f32],
        rows: &Rows<'_>,
        into: &mut LinearGradients,
        for_x: Option<(&mut [f32], Write)>,
    ) -> Result<()> {
        let count = rows.positions.len();
        let incoming = view(gradient, count, self.outputs)?;
        if let Some(into) = &mut into.weight {
            let x = view(x, count, self.inputs)?;
            product(into, Write::Add, incoming.transposed(), x)?; // [O, I]
        }
        if let Some(into) = &mut into.bias {
            sum_rows(into, gradient);
        }
        let mut for_x = for_x;
        if let Some((for_x, write)) = &mut for_x {
            let weight = view(self.weight, self.outputs, self.inputs)?;
            product(for_x, *write, incoming, weight)?; // [T, I]
        }
        let Some(lora) = self.lora else {
            return Ok(());
        };
        let Lora { rank, .. } = lora;
        let mut for_low = vec![0.0; count * rank];
        let b = view(lora.b, self.outputs, rank)?;
        product(&mut for_low, Write::Set, incoming, b)?; // [T, R]
        scale(&mut for_low, lora.scale);
        if let Some((for_a, for_b)) = &mut into.lora {
            let low = view(low, count, rank)?;
            product(for_b, Write::Add, incoming.transposed(), low)?; // [O, R]
            let task = self.task();
            let parts: Result<Vec<Vec<f32>>> = x
                .par_chunks(task * self.inputs)
                .zip(for_low.par_chunks(task * rank))
                .enumerate()
                .map(|(number, (x, for_low))| {
                    let mut dropped = Vec::new();
                    let x = self.input(&mut dropped, x, number * task, rows);
                    let here = for_low.len() / rank;
                    let mut part = vec![0.0; rank * self.inputs];
                    let left = view(for_low, here, rank)?.transposed();
                    multiply(&mut part, Write::Set, left, view(x, here, self.inputs)?)?;
                    Ok(part)
                })
                .collect();
            for part in parts? {
                add(for_a, &part); // [R, I]
            }
        }
        if let Some((for_x, _)) = for_x {
            let task = self.task();
            let a = view(lora.a, rank, self.inputs)?;
            for_x
                .par_chunks_mut(task * self.inputs)
                .zip(for_low.par_chunks(task * rank))
                .enumerate()
                .try_for_each(|(number, (for_x, for_low))| {
                    let left = view(for_low, for_low.len() / rank, rank)?;
                    let Some(Dropout { rate, seed }) = rows.dropout else {
                        return multiply(for_x, Write::Add, left, a);
                    };
                    let mut back = vec![0.0; for_x.len()];
                    multiply(&mut back, Write::Set, left, a)?;
                    let pairs = for_x.chunks_exact_mut(self.inputs);
                    let pairs = pairs.zip(back.chunks_exact(self.inputs));
                    for (row, (for_x, back)) in pairs.enumerate() {
                        let key = rows.key(number * task + row, self.number, seed);
                        drop_out_backward(for_x, back, key, rate);
                    }
                    Ok(())
                })?;
        }
        Ok(())
    }
}
