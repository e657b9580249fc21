//! The weights of a model, wherever in its folder they lie.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::Value;

use super::error::clipped;
use super::stored::first_not_finite;
use super::{ModelFileError, NumberType, Stored, gguf_file, safetensors_file, torch_file};
use crate::base::{Digest, bounded, canonical_json};

/// Where weights may be, first choice first, and whether the file is an index of others.
pub const WEIGHT_FILES: [(&str, bool); 4] = [
    ("model.safetensors", false),
    ("model.safetensors.index.json", true),
    ("pytorch_model.bin", false),
    ("pytorch_model.bin.index.json", true),
];

/// How the name of a GGUF file ends.
const GGUF: &str = "gguf";

/// The GGUF file of a folder, if there is one.
fn only_gguf(folder: &Path) -> Result<Option<PathBuf>, ModelFileError> {
    let entries = std::fs::read_dir(folder).map_err(ModelFileError::io("read", folder))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|end| end == GGUF))
        .collect();
    found.sort();
    if found.len() > 1 {
        let names: Vec<String> = found
            .iter()
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        return Err(ModelFileError::file(
            folder,
            format!("there are {} GGUF files: {}", names.len(), few(&names)),
        )
        .with_help("leave the one that is meant; one that is split is joined by llama.cpp's `llama-gguf-split --merge`"));
    }
    Ok(found.pop())
}

/// Whether a tensor of integers may be there and is not read: BERT's checkpoints of before 2023
/// hold the numbers 0, 1, 2 … of their positions.
pub(super) fn is_passed_over(name: &str) -> bool {
    name.ends_with("embeddings.position_ids")
}

/// The files with a model's weights, open.
///
/// Numbers are read when they are asked for.
#[derive(Debug)]
pub struct WeightFiles {
    /// The file that was found, an index or the weights, for errors.
    origin: PathBuf,
    files: Vec<(PathBuf, File)>,
    /// Tensors by name, with the index of their file.
    tensors: BTreeMap<String, (usize, Stored)>,
}

impl WeightFiles {
    /// Finds the weights in a folder, whatever they are; `keep_exactly` says which
    /// they must be.
    ///
    /// # Errors
    /// If there are none, a shard is missing, or a file is cut.
    pub fn open(folder: &Path) -> Result<Self, ModelFileError> {
        let found = WEIGHT_FILES
            .iter()
            .find(|(name, _)| folder.join(name).exists());
        if found.is_none()
            && let Some(path) = only_gguf(folder)?
        {
            return Self::open_files(&[path]);
        }
        let Some((name, is_index)) = found else {
            let names: Vec<&str> = WEIGHT_FILES.iter().map(|(name, _)| *name).collect();
            return Err(ModelFileError::file(
                folder,
                format!(
                    "there are no weights in this folder: no {}, no *.gguf",
                    names.join(", no ")
                ),
            ));
        };
        let path = folder.join(name);
        let mut weights = if *is_index {
            Self::open_index(folder, &path)?
        } else {
            Self::open_files(std::slice::from_ref(&path))?
        };
        weights.origin = path;
        Ok(weights)
    }

    /// Opens files of weights whatever they hold.
    pub(crate) fn open_files(paths: &[PathBuf]) -> Result<Self, ModelFileError> {
        let mut all = Self {
            origin: paths.first().cloned().unwrap_or_default(),
            files: Vec::new(),
            tensors: BTreeMap::new(),
        };
        for path in paths {
            let file = File::open(path).map_err(ModelFileError::io("read", path))?;
            let ends = path.extension().and_then(|end| end.to_str());
            let header = match ends {
                Some("safetensors") => safetensors_file::read_header(&file, path)?,
                Some(GGUF) => gguf_file::read_header(&file, path)?,
                _ => torch_file::read_header(&file, path)?,
            };
            let index = all.files.len();
            for (name, stored) in header {
                if all.tensors.contains_key(&name) {
                    return Err(ModelFileError::file(
                        path,
                        format!("tensor `{}` is in another file too", clipped(&name)),
                    ));
                }
                all.tensors.insert(name, (index, stored));
            }
            all.files.push((path.clone(), file));
        }
        Ok(all)
    }

