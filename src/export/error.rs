//! Why something cannot be exported.

use std::io;
use std::path::{Path, PathBuf};

use crate::stage::codec::CodecError;

/// Why something cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Something else stands where the export should go.
    #[error("`{}` {what}\n  help: name another path with --to", .path.display())]
    Foreign {
        /// The place.
        path: PathBuf,
        /// What it is, as the end of a sentence.
        what: String,
    },
    /// A number does not fit the format.
    #[error("{what} is {value}, and the format has whole numbers below 2^63 only")]
    TooLarge {
        /// What the number is.
        what: String,
        /// The number.
        value: u64,
    },
    /// A file or folder cannot be read or written.
    #[error("cannot {action} `{}`: {source}", .path.display())]
    Io {
        /// `read`, `write` or `create`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A table or an event file cannot be written.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl ExportError {
    /// For `map_err`: what was tried with which path.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    pub(super) fn foreign(path: &Path, what: impl Into<String>) -> Self {
        Self::Foreign {
            path: path.to_owned(),
            what: what.into(),
        }
    }
}
