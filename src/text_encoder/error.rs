//! Why texts cannot be encoded.

use crate::model_files::ModelFileError;

/// Why texts cannot be encoded.
#[derive(Debug, thiserror::Error)]
pub enum TextEncoderError {
    /// Something in the encoder's files, or in what was asked of it, is not as it must be.
    #[error(transparent)]
    Files(#[from] ModelFileError),
    /// candle refused an operation.
    #[error("{at}: {source}")]
    Candle {
        /// Where in the encoder.
        at: &'static str,
        /// The reason, with shapes.
        source: candle_core::Error,
    },
    /// The caller asked to stop.
    #[error("stopped before all texts were encoded")]
    Cancelled,
}

impl TextEncoderError {
    /// For `map_err` on an operation of candle.
    pub fn candle(at: &'static str) -> impl Fn(candle_core::Error) -> Self {
        move |source| Self::Candle { at, source }
    }
}
