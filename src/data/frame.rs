//! Samples and instruction records as Parquet, one row each, with columns pandas reads as they
//! are. The same rows give the same bytes.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBuilder, Int64Array, ListArray, ListBuilder,
    StringArray, StringBuilder, UInt32Array,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, UInt32Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::error::{DataError, shown};
use super::json_records::Record;
use super::sample::{Domain, Item, Rated, Sample};
use super::source::Source;
use super::tallrec_text::noun;
use crate::base::bounded;

/// Writes samples.
///
/// # Errors
/// If the file cannot be written.
pub fn write_samples(path: &Path, samples: &[Sample]) -> Result<(), DataError> {
    let text = |pick: fn(&Sample) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(samples.iter().map(pick)))
    };
    let optional = |pick: fn(&Sample) -> Option<&str>| -> ArrayRef {
        Arc::new(samples.iter().map(pick).collect::<StringArray>())
    };
    let texts = |pick: fn(&Rated) -> Option<&str>| -> ArrayRef {
        let mut builder = ListBuilder::new(StringBuilder::new());
        for sample in samples {
            for rated in &sample.history {
                builder.values().append_option(pick(rated));
            }
            builder.append(true);
        }
        Arc::new(builder.finish())
    };
    let mut liked = ListBuilder::new(BooleanBuilder::new());
    for sample in samples {
        liked.append_value(sample.history.iter().map(|rated| Some(rated.liked)));
    }
    let rows = samples.iter().map(|sample| sample.row);
    let times = samples.iter().map(|sample| sample.time);
    let labels: Vec<bool> = samples.iter().map(|sample| sample.label).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("row", Arc::new(UInt32Array::from_iter_values(rows))),
        ("domain", text(|sample| noun(sample.domain))),
        ("user", optional(|sample| sample.user.as_deref())),
        ("time", Arc::new(times.collect::<Int64Array>())),
        ("history_ids", texts(|rated| Some(&rated.item.id))),
        ("history_titles", texts(|rated| Some(&rated.item.title))),
        ("history_makers", texts(|rated| rated.item.maker.as_deref())),
        ("history_liked", Arc::new(liked.finish())),
        ("target_id", text(|sample| &sample.target.id)),
        ("target_title", text(|sample| &sample.target.title)),
        (
            "target_maker",
            optional(|sample| sample.target.maker.as_deref()),
        ),
        ("label", Arc::new(BooleanArray::from(labels))),
        ("instruction", text(|sample| &sample.instruction)),
        ("input", text(|sample| &sample.input)),
        ("output", text(|sample| &sample.output)),
    ];
    write_columns(path, columns)
}

/// Writes instruction records; `row` counts from 0.
///
/// # Errors
/// If the file cannot be written.
pub fn write_records(path: &Path, records: &[Record]) -> Result<(), DataError> {
    let text = |pick: fn(&Record) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(records.iter().map(pick)))
    };
    write_columns(
        path,
        vec![
            (
                "row",
                Arc::new(UInt32Array::from_iter_values(0..records.len() as u32)),
            ),
            ("instruction", text(|record| &record.instruction)),
            ("input", text(|record| &record.input)),
            ("output", text(|record| &record.output)),
        ],
    )
}

fn write_columns(path: &Path, columns: Vec<(&str, ArrayRef)>) -> Result<(), DataError> {
    let broken = |error: &dyn std::fmt::Display| {
        DataError::invalid(format!("cannot write `{}`: {error}", path.display()))
    };
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| {
            let optional = matches!(*name, "user" | "time" | "target_maker");
            Field::new(*name, array.data_type().clone(), optional)
        })
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    let batch =
        RecordBatch::try_new(Arc::clone(&schema), arrays).map_err(|error| broken(&error))?;
    let file = File::create(path).map_err(DataError::io("create", path.display().to_string()))?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        // The default names the version of the library, which would change the bytes.
        .set_created_by("runner".to_owned())
        .build();
    let mut writer =
        ArrowWriter::try_new(file, schema, Some(properties)).map_err(|error| broken(&error))?;
    writer.write(&batch).map_err(|error| broken(&error))?;
    writer.close().map_err(|error| broken(&error))?;
    Ok(())
}

/// Reads samples.
///
/// # Errors
/// If the file is not Parquet, or a column is missing, of another type or has holes.
pub fn read_samples(path: &Path) -> Result<Vec<Sample>, DataError> {
    read_samples_from(&Source::new(path))
}

