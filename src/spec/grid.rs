//! The grid: axes × values → an ordered list of cells.
//!
//! Axes are crossed in the order they are written. `domain` is a pair: it sets `train` and
//! `test` to the same value. A method may bring sub-axes that only its cells have: `variant`
//! (rows of their own) and hyper-parameters (searched on validation). `zip` walks several axes
//! side by side, `include` adds cells, `exclude` removes them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::axis;
use super::scalar::Scalar;
use super::source::{Diagnostics, Span};
use super::yaml::{Content, Entry, Node};
use crate::base::nearest::suggestion;

/// The axes that have a meaning of their own.
pub const STANDARD_AXES: [&str; 7] = ["k", "seed", "method", "variant", "domain", "train", "test"];

/// Keys under `grid:` that are not axes.
const KEYWORDS: [&str; 3] = ["zip", "include", "exclude"];

/// The variants of TALLRec (paper §3.2): alpaca tuning, rec-tuning, both.
pub const VARIANTS: [&str; 3] = ["AT", "RT", "AT+RT"];

/// More cells than this are surely a slip.
const MOST_CELLS: usize = 1_000_000;

const ABSENT: u32 = u32::MAX;

/// One axis with every value any cell takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// Its name, as `${name}` refers to it.
    pub name: String,
    /// Its values in the order they were written.
    pub values: Vec<Scalar>,
    /// Where it was written.
    pub span: Span,
    /// Whether it is a hyper-parameter of a method, to be chosen on validation.
    pub searched: bool,
}

/// One point of the grid: for every axis, the position of its value, if the cell has the axis.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell(Box<[u32]>);

/// All axes and all cells.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Grid {
    /// The axes in the order they were written.
    pub axes: Vec<Axis>,
    /// The cells in grid order.
    pub cells: Vec<Cell>,
}

impl Cell {
    /// The position of this cell's value on an axis.
    #[must_use]
    pub fn position(&self, axis: usize) -> Option<u32> {
        self.0.get(axis).copied().filter(|value| *value != ABSENT)
    }

    /// The raw positions, [`u32::MAX`] where the cell lacks the axis.
    #[must_use]
    pub fn positions(&self) -> &[u32] {
        &self.0
    }
}

impl Grid {
    /// The index of an axis.
    #[must_use]
    pub fn axis(&self, name: &str) -> Option<usize> {
        self.axes.iter().position(|axis| axis.name == name)
    }

    /// The value of a cell on an axis.
    #[must_use]
    pub fn value(&self, cell: &Cell, axis: usize) -> Option<&Scalar> {
        let position = cell.position(axis)?;
        self.axes.get(axis)?.values.get(position as usize)
    }

    /// The value of a cell on a named axis.
    #[must_use]
    pub fn get(&self, cell: &Cell, name: &str) -> Option<&Scalar> {
        self.value(cell, self.axis(name)?)
    }

    /// `method=gru4rec,k=16,seed=0` for people.
    #[must_use]
    pub fn describe(&self, cell: &Cell) -> String {
        let parts: Vec<String> = self
            .axes
            .iter()
            .enumerate()
            .filter_map(|(index, axis)| {
                self.value(cell, index)
                    .map(|value| format!("{}={value}", axis.name))
            })
            .collect();
        parts.join(",")
    }
}

/// An assignment of values to axes, before axes are numbered.
type Assignment = Vec<(String, Scalar)>;

/// Axes that vary together, with the combinations they take.
type Dimension = Vec<Assignment>;

struct Builder<'d> {
    diagnostics: &'d mut Diagnostics,
    axes: Vec<Axis>,
}

/// Expands the `grid:` block.
pub fn expand(node: Option<&Node>, diagnostics: &mut Diagnostics) -> Grid {
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
    };
    builder.reject_double_domains(entries);
    let mut dimensions: Vec<Dimension> = Vec::new();
    for entry in entries {
        match entry.key.as_str() {
            "include" | "exclude" => {}
            "zip" => dimensions.extend(builder.zip(&entry.value)),
            "method" => dimensions.push(builder.methods(entry)),
            _ => dimensions.push(builder.axis(entry)),
        }
    }
    let product = builder.product(&dimensions, node);
    let mut assignments = product;
    if let Some(node) = node.and_then(|node| node.get("exclude")) {
        assignments = builder.exclude(assignments, node);
    }
    if let Some(node) = node.and_then(|node| node.get("include")) {
        builder.include(&mut assignments, &dimensions, node);
    }
    builder.finish(&assignments)
}

