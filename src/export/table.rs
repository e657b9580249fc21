//! Result rows as one file: CSV, JSON or Parquet.

use std::fs;
use std::path::{Path, PathBuf};

use super::ExportError;
use super::place::put;
use crate::results::csv::COLUMNS;
use crate::results::{ResultRow, ResultSet};
use crate::stage::codec::{PlainColumn, PlainValues, read_values, write_plain};

/// How rows are written to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFormat {
    /// The text of `results.csv`.
    Csv,
    /// An array of objects.
    Json,
    /// The columns of `results.csv` with their types.
    Parquet,
}

/// Writes rows to a file, in place of what an export to the same format left there.
///
/// # Errors
/// [`ExportError::Foreign`] if something else is there; if the file cannot be written.
pub fn write(path: &Path, format: TableFormat, rows: &ResultSet) -> Result<(), ExportError> {
    if path.is_dir() {
        return Err(ExportError::foreign(
            path,
            "is a folder, and rows go to a file",
        ));
    }
    if path.exists() && !is_export(path, format) {
        return Err(ExportError::foreign(
            path,
            "is there already, and holds no exported results",
        ));
    }
    // Through a link, so that the link stays one.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    put(&target, &target, |draft| match format {
        TableFormat::Csv => text(draft, &rows.to_csv()),
        TableFormat::Json => text(draft, &rows.to_json()),
        TableFormat::Parquet => Ok(write_plain(draft, &columns(rows.rows())?)?),
    })
}

fn text(path: &Path, text: &str) -> Result<(), ExportError> {
    fs::write(path, text).map_err(ExportError::io("write", path))
}

/// Whether a file holds rows in this format.
fn is_export(path: &Path, format: TableFormat) -> bool {
    let bytes = || fs::read(path).unwrap_or_default();
    match format {
        TableFormat::Csv => bytes().starts_with(COLUMNS.join(",").as_bytes()),
        TableFormat::Json => ResultSet::from_json("", &bytes()).is_ok(),
        // A table without rows tells no columns, but no such table is ever exported.
        TableFormat::Parquet => read_values(path).is_ok_and(|table| table.columns == COLUMNS),
    }
}

/// The columns of `results.csv`: texts, int64 for K, seed and n, float64 for values.
fn columns(rows: &[ResultRow]) -> Result<Vec<PlainColumn>, ExportError> {
    let texts = |part: fn(&ResultRow) -> String| {
        PlainValues::Texts(rows.iter().map(|row| Some(part(row))).collect())
    };
    let wholes = |part: fn(&ResultRow) -> Option<u64>| -> Result<PlainValues, ExportError> {
        let values = rows.iter().map(|row| {
            let whole = part(row).map(|value| {
                i64::try_from(value).map_err(|_| ExportError::TooLarge {
                    what: format!("a number of {}", row.describe()),
                    value,
                })
            });
            whole.transpose()
        });
        Ok(PlainValues::Wholes(values.collect::<Result<_, _>>()?))
    };
    let variants = rows.iter().map(|row| row.variant.clone()).collect();
    let values = rows.iter().map(|row| row.value).collect();
    let columns = [
        (false, texts(|row| row.experiment.clone())),
        (false, texts(|row| row.method.clone())),
        (true, PlainValues::Texts(variants)),
        (false, texts(|row| row.train_domain.clone())),
        (false, texts(|row| row.test_domain.clone())),
        (true, wholes(|row| row.k)?),
        (false, wholes(|row| Some(row.seed))?),
        (false, texts(|row| row.split.clone())),
        (false, texts(|row| row.metric.clone())),
        (true, PlainValues::Numbers(values)),
        (false, wholes(|row| Some(row.n))?),
        (false, texts(|row| row.stage_key.hex())),
    ];
    let columns = COLUMNS.into_iter().zip(columns);
    Ok(columns
        .map(|(name, (nullable, values))| PlainColumn {
            name,
            nullable,
            values,
        })
        .collect())
}

/// The file of a result set at a path: the path itself, or `results.csv` in a folder. None if the
/// path names neither a folder nor a CSV file.
#[must_use]
pub fn result_file(path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        return Some(path.join("results.csv"));
    }
    let is_csv = path.extension().is_some_and(|extension| extension == "csv");
    is_csv.then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Digest;
    use serde_json::json;

    fn rows(seed: u64) -> ResultSet {
        let row = |k, value| ResultRow {
            experiment: "small".to_owned(),
            method: "gru4rec".to_owned(),
            variant: None,
            train_domain: "movie".to_owned(),
            test_domain: "movie".to_owned(),
            k,
            seed,
            split: "test".to_owned(),
            metric: "auc".to_owned(),
            value,
            n: 264,
            stage_key: Digest::of_bytes(b"stage"),
        };
        ResultSet::from_rows([row(Some(16), Some(0.1 + 0.2)), row(None, None)]).expect("a set")
    }

    #[test]
    fn every_format_is_written_replaced_and_keeps_from_what_is_foreign() {
        let home = tempfile::tempdir().expect("folder");
        for (format, name) in [
            (TableFormat::Csv, "rows.csv"),
            (TableFormat::Json, "rows.json"),
            (TableFormat::Parquet, "rows.parquet"),
        ] {
            let path = home.path().join(name);
            write(&path, format, &rows(1)).expect("written");
            let first = fs::read(&path).expect("bytes");
            write(&path, format, &rows(2)).expect("replaced");
            assert_ne!(fs::read(&path).expect("bytes"), first);
            write(&path, format, &rows(1)).expect("replaced");
            assert_eq!(fs::read(&path).expect("bytes"), first);
            fs::write(&path, "notes of mine").expect("written");
            let refused = write(&path, format, &rows(1)).expect_err("foreign");
            assert!(refused.to_string().contains("no exported results"));
            assert_eq!(fs::read(&path).expect("bytes"), b"notes of mine");
            let folder = write(home.path(), format, &rows(1)).expect_err("a folder");
            assert!(folder.to_string().contains("is a folder"));
        }
        assert_eq!(
            super::super::place::entries(home.path())
                .expect("listed")
                .len(),
            3
        );
    }

    #[test]
    fn parquet_has_the_columns_of_the_text() {
        let home = tempfile::tempdir().expect("folder");
        let path = home.path().join("rows.parquet");
        write(&path, TableFormat::Parquet, &rows(1)).expect("written");
        let table = read_values(&path).expect("read");
        assert_eq!(table.columns, COLUMNS);
        assert_eq!(table.rows.len(), 2);
        assert_eq!(table.rows[0][5], json!(null));
        assert_eq!(table.rows[0][9], json!(null));
        assert_eq!(table.rows[1][2], json!(null));
        assert_eq!(table.rows[1][5], json!(16));
        assert_eq!(table.rows[1][9], json!(0.1 + 0.2));
        let large = write(&path, TableFormat::Parquet, &rows(u64::MAX));
        assert!(matches!(large, Err(ExportError::TooLarge { .. })));
    }
}
