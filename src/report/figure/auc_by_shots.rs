//! AUC over K: the paper's Fig. 3b (and, over pairs of domains, Fig. 4), with spread and
//! yardsticks.
//!
//! A column of panels for each test domain, a row for each train domain; all share one y axis, so
//! that panels compare by eye. Systems are set a little apart at each K, since their error bars
//! would cover each other. A yardstick that does not depend on K is a line across.

use std::collections::BTreeSet;

use plotters::prelude::DrawingBackend;
use plotters::style::RGBColor;

use super::legend::{self, LegendEntry};
use super::look::{Look, looks};
use super::panel::{PanelFrame, ShotAxis, ValueAxis};
use super::{Drawing, Figure};
use crate::chart::canvas::{Align, Canvas, Scene, Writing, draw as draw_scene};
use crate::chart::palette::{INK, QUIET};
use crate::report::error::ReportError;
use crate::report::input::ReportInput;
use crate::report::paper;
use crate::report::view::{MAIN_METRIC, Pair, View};
use crate::results::{Group, System, metric};

const NAME: &str = "auc_by_shots";

/// The registry line.
pub(super) const FIGURE: Figure = Figure {
    name: NAME,
    summary: "AUC over the number of training samples, a panel per test domain, with spread over \
              seeds, trivial baselines and the paper's values",
    draw,
};

/// The AUC of a score that knows nothing.
const CHANCE: f64 = 0.5;
const CHANCE_COLOUR: RGBColor = RGBColor(150, 150, 150);
const PANEL_WIDTH: f64 = 800.0;
const PANEL_HEIGHT: f64 = 660.0;
/// From our marker to the paper's, so that neither covers the other where they agree.
const PAPER_ASIDE: f64 = 8.0;
const MARKER_RADIUS: f64 = 7.0;

fn draw(input: &ReportInput<'_>) -> Result<Drawing, ReportError> {
    let chart = Chart::gather(input).map_err(|missing| ReportError::NothingToDraw {
        figure: NAME,
        missing,
    })?;
    draw_scene(&chart).map_err(|message| ReportError::Drawing {
        figure: NAME,
        message,
    })
}

/// A value with its spread, in the unit of display.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Value {
    k: u64,
    mean: f64,
    spread: Option<f64>,
}

#[derive(Debug, Clone)]
struct Series {
    system: System,
    look: Look,
    points: Vec<Value>,
    /// A value that does not depend on K.
    level: Option<f64>,
    paper: Vec<(u64, f64)>,
}

#[derive(Debug, Clone)]
struct Panel {
    pair: Pair,
    column: usize,
    line: usize,
    shots: ShotAxis,
    series: Vec<Series>,
}

impl Panel {
    /// Whether more than one system has error bars that could cover each other.
    fn sets_apart(&self) -> bool {
        let drawn = self.series.iter();
        drawn
            .filter(|one| one.system.group() == Group::System && !one.points.is_empty())
            .count()
            > 1
    }
}

/// All that is drawn, with nothing left to decide.
#[derive(Debug, Clone)]
struct Chart {
    title: String,
    subtitle: String,
    y_label: String,
    panels: Vec<Panel>,
    columns: usize,
    lines: usize,
    values: ValueAxis,
    legend: Vec<LegendEntry>,
}

