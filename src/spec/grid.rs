//! The grid: axes and cells. [`super::expand`] makes it from the `grid:` block.

use super::backbone;
use super::scalar::Scalar;
use super::source::{Diagnostics, Span};

/// The axes that have a meaning of their own.
pub const STANDARD_AXES: [&str; 7] = ["k", "seed", "method", "variant", "domain", "train", "test"];

/// The variants of TALLRec (paper §3.2): the bare backbone, alpaca tuning, rec-tuning, both.
pub const VARIANTS: [&str; 4] = ["base", "AT", "RT", "AT+RT"];

/// More cells than this are surely a slip.
pub(super) const MOST_CELLS: usize = 100_000;

/// Stands for the value of an axis that a cell lacks.
const ABSENT: u32 = u32::MAX;

/// One axis with every value any cell takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// Its name, as `${name}` refers to it.
    pub name: String,
    /// Its values in the order they were written.
    pub values: Vec<Scalar>,
    /// Where each value was first written.
    pub value_spans: Vec<Span>,
    /// Where its name was written.
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
    /// The cell of a grid with `axes` axes that has these values: pairs of axis and position.
    #[must_use]
    pub fn new(axes: usize, choices: &[(usize, u32)]) -> Self {
        let mut positions = vec![ABSENT; axes];
        for (axis, position) in choices {
            if let Some(slot) = positions.get_mut(*axis) {
                *slot = *position;
            }
        }
        Self(positions.into_boxed_slice())
    }

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
    /// Every cell once for each of several backbones, whose names become an axis.
    pub(super) fn with_backbones(
        mut self,
        names: Vec<(String, Span)>,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let span = names.first().map_or_else(Span::default, |(_, span)| *span);
        if let Some(axis) = self.axis(backbone::AXIS) {
            diagnostics.error_with_help(
                "spec::axis_twice",
                self.axes[axis].span,
                "axis `backbone` is written twice",
                "the list under `backbone:` is an axis already",
            );
            return self;
        }
        if self.cells.len().saturating_mul(names.len()) > MOST_CELLS {
            diagnostics.error(
                "spec::grid",
                span,
                format!("with these backbones the grid has more than {MOST_CELLS} cells"),
            );
            return self;
        }
        let count = names.len() as u32;
        let (values, value_spans) = names
            .into_iter()
            .map(|(name, span)| (Scalar::Text(name), span))
            .unzip();
        self.axes.push(Axis {
            name: backbone::AXIS.to_owned(),
            values,
            value_spans,
            span,
            searched: false,
        });
        let with = |cell: &Cell, position: u32| {
            let mut positions = cell.0.to_vec();
            positions.push(position);
            Cell(positions.into_boxed_slice())
        };
        self.cells = self
            .cells
            .iter()
            .flat_map(|cell| (0..count).map(move |position| with(cell, position)))
            .collect();
        self
    }

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
