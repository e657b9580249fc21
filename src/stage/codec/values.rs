//! Any Parquet file as plain values, for people to look at.

use std::fs::File;
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt32Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Value, json};

use crate::data::frame::batches;

/// A table of plain values.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueTable {
    /// Column names.
    pub columns: Vec<String>,
    /// Rows, each with one value a column.
    pub rows: Vec<Vec<Value>>,
}

/// Reads a Parquet file whatever its columns are.
///
/// # Errors
/// A sentence, if the file is not Parquet or cannot be read.
pub fn read_values(path: &Path) -> Result<ValueTable, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let reader = batches(file).map_err(|error| error.to_string())?;
    let mut table = ValueTable {
        columns: Vec::new(),
        rows: Vec::new(),
    };
    for batch in reader {
        let batch = batch.map_err(|error| error.to_string())?;
        if table.columns.is_empty() {
            let schema = batch.schema();
            table.columns = schema
                .fields()
                .iter()
                .map(|field| field.name().clone())
                .collect();
        }
        for row in 0..batch.num_rows() {
            let values = batch
                .columns()
                .iter()
                .map(|column| value(column.as_ref(), row))
                .collect();
            table.rows.push(values);
        }
    }
    Ok(table)
}

fn value(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Boolean => json!(array.as_boolean().value(row)),
        DataType::UInt32 => json!(array.as_primitive::<UInt32Type>().value(row)),
        DataType::Int64 => json!(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => json!(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => json!(array.as_string::<i32>().value(row)),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            Value::Array(
                (0..items.len())
                    .map(|at| value(items.as_ref(), at))
                    .collect(),
            )
        }
        // Columns that only other programs write are shown as arrow shows them.
        _ => ArrayFormatter::try_new(array, &FormatOptions::default())
            .map_or(Value::Null, |formatter| {
                json!(formatter.value(row).to_string())
            }),
    }
}
