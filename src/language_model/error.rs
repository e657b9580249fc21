//! Why a language model cannot be read, run or written.

use std::io;
use std::path::PathBuf;

use crate::model_files::ModelFileError;

/// Why a language model cannot be read, run or written.
#[derive(Debug, thiserror::Error)]
pub enum LanguageModelError {
    /// Something in its files, or in what was asked of it, is not as it must be.
    #[error(transparent)]
    Files(#[from] ModelFileError),
    /// candle or the device refused an operation.
    #[error("{at}: {source}")]
    Candle {
        /// Where in the model.
        at: String,
        /// The reason, with shapes.
        source: candle_core::Error,
    },
}

impl LanguageModelError {
    /// Something wrong in a file.
    pub fn file(path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self::Files(ModelFileError::file(path, message))
    }

    /// Something that cannot be.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Files(ModelFileError::invalid(message))
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_help(self, text: impl Into<String>) -> Self {
        match self {
            Self::Files(error) => Self::Files(error.with_help(text)),
            other @ Self::Candle { .. } => other,
        }
    }

    /// For `map_err` on what candle does. Where backtraces are asked for, candle has its own in the
    /// message; what people read is the reason.
    pub(crate) fn candle(at: &str) -> impl FnOnce(candle_core::Error) -> Self {
        let at = at.to_owned();
        move |source| Self::Candle {
            at,
            source: match source {
                candle_core::Error::WithBacktrace { inner, .. } => *inner,
                other => other,
            },
        }
    }

    /// For `map_err` on a file operation.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let wrapped = ModelFileError::io(action, path);
        move |source| Self::Files(wrapped(source))
    }
}
