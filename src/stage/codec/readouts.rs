//! `readouts.parquet`: what a language model said about each row.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, Float32Array, Float64Array, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema};

use super::CodecError;
use super::table::write_table;

/// What a language model said about one row.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadoutRow {
    /// The sample.
    pub row: u32,
    /// blake3 of the prompt's text, as 64 hexadecimal digits.
    pub prompt_digest: String,
    /// Tokens of the prompt.
    pub tokens: u32,
    /// Logit of the first token of `Yes.`
    pub logit_yes: f32,
    /// Logit of the first token of `No.`
    pub logit_no: f32,
    /// Logarithm of the sum of e^logit over the vocabulary.
    pub log_normaliser: f32,
    /// sigmoid(logit of yes − logit of no).
    pub pair: f64,
    /// The released score: sigmoid(p of yes − p of no), p over the whole vocabulary.
    pub double_softmax: f64,
    /// The sample's label.
    pub label: bool,
}

/// Writes rows in their order.
///
/// # Errors
/// If the file cannot be written.
pub fn write_readouts(path: &Path, rows: &[ReadoutRow]) -> Result<(), CodecError> {
    let field = |name: &str, kind| Field::new(name, kind, false);
    let schema = Schema::new(vec![
        field("row", DataType::UInt32),
        field("prompt_digest", DataType::Utf8),
        field("tokens", DataType::UInt32),
        field("logit_yes", DataType::Float32),
        field("logit_no", DataType::Float32),
        field("log_normaliser", DataType::Float32),
        field("pair", DataType::Float64),
        field("double_softmax", DataType::Float64),
        field("label", DataType::Boolean),
    ]);
    let whole = |pick: fn(&ReadoutRow) -> u32| -> Arc<dyn Array> {
        Arc::new(
            rows.iter()
                .map(|row| Some(pick(row)))
                .collect::<UInt32Array>(),
        )
    };
    let single = |pick: fn(&ReadoutRow) -> f32| -> Arc<dyn Array> {
        Arc::new(
            rows.iter()
                .map(|row| Some(pick(row)))
                .collect::<Float32Array>(),
        )
    };
    let double = |pick: fn(&ReadoutRow) -> f64| -> Arc<dyn Array> {
        Arc::new(
            rows.iter()
                .map(|row| Some(pick(row)))
                .collect::<Float64Array>(),
        )
    };
    let digests: StringArray = rows.iter().map(|row| Some(&*row.prompt_digest)).collect();
    let labels: BooleanArray = rows.iter().map(|row| Some(row.label)).collect();
    let columns: Vec<Arc<dyn Array>> = vec![
        whole(|row| row.row),
        Arc::new(digests),
        whole(|row| row.tokens),
        single(|row| row.logit_yes),
        single(|row| row.logit_no),
        single(|row| row.log_normaliser),
        double(|row| row.pair),
        double(|row| row.double_softmax),
        Arc::new(labels),
    ];
    write_table(path, schema, columns)
}
