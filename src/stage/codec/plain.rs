//! Columns of plain values to a Parquet file, for other programs to read.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, Float64Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::CodecError;
use super::table::write_table;

/// The values of a column; none where there is no value.
#[derive(Debug, Clone, PartialEq)]
pub enum PlainValues {
    /// Texts.
    Texts(Vec<Option<String>>),
    /// Whole numbers, written as int64.
    Wholes(Vec<Option<i64>>),
    /// Numbers, written as float64.
    Numbers(Vec<Option<f64>>),
}

/// A named column.
#[derive(Debug, Clone, PartialEq)]
pub struct PlainColumn {
    /// Its name.
    pub name: &'static str,
    /// Whether the schema says that values may be missing.
    pub nullable: bool,
    /// Its values, as many as in every other column.
    pub values: PlainValues,
}

/// Writes columns of equal length as one table; the same columns give the same bytes.
///
/// # Errors
/// If the columns do not make a table, or the file cannot be written.
pub fn write_plain(path: &Path, columns: &[PlainColumn]) -> Result<(), CodecError> {
    let fields = columns.iter().map(|column| {
        let kind = match column.values {
            PlainValues::Texts(_) => DataType::Utf8,
            PlainValues::Wholes(_) => DataType::Int64,
            PlainValues::Numbers(_) => DataType::Float64,
        };
        Field::new(column.name, kind, column.nullable)
    });
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let arrays = columns.iter().map(|column| -> Arc<dyn Array> {
        match &column.values {
            PlainValues::Texts(values) => Arc::new(StringArray::from_iter(values)),
            PlainValues::Wholes(values) => Arc::new(Int64Array::from_iter(values)),
            PlainValues::Numbers(values) => Arc::new(Float64Array::from_iter(values)),
        }
    });
    write_table(path, schema, arrays.collect())
}

#[cfg(test)]
mod tests {
    use super::super::read_values;
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_read_back_with_their_gaps() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("plain.parquet");
        let column = |name, nullable, values| PlainColumn {
            name,
            nullable,
            values,
        };
        let columns = [
            column(
                "text",
                true,
                PlainValues::Texts(vec![Some("ü".to_owned()), None]),
            ),
            column("whole", true, PlainValues::Wholes(vec![None, Some(-7)])),
            column(
                "number",
                false,
                PlainValues::Numbers(vec![Some(0.1), Some(1e300)]),
            ),
        ];
        write_plain(&path, &columns).expect("written");
        let bytes = std::fs::read(&path).expect("bytes");
        let table = read_values(&path).expect("read");
        assert_eq!(table.columns, ["text", "whole", "number"]);
        assert_eq!(table.rows[0], [json!("ü"), json!(null), json!(0.1)]);
        assert_eq!(table.rows[1], [json!(null), json!(-7), json!(1e300)]);
        write_plain(&path, &columns).expect("written");
        assert_eq!(std::fs::read(&path).expect("bytes"), bytes);
        let gap = [column("a", false, PlainValues::Numbers(vec![None]))];
        assert!(write_plain(&path, &gap).is_err());
    }
}
