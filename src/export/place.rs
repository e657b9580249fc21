//! Putting a finished file or folder into its place.

use std::fs;
use std::path::{Path, PathBuf};

use super::ExportError;

/// Builds something at a path beside `neighbour`, then moves it to `target`, in place of what is
/// there. `neighbour` is `target` itself, or a folder it lies in, on the same file system. Whether
/// `target` may be replaced is for the caller to know.
///
/// # Errors
/// Whatever building gives, or if a folder cannot be written. `target` is then as it was.
pub fn put(
    target: &Path,
    neighbour: &Path,
    build: impl FnOnce(&Path) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let beside = folder_of(neighbour);
    fs::create_dir_all(&beside).map_err(ExportError::io("create", &beside))?;
    let workplace = tempfile::Builder::new()
        .prefix(".export-")
        .suffix(".tmp")
        .tempdir_in(&beside)
        .map_err(ExportError::io("write into", &beside))?;
    // Made inside, because the folder itself is for its owner's eyes only.
    let draft = workplace.path().join("new");
    build(&draft)?;
    let parent = folder_of(target);
    fs::create_dir_all(&parent).map_err(ExportError::io("create", &parent))?;
    let old = workplace.path().join("old");
    // A file takes a file's place in one step; a folder does not.
    let moved = target.is_dir() && fs::rename(target, &old).is_ok();
    fs::rename(&draft, target).map_err(|source| {
        if moved {
            let _ = fs::rename(&old, target);
        }
        ExportError::io("write", target)(source)
    })
}

/// The folder that something lies in; the current one for a bare name.
#[must_use]
pub fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The names of what a folder holds, sorted; empty if it is not there.
///
/// # Errors
/// If it cannot be listed.
pub fn entries(folder: &Path) -> Result<Vec<String>, ExportError> {
    let mut names = Vec::new();
    if !folder.exists() {
        return Ok(names);
    }
    for entry in fs::read_dir(folder).map_err(ExportError::io("list", folder))? {
        let entry = entry.map_err(ExportError::io("list", folder))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_stays_until_the_new_is_whole() {
        let home = tempfile::tempdir().expect("folder");
        let target = home.path().join("deep/place");
        let write = |text: &'static str| {
            move |draft: &Path| {
                fs::create_dir(draft).map_err(ExportError::io("create", draft))?;
                let file = draft.join("file");
                fs::write(&file, text).map_err(ExportError::io("write", &file))
            }
        };
        let read = || fs::read_to_string(target.join("file")).expect("a file");
        put(&target, &target, write("one")).expect("put");
        assert_eq!(read(), "one");
        put(&target, &target, write("two")).expect("put");
        assert_eq!(read(), "two");
        let failed = put(&target, &target, |draft| {
            write("three")(draft)?;
            Err(ExportError::foreign(draft, "is half done"))
        });
        assert!(failed.is_err());
        assert_eq!(read(), "two");
        let left = entries(&home.path().join("deep")).expect("listed");
        assert_eq!(left, ["place"]);
        assert_eq!(folder_of(Path::new("bare")), Path::new("."));
    }
}
