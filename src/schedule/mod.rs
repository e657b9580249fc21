//! Runs a plan: one dispatcher owns all state, workers only send messages.
//!
//! - A stage becomes *ready* when everything it uses is made. Its key is then known; if the store
//!   has a manifest for it, the stage is fresh after all (early cutoff, or another runner made
//!   it) and nothing runs.
//! - Ready stages that must run wait for a place on their lane, longest remaining path first.
//! - A stage whose lock another runner holds is set aside and looked at again, while others run.
//! - A stage whose key a running stage of this run has waits for that one and is then fresh.
//! - Before a stage runs, the bytes of its inputs are compared with their digests. Missing or
//!   damaged bytes send their maker back to work, once, and the stage waits for it.
//! - A failure skips what depends on it and nothing else. One that another try can help is tried
//!   again first; out of memory, with less at once.
//! - Stages of the accelerator lane are done by a worker process, which may break down, hang or
//!   be killed without taking anything else with it.

mod child;
mod crew;
mod device_queue;
mod dispatcher;
mod forecast;
mod interrupt;
mod launch;
mod needs;
mod order;
mod process;
mod recompute;
mod shape;
mod tries;
mod wire;
mod work;

pub use child::serve;
pub use dispatcher::{Fitted, NodeState, Options, RunSummary, run};
pub use interrupt::Interrupt;
pub use order::backbones_in_order;
pub use process::WorkerCommand;
pub use recompute::{Recomputer, Remade};
