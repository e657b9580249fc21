//! What came over the network is what the hub says it is, or it is thrown away.
//!
//! The cache names every file by its hash, as the hub gives it: SHA-256 of the bytes for large
//! files, git's blob id (SHA-1) for those that lie in the repository itself.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use gix::objs::Kind;
use sha2::{Digest, Sha256};

use super::ModelFileError;
use crate::base::bounded;

/// Compares a file of the cache with its name there, through the link in the snapshot. What differs
/// is removed, link and bytes, and the inner error says how.
///
/// # Errors
/// If the file cannot be read or removed.
pub(super) fn check(path: &Path) -> Result<Result<(), String>, ModelFileError> {
    let blob = fs::canonicalize(path).map_err(ModelFileError::io("find", path))?;
    let wanted = blob
        .file_name()
        .map(|name| name.to_string_lossy().to_ascii_lowercase())
        .unwrap_or_default();
    let is_hash = wanted.bytes().all(|digit| digit.is_ascii_hexdigit());
    let found = match wanted.len() {
        64 if is_hash => sha_256(&blob).map_err(ModelFileError::io("read", &blob))?,
        40 if is_hash => git_blob(&blob)?,
        // Another hub than huggingface.co may name them as it likes.
        _ => return Ok(Ok(())),
    };
    if found == wanted {
        return Ok(Ok(()));
    }
    for file in [path, &blob] {
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ModelFileError::io("remove", file)(error));
            }
            _ => {}
        }
    }
    Ok(Err(format!(
        "its bytes have the hash {found}, the hub says {wanted}"
    )))
}

fn sha_256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(format!("{:x}", hash.finalize())),
            count => hash.update(&chunk[..count]),
        }
    }
}

fn git_blob(path: &Path) -> Result<String, ModelFileError> {
    // Whatever is larger lies in the hub's storage for large files.
    let bytes =
        bounded::read(path, bounded::TOKENIZER).map_err(ModelFileError::io("read", path))?;
    gix::objs::compute_hash(gix::hash::Kind::Sha1, Kind::Blob, &bytes)
        .map(|id| id.to_string())
        .map_err(|error| ModelFileError::invalid(error.to_string()))
}
