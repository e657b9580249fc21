//! Types of numbers in files of weights.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::blocks;

/// A type of numbers that weights are stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NumberType {
    /// IEEE double precision.
    F64,
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of a single.
    BF16,
    /// Blocks of 32: a scale, and 8 bits each. In GGUF files alone, as those that follow.
    Q8_0,
    /// Blocks of 32: a scale, and 4 bits each.
    Q4_0,
    /// Blocks of 256: scales and minima in two levels, and 4 bits each.
    Q4K,
    /// Blocks of 256: scales in two levels, and 6 bits each.
    Q6K,
}

impl NumberType {
    /// Its name in safetensors files, or GGUF's.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
            Self::Q4K => "Q4_K",
            Self::Q6K => "Q6_K",
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
        }
    }

    /// Its name in PyTorch, as `config.json` has it; numbers in blocks are `float16` there, which
    /// holds what they are made of.
    #[must_use]
    pub fn torch_name(self) -> &'static str {
        match self {
            Self::F64 => "float64",
            Self::F32 => "float32",
            Self::F16 | Self::Q8_0 | Self::Q4_0 | Self::Q4K | Self::Q6K => "float16",
            Self::BF16 => "bfloat16",
        }
    }

    /// The type with this safetensors name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::F64, Self::F32, Self::F16, Self::BF16]
            .into_iter()
            .find(|one| one.name() == name)
    }

    /// Numbers and bytes of a block; a number that stands alone is one.
    #[must_use]
    pub fn block(self) -> (usize, usize) {
        match self {
            Self::F64 => (1, 8),
            Self::F32 => (1, 4),
            Self::F16 | Self::BF16 => (1, 2),
            Self::Q8_0 => blocks::Q8_0,
            Self::Q4_0 => blocks::Q4_0,
            Self::Q4K => blocks::Q4_K,
            Self::Q6K => blocks::Q6_K,
        }
    }

    /// Bytes of so many numbers; `None` if that is beyond all bounds, or no whole number of blocks.
    #[must_use]
    pub fn bytes_of(self, count: usize) -> Option<usize> {
        let (numbers, bytes) = self.block();
        count
            .is_multiple_of(numbers)
            .then(|| (count / numbers).checked_mul(bytes))
            .flatten()
    }

    /// Appends little-endian numbers of this type to `all` as `f32`; bytes beyond the last whole
    /// number, or block, are not looked at.
    pub fn extend_f32(self, bytes: &[u8], all: &mut Vec<f32>) {
        let mut blocks = |read: fn(&[u8], &mut Vec<f32>)| {
            let whole = bytes.chunks_exact(self.block().1);
            whole.for_each(|block| read(block, all));
        };
        match self {
            Self::Q8_0 => blocks(blocks::q8_0),
            Self::Q4_0 => blocks(blocks::q4_0),
            Self::Q4K => blocks(blocks::q4_k),
            Self::Q6K => blocks(blocks::q6_k),
            Self::F64 => all.extend(numbers(bytes).map(|one| f64::from_le_bytes(one) as f32)),
            Self::F32 => all.extend(numbers(bytes).map(f32::from_le_bytes)),
            Self::BF16 => all.extend(numbers(bytes).map(|one| bf16::from_le_bytes(one).to_f32())),
            Self::F16 => {
                let halves: Vec<f16> = numbers(bytes).map(f16::from_le_bytes).collect();
                let start = all.len();
                all.resize(start + halves.len(), 0.0);
                halves.convert_to_f32_slice(&mut all[start..]);
            }
        }
    }

    /// Appends numbers to `bytes` in this type, rounded to nearest; types in blocks are never written,
    /// and take `f32`.
    pub fn extend_bytes(self, numbers: &[f32], bytes: &mut Vec<u8>) {
        match self {
            Self::F64 => bytes.extend(numbers.iter().flat_map(|one| f64::from(*one).to_le_bytes())),
            Self::F32 | Self::Q8_0 | Self::Q4_0 | Self::Q4K | Self::Q6K => {
                bytes.extend(numbers.iter().flat_map(|one| one.to_le_bytes()));
            }
            Self::F16 => {
                bytes.extend(
                    numbers
                        .iter()
                        .flat_map(|one| f16::from_f32(*one).to_le_bytes()),
                );
            }
            Self::BF16 => {
                bytes.extend(
                    numbers
                        .iter()
                        .flat_map(|one| bf16::from_f32(*one).to_le_bytes()),
                );
            }
        }
    }
}

fn numbers<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.as_chunks::<N>().0.iter().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_gives_back_what_it_can_hold() {
        let values = [0.0_f32, -1.5, 0.25, 96.0, f32::INFINITY];
        for kind in [
            NumberType::F64,
            NumberType::F32,
            NumberType::F16,
            NumberType::BF16,
        ] {
            let mut bytes = Vec::new();
            kind.extend_bytes(&values, &mut bytes);
            assert_eq!(bytes.len(), kind.bytes_of(values.len()).expect("alone"));
            let mut back = vec![7.0];
            kind.extend_f32(&bytes, &mut back);
            assert_eq!(back[1..], values);
            assert_eq!(NumberType::from_name(kind.name()), Some(kind));
        }
        assert_eq!(NumberType::from_name("I64"), None);
    }
}
