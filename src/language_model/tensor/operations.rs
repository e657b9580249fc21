//! Operations that read and write a row once where a chain of candle's would do so many times.
//!
//! Each has a twin on the CPU that computes in `f32` (`twins`); on a card it is the kernel of the same
//! name (`kernels.cu`). They know no gradient: the decoder's way back is written by hand. Some change
//! a tensor in its place; who calls them owns it alone.

use candle_core::{DType, Result, Shape, Tensor};

use crate::model_files::NumberType;

/// A place that is none: what is read there is zero, what is written there is lost.
pub(super) const NOWHERE: u32 = u32::MAX;

/// Dropout of the rows that an operation reads or adds.
#[derive(Debug, Clone)]
pub(super) struct Mask {
    /// What decides which numbers of a row stay, `[T, 2]`.
    pub(super) keys: Tensor,
    /// The share of numbers dropped.
    pub(super) rate: f32,
}

/// An operation over rows, with what it needs beside the tensors it is applied to.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    /// `x [T, I], keys [T, 2] u32 → [T, I]`.
    DropOut {
        /// The share of numbers dropped.
        rate: f32,
    },
    /// `x [T, I], a [R, I] → [T, R]`: scale · dropout(x) · aᵀ.
    Lowered {
        /// I.
        width: usize,
        scale: f32,
        mask: Option<Mask>,
    },
    /// `y [T, O]` in place, `low [T, R], matrix`: y + dropout(low · matrix).
    AddLow {
        /// R.
        rank: usize,
        /// Whether the matrix is the transpose of the `[O, R]` given, or the `[R, O]` given.
        outputs_first: bool,
        mask: Option<Mask>,
    },
    /// `gate, up [T, I] → [T, I]`.
    Swiglu,
    /// `gate, up, gradient [T, I] → [2, T, I]`: for gate, for up.
    SwigluBackward,
    /// `x, gradient [T, H], weight [H] → [T, H]`.
    NormBackward {
        /// ε inside the root.
        epsilon: f32,
    },
    /// `x [T, N·D]` in place, `cosine, sine [T, D/2] f32`.
    Rotate {
        /// N·D.
        width: usize,
        /// D.
        head: usize,
        /// 1, or −1 for the way back.
        sign: f32,
    },
    /// `rows [T, N·D], places [B·n] u32 → [B, N, n, D]`.
    ToHeads {
        /// N·D.
        width: usize,
        /// D.
        head: usize,
        /// n.
        length: usize,
    },
    /// `rows [T, N·D]` in place, `by_head [B, N, n, D], places [B·n] u32`: adds rows at their places,
    /// no place twice.
    FromHeads {
        /// N·D.
        width: usize,
        /// D.
        head: usize,
        /// n.
        length: usize,
    },
    /// `rows [p, N·D]` in place, `by_head [B, N, n, D]`: adds the sums over B of the first p of n.
    SumHeads {
        /// N·D.
        width: usize,
        /// D.
        head: usize,
        /// n.
        length: usize,
        /// B.
        batch: usize,
    },
    /// `scores [B, N, Q, K]` in place, `seen [B, Q, 2] u32`: become chances; of the columns those of a
    /// range are seen, which is not empty.
    Softmax {
        /// Factor of the scores.
        scale: f32,
        /// N.
        heads: usize,
        /// Q.
        queries: usize,
        /// K.
        keys: usize,
    },
    /// `gradient [.., K]` in place, `chances [.., K]`: from that of the chances to that of the scores
    /// before their factor.
    SoftmaxBackward {
        /// Factor of the scores.
        scale: f32,
        /// K.
        keys: usize,
    },
    /// `logits [n, V] → [n] f32`: ln Σ e^logit.
    LogSums {
        /// V.
        vocabulary: usize,
    },
    /// `logits [n, V]` in place, `tokens [n, m] u32, weights [n, m] f32`: become the gradient of
    /// Σ weight · cross-entropy.
    CrossEntropyBackward {
        /// Factor of the gradient.
        scale: f32,
        /// V.
        vocabulary: usize,
        /// m.
        targets: usize,
        /// `[n]` f32, of [`Operation::LogSums`].
        log_sums: Tensor,
    },
    /// `blocks [O, bytes] u8 → [O, I]`.
    Dequantise {
        kind: NumberType,
        /// I.
        width: usize,
        /// The type of the numbers.
        into: DType,
    },
}

/// Drops numbers of rows by their keys.
pub(super) fn dropped(x: &Tensor, mask: &Mask) -> Result<Tensor> {
    x.apply_op2_no_bwd(&mask.keys, &Operation::DropOut { rate: mask.rate })
}

