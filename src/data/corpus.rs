//! Texts to pretrain on.

use serde::Deserialize;

use super::error::DataError;
use super::source::Source;

/// A text, and the part of the curriculum it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Document {
    /// The text.
    pub text: String,
    /// Phases are learnt one after the other, the lowest first; 0 where none is said.
    #[serde(default)]
    pub phase: u32,
}

/// Reads a corpus: JSON lines with a `text` each and perhaps a `phase` (the form of Hugging Face
/// data sets; other fields are passed over), or plain text with one document a line. Empty documents are left out.
///
/// # Errors
/// If the file cannot be read, is not UTF-8, a line of JSON has no `text`, or nothing is in it.
pub fn read_corpus(source: &Source) -> Result<Vec<Document>, DataError> {
    let bytes = source.read()?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()]
            .split(|byte| *byte == b'\n')
            .count();
        source
            .at(line as u64, None, "the file is not UTF-8 here")
            .with_help("save it as UTF-8")
    })?;
    let is_json = text.trim_start().starts_with('{');
    let mut documents = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let document = if is_json {
            serde_json::from_str(line).map_err(|error| {
                source
                    .at(
                        number as u64 + 1,
                        Some(error.column() as u64),
                        format!("not an object with a `text`: {error}"),
                    )
                    .with_help("every line is {\"text\": \"…\"}")
            })?
        } else {
            Document {
                text: line.to_owned(),
                phase: 0,
            }
        };
        if !document.text.trim().is_empty() {
            documents.push(document);
        }
    }
    if documents.is_empty() {
        return Err(source
            .at(1, None, "there is no text in the corpus")
            .with_help("one document a line, or JSON lines {\"text\": \"…\"}"));
    }
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn both_forms_read_and_a_bad_line_is_named() {
        let folder = tempfile::tempdir().expect("folder");
        let read = |text: &str| {
            let path = folder.path().join("corpus");
            fs::write(&path, text).expect("write");
            let read = read_corpus(&Source::named(&path, "corpus.jsonl"))?;
            let parts = read.into_iter().map(|one| (one.text, one.phase));
            Ok::<_, DataError>(parts.collect::<Vec<(String, u32)>>())
        };
        assert_eq!(
            read("one\n\n two \n").expect("plain"),
            [("one".into(), 0), (" two ".into(), 0)]
        );
        let json =
            "{\"text\": \"a\\nb\", \"id\": 1}\n{\"text\": \"\"}\n{\"text\": \"c\", \"phase\": 2}\n";
        assert_eq!(
            read(json).expect("json"),
            [("a\nb".into(), 0), ("c".into(), 2)]
        );
        let error = read("{\"text\": \"a\"}\n{\"txt\": \"b\"}\n").expect_err("no text");
        assert!(error.to_string().starts_with("corpus.jsonl:2:"), "{error}");
        assert!(read(" \n").is_err());
    }
}
