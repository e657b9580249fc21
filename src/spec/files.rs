//! What a person may have meant by a path that cannot be read.

use std::fs;
use std::io;
use std::path::Path;

use super::source::{Diagnostics, Span};
use crate::base::bounded;
use crate::base::nearest::nearest;

const RELATIVE: &str = "paths are relative to the folder the program runs in (see --directory)";

/// What to do about a path that does not exist: the nearest name beside it that `fits`.
#[must_use]
pub fn missing_help(path: &Path, fits: impl Fn(&str) -> bool) -> String {
    let folder = folder_of(path);
    if !folder.is_dir() {
        return format!(
            "its folder `{}` does not exist either; {RELATIVE}",
            folder.display()
        );
    }
    let names = names_in(folder, fits);
    let wanted = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    match nearest(&wanted, names.iter().map(String::as_str)) {
        Some(name) => format!("did you mean `{}`?", path.with_file_name(name).display()),
        None => RELATIVE.to_owned(),
    }
}

/// Reads the text of an experiment or a pipeline. Where it is not UTF-8, the byte is given as well,
/// and stands as a replacement character in the text, so that its place can be shown.
///
/// # Errors
/// If the file cannot be read, or is far too large.
pub fn read_yaml(path: &Path) -> io::Result<(String, Option<NotUtf8>)> {
    let bytes = bounded::read(path, bounded::SPECIFICATION)?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let start = error.utf8_error().valid_up_to();
            let byte = error.as_bytes().get(start).copied().unwrap_or_default();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            (text, Some(NotUtf8 { start, byte }))
        }
    })
}

/// Where a text is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotUtf8 {
    /// How many bytes before it are.
    pub start: usize,
    /// What stands there.
    pub byte: u8,
}

impl NotUtf8 {
    /// Says so at its place.
    pub fn report(self, source: u32, diagnostics: &mut Diagnostics) {
        diagnostics.error_with_help(
            "spec::encoding",
            Span {
                source,
                start: u32::try_from(self.start).unwrap_or(u32::MAX),
                len: char::REPLACEMENT_CHARACTER.len_utf8() as u32,
            },
            format!(
                "the file is not UTF-8: here is the byte 0x{:02x}",
                self.byte
            ),
            "save it as UTF-8 text",
        );
    }
}

/// What to do about a YAML file that could not be read.
#[must_use]
pub fn unreadable_yaml_help(path: &Path, error: &io::Error) -> Option<String> {
    let is_yaml = |name: &str| has_yaml_extension(Path::new(name));
    match error.kind() {
        io::ErrorKind::NotFound => Some(missing_help(path, is_yaml)),
        io::ErrorKind::IsADirectory => Some(match names_in(path, is_yaml) {
            names if names.is_empty() => "it is a folder without YAML files".to_owned(),
            names => format!("it is a folder; name a file in it: {}", names.join(", ")),
        }),
        _ => None,
    }
}

fn has_yaml_extension(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml")
}

fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."))
}

fn names_in(folder: &Path, fits: impl Fn(&str) -> bool) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .map(|entries| {
            entries
                .filter_map(Result::ok)
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .filter(|name| fits(name))
                .collect()
        })
        .unwrap_or_default();
    names.sort();
    names
}
