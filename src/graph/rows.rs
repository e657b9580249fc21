//! Rows of the result set and the cells that claim them.

use std::collections::BTreeMap;

use petgraph::graph::NodeIndex;

use crate::spec::backbone;
use crate::spec::grid::STANDARD_AXES;
use crate::spec::{Diagnostics, Grid};

/// Outputs of stages.
type Artifacts = Vec<(NodeIndex, usize)>;

/// What each row of the result set is made from: two cells must not claim the same one.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// By source and by the cell's values on the axes a row has columns for: the first cell, and
    /// what its row is read from.
    claimed: BTreeMap<(usize, Vec<u32>), (usize, Artifacts)>,
}

impl Rows {
    /// Claims the row of a cell, and says so if another cell has it for something else.
    pub(super) fn check(
        &mut self,
        grid: &Grid,
        source: usize,
        position: usize,
        found: &[(NodeIndex, usize)],
        diagnostics: &mut Diagnostics,
    ) {
        // A cell whose stages are wrong claims nothing; and one such row is enough to know.
        if !diagnostics.leave_stages_alone() {
            return;
        }
        let is_column = |axis: &usize| {
            let name = grid.axes[*axis].name.as_str();
            STANDARD_AXES.contains(&name) || name == backbone::AXIS
        };
        let cell = &grid.cells[position];
        let columns: Vec<u32> = (0..grid.axes.len())
            .filter(is_column)
            .map(|axis| cell.positions()[axis])
            .collect();
        let (first, known) = self
            .claimed
            .entry((source, columns))
            .or_insert_with(|| (position, found.to_vec()));
        if known == found {
            return;
        }
        let other = &grid.cells[*first];
        let differing: Vec<usize> = (0..grid.axes.len())
            .filter(|axis| !is_column(axis) && cell.position(*axis) != other.position(*axis))
            .collect();
        let Some(axis) = differing.first() else {
            return;
        };
        let names: Vec<&str> = differing
            .iter()
            .map(|axis| grid.axes[*axis].name.as_str())
            .collect();
        let over = if grid.axes[*axis].searched {
            "search".to_owned()
        } else {
            format!("[{}]", names.join(", "))
        };
        diagnostics.error_with_help(
            "graph::same_row",
            grid.axes[*axis].span,
            format!(
                "cells that differ only in `{}` would be the same row of the result set",
                names.join("`, `")
            ),
            format!(
                "its columns are method, variant, train and test domain, K and seed; let a stage \
                 choose among the values (`over: {over}`, as `select` does), or make one experiment \
                 for each value"
            ),
        );
    }
}
