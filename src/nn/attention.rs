//! Causal attention of one head over one sequence, forward and backward, without ever holding
//! more than a block of rows of the scores.

use candle_core::Result;

use super::matrix::{Matrix, MatrixMut, Write, multiply_into};
use super::vector::{dot, softmax, softmax_again, softmax_backward};

/// Rows of scores at a time.
const BLOCK: usize = 64;

/// What the queries of one head and one sequence look at.
///
/// # Shapes
/// `prefix_* [P, D]` stand at positions 0..P, `own_* [n, D]` at `P..P + n`. All are row after
/// row without gaps.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// D.
    pub size: usize,
    /// Keys that several sequences share.
    pub prefix_keys: &'a [f32],
    /// Their values.
    pub prefix_values: &'a [f32],
    /// Keys of this sequence alone.
    pub own_keys: &'a [f32],
    /// Their values.
    pub own_values: &'a [f32],
    /// How many positions back a query sees, itself included; all if `None`.
    pub window: Option<usize>,
}

/// Rows of queries that belong together, by position.
#[derive(Debug, Clone, Copy)]
pub struct Queries<'a> {
    /// `[q, D]`, turned and scaled.
    pub queries: &'a [f32],
    /// Their positions, ascending.
    pub positions: &'a [usize],
}

/// Gradients of what the queries looked at; as in [`Context`], to be added to.
#[derive(Debug)]
pub struct ContextGradients<'a> {
    /// Of `prefix_keys`.
    pub prefix_keys: &'a mut [f32],
    /// Of `prefix_values`.
    pub prefix_values: &'a mut [f32],
    /// Of `own_keys`.
    pub own_keys: &'a mut [f32],
    /// Of `own_values`.
    pub own_values: &'a mut [f32],
}

/// A result and its gradient, whose rows may be apart: the columns of one head.
#[derive(Debug, Clone, Copy)]
pub struct Attended<'a> {
    /// What [`forward`] gave, from this head's first column on.
    pub values: &'a [f32],
    /// The gradient of it.
    pub gradient: &'a [f32],
    /// Distance of rows in both.
    pub stride: usize,
}

fn view(data: &[f32], rows: usize, columns: usize) -> Result<Matrix<'_>> {
    match Matrix::new(data, rows, columns) {
        Some(matrix) => Ok(matrix),
        None => candle_core::bail!("{} numbers for [{rows}, {columns}]", data.len()),
    }
}

fn strided(data: &[f32], rows: usize, columns: usize, stride: usize) -> Result<Matrix<'_>> {
    match Matrix::strided(data, rows, columns, stride) {
        Some(matrix) => Ok(matrix),
        None => candle_core::bail!("{} numbers for [{rows}, {columns}]", data.len()),
    }
}

fn place(data: &mut [f32], rows: usize, columns: usize, stride: usize) -> Result<MatrixMut<'_>> {
    let length = data.len();
    match MatrixMut::strided(data, rows, columns, stride) {
        Some(matrix) => Ok(matrix),
        None => candle_core::bail!("{length} numbers for [{rows}, {columns}]"),
    }
}

/// One block of queries: its rows, how many keys of its own it sees, and all keys it sees.
struct Block {
    begin: usize,
    rows: usize,
    prefix: usize,
    own: usize,
    keys: usize,
}

impl Context<'_> {
    fn blocks(&self, positions: &[usize]) -> Result<Vec<Block>> {
        let prefix = self.prefix_keys.len() / self.size.max(1);
        let length = self.own_keys.len() / self.size.max(1);
        let mut blocks = Vec::with_capacity(positions.len().div_ceil(BLOCK));
        for (number, part) in positions.chunks(BLOCK).enumerate() {
            let end = part.last().map_or(0, |last| last + 1);
            if end > prefix + length || !part.is_sorted() {
                candle_core::bail!("a query at position {end} of {}", prefix + length);
            }
            let (prefix, own) = (prefix.min(end), end.saturating_sub(prefix));
            blocks.push(Block {
                begin: number * BLOCK,
                rows: part.len(),
                prefix,
                own,
                keys: prefix + own,
            });
        }
        Ok(blocks)
    }

    /// First and last + 1 position that a query sees.
    fn seen(&self, position: usize) -> (usize, usize) {
        let end = position + 1;
        let begin = self.window.map_or(0, |window| end.saturating_sub(window));
        (begin, end)
    }

    /// `out [rows, keys] = left [rows, D] · [prefix; own]ᵀ`.
    fn against(
        &self,
        out: &mut [f32],
        left: Matrix<'_>,
        block: &Block,
        (prefix, own): (&[f32], &[f32]),
    ) -> Result<()> {
        let Block { rows, keys, .. } = *block;
        if block.prefix > 0 {
            let right = view(prefix, block.prefix, self.size)?.transposed();
            multiply_into(
                &mut place(out, rows, block.prefix, keys)?,
                Write::Set,
                left,
                right,
            )?;
        }
        if block.own > 0 {
            let right = view(own, block.own, self.size)?.transposed();
            let out = &mut out[block.prefix..];
            multiply_into(
                &mut place(out, rows, block.own, keys)?,
                Write::Set,
                left,
                right,
            )?;
        }
        Ok(())
    }

    /// `out [rows, D] = left [rows, keys] · [prefix; own]`.
    fn combine(
        &self,
        out: &mut [f32],
        left: &[f32],
        block: &Block,
        (prefix, own): (&[f32], &[f32]),
    ) -> Result<()> {
        let Block { rows, keys, .. } = *block;
        let mut write = Write::Set;
        if block.prefix > 0 {
            let left = strided(left, rows, block.prefix, keys)?;
            let right = view(prefix, block.prefix, self.size)?;
            multiply_into(
                &mut place(out, rows, self.size, self.size)?,
                write,
                left,
                right,
            )?;
            write = Write::Add;
        }
        if block.own > 0 {
            let left = strided(&left[block.prefix..], rows, block.own, keys)?;
            let right = view(own, block.own, self.size)?;
            multiply_into(
                &mut place(out, rows, self.size, self.size)?,
                write,
                left,
                right,
            )?;
        }
        Ok(())
    }

    /// `[prefix; own] += leftᵀ [keys, rows] · right [rows, D]`.
    fn collect(
        &self,
        (prefix, own): (&mut [f32], &mut [f32]),
        left: &[f32],
        right: Matrix<'_>,
        block: &Block,
    ) -> Result<()> {
        let Block { rows, keys, .. } = *block;
        if block.prefix > 0 {
            let left = strided(left, rows, block.prefix, keys)?.transposed();
            let mut out = place(prefix, block.prefix, self.size, self.size)?;
            multiply_into(&mut out, Write::Add, left, right)?;
        }
        if block.own > 0 {
            let left = strided(&left[block.prefix..], rows, block.own, keys)?.transposed();
            let mut out = place(own, block.own, self.size, self.size)?;
            multiply_into(&mut out, Write::Add, left, right)?;
        }
        Ok(())
    }
}