/// scale · dropout(x) · aᵀ, `[T, I], [R, I] → [T, R]`.
pub(super) fn lowered(x: &Tensor, a: &Tensor, scale: f64, mask: Option<&Mask>) -> Result<Tensor> {
    let operation = Operation::Lowered {
        width: x.dim(1)?,
        scale: scale as f32,
        mask: mask.cloned(),
    };
    x.apply_op2_no_bwd(a, &operation)
}

/// y += low · bᵀ, `[T, O], [T, R], [O, R]`.
pub(super) fn add_outputs(y: &Tensor, low: &Tensor, b: &Tensor) -> Result<()> {
    let operation = Operation::AddLow {
        rank: low.dim(1)?,
        outputs_first: true,
        mask: None,
    };
    y.inplace_op3(low, b, &operation)
}

/// y += dropout(low · a), `[T, I], [T, R], [R, I]`.
pub(super) fn add_inputs(y: &Tensor, low: &Tensor, a: &Tensor, mask: Option<&Mask>) -> Result<()> {
    let operation = Operation::AddLow {
        rank: low.dim(1)?,
        outputs_first: false,
        mask: mask.cloned(),
    };
    y.inplace_op3(low, a, &operation)
}

/// `gate · sigmoid(gate) · up`.
pub(super) fn activated(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gate.apply_op2_no_bwd(up, &Operation::Swiglu)
}

/// From the gradient of [`activated`] to those of gate and up.
pub(super) fn activated_backward(
    gate: &Tensor,
    up: &Tensor,
    gradient: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let both = gate.apply_op3_no_bwd(up, gradient, &Operation::SwigluBackward)?;
    Ok((both.get(0)?, both.get(1)?))
}

/// RMS norm over the last dimension.
#[expect(
    clippy::disallowed_methods,
    reason = "it cuts the gradient, which here nobody asks of it"
)]
pub(super) fn normed(x: &Tensor, weight: &Tensor, epsilon: f64) -> Result<Tensor> {
    candle_nn::ops::rms_norm(x, weight, epsilon as f32)
}

/// From the gradient of [`normed`] to that of its input.
pub(super) fn normed_backward(
    x: &Tensor,
    gradient: &Tensor,
    weight: &Tensor,
    epsilon: f64,
) -> Result<Tensor> {
    let epsilon = epsilon as f32;
    x.apply_op3_no_bwd(gradient, weight, &Operation::NormBackward { epsilon })
}

/// Turns the pairs of every head by the angles of its row, or back, in place.
pub(super) fn turn(
    x: &Tensor,
    (cosine, sine): (&Tensor, &Tensor),
    head: usize,
    sign: f32,
) -> Result<()> {
    let width = x.dim(1)?;
    x.inplace_op3(cosine, sine, &Operation::Rotate { width, head, sign })
}

/// Rows at their places by head, `[T, N·D], [B·n] → [B, N, n, D]`.
pub(super) fn to_heads(
    rows: &Tensor,
    places: &Tensor,
    head: usize,
    length: usize,
) -> Result<Tensor> {
    let width = rows.dim(1)?;
    rows.apply_op2_no_bwd(
        places,
        &Operation::ToHeads {
            width,
            head,
            length,
        },
    )
}

/// Adds `by_head [B, N, n, D]` to the rows `[T, N·D]` at their places `[B·n]`, no place twice.
pub(super) fn add_from_heads(rows: &Tensor, by_head: &Tensor, places: &Tensor) -> Result<()> {
    let (_, _, length, head) = by_head.dims4()?;
    let operation = Operation::FromHeads {
        width: rows.dim(1)?,
        head,
        length,
    };
    rows.inplace_op3(by_head, places, &operation)
}

/// Adds the sums over B of `by_head [B, N, n, D]` to as many first rows of `[T, N·D]`.
pub(super) fn add_sum_of_heads(rows: &Tensor, by_head: &Tensor, first: usize) -> Result<()> {
    let (batch, _, length, head) = by_head.dims4()?;
    let operation = Operation::SumHeads {
        width: rows.dim(1)?,
        head,
        length,
        batch,
    };
    rows.narrow(0, 0, first)?.inplace_op2(by_head, &operation)
}

/// Scores `[B, N, Q, K]` become chances over the columns that are seen, in place.
pub(super) fn become_chances(scores: &Tensor, seen: &Tensor, scale: f32) -> Result<()> {
    let (_, heads, queries, keys) = scores.dims4()?;
    let operation = Operation::Softmax {
        scale,
        heads,
        queries,
        keys,
    };
    scores.inplace_op2(seen, &operation)
}

