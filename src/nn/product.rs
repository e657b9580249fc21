//! Matrix products on all threads of the current pool, with the same bytes on any number of them.
//!
//! The right matrix is packed into panels of a few vectors' width, a part of it at a time, by all
//! threads together; then every thread multiplies some rows of the left matrix, which is read
//! where it lies.

use std::cell::RefCell;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::matrix::{Matrix, Write, multiply};

/// Rows of the left matrix that are multiplied at once.
const MR: usize = 8;
/// Longest piece of a sum; pieces are added one after the other.
pub(super) const DEPTH: usize = 384;
/// Numbers of the right matrix that are packed at once: a part of the last cache.
const PACKED: usize = 1 << 18;
/// Columns that are packed together at least.
const WIDE: usize = 768;
/// Numbers of the packed matrix that stay in the second cache while rows pass by.
const NEAR: usize = 1 << 17;
/// Multiplications that are worth a task.
const TASK: usize = 1 << 19;

thread_local! {
    static PANELS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    static ROWS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Numbers of columns in a panel, a whole number of vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    lanes: usize,
    vectors: usize,
}

impl Shape {
    /// The widest panel that does not waste more on the last panel than it gains.
    pub(super) fn of(lanes: usize, columns: usize) -> Self {
        // Sixteen lanes come with 32 registers, fewer with 16.
        let choices: &[(usize, usize)] = if lanes >= 16 {
            &[(3, 100), (2, 105), (1, 135)]
        } else {
            &[(1, 100)]
        };
        let cost =
            |(vectors, cost): &&(usize, usize)| columns.next_multiple_of(vectors * lanes) * cost;
        let best = choices.iter().min_by_key(cost);
        Self {
            lanes,
            vectors: best.map_or(1, |(vectors, _)| *vectors),
        }
    }

    pub(super) fn width(self) -> usize {
        self.lanes * self.vectors
    }
}

pub(super) struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "must be compiled with its caller's features"
    )]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

/// Cuts `0..length` into pieces of nearly the same size, at most `most` each.
pub(super) fn pieces(length: usize, most: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
    let count = length.div_ceil(most).max(1);
    let size = length.div_ceil(count).max(1);
    (0..length)
        .step_by(size)
        .map(move |at| (at, size.min(length - at)))
}

/// Packs some rows of some columns, `[depth, width]` with zeros behind the last column.
pub(super) struct Pack<'a> {
    pub(super) out: &'a mut [f32],
    pub(super) right: Matrix<'a>,
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) columns: usize,
    pub(super) width: usize,
}

impl WithSimd for Pack<'_> {
    type Output = ();

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "must be compiled with its caller's features"
    )]
    fn with_simd<S: Simd>(self, _: S) {
        let Self {
            out,
            right,
            row,
            column,
            columns,
            width,
        } = self;
        if columns < width {
            out.fill(0.0);
        }
        if right.column_stride == 1 {
            for (number, out) in out.chunks_exact_mut(width).enumerate() {
                let at = (row + number) * right.row_stride + column;
                out[..columns].copy_from_slice(&right.data[at..at + columns]);
            }
            return;
        }
        // Whole rows of what is transposed, eight side by side: the reads run along memory.
        let depth = out.len() / width;
        let from = |number: usize| {
            let at = (column + number) * right.column_stride + row;
            &right.data[at..at + depth]
        };
        let mut number = 0;
        while number + 8 <= columns {
            let rows: [&[f32]; 8] = std::array::from_fn(|next| from(number + next));
            for (at, out) in out.chunks_exact_mut(width).enumerate() {
                let out = &mut out[number..number + 8];
                for (out, row) in out.iter_mut().zip(&rows) {
                    *out = row[at];
                }
            }
            number += 8;
        }
        for number in number..columns {
            for (out, from) in out[number..].iter_mut().step_by(width).zip(from(number)) {
                *out = *from;
            }
        }
    }
}

/// Multiplies some rows with packed panels.
pub(super) struct Multiply<'a> {
    pub(super) out: &'a mut [f32],
    pub(super) stride: usize,
    pub(super) first_column: usize,
    pub(super) columns: usize,
    pub(super) write: Write,
    pub(super) left: Matrix<'a>,
    pub(super) panels: &'a [f32],
    /// The pieces of the depth that were packed, and whether the first of all is among them.
    pub(super) depths: &'a [(usize, usize)],
    pub(super) shape: Shape,
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "must be compiled with its caller's features"
    )]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.shape.vectors {
            1 => self.run::<S, 1>(simd),
            2 => self.run::<S, 2>(simd),
            _ => self.run::<S, 3>(simd),
        }
    }
}

