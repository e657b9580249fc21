//! What every figure of a report is drawn from: panels of series over ticks, as lines or as bars.
//!
//! A figure gathers one of these from an input and decides nothing about ink; the same chart
//! becomes a PNG, an SVG and, on the page, a drawing one can point at. All panels share one y
//! axis, so that they compare by eye.

use plotters::prelude::DrawingBackend;
use plotters::style::RGBColor;

use super::legend::{self, LegendEntry, Sample};
use super::look::Look;
use super::panel::{PanelFrame, ValueAxis};
use crate::chart::canvas::{Align, Canvas, Scene, Writing};
use crate::chart::palette::{INK, QUIET, VERMILLION};
use crate::chart::{Dashes, Marker};
use crate::report::input::ReportInput;
use crate::report::view::{Entry, MAIN_METRIC, View};
use crate::results::{Cell, MetricStyle, metric};

/// The AUC of a score that knows nothing.
const CHANCE: f64 = 0.5;
const CHANCE_COLOUR: RGBColor = RGBColor(150, 150, 150);
const CHANCE_DASHES: &[f64] = &[1.5, 4.5];
pub(super) const PANEL_WIDTH: f64 = 800.0;
pub(super) const PANEL_HEIGHT: f64 = 660.0;

/// How values are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Markers joined by lines.
    Lines,
    /// Bars side by side at each tick, from chance up or down.
    Bars,
}

/// All that is drawn, with nothing left to decide.
#[derive(Debug, Clone)]
pub struct FigureChart {
    /// What is shown.
    pub title: String,
    /// What to know about it.
    pub subtitle: String,
    /// Whether the rows are no one set, which the tables' last lines explain.
    pub with_care: bool,
    /// What y is, with its unit.
    pub y_label: String,
    /// Lines or bars.
    pub form: Form,
    /// The panels.
    pub panels: Vec<ChartPanel>,
    /// The value of guessing, in the unit of display, where the metric has one.
    pub chance: Option<f64>,
    pub(super) values: ValueAxis,
    pub(super) legend: Vec<LegendEntry>,
}

/// One panel.
#[derive(Debug, Clone)]
pub struct ChartPanel {
    /// What is special about it, above it.
    pub title: String,
    /// Its place, from the left.
    pub column: usize,
    /// Its place, from the top.
    pub line: usize,
    /// What x is.
    pub x_label: String,
    /// The places on the x axis.
    pub ticks: Vec<Tick>,
    /// What is drawn.
    pub series: Vec<ChartSeries>,
}

/// A place on the x axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// What stands below it.
    pub label: String,
    /// Where it is: 0 at the first, 1 at the last.
    pub share: f64,
}

/// Values that belong together.
#[derive(Debug, Clone)]
pub struct ChartSeries {
    /// Its name in the legend.
    pub name: String,
    pub(super) look: Look,
    /// Whether it is a yardstick, drawn as a line without markers.
    pub trivial: bool,
    /// Its values, by tick.
    pub points: Vec<ChartPoint>,
    /// A value that is the same at every tick.
    pub level: Option<ChartPoint>,
    /// The paper's values, in the unit of display, by tick.
    pub paper: Vec<(usize, f64)>,
}

/// A value, in the unit of display.
#[derive(Debug, Clone, PartialEq)]
pub struct ChartPoint {
    /// Its tick.
    pub tick: usize,
    /// The mean over seeds.
    pub mean: f64,
    /// One sample standard deviation, if there are two seeds.
    pub spread: Option<f64>,
    /// The cell of the result set it is the mean of.
    pub cell: Cell,
    /// Mean, spread and seeds in words.
    pub words: String,
}

impl ChartPoint {
    /// The mean of an entry; none where it is undefined.
    pub(super) fn of(entry: &Entry<'_>, tick: usize) -> Option<Self> {
        let style = metric::style(&entry.cell.metric);
        let mean = entry.summary.mean()?;
        let spread = entry.summary.standard_deviation();
        let seeds = entry.summary.values.len();
        Some(Self {
            tick,
            mean: mean * style.scale,
            spread: spread.map(|spread| spread * style.scale),
            cell: entry.cell.clone(),
            words: match spread {
                Some(spread) => format!(
                    "{} ± {} over {seeds} seeds",
                    style.show(mean),
                    style.show(spread)
                ),
                None if seeds > 1 => format!("{}, the same for all seeds", style.show(mean)),
                None => format!("{}, 1 seed", style.show(mean)),
            },
        })
    }

    fn extent(&self) -> [f64; 2] {
        let spread = self.spread.unwrap_or(0.0);
        [self.mean - spread, self.mean + spread]
    }
}

impl ChartSeries {
    pub(super) fn has_values(&self) -> bool {
        self.has_own() || !self.paper.is_empty()
    }

    pub(super) fn has_own(&self) -> bool {
        !self.points.is_empty() || self.level.is_some()
    }

    /// Its colour.
    #[must_use]
    pub fn colour(&self) -> RGBColor {
        self.look.colour
    }

    /// Its marker; yardsticks have none.
    #[must_use]
    pub fn marker(&self) -> Option<Marker> {
        self.look.marker
    }

    /// Its dashes.
    #[must_use]
    pub fn dashes(&self) -> Dashes {
        self.look.dashes
    }

    fn extent(&self) -> Vec<f64> {
        let points = self.points.iter().chain(&self.level);
        points
            .flat_map(ChartPoint::extent)
            .chain(self.paper.iter().map(|(_, value)| *value))
            .collect()
    }
}