impl Chart {
    /// Gathers the chart, or says what is missing.
    fn gather(input: &ReportInput<'_>) -> Result<Self, String> {
        let view = View::new(input, "test");
        if view.is_empty() {
            return Err(format!(
                "experiment `{}` has no row on the test split",
                input.experiment
            ));
        }
        let style = metric::style(MAIN_METRIC);
        let mut systems: BTreeSet<System> = BTreeSet::new();
        for pair in view.pairs() {
            systems.extend(view.systems(&pair, MAIN_METRIC));
        }
        let systems: Vec<System> = systems.into_iter().collect();
        let looks = looks(&systems);
        let mut panels: Vec<Panel> = Vec::new();
        for pair in view.pairs() {
            let shots: Vec<u64> = view
                .shots(&pair, MAIN_METRIC)
                .into_iter()
                .flatten()
                .collect();
            let series: Vec<Series> = systems
                .iter()
                .zip(&looks)
                .map(|(system, &look)| series(input, &view, &pair, system, look, &shots))
                .filter(Series::has_values)
                .collect();
            if shots.is_empty() || !series.iter().any(|one| !one.points.is_empty()) {
                continue;
            }
            let (column, line) = place(&panels, &pair);
            panels.push(Panel {
                pair,
                column,
                line,
                shots: ShotAxis::new(shots),
                series,
            });
        }
        let shown = panels.iter().flat_map(|panel| &panel.series);
        let values = ValueAxis::around(
            shown
                .flat_map(Series::extent)
                .chain(std::iter::once(CHANCE * style.scale)),
        );
        let (false, Some(values)) = (panels.is_empty(), values) else {
            return Err(format!(
                "experiment `{}` has no defined {} at any K on the test split",
                input.experiment, style.display
            ));
        };
        let seeds = view.seeds();
        Ok(Self {
            title: format!(
                "{}: {} by number of training samples",
                input.experiment, style.display
            ),
            subtitle: if seeds < 2 {
                "1 seed, so no spread is shown".to_owned()
            } else {
                let apart = if panels.iter().any(Panel::sets_apart) {
                    "; systems are set apart at each K to keep bars visible"
                } else {
                    ""
                };
                format!("mean over {seeds} seeds, bars: ± 1 sample standard deviation{apart}")
            },
            y_label: format!("{} (test split)", style.heading(MAIN_METRIC)),
            columns: panels
                .iter()
                .map(|panel| panel.column + 1)
                .max()
                .unwrap_or(1),
            lines: panels.iter().map(|panel| panel.line + 1).max().unwrap_or(1),
            legend: legend_of(&systems, &looks, &panels),
            panels,
            values,
        })
    }

    fn legend_top(&self) -> f64 {
        self.lines as f64 * PANEL_HEIGHT + 100.0
    }
}

/// The column of the test domain, and the next free line in it.
fn place(panels: &[Panel], pair: &Pair) -> (usize, usize) {
    let same: Vec<&Panel> = panels
        .iter()
        .filter(|panel| panel.pair.test == pair.test)
        .collect();
    match same.first() {
        Some(first) => (first.column, same.len()),
        None => (
            panels
                .iter()
                .map(|panel| panel.column + 1)
                .max()
                .unwrap_or(0),
            0,
        ),
    }
}

fn series(
    input: &ReportInput<'_>,
    view: &View,
    pair: &Pair,
    system: &System,
    look: Look,
    shots: &[u64],
) -> Series {
    let scale = metric::style(MAIN_METRIC).scale;
    let mut series = Series {
        system: system.clone(),
        look,
        points: Vec::new(),
        level: None,
        paper: Vec::new(),
    };
    for &k in shots {
        if let Some(entry) = view.entry(pair, MAIN_METRIC, system, Some(k))
            && let Some(mean) = entry.summary.mean()
        {
            if entry.repeated {
                series.level = Some(mean * scale);
            } else {
                series.points.push(Value {
                    k,
                    mean: mean * scale,
                    spread: entry
                        .summary
                        .standard_deviation()
                        .map(|spread| spread * scale),
                });
            }
        }
        if input.show_paper
            && let Some(reported) = paper::reported(system, &pair.train, &pair.test, Some(k))
        {
            series.paper.push((k, reported.auc_percent));
        }
    }
    series
}

impl Series {
    fn has_values(&self) -> bool {
        !self.points.is_empty() || self.level.is_some() || !self.paper.is_empty()
    }

    fn is_trivial(&self) -> bool {
        self.system.group() == Group::Trivial
    }

