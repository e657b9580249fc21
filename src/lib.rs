//! An experiment runner for few-shot LLM recommendation research.

pub mod base;
pub mod data;
pub mod metric;
pub mod nn;
pub mod recommender;
pub mod stage;
pub mod train;
