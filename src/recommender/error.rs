//! Why a recommender could not be fitted or asked.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::SettingError;
use crate::base::bounded;
use crate::nn::NnError;
use crate::train::TrainError;

/// Why a recommender could not be fitted or asked.
#[derive(Debug, thiserror::Error)]
pub enum RecommenderError {
    /// There is no method of this name.
    #[error("there is no recommender `{name}`: {help}")]
    UnknownMethod {
        /// The name.
        name: String,
        /// The nearest name, or why the name is known and cannot be used.
        help: String,
    },
    /// A setting does not fit.
    #[error("{0}")]
    Setting(#[from] SettingError),
    /// There is nothing to fit to.
    #[error("there are no training rows")]
    NoRows,
    /// The folder was made by another method.
    #[error("the model was made by `{found}`, not by `{expected}`")]
    OtherMethod {
        /// The method asked.
        expected: String,
        /// The method that made the folder.
        found: String,
    },
    /// The folder is of a format this program does not know.
    #[error("the model folder has format {0}, this program reads format 1")]
    Format(u32),
    /// The method reads item vectors and got none, or the other way round.
    #[error("`{method}` {}", if *.needed {
        "reads vectors of the items' texts, and none were given: connect the input `item_vectors`"
    } else {
        "does not read item vectors, so giving it some must be a mistake: remove the input \
         `item_vectors`"
    })]
    VectorsGiven {
        /// The method.
        method: &'static str,
        /// Whether it reads them.
        needed: bool,
    },
    /// A model is asked with other item vectors than it was trained with.
    #[error(
        "the model was trained with {trained} and is asked with {given}; give it the same file"
    )]
    OtherVectors {
        /// What it was trained with.
        trained: String,
        /// What was given.
        given: String,
    },
    /// Items to be trained on have no vector.
    #[error("{count} items have no vector: {named}{}; embed the catalogue that the samples come from",
        if *.count > .named.split(", ").count() { ", …" } else { "" })]
    NoVectors {
        /// How many.
        count: usize,
        /// The first of them, by key.
        named: String,
    },
    /// A file of item vectors is not what it should be, or cannot become one.
    #[error("the item vectors `{}` cannot be used: {message}", .path.display())]
    Vectors {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// Training failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A layer failed.
    #[error(transparent)]
    Nn(#[from] NnError),
    /// A file of the model folder cannot be read or written.
    #[error("cannot {action} `{}`: {source}", .path.display())]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A file of the model folder is not what it should be.
    #[error("`{}` is damaged: {source}", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: serde_json::Error,
    },
}

/// Reads a JSON file of a model folder.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, RecommenderError> {
    let bytes = bounded::read(path, bounded::RECORDS).map_err(|source| RecommenderError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_slice(&bytes).map_err(|source| RecommenderError::Json {
        path: path.to_owned(),
        source,
    })
}

/// Writes a JSON file of a model folder, one value per line, ending in a line break.
pub(super) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), RecommenderError> {
    let text = serde_json::to_string_pretty(value).map_err(|source| RecommenderError::Json {
        path: path.to_owned(),
        source,
    })?;
    fs::write(path, text + "\n").map_err(|source| RecommenderError::Io {
        action: "write",
        path: path.to_owned(),
        source,
    })
}