    fn open_index(folder: &Path, path: &Path) -> Result<Self, ModelFileError> {
        let wrong = |message: String| ModelFileError::file(path, message);
        let bytes =
            bounded::read(path, bounded::SETTINGS).map_err(ModelFileError::io("read", path))?;
        let index: Value = serde_json::from_slice(&bytes)
            .map_err(|error| wrong(format!("this is not JSON: {error}")))?;
        let map = index
            .get("weight_map")
            .and_then(Value::as_object)
            .ok_or_else(|| wrong("there is no `weight_map` from tensors to files".to_owned()))?;
        let mut shards = BTreeSet::new();
        for (tensor, shard) in map {
            match shard.as_str() {
                Some(shard) if !shard.contains(['/', '\\']) && shard != ".." => {
                    shards.insert(shard);
                }
                _ => {
                    return Err(wrong(format!(
                        "the file of `{}` is given as {}, which is not the name of a file here",
                        clipped(tensor),
                        clipped(&shard.to_string())
                    )));
                }
            }
        }
        let missing: Vec<&str> = shards
            .iter()
            .filter(|shard| !folder.join(shard).exists())
            .copied()
            .collect();
        if !missing.is_empty() {
            return Err(wrong(format!(
                "of {} files of weights, {} missing: {}",
                shards.len(),
                if missing.len() == 1 {
                    "one is"
                } else {
                    "some are"
                },
                missing.join(", ")
            ))
            .with_help("download the missing ones into the same folder"));
        }
        let paths: Vec<PathBuf> = shards.iter().map(|shard| folder.join(shard)).collect();
        let all = Self::open_files(&paths)?;
        for (tensor, shard) in map {
            let place = all.tensors.get(tensor).map(|(file, _)| &all.files[*file].0);
            let expected = shard.as_str().map(|shard| folder.join(shard));
            if place != expected.as_ref() {
                return Err(wrong(format!(
                    "`{}` is not in {}, where it should be",
                    clipped(tensor),
                    clipped(&shard.to_string())
                ))
                .with_help("the index and the files are of different downloads; get them again"));
            }
        }
        Ok(all)
    }

    /// Drops the tensors that `pass_over` names, gives the others the names that `rename` makes of
    /// theirs.
    ///
    /// # Errors
    /// If two tensors would have one name.
    pub(crate) fn rename(
        &mut self,
        pass_over: impl Fn(&str) -> bool,
        rename: impl Fn(&str) -> String,
    ) -> Result<(), ModelFileError> {
        let mut renamed = BTreeMap::new();
        for (name, place) in std::mem::take(&mut self.tensors) {
            let new = rename(&name);
            if pass_over(&name) {
                continue;
            }
            if renamed.insert(new.clone(), place).is_some() {
                return Err(ModelFileError::file(
                    &self.origin,
                    format!("tensor `{}` is there under two names", clipped(&new)),
                ));
            }
        }
        self.tensors = renamed;
        Ok(())
    }

    /// Checks that the tensors are exactly these, by their shapes. `lacking` may say what to do
    /// about tensors that are missing.
    ///
    /// # Errors
    /// If tensors are missing, surplus or of other shapes.
    pub(crate) fn keep_exactly(
        &self,
        expected: &BTreeMap<String, Vec<usize>>,
        lacking: impl Fn(&[&str]) -> Option<&'static str>,
    ) -> Result<(), ModelFileError> {
        let path = &self.origin;
        let missing: Vec<&str> = expected
            .keys()
            .filter(|name| !self.tensors.contains_key(*name))
            .map(String::as_str)
            .collect();
        if !missing.is_empty() {
            let error = ModelFileError::file(
                path,
                format!("{} missing: {}", tensors(missing.len()), few(&missing)),
            );
            return Err(error.with_help(
                lacking(&missing)
                    .unwrap_or("config.json is of another model, or the download is not whole"),
            ));
        }
        let surplus: Vec<&str> = self
            .tensors
            .keys()
            .filter(|name| !expected.contains_key(*name))
            .map(String::as_str)
            .collect();
        if !surplus.is_empty() {
            return Err(ModelFileError::file(
                path,
                format!(
                    "{} not part of the model that config.json describes: {}",
                    tensors(surplus.len()),
                    few(&surplus)
                ),
            )
            .with_help("config.json is of another model, or the weights are of another kind"));
        }
        for (name, (_, stored)) in &self.tensors {
            if let Some(shape) = expected.get(name)
                && *shape != stored.shape
            {
                return Err(ModelFileError::file(
                    path,
                    format!(
                        "`{name}` has shape {:?}; by config.json it must be {shape:?}",
                        stored.shape
                    ),
                )
                .with_help("config.json is of another model"));
            }
        }
        Ok(())
    }