/// Reads samples of a file whose errors call it by another name.
///
/// # Errors
/// See [`read_samples`].
pub fn read_samples_from(source: &Source) -> Result<Vec<Sample>, DataError> {
    let mut samples = Vec::new();
    for batch in open(source)? {
        let columns = Columns {
            source,
            batch: &batch,
        };
        let rows = columns.row()?;
        let (domains, users) = (
            columns.texts("domain", false)?,
            columns.texts("user", true)?,
        );
        let times = columns.primitive("time", &DataType::Int64)?;
        let times = times.as_primitive::<Int64Type>();
        let ids = columns.text_lists("history_ids", false)?;
        let titles = columns.text_lists("history_titles", false)?;
        let makers = columns.text_lists("history_makers", true)?;
        let liked = columns.boolean_lists("history_liked")?;
        let target_ids = columns.texts("target_id", false)?;
        let target_titles = columns.texts("target_title", false)?;
        let target_makers = columns.texts("target_maker", true)?;
        let labels = columns.booleans("label")?;
        let instructions = columns.texts("instruction", false)?;
        let inputs = columns.texts("input", false)?;
        let outputs = columns.texts("output", false)?;
        let text = |column: &StringArray, at: usize| column.value(at).to_owned();
        let optional = |column: &StringArray, at: usize| {
            column.is_valid(at).then(|| column.value(at).to_owned())
        };
        for at in 0..batch.num_rows() {
            let domain = match domains.value(at) {
                "movie" => Domain::Movie,
                "book" => Domain::Book,
                other => {
                    return Err(columns.wrong(
                        "domain",
                        &format!("holds `{}`, not `movie` or `book`", shown(other)),
                    ));
                }
            };
            let (of_ids, of_titles) = (ids.value(at), titles.value(at));
            let (of_makers, of_liked) = (makers.value(at), liked.value(at));
            let (of_ids, of_titles) = (of_ids.as_string::<i32>(), of_titles.as_string::<i32>());
            let (of_makers, of_liked) = (of_makers.as_string::<i32>(), of_liked.as_boolean());
            for (name, length) in [
                ("history_titles", of_titles.len()),
                ("history_makers", of_makers.len()),
                ("history_liked", of_liked.len()),
            ] {
                if length != of_ids.len() {
                    return Err(columns.wrong(
                        name,
                        &format!(
                            "has {length} entries in row {at}, `history_ids` has {}",
                            of_ids.len()
                        ),
                    ));
                }
            }
            let history = (0..of_ids.len())
                .map(|item| Rated {
                    item: Item {
                        id: text(of_ids, item),
                        title: text(of_titles, item),
                        maker: optional(of_makers, item),
                    },
                    liked: of_liked.value(item),
                })
                .collect();
            samples.push(Sample {
                row: rows.value(at),
                domain,
                user: optional(users, at),
                time: times.is_valid(at).then(|| times.value(at)),
                history,
                target: Item {
                    id: text(target_ids, at),
                    title: text(target_titles, at),
                    maker: optional(target_makers, at),
                },
                label: labels.value(at),
                instruction: text(instructions, at),
                input: text(inputs, at),
                output: text(outputs, at),
            });
        }
    }
    Ok(samples)
}

/// Reads instruction records.
///
/// # Errors
/// If the file is not Parquet, or a column is missing, of another type or has holes.
pub fn read_records(path: &Path) -> Result<Vec<Record>, DataError> {
    let source = Source::new(path);
    let mut records = Vec::new();
    for batch in open(&source)? {
        let columns = Columns {
            source: &source,
            batch: &batch,
        };
        let [instructions, inputs, outputs] = [
            columns.texts("instruction", false)?,
            columns.texts("input", false)?,
            columns.texts("output", false)?,
        ];
        records.extend((0..batch.num_rows()).map(|at| Record {
            instruction: instructions.value(at).to_owned(),
            input: inputs.value(at).to_owned(),
            output: outputs.value(at).to_owned(),
        }));
    }
    Ok(records)
}

