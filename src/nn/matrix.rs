//! Matrix products over `f32` slices on the calling thread, without copies for transposes.

use candle_core::{CpuStorage, Layout, Storage, Tensor};

/// A row-major matrix that someone else owns, possibly seen transposed.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// The first `rows · columns` numbers of `data` as a matrix `[rows, columns]`; `None` if
    /// there are fewer.
    #[must_use]
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Option<Self> {
        (rows.checked_mul(columns)? <= data.len()).then_some(Self {
            data,
            rows,
            columns,
            row_stride: columns,
            column_stride: 1,
        })
    }

    /// Rows of `columns` numbers that begin `stride` numbers apart: some columns of a wider matrix.
    #[must_use]
    pub fn strided(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Option<Self> {
        fits(data.len(), rows, columns, stride).then_some(Self {
            data,
            rows,
            columns,
            row_stride: stride,
            column_stride: 1,
        })
    }

    /// The rows from `begin` on, `count` of them; `None` if there are fewer.
    #[must_use]
    pub fn rows(self, begin: usize, count: usize) -> Option<Self> {
        let within = begin.checked_add(count)? <= self.rows;
        // An empty matrix may begin behind the last number.
        let start = if count == 0 {
            0
        } else {
            begin * self.row_stride
        };
        within.then(|| Self {
            data: &self.data[start.min(self.data.len())..],
            rows: count,
            ..self
        })
    }

    /// Its numbers of rows and columns.
    #[must_use]
    pub fn size(self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    /// The same numbers as a matrix `[columns, rows]`.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }
}

/// Whether rows of `columns` numbers `stride` apart fit into `length` numbers.
fn fits(length: usize, rows: usize, columns: usize, stride: usize) -> bool {
    if rows == 0 || columns == 0 {
        return true;
    }
    let end = (rows - 1)
        .checked_mul(stride)
        .and_then(|at| at.checked_add(columns));
    stride >= columns && end.is_some_and(|end| end <= length)
}

/// A place for a row-major matrix, its rows possibly apart.
#[derive(Debug)]
pub struct MatrixMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// Rows of `columns` numbers that begin `stride` numbers apart; `None` if they do not fit.
    #[must_use]
    pub fn strided(
        data: &'a mut [f32],
        rows: usize,
        columns: usize,
        stride: usize,
    ) -> Option<Self> {
        fits(data.len(), rows, columns, stride).then_some(Self {
            data,
            rows,
            columns,
            row_stride: stride,
        })
    }
}

/// Whether a product replaces what is there or is added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// Replace.
    Set,
    /// Add.
    Add,
}

/// `out [M, N] = left [M, K] · right [K, N]`, or added to it.
///
/// # Determinism
/// One thread, fixed order of summation.
///
/// # Errors
/// If the inner dimensions differ or `out` is not `M · N` long.
pub fn multiply(
    out: &mut [f32],
    write: Write,
    left: Matrix<'_>,
    right: Matrix<'_>,
) -> candle_core::Result<()> {
    let (m, n, k) = (left.rows, right.columns, left.columns);
    if right.rows != k || m.checked_mul(n) != Some(out.len()) {
        candle_core::bail!(
            "product of [{m}, {k}] and [{}, {n}] into {} numbers",
            right.rows,
            out.len()
        );
    }
    let mut out = MatrixMut {
        data: out,
        rows: m,
        columns: n,
        row_stride: n,
    };
    multiply_into(&mut out, write, left, right)
}

/// [`multiply`] into rows that may be apart.
///
/// # Determinism
/// One thread, fixed order of summation.
///
/// # Errors
/// If the dimensions do not fit.
pub fn multiply_into(
    out: &mut MatrixMut<'_>,
    write: Write,
    left: Matrix<'_>,
    right: Matrix<'_>,
) -> candle_core::Result<()> {
    let (m, n, k) = (left.rows, right.columns, left.columns);
    if right.rows != k || out.rows != m || out.columns != n {
        candle_core::bail!(
            "product of [{m}, {k}] and [{}, {n}] into [{}, {}]",
            right.rows,
            out.rows,
            out.columns
        );
    }
    if write == Write::Set && k == 0 {
        for row in out.data.chunks_mut(out.row_stride.max(1)).take(m) {
            row[..n].fill(0.0);
        }
    }
    if m == 0 || n == 0 || k == 0 {
        return Ok(());
    }
    #[expect(
        unsafe_code,
        reason = "gemm takes pointers: the makers of `Matrix` checked that all its numbers are \
                  there, transposing only swaps strides, and `MatrixMut` checked the same"
    )]
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.data.as_mut_ptr(),
            1,
            out.row_stride as isize,
            write == Write::Add,
            left.data.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.data.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            1.0_f32,
            1.0_f32,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
    Ok(())
}

/// Adds the rows of `[rows, sums.len()]` into `sums`.
pub fn add_rows(sums: &mut [f32], rows: &[f32]) {
    if sums.is_empty() {
        return;
    }
    for row in rows.chunks_exact(sums.len()) {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += value;
        }
    }
}

/// The numbers of a contiguous CPU storage, for the forward pass of a custom operation.
///
/// # Errors
/// If it is not `f32` or not contiguous.
pub fn numbers<'a>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        (CpuStorage::F32(_), None) => candle_core::bail!("the operation needs contiguous numbers"),
        _ => candle_core::bail!("the operation needs f32 numbers"),
    }
}

/// Hands the numbers of a CPU tensor to `read`, for the backward pass of a custom operation.
///
/// # Errors
/// If it is not `f32` or not on the CPU.
pub fn with_numbers<R>(
    tensor: &Tensor,
    read: impl FnOnce(&[f32]) -> candle_core::Result<R>,
) -> candle_core::Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => read(numbers(storage, layout)?),
        _ => candle_core::bail!("the operation needs numbers on the CPU"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "small whole numbers are exact")]
    fn products_by_hand_in_all_four_orientations() {
        let left = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // [2, 3]
        let right = [1.0, 0.0, 2.0, 1.0, 0.0, 3.0]; // [3, 2]
        let expected = [5.0, 11.0, 14.0, 23.0];
        let transpose = |data: &[f32], rows: usize, columns: usize| -> Vec<f32> {
            let at = |column: usize| (0..rows).map(move |row| row * columns + column);
            (0..columns).flat_map(at).map(|at| data[at]).collect()
        };
        let (left_t, right_t) = (transpose(&left, 2, 3), transpose(&right, 3, 2));
        let lefts = [
            Matrix::new(&left, 2, 3).expect("long enough"),
            Matrix::new(&left_t, 3, 2)
                .expect("long enough")
                .transposed(),
        ];
        let rights = [
            Matrix::new(&right, 3, 2).expect("long enough"),
            Matrix::new(&right_t, 2, 3)
                .expect("long enough")
                .transposed(),
        ];
        for left in lefts {
            for right in rights {
                let mut out = [9.0; 4];
                multiply(&mut out, Write::Set, left, right).expect("shapes agree");
                assert_eq!(out, expected);
                multiply(&mut out, Write::Add, left, right).expect("shapes agree");
                assert_eq!(out, expected.map(|value| 2.0 * value));
            }
        }
        let mut short = [0.0; 3];
        assert!(multiply(&mut short, Write::Set, lefts[0], rights[0]).is_err());
        assert!(multiply(&mut short, Write::Set, lefts[0], lefts[0]).is_err());
        assert!(Matrix::new(&left, 4, 2).is_none());
    }
}
