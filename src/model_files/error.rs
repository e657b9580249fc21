//! Why a model's files cannot be read, fetched or written.

use std::io;
use std::path::PathBuf;

/// Why a model's files cannot be read, fetched or written.
#[derive(Debug, thiserror::Error)]
pub enum ModelFileError {
    /// Something in a file is not as it must be.
    #[error("`{}`: {message}{}", .path.display(), help_line(.help))]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        message: String,
        /// What to do about it; may be empty.
        help: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} `{}`: {source}", .path.display())]
    Io {
        /// `read`, `write`, `create`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The hub could not be reached, or broke off.
    #[error("{message}{}", help_line(.help))]
    Network {
        /// What is wrong.
        message: String,
        /// What to do about it; may be empty.
        help: String,
    },
    /// What was asked cannot be.
    #[error("{message}{}", help_line(.help))]
    Invalid {
        /// What is wrong.
        message: String,
        /// What to do about it; may be empty.
        help: String,
    },
}

fn help_line(help: &str) -> String {
    if help.is_empty() {
        String::new()
    } else {
        format!("\n  help: {help}")
    }
}

impl ModelFileError {
    /// Something wrong in a file.
    pub fn file(path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self::File {
            path: path.into(),
            message: message.into(),
            help: String::new(),
        }
    }

    /// Something that cannot be.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid {
            message: message.into(),
            help: String::new(),
        }
    }

    /// The same as a failure of the network, which another try may not have.
    #[must_use]
    pub fn of_the_network(self) -> Self {
        match self {
            Self::Invalid { message, help } => Self::Network { message, help },
            other => other,
        }
    }

    /// Whether the network is to blame.
    #[must_use]
    pub fn is_of_the_network(&self) -> bool {
        matches!(self, Self::Network { .. })
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_help(mut self, text: impl Into<String>) -> Self {
        if let Self::File { help, .. } | Self::Invalid { help, .. } = &mut self {
            *help = text.into();
        }
        self
    }

    /// For `map_err` on a file operation.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

/// A text from a file in an error.
pub(crate) fn clipped(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut short: String = text
        .chars()
        .take(LONGEST)
        .map(|letter| {
            if letter.is_control() {
                '\u{fffd}'
            } else {
                letter
            }
        })
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}
