//! AUC by what a system was trained on: the paper's Fig. 4. Trained on books, on films or on both,
//! tested on each.
//!
//! A column of panels for each test domain; a row for each system that was trained on more than
//! one. In a panel a group of bars for each K, a bar for each train domain.

use std::collections::BTreeSet;

use super::Figure;
use super::auc_by_shots::column_of;
use super::chart::{
    ChartPanel, ChartPoint, ChartSeries, FigureChart, Form, metric_of, name_of, view_of,
};
use super::legend::{LegendEntry, Sample};
use super::look::{Hatch, Look, looks};
use super::panel::even_ticks;
use crate::chart::palette::{BLUE, GREEN, ORANGE, SKY_BLUE};
use crate::report::input::ReportInput;
use crate::report::view::{Pair, View};
use crate::report::words;
use crate::results::{Group, System, UNTRAINED, metric};

/// The registry line.
pub(super) const FIGURE: Figure = Figure {
    name: "by_train_domain",
    summary: "AUC by what a system was trained on, a panel per test domain, a group of bars per \
              number of training samples",
    gather,
};

/// Train domains in the order of the paper's figure, each with a look that reads in grey too.
const DOMAINS: [(&str, Look); 3] = [
    ("book", Look::bar(ORANGE, Some(Hatch::Rising))),
    ("movie", Look::bar(BLUE, Some(Hatch::Level))),
    ("both", Look::bar(SKY_BLUE, None)),
];

fn gather(input: &ReportInput<'_>) -> Result<FigureChart, String> {
    let view = view_of(input)?;
    let name = metric_of(&view);
    let pairs = view.pairs();
    let mut systems: BTreeSet<System> = BTreeSet::new();
    let mut trains: Vec<String> = Vec::new();
    for pair in pairs.iter().filter(|pair| pair.train != UNTRAINED) {
        systems.extend(view.systems(pair, &name));
        if !trains.contains(&pair.train) {
            trains.push(pair.train.clone());
        }
    }
    let position = |train: &String| {
        let known = DOMAINS.iter().position(|(domain, _)| domain == train);
        known.unwrap_or(DOMAINS.len())
    };
    trains.sort_by_key(position);
    let transferred: Vec<&System> = systems
        .iter()
        // A yardstick is a line in the panels of the others, whatever its rows say it was trained on.
        .filter(|system| system.group() == Group::System)
        .filter(|system| transfers(&view, &pairs, &name, system))
        .collect();
    if transferred.is_empty() {
        return Err(format!(
            "experiment `{}` has no system that was trained on more than one domain, with a \
             defined {} at any K on the test split",
            input.experiment,
            name_of(metric::style(&name), &name)
        ));
    }
    let mut tests: Vec<String> = Vec::new();
    let mut panels = Vec::new();
    for (line, system) in transferred.iter().enumerate() {
        let mut of_system: Vec<&str> = Vec::new();
        for pair in &pairs {
            if of_system.contains(&pair.test.as_str()) {
                continue;
            }
            of_system.push(&pair.test);
            let column = column_of(&mut tests, &pair.test);
            let subject = Subject {
                view: &view,
                metric: &name,
                system,
                test: &pair.test,
            };
            let title = if transferred.len() > 1 {
                format!("{system}, tested on {}", pair.test)
            } else {
                format!("tested on {}", pair.test)
            };
            panels.push(subject.panel(title, column, line, &trains));
        }
    }
    let mut chart = FigureChart::new(input, &view, &name, Form::Bars, panels)?;
    let of = match transferred.as_slice() {
        [only] => format!("{} of {only}", name_of(metric::style(&name), &name)),
        _ => name_of(metric::style(&name), &name),
    };
    chart.title = format!("{}: {of} by train domain", input.experiment);
    chart.legend = legend(&chart.panels);
    chart.close_legend();
    Ok(chart)
}

