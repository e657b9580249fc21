//! Matrices that are never trained, dense or quantised.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Result, Tensor};

use super::operations::dequantised;
use crate::language_model::{Compute, Frozen};
use crate::model_files::NumberType;

/// candle's name of the type that is computed in.
pub(super) fn dtype(compute: Compute) -> DType {
    match compute {
        Compute::F32 => DType::F32,
        Compute::F16 => DType::F16,
        Compute::Bf16 => DType::BF16,
    }
}

/// A type of blocks, with candle's name of it.
fn blocks_of(frozen: Frozen) -> Option<(NumberType, GgmlDType)> {
    match frozen {
        Frozen::Dense => None,
        Frozen::Q8_0 => Some((NumberType::Q8_0, GgmlDType::Q8_0)),
        Frozen::Q4_0 => Some((NumberType::Q4_0, GgmlDType::Q4_0)),
        Frozen::Q4K => Some((NumberType::Q4K, GgmlDType::Q4K)),
    }
}

/// A frozen matrix `[O, I]`.
#[derive(Debug, Clone)]
pub(super) enum Matrix {
    /// In the type that is computed in.
    Dense(Tensor),
    /// Made dense at every use.
    Quantised {
        /// `[O, bytes]`, in the layout of GGUF.
        blocks: Tensor,
        kind: NumberType,
        /// I.
        width: usize,
    },
}

impl Matrix {
    /// Keeps a matrix that lies in `f32` on the CPU, on a device. A row that is no whole number of
    /// blocks stays dense.
    pub(super) fn new(
        values: &Tensor,
        compute: Compute,
        frozen: Frozen,
        device: &Device,
    ) -> Result<Self> {
        let width = values.dims().last().copied().unwrap_or(0);
        let whole = |(kind, _): &(NumberType, GgmlDType)| width.is_multiple_of(kind.block().0);
        match blocks_of(frozen).filter(whole) {
            Some((kind, name)) => {
                let bytes = QTensor::quantize(values, name)?;
                Self::of_blocks(&bytes.data()?, kind, values.dims(), device)
            }
            None => Ok(Self::Dense(
                values.to_dtype(dtype(compute))?.to_device(device)?,
            )),
        }
    }

    /// Keeps a matrix as the bytes of its blocks, as a GGUF file has it.
    pub(super) fn of_blocks(
        bytes: &[u8],
        kind: NumberType,
        shape: &[usize],
        device: &Device,
    ) -> Result<Self> {
        let [rows, width] = *shape else {
            candle_core::bail!("blocks of a tensor of shape {shape:?}");
        };
        let of_row = bytes.len() / rows.max(1);
        if kind.bytes_of(width) != Some(of_row) || of_row * rows != bytes.len() {
            candle_core::bail!("{} bytes for {kind:?} of shape {shape:?}", bytes.len());
        }
        let blocks = Tensor::from_slice(bytes, (rows, of_row), &Device::Cpu)?.to_device(device)?;
        Ok(Self::Quantised {
            blocks,
            kind,
            width,
        })
    }

    /// The matrix in the type that is computed in.
    pub(super) fn dense(&self, compute: Compute) -> Result<Tensor> {
        match self {
            Self::Dense(tensor) => Ok(tensor.clone()),
            Self::Quantised {
                blocks,
                kind,
                width,
            } => dequantised(blocks, *kind, *width, dtype(compute)),
        }
    }

    /// Bytes it takes on its device.
    pub(super) fn size_bytes(&self) -> usize {
        match self {
            Self::Dense(tensor) => tensor.elem_count() * tensor.dtype().size_in_bytes(),
            Self::Quantised { blocks, .. } => blocks.elem_count(),
        }
    }
}
