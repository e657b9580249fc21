//! A run as its journal tells it at the moment: alive or not, and how it stands.

use std::fmt;
use std::io;

use serde::Serialize;

use super::follow::{JournalFile, JournalReader};
use super::run_state::RunState;
use crate::base::Event;

/// A run, read as far as its journal goes.
#[derive(Debug)]
pub(crate) struct KnownRun {
    pub(crate) journal: JournalFile,
    pub(crate) state: RunState,
    /// Whether somebody writes the journal, or will.
    pub(crate) alive: bool,
    reader: JournalReader,
}

/// How a run stands as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// Its runner lives.
    Running,
    /// Everything it was to do is done.
    Finished,
    /// It ended with stages that failed.
    Failed,
    /// It was interrupted and said so.
    Stopped,
    /// Its runner went away without a word.
    Killed,
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Killed => "killed",
        })
    }
}

impl KnownRun {
    /// A run whose journal need not exist yet, and of which nothing is read yet.
    pub(crate) fn new(journal: JournalFile) -> Self {
        Self {
            reader: JournalReader::new(journal.path.clone()),
            state: RunState::awaited(&journal.experiment, journal.started_ms),
            alive: true,
            journal,
        }
    }

    /// A run as it stands now.
    ///
    /// # Errors
    /// If its journal cannot be read.
    pub(crate) fn read(journal: JournalFile) -> io::Result<Self> {
        let mut run = Self::new(journal);
        run.read_on(&mut RunState::fold)?;
        Ok(run)
    }

    /// Takes in what was added since the last time. `each` has to fold every event into the state.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub(crate) fn read_on(&mut self, each: &mut dyn FnMut(&mut RunState, Event)) -> io::Result<()> {
        // Asked first: a runner that goes after this has said good-bye in what is read below.
        self.alive = self.reader.is_written()?;
        let state = &mut self.state;
        self.reader.read_on(&mut |event| each(state, event))?;
        if !self.alive && self.state.ended.is_none() {
            self.state.runner_is_gone();
        }
        Ok(())
    }

    /// How the run stands as a whole.
    pub(crate) fn outcome(&self) -> Outcome {
        match &self.state.ended {
            Some(ended) if ended.failed > 0 => Outcome::Failed,
            Some(ended) if ended.cancelled > 0 => Outcome::Stopped,
            Some(_) => Outcome::Finished,
            None if self.alive => Outcome::Running,
            None => Outcome::Killed,
        }
    }

    /// How many lines of the journal are damaged or of another version of the program; a last line
    /// that a kill cut off is one.
    pub(crate) fn unread_lines(&self) -> usize {
        self.reader.unread_lines() + usize::from(!self.alive && self.reader.is_torn())
    }
}
