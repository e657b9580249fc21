//! Why a table cannot be read or written.

use std::io;
use std::path::PathBuf;

/// Why a table cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The file cannot be opened or created.
    #[error("cannot {action} `{}`: {source}", .path.display())]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file is not Parquet, or writing stopped.
    #[error("`{}`: {source}", .path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: parquet::errors::ParquetError,
    },
    /// The columns do not make a table.
    #[error("`{}`: {source}", .path.display())]
    Arrow {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: arrow::error::ArrowError,
    },
    /// A column is missing or of another type.
    #[error("`{}` has no column `{column}` of type {expected}", .path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// The column.
        column: &'static str,
        /// Its type.
        expected: &'static str,
    },
    /// A value that must be there is null.
    #[error("`{}`: row {row} has no `{column}`", .path.display())]
    Null {
        /// The file.
        path: PathBuf,
        /// The column.
        column: &'static str,
        /// The row, from 0.
        row: usize,
    },
    /// A picture cannot be drawn.
    #[error("`{}` cannot be drawn: {message}", .path.display())]
    Drawing {
        /// The file.
        path: PathBuf,
        /// The reason.
        message: String,
    },
}