    /// Whether the weights lie in a GGUF file, with names and an order of rows of their own.
    pub(crate) fn is_gguf(&self) -> bool {
        let mut paths = self.paths();
        paths.any(|path| path.extension().is_some_and(|end| end == GGUF))
    }

    /// Says of which heads a tensor's rows lie as llama.cpp turns them.
    pub(crate) fn turned(&mut self, name: &str, heads: usize) {
        if let Some((_, stored)) = self.tensors.get_mut(name) {
            stored.turned_heads = heads;
        }
    }

    /// The names of all tensors, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The files, in the order they were found.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(path, _)| path.as_path())
    }

    /// The shape of a tensor.
    #[must_use]
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|(_, one)| one.shape.as_slice())
    }

    /// The type of a tensor's numbers.
    #[must_use]
    pub fn number_type(&self, name: &str) -> Option<NumberType> {
        self.tensors.get(name).map(|(_, one)| one.number_type)
    }

    /// How many numbers there are in all.
    #[must_use]
    pub fn count(&self) -> usize {
        let counts = self.tensors.values().filter_map(|(_, one)| one.count());
        counts.fold(0, usize::saturating_add)
    }

    fn place(&self, name: &str) -> Result<(&Path, &File, &Stored), ModelFileError> {
        let (file, stored) = self
            .tensors
            .get(name)
            .ok_or_else(|| ModelFileError::invalid(format!("the model has no tensor `{name}`")))?;
        let (path, file) = &self.files[*file];
        Ok((path, file, stored))
    }

    /// The numbers of a tensor, row-major.
    ///
    /// # Errors
    /// If there is no such tensor, a number is not finite, or reading fails.
    pub fn read_f32(&self, name: &str) -> Result<Vec<f32>, ModelFileError> {
        let (path, file, stored) = self.place(name)?;
        let numbers = stored.read_f32(file, path)?;
        match first_not_finite(&numbers) {
            None => Ok(numbers),
            Some(index) => Err(ModelFileError::file(
                path,
                format!("`{name}` has {} at index {index}", numbers[index]),
            )
            .with_help("the weights are damaged, or were stored in too small a type")),
        }
    }

    /// The type and bytes of a tensor as they are stored, little-endian; not looked at.
    ///
    /// # Errors
    /// If there is no such tensor or reading fails.
    pub fn raw(&self, name: &str) -> Result<(NumberType, Vec<u8>), ModelFileError> {
        let (path, file, stored) = self.place(name)?;
        let bytes = stored.read_bytes(file, path)?;
        Ok((stored.number_type, bytes))
    }

    /// All numbers of all tensors.
    ///
    /// # Errors
    /// As [`WeightFiles::read_f32`].
    pub fn all_f32(&self) -> Result<BTreeMap<String, Vec<f32>>, ModelFileError> {
        let names: Vec<&String> = self.tensors.keys().collect();
        let read = |name: &&String| Ok(((*name).clone(), self.read_f32(name)?));
        names.par_iter().map(read).collect()
    }

    /// A digest of the names, types, shapes and bytes of all tensors; how they are spread over
    /// files does not matter.
    ///
    /// # Errors
    /// If reading fails.
    pub fn digest(&self) -> Result<Digest, ModelFileError> {
        let names: Vec<&String> = self.tensors.keys().collect();
        let one = |name: &&String| {
            let (path, file, stored) = self.place(name)?;
            let mut reader = stored.reader(file);
            let digest =
                Digest::of_reader(&mut reader).map_err(ModelFileError::io("read", path))?;
            Ok(serde_json::json!([
                name,
                stored.number_type.name(),
                stored.shape,
                digest
            ]))
        };
        let all: Vec<Value> = names
            .par_iter()
            .map(one)
            .collect::<Result<_, ModelFileError>>()?;
        Ok(Digest::of_bytes(
            canonical_json(&Value::Array(all)).as_bytes(),
        ))
    }
}

fn tensors(count: usize) -> String {
    match count {
        1 => "one tensor is".to_owned(),
        _ => format!("{count} tensors are"),
    }
}

/// The first few names of many.
pub(crate) fn few(names: &[&str]) -> String {
    const SHOWN: usize = 4;
    let mut text = String::new();
    for (index, name) in names.iter().take(SHOWN).enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        // Writing to a text does not fail.
        let _ = write!(text, "{comma}`{}`", clipped(name));
    }
    if names.len() > SHOWN {
        text.push_str(", …");
    }
    text
}
