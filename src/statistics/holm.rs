//! Holm's correction for many comparisons at once.

/// Adjusts p-values (Holm 1979): at most a share `alpha` of whole families has any adjusted p
/// below `alpha` by chance alone, whatever the tests have to do with each other.
///
/// Comparisons without a p-value keep none and are not counted: a test that was silent made no
/// claim that could be wrong. Same as R's `p.adjust(method = "holm")`.
#[must_use]
pub fn adjust(p_values: &[Option<f64>]) -> Vec<Option<f64>> {
    let mut order: Vec<(usize, f64)> = p_values
        .iter()
        .enumerate()
        .filter_map(|(at, p)| Some((at, (*p)?)))
        .collect();
    order.sort_by(|one, two| one.1.total_cmp(&two.1));
    let count = order.len();
    let mut adjusted = vec![None; p_values.len()];
    let mut largest = 0.0_f64;
    for (rank, (at, p)) in order.into_iter().enumerate() {
        largest = largest.max(p * (count - rank) as f64).min(1.0);
        adjusted[at] = Some(largest);
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn by_hand() {
        // p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") of R.
        let found = adjust(&[Some(0.01), None, Some(0.04), Some(0.03), Some(0.005)]);
        let expected = [Some(0.03), None, Some(0.06), Some(0.06), Some(0.02)];
        for (found, expected) in found.iter().zip(expected) {
            match (found, expected) {
                (Some(found), Some(expected)) => assert!((found - expected).abs() < 1e-15),
                (found, expected) => assert_eq!(*found, expected),
            }
        }
        assert_eq!(adjust(&[Some(0.03)]), [Some(0.03)]);
        assert_eq!(adjust(&[]), []);
    }

    proptest! {
        #[test]
        fn never_smaller_never_out_of_order(
            values in proptest::collection::vec(0.0_f64..=1.0, 1..20),
        ) {
            let p: Vec<Option<f64>> = values.iter().copied().map(Some).collect();
            let adjusted: Vec<f64> = adjust(&p).into_iter().flatten().collect();
            let count = values.len() as f64;
            for (at, value) in values.iter().enumerate() {
                prop_assert!(adjusted[at] >= *value && adjusted[at] <= (value * count).min(1.0));
                for (other, less) in values.iter().enumerate() {
                    prop_assert!(less > value || adjusted[other] <= adjusted[at]);
                }
            }
        }
    }
}
