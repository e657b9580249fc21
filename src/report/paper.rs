//! The numbers the paper reports, for the column beside ours.
//!
//! Paper: Bao et al., "TALLRec: An Effective and Efficient Tuning Framework to Align Large
//! Language Model with Recommendation", RecSys 2023, Table 3 (Table 2 of the first preprint):
//! AUC × 100 on the test split, averaged over five seeds. The values of its figures are not given
//! as numbers, so there are none of them here.

use crate::results::System;

/// One reported number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reported {
    /// Trained and tested on this domain.
    pub domain: &'static str,
    /// Training samples.
    pub k: u64,
    /// Name of the method.
    pub method: &'static str,
    /// AUC × 100, as printed.
    pub auc_percent: f64,
    /// Whether the paper marks it with a dagger: significantly better than all baselines (t-test,
    /// p < 0.01).
    pub dagger: bool,
}

/// The domains in the order of the paper.
pub const DOMAINS: [&str; 2] = ["movie", "book"];

/// How a report cites these numbers.
pub const CITATION: &str = "Bao et al., TALLRec, RecSys 2023, Table 3 (AUC × 100, five seeds)";

const SYSTEMS: [&str; 7] = [
    "gru4rec",
    "caser",
    "sasrec",
    "dros",
    "gru_bert",
    "dros_bert",
    "tallrec",
];

/// Domain, K, the values in the order of `SYSTEMS`, and whether TALLRec has a dagger.
const TABLE_3: [(&str, u64, [f64; 7], bool); 6] = [
    (
        "movie",
        16,
        [49.07, 49.68, 50.43, 50.76, 50.85, 50.21, 67.24],
        true,
    ),
    (
        "movie",
        64,
        [49.87, 51.06, 50.48, 51.54, 51.65, 51.71, 67.48],
        true,
    ),
    (
        "movie",
        256,
        [52.89, 54.20, 52.25, 54.07, 53.44, 53.94, 71.98],
        true,
    ),
    (
        "book",
        16,
        [48.95, 49.84, 49.48, 49.28, 50.07, 50.07, 56.36],
        false,
    ),
    (
        "book",
        64,
        [49.64, 49.72, 50.06, 49.13, 49.64, 48.98, 60.39],
        true,
    ),
    (
        "book",
        256,
        [49.86, 49.57, 50.20, 49.13, 49.79, 50.20, 64.38],
        true,
    ),
];

/// All reported numbers, in the order of the paper.
pub fn all() -> impl Iterator<Item = Reported> {
    TABLE_3.into_iter().flat_map(|(domain, k, values, dagger)| {
        SYSTEMS
            .into_iter()
            .zip(values)
            .map(move |(method, auc_percent)| Reported {
                domain,
                k,
                method,
                auc_percent,
                dagger: dagger && method == "tallrec",
            })
    })
}

/// What the paper reports for a system that was trained and tested on these domains with K
/// samples; none where it reports nothing. Its TALLRec is the variant `AT+RT`.
#[must_use]
pub fn reported(system: &System, train: &str, test: &str, k: Option<u64>) -> Option<Reported> {
    let same_variant = match system.variant.as_deref() {
        None => true,
        Some(variant) => system.method == "tallrec" && variant == "AT+RT",
    };
    if !same_variant || train != test {
        return None;
    }
    all().find(|one| one.domain == test && Some(one.k) == k && one.method == system.method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_number_once_and_daggers_where_the_paper_has_them() {
        assert_eq!(all().count(), 42);
        let daggers: Vec<(&str, u64)> = all()
            .filter(|one| one.dagger)
            .map(|one| (one.domain, one.k))
            .collect();
        assert_eq!(
            daggers,
            [
                ("movie", 16),
                ("movie", 64),
                ("movie", 256),
                ("book", 64),
                ("book", 256)
            ]
        );
        let sum: f64 = all().map(|one| one.auc_percent).sum();
        assert!((sum - 2209.54).abs() < 1e-6, "{sum}");
    }

    #[test]
    fn only_like_is_compared_with_like() {
        let full = System::new("tallrec", Some("AT+RT"));
        let found = reported(&full, "book", "book", Some(16)).expect("in the paper");
        assert!((found.auc_percent - 56.36).abs() < 1e-9 && !found.dagger);
        assert_eq!(reported(&full, "both", "book", Some(16)), None);
        assert_eq!(reported(&full, "book", "book", Some(17)), None);
        let half = System::new("tallrec", Some("AT"));
        assert_eq!(reported(&half, "book", "book", Some(16)), None);
    }
}
