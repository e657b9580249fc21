//! Why a stage failed.

use std::io;
use std::path::{Path, PathBuf};

/// Why a stage did not make its artifacts.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The inputs or parameters do not allow the work.
    #[error("{message}{}", help_line(.help.as_deref()))]
    Input {
        /// What is wrong.
        message: String,
        /// What to do about it.
        help: Option<String>,
    },
    /// Reading or writing a file failed.
    #[error("cannot {action} `{}`: {source}", .path.display())]
    Io {
        /// `read`, `write`, `create`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Something inside failed that has its own error type.
    #[error("{0}")]
    Other(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The run was asked to stop.
    #[error("stopped before it was done; nothing of it was kept")]
    Cancelled,
    /// The stage panicked: a bug.
    #[error("the stage panicked: {0}; this is a bug in runner, please report it")]
    Panicked(String),
}

fn help_line(help: Option<&str>) -> String {
    help.map_or_else(String::new, |help| format!("\n  help: {help}"))
}

impl StageError {
    /// An [`StageError::Input`] without help.
    #[must_use]
    pub fn input(message: impl Into<String>) -> Self {
        Self::Input {
            message: message.into(),
            help: None,
        }
    }

    /// Adds what to do about it; changes nothing but [`StageError::Input`].
    #[must_use]
    pub fn with_help(self, help: impl Into<String>) -> Self {
        match self {
            Self::Input { message, .. } => Self::Input {
                message,
                help: Some(help.into()),
            },
            other => other,
        }
    }

    /// Wraps an error of another module.
    #[must_use]
    pub fn other(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Other(Box::new(error))
    }

    /// For `map_err` on file operations.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
