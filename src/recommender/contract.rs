//! What a recommender is: [`Method`] for its author, [`Recommender`] for everyone else.

use std::fs;
use std::marker::PhantomData;
use std::path::Path;

use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::RecommenderError;
use super::error::{read_json, write_json};
use super::sequence::ItemVectors;
use crate::base::Digest;
use crate::data::Sample;
use crate::data::catalogue::CatalogueItem;
use crate::train::{Epoch, Observer};

/// A setting that does not fit its type or range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", prefix(path))]
pub struct SettingError {
    /// Path inside the settings; empty for the whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

fn prefix(path: &str) -> String {
    if path.is_empty() {
        String::new()
    } else {
        format!("{path}: ")
    }
}

/// What came of a fit.
#[derive(Debug, Clone, PartialEq)]
pub struct FitReport {
    /// One point per validation; empty for methods that are not trained.
    pub curve: Vec<Epoch>,
    /// The epoch whose weights were kept; 0 for methods that are not trained.
    pub best_epoch: usize,
    /// P(like) of the validation rows, in their order.
    pub valid_scores: Vec<f64>,
}

/// What a model says about samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// P(like), in the samples' order.
    pub likes: Vec<f64>,
    /// Items the model does not know.
    pub unknown: UnknownItems,
}

/// How many items of the scored samples a model had never met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UnknownItems {
    /// Targets looked up.
    pub targets: usize,
    /// Targets among them without an entry of their own.
    pub unknown_targets: usize,
    /// History items looked up.
    pub history_items: usize,
    /// History items among them without an entry of their own.
    pub unknown_history_items: usize,
}

/// What a recommender is fitted to.
#[derive(Debug, Clone, Copy)]
pub struct FitTask<'a> {
    /// Samples to fit to.
    pub train: &'a [Sample],
    /// Samples that choose, where there is something to choose.
    pub valid: &'a [Sample],
    /// Every item there is, known beforehand as in the field's code; may be empty.
    pub catalogue: &'a [CatalogueItem],
    /// Drives everything random.
    pub seed: u64,
    /// Where the model goes; it exists.
    pub folder: &'a Path,
    /// Frozen vectors of the items' texts, for methods that need them.
    pub item_vectors: Option<&'a ItemVectors>,
}

impl<'a> FitTask<'a> {
    /// Scoring the validation rows with the model that was just written.
    #[must_use]
    pub fn validation(&self) -> ScoreTask<'a> {
        ScoreTask {
            folder: self.folder,
            samples: self.valid,
            item_vectors: self.item_vectors,
        }
    }
}

/// What a recommender is asked.
#[derive(Debug, Clone, Copy)]
pub struct ScoreTask<'a> {
    /// The model folder.
    pub folder: &'a Path,
    /// Samples to score.
    pub samples: &'a [Sample],
    /// The vectors that the model was trained with, if it was trained with some: they are not
    /// copied into each of hundreds of model folders.
    pub item_vectors: Option<&'a ItemVectors>,
}

/// A recommender, as its author writes it.
pub trait Method: Sync + 'static {
    /// Its settings. Every field is documented with its unit and the paper's value.
    type Settings: Serialize + DeserializeOwned + JsonSchema;

    /// The name in YAML, in result sets, and of its file.
    const NAME: &'static str;
    /// What it is, in one sentence.
    const SUMMARY: &'static str;
    /// Whether it knows items by identifier, so that it cannot carry over to other items.
    const LEARNS_ITEM_IDS: bool;
    /// Whether its scores are meant to rank; equal scores are then worth a warning.
    const RANKS: bool = true;
    /// Whether it reads frozen vectors of the items' texts.
    const NEEDS_ITEM_VECTORS: bool = false;

    /// Checks what a type cannot say.
    ///
    /// # Errors
    /// The setting that is out of range.
    fn check(_settings: &Self::Settings) -> Result<(), SettingError> {
        Ok(())
    }

    /// Fits, and writes everything [`Method::score`] needs into the task's folder.
    ///
    /// # Errors
    /// Whatever keeps it from a complete model.
    fn fit(
        settings: &Self::Settings,
        task: &FitTask<'_>,
        observer: &mut dyn Observer,
    ) -> Result<FitReport, RecommenderError>;

    /// P(like) for each sample's target.
    ///
    /// # Errors
    /// If the folder is not complete.
    fn score(settings: &Self::Settings, task: &ScoreTask<'_>) -> Result<Scores, RecommenderError>;
}

