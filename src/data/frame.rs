//! Samples in a file. Stands in for the Parquet reader and writer until they are merged.

use std::path::Path;

use super::Sample;

/// Why a file of samples cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The file does not hold samples.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// Reads samples.
///
/// # Errors
/// If the file cannot be read.
pub fn read_samples(path: &Path) -> Result<Vec<Sample>, FrameError> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

/// Writes samples.
///
/// # Errors
/// If the file cannot be written.
pub fn write_samples(path: &Path, samples: &[Sample]) -> Result<(), FrameError> {
    Ok(std::fs::write(path, serde_json::to_vec(samples)?)?)
}
