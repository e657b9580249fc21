//! A result set as tables and figures look at it: pairs of domains, systems down, K across.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::input::ReportInput;
use super::paper::DOMAINS;
use crate::results::{
    Cell, Group, METRICS, MetricStyle, Summary, System, UNTRAINED, method, metric, natural,
    summarise,
};

/// The metric the paper reports and every report is about first.
pub const MAIN_METRIC: &str = METRICS[0].name;

/// Trained on one domain (or several), tested on another or the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// What the systems were trained on.
    pub train: String,
    /// What they were tested on.
    pub test: String,
}

impl fmt::Display for Pair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.train == UNTRAINED {
            write!(formatter, "untrained → {}", self.test)
        } else {
            write!(formatter, "{} → {}", self.train, self.test)
        }
    }
}

/// What stands in one place of a table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry<'a> {
    /// The cell of the result set it is.
    pub cell: &'a Cell,
    /// The values over seeds.
    pub summary: &'a Summary,
    /// Whether the value does not depend on K and is repeated in every column.
    pub repeated: bool,
}

/// The rows of one experiment and one split, over seeds.
#[derive(Debug)]
pub struct View {
    split: &'static str,
    experiment: String,
    summaries: BTreeMap<Cell, Summary>,
    absent: BTreeSet<System>,
}

impl View {
    /// Looks at the rows of the input's experiment and of one split.
    #[must_use]
    pub fn new(input: &ReportInput<'_>, split: &'static str) -> Self {
        let rows = input.results.rows().iter();
        let summaries =
            summarise(rows.filter(|row| row.experiment == input.experiment && row.split == split));
        let absent = input
            .missing
            .iter()
            .filter_map(|missing| method::find(&missing.what))
            .map(|method| System::new(method.name, None))
            .filter(|system| {
                // A system that has results for some cells has its row already.
                !summaries
                    .keys()
                    .any(|cell| cell.system.method == system.method)
            })
            .collect();
        Self {
            split,
            experiment: input.experiment.clone(),
            summaries,
            absent,
        }
    }

