//! Pipeline × grid → [`StageGraph`]: every stage once per distinct value of what it refers to.
//!
//! A template is evaluated from the top: for every cell and every target, its references are
//! looked up (values given by `with:`, then axes, then the experiment's variables) and its
//! inputs are evaluated in turn. Which axes were read on the way is remembered, so the next cell
//! that agrees on them gets the same node at once. Nodes that turn out equal (same kind,
//! parameters and inputs) are one node.

mod build;
mod check;
mod environment;
mod export;
mod node;
mod rows;

pub use build::{build, build_only};
pub use export::{Format, export};
pub use node::{MetricSource, NodeInput, NodeSource, SourceReference, StageGraph, StageNode};
