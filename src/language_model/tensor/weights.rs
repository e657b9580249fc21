//! A backbone's weights on a device.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::frozen::Matrix;
use crate::language_model::lora::MODULES;
use crate::language_model::{Configuration, LanguageModelError, Precision};
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
        Self::make(configuration, device, precision, |name| {
            Ok(files.read_f32(name)?)
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
        let mut by_name = BTreeMap::new();
        for some in configuration.tensors().chunks(AT_ONCE) {
            let made: Result<Vec<(String, Matrix)>, LanguageModelError> = some
                .par_iter()
                .map(|(name, shape)| {
                    let values = read(name)?;
                    let candle = |source| LanguageModelError::Candle {
                        at: name.clone(),
                        source,
                    };
                    let values =
                        Tensor::from_vec(values, shape.as_slice(), &Device::Cpu).map_err(candle)?;
                    let frozen = if is_module(name) {
                        precision.weights
                    } else {
                        crate::language_model::Frozen::Dense
                    };
                    let kept = Matrix::new(&values, precision.compute, frozen, device);
                    Ok((name.clone(), kept.map_err(candle)?))
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
            .map_err(|source| LanguageModelError::Candle {
                at: name.to_owned(),
                source,
            })
    }
}
