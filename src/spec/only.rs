//! `--only axis=value[,value]` and `--only axis!=value`: picks cells of the grid.

use super::grid::{Cell, Grid};
use super::scalar::Scalar;
use super::source::{Diagnostics, Sources, Span};
use crate::base::nearest::suggestion;

/// One `--only` argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    axes: Vec<usize>,
    values: Vec<String>,
    wanted: bool,
}

/// Reads `--only` arguments against a grid.
pub fn parse(
    arguments: &[String],
    grid: &Grid,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> Vec<Selection> {
    let mut selections = Vec::new();
    for argument in arguments {
        let prefix = "--only ";
        let source = sources.add("command line", &format!("{prefix}{argument}"));
        let span = Span {
            source,
            start: prefix.len() as u32,
            len: argument.len() as u32,
        };
        let unequal = argument.split_once("!=").map(|pair| (pair, false));
        let equal = || argument.split_once('=').map(|pair| (pair, true));
        let Some(((name, values), wanted)) = unequal.or_else(equal) else {
            diagnostics.error_with_help(
                "spec::only",
                span,
                format!("`{argument}` selects nothing"),
                "write --only axis=value[,value] or --only axis!=value",
            );
            continue;
        };
        let name = name.trim();
        let axes: Vec<usize> = if name == "domain" {
            ["train", "test"]
                .iter()
                .filter_map(|name| grid.axis(name))
                .collect()
        } else {
            grid.axis(name).into_iter().collect()
        };
        if axes.is_empty() {
            diagnostics.error_with_help(
                "spec::unknown_axis",
                span,
                format!("the grid has no axis `{name}`"),
                suggestion(name, grid.axes.iter().map(|axis| axis.name.as_str())),
            );
            continue;
        }
        let values: Vec<String> = values
            .split(',')
            .map(|value| value.trim().to_owned())
            .collect();
        for value in &values {
            let known = axes.iter().any(|axis| {
                grid.axes[*axis]
                    .values
                    .iter()
                    .any(|own| own.is_written(value))
            });
            if !known {
                let all: Vec<String> = grid.axes[axes[0]]
                    .values
                    .iter()
                    .map(Scalar::to_string)
                    .collect();
                diagnostics.error_with_help(
                    "spec::only",
                    span,
                    format!("axis `{name}` has no value `{value}`"),
                    suggestion(value, all.iter().map(String::as_str)),
                );
            }
        }
        selections.push(Selection {
            axes,
            values,
            wanted,
        });
        let picks_none = !grid
            .cells
            .iter()
            .any(|cell| matches(&selections, grid, cell));
        if picks_none && diagnostics.is_empty() {
            diagnostics.error_with_help(
                "spec::only",
                span,
                "no cell of the grid is left",
                "a cell must pass every --only; leave one of them out",
            );
        }
    }
    selections
}

/// Whether every selection lets a cell pass.
#[must_use]
pub fn matches(selections: &[Selection], grid: &Grid, cell: &Cell) -> bool {
    selections.iter().all(|selection| {
        let hit = selection.axes.iter().all(|axis| {
            grid.value(cell, *axis)
                .is_some_and(|own| selection.values.iter().any(|value| own.is_written(value)))
        });
        hit == selection.wanted
    })
}
