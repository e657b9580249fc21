//! The run journal: the events of one run in a file, for `runner status` and later questions.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::Reporter;
use crate::base::{Event, EventKind};

/// Writes events to `<folder>/<experiment>-<start>.jsonl`, made at the first event.
pub struct Journal {
    path: PathBuf,
    file: Option<BufWriter<File>>,
}

impl Journal {
    /// A journal at `path`.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    /// Reads a journal back; a last line cut off by a kill is passed over.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(path: &Path) -> io::Result<Vec<Event>> {
        Ok(fs::read_to_string(path)?
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect())
    }
}

impl Reporter for Journal {
    fn name(&self) -> &'static str {
        "journal"
    }

    fn on_event(&mut self, event: &Event) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                if let Some(folder) = self.path.parent() {
                    fs::create_dir_all(folder)?;
                }
                self.file.insert(BufWriter::new(File::create(&self.path)?))
            }
        };
        let mut line = serde_json::to_vec(event).map_err(io::Error::other)?;
        line.push(b'\n');
        file.write_all(&line)?;
        // Numbers that come by the thousand may wait; what happened to a stage may not.
        let may_wait = matches!(
            event.kind,
            EventKind::StageProgress { .. } | EventKind::Measured { .. }
        );
        if may_wait { Ok(()) } else { file.flush() }
    }
}
