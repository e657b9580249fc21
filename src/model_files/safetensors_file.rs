//! Files in the safetensors format: the header read and checked against the length of the file,
//! and whole files written.
//!
//! The crate `safetensors` wants the whole file in memory or mapped, and says of a truncated one
//! only that its header is invalid; the format is small enough to do both better.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::error::clipped;
use super::weight_files::is_passed_over;
use super::{ModelFileError, NumberType, Stored};

/// The format's own bound.
const LONGEST_HEADER: u64 = 100_000_000;

/// Reads the header of a file: its tensors by name.
///
/// # Errors
/// If the file cannot be read, is cut, has bytes no tensor owns, or numbers of another type than
/// F64, F32, F16 and BF16.
pub fn read_header(file: &File, path: &Path) -> Result<BTreeMap<String, Stored>, ModelFileError> {
    let wrong = |message: String| ModelFileError::file(path, message);
    let io = || ModelFileError::io("read", path);
    let length = file.metadata().map_err(io())?.len();
    if length < 8 {
        return Err(cut(path, 8, length));
    }
    let mut start = [0_u8; 8];
    file.read_exact_at(&mut start, 0).map_err(io())?;
    let header_length = u64::from_le_bytes(start);
    if header_length > LONGEST_HEADER {
        return Err(wrong(format!(
            "this is not a safetensors file: its header would have {header_length} bytes"
        )));
    }
    let data_start = 8 + header_length;
    if data_start > length {
        return Err(cut(path, data_start, length));
    }
    let mut header = vec![0_u8; header_length as usize];
    file.read_exact_at(&mut header, 8).map_err(io())?;
    let entries: Map<String, Value> = serde_json::from_slice(&header)
        .map_err(|error| wrong(format!("the header is not a JSON object: {error}")))?;

    let mut tensors = BTreeMap::new();
    let mut ranges = Vec::new();
    for (name, entry) in &entries {
        if name == "__metadata__" {
            continue;
        }
        if let Some((begin, end)) = integers_passed_over(name, entry, data_start) {
            ranges.push((begin, end, name));
            continue;
        }
        let (stored, end) = read_entry(name, entry, data_start).map_err(wrong)?;
        ranges.push((stored.offset, end, name));
        tensors.insert(name.clone(), stored);
    }
    ranges.sort_unstable();
    let mut expected = data_start;
    for (begin, end, name) in ranges {
        if begin != expected {
            let what = if begin < expected {
                "overlaps the one before"
            } else {
                "leaves a gap"
            };
            return Err(wrong(format!(
                "tensor `{}` {what}: it begins at byte {begin}, the one before ends at {expected}",
                clipped(name)
            )));
        }
        expected = end;
    }
    match length {
        _ if length < expected => Err(cut(path, expected, length)),
        _ if length > expected => Err(wrong(format!(
            "the file has {length} bytes, and its header accounts for {expected}"
        ))
        .with_help("download it again")),
        _ => Ok(tensors),
    }
}

fn cut(path: &Path, expected: u64, actual: u64) -> ModelFileError {
    ModelFileError::file(
        path,
        format!("the file is cut: it should have at least {expected} bytes and has {actual}"),
    )
    .with_help("download it again; its size on the hub tells whether it is whole")
}

/// Where a tensor of integers lies of which nothing is read; none for all others.
fn integers_passed_over(name: &str, entry: &Value, data_start: u64) -> Option<(u64, u64)> {
    if entry.get("dtype")? != "I64" || !is_passed_over(name) {
        return None;
    }
    let offsets = entry.get("data_offsets")?.as_array()?;
    let [begin, end] = &offsets[..] else {
        return None;
    };
    let at = |offset: &Value| data_start.checked_add(offset.as_u64()?);
    Some((at(begin)?, at(end)?)).filter(|(begin, end)| begin <= end)
}

