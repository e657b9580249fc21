//! Why data cannot be used: the place, what stands there, and what to do about it.

use std::fmt;
use std::io;

/// A place in a text file, as editors and compilers write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, as the user knows it.
    pub file: String,
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1, where it is known.
    pub column: Option<u64>,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.file, self.line)?;
        match self.column {
            Some(column) => write!(formatter, ":{column}"),
            None => Ok(()),
        }
    }
}

/// Why data cannot be read, written or used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Reading or writing failed.
    #[error("cannot {action} `{name}`: {source}")]
    Io {
        /// `read`, `write`, `create`.
        action: &'static str,
        /// The file, as the user knows it.
        name: String,
        /// The reason.
        source: io::Error,
    },
    /// Something is wrong at a place in a file.
    #[error("{place}: {message}{}", help_line(.help.as_deref()))]
    At {
        /// Where.
        place: Place,
        /// What is wrong, with the wrong value.
        message: String,
        /// What to do about it.
        help: Option<String>,
    },
    /// Something is wrong with the data as a whole, or with what is asked of them.
    #[error("{message}{}", help_line(.help.as_deref()))]
    Invalid {
        /// What is wrong, with the wrong value.
        message: String,
        /// What to do about it.
        help: Option<String>,
    },
}

fn help_line(help: Option<&str>) -> String {
    help.map_or_else(String::new, |help| format!("\n  help: {help}"))
}

impl DataError {
    /// A [`DataError::Invalid`] without help.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid {
            message: message.into(),
            help: None,
        }
    }

    /// Adds what to do about it; a failed reading or writing already says all there is.
    #[must_use]
    pub fn with_help(self, advice: impl Into<String>) -> Self {
        match self {
            Self::At { place, message, .. } => Self::At {
                place,
                message,
                help: Some(advice.into()),
            },
            Self::Invalid { message, .. } => Self::Invalid {
                message,
                help: Some(advice.into()),
            },
            io @ Self::Io { .. } => io,
        }
    }

    /// For `map_err` on file operations.
    pub fn io(action: &'static str, name: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let name = name.into();
        move |source| Self::Io {
            action,
            name,
            source,
        }
    }
}

/// A text as an error shows it: no control characters, not longer than a line or so.
#[must_use]
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 120;
    let mut short: String = text
        .chars()
        .take(LONGEST)
        .map(|letter| match letter {
            '\t' => '→',
            letter if letter.is_control() => '\u{fffd}',
            letter => letter,
        })
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}
