//! AUC over K: the paper's Fig. 3b, with spread and yardsticks.
//!
//! A column of panels for each test domain, a row for each train domain. A yardstick that does not
//! depend on K is a line across.

use std::collections::BTreeSet;

use super::Figure;
use super::chart::{
    ChartPanel, ChartPoint, ChartSeries, FigureChart, Form, metric_of, name_of, view_of,
};
use super::legend::{LegendEntry, Sample};
use super::look::{Look, looks};
use super::panel::shot_ticks;
use crate::report::input::ReportInput;
use crate::report::paper;
use crate::report::view::{MAIN_METRIC, Pair, View};
use crate::results::{Group, System, metric};

/// The registry line.
pub(super) const FIGURE: Figure = Figure {
    name: "auc_by_shots",
    summary: "AUC over the number of training samples, a panel per test domain, with spread over \
              seeds, trivial baselines and the paper's values",
    gather,
};

fn gather(input: &ReportInput<'_>) -> Result<FigureChart, String> {
    let view = view_of(input)?;
    let name = metric_of(&view);
    let mut systems: BTreeSet<System> = BTreeSet::new();
    for pair in view.pairs() {
        systems.extend(view.systems(&pair, &name));
    }
    let systems: Vec<System> = systems.into_iter().collect();
    let looks = looks(&systems);
    let mut panels: Vec<ChartPanel> = Vec::new();
    let mut tests: Vec<String> = Vec::new();
    for pair in view.pairs() {
        let shots: Vec<u64> = view.shots(&pair, &name).into_iter().flatten().collect();
        let series: Vec<ChartSeries> = systems
            .iter()
            .zip(&looks)
            .map(|(system, &look)| series(input, &view, &pair, &name, system, look, &shots))
            .filter(ChartSeries::has_values)
            .collect();
        if shots.is_empty() || !series.iter().any(|one| !one.points.is_empty()) {
            continue;
        }
        let column = column_of(&mut tests, &pair.test);
        panels.push(ChartPanel {
            title: title_of(&pair),
            column,
            line: panels.iter().filter(|panel| panel.column == column).count(),
            x_label: "training samples K (logarithmic scale)".to_owned(),
            ticks: shot_ticks(&shots),
            series,
        });
    }
    let mut chart = FigureChart::new(input, &view, &name, Form::Lines, panels)?;
    chart.title = format!(
        "{}: {} by number of training samples",
        input.experiment,
        name_of(metric::style(&name), &name)
    );
    if view.seeds() > 1 && chart.panels.iter().any(sets_apart) {
        chart
            .subtitle
            .push_str("; systems are set apart at each K to keep bars visible");
    }
    chart.legend = legend_of(&systems, &looks, &chart.panels);
    chart.close_legend();
    Ok(chart)
}

/// The column of a test domain: the place of its first panel.
pub(super) fn column_of(tests: &mut Vec<String>, test: &str) -> usize {
    tests
        .iter()
        .position(|known| known == test)
        .unwrap_or_else(|| {
            tests.push(test.to_owned());
            tests.len() - 1
        })
}

/// Whether more than one system has error bars that could cover each other.
fn sets_apart(panel: &ChartPanel) -> bool {
    let drawn = panel.series.iter();
    drawn
        .filter(|one| !one.trivial && !one.points.is_empty())
        .count()
        > 1
}

fn title_of(Pair { train, test }: &Pair) -> String {
    if train == test {
        test.clone()
    } else {
        // In words: the font has no arrow.
        format!("trained on {train}, tested on {test}")
    }
}

fn series(
    input: &ReportInput<'_>,
    view: &View,
    pair: &Pair,
    metric: &str,
    system: &System,
    look: Look,
    shots: &[u64],
) -> ChartSeries {
    let mut series = ChartSeries {
        name: system.to_string(),
        look,
        trivial: system.group() == Group::Trivial,
        points: Vec::new(),
        level: None,
        paper: Vec::new(),
    };
    for (tick, &k) in shots.iter().enumerate() {
        if let Some(entry) = view.entry(pair, metric, system, Some(k))
            && let Some(point) = ChartPoint::of(&entry, tick)
        {
            if entry.repeated {
                series.level = Some(point);
            } else {
                series.points.push(point);
            }
        }
        if input.show_paper
            && metric == MAIN_METRIC
            && let Some(reported) = paper::reported(system, &pair.train, &pair.test, Some(k))
        {
            series.paper.push((tick, reported.auc_percent));
        }
    }
    series
}

/// The legend's line of each system that has something to show.
fn legend_of(systems: &[System], looks: &[Look], panels: &[ChartPanel]) -> Vec<LegendEntry> {
    let shown = |system: &System, wanted: &dyn Fn(&ChartSeries) -> bool| {
        let name = system.to_string();
        panels
            .iter()
            .flat_map(|panel| &panel.series)
            .any(|series| series.name == name && wanted(series))
    };
    let mut entries: Vec<LegendEntry> = Vec::new();
    // Systems first here: in a figure they are what one looks for, the yardsticks are read once.
    for group in [Group::System, Group::Trivial] {
        for (system, &look) in systems.iter().zip(looks) {
            if system.group() == group && shown(system, &ChartSeries::has_values) {
                entries.push(if shown(system, &ChartSeries::has_own) {
                    LegendEntry::new(look, &system.to_string(), Sample::Line)
                } else {
                    LegendEntry::new(look, &format!("{system}: no result"), Sample::Hollow)
                });
            }
        }
    }
    entries
}
