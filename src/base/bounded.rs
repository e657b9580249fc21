//! Files read whole, but never more of them than they can rightly have.
//!
//! A path may name a log of many gigabytes, a device without an end, or a file that somebody made
//! to fill the memory. Every parser that wants a whole file in memory takes it from here, with the
//! largest size that makes sense for what it reads.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// An experiment or a pipeline. The largest shipped one has a few kilobytes.
pub const SPECIFICATION: u64 = 4 << 20;

/// Settings that people or programs write once: `config.json`, prompt templates, options of
/// adapters, indexes of weights.
pub const SETTINGS: u64 = 64 << 20;

/// What runs leave behind and reports are made from: manifests, results, comparisons, provenance.
pub const RECORDS: u64 = 256 << 20;

/// A tokenizer. Those with a quarter of a million pieces have some thirty megabytes.
pub const TOKENIZER: u64 = 256 << 20;

/// Raw data, corpora and the weights of recommenders.
pub const DATA: u64 = 4 << 30;

/// Reads a file of at most `most` bytes.
///
/// # Errors
/// If it cannot be read, or has more bytes; what it has beyond is not read.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    if size > most {
        return Err(too_large(most));
    }
    let mut bytes = Vec::with_capacity(size as usize);
    // A device says that its size is 0, and a file may have grown since it was asked.
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(too_large(most));
    }
    Ok(bytes)
}

/// Reads a text of at most `most` bytes.
///
/// # Errors
/// As [`read`], and if it is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(read(path, most)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

fn too_large(most: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("it has more than {most} bytes, which no such file needs"),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound_and_no_further() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("x");
        fs::write(&path, "12345").expect("written");
        assert_eq!(read(&path, 5).expect("read"), b"12345");
        assert_eq!(read_text(&path, 5).expect("read"), "12345");
        let error = read(&path, 4).expect_err("too large");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(error.to_string().contains("more than 4 bytes"), "{error}");
        fs::write(&path, b"\xff").expect("written");
        let error = read_text(&path, 4).expect_err("no text");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_device_without_an_end_is_an_error() {
        let error = read(Path::new("/dev/zero"), 1 << 20).expect_err("endless");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }
}
