//! Instruction records in a JSON array: `{"instruction": …, "input": …, "output": …}`.
//!
//! Alpaca's data, TALLRec's released files and most fine-tuning sets have this form. Errors name
//! line, column and the number of the record, because such files are edited by hand and by
//! scripts, and are megabytes long.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};

use indexmap::IndexMap;
use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::error::{DataError, shown};
use super::source::Source;
use crate::base::nearest::nearest;

/// The fields, in the order they are written.
pub const FIELDS: [&str; 3] = ["instruction", "input", "output"];

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What is to be done.
    pub instruction: String,
    /// On what; empty if the instruction says all.
    pub input: String,
    /// The answer.
    pub output: String,
}

/// Records and what else stood in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    /// In the order of the file.
    pub records: Vec<Record>,
    /// The line each record ends in, for errors found later.
    pub lines: Vec<u64>,
    /// Fields that are not among [`FIELDS`], and in how many records they were.
    pub ignored: IndexMap<String, u64>,
}

/// What a reader demands of a field's value: `Err` holds what is wrong and what to do.
pub type Check = fn(field: &str, value: &str) -> Result<(), (String, String)>;

/// What a kind of file demands.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Whether a record may lack `input`, which then is empty.
    pub optional_input: bool,
    /// Called with every value.
    pub check: Check,
}

#[derive(Default)]
struct Progress {
    ignored: IndexMap<String, u64>,
    help: Option<String>,
    record: usize,
}

/// Reads a file.
///
/// # Errors
/// If it is not a JSON array of such records; the error names line, column and record.
pub fn read(source: &Source, rules: Rules) -> Result<Records, DataError> {
    let bytes = source.read()?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count() as u64;
        source
            .at(line, None, "the file is not UTF-8 here")
            .with_help("save it as UTF-8; in JSON, non-ASCII letters may also be written \\uXXXX")
    })?;
    if text.trim_start().starts_with('{') {
        return Err(source
            .at(
                1,
                Some(1),
                "the file begins with `{`, one JSON array `[…]` is expected",
            )
            .with_help("if it has one object a line (JSON lines), join them: `jq -s . file`"));
    }
    let progress = RefCell::new(Progress::default());
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let result = deserializer
        .deserialize_seq(ArrayVisitor {
            rules,
            progress: &progress,
        })
        .and_then(|records| deserializer.end().map(|()| records));
    let progress = progress.into_inner();
    let records = result.map_err(|error| {
        let message = error.to_string();
        // serde_json appends the place, which this error already begins with.
        let message = message.rsplit_once(" at line ").map_or(&*message, |(what, _)| what);
        let at = source.at(
            error.line().max(1) as u64,
            Some(error.column().max(1) as u64),
            format!("record {}: {message}", progress.record),
        );
        match progress.help {
            Some(help) => at.with_help(help),
            None if error.is_eof() => at.with_help("the file seems cut off; fetch it again"),
            None => at.with_help(
                "every record must be {\"instruction\": \"…\", \"input\": \"…\", \"output\": \"…\"}",
            ),
        }
    })?;
    let lines = record_lines(text, records.len());
    Ok(Records {
        records,
        lines,
        ignored: progress.ignored,
    })
}

/// The line of the closing brace of each record; braces inside strings do not count.
fn record_lines(text: &str, count: usize) -> Vec<u64> {
    let mut lines = Vec::with_capacity(count);
    let (mut line, mut depth, mut inside, mut escaped) = (1_u64, 0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            b'\n' => line += 1,
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b'{' | b'[' if !inside => depth += 1,
            b'}' | b']' if !inside => {
                depth = depth.saturating_sub(1);
                if byte == b'}' && depth == 1 {
                    lines.push(line);
                }
            }
            _ => {}
        }
    }
    lines
}

struct ArrayVisitor<'a> {
    rules: Rules,
    progress: &'a RefCell<Progress>,
}

impl<'de> Visitor<'de> for ArrayVisitor<'_> {
    type Value = Vec<Record>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut records = Vec::new();
        while let Some(record) = array.next_element_seed(RecordSeed {
            rules: self.rules,
            progress: self.progress,
        })? {
            records.push(record);
            self.progress.borrow_mut().record = records.len();
        }
        Ok(records)
    }
}

struct RecordSeed<'a> {
    rules: Rules,
    progress: &'a RefCell<Progress>,
}

impl<'de> DeserializeSeed<'de> for RecordSeed<'_> {
    type Value = Record;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Record, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RecordSeed<'_> {
    type Value = Record;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a record `{\"instruction\": …, \"input\": …, \"output\": …}`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
        let fail = |message: String, help: String| {
            self.progress.borrow_mut().help = Some(help);
            A::Error::custom(message)
        };
        let mut values: [Option<String>; 3] = [None, None, None];
        let mut unknown: Vec<String> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let Some(at) = FIELDS.iter().position(|field| *field == name) else {
                map.next_value::<IgnoredAny>()?;
                unknown.push(name);
                continue;
            };
            if values[at].is_some() {
                return Err(fail(
                    format!("the field `{name}` stands twice"),
                    "remove one of the two".to_owned(),
                ));
            }
            values[at] = Some(map.next_value_seed(ValueSeed {
                field: FIELDS[at],
                check: self.rules.check,
                progress: self.progress,
            })?);
        }
        for (at, field) in FIELDS.iter().enumerate() {
            if values[at].is_some() || (*field == "input" && self.rules.optional_input) {
                continue;
            }
            let help = unknown
                .iter()
                .find(|name| nearest(name, [*field]).is_some())
                .map_or_else(
                    || format!("every record needs {}", FIELDS.join(", ")),
                    |name| format!("rename `{}` to `{field}`", shown(name)),
                );
            return Err(fail(format!("the field `{field}` is missing"), help));
        }
        let mut progress = self.progress.borrow_mut();
        for name in unknown {
            *progress.ignored.entry(name).or_insert(0) += 1;
        }
        let [instruction, input, output] = values.map(Option::unwrap_or_default);
        Ok(Record {
            instruction,
            input,
            output,
        })
    }
}

