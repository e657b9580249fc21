//! What a person may have meant by a path that cannot be read.

use std::fs;
use std::io;
use std::path::Path;

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
        io::ErrorKind::InvalidData => Some("save it as UTF-8 text".to_owned()),
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
