//! Python's `random.seed(42)` followed by `random.shuffle`, which the released code uses.

use rand_mt::Mt;

/// The seed of the released code, set anew before every shuffle, so that the order depends on
/// the length alone.
const SEED: u32 = 42;

/// The order of `count` things after one shuffle: position `i` holds what was at `order[i]`.
///
/// Python seeds its Mersenne Twister by array even from one number, shuffles from the end, and
/// draws below a bound by rejecting numbers of just enough bits.
#[must_use]
pub fn shuffle_order(count: usize) -> Vec<usize> {
    let mut generator = Mt::new_with_key([SEED]);
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        let bound = last as u32 + 1;
        let bits = u32::BITS - bound.leading_zeros();
        let draw = loop {
            let draw = generator.next_u32() >> (u32::BITS - bits);
            if draw < bound {
                break draw as usize;
            }
        };
        order.swap(last, draw);
    }
    order
}

/// The order after three such shuffles of the same list.
#[must_use]
pub fn shuffle_order_three_times(count: usize) -> Vec<usize> {
    let once = shuffle_order(count);
    once.iter().map(|at| once[once[*at]]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `CPython` gives, for every length from the fewest books of a user to beyond a full
    /// history.
    #[test]
    fn orders_are_pythons() {
        let once: [&[usize]; 9] = [
            &[2, 1, 3, 0],
            &[3, 1, 2, 4, 0],
            &[3, 1, 2, 4, 0, 5],
            &[1, 3, 4, 2, 6, 0, 5],
            &[3, 4, 6, 7, 2, 5, 0, 1],
            &[3, 6, 7, 4, 8, 2, 5, 0, 1],
            &[7, 3, 2, 8, 5, 6, 9, 4, 0, 1],
            &[7, 3, 2, 8, 5, 6, 9, 4, 0, 1, 10],
            &[7, 5, 2, 8, 9, 6, 11, 3, 4, 0, 1, 10],
        ];
        let three: [&[usize]; 9] = [
            &[0, 1, 2, 3],
            &[0, 1, 2, 3, 4],
            &[0, 1, 2, 3, 4, 5],
            &[2, 4, 5, 6, 0, 3, 1],
            &[1, 6, 3, 4, 0, 5, 7, 2],
            &[8, 2, 3, 1, 6, 0, 7, 4, 5],
            &[5, 0, 2, 7, 9, 1, 3, 6, 4, 8],
            &[5, 0, 2, 7, 9, 1, 3, 6, 4, 8, 10],
            &[8, 11, 2, 9, 7, 10, 1, 4, 0, 3, 6, 5],
        ];
        for (at, (once, three)) in once.into_iter().zip(three).enumerate() {
            assert_eq!(shuffle_order(at + 4), once);
            assert_eq!(shuffle_order_three_times(at + 4), three);
        }
    }
}
