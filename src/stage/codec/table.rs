//! One record batch to and from a Parquet file; the same columns give the same bytes.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::Schema;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::CodecError;
use crate::data::frame::batches;

/// Writes one table.
///
/// # Errors
/// If the columns do not fit the schema or the file cannot be written.
pub fn write_table(
    path: &Path,
    schema: Schema,
    columns: Vec<Arc<dyn Array>>,
) -> Result<(), CodecError> {
    let schema = Arc::new(schema);
    let batch =
        RecordBatch::try_new(Arc::clone(&schema), columns).map_err(|source| CodecError::Arrow {
            path: path.to_owned(),
            source,
        })?;
    let file = File::create(path).map_err(|source| CodecError::Io {
        action: "write",
        path: path.to_owned(),
        source,
    })?;
    let parquet = |source| CodecError::Parquet {
        path: path.to_owned(),
        source,
    };
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by("runner".to_owned())
        .build();
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties)).map_err(parquet)?;
    writer.write(&batch).map_err(parquet)?;
    writer.close().map_err(parquet)?;
    Ok(())
}

/// Reads all record batches of a file.
///
/// # Errors
/// If the file cannot be read or is not Parquet.
pub fn read_table(path: &Path) -> Result<Vec<RecordBatch>, CodecError> {
    let file = File::open(path).map_err(|source| CodecError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    let parquet = |source| CodecError::Parquet {
        path: path.to_owned(),
        source,
    };
    batches(file)
        .map_err(parquet)?
        .collect::<Result<_, _>>()
        .map_err(|source| CodecError::Arrow {
            path: path.to_owned(),
            source,
        })
}

/// A column of a batch, by name and type; `nullable` says whether it may have gaps.
///
/// # Errors
/// If it is missing, of another type, or has gaps it should not have.
pub fn column<'a, T: Array + 'static>(
    path: &Path,
    batch: &'a RecordBatch,
    column: &'static str,
    expected: &'static str,
    nullable: bool,
) -> Result<&'a T, CodecError> {
    let array = batch
        .column_by_name(column)
        .and_then(|array| array.as_any().downcast_ref::<T>())
        .ok_or_else(|| CodecError::Column {
            path: path.to_owned(),
            column,
            expected,
        })?;
    match (0..array.len()).find(|row| array.is_null(*row)) {
        Some(row) if !nullable => Err(CodecError::Null {
            path: path.to_owned(),
            column,
            row,
        }),
        _ => Ok(array),
    }
}
