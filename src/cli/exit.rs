//! Exit codes and the error that ends a command.

use std::process::ExitCode;

use crate::artifact::StoreError;
use crate::plan::PlanError;
use crate::spec::LoadError;
use crate::study::StudyError;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All went well.
    Fine,
    /// A bug.
    Bug,
    /// Wrong usage.
    Usage,
    /// `diff --fail-on` found what it was asked for, or `report --check` a file that does not follow.
    Differs,
    /// An invalid experiment or pipeline.
    Invalid,
    /// A stage failed.
    StageFailed,
    /// Interrupted before everything was done.
    Interrupted,
    /// The store or a folder cannot be used.
    Unusable,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Fine => 0,
            Exit::Bug => 1,
            Exit::Usage => 2,
            Exit::Differs => 3,
            Exit::Invalid => 10,
            Exit::StageFailed => 20,
            Exit::Interrupted => 21,
            Exit::Unusable => 30,
        })
    }
}

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The study cannot go on.
    #[error(transparent)]
    Study(#[from] StudyError),
    /// Wrong arguments, beyond what the parser sees.
    #[error("{0}")]
    Usage(String),
    /// What was asked for is not there.
    #[error("{0}")]
    NotThere(String),
    /// Standard output or a folder cannot be used.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Stages need more memory than there is.
    #[error("{0}")]
    TooLarge(String),
    /// A stage failed while preparing what was asked for.
    #[error("{0}")]
    Failed(String),
}

impl CliError {
    /// The exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::NotThere(_) => Exit::Usage,
            Self::TooLarge(_) => Exit::Invalid,
            Self::Failed(_) => Exit::StageFailed,
            Self::Io { .. } => Exit::Unusable,
            Self::Study(study) => match study {
                StudyError::Load(LoadError::Invalid(_))
                | StudyError::Spec(_)
                | StudyError::Plan(PlanError::Unreadable { .. }) => Exit::Invalid,
                StudyError::Load(LoadError::Unreadable { .. }) | StudyError::Device(_) => {
                    Exit::Usage
                }
                StudyError::Store(_)
                | StudyError::Plan(PlanError::Store(_))
                | StudyError::Report(_)
                | StudyError::Artifact { .. }
                | StudyError::Stage(_) => Exit::Unusable,
                StudyError::Results(_) => Exit::Bug,
            },
        }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        Self::Study(error.into())
    }
}
