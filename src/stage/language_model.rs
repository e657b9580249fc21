//! What the stages that run a language model have in common: inputs, settings, predictions.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{InputArtifact, StageContext, StageError};
use crate::base::{Device, Digest, bounded};
use crate::language_model::decoder::{Decoder, Trainable, Weights};
use crate::language_model::{
    Adapter, Backbone, Configuration, LanguageModel, LanguageModelError, LoraOptions, Parameters,
    Precision, TensorDecoder, TensorWeights, Tokenizer, tensor,
};
use crate::model_files::{HubCache, HubModel, ModelFileError};
use crate::prompt::{InContext, PromptError, PromptTemplate};
use crate::tuning::TuneError;

impl From<LanguageModelError> for StageError {
    fn from(error: LanguageModelError) -> Self {
        Self::other(error)
    }
}

impl From<ModelFileError> for StageError {
    fn from(error: ModelFileError) -> Self {
        Self::other(error)
    }
}

impl From<PromptError> for StageError {
    fn from(error: PromptError) -> Self {
        Self::other(error)
    }
}

impl From<TuneError> for StageError {
    fn from(error: TuneError) -> Self {
        match error {
            TuneError::Cancelled { .. } => Self::Cancelled,
            error => Self::other(error),
        }
    }
}

/// The name under which the hub's models are handed on: a small file in place of a folder.
pub(super) const REFERENCE: &str = "backbone.json";

/// A model of the hub, pinned to a commit: what a key needs to know, without its gigabytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reference {
    /// `owner/name`.
    pub(super) repository: String,
    /// The commit.
    pub(super) commit: String,
}

/// A backbone in memory.
pub(super) struct Loaded {
    pub(super) configuration: Configuration,
    pub(super) tokenizer: Tokenizer,
    weights: Held,
    /// Of all its tensors.
    pub(super) digest: Digest,
    /// What adapters call it: `owner/name`, or a folder's name.
    pub(super) name: String,
}

/// A backbone's weights, where they are computed with.
enum Held {
    /// On the processor, in `f32`.
    Plain(Arc<Weights>),
    /// On a card, or in numbers of another precision.
    Tensors(Arc<TensorWeights>),
}

impl Loaded {
    /// Reads the input `backbone`, to compute on the stage's device.
    ///
    /// A process that does many stages reads a backbone once: the runner compares the bytes with
    /// the input's digest before each of them, so what was read from these bytes is still right.
    pub(super) fn open(
        context: &StageContext,
        precision: Precision,
    ) -> Result<Arc<Self>, StageError> {
        let input = context.input("backbone")?;
        let device = context.device();
        let read = || Self::read(input, device, precision);
        match context.keep() {
            Some(keep) => {
                let what = format!("{} {device} {precision:?}", input.digest.hex());
                keep.get_or_make(Digest::of_bytes(what.as_bytes()), read)
            }
            None => read().map(Arc::new),
        }
    }

    fn read(
        input: &InputArtifact,
        device: Device,
        precision: Precision,
    ) -> Result<Self, StageError> {
        // A card that cannot be had should be known before gigabytes are read.
        let opened = tensor::open(device)?;
        let (folder, name) = locate(input)?;
        let backbone = Backbone::open(&folder)?;
        let digest = backbone.weights.digest()?;
        let configuration = backbone.configuration;
        let weights = if device == Device::Cpu && precision.is_default() {
            let tensors = backbone.weights.all_f32()?;
            Held::Plain(Arc::new(Weights::new(&configuration, tensors)?))
        } else {
            let files = &backbone.weights;
            let weights = TensorWeights::read(&configuration, files, &opened, precision)?;
            Held::Tensors(Arc::new(weights))
        };
        Ok(Self {
            configuration,
            tokenizer: backbone.tokenizer,
            weights,
            digest,
            name,
        })
    }

    /// The model with an adapter that can be trained, or bare.
    pub(super) fn model(
        &self,
        adapter: Option<(LoraOptions, Parameters)>,
    ) -> Result<Box<dyn LanguageModel>, StageError> {
        let configuration = self.configuration.clone();
        Ok(match &self.weights {
            Held::Plain(weights) => {
                let trainable = match adapter {
                    None => Trainable::Nothing,
                    Some((options, values)) => Trainable::Adapter { options, values },
                };
                Box::new(Decoder::new(configuration, Arc::clone(weights), trainable)?)
            }
            Held::Tensors(weights) => Box::new(TensorDecoder::new(
                configuration,
                Arc::clone(weights),
                adapter,
            )?),
        })
    }

    /// The model with an adapter from a file, or bare.
    pub(super) fn with_adapter(
        &self,
        adapter: Option<Adapter>,
    ) -> Result<Box<dyn LanguageModel>, StageError> {
        self.model(adapter.map(|adapter| (adapter.options, adapter.parameters)))
    }

    /// Reads an adapter folder and refuses one that was not made for this backbone.
    pub(super) fn adapter(&self, input: &InputArtifact) -> Result<Adapter, StageError> {
        let adapter = Adapter::read(&input.path)?;
        adapter.check_against(&self.configuration)?;
        adapter.check_base(self.digest)?;
        if adapter.is_untrained() {
            return Err(StageError::input(format!(
                "the adapter `{}` is untrained: all its B matrices are zero, so it changes nothing",
                input.origin
            ))
            .with_help("save it after training; with PEFT: model.save_pretrained(FOLDER)"));
        }
        Ok(adapter)
    }

