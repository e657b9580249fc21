//! The page one can point at, `report.html`: one file that needs neither a network nor the store.
//!
//! What it says is rendered here, from the templates under `templates/report/`; its script only
//! adds what paper cannot do: sorting, pointing, choosing.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::details::{Curve, Details, title_of};
use super::error::ReportError;
use super::figure::FigureChart;
use super::figure::chart::{ChartPoint, ChartSeries, Form};
use super::fragment::html_of;
use super::input::ReportInput;
use super::page;
use super::template;
use super::view::View;
use super::words;
use super::write::{MadeFigure, MadeTable};
use crate::base::StageKey;
use crate::chart::Marker;
use crate::chart::palette::{BLUE, Colour};
use crate::results::{Cell, metric};

const PAGE: &str = include_str!("../../templates/report/page.html");
const STYLE: &str = include_str!("../../templates/report/page.css");
const SCRIPT: &str = include_str!("../../templates/report/page.js");

/// A curve is drawn with this many points at most; a screen shows no more.
const MOST_POINTS: usize = 240;

/// Writes the page.
///
/// # Errors
/// [`ReportError::Template`] if the template fails, which is a mistake in the program.
pub fn render(
    input: &ReportInput<'_>,
    tables: &[MadeTable],
    figures: &[MadeFigure],
    details: &Details,
) -> Result<String, ReportError> {
    let cells = Cells::of(input, details);
    let charts: Vec<Value> = figures
        .iter()
        .map(|figure| match &figure.drawn {
            Ok((chart, _)) => json!({"name": figure.name, "chart": chart_json(chart, &cells)}),
            Err(_) => json!({"name": figure.name, "chart": null}),
        })
        .collect();
    let data = json!({
        "figures": charts,
        "cells": cells.json(input),
        "stages": details.stages.iter().map(stage_json).collect::<Vec<_>>(),
        "curves": details.curves.iter().map(curve_json).collect::<Vec<_>>(),
    });
    // Inside a script element only `<` could end it.
    let data = data.to_string().replace('<', "\\u003c");
    let values = json!({
        "experiment": input.experiment,
        "description": input.description.trim(),
        "complete": complete(input),
        "summary_html": html_of(&page::summary(input).join("\n\n")),
        "guards": input.guards,
        "tables": tables.iter().map(|table| table_json(table, &cells)).collect::<Vec<_>>(),
        "figures": figures.iter().map(figure_json).collect::<Vec<_>>(),
        "curves": details.curves.iter().map(|curve| &curve.title).collect::<Vec<_>>(),
        "curves_left_out": details.curves_left_out,
        "disagreements": disagreements_json(details),
        "sections": sections(input),
        "style": STYLE,
        "script": SCRIPT,
        "data_json": data,
    });
    template::render("page.html", PAGE, values)
}

/// Markdown as a page of its own, in the same style.
#[must_use]
pub fn document(title: &str, markdown: &str) -> String {
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta \
         name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{STYLE}\n</style>\n</head>\n<body>\n<main id=\"main\" class=\"fragment\">\n{}</main>\n\
         </body>\n</html>\n",
        html_of(markdown)
    )
}

/// How much of what was asked for is there.
fn complete(input: &ReportInput<'_>) -> String {
    let view = View::new(input, "test");
    let (mut there, mut all) = (0, 0);
    for pair in view.pairs() {
        let name = super::view::MAIN_METRIC;
        for system in view.systems(&pair, name) {
            for k in view.shots(&pair, name) {
                all += 1;
                there += usize::from(view.entry(&pair, name, &system, k).is_some());
            }
        }
    }
    format!(
        "{there} of {} in the tables have a result",
        words::count(all, "place")
    )
}

/// The cells of the result set, numbered.
struct Cells {
    positions: BTreeMap<Cell, usize>,
    stages: BTreeMap<StageKey, usize>,
}

