//! Frozen vectors of the items' texts, as a text encoder made them.
//!
//! One safetensors file: a tensor `vectors` `[N, W]` of `f32`, and in the file's metadata an entry
//! `items` with the N item keys (`movie/318`) as a JSON list. Any program that writes safetensors
//! can make one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use candle_core::{Device, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::Vocabulary;
use crate::base::Digest;
use crate::nn::NnError;
use crate::recommender::RecommenderError;

/// Files above this are not read: eight times the largest catalogue of the field at width 4096
/// would still fit.
const LARGEST_FILE_BYTES: u64 = 1 << 34;

/// Items named in a message.
const NAMED: usize = 5;

/// A frozen vector for each of some items.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemVectors {
    digest: Digest,
    width: usize,
    rows: BTreeMap<String, usize>,
    numbers: Vec<f32>,
}

impl ItemVectors {
    /// Reads a file of vectors.
    ///
    /// # Errors
    /// If the file cannot be read, is not of the format of the module, or has a key twice or a
    /// number that is not finite; each with the key.
    pub fn read(path: &Path) -> Result<Self, RecommenderError> {
        let io = |source| RecommenderError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        if size > LARGEST_FILE_BYTES {
            return Err(damaged(path, &format!("it has {size} bytes, far too many")));
        }
        let mut bytes = Vec::with_capacity(size as usize);
        // The file may have grown since its size was asked.
        file.take(LARGEST_FILE_BYTES)
            .read_to_end(&mut bytes)
            .map_err(io)?;
        Self::from_bytes(&bytes).map_err(|message| damaged(path, &message))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let wrong = |error| format!("it is not a safetensors file: {error}");
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(wrong)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(wrong)?;
        let keys = header
            .metadata()
            .as_ref()
            .and_then(|entries| entries.get("items"))
            .ok_or("its metadata has no entry `items`, the list of item keys")?;
        let keys: Vec<String> = serde_json::from_str(keys)
            .map_err(|error| format!("its entry `items` is not a list of item keys: {error}"))?;
        let vectors = tensors
            .tensor("vectors")
            .map_err(|_| "it has no tensor `vectors`".to_owned())?;
        let &[rows, width] = vectors.shape() else {
            let shape = vectors.shape();
            return Err(format!("`vectors` has shape {shape:?}, not [items, width]"));
        };
        if vectors.dtype() != Dtype::F32 {
            let found = vectors.dtype();
            return Err(format!("`vectors` holds {found:?}, not F32"));
        }
        if rows != keys.len() || rows == 0 || width == 0 {
            let count = keys.len();
            return Err(format!("`vectors` is [{rows}, {width}] for {count} items"));
        }
        let numbers: Vec<f32> = vectors
            .data()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect();
        Self::checked(Digest::of_bytes(bytes), width, keys, numbers)
    }

    fn checked(
        digest: Digest,
        width: usize,
        keys: Vec<String>,
        numbers: Vec<f32>,
    ) -> Result<Self, String> {
        let mut rows = BTreeMap::new();
        for (row, key) in keys.into_iter().enumerate() {
            let vector = &numbers[row * width..(row + 1) * width];
            if let Some(column) = vector.iter().position(|number| !number.is_finite()) {
                let number = vector[column];
                return Err(format!("`{key}` has {number} in column {column}"));
            }
            if let Some(before) = rows.insert(key.clone(), row) {
                return Err(format!("`{key}` is there twice, rows {before} and {row}"));
            }
        }
        Ok(Self {
            digest,
            width,
            rows,
            numbers,
        })
    }

    /// Writes vectors, `width` numbers for each key in the order of the keys; the same vectors give
    /// the same bytes.
    ///
    /// # Errors
    /// If the numbers do not fit the keys, a key is there twice, a number is not finite, or the
    /// file cannot be written.
    pub fn write(
        path: &Path,
        width: usize,
        keys: &[String],
        numbers: &[f32],
    ) -> Result<(), RecommenderError> {
        if keys.is_empty() || width == 0 || numbers.len() != keys.len() * width {
            let message = format!(
                "{} numbers are not {width} for each of {} items",
                numbers.len(),
                keys.len()
            );
            return Err(damaged(path, &message));
        }
        // The digest is that of the file, which is not there yet; here only the checks count.
        let unused = Digest::of_bytes(&[]);
        Self::checked(unused, width, keys.to_vec(), numbers.to_vec())
            .map_err(|message| damaged(path, &message))?;
        let bytes: Vec<u8> = numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        let format = |source| NnError::Format {
            path: path.to_owned(),
            source,
        };
        let list = serde_json::to_string(keys).map_err(|source| RecommenderError::Json {
            path: path.to_owned(),
            source,
        })?;
        let view = TensorView::new(Dtype::F32, vec![keys.len(), width], &bytes).map_err(format)?;
        let metadata = Some([("items".to_owned(), list)].into_iter().collect());
        let file = safetensors::serialize([("vectors", view)], metadata).map_err(format)?;
        fs::write(path, file).map_err(|source| RecommenderError::Io {
            action: "write",
            path: path.to_owned(),
            source,
        })
    }