    /// Says so where texts are longer than the model was made for: it computes something there,
    /// but has never learnt to.
    pub(super) fn check_lengths<'a>(
        &self,
        context: &StageContext,
        texts: impl IntoIterator<Item = &'a [u32]>,
    ) {
        let most = self.configuration.max_positions;
        let (mut rows, mut beyond, mut longest) = (0, 0, 0);
        for text in texts {
            rows += 1;
            beyond += usize::from(text.len() > most);
            longest = longest.max(text.len());
        }
        if beyond > 0 {
            context.emitter().warn(format!(
                "{beyond} of {rows} texts have more tokens (up to {longest}) than the {most} \
                 positions this model was made for; set `cutoff_length: {most}` or less, and \
                 their histories are shortened"
            ));
        }
    }

    /// An adapter as it is stored.
    pub(super) fn stored(&self, options: &LoraOptions, parameters: &Parameters) -> Adapter {
        Adapter {
            options: options.clone(),
            parameters: parameters.clone(),
            base: self.name.clone(),
            base_digest: Some(self.digest),
        }
    }
}

/// The folder of a model and what adapters call it.
pub(super) fn locate(input: &InputArtifact) -> Result<(PathBuf, String), StageError> {
    if input.path.is_dir() {
        let last = input.origin.trim_end_matches('/').rsplit('/').next();
        return Ok((input.path.clone(), last.unwrap_or_default().to_owned()));
    }
    let bytes = bounded::read(&input.path, bounded::SETTINGS)
        .map_err(StageError::io("read", &input.path))?;
    let reference: Reference = serde_json::from_slice(&bytes).map_err(|_| {
        StageError::input(format!("`{}` is not a model folder", input.origin))
            .with_help("a model is a folder with config.json, tokenizer.json and model.safetensors")
    })?;
    let model = HubModel {
        name: reference.repository,
        revision: reference.commit,
    };
    let found = HubCache::from_environment()?.get(&model, &mut |_, _, _| {})?;
    Ok((found.folder, model.name))
}

/// The prompt template of the input `template`.
pub(super) fn template(context: &StageContext) -> Result<PromptTemplate, StageError> {
    let input = context.input("template")?;
    let text = bounded::read_text(&input.path, bounded::SETTINGS)
        .map_err(StageError::io("read", &input.path))?;
    Ok(PromptTemplate::parse(&input.origin, &text)?)
}

/// Examples for the prompt, chosen from the samples of the input `examples`.
pub(super) fn examples(
    context: &StageContext,
    template: &PromptTemplate,
    count: usize,
    seed: u64,
) -> Result<InContext, StageError> {
    if count == 0 {
        return Ok(InContext::default());
    }
    let drawn = super::samples::read(context.input("examples")?)?;
    Ok(InContext::choose(template, &drawn, count, seed)?)
}

/// The adapter of the input `adapter`, if one is connected.
pub(super) fn adapter_input(context: &StageContext) -> Option<&InputArtifact> {
    context.inputs("adapter").first()
}

/// Puts mappings over one another, later ones over earlier ones; anything that is no mapping
/// replaces the whole, for [`super::StageKind::check`] to say why it cannot be.
pub(super) fn layered(layers: impl IntoIterator<Item = Value>) -> Value {
    let mut below = Value::Object(Map::new());
    for layer in layers {
        match (&mut below, layer) {
            (Value::Object(below), Value::Object(above)) => below.extend(above),
            (_, Value::Null) => {}
            (below, above) => *below = above,
        }
    }
    below
}

/// Settings as they are once read, or as written with what is wrong with them.
///
/// A stage's parameters are made complete before they are checked, so what cannot be read has to
/// be kept until then.
#[derive(Debug, Clone)]
pub(super) enum Read<T> {
    Good(T),
    Bad(Value),
}

impl<T: serde::de::DeserializeOwned> Read<T> {
    pub(super) fn from_value(value: Value) -> Self {
        match serde_json::from_value(value.clone()) {
            Ok(good) => Self::Good(good),
            Err(_) => Self::Bad(value),
        }
    }

    /// The settings, or the path of what is wrong below `name`, and why.
    pub(super) fn good(&self, name: &str) -> Result<&T, (String, String)> {
        match self {
            Self::Good(good) => Ok(good),
            Self::Bad(value) => {
                let error = serde_path_to_error::deserialize::<_, T>(value);
                let (path, message) = match error {
                    Ok(_) => (String::new(), "cannot be read".to_owned()),
                    Err(error) => (error.path().to_string(), error.inner().to_string()),
                };
                if path.is_empty() || path == "." {
                    Err((name.to_owned(), message))
                } else {
                    Err((format!("{name}.{path}"), message))
                }
            }
        }
    }
}

impl<T: Serialize> Serialize for Read<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Good(good) => good.serialize(serializer),
            Self::Bad(value) => value.serialize(serializer),
        }
    }
}

impl<'de, T: serde::de::DeserializeOwned> Deserialize<'de> for Read<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::from_value)
    }
}

/// An empty mapping: no settings.
pub(super) fn nothing() -> Value {
    Value::Object(Map::new())
}

/// Whether this program can compute on a device, and the device is there.
///
/// # Errors
/// If it was built without what the device needs, or driver or card are missing.
pub fn check_device(device: Device) -> Result<(), StageError> {
    Ok(tensor::device::check_there(device)?)
}
