//! An experiment runner for few-shot LLM recommendation research.

pub mod base;
pub mod data;
pub mod report;
pub mod results;
pub mod stage;
