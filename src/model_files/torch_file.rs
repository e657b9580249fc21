//! PyTorch's own files (`.bin`, `.pth`): a zip of a pickle and the numbers of each tensor.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

use zip::{CompressionMethod, ZipArchive};

use super::error::clipped;
use super::pickle::read_state_dictionary;
use super::{ModelFileError, Stored};

/// A pickle that names the tensors of the largest models is a megabyte long or so.
const LONGEST_PICKLE: u64 = 16 << 20;

/// What to do with a file that is not read.
pub(crate) const CONVERT: &str = "convert it where you trust its origin: python -c \"import torch, \
    safetensors.torch as s; s.save_file({k: v.contiguous().clone() for k, v in torch.load('FILE', \
    map_location='cpu', weights_only=True).items()}, 'OUT.safetensors', {'format': 'pt'})\"";

/// Reads which tensors a file holds, and where. Nothing in it is run.
///
/// # Errors
/// If the file cannot be read, is cut, is of the format before PyTorch 1.6, or holds anything but
/// a dictionary of tensors.
pub fn read_header(file: &File, path: &Path) -> Result<BTreeMap<String, Stored>, ModelFileError> {
    let wrong = |message: String| ModelFileError::file(path, message).with_help(CONVERT);
    let length = file
        .metadata()
        .map_err(ModelFileError::io("read", path))?
        .len();
    let mut reader = BufReader::new(file);
    let mut start = [0_u8; 2];
    reader
        .read_exact(&mut start)
        .map_err(ModelFileError::io("read", path))?;
    if start[0] == 0x80 {
        return Err(wrong(
            "this is in PyTorch's format of before version 1.6, which is not read".to_owned(),
        ));
    }
    if start != *b"PK" {
        return Err(wrong("this is not a file of PyTorch".to_owned()));
    }
    let cut = |error: zip::result::ZipError| {
        ModelFileError::file(path, format!("the file is cut or damaged: {error}"))
            .with_help("download it again")
    };
    let mut archive = ZipArchive::new(reader).map_err(cut)?;
    let mut names = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(cut)?;
        names.push(String::from_utf8_lossy(entry.name_raw()).into_owned());
    }
    let mut pickles = names.iter().filter(|name| name.ends_with("/data.pkl"));
    let (Some(pickle), None) = (pickles.next(), pickles.next()) else {
        return Err(wrong(
            "this zip does not hold one `data.pkl`, so it is not a file of PyTorch".to_owned(),
        ));
    };
    let folder = pickle.trim_end_matches("data.pkl");
    let order = format!("{folder}byteorder");
    if names.contains(&order) && read_entry(&mut archive, &order, path)? != b"little" {
        return Err(wrong("its numbers are big-endian".to_owned()));
    }
    let bytes = read_entry(&mut archive, pickle, path)?;
    let pickled = read_state_dictionary(&bytes).map_err(|message| {
        let refused = message.ends_with("refused");
        let error = wrong(message);
        if refused {
            error.with_help("take the model's safetensors, which cannot run anything")
        } else {
            error
        }
    })?;

    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, name) in names.iter().enumerate() {
        places.entry(name).or_insert(index);
    }
    let mut tensors = BTreeMap::new();
    for (name, tensor) in pickled {
        let shown = clipped(&name);
        let entry_name = format!("{folder}data/{}", tensor.storage);
        let Some(index) = places.get(entry_name.as_str()).copied() else {
            return Err(wrong(format!("the numbers of `{shown}` are missing")));
        };
        let entry = archive.by_index_raw(index).map_err(cut)?;
        let expected = tensor
            .storage_count
            .checked_mul(tensor.stored.number_type.block().1 as u64);
        if entry.compression() != CompressionMethod::Stored
            || entry.encrypted()
            || expected != Some(entry.size())
        {
            return Err(wrong(format!(
                "the numbers of `{shown}` take {} bytes where {} are needed, or are compressed",
                entry.size(),
                expected.unwrap_or_default()
            )));
        }
        let mut stored = tensor.stored;
        let start = entry.data_start();
        let place = start.and_then(|start| start.checked_add(stored.offset));
        stored.offset = place.ok_or_else(|| wrong(format!("the numbers of `{shown}` are lost")))?;
        // The zip may say of an entry that it is longer than the whole file.
        let end = start.and_then(|start| start.checked_add(entry.size()));
        if end.is_none_or(|end| end > length) {
            return Err(wrong(format!(
                "the numbers of `{shown}` end after the file, which has {length} bytes"
            )));
        }
        tensors.insert(name, stored);
    }
    Ok(tensors)
}

fn read_entry(
    archive: &mut ZipArchive<BufReader<&File>>,
    name: &str,
    path: &Path,
) -> Result<Vec<u8>, ModelFileError> {
    let damaged = |what: String| {
        ModelFileError::file(path, format!("`{name}` in the zip: {what}")).with_help(CONVERT)
    };
    let mut bytes = Vec::new();
    let entry = archive
        .by_name(name)
        .map_err(|error| damaged(error.to_string()))?;
    if entry.size() > LONGEST_PICKLE {
        return Err(damaged(format!("has {} bytes", entry.size())));
    }
    entry
        .take(LONGEST_PICKLE)
        .read_to_end(&mut bytes)
        .map_err(|error| damaged(error.to_string()))?;
    Ok(bytes)
}
