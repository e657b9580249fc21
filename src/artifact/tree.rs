//! Hashes, sizes, copies and seals of artifacts that may be a file or a folder.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
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

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    size: u64,
    modified_s: i64,
    modified_ns: i64,
    inode: u64,
}

impl Stamp {
    /// The stamp of a file.
    #[must_use]
    pub fn of(metadata: &fs::Metadata) -> Self {
        Self {
            size: metadata.len(),
            modified_s: metadata.mtime(),
            modified_ns: metadata.mtime_nsec(),
            inode: metadata.ino(),
        }
    }
}

/// An artifact that is measured, read-only and nobody else's: ready to be moved into the store.
#[derive(Debug, Clone, Copy)]
pub struct Sealed {
    /// Its hash and size.
    pub measure: Measure,
    /// Its state when it was hashed; none for a folder, whose stamp says nothing of its files.
    pub stamp: Option<Stamp>,
}

/// Measures an artifact, makes it read-only and, if `flush`, makes sure that its bytes are on the
/// disk. Links are replaced by copies first: an artifact that shares its bytes with a file
/// outside the store would change with it, and making it read-only would reach outside too.
///
/// # Errors
/// If something cannot be read, written or is neither a file nor a folder.
pub fn seal(path: &Path, flush: bool) -> io::Result<Sealed> {
    if is_shared(path, &fs::symlink_metadata(path)?)? {
        detach(path)?;
    }
    if !fs::symlink_metadata(path)?.is_dir() {
        let (measure, stamp) = seal_file(path, flush)?;
        return Ok(Sealed {
            measure,
            stamp: Some(stamp),
        });
    }
    let mut listing = Map::new();
    let mut bytes = 0;
    for file in files_below(path)? {
        let (measure, _) = seal_file(&path.join(&file), flush)?;
        bytes += measure.bytes;
        listing.insert(slashed(&file), Value::String(measure.digest.hex()));
    }
    Ok(Sealed {
        measure: Measure {
            digest: folder_digest(listing),
            bytes,
            folder: true,
        },
        stamp: None,
    })
}

fn seal_file(path: &Path, flush: bool) -> io::Result<(Measure, Stamp)> {
    let mut file = File::open(path)?;
    let digest = Digest::of_reader(&mut file)?;
    if flush {
        file.sync_data()?;
    }
    let metadata = file.metadata()?;
    let mut permissions = metadata.permissions();
    permissions.set_readonly(true);
    file.set_permissions(permissions)?;
    let measure = Measure {
        digest,
        bytes: metadata.len(),
        folder: false,
    };
    Ok((measure, Stamp::of(&metadata)))
}

/// Whether anything of it is a link, symbolic or hard.
fn is_shared(path: &Path, metadata: &fs::Metadata) -> io::Result<bool> {
    if !metadata.is_dir() {
        return Ok(metadata.is_symlink() || metadata.nlink() > 1);
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        // This does not follow links.
        if is_shared(&entry.path(), &entry.metadata()?)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Replaces links by copies of what they lead to.
fn detach(path: &Path) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".detached");
    let copied = path.with_file_name(name);
    copy(path, &copied)?;
    if fs::symlink_metadata(path)?.is_dir() {
        fs::remove_dir_all(path)?;
    } else {
        fs::remove_file(path)?;
    }
    fs::rename(&copied, path)
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

    #[test]
    fn a_sealed_artifact_shares_nothing_with_files_outside() {
        let home = tempfile::tempdir().expect("folder");
        let outside = home.path().join("model.bin");
        fs::write(&outside, "weights").expect("written");
        let folder = home.path().join("model");
        fs::create_dir(&folder).expect("made");
        fs::hard_link(&outside, folder.join("hard.bin")).expect("linked");
        std::os::unix::fs::symlink(&outside, folder.join("soft.bin")).expect("linked");
        let alone = home.path().join("alone.bin");
        std::os::unix::fs::symlink(&outside, &alone).expect("linked");
        let sealed = seal(&folder, true).expect("sealed");
        assert_eq!(sealed.measure, measure(&folder).expect("measured"));
        seal(&alone, false).expect("sealed");
        let writable = |path: &Path| {
            !fs::symlink_metadata(path)
                .expect("there")
                .permissions()
                .readonly()
        };
        assert!(writable(&outside), "the user's file was made read-only");
        fs::write(&outside, "changed").expect("written");
        for copy in [folder.join("hard.bin"), folder.join("soft.bin"), alone] {
            assert_eq!(fs::read_to_string(&copy).expect("read"), "weights");
            assert!(!writable(&copy));
        }
    }
}
