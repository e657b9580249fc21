//! LoRA adapters as PEFT stores them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::adapter_config::AdapterConfig;
use super::lora::{MODULES, parameter_name};
use super::{
    Configuration, LanguageModelError, LoraOptions, NumberType, Parameter, Parameters, WeightFiles,
};
use crate::base::{Digest, bounded};
use crate::model_files::error::clipped;
use crate::model_files::safetensors_file::{self, ToWrite};
use crate::model_files::weight_files::few;

/// Name of the file with an adapter's options.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";
/// Name of the file with its matrices, as written here.
pub const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";
/// Name of the same file as older versions of PEFT wrote it.
const ADAPTER_PICKLE: &str = "adapter_model.bin";
/// Name of the file with what PEFT has no place for; PEFT passes over it.
pub const ADAPTER_RUNNER: &str = "runner.json";
const FORMAT: u64 = 1;

/// A LoRA adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    /// Rank, scale, dropout and modules.
    pub options: LoraOptions,
    /// Its matrices by PEFT's names.
    pub parameters: Parameters,
    /// The name of the backbone it was trained on; may be empty.
    pub base: String,
    /// The digest of that backbone's weights, where the file tells.
    pub base_digest: Option<Digest>,
}

impl Adapter {
    /// Reads an adapter folder: `adapter_config.json` with `adapter_model.safetensors` or
    /// `adapter_model.bin`.
    ///
    /// # Errors
    /// If a file cannot be read, the adapter is another than plain LoRA, or its matrices are not
    /// those its options ask for.
    pub fn read(folder: &Path) -> Result<Self, LanguageModelError> {
        let path = folder.join(ADAPTER_CONFIG);
        let bytes = bounded::read(&path, bounded::SETTINGS)
            .map_err(LanguageModelError::io("read", &path))?;
        let config = AdapterConfig::from_json(&bytes, &path)?;
        let weights = folder.join(ADAPTER_WEIGHTS);
        let pickle = folder.join(ADAPTER_PICKLE);
        let weights = match (weights.exists(), pickle.exists()) {
            (true, _) => weights,
            (false, true) => pickle,
            (false, false) => {
                return Err(LanguageModelError::file(
                    folder,
                    format!("there is no {ADAPTER_WEIGHTS} and no {ADAPTER_PICKLE} in this folder"),
                ));
            }
        };
        let files = WeightFiles::open_files(std::slice::from_ref(&weights))?;
        let wrong = |message: String| LanguageModelError::file(&weights, message);
        let places = places(files.names()).map_err(wrong)?;
        let options = LoraOptions {
            r: config.r,
            alpha: config.alpha,
            dropout: config.dropout,
            target_modules: config.modules.unwrap_or_else(|| modules_of(&places)),
        };
        let layers = layers_of(&places);
        check_complete(&places, layers, &options).map_err(wrong)?;
        let mut parameters = BTreeMap::new();
        for name in files.names() {
            let shape = files.shape(name).unwrap_or_default().to_vec();
            parameters.insert(
                name.to_owned(),
                Parameter::new(shape, files.read_f32(name)?),
            );
        }
        let adapter = Self {
            options,
            parameters: Parameters::new(parameters),
            base: config.base,
            base_digest: read_base_digest(folder)?,
        };
        adapter.check_ranks().map_err(wrong)?;
        Ok(adapter)
    }

