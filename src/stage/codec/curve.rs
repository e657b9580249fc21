//! `curve.parquet`: epoch, loss, `valid_auc`.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, Float64Array, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema};

use super::CodecError;
use super::table::{column, read_table, write_table};
use crate::train::Epoch;

/// Writes a learning curve; no rows for what is not trained.
///
/// # Errors
/// If the file cannot be written.
pub fn write_curve(path: &Path, curve: &[Epoch]) -> Result<(), CodecError> {
    let schema = Schema::new(vec![
        Field::new("epoch", DataType::UInt32, false),
        Field::new("loss", DataType::Float64, false),
        Field::new("valid_auc", DataType::Float64, false),
    ]);
    let epochs: UInt32Array = curve.iter().map(|point| Some(point.epoch as u32)).collect();
    let losses: Float64Array = curve.iter().map(|point| Some(point.loss)).collect();
    let areas: Float64Array = curve.iter().map(|point| Some(point.valid_auc)).collect();
    let columns: Vec<Arc<dyn Array>> = vec![Arc::new(epochs), Arc::new(losses), Arc::new(areas)];
    write_table(path, schema, columns)
}

/// Reads a learning curve.
///
/// # Errors
/// If the file is not what [`write_curve`] writes.
pub fn read_curve(path: &Path) -> Result<Vec<Epoch>, CodecError> {
    let mut curve = Vec::new();
    for batch in read_table(path)? {
        let epochs: &UInt32Array = column(path, &batch, "epoch", "uint32", false)?;
        let losses: &Float64Array = column(path, &batch, "loss", "double", false)?;
        let areas: &Float64Array = column(path, &batch, "valid_auc", "double", false)?;
        curve.extend((0..batch.num_rows()).map(|at| Epoch {
            epoch: epochs.value(at) as usize,
            loss: losses.value(at),
            valid_auc: areas.value(at),
        }));
    }
    Ok(curve)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_read_back() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("curve.parquet");
        let curve = vec![Epoch {
            epoch: 1,
            loss: 0.25,
            valid_auc: 0.5,
        }];
        write_curve(&path, &curve).expect("write");
        assert_eq!(read_curve(&path).expect("read"), curve);
    }
}
