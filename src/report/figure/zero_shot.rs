//! Without any training sample: the paper's Fig. 3a. Systems that were never tuned on samples of
//! the task, beside the tuned one at few samples.
//!
//! A group of bars for each test domain. The paper's systems that have no result keep their place
//! and are named as missing. The tuned system is that of the comparisons, at the paper's K = 64 or,
//! where that was not run, at the smallest K above it, else the largest.

use std::collections::BTreeSet;

use super::Figure;
use super::chart::{
    ChartPanel, ChartPoint, ChartSeries, FigureChart, Form, metric_of, name_of, view_of,
};
use super::legend::{LegendEntry, Sample};
use super::look::looks;
use super::panel::even_ticks;
use crate::report::evidence::subject;
use crate::report::input::ReportInput;
use crate::report::view::{Entry, Pair, View};
use crate::report::words;
use crate::results::{Group, System, metric};

/// The registry line.
pub(super) const FIGURE: Figure = Figure {
    name: "zero_shot",
    summary: "AUC without training samples, a group of bars per test domain, beside the tuned \
              system at few samples",
    gather,
};

/// The paper's K.
const SHOTS: u64 = 64;

/// The zero-shot systems of the paper's figure.
fn of_the_paper() -> [System; 4] {
    [
        System::new("tallrec", Some("AT")),
        System::new("text_davinci_002", None),
        System::new("text_davinci_003", None),
        System::new("chatgpt", None),
    ]
}

fn gather(input: &ReportInput<'_>) -> Result<FigureChart, String> {
    let view = view_of(input)?;
    let name = metric_of(&view);
    // Trained on the domain they are tested on, or on nothing: what transfers is another figure.
    let mut pairs: Vec<Pair> = view.pairs();
    pairs.retain(|pair| pair.train == pair.test || pair.train == crate::results::UNTRAINED);
    let mut zero_shot: BTreeSet<System> = BTreeSet::new();
    for pair in &pairs {
        for system in view.systems(pair, &name) {
            if untuned(&view, pair, &name, &system).is_some() {
                zero_shot.insert(system);
            }
        }
    }
    if !zero_shot
        .iter()
        .any(|system| system.group() == Group::System)
    {
        return Err(format!(
            "experiment `{}` has no zero-shot system with a defined {} on the test split",
            input.experiment,
            name_of(metric::style(&name), &name)
        ));
    }
    let mut systems = zero_shot.clone();
    // With several backbones, each has an AT of its own.
    let same =
        |one: &System, other: &System| one.method == other.method && one.tuning() == other.tuning();
    let paper = of_the_paper().into_iter();
    systems.extend(paper.filter(|one| !zero_shot.iter().any(|other| same(one, other))));
    let mut systems: Vec<System> = systems.into_iter().collect();
    // The tuned system comes last, under its name with K.
    let tuned = tuned(&view, &pairs, &name);
    if let Some((system, _)) = &tuned {
        systems.push(system.clone());
    }
    let looks = looks(&systems);
    let series: Vec<ChartSeries> = systems
        .iter()
        .zip(&looks)
        .enumerate()
        .map(|(index, (system, &look))| {
            let k = match &tuned {
                Some((_, k)) if index + 1 == systems.len() => Some(*k),
                _ => None,
            };
            let points = pairs.iter().enumerate().filter_map(|(tick, pair)| {
                let entry = match k {
                    Some(_) => view.entry(pair, &name, system, k),
                    None => untuned(&view, pair, &name, system),
                };
                ChartPoint::of(&entry?, tick)
            });
            ChartSeries {
                name: label(system, k),
                look,
                trivial: system.group() == Group::Trivial,
                points: points.collect(),
                level: None,
                paper: Vec::new(),
            }
        })
        .collect();
    // Systems first, as in every figure.
    let mut legend: Vec<LegendEntry> = Vec::new();
    for trivial in [false, true] {
        for one in series.iter().filter(|one| one.trivial == trivial) {
            legend.push(match (one.has_own(), trivial) {
                (true, true) => LegendEntry::new(one.look, &one.name, Sample::Line),
                (true, false) => LegendEntry::new(one.look, &one.name, Sample::Bar),
                (false, _) => LegendEntry::new(
                    one.look,
                    &format!("{}: no result", one.name),
                    Sample::Nothing,
                ),
            });
        }
    }
    let panel = ChartPanel {
        title: String::new(),
        column: 0,
        line: 0,
        x_label: "tested on".to_owned(),
        ticks: even_ticks(pairs.iter().map(|pair| pair.test.clone())),
        series,
    };
    let mut chart = FigureChart::new(input, &view, &name, Form::Bars, vec![panel])?;
    chart.title = format!(
        "{}: {} without training samples",
        input.experiment,
        name_of(metric::style(&name), &name)
    );
    chart.legend = legend;
    chart.close_legend();
    Ok(chart)
}

/// What a system gives without training samples: its row without K or, where it stands at every K
/// of the grid, the one value that all of those have from one stage.
fn untuned<'a>(view: &'a View, pair: &Pair, metric: &str, system: &System) -> Option<Entry<'a>> {
    let defined = |entry: &Entry<'_>| entry.summary.mean().is_some();
    let without = view
        .entry(pair, metric, system, None)
        .filter(|entry| entry.cell.k.is_none());
    if without.is_some() {
        return without.filter(defined);
    }
    let at: Vec<Entry<'_>> = view
        .shots(pair, metric)
        .into_iter()
        .filter_map(|k| view.entry(pair, metric, system, k))
        .collect();
    let mut stages: BTreeSet<crate::base::StageKey> = BTreeSet::new();
    for entry in &at {
        stages.extend(&entry.summary.stages);
    }
    let rows: usize = at.iter().map(|entry| entry.summary.seeds.len()).sum();
    // Of a grid with one cell nobody can tell, but for what is untuned by its name.
    let is_named = system.method == "tallrec" && matches!(system.tuning(), Some("base" | "AT"));
    if stages.len() != 1 || (rows < 2 && !is_named) {
        return None;
    }
    at.into_iter().find(defined)
}

/// The system that comparisons are about, if it was tuned on samples, and the K it is shown at.
fn tuned(view: &View, pairs: &[Pair], metric: &str) -> Option<(System, u64)> {
    let system = pairs.iter().find_map(|pair| subject(view, pair, metric))?;
    let mut shots: BTreeSet<u64> = BTreeSet::new();
    for pair in pairs {
        for k in view.shots(pair, metric).into_iter().flatten() {
            let entry = view.entry(pair, metric, &system, Some(k));
            let is_tuned = untuned(view, pair, metric, &system).is_none();
            if is_tuned && entry.is_some_and(|entry| !entry.repeated) {
                shots.insert(k);
            }
        }
    }
    let k = shots.range(SHOTS..).next().or(shots.last());
    k.map(|&k| (system, k))
}

fn label(system: &System, k: Option<u64>) -> String {
    match k {
        Some(_) => format!("{system}, {}", words::shots(k)),
        None => system.to_string(),
    }
}
