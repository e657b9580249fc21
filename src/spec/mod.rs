//! YAML text → validated [`experiment::Experiment`] and [`pipeline::Pipeline`] with places, and the [`grid::Grid`] of cells.
//!
//! Route: [`yaml::parse`] → [`overrides`] (`--set`) → [`experiment`] and [`pipeline`] → [`expand`] → [`grid`].
//! All problems of a file are collected in [`Diagnostics`] and shown at once.

pub mod axis;
pub mod backbone;
pub mod candidates;
mod check;
pub mod data;
mod device;
pub mod expand;
pub mod experiment;
pub mod fidelity;
pub mod files;
pub mod grid;
pub mod limits;
pub mod mistake;
mod model_block;
pub mod only;
pub mod overrides;
pub mod pipeline;
pub mod report;
pub mod scalar;
pub mod schema;
pub mod source;
pub mod systems;
pub mod template;
pub mod text_encoder;
pub mod yaml;

pub use experiment::{Experiment, LoadError, Request, Vocabulary};
pub use grid::{Cell, Grid};
pub use pipeline::Pipeline;
pub use scalar::Scalar;
pub use source::{Diagnostic, Diagnostics, Sources, Span, SpecError};
pub use yaml::Node;
