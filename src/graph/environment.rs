//! What a template sees while it is evaluated, and what it looked at.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::base::canonical_json;
use crate::spec::backbone;
use crate::spec::template::Lookup;
use crate::spec::{Cell, Grid};

/// Names that were looked up and can differ between evaluations.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reads {
    /// Axes by position in the grid.
    pub(super) axes: BTreeSet<usize>,
    /// Names given by `with:`.
    pub(super) bound: BTreeSet<String>,
}

impl Reads {
    pub(super) fn extend(&mut self, other: &Self) {
        self.axes.extend(&other.axes);
        self.bound.extend(other.bound.iter().cloned());
    }
}

/// What was found under the names of [`Reads`], in their order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Values {
    positions: Vec<Option<u32>>,
    bound: Vec<Option<String>>,
}

/// A cell, and values given by `with:` on the way down.
#[derive(Debug, Clone)]
pub(super) struct Environment<'e> {
    pub(super) grid: &'e Grid,
    pub(super) cell: &'e Cell,
    pub(super) bound: BTreeMap<String, Value>,
    pub(super) variables: &'e Value,
}

impl<'e> Environment<'e> {
    /// The values of names, for remembering an evaluation.
    pub(super) fn values(&self, reads: &Reads) -> Values {
        Values {
            positions: reads
                .axes
                .iter()
                .map(|axis| self.cell.position(*axis))
                .collect(),
            bound: reads
                .bound
                .iter()
                .map(|name| self.bound.get(name).map(canonical_json))
                .collect(),
        }
    }

    /// `k=16,seed=0`: what tells this instance from the others of its template.
    pub(super) fn label(&self, reads: &Reads) -> String {
        let mut parts: Vec<String> = Vec::new();
        for axis in &reads.axes {
            if let (Some(value), Some(axis)) =
                (self.grid.value(self.cell, *axis), self.grid.axes.get(*axis))
            {
                parts.push(format!("{}={value}", axis.name));
            }
        }
        for name in &reads.bound {
            if let Some(value) = self.bound.get(name) {
                let text = match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                parts.push(format!("{name}={text}"));
            }
        }
        parts.join(",")
    }

    pub(super) fn reader<'r>(&'r self, reads: &'r mut Reads) -> Reader<'e, 'r> {
        Reader {
            environment: self,
            reads,
        }
    }
}

/// Looks names up and remembers which.
pub(super) struct Reader<'e, 'r> {
    environment: &'r Environment<'e>,
    reads: &'r mut Reads,
}

impl Lookup for Reader<'_, '_> {
    fn lookup(&mut self, path: &str) -> Option<Value> {
        let environment = self.environment;
        if let Some(value) = environment.bound.get(path) {
            self.reads.bound.insert(path.to_owned());
            return Some(value.clone());
        }
        if let Some(axis) = environment.grid.axis(path) {
            self.reads.axes.insert(axis);
            return environment
                .grid
                .value(environment.cell, axis)
                .map(crate::spec::Scalar::to_json);
        }
        if path == "search" {
            return Some(self.search());
        }
        let mut at = environment.variables;
        let mut keys = path.split('.');
        // Of several backbones, the cell's.
        if path.starts_with("backbone.")
            && let Some(axis) = environment.grid.axis(backbone::AXIS)
            && let Some(all) = at.get(backbone::ALL)
        {
            self.reads.axes.insert(axis);
            let name = environment.grid.value(environment.cell, axis)?.to_string();
            at = all.get(&name)?;
            keys.next();
        }
        for key in keys {
            at = at.get(key)?;
        }
        (!at.is_null()).then(|| at.clone())
    }
}

impl Reader<'_, '_> {
    /// `${search}`: the cell's hyper-parameters as a mapping.
    fn search(&mut self) -> Value {
        let environment = self.environment;
        let mut map = serde_json::Map::new();
        for (index, axis) in environment.grid.axes.iter().enumerate() {
            if axis.searched {
                self.reads.axes.insert(index);
                if let Some(value) = environment.grid.value(environment.cell, index) {
                    map.insert(axis.name.clone(), value.to_json());
                }
            }
        }
        Value::Object(map)
    }
}