impl Multiply<'_> {
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "must be compiled with its caller's features"
    )]
    fn run<S: Simd, const NV: usize>(self, simd: S) {
        let width = NV * S::F32_LANES;
        let mut copied = ROWS.take();
        let count = self.columns.div_ceil(width);
        // Panels of one piece of the depth follow each other.
        let mut panels = self.panels;
        for (at, piece) in self.depths.iter().copied() {
            let (here, after) = panels.split_at(piece * width * count);
            panels = after;
            let write = if at == 0 { self.write } else { Write::Add };
            let near = (NEAR / (piece * width)).max(1);
            for (group, panels) in here.chunks(near * piece * width).enumerate() {
                for row in (0..self.left.rows).step_by(MR) {
                    let rows = MR.min(self.left.rows - row);
                    let straight = self.left.column_stride == 1;
                    if !straight {
                        copied.resize(MR * piece, 0.0);
                        let begin = row + at * self.left.column_stride;
                        let (copied, _) = copied.as_chunks_mut::<MR>();
                        for (number, out) in copied.iter_mut().enumerate() {
                            let begin = begin + number * self.left.column_stride;
                            let from = &self.left.data[begin..begin + rows];
                            if let Ok(from) = <&[f32; MR]>::try_from(from) {
                                *out = *from;
                            } else {
                                out[..rows].copy_from_slice(from);
                            }
                        }
                    }
                    let block: [&[f32]; MR] = std::array::from_fn(|number| {
                        if straight {
                            let at = (row + number.min(rows - 1)) * self.left.row_stride + at;
                            &self.left.data[at..at + piece]
                        } else {
                            &[]
                        }
                    });
                    for (number, panel) in panels.chunks_exact(piece * width).enumerate() {
                        let sums = if straight {
                            tile::<S, NV>(simd, block, panel)
                        } else {
                            tile_packed::<S, NV>(simd, &copied, panel)
                        };
                        let column = (group * near + number) * width;
                        let used = width.min(self.columns - column);
                        let column = self.first_column + column;
                        for (number, sums) in sums.iter().enumerate().take(rows) {
                            let at = (row + number) * self.stride + column;
                            let out = &mut self.out[at..at + used];
                            if used == width {
                                let (out, _) = S::as_mut_simd_f32s(out);
                                for (out, sum) in out.iter_mut().zip(sums) {
                                    *out = match write {
                                        Write::Set => *sum,
                                        Write::Add => simd.add_f32s(*out, *sum),
                                    };
                                }
                            } else {
                                let sums: &[f32] = pulp::bytemuck::cast_slice(sums);
                                for (out, sum) in out.iter_mut().zip(sums) {
                                    *out = match write {
                                        Write::Set => *sum,
                                        Write::Add => *out + sum,
                                    };
                                }
                            }
                        }
                    }
                }
            }
        }
        ROWS.set(copied);
    }
}

/// `[MR, width]` sums of one piece of the depth.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "must be compiled with its caller's features"
)]
fn tile<S: Simd, const NV: usize>(
    simd: S,
    rows: [&[f32]; MR],
    panel: &[f32],
) -> [[S::f32s; NV]; MR] {
    let (panel, _) = S::as_simd_f32s(panel);
    let (panel, _) = panel.as_chunks::<NV>();
    // Of the panel's length, so that no bounds are checked below.
    let mut rows = rows;
    for row in &mut rows {
        *row = &row[..panel.len()];
    }
    let mut sums = [[simd.splat_f32s(0.0); NV]; MR];
    for (at, columns) in panel.iter().enumerate() {
        for (row, sums) in rows.iter().zip(&mut sums) {
            let factor = simd.splat_f32s(row[at]);
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum = simd.mul_add_e_f32s(factor, *column, *sum);
            }
        }
    }
    sums
}

/// [`tile`] of rows that lie number by number, `[depth, MR]`.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "must be compiled with its caller's features"
)]
fn tile_packed<S: Simd, const NV: usize>(
    simd: S,
    rows: &[f32],
    panel: &[f32],
) -> [[S::f32s; NV]; MR] {
    let (panel, _) = S::as_simd_f32s(panel);
    let (panel, _) = panel.as_chunks::<NV>();
    let (rows, _) = rows.as_chunks::<MR>();
    let mut sums = [[simd.splat_f32s(0.0); NV]; MR];
    for (row, columns) in rows.iter().zip(panel) {
        for (number, sums) in row.iter().zip(&mut sums) {
            let factor = simd.splat_f32s(*number);
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum = simd.mul_add_e_f32s(factor, *column, *sum);
            }
        }
    }
    sums
}

