//! Tensors as they lie in a file.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{ModelFileError, NumberType};

/// Bytes that are read and converted at a time.
const CHUNK: usize = 1 << 20;

/// Where the numbers of a tensor lie in a file: row-major, little-endian, without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The type of its numbers.
    pub number_type: NumberType,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Where its first byte is.
    pub offset: u64,
    /// Heads whose rows lie in the order in which llama.cpp turns them, (0, D/2, 1, D/2 + 1 …)
    /// instead of (0, 1, …); 0 where rows lie as they are.
    pub turned_heads: usize,
}

impl Stored {
    /// How many numbers it has; `None` if that is beyond all bounds.
    #[must_use]
    pub fn count(&self) -> Option<usize> {
        self.shape
            .iter()
            .try_fold(1_usize, |product, size| product.checked_mul(*size))
    }

    /// How many bytes it has; `None` if that is beyond all bounds.
    #[must_use]
    pub fn size_bytes(&self) -> Option<u64> {
        let last = self.shape.last().copied().unwrap_or(1);
        // A row is a whole number of blocks, or the rows could not be told apart.
        self.number_type.bytes_of(last)?;
        let size = self.number_type.bytes_of(self.count()?)?;
        Some(size as u64)
    }

    /// Gives all bytes to `take`, a piece at a time; a number is never cut.
    pub(crate) fn for_each_piece(
        &self,
        file: &File,
        path: &Path,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), ModelFileError> {
        let mut left = self.size_bytes().unwrap_or(u64::MAX);
        let mut at = self.offset;
        let block = self.number_type.block().1;
        let most = CHUNK / block * block;
        let mut buffer = vec![0_u8; most.min(usize::try_from(left).unwrap_or(most))];
        while left > 0 {
            let piece = buffer.len().min(usize::try_from(left).unwrap_or(most));
            file.read_exact_at(&mut buffer[..piece], at)
                .map_err(ModelFileError::io("read", path))?;
            take(&buffer[..piece]);
            at += piece as u64;
            left -= piece as u64;
        }
        Ok(())
    }

    /// Reads all bytes, one after the other.
    pub(crate) fn reader<'a>(&self, file: &'a File) -> impl Read + 'a {
        Bytes {
            file,
            at: self.offset,
            left: self.size_bytes().unwrap_or(u64::MAX),
        }
    }

    /// All numbers as `f32`.
    pub(crate) fn read_f32(&self, file: &File, path: &Path) -> Result<Vec<f32>, ModelFileError> {
        let mut numbers = Vec::with_capacity(self.count().unwrap_or(0));
        self.for_each_piece(file, path, |piece| {
            self.number_type.extend_f32(piece, &mut numbers);
        })?;
        Ok(self.in_order(numbers))
    }

    /// All bytes, rows in order.
    pub(crate) fn read_bytes(&self, file: &File, path: &Path) -> Result<Vec<u8>, ModelFileError> {
        let mut bytes = Vec::with_capacity(self.size_bytes().unwrap_or(0) as usize);
        self.for_each_piece(file, path, |piece| bytes.extend_from_slice(piece))?;
        Ok(self.in_order(bytes))
    }

    /// Puts rows that lie as they are turned in pairs one after the other.
    fn in_order<T: Copy>(&self, turned: Vec<T>) -> Vec<T> {
        let rows = self.shape.first().copied().unwrap_or(0);
        let fits = self.turned_heads > 0 && rows > 0 && rows.is_multiple_of(2 * self.turned_heads);
        if !fits || turned.is_empty() {
            return turned;
        }
        let (width, half) = (turned.len() / rows, rows / self.turned_heads / 2);
        let mut ordered = Vec::with_capacity(turned.len());
        for row in 0..rows {
            let (head, within) = (row / (2 * half), row % (2 * half));
            let from = head * 2 * half + 2 * (within % half) + within / half;
            ordered.extend_from_slice(&turned[from * width..(from + 1) * width]);
        }
        ordered
    }
}

struct Bytes<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for Bytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.file.read_at(&mut buffer[..most], self.at)?;
        if count == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

/// The index of the first number that is not finite.
pub(crate) fn first_not_finite(numbers: &[f32]) -> Option<usize> {
    // Without an early end in the inner loop, several numbers are looked at at once.
    const BLOCK: usize = 1024;
    let clean = |block: &[f32]| block.iter().fold(true, |all, one| all & one.is_finite());
    let start = BLOCK * numbers.chunks(BLOCK).position(|block| !clean(block))?;
    let within = numbers[start..].iter().position(|one| !one.is_finite())?;
    Some(start + within)
}