    /// The hash of the file's bytes: which vectors these are.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Numbers of each vector.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// The vector of an item by its key ([`item_key`](super::item_key)).
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&[f32]> {
        let row = self.rows.get(key)?;
        Some(&self.numbers[row * self.width..(row + 1) * self.width])
    }

    /// The vectors of a vocabulary, `[V, W]`, zero for *unknown*.
    ///
    /// # Errors
    /// [`RecommenderError::NoVectors`] with the items that have none.
    pub fn table(&self, vocabulary: &Vocabulary) -> Result<Tensor, RecommenderError> {
        let mut table = vec![0.0; self.width];
        table.reserve(vocabulary.rows().saturating_sub(1) * self.width);
        let mut missing = Vec::new();
        for key in vocabulary.keys() {
            match self.get(key) {
                Some(vector) => table.extend_from_slice(vector),
                None => missing.push(key.to_owned()),
            }
        }
        if !missing.is_empty() {
            let count = missing.len();
            missing.truncate(NAMED);
            let named = missing.join(", ");
            return Err(RecommenderError::NoVectors { count, named });
        }
        let shape = (vocabulary.rows(), self.width);
        let table = Tensor::from_vec(table, shape, &Device::Cpu);
        Ok(table.map_err(NnError::at("item vectors"))?)
    }
}

fn damaged(path: &Path, message: &str) -> RecommenderError {
    RecommenderError::Vectors {
        path: path.to_owned(),
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_file_reads_back_and_finds_its_items() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("vectors.safetensors");
        let items = keys(&["movie/2", "movie/10", "book/ü \"x\""]);
        ItemVectors::write(&path, 2, &items, &[1.0, 2.0, 3.0, -4.0, 0.5, 1e-30]).expect("write");
        let read = ItemVectors::read(&path).expect("read");
        assert_eq!(read.width(), 2);
        assert_eq!(read.get("movie/10"), Some(&[3.0, -4.0][..]));
        assert_eq!(read.get("book/ü \"x\""), Some(&[0.5, 1e-30][..]));
        assert_eq!(read.get("movie/3"), None);
        let bytes = fs::read(&path).expect("read");
        assert_eq!(read.digest(), Digest::of_bytes(&bytes));
        ItemVectors::write(&path, 2, &items, &[1.0, 2.0, 3.0, -4.0, 0.5, 1e-30]).expect("write");
        assert_eq!(fs::read(&path).expect("read"), bytes);

        for length in [0, 7, 20, bytes.len() - 1] {
            fs::write(&path, &bytes[..length]).expect("write");
            let error = ItemVectors::read(&path).expect_err("cut").to_string();
            assert!(error.contains("is not a safetensors file"), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("vectors.safetensors");
        let write = |items: &[&str], numbers: &[f32]| {
            let error = ItemVectors::write(&path, 2, &keys(items), numbers);
            error.expect_err("refused").to_string()
        };
        let error = write(&["a", "b"], &[1.0, 2.0, f32::NAN, 4.0]);
        assert!(error.contains("`b` has NaN in column 0"), "{error}");
        let error = write(&["a", "a"], &[1.0; 4]);
        assert!(
            error.contains("`a` is there twice, rows 0 and 1"),
            "{error}"
        );
        let error = write(&["a"], &[1.0; 4]);
        assert!(error.contains("4 numbers"), "{error}");

        // What other programs may write.
        let read = |name: &'static str, shape: Vec<usize>, numbers: &[f32], items: Option<&str>| {
            let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
            let view = TensorView::new(Dtype::F32, shape, &bytes).expect("fits");
            let metadata = items.map(|items| {
                [("items".to_owned(), items.to_owned())]
                    .into_iter()
                    .collect()
            });
            let file = safetensors::serialize([(name, view)], metadata).expect("fits");
            fs::write(&path, file).expect("write");
            ItemVectors::read(&path).expect_err("refused").to_string()
        };
        let error = read("vectors", vec![1, 2], &[1.0, 2.0], None);
        assert!(error.contains("no entry `items`"), "{error}");
        let error = read("vectors", vec![1, 2], &[1.0, 2.0], Some("x"));
        assert!(error.contains("not a list of item keys"), "{error}");
        let error = read("weights", vec![1, 2], &[1.0, 2.0], Some("[\"a\"]"));
        assert!(error.contains("no tensor `vectors`"), "{error}");
        let error = read("vectors", vec![2], &[1.0, 2.0], Some("[\"a\"]"));
        assert!(error.contains("shape [2]"), "{error}");
        let error = read("vectors", vec![2, 1], &[1.0, 2.0], Some("[\"a\"]"));
        assert!(error.contains("[2, 1] for 1 items"), "{error}");
        let error = read(
            "vectors",
            vec![1, 2],
            &[1.0, f32::INFINITY],
            Some("[\"a\"]"),
        );
        assert!(error.contains("`a` has inf"), "{error}");
        let missing = ItemVectors::read(&folder.path().join("none")).expect_err("missing");
        assert!(matches!(missing, RecommenderError::Io { .. }));
    }
}
