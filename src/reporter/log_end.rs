//! The end of a log that a stage left.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Where a log lies that an event names. Where the runner's folder was does not matter, only its
/// name for the file: so no journal can point outside the folder of logs.
pub(crate) fn log_path(logs: &Path, named: &str) -> Option<PathBuf> {
    Path::new(named).file_name().map(|name| logs.join(name))
}

/// The last whole lines of a file within its last `most` bytes, and whether there is more.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn log_end(path: &Path, most: u64) -> io::Result<(String, bool)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(most);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let whole = match text.split_once('\n') {
        // The first line is cut somewhere.
        Some((_, rest)) if start > 0 && !rest.is_empty() => rest,
        _ => &text,
    };
    Ok((whole.trim_end().to_owned(), start > 0))
}
