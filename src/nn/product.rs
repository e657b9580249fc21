//! Matrix products on all threads of the current pool, with the same bytes on any number of them.

use rayon::prelude::*;

use super::matrix::{Matrix, Write, multiply};

/// Multiplications below which a second thread costs more than it helps.
const SMALL: usize = 1 << 20;

/// `out [M, N] = left [M, K] · right [K, N]`, or added to it, by blocks of rows.
///
/// # Determinism
/// The blocks depend on the sizes alone.
///
/// # Errors
/// If the inner dimensions differ or `out` is not `M · N` long.
pub fn product(
    out: &mut [f32],
    write: Write,
    left: Matrix<'_>,
    right: Matrix<'_>,
) -> candle_core::Result<()> {
    let ((m, k), (_, n)) = (left.size(), right.size());
    let work = m.saturating_mul(n).saturating_mul(k);
    if work < SMALL || m < 32 || m.checked_mul(n) != Some(out.len()) {
        return multiply(out, write, left, right);
    }
    let block = m.div_ceil(8).next_multiple_of(16);
    out.par_chunks_mut(block * n)
        .enumerate()
        .try_for_each(|(number, out)| {
            let rows = out.len() / n;
            match left.rows(number * block, rows) {
                Some(left) => multiply(out, write, left, right),
                None => candle_core::bail!("rows {} + {rows} of {m}", number * block),
            }
        })
}
