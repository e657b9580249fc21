//! Hashes, sizes, copies and flushes of artifacts that may be a file or a folder.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::base::{Digest, canonical_json};

/// Hash and size of an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    /// Hash of the bytes; for a folder, of the sorted list of its files and their hashes.
    pub digest: Digest,
    /// Size of all bytes.
    pub bytes: u64,
    /// Whether it is a folder.
    pub folder: bool,
}

/// Measures a file or a folder.
///
/// # Errors
/// If something cannot be read, or is neither a file nor a folder.
pub fn measure(path: &Path) -> io::Result<Measure> {
    if fs::metadata(path)?.is_dir() {
        let files = files_below(path)?;
        measure_files(path, &files)
    } else {
        Ok(Measure {
            digest: Digest::of_file(path)?,
            bytes: fs::metadata(path)?.len(),
            folder: false,
        })
    }
}

/// Measures some files of a folder as if they were the folder.
///
/// # Errors
/// If one cannot be read.
pub fn measure_files(root: &Path, files: &[PathBuf]) -> io::Result<Measure> {
    let mut listing = Map::new();
    let mut bytes = 0;
    for file in files {
        let path = root.join(file);
        bytes += fs::metadata(&path)?.len();
        let digest = Digest::of_file(&path)?;
        listing.insert(slashed(file), Value::String(digest.hex()));
    }
    Ok(Measure {
        digest: folder_digest(listing),
        bytes,
        folder: true,
    })
}

/// The hash of a folder, from its files' hashes by relative path.
#[must_use]
pub fn folder_digest(listing: Map<String, Value>) -> Digest {
    let listing = Value::Object(Map::from_iter([(
        "files".to_owned(),
        Value::Object(listing),
    )]));
    Digest::of_bytes(canonical_json(&listing).as_bytes())
}

/// All files below a folder, relative and sorted.
///
/// # Errors
/// If something cannot be listed, or is neither a file nor a folder.
pub fn files_below(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    collect(root, Path::new(""), &mut found)?;
    found.sort();
    Ok(found)
}

fn collect(root: &Path, below: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let relative = below.join(entry.file_name());
        let kind = fs::metadata(entry.path())?;
        if kind.is_dir() {
            collect(root, &relative, found)?;
        } else if kind.is_file() {
            found.push(relative);
        } else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("`{}` is neither a file nor a folder", relative.display()),
            ));
        }
    }
    Ok(())
}

/// Makes sure the bytes are on the disk before anything says they are.
///
/// # Errors
/// If the disk refuses, for instance because it is full.
pub fn flush(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.is_dir() {
        for file in files_below(path)? {
            File::open(path.join(file))?.sync_data()?;
        }
        return Ok(());
    }
    File::open(path)?.sync_data()
}

/// Makes an artifact read-only, so that a stage cannot change what others rely on.
///
/// # Errors
/// If permissions cannot be set.
pub fn protect(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.is_dir() {
        for file in files_below(path)? {
            set_read_only(&path.join(file))?;
        }
        return Ok(());
    }
    set_read_only(path)
}

fn set_read_only(path: &Path) -> io::Result<()> {
    let mut permissions = fs::metadata(path)?.permissions();
    permissions.set_readonly(true);
    fs::set_permissions(path, permissions)
}

/// Copies a file or a folder; the copy is writable.
///
/// # Errors
/// If something cannot be read or written.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if fs::metadata(from)?.is_dir() {
        fs::create_dir_all(to)?;
        for file in files_below(from)? {
            let target = to.join(&file);
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            copy_file(&from.join(&file), &target)?;
        }
        return Ok(());
    }
    copy_file(from, to)
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = File::create(to)?;
    io::copy(&mut source, &mut target)?;
    Ok(())
}

fn slashed(path: &Path) -> String {
    let parts: Vec<String> = path
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_hash_sees_names_and_bytes_and_nothing_else() {
        let one = tempfile::tempdir().expect("folder");
        let two = tempfile::tempdir().expect("folder");
        for (root, order) in [(&one, ["a", "b/c"]), (&two, ["b/c", "a"])] {
            fs::create_dir(root.path().join("b")).expect("made");
            for name in order {
                fs::write(root.path().join(name), name).expect("written");
            }
        }
        let first = measure(one.path()).expect("measured");
        assert_eq!(first, measure(two.path()).expect("measured"));
        assert_eq!(first.bytes, 4);
        fs::rename(two.path().join("a"), two.path().join("d")).expect("renamed");
        assert_ne!(first.digest, measure(two.path()).expect("measured").digest);
    }
}
