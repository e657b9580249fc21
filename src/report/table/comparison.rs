//! Every system at every K, per train and test domain: the paper's Table 3 with what it leaves
//! out beside it.
//!
//! Trivial baselines stand above a rule; the best system of a column is bold, never a baseline,
//! so that bold answers "which model" and the lines below answer "is a model worth it". The
//! paper's number stands in parentheses where there is one for the same case. AUC comes first and
//! in full, other metrics follow in the same form without the paper.

use std::collections::BTreeMap;

use super::Table;
use crate::report::input::{MissingReason, ReportInput};
use crate::report::markdown::{MarkdownTable, one_line};
use crate::report::paper;
use crate::report::view::{Entry, MAIN_METRIC, Pair, View, is_better};
use crate::report::words;
use crate::results::{Group, MetricStyle, Summary, System, method, metric};

/// The registry line.
pub(super) const TABLE: Table = Table {
    name: "comparison",
    summary: "every system at every K on the test split, per train and test domain, with trivial \
              baselines and the paper's values",
    render,
};

fn render(input: &ReportInput<'_>) -> String {
    let view = View::new(input, "test");
    let mut blocks: Vec<String> = Vec::new();
    if view.is_empty() {
        blocks.push(format!(
            "There is nothing to compare: no row of experiment `{}` on the test split.",
            input.experiment
        ));
    }
    for pair in view.pairs() {
        blocks.push(format!("## {pair}"));
        for name in view.metrics() {
            blocks.extend(section(input, &view, &pair, &name));
        }
    }
    let shows_paper = input.show_paper
        && view
            .cells()
            .any(|(cell, _)| cell.metric == MAIN_METRIC && cell.train_domain == cell.test_domain);
    if shows_paper {
        blocks.push(format!(
            "(paper …): {}; † there: significantly better than all baselines (t-test, p < 0.01).",
            paper::CITATION
        ));
    }
    blocks.extend(missing_lines(input));
    blocks.join("\n\n") + "\n"
}

/// The lines that name what has no result: one for each reason.
pub(in crate::report) fn missing_lines(input: &ReportInput<'_>) -> Vec<String> {
    let mut by_reason: BTreeMap<MissingReason, Vec<String>> = BTreeMap::new();
    let mut missing = input.missing.clone();
    missing.sort();
    missing.dedup();
    for one in &missing {
        let name = method::find(&one.what).map_or(one.what.as_str(), |method| method.display);
        let mut words = one_line(name);
        if !one.detail.is_empty() {
            words = format!("{words} ({})", one_line(&one.detail));
        }
        by_reason.entry(one.reason).or_default().push(words);
    }
    by_reason
        .into_iter()
        .map(|(reason, names)| {
            let reason = reason.to_string();
            let mut capital = reason.clone();
            capital[..1].make_ascii_uppercase();
            format!("{capital}: {}.", names.join(", "))
        })
        .collect()
}

/// One metric of one pair: heading, table, and the lines below it.
fn section(input: &ReportInput<'_>, view: &View, pair: &Pair, name: &str) -> Vec<String> {
    let style = metric::style(name);
    let block = Block {
        view,
        pair,
        name,
        style,
        show_paper: input.show_paper && name == MAIN_METRIC,
        shots: view.shots(pair, name),
        systems: view.systems(pair, name),
    };
    let mut blocks = vec![
        format!("### {}", style.heading(name)),
        block.table().render().trim_end().to_owned(),
        block.what_it_is(),
    ];
    let notes = block.notes();
    if !notes.is_empty() {
        blocks.push(
            notes
                .iter()
                .map(|note| format!("- {note}"))
                .collect::<Vec<_>>()
                .join("\n"),
        );
    }
    blocks
}

struct Block<'a> {
    view: &'a View,
    pair: &'a Pair,
    name: &'a str,
    style: &'static MetricStyle,
    show_paper: bool,
    shots: Vec<Option<u64>>,
    systems: Vec<System>,
}

