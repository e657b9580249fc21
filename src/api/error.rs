//! Why a question has no answer.

use std::io;
use std::path::PathBuf;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The endpoint refuses, or answers in a way that asking again does not change.
    #[error("{message}{}", help_line(.help))]
    Refused {
        /// What it says.
        message: String,
        /// What to do about it; may be empty.
        help: String,
    },
    /// It failed as often as it was tried, in ways that may pass.
    #[error("{message}{}", help_line(.help))]
    Unavailable {
        /// What happened last, and how often it was tried.
        message: String,
        /// What to do about it; may be empty.
        help: String,
    },
    /// One more question could pass the ceiling of what may be spent.
    #[error("{0}")]
    Ceiling(String),
    /// The file of answers cannot be read or written.
    #[error("cannot {action} `{}`: {source}", .path.display())]
    Io {
        /// `read`, `write`, `lock`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Somebody asked to stop.
    #[error("stopped")]
    Stopped,
}

fn help_line(help: &str) -> String {
    if help.is_empty() {
        String::new()
    } else {
        format!("\n  help: {help}")
    }
}

/// A text of a server as part of a message: one line, not long.
pub(super) fn clipped(text: &str) -> String {
    const MOST: usize = 300;
    let flat: Vec<&str> = text.split_whitespace().collect();
    let flat = flat.join(" ");
    if flat.chars().count() <= MOST {
        return flat;
    }
    let start: String = flat.chars().take(MOST).collect();
    format!("{start} …")
}
