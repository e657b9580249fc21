//! The `grid:` block → a [`Grid`].
//!
//! Axes are crossed in the order they are written. `domain` is a pair: it sets `train` and
//! `test` to the same value. A method may bring sub-axes that only its cells have: `variant`
//! (rows of their own) and hyper-parameters (searched on validation). `zip` walks several axes
//! side by side, `exclude` removes cells, `include` adds some.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::axis;
use super::grid::{Axis, Cell, Grid, MOST_CELLS, STANDARD_AXES, VARIANTS};
use super::scalar::Scalar;
use super::source::{Diagnostics, Span};
use super::yaml::{Content, Entry, Node};
use crate::base::nearest::suggestion;

mod select;

/// More axes than this are as well; every cell has a place for each.
const MOST_AXES: usize = 64;

/// More `include` and `exclude` entries than this, each of which looks at every cell.
const MOST_ENTRIES: usize = 256;

/// More values than this in one group of zipped axes are a slip too.
const MOST_ZIPPED: usize = 1_000_000;

/// An axis by its index and the position of a value on it.
type Choice = (usize, u32);

/// One value for each of some axes.
type Assignment = Vec<Choice>;

/// Axes that vary together, with the combinations they take.
type Dimension = Vec<Assignment>;

struct Builder<'d> {
    diagnostics: &'d mut Diagnostics,
    axes: Vec<Axis>,
    /// For each axis, where its values stand in [`Axis::values`].
    positions: Vec<BTreeMap<Scalar, u32>>,
}

/// Expands the `grid:` block.
pub fn expand(node: Option<&Node>, diagnostics: &mut Diagnostics) -> Grid {
    let before = diagnostics.count();
    if let Some(problem) = node.and_then(far_too_much) {
        let (span, message) = problem;
        diagnostics.error_with_help(
            "spec::grid",
            span,
            message,
            "write ranges (`0..4`) and lists of values: cells are all their combinations",
        );
        return Grid::default();
    }
    let entries: &[Entry] = match node {
        None => &[],
        Some(node) if node.is_null() => &[],
        Some(node) => node.as_map().unwrap_or_else(|| {
            diagnostics.error_with_help(
                "spec::grid",
                node.span,
                format!("grid is {}, not a mapping of axes", node.describe()),
                "write for example `grid: {k: [16, 64], seed: 0..4}`",
            );
            &[]
        }),
    };
    let mut builder = Builder {
        diagnostics,
        axes: Vec::new(),
        positions: Vec::new(),
    };
    let span = node.map_or_else(Span::default, |node| node.span);
    let has_pair = builder.reject_double_domains(entries);
    let mut dimensions: Vec<Dimension> = Vec::new();
    for entry in entries {
        match entry.key.as_str() {
            "include" | "exclude" => {}
            "train" | "test" if has_pair => {}
            "zip" => dimensions.extend(builder.zip(&entry.value)),
            "method" => dimensions.push(builder.methods(entry)),
            _ => {
                let values = axis::values(&entry.key, &entry.value, builder.diagnostics);
                dimensions.push(builder.assign(&entry.key, &values, entry.span));
            }
        }
        // Seen before all axes are read: each may have as many values as there may be cells.
        let lengths = dimensions.iter().map(|one| one.len().max(1));
        if lengths.fold(1, usize::saturating_mul) > MOST_CELLS {
            builder.too_many_cells(span);
            return Grid {
                cells: Vec::new(),
                axes: builder.axes,
            };
        }
    }
    let mut cells = builder.product(&dimensions, span);
    for entry in entries.iter().filter(|entry| entry.key == "exclude") {
        builder.exclude(&mut cells, &entry.value);
    }
    for entry in entries.iter().filter(|entry| entry.key == "include") {
        builder.include(&mut cells, &dimensions, &entry.value);
    }
    if cells.is_empty() && builder.diagnostics.count() == before {
        builder.diagnostics.error_with_help(
            "spec::grid",
            span,
            "the grid has no cells",
            "`exclude` removes all of them",
        );
    }
    let count = builder.axes.len();
    Grid {
        cells: cells.iter().map(|cell| Cell::new(count, cell)).collect(),
        axes: builder.axes,
    }
}

