//! A right matrix packed once for many products: the weight of a recurrence, at every step.

use pulp::Arch;

use super::matrix::{Matrix, Write};
use super::product::{DEPTH, Lanes, Multiply, Pack, Shape, pieces};

/// A matrix `[K, N]` in panels, as [`product`](super::product::product) packs it.
#[derive(Debug)]
pub struct Packed {
    panels: Vec<f32>,
    depths: Vec<(usize, usize)>,
    rows: usize,
    columns: usize,
    shape: Shape,
}

impl Packed {
    /// Packs a matrix that will stand on the right.
    #[must_use]
    pub fn new(right: Matrix<'_>) -> Self {
        let arch = Arch::new();
        let (rows, columns) = right.size();
        let shape = Shape::of(arch.dispatch(Lanes), columns);
        let width = shape.width();
        let count = columns.div_ceil(width);
        let depths: Vec<(usize, usize)> = pieces(rows, DEPTH).collect();
        let mut panels = vec![0.0; count * width * rows];
        let mut rest = panels.as_mut_slice();
        for (row, depth) in depths.iter().copied() {
            for panel in 0..count {
                let (out, after) = std::mem::take(&mut rest).split_at_mut(depth * width);
                rest = after;
                let column = panel * width;
                arch.dispatch(Pack {
                    out,
                    right,
                    row,
                    column,
                    columns: width.min(columns - column),
                    width,
                });
            }
        }
        Self {
            panels,
            depths,
            rows,
            columns,
            shape,
        }
    }

    /// `out [M, N] = left [M, K] · self`, or added to it, on the calling thread.
    ///
    /// # Determinism
    /// That of [`product`](super::product::product), and the same bytes.
    ///
    /// # Errors
    /// If the inner dimensions differ or `out` is not `M · N` long.
    pub fn multiply(
        &self,
        out: &mut [f32],
        write: Write,
        left: Matrix<'_>,
    ) -> candle_core::Result<()> {
        let (m, k) = left.size();
        if k != self.rows || m.checked_mul(self.columns) != Some(out.len()) {
            candle_core::bail!(
                "product of [{m}, {k}] and [{}, {}] into {} numbers",
                self.rows,
                self.columns,
                out.len()
            );
        }
        if k == 0 && write == Write::Set {
            out.fill(0.0);
        }
        if m == 0 || k == 0 || self.columns == 0 {
            return Ok(());
        }
        Arch::new().dispatch(Multiply {
            out,
            stride: self.columns,
            first_column: 0,
            columns: self.columns,
            write,
            left,
            panels: &self.panels,
            depths: &self.depths,
            shape: self.shape,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::product::product;

    #[test]
    fn the_bytes_of_a_product_packed_each_time() {
        let numbers =
            |count: usize| -> Vec<f32> { (0..count).map(|at| (at as f32).sin()).collect() };
        for (m, n, k) in [(1, 1, 1), (32, 192, 64), (7, 65, 900), (33, 1000, 40)] {
            let (left, right) = (numbers(m * k), numbers(k * n + 1));
            let left = Matrix::new(&left, m, k).expect("long enough");
            let straight = Matrix::new(&right, k, n).expect("long enough");
            let turned = Matrix::new(&right[1..], n, k).expect("long enough");
            for right in [straight, turned.transposed()] {
                let (mut one, mut two) = (vec![0.5; m * n], vec![0.5; m * n]);
                let packed = Packed::new(right);
                for write in [Write::Add, Write::Set] {
                    packed.multiply(&mut one, write, left).expect("fits");
                    product(&mut two, write, left, right).expect("fits");
                    assert_eq!(one, two, "[{m}, {n}, {k}]");
                }
                assert!(packed.multiply(&mut one[1..], Write::Set, left).is_err());
            }
        }
    }
}
