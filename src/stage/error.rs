//! Why a stage failed.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model_files::ModelFileError;

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
    /// There was not enough memory.
    #[error("{message}")]
    OutOfMemory {
        /// Whose memory, and how that is known.
        message: String,
    },
    /// What another process that did the work says, or is said of it.
    #[error("{message}")]
    Reported {
        /// What kind of failure it was.
        failure: Failure,
        /// What went wrong, with help if there is some.
        message: String,
    },
    /// The stage panicked: a bug.
    #[error("the stage panicked: {0}; this is a bug in runner, please report it")]
    Panicked(String),
}

/// What kind of failure it was, which decides whether another try can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The same work would fail in the same way again.
    Certain,
    /// A file, a network or a server that may work the next time.
    InputOutput,
    /// Not enough memory: less at once may do.
    OutOfMemory,
    /// The process that did the work was killed from outside, or broke down.
    Killed,
    /// It took longer than it may.
    TimedOut,
    /// It gave no sign of life for longer than it may.
    Silent,
}

impl Failure {
    /// Whether doing the very same again may go well.
    #[must_use]
    pub fn may_pass(self) -> bool {
        match self {
            Self::InputOutput | Self::Killed | Self::TimedOut | Self::Silent => true,
            Self::Certain | Self::OutOfMemory => false,
        }
    }
}

/// Whether an error of the operating system may be gone a moment later.
fn passes(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::Interrupted
            | Kind::TimedOut
            | Kind::WouldBlock
            | Kind::ConnectionRefused
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::NotConnected
            | Kind::BrokenPipe
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
            | Kind::StaleNetworkFileHandle
            | Kind::ResourceBusy
            | Kind::ExecutableFileBusy
    ) || error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
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

    /// What kind of failure this is.
    #[must_use]
    pub fn failure(&self) -> Failure {
        match self {
            Self::Reported { failure, .. } => *failure,
            Self::OutOfMemory { .. } => Failure::OutOfMemory,
            Self::Io { source, .. } => Self::failure_of(source),
            Self::Other(error) => Self::failure_of(error.as_ref()),
            Self::Input { .. } | Self::Cancelled | Self::Panicked(_) => Failure::Certain,
        }
    }

    /// What the causes of an error, from outside in, say about it.
    fn failure_of(error: &(dyn std::error::Error + 'static)) -> Failure {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                if error.kind() == io::ErrorKind::OutOfMemory {
                    return Failure::OutOfMemory;
                }
                if passes(error) {
                    return Failure::InputOutput;
                }
            }
            if let Some(error) = error.downcast_ref::<ModelFileError>()
                && error.is_of_the_network()
            {
                return Failure::InputOutput;
            }
            // The driver's own words; the libraries between us pass them on as a text.
            let text = error.to_string();
            if text.contains("CUDA_ERROR_OUT_OF_MEMORY") || text.contains("out of memory") {
                return Failure::OutOfMemory;
            }
            cause = error.source();
        }
        Failure::Certain
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