impl Builder<'_> {
    /// Whether the grid has `domain` beside `train` or `test`, which is a mistake.
    fn reject_double_domains(&mut self, entries: &[Entry]) -> bool {
        let groups = entries
            .iter()
            .filter(|entry| entry.key == "zip")
            .flat_map(|entry| {
                let zip = &entry.value;
                zip.as_list().unwrap_or(std::slice::from_ref(zip))
            });
        let all: Vec<&Entry> = entries
            .iter()
            .chain(groups.filter_map(Node::as_map).flatten())
            .collect();
        let has_domain = all.iter().any(|entry| entry.key == "domain");
        let pair = all
            .iter()
            .find(|entry| entry.key == "train" || entry.key == "test");
        let (true, Some(pair)) = (has_domain, pair) else {
            return false;
        };
        self.diagnostics.error_with_help(
            "spec::domain_twice",
            pair.span,
            format!("the grid has both `domain` and `{}`", pair.key),
            "`domain` stands for training and testing on the same domain; use either it or the \
             pair `train` / `test`",
        );
        true
    }

    /// The axis of that name, made if there is none.
    fn declare(&mut self, name: &str, span: Span, searched: bool) -> usize {
        if let Some(index) = self.axes.iter().position(|axis| axis.name == name) {
            return index;
        }
        self.axes.push(Axis {
            name: name.to_owned(),
            values: Vec::new(),
            value_spans: Vec::new(),
            span,
            searched,
        });
        self.positions.push(BTreeMap::new());
        self.axes.len() - 1
    }

    /// The same for an axis that nothing else may have brought yet.
    fn declare_once(&mut self, name: &str, span: Span) -> usize {
        if self.axes.iter().any(|axis| axis.name == name) {
            self.diagnostics.error_with_help(
                "spec::axis_twice",
                span,
                format!("axis `{name}` is written twice"),
                "write all its values in one place",
            );
        }
        self.declare(name, span, false)
    }

    /// The position of a value on an axis, put there if it is new; `shown` is the axis as the
    /// person wrote it.
    fn value(&mut self, axis: usize, shown: &str, value: &Scalar, span: Span) -> u32 {
        if let Some(position) = self.positions[axis].get(value) {
            return *position;
        }
        let position = self.axes[axis].values.len() as u32;
        if let Some(help) = value_problem(shown, value) {
            self.diagnostics.error_with_help(
                "spec::axis_value",
                span,
                format!("`{value}` is not a value of axis `{shown}`"),
                help,
            );
        }
        self.axes[axis].values.push(value.clone());
        self.axes[axis].value_spans.push(span);
        self.positions[axis].insert(value.clone(), position);
        position
    }

    /// One assignment per value; `domain` becomes the pair.
    fn assign(&mut self, name: &str, values: &[(Scalar, Span)], span: Span) -> Dimension {
        let axes: Vec<usize> = if name == "domain" {
            vec![
                self.declare_once("train", span),
                self.declare_once("test", span),
            ]
        } else {
            vec![self.declare_once(name, span)]
        };
        values
            .iter()
            .map(|(value, span)| {
                axes.iter()
                    .map(|axis| (*axis, self.value(*axis, name, value, *span)))
                    .collect()
            })
            .collect()
    }

    fn methods(&mut self, entry: &Entry) -> Dimension {
        let axis = self.declare_once("method", entry.span);
        let items = match &entry.value.content {
            Content::List(items) => items.as_slice(),
            _ => std::slice::from_ref(&entry.value),
        };
        if items.is_empty() || entry.value.is_null() {
            self.diagnostics.error_with_help(
                "spec::axis_value",
                entry.value.span,
                "axis `method` has no values",
                "write for example `method: [like_share, gru4rec]`",
            );
            return Dimension::new();
        }
        let mut dimension = Dimension::new();
        for item in items {
            match &item.content {
                Content::Scalar(Value::String(name)) => {
                    dimension.extend(self.method(axis, name, item.span, None));
                }
                Content::Map(entries) if !entries.is_empty() => {
                    for own in entries {
                        dimension.extend(self.method(axis, &own.key, own.span, Some(&own.value)));
                    }
                }
                _ => self.diagnostics.error_with_help(
                    "spec::axis_value",
                    item.span,
                    format!("{} is not a method", item.describe()),
                    "write a name, or a name with its own axes: `tallrec: {variant: [AT, RT]}`",
                ),
            }
            if dimension.len() > MOST_CELLS {
                break;
            }
        }
        without_repeats(dimension)
    }

    /// A method with all combinations of its own axes.
    fn method(&mut self, axis: usize, name: &str, span: Span, own: Option<&Node>) -> Dimension {
        let position = self.value(axis, "method", &Scalar::Text(name.to_owned()), span);
        let mut combinations = vec![vec![(axis, position)]];
        let Some(own) = own.filter(|own| !own.is_null()) else {
            return combinations;
        };
        let Some(entries) = own.as_map() else {
            self.diagnostics.error_with_help(
                "spec::axis_value",
                own.span,
                format!("the axes of `{name}` are {}", own.describe()),
                format!("write `{name}: {{weight_decay: [1e-3, 1e-4]}}`"),
            );
            return combinations;
        };
        for entry in entries {
            let is_variant = entry.key == "variant";
            if STANDARD_AXES.contains(&entry.key.as_str()) && !is_variant {
                self.diagnostics.error_with_help(
                    "spec::axis_value",
                    entry.span,
                    format!("`{}` cannot be an axis of one method", entry.key),
                    "write it beside `method`; to leave out some of its values for one method, use \
                     `exclude`",
                );
                continue;
            }
            let values = axis::values(&entry.key, &entry.value, self.diagnostics);
            let axis = self.declare(&entry.key, entry.span, !is_variant);
            if combinations
                .iter()
                .flatten()
                .any(|(taken, _)| *taken == axis)
                || self.axes[axis].searched == is_variant
            {
                self.diagnostics.error_with_help(
                    "spec::axis_twice",
                    entry.span,
                    format!("axis `{}` is written twice", entry.key),
                    "write it either beside `method` or under the methods",
                );
                continue;
            }
            if combinations.len().saturating_mul(values.len()) > MOST_CELLS {
                self.too_many_cells(entry.span);
                continue;
            }
            let choices: Vec<Choice> = values
                .iter()
                .map(|(value, span)| (axis, self.value(axis, &entry.key, value, *span)))
                .collect();
            combinations = cross(&combinations, &choices.iter().map(|c| vec![*c]).collect());
        }
        combinations
    }

    fn zip(&mut self, node: &Node) -> Vec<Dimension> {
        let mut dimensions = Vec::new();
        for group in node.as_list().unwrap_or(std::slice::from_ref(node)) {
            let Some(entries) = group.as_map().filter(|entries| !entries.is_empty()) else {
                self.diagnostics.error_with_help(
                    "spec::zip",
                    group.span,
                    format!(
                        "{} is not a group of axes to walk side by side",
                        group.describe()
                    ),
                    "write `zip: [{train: [movie, book], test: [book, movie]}]`",
                );
                continue;
            };
            let mut rows: Dimension = Vec::new();
            let mut first: Option<(&str, usize)> = None;
            for (before, entry) in entries.iter().enumerate() {
                if before.saturating_mul(rows.len()) > MOST_ZIPPED {
                    self.diagnostics.error(
                        "spec::zip",
                        entry.span,
                        format!("these zipped axes have more than {MOST_ZIPPED} values"),
                    );
                    break;
                }
                // Repeated values are the point of walking side by side.
                let values = axis::column(&entry.key, &entry.value, self.diagnostics);
                let column = self.assign(&entry.key, &values, entry.span);
                match first {
                    None => {
                        first = Some((&entry.key, column.len()));
                        rows = column;
                    }
                    Some((name, count)) if count != column.len() => {
                        self.diagnostics.error_with_help(
                            "spec::zip",
                            entry.span,
                            format!(
                                "zipped axes differ in length: `{name}` has {count} values, `{}` \
                                 has {}",
                                entry.key,
                                column.len()
                            ),
                            "zipped axes are walked side by side; leave them out of `zip` to cross \
                             them",
                        );
                    }
                    Some(_) => {
                        for (row, choices) in rows.iter_mut().zip(column) {
                            row.extend(choices);
                        }
                    }
                }
            }
            dimensions.push(without_repeats(rows));
        }
        dimensions
    }

    fn too_many_cells(&mut self, span: Span) {
        self.diagnostics.error_with_help(
            "spec::grid",
            span,
            format!("the grid has more than {MOST_CELLS} cells"),
            "cells are all combinations of the axes' values; is a range longer than it should be?",
        );
    }

    fn product(&mut self, dimensions: &[Dimension], span: Span) -> Vec<Assignment> {
        let count = dimensions
            .iter()
            .try_fold(1_usize, |count, dimension| {
                count.checked_mul(dimension.len())
            })
            .filter(|count| *count <= MOST_CELLS);
        if count.is_none() {
            self.too_many_cells(span);
            return Vec::new();
        }
        dimensions
            .iter()
            .fold(vec![Vec::new()], |cells, dimension| {
                cross(&cells, dimension)
            })
    }
}

