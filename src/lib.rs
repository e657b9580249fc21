//! An experiment runner for few-shot LLM recommendation research.

pub mod artifact;
pub mod base;
pub mod data;
pub mod graph;
pub mod plan;
pub mod reporter;
pub mod schedule;
pub mod spec;
pub mod stage;