/// A tensor of the header, and where it ends in the file.
fn read_entry(name: &str, entry: &Value, data_start: u64) -> Result<(Stored, u64), String> {
    let shown = clipped(name);
    let type_name = entry
        .get("dtype")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let number_type = NumberType::from_name(type_name).ok_or_else(|| {
        format!(
            "tensor `{shown}` has numbers of type `{}`; only F64, F32, F16 and BF16 are read",
            clipped(type_name)
        )
    })?;
    let sizes = |key: &str| -> Option<Vec<u64>> {
        let all = entry.get(key)?.as_array()?;
        all.iter().map(Value::as_u64).collect()
    };
    let shape = sizes("shape").ok_or_else(|| format!("tensor `{shown}` has no shape"))?;
    let offsets = sizes("data_offsets").unwrap_or_default();
    let [begin, end] = offsets[..] else {
        return Err(format!("tensor `{shown}` has no place in the file"));
    };
    let in_file = |offset: u64| data_start.checked_add(offset);
    let (Some(offset), Some(end)) = (in_file(begin), in_file(end)) else {
        return Err(format!(
            "tensor `{shown}` has an impossible place in the file"
        ));
    };
    let stored = Stored {
        turned_heads: 0,
        number_type,
        shape: shape.iter().map(|size| *size as usize).collect(),
        offset,
    };
    // Two impossible sizes are no match: a shape beyond all bounds and an end before the beginning.
    let size = stored.size_bytes();
    if size.is_none() || size != end.checked_sub(offset) {
        return Err(format!(
            "tensor `{shown}` of shape {shape:?} does not fit its bytes {begin} to {end}"
        ));
    }
    Ok((stored, end))
}

/// A tensor to be written.
#[derive(Debug, Clone, Copy)]
pub struct ToWrite<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its shape.
    pub shape: &'a [usize],
    /// Its numbers, row-major.
    pub values: &'a [f32],
}

/// Writes tensors in the given order; the same tensors give the same bytes.
///
/// # Errors
/// If a tensor's numbers do not fill its shape or are not finite in this type, or the file cannot
/// be written.
pub fn write(
    path: &Path,
    tensors: &[ToWrite<'_>],
    number_type: NumberType,
) -> Result<(), ModelFileError> {
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut at = 0;
    for tensor in tensors {
        let count: usize = tensor.shape.iter().product();
        if count != tensor.values.len() {
            return Err(ModelFileError::invalid(format!(
                "`{}` has {} numbers, which do not fill the shape {:?}",
                tensor.name,
                tensor.values.len(),
                tensor.shape
            )));
        }
        let end = at + number_type.bytes_of(count).unwrap_or(0);
        header.insert(
            tensor.name.to_owned(),
            json!({"dtype": number_type.name(), "shape": tensor.shape, "data_offsets": [at, end]}),
        );
        at = end;
    }
    let mut header = Value::Object(header).to_string();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let io = || ModelFileError::io("write", path);
    let file = File::create(path).map_err(ModelFileError::io("create", path))?;
    let mut writer = BufWriter::new(file);
    let length = header.len() as u64;
    writer.write_all(&length.to_le_bytes()).map_err(io())?;
    writer.write_all(header.as_bytes()).map_err(io())?;
    let mut bytes = Vec::new();
    for tensor in tensors {
        for (block, values) in tensor.values.chunks(1 << 18).enumerate() {
            bytes.clear();
            number_type.extend_bytes(values, &mut bytes);
            check_range(tensor.name, block << 18, values, &bytes, number_type)?;
            writer.write_all(&bytes).map_err(io())?;
        }
    }
    writer.flush().map_err(io())
}

/// Refuses numbers that became infinite in a smaller type, or were not numbers to begin with.
fn check_range(
    name: &str,
    start: usize,
    values: &[f32],
    bytes: &[u8],
    number_type: NumberType,
) -> Result<(), ModelFileError> {
    let mut back = Vec::with_capacity(values.len());
    number_type.extend_f32(bytes, &mut back);
    match super::stored::first_not_finite(&back) {
        None => Ok(()),
        Some(index) => Err(ModelFileError::invalid(format!(
            "`{name}` has {} at index {}, which cannot be stored as {}",
            values[index],
            start + index,
            number_type.name()
        ))),
    }
}