/// `out [M, N] = left [M, K] · right [K, N]`, or added to it.
///
/// # Determinism
/// A number of the result is a sum of fused multiply-adds in the order of K, cut into pieces that
/// depend on K alone: the same bytes with any number of threads, vectors of any width, and
/// whatever other rows and columns the matrices have.
///
/// # Errors
/// If the inner dimensions differ or `out` is not `M · N` long.
pub fn product(
    out: &mut [f32],
    write: Write,
    left: Matrix<'_>,
    right: Matrix<'_>,
) -> candle_core::Result<()> {
    let (m, n, k) = (left.rows, right.columns, left.columns);
    if m == 0 || n == 0 || k == 0 || right.rows != k || m.checked_mul(n) != Some(out.len()) {
        // Nothing to do, zeros, or an error that is reported there.
        return multiply(out, write, left, right);
    }
    let arch = Arch::new();
    let lanes = arch.dispatch(Lanes);
    let shape = Shape::of(lanes, n);
    let width = shape.width();
    let mut panels = PANELS.take();
    let depths: Vec<(usize, usize)> = pieces(k, DEPTH).collect();
    let together = (PACKED / (n.min(WIDE) * DEPTH)).max(1);
    let wide = (PACKED / k.clamp(1, DEPTH * together))
        .max(WIDE)
        .next_multiple_of(width);
    for (column, columns) in pieces(n, wide) {
        for depths in depths.chunks(together) {
            let count = columns.div_ceil(width);
            let depth: usize = depths.iter().map(|(_, piece)| piece).sum();
            panels.resize(count * width * depth, 0.0);
            let mut places = Vec::with_capacity(count * depths.len());
            let mut rest = panels.as_mut_slice();
            for (row, depth) in depths.iter().copied() {
                for panel in 0..count {
                    let (out, after) = std::mem::take(&mut rest).split_at_mut(depth * width);
                    rest = after;
                    let at = panel * width;
                    places.push(Pack {
                        out,
                        right,
                        row,
                        column: column + at,
                        columns: width.min(columns - at),
                        width,
                    });
                }
            }
            let tasks = (m * columns * depth / TASK).clamp(1, m.div_ceil(MR));
            if tasks == 1 {
                for place in places {
                    arch.dispatch(place);
                }
            } else {
                places
                    .into_par_iter()
                    .with_min_len(4)
                    .for_each(|place| arch.dispatch(place));
            }
            let rows_of = |out: &mut [f32], left| {
                arch.dispatch(Multiply {
                    out,
                    stride: n,
                    first_column: column,
                    columns,
                    write,
                    left,
                    panels: &panels,
                    depths,
                    shape,
                });
            };
            if tasks == 1 {
                rows_of(out, left);
                continue;
            }
            let size = m.div_ceil(tasks.min(16)).next_multiple_of(MR);
            out.par_chunks_mut(size * n)
                .enumerate()
                .for_each(|(number, out)| {
                    if let Some(left) = left.rows(number * size, out.len() / n) {
                        rows_of(out, left);
                    }
                });
        }
    }
    PANELS.set(panels);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_to_plain_sums_in_all_shapes_and_orientations() {
        let number = |at: usize, of: usize| ((at * 7919 + of) % 101) as f32 / 50.0 - 1.0;
        for (m, n, k) in [
            (1, 1, 1),
            (3, 5, 7),
            (8, 48, 384),
            (9, 49, 385),
            (70, 33, 900),
            (200, 150, 97),
            (17, 1000, 40),
        ] {
            let left: Vec<f32> = (0..m * k).map(|at| number(at, 3)).collect();
            let right: Vec<f32> = (0..k * n).map(|at| number(at, 11)).collect();
            for (left_turned, right_turned) in
                [(false, false), (true, false), (false, true), (true, true)]
            {
                let view = |data, rows, columns, turned| {
                    if turned {
                        Matrix::new(data, columns, rows).map(Matrix::transposed)
                    } else {
                        Matrix::new(data, rows, columns)
                    }
                };
                let at = |data: &[f32], row, column, rows, columns, turned| {
                    f64::from(if turned {
                        data[column * rows + row]
                    } else {
                        data[row * columns + column]
                    })
                };
                let most = 1e-6 * (k as f64 + 10.0);
                let left_view = view(&left, m, k, left_turned).expect("long enough");
                let right_view = view(&right, k, n, right_turned).expect("long enough");
                let mut out = vec![0.5; m * n];
                product(&mut out, Write::Add, left_view, right_view).expect("shapes agree");
                let mut again = vec![0.5; m * n];
                product(&mut again, Write::Set, left_view, right_view).expect("shapes agree");
                for row in 0..m {
                    for column in 0..n {
                        let exact: f64 = (0..k)
                            .map(|depth| {
                                at(&left, row, depth, m, k, left_turned)
                                    * at(&right, depth, column, k, n, right_turned)
                            })
                            .sum();
                        let found = f64::from(out[row * n + column]) - 0.5;
                        assert!(
                            (found - exact).abs() < most,
                            "[{m}, {n}, {k}] {found} {exact}"
                        );
                        let found = f64::from(again[row * n + column]);
                        assert!(
                            (found - exact).abs() < most,
                            "[{m}, {n}, {k}] {found} {exact}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn bytes_do_not_depend_on_threads_or_on_other_rows() {
        let (m, n, k) = (300, 130, 700);
        let left: Vec<f32> = (0..m * k).map(|at| (at as f32).sin()).collect();
        let right: Vec<f32> = (0..k * n).map(|at| (at as f32).cos()).collect();
        let right = Matrix::new(&right, k, n).expect("long enough");
        let of_rows = |rows: usize, threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let mut out = vec![0.0; rows * n];
            let left = Matrix::new(&left, rows, k).expect("long enough");
            pool.expect("threads")
                .install(|| product(&mut out, Write::Set, left, right))
                .expect("shapes agree");
            out
        };
        let one = of_rows(m, 1);
        assert_eq!(one, of_rows(m, 2));
        assert_eq!(one, of_rows(m, 3));
        assert_eq!(one[..5 * n], of_rows(5, 2));
    }
}