    fn extent(&self) -> Vec<f64> {
        let spreads = self.points.iter().flat_map(|point| {
            let spread = point.spread.unwrap_or(0.0);
            [point.mean - spread, point.mean + spread]
        });
        spreads
            .chain(self.level)
            .chain(self.paper.iter().map(|(_, value)| *value))
            .collect()
    }
}

fn legend_of(systems: &[System], looks: &[Look], panels: &[Panel]) -> Vec<LegendEntry> {
    let shown = |system: &System, wanted: &dyn Fn(&Series) -> bool| {
        panels
            .iter()
            .flat_map(|panel| &panel.series)
            .any(|series| series.system == *system && wanted(series))
    };
    let mut entries: Vec<LegendEntry> = Vec::new();
    // Systems first here: in a figure they are what one looks for, the yardsticks are read once.
    for group in [Group::System, Group::Trivial] {
        for (system, &look) in systems.iter().zip(looks) {
            if system.group() != group || !shown(system, &Series::has_values) {
                continue;
            }
            let ours = shown(system, &|series| {
                !series.points.is_empty() || series.level.is_some()
            });
            entries.push(LegendEntry {
                look,
                text: if ours {
                    system.to_string()
                } else {
                    format!("{system}: no result")
                },
                line: ours,
            });
        }
    }
    entries.push(LegendEntry {
        look: Look {
            colour: CHANCE_COLOUR,
            marker: None,
            dashes: CHANCE_DASHES,
        },
        text: "chance (50)".to_owned(),
        line: true,
    });
    if panels
        .iter()
        .flat_map(|panel| &panel.series)
        .any(|series| !series.paper.is_empty())
    {
        entries.push(LegendEntry {
            look: Look {
                colour: QUIET,
                marker: Some(crate::chart::Marker::Circle),
                dashes: &[],
            },
            text: "hollow: reported in the paper".to_owned(),
            line: false,
        });
    }
    entries
}

const CHANCE_DASHES: &[f64] = &[1.5, 4.5];

impl Scene for Chart {
    fn size(&self) -> (u32, u32) {
        // One panel alone is a little wider than half of two, so that the legend has room.
        let width = (self.columns as f64 * PANEL_WIDTH).max(1000.0);
        let legend = legend::lines(&self.legend, width - 80.0) as f64 * legend::LINE_HEIGHT;
        (width as u32, (self.legend_top() + legend + 24.0) as u32)
    }

    fn paint<B: DrawingBackend>(&self, canvas: &Canvas<B>) -> Result<(), String> {
        let (width, height) = self.size();
        let (width, height) = (f64::from(width), f64::from(height));
        let writing = |size, bold, colour| Writing { size, bold, colour };
        canvas.text(
            &self.title,
            (width / 2.0, 38.0),
            Align::Centre,
            writing(31.0, true, INK),
        )?;
        canvas.text(
            &self.subtitle,
            (width / 2.0, 74.0),
            Align::Centre,
            writing(20.0, false, QUIET),
        )?;
        let step = width / self.columns as f64;
        for panel in &self.panels {
            let left = step * panel.column as f64;
            let top = 90.0 + PANEL_HEIGHT * panel.line as f64;
            let frame = PanelFrame {
                left: left + 110.0,
                top: top + 62.0,
                right: left + step - 30.0,
                bottom: top + PANEL_HEIGHT - 88.0,
                values: self.values,
                shots: panel.shots.clone(),
            };
            let y_label = (panel.column == 0).then_some(self.y_label.as_str());
            frame.paint(canvas, &panel.title(), y_label)?;
            panel.paint(canvas, &frame)?;
        }
        legend::paint(
            canvas,
            &self.legend,
            (40.0, self.legend_top()),
            width - 40.0,
        )?;
        debug_assert!(height > self.legend_top());
        Ok(())
    }
}