/// A [`Method`] without its types, as stages handle it.
pub trait Recommender: Sync {
    /// See [`Method::NAME`].
    fn name(&self) -> &'static str;
    /// See [`Method::SUMMARY`].
    fn summary(&self) -> &'static str;
    /// See [`Method::LEARNS_ITEM_IDS`].
    fn learns_item_ids(&self) -> bool;
    /// See [`Method::RANKS`].
    fn ranks(&self) -> bool;
    /// See [`Method::NEEDS_ITEM_VECTORS`].
    fn needs_item_vectors(&self) -> bool;
    /// JSON Schema of its settings.
    fn schema(&self) -> Schema;
    /// Settings after defaults.
    ///
    /// # Errors
    /// The first setting that does not fit.
    fn complete(&self, settings: &Value) -> Result<Value, SettingError>;
    /// Fits and writes a model folder; the same arguments give the same bytes.
    ///
    /// # Errors
    /// If item vectors are missing or have no use; and see [`Method::fit`].
    fn fit(
        &self,
        settings: &Value,
        task: &FitTask<'_>,
        observer: &mut dyn Observer,
    ) -> Result<FitReport, RecommenderError>;
    /// Scores samples with a model folder this method wrote.
    ///
    /// # Errors
    /// If the item vectors are not those it was trained with; and see [`Method::score`].
    fn score(&self, task: &ScoreTask<'_>) -> Result<Scores, RecommenderError>;
}

/// `config.json` of a model folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Version of the folder's layout.
    pub format: u32,
    /// The method that made it.
    pub method: String,
    /// Its settings, complete.
    pub settings: Value,
    /// The seed it was fitted with.
    pub seed: u64,
    /// The item vectors it was fitted with, if the method reads some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_vectors: Option<UsedVectors>,
}

/// Which item vectors a model was fitted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsedVectors {
    /// Hash of the file's bytes.
    pub digest: Digest,
    /// Numbers of each vector.
    pub width: usize,
}

impl UsedVectors {
    fn of(vectors: &ItemVectors) -> Self {
        Self {
            digest: vectors.digest(),
            width: vectors.width(),
        }
    }

    fn shown(used: Option<Self>) -> String {
        match used {
            Some(Self { digest, width }) => {
                format!("the item vectors {} of width {width}", digest.short())
            }
            None => "no item vectors".to_owned(),
        }
    }
}

/// Reads `config.json` of a model folder.
///
/// # Errors
/// If it cannot be read or is of another format.
pub fn read_config(folder: &Path) -> Result<Config, RecommenderError> {
    let config: Config = read_json(&folder.join("config.json"))?;
    if config.format != 1 {
        return Err(RecommenderError::Format(config.format));
    }
    Ok(config)
}

/// Wraps a [`Method`] as a [`Recommender`]; `&Erased::<MyMethod>::NEW` in the registry.
pub struct Erased<M>(PhantomData<M>);

impl<M: Method> Erased<M> {
    /// The one value of this type.
    pub const NEW: Self = Self(PhantomData);

    fn typed(settings: &Value) -> Result<M::Settings, SettingError> {
        let typed =
            serde_path_to_error::deserialize::<_, M::Settings>(settings).map_err(|error| {
                SettingError {
                    path: match error.path().to_string() {
                        path if path == "." => String::new(),
                        path => path,
                    },
                    message: error.inner().to_string(),
                }
            })?;
        M::check(&typed)?;
        Ok(typed)
    }

    fn to_value(settings: &M::Settings) -> Result<Value, SettingError> {
        serde_json::to_value(settings).map_err(|error| SettingError {
            path: String::new(),
            message: error.to_string(),
        })
    }
}

impl<M: Method> Recommender for Erased<M> {
    fn name(&self) -> &'static str {
        M::NAME
    }

    fn summary(&self) -> &'static str {
        M::SUMMARY
    }

    fn learns_item_ids(&self) -> bool {
        M::LEARNS_ITEM_IDS
    }

    fn ranks(&self) -> bool {
        M::RANKS
    }

    fn needs_item_vectors(&self) -> bool {
        M::NEEDS_ITEM_VECTORS
    }

    fn schema(&self) -> Schema {
        schemars::schema_for!(M::Settings)
    }

    fn complete(&self, settings: &Value) -> Result<Value, SettingError> {
        Self::to_value(&Self::typed(settings)?)
    }

    fn fit(
        &self,
        settings: &Value,
        task: &FitTask<'_>,
        observer: &mut dyn Observer,
    ) -> Result<FitReport, RecommenderError> {
        let settings = Self::typed(settings)?;
        if task.train.is_empty() {
            return Err(RecommenderError::NoRows);
        }
        if task.item_vectors.is_some() != M::NEEDS_ITEM_VECTORS {
            return Err(RecommenderError::VectorsGiven {
                method: M::NAME,
                needed: M::NEEDS_ITEM_VECTORS,
            });
        }
        fs::create_dir_all(task.folder).map_err(|source| RecommenderError::Io {
            action: "write",
            path: task.folder.to_owned(),
            source,
        })?;
        let report = M::fit(&settings, task, observer)?;
        let config = Config {
            format: 1,
            method: M::NAME.to_owned(),
            settings: Self::to_value(&settings)?,
            seed: task.seed,
            item_vectors: task.item_vectors.map(UsedVectors::of),
        };
        write_json(&task.folder.join("config.json"), &config)?;
        Ok(report)
    }

    fn score(&self, task: &ScoreTask<'_>) -> Result<Scores, RecommenderError> {
        let config = read_config(task.folder)?;
        if config.method != M::NAME {
            return Err(RecommenderError::OtherMethod {
                expected: M::NAME.to_owned(),
                found: config.method,
            });
        }
        let given = task.item_vectors.map(UsedVectors::of);
        if given != config.item_vectors {
            return Err(RecommenderError::OtherVectors {
                trained: UsedVectors::shown(config.item_vectors),
                given: UsedVectors::shown(given),
            });
        }
        M::score(&Self::typed(&config.settings)?, task)
    }
}