/// The metric a figure is about: the paper's, or, where a figure is declared for others only, the
/// first of those.
pub(super) fn metric_of(view: &View) -> String {
    let metrics = view.metrics();
    if metrics.iter().any(|name| name == MAIN_METRIC) {
        return MAIN_METRIC.to_owned();
    }
    let first = metrics.into_iter().next();
    first.unwrap_or_else(|| MAIN_METRIC.to_owned())
}

/// The view of the test split, or that there is no row.
pub(super) fn view_of(input: &ReportInput<'_>) -> Result<View, String> {
    let view = View::new(input, "test");
    if view.is_empty() {
        return Err(format!(
            "experiment `{}` has no row on the test split",
            input.experiment
        ));
    }
    Ok(view)
}

impl FigureChart {
    /// A chart of panels that have values, or that no value is defined.
    pub(super) fn new(
        input: &ReportInput<'_>,
        view: &View,
        metric: &str,
        form: Form,
        panels: Vec<ChartPanel>,
    ) -> Result<Self, String> {
        let style = metric::style(metric);
        let chance = matches!(metric, "auc" | "uauc").then_some(CHANCE * style.scale);
        let shown = panels.iter().flat_map(|panel| &panel.series);
        let values = ValueAxis::around(shown.flat_map(ChartSeries::extent).chain(chance));
        let (false, Some(values)) = (panels.is_empty(), values) else {
            return Err(format!(
                "experiment `{}` has no defined {} at any K on the test split",
                input.experiment,
                name_of(style, metric)
            ));
        };
        let least = panels
            .iter()
            .flat_map(|panel| &panel.series)
            .flat_map(ChartSeries::extent)
            .fold(f64::INFINITY, f64::min);
        let values = match chance {
            // Bars begin there; nothing is below.
            Some(chance) if form == Form::Bars => values.from(chance, least),
            _ => values,
        };
        let seeds = view.seeds();
        Ok(Self {
            title: String::new(),
            subtitle: if seeds < 2 {
                "1 seed, so no spread is shown".to_owned()
            } else {
                let whiskers = if form == Form::Bars {
                    "whiskers"
                } else {
                    "bars"
                };
                format!("mean over {seeds} seeds, {whiskers}: ± 1 sample standard deviation")
            },
            with_care: false,
            y_label: format!("{} (test split)", style.heading(metric)),
            form,
            panels,
            chance,
            values,
            legend: Vec::new(),
        })
    }

    /// Adds the lines of the legend that are the same in every figure.
    pub(super) fn close_legend(&mut self) {
        if let Some(chance) = self.chance {
            let look = Look::line(CHANCE_COLOUR, CHANCE_DASHES);
            let text = format!("chance ({chance:.0})");
            self.legend
                .push(LegendEntry::new(look, &text, Sample::Line));
        }
        let mut series = self.panels.iter().flat_map(|panel| &panel.series);
        if series.any(|series| !series.paper.is_empty()) {
            let mut look = Look::line(QUIET, &[]);
            look.marker = Some(Marker::Circle);
            let text = "hollow: reported in the paper";
            self.legend
                .push(LegendEntry::new(look, text, Sample::Hollow));
        }
    }

    /// The line of chance as the page draws it: colour and dashes.
    #[must_use]
    pub fn chance_look() -> (RGBColor, Dashes) {
        (CHANCE_COLOUR, CHANCE_DASHES)
    }

    fn columns(&self) -> usize {
        let columns = self.panels.iter().map(|panel| panel.column + 1);
        columns.max().unwrap_or(1)
    }

    fn lines(&self) -> usize {
        let lines = self.panels.iter().map(|panel| panel.line + 1);
        lines.max().unwrap_or(1)
    }

    fn legend_top(&self) -> f64 {
        self.lines() as f64 * PANEL_HEIGHT + 100.0
    }
}

/// `AUC`, or the plain name of a metric that is not known.
pub(super) fn name_of(style: &MetricStyle, metric: &str) -> String {
    if style.display.is_empty() {
        metric.to_owned()
    } else {
        style.display.to_owned()
    }
}

impl Scene for FigureChart {
    fn size(&self) -> (u32, u32) {
        // One panel alone is a little wider than half of two, so that the legend has room.
        let width = (self.columns() as f64 * PANEL_WIDTH).max(1000.0);
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
        if self.with_care {
            canvas.text(
                "read with care: see the last lines of the table",
                (width / 2.0, 100.0),
                Align::Centre,
                writing(20.0, true, VERMILLION),
            )?;
        }
        let step = width / self.columns() as f64;
        for panel in &self.panels {
            let left = step * panel.column as f64;
            let top = 90.0 + PANEL_HEIGHT * panel.line as f64;
            let frame = PanelFrame {
                left: left + 110.0,
                top: top + 62.0,
                right: left + step - 30.0,
                bottom: top + PANEL_HEIGHT - 88.0,
                values: self.values,
                ticks: panel.ticks.clone(),
                ticks_are_lines: self.form == Form::Lines,
            };
            let y_label = (panel.column == 0).then_some(self.y_label.as_str());
            frame.paint(canvas, &panel.title, &panel.x_label, y_label)?;
            match self.form {
                Form::Lines => {
                    self.paint_chance(canvas, &frame)?;
                    super::lines::paint(canvas, &frame, &panel.series)?;
                }
                Form::Bars => {
                    super::bars::paint(canvas, &frame, &panel.series, self.chance)?;
                    self.paint_chance(canvas, &frame)?;
                }
            }
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

impl FigureChart {
    fn paint_chance<B: DrawingBackend>(
        &self,
        canvas: &Canvas<B>,
        frame: &PanelFrame,
    ) -> Result<(), String> {
        let Some(chance) = self.chance else {
            return Ok(());
        };
        canvas.line(&frame.across(chance), CHANCE_COLOUR, 2.0, CHANCE_DASHES)
    }
}