    /// Writes an adapter folder that PEFT loads; the same adapter gives the same bytes.
    ///
    /// # Errors
    /// If a matrix has numbers that are not finite, or a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), LanguageModelError> {
        fs::create_dir_all(folder).map_err(LanguageModelError::io("create", folder))?;
        write_json(
            &folder.join(ADAPTER_CONFIG),
            &AdapterConfig::to_json(&self.options, &self.base),
        )?;
        if let Some(digest) = self.base_digest {
            let extra = json!({"base_digest": digest, "format": FORMAT});
            write_json(&folder.join(ADAPTER_RUNNER), &extra)?;
        }
        let tensors: Vec<ToWrite<'_>> = self
            .parameters
            .iter()
            .map(|(name, one)| ToWrite {
                name,
                shape: &one.shape,
                values: &one.values,
            })
            .collect();
        let path = folder.join(ADAPTER_WEIGHTS);
        Ok(safetensors_file::write(&path, &tensors, NumberType::F32)?)
    }

    /// Refuses an adapter whose matrices do not fit a backbone.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check_against(&self, backbone: &Configuration) -> Result<(), LanguageModelError> {
        let wrong = |message: String| {
            LanguageModelError::invalid(message)
                .with_help("take the adapter that was trained on this backbone")
        };
        let places = places(self.parameters.iter().map(|(name, _)| name)).map_err(wrong)?;
        let layers = layers_of(&places);
        if layers != backbone.layers {
            return Err(wrong(format!(
                "the adapter is for a model of {layers} layers, the backbone has {}",
                backbone.layers
            )));
        }
        check_complete(&places, layers, &self.options).map_err(wrong)?;
        self.check_ranks().map_err(wrong)?;
        for (place, name) in &places {
            let Some((inputs, outputs)) = backbone.module_widths(&place.module) else {
                return Err(wrong(format!("the backbone has no module for `{name}`")));
            };
            let expected = match place.which {
                'A' => vec![self.options.r, inputs],
                _ => vec![outputs, self.options.r],
            };
            let shape = self.parameters.get(name).map(|one| &one.shape);
            if shape != Some(&expected) {
                return Err(wrong(format!(
                    "`{name}` of the adapter has shape {:?}; on this backbone it must be \
                     {expected:?}",
                    shape.map_or(&[][..], Vec::as_slice)
                )));
            }
        }
        Ok(())
    }

    /// Refuses an adapter that a training with these options cannot go on from.
    ///
    /// # Errors
    /// Which option differs. Dropout may: it is no part of what an adapter computes.
    pub fn check_options(&self, wanted: &LoraOptions) -> Result<(), LanguageModelError> {
        let own = &self.options;
        let wrong = |message: String| {
            Err(LanguageModelError::invalid(message)
                .with_help("set the options of this training to those of the adapter"))
        };
        if own.r != wanted.r {
            return wrong(format!(
                "the adapter has rank {}, this training needs {}",
                own.r, wanted.r
            ));
        }
        if own.alpha.to_bits() != wanted.alpha.to_bits() {
            return wrong(format!(
                "the adapter has alpha {}, this training needs {}",
                own.alpha, wanted.alpha
            ));
        }
        let set = |options: &LoraOptions| -> BTreeSet<String> {
            options.target_modules.iter().cloned().collect()
        };
        if set(own) != set(wanted) {
            return wrong(format!(
                "the adapter is on {}, this training needs {}",
                own.target_modules.join(", "),
                wanted.target_modules.join(", ")
            ));
        }
        Ok(())
    }

    /// Refuses an adapter that says it was trained on other weights than these; one that does not
    /// say passes.
    ///
    /// # Errors
    /// If the digests differ.
    pub fn check_base(&self, digest: Digest) -> Result<(), LanguageModelError> {
        match self.base_digest {
            Some(own) if own != digest => Err(LanguageModelError::invalid(format!(
                "the adapter was trained on other weights (digest {}) than those of this \
                 backbone ({}){}",
                own.short(),
                digest.short(),
                if self.base.is_empty() {
                    String::new()
                } else {
                    format!("; it names `{}`", clipped(&self.base))
                }
            ))
            .with_help("take the backbone it was trained on, or train it again")),
            _ => Ok(()),
        }
    }

    /// Whether all B matrices are zero, so that the adapter changes nothing.
    #[must_use]
    pub fn is_untrained(&self) -> bool {
        self.b_values().all(|value| value == 0.0)
    }

    /// The Frobenius norm of all B matrices together.
    #[must_use]
    pub fn b_norm(&self) -> f64 {
        let squares = self.b_values().map(|value| f64::from(value).powi(2));
        squares.sum::<f64>().sqrt()
    }

    fn b_values(&self) -> impl Iterator<Item = f32> {
        self.parameters
            .iter()
            .filter(|(name, _)| name.ends_with(".lora_B.weight"))
            .flat_map(|(_, one)| one.values.iter().copied())
    }

    fn check_ranks(&self) -> Result<(), String> {
        let rank = self.options.r;
        for (name, one) in self.parameters.iter() {
            let found = match one.shape[..] {
                [found, _] if name.ends_with("lora_A.weight") => found,
                [_, found] if name.ends_with("lora_B.weight") => found,
                _ => return Err(format!("`{name}` has shape {:?}, not a matrix", one.shape)),
            };
            if found != rank {
                return Err(format!(
                    "`{name}` has rank {found}, {ADAPTER_CONFIG} says {rank}"
                ));
            }
        }
        Ok(())
    }
}