impl Cells {
    fn of(input: &ReportInput<'_>, details: &Details) -> Self {
        let mut positions = BTreeMap::new();
        for row in input.results.rows() {
            if row.experiment == input.experiment && row.split == "test" {
                positions.insert(Cell::of(row), 0);
            }
        }
        for (number, position) in positions.values_mut().enumerate() {
            *position = number;
        }
        let stages = details.stages.iter().enumerate();
        Self {
            positions,
            stages: stages.map(|(at, stage)| (stage.key, at)).collect(),
        }
    }

    fn number(&self, cell: Option<&Cell>) -> Value {
        let number = cell.and_then(|cell| self.positions.get(cell));
        number.map_or(Value::Null, |number| json!(number))
    }

    fn json(&self, input: &ReportInput<'_>) -> Vec<Value> {
        let mut cells: Vec<(String, Vec<Value>)> = self
            .positions
            .keys()
            .map(|cell| (title_of(cell), Vec::new()))
            .collect();
        for row in input.results.rows() {
            let Some(&at) = self.positions.get(&Cell::of(row)) else {
                continue;
            };
            let style = metric::style(&row.metric);
            let text = row
                .value
                .map_or_else(|| "undefined".to_owned(), |value| style.show(value));
            cells[at].1.push(json!({
                "seed": row.seed, "text": text, "n": row.n,
                "stage": self.stages.get(&row.stage_key),
            }));
        }
        cells
            .into_iter()
            .map(|(title, values)| json!({"title": title, "values": values}))
            .collect()
    }
}

fn hex(Colour(red, green, blue): Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn marker(marker: Option<Marker>) -> &'static str {
    match marker {
        None => "",
        Some(Marker::Circle) => "circle",
        Some(Marker::Square) => "square",
        Some(Marker::Diamond) => "diamond",
        Some(Marker::Up) => "up",
        Some(Marker::Down) => "down",
        Some(Marker::Plus) => "plus",
        Some(Marker::Cross) => "cross",
        Some(Marker::Star) => "star",
    }
}

fn chart_json(chart: &FigureChart, cells: &Cells) -> Value {
    let (colour, dashes) = FigureChart::chance_look();
    let references: Vec<Value> = chart
        .chance
        .iter()
        .map(|chance| {
            json!({
                "name": format!("chance ({chance:.0})"), "value": chance,
                "dashes": dashes, "colour": hex(colour),
            })
        })
        .collect();
    let panels = chart.panels.iter().map(|panel| {
        let ticks = panel.ticks.iter();
        json!({
            "title": panel.title, "x_label": panel.x_label,
            "ticks": ticks.clone().map(|tick| &tick.label).collect::<Vec<_>>(),
            "positions": ticks.map(|tick| tick.share).collect::<Vec<_>>(),
            "references": references,
            "series": panel.series.iter()
                .map(|series| series_json(series, panel.ticks.len(), &panel.title, cells))
                .collect::<Vec<_>>(),
        })
    });
    json!({
        "kind": match chart.form { Form::Lines => "lines", Form::Bars => "bars" },
        "y_label": chart.y_label,
        "panels": panels.collect::<Vec<_>>(),
    })
}

fn series_json(series: &ChartSeries, ticks: usize, panel: &str, cells: &Cells) -> Value {
    let paper = |tick: usize| {
        let mut of_tick = series.paper.iter().filter(|(at, _)| *at == tick);
        of_tick.next().map(|(_, value)| *value)
    };
    let point = |tick: usize, point: &ChartPoint| {
        let place = if panel.is_empty() {
            String::new()
        } else {
            format!("{panel}, ")
        };
        json!({
            "tick": tick, "y": point.mean, "spread": point.spread,
            "text": format!(
                "{}, {place}{}: {}", series.name, words::shots(point.cell.k), point.words
            ),
            "cell": cells.number(Some(&point.cell)), "paper": paper(tick),
        })
    };
    let points: Vec<Value> = (0..ticks)
        .filter_map(|tick| {
            let own = series.points.iter().find(|point| point.tick == tick);
            own.or(series.level.as_ref())
                .map(|value| point(tick, value))
        })
        .collect();
    json!({
        "name": series.name, "colour": hex(series.colour()), "marker": marker(series.marker()),
        "dashes": series.dashes(), "trivial": series.trivial, "points": points,
    })
}

