//! The live page of a run: its journal, folded into a state that a page on this machine polls.
//!
//! The journal is the only source, so a page shows any run, from any process: one that runs, one
//! that ended, one that was killed. Nothing here writes.

mod page;
mod request;
mod server;
mod view;
mod watch;

pub use request::status_line;
pub use server::{PORTS, Server, listen};
pub use watch::{Places, Watch};
