//! `predictions.parquet`: row, user, label, score.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, Float64Array, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema};

use super::CodecError;
use super::table::{column, read_table, write_table};
use crate::metric::Prediction;

/// Writes predictions in their order; `user` is null where the source tells none.
///
/// # Errors
/// If the file cannot be written.
pub fn write_predictions(path: &Path, predictions: &[Prediction]) -> Result<(), CodecError> {
    let schema = Schema::new(vec![
        Field::new("row", DataType::UInt32, false),
        Field::new("user", DataType::Utf8, true),
        Field::new("label", DataType::Boolean, false),
        Field::new("score", DataType::Float64, false),
    ]);
    let rows: UInt32Array = predictions.iter().map(|p| Some(p.row)).collect();
    let users: StringArray = predictions.iter().map(|p| p.user.as_deref()).collect();
    let labels: BooleanArray = predictions.iter().map(|p| Some(p.label)).collect();
    let scores: Float64Array = predictions.iter().map(|p| Some(p.score)).collect();
    let columns: Vec<Arc<dyn Array>> = vec![
        Arc::new(rows),
        Arc::new(users),
        Arc::new(labels),
        Arc::new(scores),
    ];
    write_table(path, schema, columns)
}

/// Reads predictions.
///
/// # Errors
/// If the file is not what [`write_predictions`] writes.
pub fn read_predictions(path: &Path) -> Result<Vec<Prediction>, CodecError> {
    let mut predictions = Vec::new();
    for batch in read_table(path)? {
        let rows: &UInt32Array = column(path, &batch, "row", "uint32", false)?;
        let users: &StringArray = column(path, &batch, "user", "string", true)?;
        let labels: &BooleanArray = column(path, &batch, "label", "bool", false)?;
        let scores: &Float64Array = column(path, &batch, "score", "double", false)?;
        predictions.extend((0..batch.num_rows()).map(|at| Prediction {
            row: rows.value(at),
            user: users.is_valid(at).then(|| users.value(at).to_owned()),
            label: labels.value(at),
            score: scores.value(at),
        }));
    }
    Ok(predictions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predictions_read_back_exactly_and_write_the_same_bytes() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("predictions.parquet");
        let predictions = [
            Prediction {
                row: 7,
                user: None,
                label: true,
                score: 0.1 + 0.2,
            },
            Prediction {
                row: 9,
                user: Some("ü".to_owned()),
                label: false,
                score: f64::MIN_POSITIVE,
            },
        ];
        for predictions in [&predictions[..], &[]] {
            write_predictions(&path, predictions).expect("write");
            let bytes = std::fs::read(&path).expect("read");
            assert_eq!(read_predictions(&path).expect("read"), predictions);
            write_predictions(&path, predictions).expect("write");
            assert_eq!(std::fs::read(&path).expect("read"), bytes);
        }
        super::super::write_curve(&path, &[]).expect("write");
        write_predictions(&path, &predictions).expect("write");
        let wrong = super::super::read_curve(&path);
        assert!(matches!(wrong, Err(CodecError::Column { .. })));
    }
}