/// The gradient of chances becomes that of the scores, in place.
pub(super) fn chances_backward(gradient: &Tensor, chances: &Tensor, scale: f32) -> Result<()> {
    let keys = chances.dim(candle_core::D::Minus1)?;
    gradient.inplace_op2(chances, &Operation::SoftmaxBackward { scale, keys })
}

/// ln Σ e^logit of every row, `[n, V] → [n]` in `f32`.
pub(super) fn log_sums(logits: &Tensor) -> Result<Tensor> {
    let vocabulary = logits.dim(1)?;
    logits.apply_op1_no_bwd(&Operation::LogSums { vocabulary })
}

/// Logits `[n, V]` become the gradient of Σ weight · cross-entropy times `scale`, in place.
pub(super) fn cross_entropy_backward(
    logits: &Tensor,
    tokens: &Tensor,
    weights: &Tensor,
    log_sums: &Tensor,
    scale: f64,
) -> Result<()> {
    let operation = Operation::CrossEntropyBackward {
        scale: scale as f32,
        vocabulary: logits.dim(1)?,
        targets: tokens.dim(1)?,
        log_sums: log_sums.clone(),
    };
    logits.inplace_op3(tokens, weights, &operation)
}

/// The numbers of blocks, `[O, bytes] → [O, width]`.
pub(super) fn dequantised(
    blocks: &Tensor,
    kind: NumberType,
    width: usize,
    into: DType,
) -> Result<Tensor> {
    blocks.apply_op1_no_bwd(&Operation::Dequantise { kind, width, into })
}

impl Operation {
    /// Its kernel's name without the type.
    pub(super) fn kernel(&self) -> &'static str {
        match self {
            Self::DropOut { .. } => "drop_out",
            Self::Lowered { .. } => "lowered",
            Self::AddLow { .. } => "add_low",
            Self::Swiglu => "swiglu",
            Self::SwigluBackward => "swiglu_backward",
            Self::NormBackward { .. } => "norm_backward",
            Self::Rotate { .. } => "rotate",
            Self::ToHeads { .. } => "to_heads",
            Self::FromHeads { .. } => "from_heads",
            Self::SumHeads { .. } => "sum_heads",
            Self::Softmax { .. } => "softmax",
            Self::SoftmaxBackward { .. } => "softmax_backward",
            Self::LogSums { .. } => "log_sums",
            Self::CrossEntropyBackward { .. } => "cross_entropy_backward",
            Self::Dequantise { kind, .. } => match kind {
                NumberType::Q8_0 => "dequantise_q8_0",
                NumberType::Q4_0 => "dequantise_q4_0",
                _ => "dequantise_q4_k",
            },
        }
    }

    /// A tensor that is read beside those that it is applied to.
    pub(super) fn beside(&self) -> Option<&Tensor> {
        match self {
            Self::Lowered { mask, .. } | Self::AddLow { mask, .. } => {
                mask.as_ref().map(|mask| &mask.keys)
            }
            Self::CrossEntropyBackward { log_sums, .. } => Some(log_sums),
            _ => None,
        }
    }

    /// The type that its kernel's name ends with: sums of logits are always `f32`, and blocks bytes.
    #[cfg(any(test, feature = "cuda"))]
    pub(super) fn number(&self, out: DType, first: DType) -> DType {
        match self {
            Self::LogSums { .. } => first,
            _ => out,
        }
    }

    /// Shape and type of what it gives, from those of what it reads.
    pub(super) fn output(&self, inputs: &[(&Shape, DType)]) -> (Shape, DType) {
        let (first, dtype) = inputs[0];
        match self {
            Self::SwigluBackward => {
                let mut dims = vec![2];
                dims.extend(first.dims());
                (Shape::from(dims), dtype)
            }
            Self::Lowered { .. } => {
                let rank = inputs[1].0.dims()[0];
                (Shape::from((first.dims()[0], rank)), dtype)
            }
            Self::ToHeads {
                width,
                head,
                length,
            } => {
                let batch = inputs[1].0.elem_count() / length;
                (Shape::from((batch, width / head, *length, *head)), dtype)
            }
            Self::LogSums { .. } => (Shape::from(first.dims()[0]), DType::F32),
            Self::Dequantise { width, into, .. } => (Shape::from((first.dims()[0], *width)), *into),
            _ => (first.clone(), dtype),
        }
    }
}

/// Product of matrices, batched or not. The CPU has none of `bf16`: there it is made in `f32` and
/// rounded, as a card does.
pub(super) fn product(left: &Tensor, right: &Tensor) -> Result<Tensor> {
    if left.dtype() == DType::BF16 && left.device().is_cpu() {
        let (left, right) = (left.to_dtype(DType::F32)?, right.to_dtype(DType::F32)?);
        return left.matmul(&right)?.to_dtype(DType::BF16);
    }
    left.matmul(right)
}
