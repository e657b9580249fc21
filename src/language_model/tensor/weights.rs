//! A backbone's weights on a device.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::frozen::Matrix;
use crate::language_model::lora::MODULES;
use crate::language_model::{Configuration, Frozen, LanguageModelError, NumberType, Precision};
use crate::model_files::WeightFiles;

/// Tensors read and converted at a time, so that a model larger than the machine's memory can go to
/// a card.
const AT_ONCE: usize = 4;

/// All tensors of a backbone by their Hugging Face names, on a device, never changed once made.
#[derive(Debug, Clone)]
pub struct TensorWeights {
    pub(super) device: Device,
    pub(super) precision: Precision,
    by_name: BTreeMap<String, Matrix>,
}

/// Where a tensor comes from.
enum Source {
    /// Numbers, yet to be kept.
    Numbers(Vec<f32>),
    /// Kept already.
    Kept(Matrix),
}

/// The type of a file whose blocks are those of a kind.
fn stored_as(frozen: Frozen) -> Option<NumberType> {
    match frozen {
        Frozen::Dense => None,
        Frozen::Q8_0 => Some(NumberType::Q8_0),
        Frozen::Q4_0 => Some(NumberType::Q4_0),
        Frozen::Q4K => Some(NumberType::Q4K),
    }
}

/// Whether a tensor is the matrix of one of [`MODULES`], which may be quantised.
fn is_module(name: &str) -> bool {
    MODULES
        .iter()
        .any(|(module, block)| name.ends_with(&format!("{block}.{module}.weight")))
}

impl TensorWeights {
    /// Reads the tensors of [`Configuration::tensors`], a few at a time, and keeps them on a
    /// device.
    ///
    /// # Errors
    /// If a tensor is missing, has numbers that are not finite, or memory or device fail.
    pub fn read(
        configuration: &Configuration,
        files: &WeightFiles,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, LanguageModelError> {
        Self::make_with(configuration, device, precision, |name, shape| {
            // Blocks that are there already are not rounded a second time.
            let same = files.number_type(name) == stored_as(precision.weights);
            match stored_as(precision.weights).filter(|_| same && is_module(name)) {
                Some(kind) => {
                    let (_, bytes) = files.raw(name)?;
                    let kept = Matrix::of_blocks(&bytes, kind, shape, device);
                    Ok(Source::Kept(
                        kept.map_err(LanguageModelError::candle(name))?,
                    ))
                }
                None => Ok(Source::Numbers(files.read_f32(name)?)),
            }
        })
    }

    /// The same from numbers that are made or held elsewhere, `read` giving those of a name.
    ///
    /// # Errors
    /// What `read` fails with; if a length is wrong, or memory or device fail.
    pub fn make(
        configuration: &Configuration,
        device: &Device,
        precision: Precision,
        read: impl Fn(&str) -> Result<Vec<f32>, LanguageModelError> + Sync,
    ) -> Result<Self, LanguageModelError> {
        Self::make_with(configuration, device, precision, |name, _| {
            Ok(Source::Numbers(read(name)?))
        })
    }

    fn make_with(
        configuration: &Configuration,
        device: &Device,
        precision: Precision,
        read: impl Fn(&str, &[usize]) -> Result<Source, LanguageModelError> + Sync,
    ) -> Result<Self, LanguageModelError> {
        let mut by_name = BTreeMap::new();
        for some in configuration.tensors().chunks(AT_ONCE) {
            let made: Result<Vec<(String, Matrix)>, LanguageModelError> = some
                .par_iter()
                .map(|(name, shape)| {
                    let values = match read(name, shape)? {
                        Source::Kept(kept) => return Ok((name.clone(), kept)),
                        Source::Numbers(values) => values,
                    };
                    let values = Tensor::from_vec(values, shape.as_slice(), &Device::Cpu)
                        .map_err(LanguageModelError::candle(name))?;
                    let frozen = if is_module(name) {
                        precision.weights
                    } else {
                        Frozen::Dense
                    };
                    let kept = Matrix::new(&values, precision.compute, frozen, device);
                    Ok((
                        name.clone(),
                        kept.map_err(LanguageModelError::candle(name))?,
                    ))
                })
                .collect();
            by_name.extend(made?);
        }
        Ok(Self {
            device: device.clone(),
            precision,
            by_name,
        })
    }

    /// Bytes that the weights take on the device.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.by_name.values().map(Matrix::size_bytes).sum()
    }

    /// A matrix by name.
    pub(super) fn matrix(&self, name: &str) -> Result<&Matrix, LanguageModelError> {
        self.by_name
            .get(name)
            .ok_or_else(|| LanguageModelError::invalid(format!("`{name}` is missing")))
    }

    /// A tensor that is kept dense.
    pub(super) fn dense(&self, name: &str) -> Result<Tensor, LanguageModelError> {
        self.matrix(name)?
            .dense(self.precision.compute)
            .map_err(LanguageModelError::candle(name))
    }
}