/// Whether a test domain has results of the system from more than one train domain.
fn transfers(view: &View, pairs: &[Pair], metric: &str, system: &System) -> bool {
    let mut tests: Vec<&str> = Vec::new();
    for pair in pairs.iter().filter(|pair| pair.train != UNTRAINED) {
        let trained = view.shots(pair, metric).iter().any(|&k| {
            view.entry(pair, metric, system, k)
                .is_some_and(|entry| entry.cell.train_domain == pair.train)
        });
        if trained {
            if tests.contains(&pair.test.as_str()) {
                return true;
            }
            tests.push(&pair.test);
        }
    }
    false
}

struct Subject<'a> {
    view: &'a View,
    metric: &'a str,
    system: &'a System,
    test: &'a str,
}

impl Subject<'_> {
    fn panel(&self, title: String, column: usize, line: usize, trains: &[String]) -> ChartPanel {
        let pair = |train: &str| Pair {
            train: train.to_owned(),
            test: self.test.to_owned(),
        };
        let mut shots: BTreeSet<Option<u64>> = BTreeSet::new();
        for train in trains {
            shots.extend(self.view.shots(&pair(train), self.metric));
        }
        let shots: Vec<Option<u64>> = shots.into_iter().collect();
        let bars = trains.iter().enumerate().map(|(index, train)| {
            let points = shots.iter().enumerate().filter_map(|(tick, &k)| {
                let entry = self.view.entry(&pair(train), self.metric, self.system, k)?;
                ChartPoint::of(&entry, tick)
            });
            ChartSeries {
                name: format!("trained on {train}"),
                look: look(train, index),
                trivial: false,
                points: points.collect(),
                level: None,
                paper: Vec::new(),
            }
        });
        ChartPanel {
            title,
            column,
            line,
            x_label: "training samples K".to_owned(),
            ticks: even_ticks(shots.iter().map(|&k| match k {
                Some(k) => k.to_string(),
                None => words::shots(None),
            })),
            series: bars
                .chain(self.yardsticks(&pair(self.test), &shots))
                .collect(),
        }
    }

    /// Trivial baselines of the test domain, as lines.
    fn yardsticks(&self, pair: &Pair, shots: &[Option<u64>]) -> Vec<ChartSeries> {
        let mut systems = self.view.systems(pair, self.metric);
        systems.retain(|system| system.group() == Group::Trivial);
        let looks = looks(&systems);
        systems
            .iter()
            .zip(looks)
            .map(|(system, look)| {
                let mut series = ChartSeries {
                    name: system.to_string(),
                    look,
                    trivial: true,
                    points: Vec::new(),
                    level: None,
                    paper: Vec::new(),
                };
                for (tick, &k) in shots.iter().enumerate() {
                    if let Some(entry) = self.view.entry(pair, self.metric, system, k)
                        && let Some(point) = ChartPoint::of(&entry, tick)
                    {
                        if entry.cell.k.is_none() {
                            series.level = Some(point);
                        } else {
                            series.points.push(point);
                        }
                    }
                }
                series
            })
            .filter(ChartSeries::has_own)
            .collect()
    }
}

/// A domain that the paper has not is told apart by its hatching.
fn look(train: &str, index: usize) -> Look {
    let known = DOMAINS.iter().find(|(domain, _)| *domain == train);
    let hatches = [Hatch::Crossed, Hatch::Falling];
    known.map_or_else(
        || Look::bar(GREEN, Some(hatches[index % hatches.len()])),
        |(_, look)| *look,
    )
}

fn legend(panels: &[ChartPanel]) -> Vec<LegendEntry> {
    let mut entries: Vec<LegendEntry> = Vec::new();
    for trivial in [false, true] {
        for series in panels.iter().flat_map(|panel| &panel.series) {
            if series.trivial != trivial || entries.iter().any(|entry| entry.text == series.name) {
                continue;
            }
            let sample = if trivial { Sample::Line } else { Sample::Bar };
            entries.push(LegendEntry::new(series.look, &series.name, sample));
        }
    }
    entries
}