impl Panel {
    fn title(&self) -> String {
        let Pair { train, test } = &self.pair;
        if train == test {
            test.clone()
        } else {
            // In words: the font has no arrow.
            format!("trained on {train}, tested on {test}")
        }
    }

    fn paint<B: DrawingBackend>(
        &self,
        canvas: &Canvas<B>,
        frame: &PanelFrame,
    ) -> Result<(), String> {
        let chance = frame.across(CHANCE * metric::style(MAIN_METRIC).scale);
        canvas.line(&chance, CHANCE_COLOUR, 2.0, CHANCE_DASHES)?;
        for series in &self.series {
            if let Some(level) = series.level {
                canvas.line(
                    &frame.across(level),
                    series.look.colour,
                    2.2,
                    series.look.dashes,
                )?;
                if let Some(marker) = series.look.marker {
                    for end in frame.across(level) {
                        let inward = if end.0 > frame.left { -22.0 } else { 22.0 };
                        let at = (end.0 + inward, end.1);
                        canvas.marker(marker, at, MARKER_RADIUS, series.look.colour)?;
                    }
                }
            }
            if series.is_trivial() {
                self.paint_yardstick(canvas, frame, series)?;
            }
        }
        let systems: Vec<&Series> = self
            .series
            .iter()
            .filter(|series| !series.is_trivial())
            .filter(|series| !series.points.is_empty() || !series.paper.is_empty())
            .collect();
        let apart = (frame.tick_distance() * 0.6 / systems.len().max(1) as f64).min(16.0);
        let offset = |index: usize| (index as f64 - (systems.len() as f64 - 1.0) / 2.0) * apart;
        let dodged = || {
            systems
                .iter()
                .enumerate()
                .map(|(index, series)| (offset(index), *series))
        };
        // In layers: no bar or line covers a marker, and no hollow marker one of ours.
        for (shift, series) in dodged() {
            let points: Vec<(f64, f64)> = series
                .points
                .iter()
                .map(|point| (frame.x(point.k) + shift, frame.y(point.mean)))
                .collect();
            if points.len() > 1 {
                canvas.line(&points, series.look.colour, 2.6, series.look.dashes)?;
            }
            for (point, &(x, _)) in series.points.iter().zip(&points) {
                let Some(spread) = point.spread else { continue };
                let (low, high) = (frame.y(point.mean - spread), frame.y(point.mean + spread));
                let colour = series.look.colour;
                canvas.line(&[(x, low), (x, high)], colour, 1.8, &[])?;
                for end in [low, high] {
                    canvas.line(&[(x - 4.5, end), (x + 4.5, end)], colour, 1.8, &[])?;
                }
            }
        }
        for (shift, series) in dodged() {
            if let Some(marker) = series.look.marker {
                for &(k, value) in &series.paper {
                    let at = (frame.x(k) + shift + PAPER_ASIDE, frame.y(value));
                    canvas.hollow_marker(marker, at, MARKER_RADIUS, series.look.colour)?;
                }
            }
        }
        for (shift, series) in dodged() {
            if let Some(marker) = series.look.marker {
                for point in &series.points {
                    let at = (frame.x(point.k) + shift, frame.y(point.mean));
                    canvas.marker(marker, at, MARKER_RADIUS, series.look.colour)?;
                }
            }
        }
        Ok(())
    }

    /// A yardstick that depends on K: a line through its values, which a single K makes level.
    fn paint_yardstick<B: DrawingBackend>(
        &self,
        canvas: &Canvas<B>,
        frame: &PanelFrame,
        series: &Series,
    ) -> Result<(), String> {
        let points: Vec<(f64, f64)> = match series.points.as_slice() {
            [] => return Ok(()),
            [only] if self.shots.shots().len() == 1 => frame.across(only.mean).to_vec(),
            several => several
                .iter()
                .map(|point| (frame.x(point.k), frame.y(point.mean)))
                .collect(),
        };
        canvas.line(&points, series.look.colour, 2.2, series.look.dashes)
    }
}
