//! TensorBoard's event file: numbers over steps.
//!
//! A file is a sequence of records (length, its checksum, bytes, their checksum), each an `Event`
//! in protobuf. TensorBoard wants a time with each; ours is the step in seconds since 1970, since
//! the same training must give the same bytes.

use std::fs;
use std::path::Path;

use super::CodecError;
use super::scalars::Scalars;
use crate::tuning::CurvePoint;

/// The name of the event file in its folder.
pub const EVENT_FILE: &str = "events.out.tfevents.0.runner";

/// Writes the course of a training as an event file into a folder that TensorBoard can be
/// pointed at.
///
/// # Errors
/// If folder or file cannot be written.
pub fn write_event_file(folder: &Path, curve: &[CurvePoint]) -> Result<(), CodecError> {
    let steps: Vec<Scalars> = curve.iter().map(Scalars::from).collect();
    write_scalars(folder, &steps)
}

/// The same for numbers over steps of any training.
///
/// # Errors
/// If folder or file cannot be written.
pub fn write_scalars(folder: &Path, steps: &[Scalars]) -> Result<(), CodecError> {
    let mut file = Vec::new();
    record(&mut file, &event(0, &text_field(3, b"brain.Event:2")));
    for Scalars { step, values } in steps {
        let values: Vec<u8> = values
            .iter()
            .flat_map(|(tag, number)| text_field(1, &value(tag, *number)))
            .collect();
        record(&mut file, &event(*step, &text_field(5, &values)));
    }
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| CodecError::Io {
            action,
            path,
            source,
        }
    };
    fs::create_dir_all(folder).map_err(io("create", folder))?;
    let path = folder.join(EVENT_FILE);
    fs::write(&path, file).map_err(io("write", &path))
}

/// `Event { wall_time: double = 1, step: int64 = 2, … }`; `what` is one more field.
fn event(step: u64, what: &[u8]) -> Vec<u8> {
    let mut event = vec![tag(1, 1)];
    event.extend_from_slice(&(step as f64).to_le_bytes());
    event.push(tag(2, 0));
    variable(&mut event, step);
    event.extend_from_slice(what);
    event
}

/// `Summary.Value { tag: string = 1, simple_value: float = 2 }`.
fn value(name: &str, number: f64) -> Vec<u8> {
    let mut value = text_field(1, name.as_bytes());
    value.push(tag(2, 5));
    value.extend_from_slice(&(number as f32).to_le_bytes());
    value
}

/// A field of bytes: a text, or another message.
fn text_field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![tag(number, 2)];
    variable(&mut field, bytes.len() as u64);
    field.extend_from_slice(bytes);
    field
}

/// Number and wire type of a field, for numbers below 16.
fn tag(number: u8, wire: u8) -> u8 {
    number << 3 | wire
}

/// A whole number in groups of seven bits, the lowest first.
fn variable(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn record(file: &mut Vec<u8>, bytes: &[u8]) {
    let length = (bytes.len() as u64).to_le_bytes();
    file.extend_from_slice(&length);
    file.extend_from_slice(&masked(&length).to_le_bytes());
    file.extend_from_slice(bytes);
    file.extend_from_slice(&masked(bytes).to_le_bytes());
}

/// A checksum that may stand in the data that it is of.
fn masked(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bit by bit: an event file has kilobytes.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut state = u32::MAX;
    for byte in bytes {
        state ^= u32::from(*byte);
        for _ in 0..8 {
            let low = state & 1;
            state = (state >> 1) ^ (0x82f6_3b78 * low);
        }
    }
    !state
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of the catalogue of CRCs, and RFC 3720, B.4.
    #[test]
    fn checksums_are_the_published_ones() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn whole_numbers_are_in_groups_of_seven_bits() {
        let bytes = |number| {
            let mut bytes = Vec::new();
            variable(&mut bytes, number);
            bytes
        };
        assert_eq!(bytes(0), [0]);
        assert_eq!(bytes(127), [127]);
        assert_eq!(bytes(300), [0xac, 2]);
    }

    #[test]
    fn files_are_the_same_bytes_each_time() {
        let curve = [10, 200].map(|step| CurvePoint {
            step,
            epoch: 0.5,
            loss: 0.25,
            learning_rate: 1e-4,
            gradient_norm: 2.0,
            tokens: 9,
            validation_auc: (step == 200).then_some(0.75),
            validation_loss: None,
        });
        let folder = tempfile::tempdir().expect("folder");
        let read = |name: &str| {
            let folder = folder.path().join(name);
            write_event_file(&folder, &curve).expect("written");
            fs::read(folder.join("events.out.tfevents.0.runner")).expect("bytes")
        };
        let bytes = read("one");
        assert_eq!(bytes, read("two"));
        let first = u64::from_le_bytes(bytes[..8].try_into().expect("eight")) as usize;
        assert!(bytes[12..12 + first].ends_with(b"brain.Event:2"));
    }
}