/// `out [q, D] = softmax(queries · keysᵀ) · values`, and of every row ln Σ e^score.
///
/// # Errors
/// If a query stands behind the last key, or lengths do not fit.
pub fn forward(
    out: &mut [f32],
    log_sums: &mut [f32],
    queries: Queries<'_>,
    context: &Context<'_>,
) -> Result<()> {
    let size = context.size;
    let mut scores = Vec::new();
    for block in context.blocks(queries.positions)? {
        let Block {
            begin, rows, keys, ..
        } = block;
        scores.resize(rows * keys, 0.0);
        let part = begin * size..(begin + rows) * size;
        let asked = view(&queries.queries[part.clone()], rows, size)?;
        context.against(
            &mut scores,
            asked,
            &block,
            (context.prefix_keys, context.own_keys),
        )?;
        let places = queries.positions[begin..]
            .iter()
            .zip(&mut log_sums[begin..]);
        for (row, (position, log_sum)) in scores.chunks_exact_mut(keys).zip(places) {
            let (first, end) = context.seen(*position);
            *log_sum = softmax(&mut row[first..end]);
            row[..first].fill(0.0);
            row[end..].fill(0.0);
        }
        context.combine(
            &mut out[part],
            &scores,
            &block,
            (context.prefix_values, context.own_values),
        )?;
    }
    Ok(())
}

/// Back through [`forward`]: sets `for_queries [q, D]` and adds to the gradients of the context.
///
/// # Errors
/// As [`forward`].
pub fn backward(
    for_queries: &mut [f32],
    into: &mut ContextGradients<'_>,
    queries: Queries<'_>,
    attended: Attended<'_>,
    log_sums: &[f32],
    context: &Context<'_>,
) -> Result<()> {
    let (size, stride) = (context.size, attended.stride);
    let (mut chances, mut slopes) = (Vec::new(), Vec::new());
    for block in context.blocks(queries.positions)? {
        let Block {
            begin, rows, keys, ..
        } = block;
        chances.resize(rows * keys, 0.0);
        slopes.resize(rows * keys, 0.0);
        let part = begin * size..(begin + rows) * size;
        let asked = view(&queries.queries[part.clone()], rows, size)?;
        let keys_of = (context.prefix_keys, context.own_keys);
        let values_of = (context.prefix_values, context.own_values);
        context.against(&mut chances, asked, &block, keys_of)?;
        let gradient = strided(&attended.gradient[begin * stride..], rows, size, stride)?;
        context.against(&mut slopes, gradient, &block, values_of)?;
        for row in 0..rows {
            let chances = &mut chances[row * keys..(row + 1) * keys];
            let slopes = &mut slopes[row * keys..(row + 1) * keys];
            let (first, end) = context.seen(queries.positions[begin + row]);
            let at = (begin + row) * stride;
            let along = dot(
                &attended.values[at..at + size],
                &attended.gradient[at..at + size],
            );
            for outside in [0..first, end..keys] {
                chances[outside.clone()].fill(0.0);
                slopes[outside].fill(0.0);
            }
            softmax_again(&mut chances[first..end], log_sums[begin + row]);
            softmax_backward(&mut slopes[first..end], &chances[first..end], along);
        }
        context.collect(
            (&mut *into.prefix_values, &mut *into.own_values),
            &chances,
            gradient,
            &block,
        )?;
        context.combine(&mut for_queries[part], &slopes, &block, keys_of)?;
        context.collect(
            (&mut *into.prefix_keys, &mut *into.own_keys),
            &slopes,
            asked,
            &block,
        )?;
    }
    Ok(())
}
