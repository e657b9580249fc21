//! Keys and values of a `config.json`, read with the place of what is wrong.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::ModelFileError;
use super::error::clipped;

/// Name of the file with a model's sizes in its folder.
pub const CONFIGURATION_FILE: &str = "config.json";

/// Larger than any size of any model; keeps products of sizes in range.
pub(crate) const MOST: u64 = 1 << 26;
/// More layers than any model has.
pub(crate) const MOST_LAYERS: u64 = 4096;

/// The keys of a file, or of an object in it.
#[derive(Debug)]
pub(crate) struct Keys {
    /// For errors.
    pub(crate) path: PathBuf,
    /// What stands in it.
    pub(crate) keys: Map<String, Value>,
}

impl Keys {
    /// Reads the text of a file.
    pub(crate) fn from_json(bytes: &[u8], path: &Path) -> Result<Self, ModelFileError> {
        let value: Value = serde_json::from_slice(bytes)
            .map_err(|error| ModelFileError::file(path, format!("this is not JSON: {error}")))?;
        let Value::Object(keys) = value else {
            return Err(ModelFileError::file(
                path,
                "this is not a JSON object of keys and values",
            ));
        };
        Ok(Self {
            path: path.to_owned(),
            keys,
        })
    }

    /// An error that names the file.
    pub(crate) fn wrong(&self, message: impl Into<String>) -> ModelFileError {
        ModelFileError::file(&self.path, message)
    }

    /// The value of a key; `null` is as good as nothing.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.keys.get(key).filter(|value| !value.is_null())
    }

    pub(crate) fn size_or(
        &self,
        key: &str,
        default: Option<u64>,
        most: u64,
    ) -> Result<usize, ModelFileError> {
        let value = match (self.get(key), default) {
            (Some(value), _) => value.as_u64().ok_or_else(|| {
                self.wrong(format!("`{key}` is {}, not a whole number", shown(value)))
            })?,
            (None, Some(default)) => default,
            (None, None) => {
                return Err(self
                    .wrong(format!("`{key}` is missing"))
                    .with_help("take config.json from the folder the weights came from"));
            }
        };
        if value == 0 || value > most {
            return Err(self.wrong(format!("`{key}` is {value}; it must be from 1 to {most}")));
        }
        Ok(value as usize)
    }

    pub(crate) fn size(&self, key: &str) -> Result<usize, ModelFileError> {
        self.size_or(key, None, MOST)
    }

    /// A positive, finite number.
    pub(crate) fn number_or(&self, key: &str, default: Option<f64>) -> Result<f64, ModelFileError> {
        let value = match (self.get(key), default) {
            (Some(value), _) => value
                .as_f64()
                .ok_or_else(|| self.wrong(format!("`{key}` is {}, not a number", shown(value))))?,
            (None, Some(default)) => default,
            (None, None) => return Err(self.wrong(format!("`{key}` is missing"))),
        };
        if value.is_finite() && value > 0.0 {
            Ok(value)
        } else {
            Err(self.wrong(format!("`{key}` is {value}; it must be positive")))
        }
    }

    pub(crate) fn flag(&self, key: &str) -> Result<bool, ModelFileError> {
        match self.get(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => {
                Err(self.wrong(format!("`{key}` is {}, not true or false", shown(other))))
            }
        }
    }
}

/// Refuses what is not JSON, for readers of other crates: some of `tokenizers` take for granted that
/// the file is sound, and panic in the middle of it.
pub(crate) fn check_json(bytes: &[u8], path: &Path) -> Result<(), ModelFileError> {
    // A whole value, not one that is passed over: only so is its depth bounded.
    serde_json::from_slice::<Value>(bytes)
        .map(drop)
        .map_err(|error| ModelFileError::file(path, format!("this is not JSON: {error}")))
}

/// A JSON value in an error, not longer than a few words.
pub(crate) fn shown(value: &Value) -> String {
    clipped(&value.to_string())
}
