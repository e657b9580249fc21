//! Every system at every K, per train and test domain: the paper's Table 3 with what it leaves
//! out beside it.
//!
//! Trivial baselines come first, in italics; the best of several systems in a column is bold,
//! never a baseline, so that bold answers "which model" and the lines below answer "is a model
//! worth it". The
//! paper's number stands in parentheses where there is one for the same case. AUC comes first and
//! in full, other metrics follow in the same form without the paper.

use std::collections::BTreeMap;

use super::Table;
use crate::report::input::{MissingReason, ReportInput};
use crate::report::markdown::{MarkdownTable, one_line};
use crate::report::paper;
use crate::report::view::{Entry, MAIN_METRIC, Pair, View, is_better};
use crate::report::words;
use crate::results::{Group, MetricStyle, System, method, metric};

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
    let shows_paper = blocks.iter().any(|block| block.contains("(paper "));
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
        for system in &self.systems {
            let mut cells = vec![match system.group() {
                Group::Trivial => format!("*{system}*"),
                Group::System => system.to_string(),
            }];
            for (&k, best) in self.shots.iter().zip(&best) {
                cells.push(self.text(system, k, best.as_deref()));
            }
            table.row(cells);
        }
        table
    }

    /// The best mean among several systems as it is shown: what looks equal is a tie.
    fn best(&self, k: Option<u64>) -> Option<String> {
        let systems = self.systems.iter();
        let means: Vec<f64> = systems
            .filter(|system| system.group() == Group::System)
            .filter_map(|system| self.entry(system, k)?.summary.mean())
            .collect();
        if means.len() < 2 {
            return None;
        }
        means
            .into_iter()
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

    /// Metric, unit, split, seeds and what n counts, in one line.
    fn what_it_is(&self) -> String {
        let present: Vec<Entry<'_>> = self.present().map(|(_, _, entry)| entry).collect();
        // What does not depend on K may need one seed only; it does not speak for the rest.
        let own = present.iter().filter(|entry| !entry.repeated);
        let counts = own.map(|entry| entry.summary.seeds.len());
        let (fewest, most) = (counts.clone().min().unwrap_or(1), counts.max().unwrap_or(1));
        let rows = words::rows_behind(present.iter().map(|entry| entry.summary))
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
            "{} ({}{direction}); {} split; {spread}; n = {rows} {}.",
            self.style.heading(self.name),
            self.style.unit,
            self.view.split(),
            self.style.counts,
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
        // Below the main table these were said already.
        if self.name == MAIN_METRIC {
            notes.push(self.how_to_read());
            notes.extend(self.repeated_note());
            notes.extend(self.single_seed_note());
        }
        notes.extend(self.gaps_note());
        notes.extend(self.undefined_note());
        notes.extend(self.not_better_note());
        notes
    }

    fn how_to_read(&self) -> String {
        let of_group = |group: Group| {
            let systems = self.systems.iter();
            systems.filter(|system| system.group() == group).count()
        };
        let italic = if of_group(Group::Trivial) > 0 {
            "italic: trivial baselines"
        } else {
            "no trivial baseline stands beside the systems"
        };
        if of_group(Group::System) > 1 {
            format!("{italic}; bold: the best system of a column, by mean alone")
        } else {
            italic.to_owned()
        }
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
        let gaps = self.per_system(|_, _, entry| entry.is_none());
        (!gaps.is_empty()).then(|| format!("— no result: {}", gaps.join("; ")))
    }

    fn undefined_note(&self) -> Option<String> {
        let undefined =
            self.per_system(|_, _, entry| entry.is_some_and(|entry| entry.summary.undefined > 0));
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
        if self.view.seeds() < 2 {
            return None;
        }
        let single = self.per_system(|_, _, entry| {
            entry.is_some_and(|entry| !entry.repeated && entry.summary.values.len() == 1)
        });
        (!single.is_empty())
            .then(|| format!("no ±: a single value has no spread: {}", single.join("; ")))
    }

    /// The systems with an entry like that, with their K: `Caser (K = 16 and 64)`.
    fn per_system(
        &self,
        wanted: impl Fn(&System, Option<u64>, Option<Entry<'_>>) -> bool,
    ) -> Vec<String> {
        self.systems
            .iter()
            .filter_map(|system| {
                let shots: Vec<Option<u64>> = self
                    .shots
                    .iter()
                    .copied()
                    .filter(|&k| wanted(system, k, self.entry(system, k)))
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

    /// Which systems a reader could replace by a trivial baseline.
    fn not_better_note(&self) -> Option<String> {
        self.style.higher_is_better?;
        let trivial = |k| self.view.best_trivial(self.pair, self.name, k);
        let bars: Vec<(String, Option<u64>)> = self
            .shots
            .iter()
            .filter_map(|&k| {
                let (system, mean) = trivial(k)?;
                Some((format!("{system}, {}", self.style.show(mean)), k))
            })
            .collect();
        let behind = self.per_system(|system, k, entry| {
            let bar = trivial(k).map(|(_, mean)| mean);
            let mean = entry.and_then(|entry| entry.summary.mean());
            system.group() == Group::System
                && matches!((mean, bar), (Some(mean), Some(bar)) if !is_better(self.style, mean, bar))
        });
        (!behind.is_empty()).then(|| {
            format!(
                "not better than the best trivial baseline ({}): {}",
                words::by_shots(&bars, &self.shots),
                behind.join("; ")
            )
        })
    }
}
