//! What a result set says over seeds: mean, spread, and how much of it is missing.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::method::System;
use super::natural::natural;
use super::row::ResultRow;
use crate::base::StageKey;
use crate::statistics::mean;

/// What seeds are averaged over: all of a row but its seed, value, n and stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Name of the experiment.
    pub experiment: String,
    /// What it was trained on.
    pub train_domain: String,
    /// What it was tested on.
    pub test_domain: String,
    /// `test` or `valid`.
    pub split: String,
    /// Name of the metric.
    pub metric: String,
    /// Method and variant.
    pub system: System,
    /// Training samples, if any.
    pub k: Option<u64>,
}

impl Cell {
    /// The cell a row belongs to.
    #[must_use]
    pub fn of(row: &ResultRow) -> Self {
        Self {
            experiment: row.experiment.clone(),
            train_domain: row.train_domain.clone(),
            test_domain: row.test_domain.clone(),
            split: row.split.clone(),
            metric: row.metric.clone(),
            system: row.system(),
            k: row.k,
        }
    }
}

impl Ord for Cell {
    fn cmp(&self, other: &Self) -> Ordering {
        natural(&self.experiment, &other.experiment)
            .then_with(|| natural(&self.train_domain, &other.train_domain))
            .then_with(|| natural(&self.test_domain, &other.test_domain))
            .then_with(|| natural(&self.split, &other.split))
            .then_with(|| natural(&self.metric, &other.metric))
            .then_with(|| self.system.cmp(&other.system))
            .then_with(|| self.k.cmp(&other.k))
    }
}

impl PartialOrd for Cell {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// One cell over its seeds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    /// Seeds with a row, defined or not, ascending.
    pub seeds: Vec<u64>,
    /// The values of the seeds that have one, in the order of the seeds.
    pub values: Vec<f64>,
    /// The seeds of these values.
    pub defined: Vec<u64>,
    /// Seeds whose value is undefined.
    pub undefined: usize,
    /// The smallest and the largest n of the rows.
    pub n: (u64, u64),
    /// The stages that computed the rows. One for several seeds means that nothing of a seed is in
    /// the value.
    pub stages: BTreeSet<StageKey>,
}

impl Summary {
    /// The mean of the defined values; none if there is none.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        mean::mean(&self.values)
    }

    /// The sample standard deviation (divisor n − 1) of the defined values; none for fewer than
    /// two of them, since one value says nothing about spread, and none where one stage gave the
    /// value for all seeds.
    #[must_use]
    pub fn standard_deviation(&self) -> Option<f64> {
        if self.stages.len() < 2 {
            return None;
        }
        mean::standard_deviation(&self.values)
    }
}

/// Groups rows over seeds. Rows may come in any order; the result does not depend on it.
pub fn summarise<'a>(rows: impl IntoIterator<Item = &'a ResultRow>) -> BTreeMap<Cell, Summary> {
    let mut sorted: Vec<&ResultRow> = rows.into_iter().collect();
    sorted.sort_by_key(|row| row.seed);
    let mut summaries: BTreeMap<Cell, Summary> = BTreeMap::new();
    for row in sorted {
        let summary = summaries.entry(Cell::of(row)).or_insert_with(|| Summary {
            n: (row.n, row.n),
            ..Summary::default()
        });
        summary.seeds.push(row.seed);
        summary.stages.insert(row.stage_key);
        summary.n = (summary.n.0.min(row.n), summary.n.1.max(row.n));
        match row.value {
            Some(value) => {
                summary.values.push(value);
                summary.defined.push(row.seed);
            }
            None => summary.undefined += 1,
        }
    }
    summaries
}
