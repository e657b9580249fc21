//! A table or a figure as an experiment declares it: which, under what name, from which rows.

use std::collections::BTreeMap;

use super::input::ReportInput;
use crate::results::{Group, ResultRow, ResultSet, UNTRAINED};

/// A table or a figure under a name of its own.
#[derive(Debug, Clone)]
pub struct Declared<T: 'static> {
    /// Its name, and the stem of its files.
    pub name: String,
    /// What it is.
    pub of: &'static T,
    /// A title of its own.
    pub title: Option<String>,
    /// The rows it is made from.
    pub only: Only,
    /// Whether the experiment names it; what it does not name is left out where it has nothing to
    /// show.
    pub asked: bool,
}

/// Rows by column: of each column that is named, one of the values; a row that has no value in a
/// column (a baseline without K, trained on nothing) is not chosen by it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Only(pub BTreeMap<String, Vec<String>>);

impl Only {
    /// Whether a row is wanted.
    #[must_use]
    pub fn keeps(&self, row: &ResultRow) -> bool {
        self.0.iter().all(|(column, values)| {
            let is = |value: &str| values.iter().any(|wanted| wanted == value);
            let trained = row.train_domain != UNTRAINED;
            match column.as_str() {
                "method" => is(&row.method),
                "variant" => row
                    .variant
                    .as_deref()
                    .is_none_or(|variant| is(variant) || row.system().tuning().is_none_or(is)),
                "backbone" => row.system().backbone().is_none_or(is),
                "train" => !trained || is(&row.train_domain),
                "test" => is(&row.test_domain),
                "domain" => {
                    is(&row.test_domain) && (!trained || row.train_domain == row.test_domain)
                }
                "k" => row.k.is_none_or(|k| is(&k.to_string())),
                // A yardstick that draws no samples has one seed only, whichever that is.
                "seed" => row.system().group() == Group::Trivial || is(&row.seed.to_string()),
                "metric" => is(&row.metric),
                _ => true,
            }
        })
    }

    fn rows(&self, results: &ResultSet) -> ResultSet {
        let kept = results.rows().iter().filter(|row| self.keeps(row)).cloned();
        // What was a set has no row twice after rows went.
        ResultSet::from_rows(kept).unwrap_or_default()
    }
}

impl<T> Declared<T> {
    /// All of a table or figure, under its own name.
    pub fn plain(name: &str, of: &'static T) -> Self {
        Self {
            name: name.to_owned(),
            of,
            title: None,
            only: Only::default(),
            asked: true,
        }
    }

    /// Does something with the part of an input that it is made from.
    pub fn with<R>(&self, input: &ReportInput<'_>, act: impl FnOnce(&ReportInput<'_>) -> R) -> R {
        let results = self.only.rows(input.results);
        let mut narrowed = ReportInput {
            results: &results,
            ..input.clone()
        };
        narrowed.part.clone_from(&self.name);
        narrowed.title.clone_from(&self.title);
        if let Some(methods) = self.only.0.get("method") {
            let known = |what: &str| crate::results::method::find(what).is_some();
            narrowed
                .missing
                .retain(|missing| methods.contains(&missing.what) || !known(&missing.what));
        }
        act(&narrowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Digest;

    fn row(method: &str, train: &str, k: Option<u64>) -> ResultRow {
        ResultRow {
            experiment: "x".to_owned(),
            method: method.to_owned(),
            variant: None,
            train_domain: train.to_owned(),
            test_domain: "movie".to_owned(),
            k,
            seed: 0,
            split: "test".to_owned(),
            metric: "auc".to_owned(),
            value: Some(0.5),
            n: 10,
            stage_key: Digest::of_bytes(b"x"),
        }
    }

    fn only(column: &str, values: &[&str]) -> Only {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        Only(BTreeMap::from([(column.to_owned(), values)]))
    }

    #[test]
    fn rows_without_a_value_are_not_chosen_by_it() {
        let untrained = row("like_share", UNTRAINED, None);
        let here = row("gru4rec", "movie", Some(64));
        let there = row("gru4rec", "book", Some(16));
        for (only, kept) in [
            (only("k", &["64"]), [true, true, false]),
            (only("k", &[]), [true, false, false]),
            (only("domain", &["movie"]), [true, true, false]),
            (only("train", &["book"]), [true, false, true]),
            (only("method", &["gru4rec"]), [false, true, true]),
            (only("metric", &["uauc"]), [false; 3]),
            (only("seed", &["1"]), [true, false, false]),
            (Only::default(), [true; 3]),
        ] {
            let found = [&untrained, &here, &there].map(|row| only.keeps(row));
            assert_eq!(found, kept, "{only:?}");
        }
    }
}