fn table_json(table: &MadeTable, cells: &Cells) -> Value {
    let blocks: Vec<Value> = table
        .blocks
        .iter()
        .map(|block| {
            let rows = block.rows.iter().map(|row| {
                let places = row.places.iter().map(|place| {
                    json!({
                        "text": place.text, "value": place.value, "mark": place.mark,
                        "dagger": place.dagger, "paper": place.paper,
                        "cell": cells.number(place.cell.as_ref()),
                    })
                });
                json!({
                    "name": row.name, "trivial": row.trivial,
                    "places": places.collect::<Vec<_>>(),
                })
            });
            json!({
                "title": block.title, "about": block.about, "notes": block.notes,
                "higher_is_better": block.higher_is_better, "corner": block.corner,
                "columns": block.columns, "rows": rows.collect::<Vec<_>>(),
            })
        })
        .collect();
    // Its own title, or its name: the experiment's stands over the page.
    let own = table
        .title
        .split_once(": ")
        .map_or(&*table.title, |(_, name)| name);
    let title = if own == table.name { own } else { &table.title };
    json!({
        "name": table.name, "title": title, "about": table.summary,
        "rest_html": if blocks.is_empty() {
            html_of(&page::deepen(&table.markdown))
        } else {
            String::new()
        },
        "blocks": blocks,
    })
}

fn figure_json(figure: &MadeFigure) -> Value {
    let (not_drawn, svg) = match &figure.drawn {
        Ok((_, drawing)) => ("", drawing.svg.as_str()),
        Err(reason) => (reason.as_str(), ""),
    };
    json!({
        "name": figure.name, "title": figure.name, "about": figure.summary,
        "not_drawn": not_drawn, "svg_html": svg,
    })
}

fn stage_json(stage: &super::details::StageFacts) -> Value {
    json!({
        "id": stage.id, "key": stage.key.hex(), "kind": stage.kind, "version": stage.version,
        "parameters": stage.parameters, "inputs": stage.inputs, "facts": stage.facts,
        "made_from": stage.made_from, "log": stage.log,
    })
}

fn curve_json(curve: &Curve) -> Value {
    let panels = curve.panels.iter().map(|panel| {
        let points = thinned(&panel.points);
        json!({
            "y_label": panel.y_label,
            "lines": [{"name": panel.y_label, "colour": hex(BLUE), "points": points}],
        })
    });
    json!({
        "title": curve.title, "group": curve.group, "chosen_x": curve.chosen_x,
        "x_label": curve.x_label, "panels": panels.collect::<Vec<_>>(),
    })
}

/// Every n-th point and the last one; five digits, which is finer than any screen.
fn thinned(points: &[(f64, f64)]) -> Vec<[f64; 2]> {
    let step = points.len().div_ceil(MOST_POINTS).max(1);
    let last = points.len().saturating_sub(1);
    points
        .iter()
        .enumerate()
        .filter(|(at, (_, y))| (at % step == 0 || *at == last) && y.is_finite())
        .map(|(_, &(x, y))| [x, format!("{y:.5}").parse().unwrap_or(y)])
        .collect()
}

fn disagreements_json(details: &Details) -> Vec<Value> {
    details
        .disagreements
        .iter()
        .map(|group| {
            let rows = group.rows.iter().map(|row| {
                json!({
                    "row": row.row, "label": if row.liked { "Yes" } else { "No" },
                    "prompt": row.prompt, "scores": row.scores,
                })
            });
            json!({
                "title": group.title, "systems": group.systems,
                "rows": rows.collect::<Vec<_>>(),
            })
        })
        .collect()
}

fn sections(input: &ReportInput<'_>) -> Vec<Value> {
    page::sections(input)
        .into_iter()
        .map(|(title, blocks)| {
            let id: String = title
                .to_lowercase()
                .chars()
                .map(|letter| {
                    if letter.is_alphanumeric() {
                        letter
                    } else {
                        '-'
                    }
                })
                .collect();
            json!({"id": id, "title": title, "body_html": html_of(&blocks.join("\n\n"))})
        })
        .collect()
}