fn open(source: &Source) -> Result<Vec<RecordBatch>, DataError> {
    let broken = |error: &dyn std::fmt::Display| {
        DataError::invalid(format!(
            "`{}` is no readable Parquet: {error}",
            source.name()
        ))
        .with_help(
            "samples come from a stage such as `movielens`, `book_crossing`, \
                        `tallrec_json` or `k_shot`",
        )
    };
    let file = File::open(source.path()).map_err(DataError::io("read", source.name()))?;
    batches(file)
        .map_err(|error| broken(&error))?
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| broken(&error))
}

/// The rows of a Parquet file, a batch at a time. A column that repeats itself takes no room in the
/// file, so what comes out of it is counted: beyond [`bounded::DATA`] bytes it is an error.
///
/// # Errors
/// If it is not Parquet; each batch may fail for itself.
pub fn batches(
    file: File,
) -> Result<impl Iterator<Item = Result<RecordBatch, ArrowError>>, ParquetError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(ParquetRecordBatchReaderBuilder::build)?;
    let mut bytes = 0_u64;
    Ok(reader.map(move |batch| {
        let batch = batch?;
        bytes = bytes.saturating_add(batch.get_array_memory_size() as u64);
        if bytes > bounded::DATA {
            return Err(ArrowError::MemoryError(format!(
                "its rows take more than {} bytes",
                bounded::DATA
            )));
        }
        Ok(batch)
    }))
}

/// Columns of a batch by name and type.
struct Columns<'a> {
    source: &'a Source,
    batch: &'a RecordBatch,
}

impl<'a> Columns<'a> {
    fn wrong(&self, name: &str, what: &str) -> DataError {
        DataError::invalid(format!(
            "`{}`: the column `{name}` {what}",
            self.source.name()
        ))
    }

    fn column(&self, name: &str) -> Result<&'a ArrayRef, DataError> {
        self.batch.column_by_name(name).ok_or_else(|| {
            let schema = self.batch.schema();
            let names: Vec<&str> = schema
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect();
            self.wrong(
                name,
                &format!("is missing; there are: {}", names.join(", ")),
            )
        })
    }

    fn typed(&self, name: &str, wanted: &str, fits: bool, holes: bool) -> Result<(), DataError> {
        let column = self.column(name)?;
        if !fits {
            return Err(self.wrong(
                name,
                &format!("has the type {}, {wanted} is expected", column.data_type()),
            ));
        }
        if !holes && column.null_count() > 0 {
            return Err(self.wrong(name, "has empty entries"));
        }
        Ok(())
    }

    fn row(&self) -> Result<&'a UInt32Array, DataError> {
        let column = self.column("row")?;
        let fits = *column.data_type() == DataType::UInt32;
        self.typed("row", "UInt32", fits, false)?;
        Ok(column.as_primitive::<UInt32Type>())
    }

    fn primitive(&self, name: &str, wanted: &DataType) -> Result<&'a ArrayRef, DataError> {
        let column = self.column(name)?;
        self.typed(
            name,
            &wanted.to_string(),
            column.data_type() == wanted,
            true,
        )?;
        Ok(column)
    }

    fn texts(&self, name: &str, holes: bool) -> Result<&'a StringArray, DataError> {
        let column = self.column(name)?;
        let fits = *column.data_type() == DataType::Utf8;
        self.typed(name, "Utf8", fits, holes)?;
        Ok(column.as_string::<i32>())
    }

    fn booleans(&self, name: &str) -> Result<&'a BooleanArray, DataError> {
        let column = self.column(name)?;
        let fits = *column.data_type() == DataType::Boolean;
        self.typed(name, "Boolean", fits, false)?;
        Ok(column.as_boolean())
    }

    fn lists(&self, name: &str, of: &DataType, holes: bool) -> Result<&'a ListArray, DataError> {
        let column = self.column(name)?;
        let fits = matches!(column.data_type(), DataType::List(field) if field.data_type() == of);
        self.typed(name, &format!("List({of})"), fits, false)?;
        let list = column.as_list::<i32>();
        if !holes && list.values().null_count() > 0 {
            return Err(self.wrong(name, "has empty entries"));
        }
        Ok(list)
    }

    fn text_lists(&self, name: &str, holes: bool) -> Result<&'a ListArray, DataError> {
        self.lists(name, &DataType::Utf8, holes)
    }

    fn boolean_lists(&self, name: &str) -> Result<&'a ListArray, DataError> {
        self.lists(name, &DataType::Boolean, false)
    }
}
