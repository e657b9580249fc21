//! An experiment runner for few-shot LLM recommendation research.

pub mod artifact;
pub mod base;
pub mod data;
pub mod graph;
pub mod metric;
pub mod nn;
pub mod plan;
pub mod recommender;
pub mod report;
pub mod reporter;
pub mod results;
pub mod schedule;
pub mod spec;
pub mod stage;
pub mod train;