/// Which matrix of which module a name of PEFT means.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    layer: usize,
    module: String,
    which: char,
}

/// The places of matrices, with their names.
fn places<'a>(names: impl Iterator<Item = &'a str>) -> Result<BTreeMap<Place, &'a str>, String> {
    let mut all = BTreeMap::new();
    for name in names {
        let place = place(name).ok_or_else(|| {
            let dora = if name.contains("magnitude") {
                " (DoRA)"
            } else {
                ""
            };
            format!(
                "`{}` is no LoRA matrix of a linear module{dora}; such adapters are not built",
                clipped(name)
            )
        })?;
        all.insert(place, name);
    }
    if all.is_empty() {
        return Err("there are no matrices".to_owned());
    }
    Ok(all)
}

fn place(name: &str) -> Option<Place> {
    let rest = name.strip_prefix("base_model.model.model.layers.")?;
    let mut parts = rest.split('.');
    let layer: usize = parts.next()?.parse().ok()?;
    let (block, module) = (parts.next()?, parts.next()?);
    let which = parts.next()?.strip_prefix("lora_")?.chars().next()?;
    MODULES.contains(&(module, block)).then_some(())?;
    // Spelled exactly as it would be written here.
    (['A', 'B'].contains(&which) && parameter_name(layer, block, module, which) == name).then(
        || Place {
            layer,
            module: module.to_owned(),
            which,
        },
    )
}

fn layers_of(places: &BTreeMap<Place, &str>) -> usize {
    let last = places.keys().map(|place| place.layer).max();
    last.map_or(0, |last| last.saturating_add(1))
}

/// Modules that have matrices, in the order of [`MODULES`].
fn modules_of(places: &BTreeMap<Place, &str>) -> Vec<String> {
    let used = |module: &str| places.keys().any(|place| place.module == module);
    MODULES
        .iter()
        .filter(|(module, _)| used(module))
        .map(|(module, _)| (*module).to_owned())
        .collect()
}

/// Checks that every layer has both matrices of every target module, and nothing beyond.
fn check_complete(
    places: &BTreeMap<Place, &str>,
    layers: usize,
    options: &LoraOptions,
) -> Result<(), String> {
    let surplus: Vec<&str> = places
        .iter()
        .filter(|(place, _)| !options.target_modules.contains(&place.module))
        .map(|(_, name)| *name)
        .collect();
    if !surplus.is_empty() {
        return Err(format!(
            "there are matrices for modules that are not in `target_modules` ({}): {}",
            options.target_modules.join(", "),
            few(&surplus)
        ));
    }
    for layer in 0..layers {
        for (module, block) in MODULES {
            for which in ['A', 'B'] {
                let place = Place {
                    layer,
                    module: module.to_owned(),
                    which,
                };
                if options.target_modules.contains(&place.module) && !places.contains_key(&place) {
                    return Err(format!(
                        "`{}` is missing",
                        parameter_name(layer, block, module, which)
                    ));
                }
            }
        }
    }
    Ok(())
}

fn write_json(path: &Path, value: &Value) -> Result<(), LanguageModelError> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| LanguageModelError::file(path, error.to_string()))?;
    text.push('\n');
    fs::write(path, text).map_err(LanguageModelError::io("write", path))
}

fn read_base_digest(folder: &Path) -> Result<Option<Digest>, LanguageModelError> {
    let path = folder.join(ADAPTER_RUNNER);
    if !path.exists() {
        return Ok(None);
    }
    let bytes =
        bounded::read(&path, bounded::SETTINGS).map_err(LanguageModelError::io("read", &path))?;
    let wrong = |message: String| {
        LanguageModelError::file(&path, message)
            .with_help("without this file the adapter is taken to fit any backbone of its sizes")
    };
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|error| wrong(format!("this is not JSON: {error}")))?;
    if value.get("format").and_then(Value::as_u64) != Some(FORMAT) {
        return Err(wrong(format!("the format is not {FORMAT}")));
    }
    let text = value.get("base_digest").and_then(Value::as_str);
    let digest = text.unwrap_or_default().parse();
    digest
        .map(Some)
        .map_err(|error| wrong(format!("`base_digest`: {error}")))
}
