//! In which numbers a model computes, and in which its frozen weights are kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The type of activations and of products; sums inside norms, softmax and loss, the adapter and
/// its optimiser are `f32` whatever this says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compute {
    /// Single precision.
    #[default]
    F32,
    /// Half precision, with gradients scaled up on their way back.
    F16,
    /// The upper half of a single.
    Bf16,
}

/// How the matrices of the layers are kept; embedding, head, norms and biases stay as the model
/// computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Frozen {
    /// In the type of `compute`.
    #[default]
    Dense,
    /// 8 bits a number and a scale for every 32 (GGUF's `Q8_0`).
    #[serde(rename = "q8_0")]
    Q8_0,
    /// 4 bits a number and a scale for every 32 (GGUF's `Q4_0`).
    #[serde(rename = "q4_0")]
    Q4_0,
    /// 4 bits a number with scales and minima in two levels for every 256 (GGUF's `Q4_K`).
    #[serde(rename = "q4_k")]
    Q4K,
}

/// In which numbers a model computes, and in which its frozen weights are kept.
///
/// Part of a stage's key: other numbers, other results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Precision {
    /// Activations and products: `f32`, `bf16` or `f16`.
    pub compute: Compute,
    /// Frozen matrices: `dense` (as `compute`), `q8_0`, `q4_0` or `q4_k`.
    pub weights: Frozen,
}

impl Precision {
    /// Whether it is what everything was before there was a choice.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Compute {
    /// Bytes of a number.
    #[must_use]
    pub fn size_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

impl Frozen {
    /// Numbers and bytes of a block; `None` where numbers stand alone.
    #[must_use]
    pub fn block(self) -> Option<(usize, usize)> {
        match self {
            Self::Dense => None,
            Self::Q8_0 => Some((32, 34)),
            Self::Q4_0 => Some((32, 18)),
            Self::Q4K => Some((256, 144)),
        }
    }
}
