//! One JSON object a line: what `--json` prints.

use std::io::{self, Write};

use super::Reporter;
use crate::base::Event;

/// Writes every event as a JSON line.
pub struct JsonLines<W>(W);

impl<W: Write> JsonLines<W> {
    /// Writes to `target`.
    pub fn new(target: W) -> Self {
        Self(target)
    }
}

impl<W: Write> Reporter for JsonLines<W> {
    fn name(&self) -> &'static str {
        "json"
    }

    fn on_event(&mut self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event).map_err(io::Error::other)?;
        line.push(b'\n');
        self.0.write_all(&line)?;
        self.0.flush()
    }
}