/// Checks a value while the reader stands behind it, so that the error names its line.
struct ValueSeed<'a> {
    field: &'static str,
    check: Check,
    progress: &'a RefCell<Progress>,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = String;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for ValueSeed<'_> {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a text as `{}`", self.field)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<String, E> {
        (self.check)(self.field, value).map_err(|(message, help)| {
            self.progress.borrow_mut().help = Some(help);
            E::custom(message)
        })?;
        Ok(value.to_owned())
    }
}

/// Writes records one by one in the form of the released files: as Python's
/// `json.dump(…, indent=4)` does, ASCII only, no line end after the last bracket.
#[derive(Debug)]
pub struct Writer<W: Write> {
    sink: W,
    count: usize,
}

impl<W: Write> Writer<W> {
    /// Writes to `sink`, which should be buffered.
    pub fn new(sink: W) -> Self {
        Self { sink, count: 0 }
    }

    /// Writes the next record.
    ///
    /// # Errors
    /// Whatever the sink gives.
    pub fn write(&mut self, instruction: &str, input: &str, output: &str) -> io::Result<()> {
        let opening = if self.count == 0 { "[\n" } else { ",\n" };
        write!(self.sink, "{opening}    {{")?;
        for (at, value) in [instruction, input, output].into_iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(self.sink, "{comma}\n        \"{}\": ", FIELDS[at])?;
            write_ascii_string(&mut self.sink, value)?;
        }
        write!(self.sink, "\n    }}")?;
        self.count += 1;
        Ok(())
    }

    /// Closes the array and gives the sink back, flushed.
    ///
    /// # Errors
    /// Whatever the sink gives.
    pub fn finish(mut self) -> io::Result<W> {
        self.sink
            .write_all(if self.count == 0 { b"[]" } else { b"\n]" })?;
        self.sink.flush()?;
        Ok(self.sink)
    }
}

/// A JSON string as Python writes it with `ensure_ascii`.
fn write_ascii_string(sink: &mut impl Write, text: &str) -> io::Result<()> {
    sink.write_all(b"\"")?;
    for letter in text.chars() {
        match letter {
            '"' => sink.write_all(b"\\\"")?,
            '\\' => sink.write_all(b"\\\\")?,
            '\n' => sink.write_all(b"\\n")?,
            '\r' => sink.write_all(b"\\r")?,
            '\t' => sink.write_all(b"\\t")?,
            '\u{8}' => sink.write_all(b"\\b")?,
            '\u{c}' => sink.write_all(b"\\f")?,
            ' '..='~' => sink.write_all(&[letter as u8])?,
            _ => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    write!(sink, "\\u{unit:04x}")?;
                }
            }
        }
    }
    sink.write_all(b"\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(records: &[[&str; 3]]) -> String {
        let mut writer = Writer::new(Vec::new());
        for [instruction, input, output] in records {
            writer.write(instruction, input, output).expect("writes");
        }
        String::from_utf8(writer.finish().expect("finishes")).expect("ASCII")
    }

    fn read_text(text: &str) -> Result<Records, DataError> {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("x");
        std::fs::write(&path, text).expect("writes");
        read(
            &Source::named(&path, "train.json"),
            Rules {
                optional_input: false,
                check: |_, _| Ok(()),
            },
        )
    }

    #[test]
    fn the_form_is_pythons() {
        assert_eq!(
            written(&[["a\"b\\", "ü\n/", "\u{1F600}\u{7f}"], ["", "", ""]]),
            "[\n    {\n        \"instruction\": \"a\\\"b\\\\\",\n        \"input\": \"\\u00fc\\n/\",\n        \
             \"output\": \"\\ud83d\\ude00\\u007f\"\n    },\n    {\n        \"instruction\": \"\",\n        \
             \"input\": \"\",\n        \"output\": \"\"\n    }\n]"
        );
        assert_eq!(written(&[]), "[]");
    }

    #[test]
    fn what_is_written_reads_back() {
        let text = written(&[["a {", "b\\", "\u{1F600}"], ["x", "y ]}", "z"]]);
        let records = read_text(&text).expect("reads");
        assert_eq!(records.records.len(), 2);
        assert_eq!(records.records[0].output, "\u{1F600}");
        assert_eq!(records.lines, [6, 11]);
    }

    #[test]
    fn errors_name_line_column_and_record() {
        let one = r#"{"instruction": "a", "input": "b", "output": "c"}"#;
        let check = |text: &str, parts: &[&str]| {
            let error = read_text(text).expect_err("must fail").to_string();
            for part in parts {
                assert!(error.contains(part), "`{part}` is not in: {error}");
            }
        };
        check(
            &format!("[{one},\n{{\"instruction\": \"a\", \"input\": \"b\", \"ouput\": \"c\"}}]"),
            &[
                "train.json:2:",
                "record 1",
                "`output` is missing",
                "rename `ouput`",
            ],
        );
        check(&format!("[{one},\n{one}"), &["train.json:2:", "cut off"]);
        check(&format!("{one}\n{one}"), &["JSON lines"]);
        check(
            "[{\"instruction\": 3}]",
            &["expected a text as `instruction`"],
        );
        check("  \n", &["is empty"]);
        check(
            "version https://git-lfs.github.com/spec/v1\n",
            &["git lfs pull"],
        );
        check(&format!("[{one}] x"), &["train.json:1:"]);
    }
}