/// What makes a grid so large that it should not even be tried.
fn far_too_much(node: &Node) -> Option<(Span, String)> {
    let entries = node.as_map()?;
    let mut axes: BTreeSet<&str> = BTreeSet::new();
    for entry in entries {
        let items = entry.value.as_list();
        let items = items.unwrap_or(std::slice::from_ref(&entry.value));
        let inside = items.iter().filter_map(Node::as_map).flatten();
        match entry.key.as_str() {
            "include" | "exclude" => {
                if items.len() > MOST_ENTRIES {
                    let message = format!("`{}` has more than {MOST_ENTRIES} entries", entry.key);
                    return Some((entry.span, message));
                }
            }
            "zip" => axes.extend(inside.map(|axis| axis.key.as_str())),
            // The axes that methods bring.
            "method" => axes.extend(
                inside
                    .filter_map(|method| method.value.as_map())
                    .flatten()
                    .map(|axis| axis.key.as_str()),
            ),
            name => drop(axes.insert(name)),
        }
        if axes.len() > MOST_AXES {
            let message = format!("the grid has more than {MOST_AXES} axes");
            return Some((entry.span, message));
        }
    }
    None
}

/// Why a value cannot stand on one of the axes that have a meaning; what to write instead.
fn value_problem(axis: &str, value: &Scalar) -> Option<String> {
    let one_of = |allowed: &[&str]| match value {
        Scalar::Text(text) if allowed.contains(&text.as_str()) => None,
        other => Some(suggestion(&other.to_string(), allowed.iter().copied())),
    };
    match (axis, value) {
        ("k", Scalar::Integer(k)) if *k >= 1 => None,
        ("k", _) => Some("K is a whole number of training samples, 1 or more".to_owned()),
        ("seed", Scalar::Integer(seed)) if *seed >= 0 => None,
        ("seed", _) => Some("a seed is a whole number, 0 or more and below 2^63".to_owned()),
        ("domain" | "test", Scalar::Text(text)) if text == "both" => Some(
            "`both` can be trained on only: write `train: both` and `test: [movie, book]`"
                .to_owned(),
        ),
        ("domain" | "test", _) => one_of(&["movie", "book"]),
        ("train", _) => one_of(&["movie", "book", "both"]),
        ("variant", _) => one_of(&VARIANTS),
        ("method", Scalar::Text(_)) => None,
        ("method", _) => Some("a method is a name".to_owned()),
        _ => None,
    }
}

fn cross(cells: &[Assignment], dimension: &Dimension) -> Vec<Assignment> {
    cells
        .iter()
        .flat_map(|cell| {
            dimension.iter().map(|assignment| {
                let mut next = cell.clone();
                next.extend(assignment);
                next
            })
        })
        .collect()
}

fn without_repeats(dimension: Dimension) -> Dimension {
    let mut seen = BTreeSet::new();
    dimension
        .into_iter()
        .filter(|assignment| seen.insert(assignment.clone()))
        .collect()
}
