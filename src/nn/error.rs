//! Why a layer or its variables failed.

use std::io;
use std::path::PathBuf;

/// Why a layer or its variables failed.
#[derive(Debug, thiserror::Error)]
pub enum NnError {
    /// candle refused an operation.
    #[error("{layer}: {source}")]
    Candle {
        /// The layer or the variable, by name.
        layer: String,
        /// The reason, with shapes.
        source: candle_core::Error,
    },
    /// A variable does not have the shape the model needs.
    #[error("variable `{name}` has shape {found:?}, the model needs {expected:?}")]
    Shape {
        /// Name of the variable.
        name: String,
        /// What the model needs.
        expected: Vec<usize>,
        /// What there is.
        found: Vec<usize>,
    },
    /// Two layers of one model ask for the same name.
    #[error("variable `{0}` is made twice")]
    Duplicate(String),
    /// A file of weights lacks a variable of the model.
    #[error("the weights lack `{0}`")]
    Missing(String),
    /// A file of weights has variables the model does not have.
    #[error("the weights hold what the model does not have: {}", .0.join(", "))]
    Surplus(Vec<String>),
    /// A file of weights cannot be read or written.
    #[error("cannot {action} `{}`: {source}", .path.display())]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A file is not in the safetensors format.
    #[error("`{}` is not a safetensors file: {source}", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: safetensors::SafeTensorError,
    },
}

impl NnError {
    /// For `map_err` on candle operations of the layer `name`.
    pub fn at(name: &str) -> impl FnOnce(candle_core::Error) -> Self {
        let layer = name.to_owned();
        move |source| Self::Candle { layer, source }
    }
}
