//! `exclude` and `include`: cells taken out of the product, and cells added to it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Assignment, Builder, Dimension, MOST_CELLS, without_repeats};
use crate::base::nearest::suggestion;
use crate::spec::axis;
use crate::spec::scalar::Scalar;
use crate::spec::source::Span;
use crate::spec::yaml::Node;

/// For each named axis, the values that are meant, each with its place.
type Pattern = Vec<(usize, Vec<(Scalar, Span)>)>;

impl Builder<'_> {
    /// Reads `{axis: value or values}`; `domain` means both of the pair.
    fn pattern(&mut self, node: &Node) -> Option<Pattern> {
        let Some(entries) = node.as_map().filter(|entries| !entries.is_empty()) else {
            self.diagnostics.error_with_help(
                "spec::grid",
                node.span,
                format!("{} does not describe cells", node.describe()),
                "write for example `- {method: gru4rec, k: 1}`",
            );
            return None;
        };
        let mut pattern = Pattern::new();
        let mut sound = true;
        for entry in entries {
            let names: &[&str] = match entry.key.as_str() {
                "domain" => &["train", "test"],
                name => &[name],
            };
            let axes: Vec<usize> = names
                .iter()
                .filter_map(|name| self.axes.iter().position(|axis| axis.name == *name))
                .collect();
            if axes.is_empty() {
                self.diagnostics.error_with_help(
                    "spec::unknown_axis",
                    entry.span,
                    format!("the grid has no axis `{}`", entry.key),
                    suggestion(&entry.key, self.axes.iter().map(|axis| axis.name.as_str())),
                );
                sound = false;
                continue;
            }
            let values = axis::values(&entry.key, &entry.value, self.diagnostics);
            pattern.extend(axes.into_iter().map(|axis| (axis, values.clone())));
        }
        sound.then_some(pattern)
    }

    pub(super) fn exclude(&mut self, cells: &mut Vec<Assignment>, node: &Node) {
        for item in node.as_list().unwrap_or(std::slice::from_ref(node)) {
            let Some(pattern) = self.pattern(item) else {
                continue;
            };
            let wanted: Vec<(usize, BTreeSet<u32>)> = pattern
                .iter()
                .map(|(axis, values)| {
                    let known = values
                        .iter()
                        .filter_map(|(value, _)| self.positions[*axis].get(value).copied());
                    (*axis, known.collect())
                })
                .collect();
            let before = cells.len();
            cells.retain(|cell| {
                !wanted.iter().all(|(axis, positions)| {
                    cell.iter()
                        .any(|(own, position)| own == axis && positions.contains(position))
                })
            });
            if cells.len() == before && self.diagnostics.is_empty() {
                self.excludes_nothing(&pattern, &wanted, item.span);
            }
        }
    }

    fn excludes_nothing(&mut self, pattern: &Pattern, wanted: &[(usize, BTreeSet<u32>)], at: Span) {
        let stranger = pattern
            .iter()
            .zip(wanted)
            .find(|(_, (_, positions))| positions.is_empty())
            .and_then(|((axis, values), _)| Some((&self.axes[*axis], values.first()?)));
        match stranger {
            Some((axis, (value, span))) => {
                let all: Vec<String> = axis.values.iter().map(Scalar::to_string).collect();
                self.diagnostics.error_with_help(
                    "spec::exclude",
                    *span,
                    format!(
                        "this excludes no cell: axis `{}` has no value `{value}`",
                        axis.name
                    ),
                    suggestion(&value.to_string(), all.iter().map(String::as_str)),
                );
            }
            None => self.diagnostics.error_with_help(
                "spec::exclude",
                at,
                "this excludes no cell: no cell of the grid has all of these values",
                "an earlier `exclude` may have removed them already; take this one out",
            ),
        }
    }

    /// Adds cells: named axes take the given values, the others all of theirs.
    pub(super) fn include(
        &mut self,
        cells: &mut Vec<Assignment>,
        dimensions: &[Dimension],
        node: &Node,
    ) {
        let mut known: BTreeSet<Assignment> = cells.iter().cloned().collect();
        for item in node.as_list().unwrap_or(std::slice::from_ref(node)) {
            let Some(pattern) = self.pattern(item) else {
                continue;
            };
            let wanted: Vec<(usize, Vec<u32>)> = pattern
                .into_iter()
                .map(|(axis, values)| {
                    let name = self.axes[axis].name.clone();
                    let positions = values
                        .iter()
                        .map(|(value, span)| self.value(axis, &name, value, *span));
                    (axis, positions.collect())
                })
                .collect();
            let options: Option<Vec<Dimension>> = dimensions
                .iter()
                .map(|dimension| included_options(dimension, &wanted))
                .collect();
            let Some(options) = options else {
                self.too_many_cells(item.span);
                return;
            };
            for cell in self.product(&options, item.span) {
                if known.insert(cell.clone()) {
                    cells.push(cell);
                }
            }
            if cells.len() > MOST_CELLS {
                self.too_many_cells(item.span);
                return;
            }
        }
    }
}

/// The combinations of one dimension that an `include` entry asks for: those of the grid that
/// agree with it, or, where it names a value the grid lacks, that value itself. None if they are more
/// than there may be cells.
fn included_options(dimension: &Dimension, wanted: &[(usize, Vec<u32>)]) -> Option<Dimension> {
    let mut options = dimension.clone();
    for (axis, positions) in wanted {
        let mut by_position: BTreeMap<u32, Vec<&Assignment>> = BTreeMap::new();
        let mut rest = Dimension::new();
        for option in &options {
            if let Some((_, position)) = option.iter().find(|(own, _)| own == axis) {
                by_position.entry(*position).or_default().push(option);
                rest.push(with(option, *axis, u32::MAX));
            }
        }
        if by_position.is_empty() {
            continue;
        }
        // What goes with a value that the grid lacks; taken once, however many values went with it.
        let rest = without_repeats(rest);
        let mut next = Dimension::new();
        for position in positions {
            match by_position.get(position) {
                Some(agreeing) => next.extend(agreeing.iter().map(|option| (*option).clone())),
                None => next.extend(rest.iter().map(|option| with(option, *axis, *position))),
            }
            if next.len() > MOST_CELLS {
                return None;
            }
        }
        options = without_repeats(next);
    }
    Some(options)
}

/// A combination with another value on one axis.
fn with(option: &Assignment, axis: usize, position: u32) -> Assignment {
    let mut changed = option.clone();
    for (own, value) in &mut changed {
        if *own == axis {
            *value = position;
        }
    }
    changed
}