impl Builder<'_> {
    fn reject_double_domains(&mut self, entries: &[Entry]) {
        let domain = entries.iter().find(|entry| entry.key == "domain");
        let pair = entries
            .iter()
            .find(|entry| entry.key == "train" || entry.key == "test");
        if let (Some(_), Some(pair)) = (domain, pair) {
            self.diagnostics.error_with_help(
                "spec::domain_twice",
                pair.span,
                format!("the grid has both `domain` and `{}`", pair.key),
                "`domain` stands for training and testing on the same domain; use either it or \
                 the pair `train` / `test`",
            );
        }
        for (index, entry) in entries.iter().enumerate() {
            if KEYWORDS.contains(&entry.key.as_str()) {
                continue;
            }
            if entries[..index].iter().any(|other| other.key == entry.key) {
                self.diagnostics.error(
                    "spec::axis_twice",
                    entry.span,
                    format!("axis `{}` is written twice", entry.key),
                );
            }
        }
    }

    fn declare(&mut self, name: &str, values: &[Scalar], span: Span, searched: bool) {
        let index = match self.axes.iter().position(|axis| axis.name == name) {
            Some(index) => index,
            None => {
                self.axes.push(Axis {
                    name: name.to_owned(),
                    values: Vec::new(),
                    span,
                    searched,
                });
                self.axes.len() - 1
            }
        };
        for value in values {
            self.check_value(name, value, span);
            let axis = &mut self.axes[index];
            if !axis.values.contains(value) {
                axis.values.push(value.clone());
            }
        }
    }

    fn check_value(&mut self, name: &str, value: &Scalar, span: Span) {
        let wrong = |expected: &str| {
            Some(format!(
                "`{value}` is not a value of axis `{name}`: {expected}"
            ))
        };
        let problem = match (name, value) {
            ("k", Scalar::Integer(k)) if *k >= 1 => None,
            ("k", _) => wrong("K is a whole number of training samples, 1 or more"),
            ("seed", Scalar::Integer(seed)) if *seed >= 0 => None,
            ("seed", _) => wrong("a seed is a whole number, 0 or more"),
            ("train", Scalar::Text(text)) => {
                let allowed = ["movie", "book", "both"];
                (!allowed.contains(&text.as_str()))
                    .then(|| wrong(&suggestion(text, allowed)))
                    .flatten()
            }
            ("test", Scalar::Text(text)) => {
                let allowed = ["movie", "book"];
                (!allowed.contains(&text.as_str()))
                    .then(|| wrong(&suggestion(text, allowed)))
                    .flatten()
            }
            ("train" | "test", _) => wrong("a domain is movie or book"),
            ("variant", Scalar::Text(text)) => (!VARIANTS.contains(&text.as_str()))
                .then(|| wrong(&suggestion(text, VARIANTS)))
                .flatten(),
            ("variant", _) => wrong("a variant is AT, RT or AT+RT"),
            ("method", Scalar::Text(_)) => None,
            ("method", _) => wrong("a method is a name"),
            _ => None,
        };
        if let Some(problem) = problem {
            self.diagnostics.error("spec::axis_value", span, problem);
        }
    }

    fn axis(&mut self, entry: &Entry) -> Dimension {
        let values = axis::values(&entry.key, &entry.value, self.diagnostics);
        self.assign(&entry.key, values, entry.value.span, entry.span)
    }

    /// One assignment per value; `domain` becomes the pair.
    fn assign(
        &mut self,
        name: &str,
        values: Vec<Scalar>,
        span: Span,
        axis_span: Span,
    ) -> Dimension {
        if name == "domain" {
            self.declare("train", &[], axis_span, false);
            self.declare("test", &[], axis_span, false);
            for value in &values {
                // `both` trains on two domains, so it cannot be one that is tested on.
                self.declare("test", std::slice::from_ref(value), span, false);
            }
            let trains: Vec<Scalar> = values.clone();
            if let Some(axis) = self.axes.iter_mut().find(|axis| axis.name == "train") {
                for value in trains {
                    if !axis.values.contains(&value) {
                        axis.values.push(value);
                    }
                }
            }
            return values
                .into_iter()
                .map(|value| {
                    vec![
                        ("train".to_owned(), value.clone()),
                        ("test".to_owned(), value),
                    ]
                })
                .collect();
        }
        self.declare(name, &[], axis_span, false);
        self.declare(name, &values, span, false);
        values
            .into_iter()
            .map(|value| vec![(name.to_owned(), value)])
            .collect()
    }

    fn methods(&mut self, entry: &Entry) -> Dimension {
        self.declare("method", &[], entry.span, false);
        let single = [entry.value.clone()];
        let items: &[Node] = match &entry.value.content {
            Content::List(items) => items,
            _ => &single,
        };
        let mut dimension = Dimension::new();
        for item in items {
            match &item.content {
                Content::Scalar(Value::String(name)) => {
                    dimension.extend(self.method(name, item.span, None));
                }
                Content::Map(entries) if !entries.is_empty() => {
                    for entry in entries {
                        dimension.extend(self.method(&entry.key, entry.span, Some(&entry.value)));
                    }
                }
                _ => self.diagnostics.error_with_help(
                    "spec::axis_value",
                    item.span,
                    format!("{} is not a method", item.describe()),
                    "write a name, or a name with its own axes: `tallrec: {variant: [AT, RT]}`",
                ),
            }
        }
        dimension
    }

    fn method(&mut self, name: &str, span: Span, own: Option<&Node>) -> Dimension {
        let method = Scalar::Text(name.to_owned());
        self.declare("method", std::slice::from_ref(&method), span, false);
        let mut combinations = vec![vec![("method".to_owned(), method)]];
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
            if STANDARD_AXES.contains(&entry.key.as_str()) && entry.key != "variant" {
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
            let searched = entry.key != "variant";
            self.declare(&entry.key, &[], entry.span, searched);
            self.declare(&entry.key, &values, entry.value.span, searched);
            combinations = combinations
                .iter()
                .flat_map(|combination| {
                    values.iter().map(|value| {
                        let mut next = combination.clone();
                        next.push((entry.key.clone(), value.clone()));
                        next
                    })
                })
                .collect();
        }
        combinations
    }

    fn zip(&mut self, node: &Node) -> Vec<Dimension> {
        let single = [node.clone()];
        let groups: &[Node] = match &node.content {
            Content::List(items) => items,
            _ => &single,
        };
        let mut dimensions = Vec::new();
        for group in groups {
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
            let mut dimension: Dimension = Vec::new();
            let mut first: Option<(&str, usize)> = None;
            for entry in entries {
                let column = match &entry.value.content {
                    // Repeated values are the point of walking side by side.
                    Content::List(items) => items
                        .iter()
                        .filter_map(|item| Scalar::from_json(&item.to_json()))
                        .filter(|value| !matches!(value, Scalar::Text(text) if text.contains("..")))
                        .collect(),
                    _ => axis::values(&entry.key, &entry.value, self.diagnostics),
                };
                let columns = self.assign(&entry.key, column, entry.value.span, entry.span);
                match first {
                    None => {
                        first = Some((&entry.key, columns.len()));
                        dimension = columns;
                    }
                    Some((name, count)) if count != columns.len() => {
                        self.diagnostics.error_with_help(
                            "spec::zip",
                            entry.span,
                            format!(
                                "zipped axes differ in length: `{name}` has {count} values, `{}` \
                                 has {}",
                                entry.key,
                                columns.len()
                            ),
                            "zipped axes are walked side by side; leave them out of `zip` to cross \
                             them",
                        );
                    }
                    Some(_) => {
                        for (row, column) in dimension.iter_mut().zip(columns) {
                            row.extend(column);
                        }
                    }
                }
            }
            dimensions.push(dimension);
        }
        dimensions
    }

    fn product(&mut self, dimensions: &[Dimension], node: Option<&Node>) -> Vec<Assignment> {
        let count = dimensions
            .iter()
            .try_fold(1_usize, |count, dimension| {
                count.checked_mul(dimension.len())
            })
            .filter(|count| *count <= MOST_CELLS);
        if count.is_none() {
            self.diagnostics.error(
                "spec::grid",
                super::data::span_of(node),
                format!("the grid has more than {MOST_CELLS} cells"),
            );
            return Vec::new();
        }
        let mut cells: Vec<Assignment> = vec![Vec::new()];
        for dimension in dimensions {
            cells = cells
                .iter()
                .flat_map(|cell| {
                    dimension.iter().map(|assignment| {
                        let mut next = cell.clone();
                        next.extend(assignment.iter().cloned());
                        next
                    })
                })
                .collect();
        }
        cells
    }

    /// Reads `{axis: value or values}`; `domain` means both of the pair.
    fn pattern(&mut self, node: &Node) -> Option<Vec<(String, Vec<Scalar>)>> {
        let Some(entries) = node.as_map().filter(|entries| !entries.is_empty()) else {
            self.diagnostics.error_with_help(
                "spec::grid",
                node.span,
                format!("{} does not describe cells", node.describe()),
                "write for example `- {method: gru4rec, k: 1}`",
            );
            return None;
        };
        let mut pattern = Vec::new();
        for entry in entries {
            let known =
                entry.key == "domain" || self.axes.iter().any(|axis| axis.name == entry.key);
            if !known {
                let names: Vec<String> = self.axes.iter().map(|axis| axis.name.clone()).collect();
                self.diagnostics.error_with_help(
                    "spec::unknown_axis",
                    entry.span,
                    format!("the grid has no axis `{}`", entry.key),
                    suggestion(&entry.key, names.iter().map(String::as_str)),
                );
                continue;
            }
            let values = axis::values(&entry.key, &entry.value, self.diagnostics);
            if entry.key == "domain" {
                pattern.push(("train".to_owned(), values.clone()));
                pattern.push(("test".to_owned(), values));
            } else {
                pattern.push((entry.key.clone(), values));
            }
        }
        Some(pattern)
    }

    fn exclude(&mut self, cells: Vec<Assignment>, node: &Node) -> Vec<Assignment> {
        let mut cells = cells;
        for item in node.as_list().unwrap_or(std::slice::from_ref(node)) {
            let Some(pattern) = self.pattern(item) else {
                continue;
            };
            let before = cells.len();
            cells.retain(|cell| {
                !pattern.iter().all(|(name, values)| {
                    cell.iter()
                        .any(|(axis, value)| axis == name && values.contains(value))
                })
            });
            if cells.len() == before && !pattern.is_empty() && self.diagnostics.is_empty() {
                self.diagnostics.error_with_help(
                    "spec::exclude",
                    item.span,
                    "this excludes no cell",
                    "compare its values with those of the axes",
                );
            }
        }
        cells
    }

    /// Adds cells: named axes take the given values, the others all of theirs.
    fn include(&mut self, cells: &mut Vec<Assignment>, dimensions: &[Dimension], node: &Node) {
        for item in node.as_list().unwrap_or(std::slice::from_ref(node)) {
            let Some(pattern) = self.pattern(item) else {
                continue;
            };
            for (name, values) in &pattern {
                self.declare(name, values, item.span, false);
            }
            let mut added: Vec<Assignment> = vec![Vec::new()];
            for dimension in dimensions {
                let options = included_options(dimension, &pattern);
                added = added
                    .iter()
                    .flat_map(|cell| {
                        options.iter().map(|option| {
                            let mut next = cell.clone();
                            next.extend(option.iter().cloned());
                            next
                        })
                    })
                    .collect();
            }
            for cell in added {
                if !cells.contains(&cell) {
                    cells.push(cell);
                }
            }
        }
    }

    fn finish(self, assignments: &[Assignment]) -> Grid {
        let mut axes = self.axes;
        let names: BTreeMap<String, usize> = axes
            .iter()
            .enumerate()
            .map(|(index, axis)| (axis.name.clone(), index))
            .collect();
        let cells = assignments
            .iter()
            .map(|assignment| {
                let mut positions = vec![ABSENT; axes.len()];
                for (name, value) in assignment {
                    let Some(axis) = names.get(name) else {
                        continue;
                    };
                    let values = &mut axes[*axis].values;
                    let position =
                        values
                            .iter()
                            .position(|own| own == value)
                            .unwrap_or_else(|| {
                                values.push(value.clone());
                                values.len() - 1
                            });
                    positions[*axis] = position as u32;
                }
                Cell(positions.into_boxed_slice())
            })
            .collect();
        Grid { axes, cells }
    }
}

/// The combinations of one dimension that an `include` entry asks for: those of the grid that
/// agree with it, or, where it names a value the grid lacks, that value itself.
fn included_options(dimension: &Dimension, pattern: &[(String, Vec<Scalar>)]) -> Vec<Assignment> {
    let names: Vec<&String> = dimension
        .first()
        .map(|first| first.iter().map(|(name, _)| name).collect())
        .unwrap_or_default();
    let mut options = dimension.clone();
    for (name, values) in pattern {
        if !names.contains(&name) && !options.iter().flatten().any(|(axis, _)| axis == name) {
            continue;
        }
        let mut next: Vec<Assignment> = Vec::new();
        for value in values {
            for option in &options {
                if !option.iter().any(|(axis, _)| axis == name) {
                    continue;
                }
                let mut changed = option.clone();
                for (axis, own) in &mut changed {
                    if axis == name {
                        *own = value.clone();
                    }
                }
                let agrees = option.contains(&(name.clone(), value.clone()));
                let is_new_value = !options
                    .iter()
                    .any(|option| option.contains(&(name.clone(), value.clone())));
                if (agrees || is_new_value) && !next.contains(&changed) {
                    next.push(changed);
                }
            }
        }
        options = next;
    }
    options
}