    /// The split.
    #[must_use]
    pub fn split(&self) -> &'static str {
        self.split
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.summaries.is_empty()
    }

    /// All cells and their values over seeds.
    pub fn cells(&self) -> impl Iterator<Item = (&Cell, &Summary)> {
        self.summaries.iter()
    }

    /// The pairs of domains: by test domain in the order of the paper, same domain before others.
    ///
    /// Rows of untrained methods belong to every pair with their test domain; they make a pair of
    /// their own only where nothing was trained.
    #[must_use]
    pub fn pairs(&self) -> Vec<Pair> {
        let all: BTreeSet<(&str, &str)> = self
            .summaries
            .keys()
            .map(|cell| (cell.train_domain.as_str(), cell.test_domain.as_str()))
            .collect();
        let trained = |test: &str| {
            all.iter()
                .any(|&(train, other)| other == test && train != UNTRAINED)
        };
        let mut pairs: Vec<Pair> = all
            .iter()
            .filter(|(train, test)| *train != UNTRAINED || !trained(test))
            .map(|&(train, test)| Pair {
                train: train.to_owned(),
                test: test.to_owned(),
            })
            .collect();
        pairs.sort_by(|left, right| {
            domain_position(&left.test)
                .cmp(&domain_position(&right.test))
                .then_with(|| natural::natural(&left.test, &right.test))
                .then_with(|| (left.train != left.test).cmp(&(right.train != right.test)))
                .then_with(|| domain_position(&left.train).cmp(&domain_position(&right.train)))
                .then_with(|| natural::natural(&left.train, &right.train))
        });
        pairs
    }

    /// The metrics that have rows, in the order of [`METRICS`].
    #[must_use]
    pub fn metrics(&self) -> Vec<String> {
        let all: BTreeSet<&str> = self
            .summaries
            .keys()
            .map(|cell| cell.metric.as_str())
            .collect();
        let mut metrics: Vec<String> = all.into_iter().map(str::to_owned).collect();
        metrics.sort_by_key(|name| metric::position(name));
        metrics
    }

    /// The systems of a pair: trivial baselines, then systems. Those known to be missing have
    /// their place under the main metric.
    #[must_use]
    pub fn systems(&self, pair: &Pair, metric: &str) -> Vec<System> {
        let present = self
            .of_pair(pair, metric)
            .map(|(cell, _)| cell.system.clone());
        let absent = self.absent.iter().filter(|_| metric == MAIN_METRIC);
        let all: BTreeSet<System> = present.chain(absent.cloned()).collect();
        all.into_iter().collect()
    }

    /// The columns of a pair: every K that has rows, or zero-shot alone where none has.
    #[must_use]
    pub fn shots(&self, pair: &Pair, metric: &str) -> Vec<Option<u64>> {
        let all: BTreeSet<u64> = self
            .of_pair(pair, metric)
            .filter_map(|(cell, _)| cell.k)
            .collect();
        if all.is_empty() {
            return vec![None];
        }
        all.into_iter().map(Some).collect()
    }

    /// What is known of a system at K. A system without K stands for every K, and one that is
    /// trained on nothing for every train domain.
    #[must_use]
    pub fn entry(
        &self,
        pair: &Pair,
        metric: &str,
        system: &System,
        k: Option<u64>,
    ) -> Option<Entry<'_>> {
        let find = |train: &str, k: Option<u64>| {
            self.summaries.get_key_value(&Cell {
                experiment: self.experiment.clone(),
                train_domain: train.to_owned(),
                test_domain: pair.test.clone(),
                split: self.split.to_owned(),
                metric: metric.to_owned(),
                system: system.clone(),
                k,
            })
        };
        [pair.train.as_str(), UNTRAINED]
            .into_iter()
            .find_map(|train| {
                let exact = find(train, k).map(|found| (found, false));
                let found = exact.or_else(|| find(train, None).map(|found| (found, true)));
                found.map(|((cell, summary), repeated)| Entry {
                    cell,
                    summary,
                    repeated,
                })
            })
    }

    /// The best trivial baseline at K by mean, with its mean.
    #[must_use]
    pub fn best_trivial(&self, pair: &Pair, metric: &str, k: Option<u64>) -> Option<(System, f64)> {
        let style = metric::style(metric);
        self.systems(pair, metric)
            .into_iter()
            .filter(|system| system.group() == Group::Trivial)
            .filter_map(|system| {
                let mean = self.entry(pair, metric, &system, k)?.summary.mean()?;
                Some((system, mean))
            })
            .reduce(|best, other| {
                if is_better(style, other.1, best.1) {
                    other
                } else {
                    best
                }
            })
    }

    /// The largest number of seeds any cell has.
    #[must_use]
    pub fn seeds(&self) -> usize {
        self.summaries
            .values()
            .map(|summary| summary.seeds.len())
            .max()
            .unwrap_or(0)
    }

    fn of_pair<'a>(
        &'a self,
        pair: &'a Pair,
        metric: &'a str,
    ) -> impl Iterator<Item = (&'a Cell, &'a Summary)> {
        self.summaries.iter().filter(move |(cell, _)| {
            cell.metric == metric
                && cell.test_domain == pair.test
                && (cell.train_domain == pair.train || cell.train_domain == UNTRAINED)
        })
    }
}

/// Whether `one` is better than `other`; never where the metric has no direction.
#[must_use]
pub fn is_better(style: &MetricStyle, one: f64, other: f64) -> bool {
    match style.higher_is_better {
        Some(true) => one > other,
        Some(false) => one < other,
        None => false,
    }
}

fn domain_position(domain: &str) -> usize {
    DOMAINS
        .iter()
        .position(|known| *known == domain)
        .unwrap_or(DOMAINS.len())
}
