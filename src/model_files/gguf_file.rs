//! Weights in GGUF, llama.cpp's format: the header; numbers are read where they lie.
//!
//! <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3. What it says of
//! the model's sizes and tokenizer is passed over: a folder with such a file has `config.json` and
//! `tokenizer.json` as any other.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::error::clipped;
use super::{ModelFileError, NumberType, Stored};

/// Longest header: vocabularies lie in it.
const LONGEST_HEADER: u64 = 256 << 20;

/// Most tensors and most entries before them.
const MOST_ENTRIES: u64 = 1 << 20;

/// Longest name of a tensor.
const LONGEST_NAME: u64 = 1 << 10;

/// Arrays may hold arrays, hardly ever do, and never this deep.
const DEEPEST: usize = 4;

/// Where data begins is a multiple of this, unless the file says of what.
const ALIGNMENT: u64 = 32;

struct Header<'a> {
    reader: io::Take<BufReader<&'a File>>,
    path: &'a Path,
}

impl Header<'_> {
    fn wrong(&self, message: impl Into<String>) -> ModelFileError {
        ModelFileError::file(self.path, message)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], ModelFileError> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                self.wrong("the file ends in the middle of its header, or that is without measure")
                    .with_help("the download is not whole; get it again")
            } else {
                ModelFileError::io("read", self.path)(error)
            }
        })?;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, ModelFileError> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> Result<u64, ModelFileError> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn count(&mut self, of: &str) -> Result<u64, ModelFileError> {
        match self.u64()? {
            count if count <= MOST_ENTRIES => Ok(count),
            count => Err(self.wrong(format!("{count} {of} cannot be"))),
        }
    }

    fn name(&mut self) -> Result<String, ModelFileError> {
        let length = self.u64()?;
        if length > LONGEST_NAME {
            return Err(self.wrong(format!("a name of {length} bytes cannot be")));
        }
        let mut bytes = vec![0; length as usize];
        for byte in &mut bytes {
            [*byte] = self.bytes()?;
        }
        String::from_utf8(bytes).map_err(|_| self.wrong("a name is no text"))
    }

    fn skip(&mut self, bytes: u64) -> Result<(), ModelFileError> {
        let skipped = io::copy(&mut self.reader.by_ref().take(bytes), &mut io::sink());
        match skipped {
            Ok(skipped) if skipped == bytes => Ok(()),
            Ok(_) => Err(self.wrong("the file ends in the middle of its header")),
            Err(error) => Err(ModelFileError::io("read", self.path)(error)),
        }
    }

    /// Passes over a value of a type; gives it back if it is a `u32`.
    fn value(&mut self, kind: u32, depth: usize) -> Result<Option<u32>, ModelFileError> {
        match kind {
            0 | 1 | 7 => self.skip(1)?,
            2 | 3 => self.skip(2)?,
            4 => return Ok(Some(self.u32()?)),
            5 | 6 => self.skip(4)?,
            10..=12 => self.skip(8)?,
            8 => {
                let length = self.u64()?;
                self.skip(length)?;
            }
            9 if depth < DEEPEST => {
                let inner = self.u32()?;
                let count = self.u64()?;
                let width = match inner {
                    0 | 1 | 7 => 1,
                    2 | 3 => 2,
                    4..=6 => 4,
                    10..=12 => 8,
                    _ => 0,
                };
                if width > 0 {
                    let bytes = count.checked_mul(width);
                    let bytes = bytes.ok_or_else(|| self.wrong("an array without measure"))?;
                    self.skip(bytes)?;
                } else {
                    for _ in 0..count {
                        self.value(inner, depth + 1)?;
                    }
                }
            }
            _ => return Err(self.wrong(format!("a value of type {kind} is not known"))),
        }
        Ok(None)
    }
}

/// The type with this number in `ggml.h`.
fn number_type(kind: u32) -> Option<NumberType> {
    Some(match kind {
        0 => NumberType::F32,
        1 => NumberType::F16,
        2 => NumberType::Q4_0,
        8 => NumberType::Q8_0,
        12 => NumberType::Q4K,
        14 => NumberType::Q6K,
        30 => NumberType::BF16,
        _ => return None,
    })
}

/// Tensors by name, with where they lie; every one is checked to lie in the file.
pub(super) fn read_header(
    file: &File,
    path: &Path,
) -> Result<BTreeMap<String, Stored>, ModelFileError> {
    let length = file
        .metadata()
        .map_err(ModelFileError::io("read", path))?
        .len();
    let mut header = Header {
        reader: BufReader::new(file).take(LONGEST_HEADER),
        path,
    };
    if header.bytes()? != *b"GGUF" {
        return Err(header.wrong("this is not GGUF: it does not begin with these four letters"));
    }
    let version = header.u32()?;
    if !(2..=3).contains(&version) {
        return Err(header.wrong(format!("GGUF of version {version}; 2 and 3 are read")));
    }
    let tensors = header.count("tensors")?;
    let entries = header.count("entries")?;
    let mut alignment = ALIGNMENT;
    for _ in 0..entries {
        let name = header.name()?;
        let kind = header.u32()?;
        let value = header.value(kind, 0)?;
        if name == "general.alignment" {
            alignment = value.map_or(ALIGNMENT, u64::from);
        }
    }
    if alignment == 0 || !alignment.is_multiple_of(8) {
        return Err(header.wrong(format!("data aligned to {alignment} bytes cannot be")));
    }
    let mut found = BTreeMap::new();
    for _ in 0..tensors {
        let name = header.name()?;
        let dimensions = header.u32()?;
        if dimensions > 4 {
            return Err(header.wrong(format!("`{}` has {dimensions} dimensions", clipped(&name))));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            let size = usize::try_from(header.u64()?).unwrap_or(usize::MAX);
            // The innermost comes first.
            shape.insert(0, size);
        }
        let kind = header.u32()?;
        let offset = header.u64()?;
        let Some(number_type) = number_type(kind) else {
            return Err(header
                .wrong(format!(
                    "`{}` is of ggml's type {kind}, which is not read",
                    clipped(&name)
                ))
                .with_help(
                    "F32, F16, BF16, Q4_0, Q8_0, Q4_K and Q6_K are; convert it with \
                     llama.cpp's `llama-quantize`",
                ));
        };
        let stored = Stored {
            number_type,
            shape,
            offset,
            turned_heads: 0,
        };
        if found.insert(name.clone(), stored).is_some() {
            return Err(header.wrong(format!("`{}` is there twice", clipped(&name))));
        }
    }
    let read = LONGEST_HEADER - header.reader.limit();
    let begin = read.next_multiple_of(alignment);
    for (name, stored) in &mut found {
        let offset = begin.checked_add(stored.offset);
        let end = stored
            .size_bytes()
            .and_then(|size| offset?.checked_add(size))
            .filter(|end| *end <= length);
        match (offset, end) {
            (Some(offset), Some(_)) => stored.offset = offset,
            _ => {
                return Err(ModelFileError::file(
                    path,
                    format!(
                        "`{}` of shape {:?} does not lie in the file, which has {length} bytes",
                        clipped(name),
                        stored.shape
                    ),
                )
                .with_help("the download is not whole; get it again"));
            }
        }
    }
    Ok(found)
}