impl Block<'_> {
    fn entry(&self, system: &System, k: Option<u64>) -> Option<Entry<'_>> {
        self.view.entry(self.pair, self.name, system, k)
    }

    fn table(&self) -> MarkdownTable {
        let mut header = vec!["system".to_owned()];
        header.extend(self.shots.iter().map(|&k| words::shots(k)));
        let mut table = MarkdownTable::of_numbers(header);
        let best: Vec<Option<String>> = self.shots.iter().map(|&k| self.best(k)).collect();
        let mut last: Option<Group> = None;
        for system in &self.systems {
            if last.is_some_and(|group| group != system.group()) {
                table.rule();
            }
            last = Some(system.group());
            let mut cells = vec![system.to_string()];
            for (&k, best) in self.shots.iter().zip(&best) {
                cells.push(self.text(system, k, best.as_deref()));
            }
            table.row(cells);
        }
        table
    }

    /// The best mean among the systems as it is shown: what looks equal is a tie.
    fn best(&self, k: Option<u64>) -> Option<String> {
        self.systems
            .iter()
            .filter(|system| system.group() == Group::System)
            .filter_map(|system| self.entry(system, k)?.summary.mean())
            .reduce(|best, mean| {
                if is_better(self.style, mean, best) {
                    mean
                } else {
                    best
                }
            })
            .filter(|_| self.style.higher_is_better.is_some())
            .map(|mean| self.style.show(mean))
    }

    fn text(&self, system: &System, k: Option<u64>, best: Option<&str>) -> String {
        let ours = match self.entry(system, k) {
            None => "—".to_owned(),
            Some(entry) => match entry.summary.mean() {
                None => "undefined".to_owned(),
                Some(mean) => {
                    let mean = self.style.show(mean);
                    let bold = system.group() == Group::System && best == Some(mean.as_str());
                    let spread = entry
                        .summary
                        .standard_deviation()
                        .map(|spread| format!(" ± {}", self.style.show(spread)))
                        .unwrap_or_default();
                    let stars = if bold { "**" } else { "" };
                    format!("{stars}{mean}{spread}{stars}{}", self.seeds_mark(entry, k))
                }
            },
        };
        let paper = self
            .show_paper
            .then(|| paper::reported(system, &self.pair.train, &self.pair.test, k))
            .flatten();
        match paper {
            None => ours,
            Some(paper) => {
                let dagger = if paper.dagger { "†" } else { "" };
                format!("{ours} (paper {:.2}{dagger})", paper.auc_percent)
            }
        }
    }

    /// ` [2/3 seeds]` where fewer seeds have a value than elsewhere in the table.
    fn seeds_mark(&self, entry: Entry<'_>, k: Option<u64>) -> String {
        let (values, of) = (entry.summary.values.len(), self.expected_seeds(entry, k));
        if values < of {
            format!(" [{values}/{of} seeds]")
        } else {
            String::new()
        }
    }

    fn expected_seeds(&self, entry: Entry<'_>, k: Option<u64>) -> usize {
        // What does not depend on K draws no samples, so one seed may be all there is to it.
        if entry.repeated || k.is_none() {
            entry.summary.seeds.len()
        } else {
            self.view.seeds()
        }
    }

    /// Metric, unit, split, seeds and rows in one line.
    fn what_it_is(&self) -> String {
        let summaries: Vec<&Summary> = self.present().map(|(_, _, entry)| entry.summary).collect();
        let seeds = summaries.iter().map(|summary| summary.seeds.len());
        let (fewest, most) = (seeds.clone().min().unwrap_or(0), seeds.max().unwrap_or(0));
        let rows = words::rows_behind(summaries.into_iter())
            .map(|(least, most)| words::range(least, most))
            .unwrap_or_default();
        let spread = if most < 2 {
            "1 seed, so no standard deviation".to_owned()
        } else {
            let plural = words::range(fewest, most);
            format!("mean ± sample standard deviation over {plural} seeds")
        };
        let direction = match self.style.higher_is_better {
            Some(true) => ", higher is better",
            Some(false) => ", lower is better",
            None => "",
        };
        format!(
            "{} ({}{direction}); {} split; {spread}; n = {rows} rows.",
            self.style.heading(self.name),
            self.style.unit,
            self.view.split(),
        )
    }

    fn present(&self) -> impl Iterator<Item = (&System, Option<u64>, Entry<'_>)> {
        self.systems.iter().flat_map(move |system| {
            self.shots
                .iter()
                .filter_map(move |&k| Some((system, k, self.entry(system, k)?)))
        })
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        notes.extend(self.repeated_note());
        notes.extend(self.gaps_note());
        notes.extend(self.undefined_note());
        notes.extend(self.single_seed_note());
        notes.extend(self.not_better_notes());
        notes
    }

    fn repeated_note(&self) -> Option<String> {
        let names: Vec<String> = self
            .systems
            .iter()
            .filter(|system| {
                self.shots
                    .iter()
                    .any(|&k| self.entry(system, k).is_some_and(|entry| entry.repeated))
            })
            .map(ToString::to_string)
            .collect();
        if names.is_empty() || self.shots.len() < 2 {
            return None;
        }
        Some(format!(
            "does not depend on K, same value in every column: {}",
            names.join(", ")
        ))
    }

    fn gaps_note(&self) -> Option<String> {
        let gaps = self.per_system(|entry| entry.is_none());
        (!gaps.is_empty()).then(|| format!("— no result: {}", gaps.join("; ")))
    }

    fn undefined_note(&self) -> Option<String> {
        let undefined =
            self.per_system(|entry| entry.is_some_and(|entry| entry.summary.undefined > 0));
        (!undefined.is_empty()).then(|| {
            format!(
                "undefined for at least one seed, which the mean leaves out: {} ({} is undefined \
                 when {})",
                undefined.join("; "),
                self.style.heading(self.name),
                self.style.undefined_when
            )
        })
    }

    fn single_seed_note(&self) -> Option<String> {
        let most = self
            .present()
            .map(|(_, _, entry)| entry.summary.seeds.len())
            .max()?;
        if most < 2 {
            return None;
        }
        let single =
            self.per_system(|entry| entry.is_some_and(|entry| entry.summary.values.len() == 1));
        (!single.is_empty())
            .then(|| format!("no ±: a single value has no spread: {}", single.join("; ")))
    }

    /// The systems with an entry like that, with their K: `Caser (K = 16 and 64)`.
    fn per_system(&self, wanted: impl Fn(Option<Entry<'_>>) -> bool) -> Vec<String> {
        self.systems
            .iter()
            .filter_map(|system| {
                let shots: Vec<Option<u64>> = self
                    .shots
                    .iter()
                    .copied()
                    .filter(|&k| wanted(self.entry(system, k)))
                    .collect();
                if shots.is_empty() {
                    None
                } else if shots.len() == self.shots.len() {
                    Some(system.to_string())
                } else {
                    Some(format!("{system} at {}", words::all_shots(&shots)))
                }
            })
            .collect()
    }

    /// A line for each K at which a system does not beat the best trivial baseline.
    fn not_better_notes(&self) -> Vec<String> {
        if self.style.higher_is_better.is_none() {
            return Vec::new();
        }
        self.shots
            .iter()
            .filter_map(|&k| {
                let (trivial, bar) = self.view.best_trivial(self.pair, self.name, k)?;
                let behind: Vec<String> = self
                    .systems
                    .iter()
                    .filter(|system| system.group() == Group::System)
                    .filter(|system| {
                        self.entry(system, k)
                            .and_then(|entry| entry.summary.mean())
                            .is_some_and(|mean| !is_better(self.style, mean, bar))
                    })
                    .map(ToString::to_string)
                    .collect();
                (!behind.is_empty()).then(|| {
                    format!(
                        "{}: not better than the best trivial baseline ({trivial}, {}): {}",
                        words::shots(k),
                        self.style.show(bar),
                        behind.join(", ")
                    )
                })
            })
            .collect()
    }
}
