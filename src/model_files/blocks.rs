//! Numbers in blocks that share scales, as GGUF files hold them: how a block becomes numbers.
//!
//! The layouts are llama.cpp's (`ggml-common.h`, `dequantize_row_*`).

use half::f16;

/// Numbers of a block of the formats with one scale.
const SMALL: usize = 32;

/// Numbers of a block of the formats with scales in two levels.
const LARGE: usize = 256;

/// How many numbers share a block's bytes.
pub(super) const Q8_0: (usize, usize) = (SMALL, 34);
pub(super) const Q4_0: (usize, usize) = (SMALL, 18);
pub(super) const Q4_K: (usize, usize) = (LARGE, 144);
pub(super) const Q6_K: (usize, usize) = (LARGE, 210);

fn half(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// A scale and 32 bytes with a sign.
pub(super) fn q8_0(block: &[u8], out: &mut Vec<f32>) {
    let scale = half(block, 0);
    out.extend(
        block[2..34]
            .iter()
            .map(|byte| f32::from(byte.cast_signed()) * scale),
    );
}

/// A scale and 32 halves of bytes: the lower ones first.
pub(super) fn q4_0(block: &[u8], out: &mut Vec<f32>) {
    let scale = half(block, 0);
    let number = |nibble: u8| (f32::from(nibble) - 8.0) * scale;
    out.extend(block[2..18].iter().map(|byte| number(byte & 15)));
    out.extend(block[2..18].iter().map(|byte| number(byte >> 4)));
}

/// Scale and minimum, six bits each, of one of eight parts of a block.
fn scale_and_minimum(packed: &[u8], part: usize) -> (f32, f32) {
    let (scale, minimum) = if part < 4 {
        (packed[part] & 63, packed[part + 4] & 63)
    } else {
        (
            (packed[part + 4] & 15) | ((packed[part - 4] >> 6) << 4),
            (packed[part + 4] >> 4) | ((packed[part] >> 6) << 4),
        )
    };
    (f32::from(scale), f32::from(minimum))
}

/// Two scales over all, twelve bytes of scales and minima, and 256 halves of bytes.
pub(super) fn q4_k(block: &[u8], out: &mut Vec<f32>) {
    let (scale, minimum) = (half(block, 0), half(block, 2));
    let packed = &block[4..16];
    for (pair, bytes) in block[16..144].chunks_exact(32).enumerate() {
        for (part, shift) in [(2 * pair, 0), (2 * pair + 1, 4)] {
            let (own_scale, own_minimum) = scale_and_minimum(packed, part);
            let (factor, below) = (scale * own_scale, minimum * own_minimum);
            out.extend(
                bytes
                    .iter()
                    .map(|byte| factor * f32::from((byte >> shift) & 15) - below),
            );
        }
    }
}

/// 256 numbers of six bits in two planes, sixteen scales, and a scale over all.
pub(super) fn q6_k(block: &[u8], out: &mut Vec<f32>) {
    let scale = half(block, 208);
    for part in 0..2 {
        let low = &block[64 * part..64 * part + 64];
        let high = &block[128 + 32 * part..128 + 32 * part + 32];
        let scales = &block[192 + 8 * part..192 + 8 * part + 8];
        for quarter in 0..4 {
            for at in 0..32 {
                let nibble = (low[at + 32 * (quarter % 2)] >> (4 * (quarter / 2))) & 15;
                let upper = (high[at] >> (2 * quarter)) & 3;
                let number = f32::from(nibble | (upper << 4)) - 32.0;
                let own = f32::from(scales[at / 16 + 2 * quarter].cast_signed());
                out.push(scale * own * number);
            }
        }
    }
}
