//! A file to read, with the name its user knows it by.

use std::path::{Path, PathBuf};

use super::error::{DataError, Place};
use crate::base::bounded;

/// A file and the name errors call it.
///
/// The two differ because an artifact lies in the store under its hash, while its user knows it
/// by the path in the pipeline.
#[derive(Debug, Clone)]
pub struct Source {
    path: PathBuf,
    name: String,
}

impl Source {
    /// A file that goes by its own path.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self::named(path, path.display().to_string())
    }

    /// A file that errors call `name`.
    #[must_use]
    pub fn named(path: &Path, name: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            name: name.into(),
        }
    }

    /// The file `name` inside the folder this source stands for.
    #[must_use]
    pub fn file(&self, name: &str) -> Self {
        Self {
            path: self.path.join(name),
            name: format!("{}/{name}", self.name.trim_end_matches('/')),
        }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What errors call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads all of it; an empty file, or a placeholder in its stead, is an error.
    ///
    /// # Errors
    /// If it cannot be read, is empty, or is a Git LFS pointer instead of the file.
    pub fn read(&self) -> Result<Vec<u8>, DataError> {
        let bytes =
            bounded::read(&self.path, bounded::DATA).map_err(DataError::io("read", &*self.name))?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(self
                .at(1, None, "the file is empty")
                .with_help("check that the download or the copy was completed"));
        }
        if bytes.starts_with(b"version https://git-lfs") {
            return Err(self
                .at(1, None, "this is a Git LFS pointer, not the file itself")
                .with_help("fetch the file with `git lfs pull`"));
        }
        Ok(bytes)
    }

    /// An error at a line of this file.
    #[must_use]
    pub fn at(&self, line: u64, column: Option<u64>, message: impl Into<String>) -> DataError {
        DataError::At {
            place: Place {
                file: self.name.clone(),
                line,
                column,
            },
            message: message.into(),
            help: None,
        }
    }
}

/// Reads bytes as ISO-8859-1: byte N is the character U+00NN, so nothing can fail.
#[must_use]
pub fn from_latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// Writes text as ISO-8859-1; `None` if a character is above U+00FF.
#[must_use]
pub fn to_latin1(text: &str) -> Option<Vec<u8>> {
    text.chars()
        .map(|letter| u8::try_from(u32::from(letter)).ok())
        .collect()
}

/// How sure one can be that bytes are UTF-8 where ISO-8859-1 is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Utf8Suspicion {
    /// Plain ASCII, or bytes that are no UTF-8.
    None,
    /// Valid UTF-8 with non-ASCII letters, but ISO-8859-1 text can look like that too: the
    /// Book-Crossing dump has words such as `MÃ©dico`, encoded twice by its makers.
    Possible,
    /// A byte order mark, or valid UTF-8 with bytes 0x80 to 0x9F, which are control characters in
    /// ISO-8859-1 and do not occur in the original files (there they were lost to `?`).
    Certain,
}

/// Tells whether bytes are UTF-8 where ISO-8859-1 is expected.
#[must_use]
pub fn suspect_utf8(bytes: &[u8]) -> Utf8Suspicion {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Utf8Suspicion::Certain;
    }
    if bytes.is_ascii() || std::str::from_utf8(bytes).is_err() {
        return Utf8Suspicion::None;
    }
    if bytes.iter().any(|byte| (0x80..=0x9f).contains(byte)) {
        Utf8Suspicion::Certain
    } else {
        Utf8Suspicion::Possible
    }
}

/// The line that begins, or goes on, after these bytes; the first is 1.
pub(crate) fn line_after(before: &[u8]) -> u64 {
    before.split(|byte| *byte == b'\n').count() as u64
}

/// The error for a file in UTF-8 where ISO-8859-1 is expected.
pub(crate) fn utf8_error(source: &Source, bytes: &[u8]) -> DataError {
    let first = bytes.iter().position(|byte| !byte.is_ascii()).unwrap_or(0);
    let line = line_after(&bytes[..first]);
    let file = source.name().rsplit('/').next().unwrap_or_default();
    source
        .at(
            line,
            None,
            "the file is UTF-8, the original is ISO-8859-1 (latin-1); read as latin-1 its \
             accented letters would become two wrong ones each",
        )
        .with_help(format!(
            "use the original file, or convert: `iconv -f UTF-8 -t LATIN1 {file} > converted` \
             (first remove a byte order mark, if there is one)"
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latin1_reads_back_and_utf8_is_told_apart() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(to_latin1(&from_latin1(&bytes)), Some(bytes));
        assert_eq!(to_latin1("€"), None);
        assert_eq!(suspect_utf8(b"plain"), Utf8Suspicion::None);
        assert_eq!(suspect_utf8(b"Mis\xe9rables"), Utf8Suspicion::None);
        assert_eq!(
            suspect_utf8("Misérables".as_bytes()),
            Utf8Suspicion::Possible
        );
        assert_eq!(suspect_utf8("MÃ©dico".as_bytes()), Utf8Suspicion::Certain);
        assert_eq!(suspect_utf8("it’s".as_bytes()), Utf8Suspicion::Certain);
        assert_eq!(suspect_utf8(b"\xef\xbb\xbfISBN"), Utf8Suspicion::Certain);
    }
}
