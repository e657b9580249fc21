//! Matrices that are never trained, dense or quantised.

use std::borrow::Cow;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Result, Tensor};

use crate::language_model::{Compute, Frozen};

/// candle's name of the type that is computed in.
pub(super) fn dtype(compute: Compute) -> DType {
    match compute {
        Compute::F32 => DType::F32,
        Compute::F16 => DType::F16,
        Compute::Bf16 => DType::BF16,
    }
}

/// candle's name of a quantised type.
pub(super) fn quantised(frozen: Frozen) -> Option<GgmlDType> {
    match frozen {
        Frozen::Dense => None,
        Frozen::Q8_0 => Some(GgmlDType::Q8_0),
        Frozen::Q4_0 => Some(GgmlDType::Q4_0),
        Frozen::Q4K => Some(GgmlDType::Q4K),
    }
}

/// A frozen matrix `[O, I]`.
#[derive(Debug, Clone)]
pub(super) enum Matrix {
    /// In the type that is computed in.
    Dense(Tensor),
    /// Made dense at every use.
    Quantised(Arc<QTensor>),
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
        let whole = |kind: &GgmlDType| {
            let width = values.dims().last().copied().unwrap_or(0);
            width.is_multiple_of(kind.block_size())
        };
        match quantised(frozen).filter(whole) {
            Some(kind) => {
                let kept = QTensor::quantize_onto(values, kind, device)?;
                Ok(Self::Quantised(Arc::new(kept)))
            }
            None => Ok(Self::Dense(
                values.to_dtype(dtype(compute))?.to_device(device)?,
            )),
        }
    }

    /// Keeps a matrix as the bytes of its blocks, as a GGUF file has it.
    pub(super) fn of_blocks(
        bytes: &[u8],
        kind: GgmlDType,
        shape: &[usize],
        device: &Device,
    ) -> Result<Self> {
        let storage = QStorage::from_data(Cow::Borrowed(bytes), device, kind)?;
        Ok(Self::Quantised(Arc::new(QTensor::new(storage, shape)?)))
    }

    /// The matrix in the type that is computed in.
    pub(super) fn dense(&self, compute: Compute) -> Result<Tensor> {
        match self {
            Self::Dense(tensor) => Ok(tensor.clone()),
            Self::Quantised(kept) => {
                let device = kept.device();
                // On a card there is a kernel that writes halves at once.
                let made = if device.is_cpu() || compute == Compute::F32 {
                    kept.dequantize(&device)?
                } else {
                    kept.dequantize_f16(&device)?
                };
                made.to_dtype(dtype(compute))
            }
        }
    }

    /// Bytes it takes on its device.
    pub(super) fn size_bytes(&self) -> usize {
        match self {
            Self::Dense(tensor) => tensor.elem_count() * tensor.dtype().size_in_bytes(),
            Self::Quantised(kept) => kept.storage_size_in_bytes(),
        }
    }
}
