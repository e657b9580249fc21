//! A backbone: the folder of a model as Hugging Face lays it out.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Configuration, LanguageModelError, NumberType, Parameters, Tokenizer, WeightFiles};
use crate::base::Digest;
use crate::model_files::safetensors_file::{self, ToWrite};
use crate::model_files::weight_files::WEIGHT_FILES;

/// A model folder, open and checked: its parts belong together.
#[derive(Debug)]
pub struct Backbone {
    /// Where it is.
    pub folder: PathBuf,
    /// Its sizes.
    pub configuration: Configuration,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// Its weights.
    pub weights: WeightFiles,
}

impl Backbone {
    /// Opens a folder with `config.json`, weights and `tokenizer.json`.
    ///
    /// # Errors
    /// If a part is missing, damaged, not built, or of another model.
    pub fn open(folder: &Path) -> Result<Self, LanguageModelError> {
        if !folder.is_dir() {
            return Err(LanguageModelError::file(folder, "there is no such folder")
                .with_help("a backbone is a folder with config.json, weights and tokenizer.json"));
        }
        let configuration = Configuration::read(folder)?;
        let tokenizer = Tokenizer::read(folder)?;
        tokenizer.check_against(&configuration)?;
        let weights = configuration.open_weights(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            configuration,
            tokenizer,
            weights,
        })
    }

    /// A digest of the weights, which an adapter keeps to know its backbone by. Reads them all.
    ///
    /// # Errors
    /// If reading fails.
    pub fn digest(&self) -> Result<Digest, LanguageModelError> {
        Ok(self.weights.digest()?)
    }

    /// Writes a folder that transformers loads. `weights` are all tensors of `configuration`, by
    /// Hugging Face's names.
    ///
    /// # Errors
    /// If tensors are missing, surplus or of other shapes, numbers do not fit `number_type`, the
    /// folder has weights already, or a file cannot be written.
    pub fn write(
        folder: &Path,
        configuration: &Configuration,
        weights: &Parameters,
        number_type: NumberType,
        tokenizer: &Tokenizer,
    ) -> Result<(), LanguageModelError> {
        tokenizer.check_against(configuration)?;
        let expected = configuration.tensors();
        let mut tensors = Vec::new();
        for (name, shape) in &expected {
            let one = weights.get(name).ok_or_else(|| {
                LanguageModelError::invalid(format!("`{name}` is missing in the weights to write"))
            })?;
            if one.shape != *shape {
                return Err(LanguageModelError::invalid(format!(
                    "`{name}` to write has shape {:?}, not {shape:?}",
                    one.shape
                )));
            }
            tensors.push(ToWrite {
                name,
                shape,
                values: &one.values,
            });
        }
        let surplus = weights
            .iter()
            .find(|(name, _)| !expected.iter().any(|(known, _)| known == name));
        if let Some((name, _)) = surplus {
            return Err(LanguageModelError::invalid(format!(
                "`{name}` is no tensor of the model to write"
            )));
        }
        fs::create_dir_all(folder).map_err(LanguageModelError::io("create", folder))?;
        if let Some((name, _)) = WEIGHT_FILES
            .iter()
            .find(|(name, _)| folder.join(name).exists())
        {
            return Err(LanguageModelError::file(
                folder,
                format!("there is a {name} in this folder already"),
            ));
        }
        tensors.sort_unstable_by_key(|tensor| tensor.name);
        configuration.write(folder, tokenizer.special_ids(), number_type.torch_name())?;
        tokenizer.write(folder)?;
        let (name, _) = WEIGHT_FILES[0];
        let path = folder.join(name);
        Ok(safetensors_file::write(&path, &tensors, number_type)?)
    }
}
