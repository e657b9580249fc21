//! Fits a recommender that is not a language model.

use std::fs;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::codec::{write_curve, write_predictions};
use super::{InputDeclaration, OutputDeclaration, StageContext, StageError, StageKind};
use crate::data::Sample;
use crate::data::catalogue::read_catalogue;
use crate::data::frame::read_samples;
use crate::metric::plausible::suspicions;
use crate::metric::{Metric, Prediction, auc::Auc};
use crate::recommender::sequence::ItemVectors;
use crate::recommender::{self, FitTask, RecommenderError};
use crate::train::{Observer, TrainError};

/// The stage kind.
#[derive(Debug)]
pub struct TrainRecommender;

/// What the stage takes from YAML.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, from = "Written")]
#[schemars(with = "Written")]
pub struct Params {
    method: String,
    settings: Value,
    seed: u64,
}

/// Parameters of `train_recommender` as people write them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// Name of the recommender, such as `gru4rec` or `like_share`.
    method: String,
    /// What settings are where `settings` does not say: the experiment's fidelity keys. Those that
    /// the method does not have are passed over.
    #[serde(default = "no_settings")]
    #[schemars(with = "Map<String, Value>")]
    defaults: Value,
    /// The method's own settings; what is left out has the method's default.
    #[serde(default = "no_settings")]
    #[schemars(with = "Map<String, Value>")]
    settings: Value,
    /// Settings that go over `settings`, for the axis of a search such as `weight_decay`.
    #[serde(default = "no_settings")]
    #[schemars(with = "Map<String, Value>")]
    overrides: Value,
    /// Drives initial values, the order of rows and dropout.
    seed: u64,
}

fn no_settings() -> Value {
    Value::Object(Map::new())
}

impl From<Written> for Params {
    /// Puts the overrides over the settings and fills in the method's defaults, so that two ways
    /// to write the same settings are one key. What does not fit is kept for
    /// [`StageKind::check`] to say why.
    fn from(written: Written) -> Self {
        let mut settings = written.settings;
        if let (Value::Object(given), Value::Object(defaults)) = (&mut settings, written.defaults) {
            let known = recommender::find(&written.method)
                .map(|method| method.schema().to_value())
                .unwrap_or_default();
            for (name, value) in defaults {
                if known.pointer(&format!("/properties/{name}")).is_some() {
                    given.entry(name).or_insert(value);
                }
            }
        }
        match (&mut settings, written.overrides) {
            (Value::Object(below), Value::Object(above)) => below.extend(above),
            (_, Value::Object(above)) if above.is_empty() => {}
            (below, above) => *below = above,
        }
        if let Ok(method) = recommender::find(&written.method)
            && let Ok(completed) = method.complete(&settings)
        {
            settings = completed;
        }
        Self {
            method: written.method,
            settings,
            seed: written.seed,
        }
    }
}

#[derive(Debug, Serialize)]
struct Summary<'a> {
    method: &'a str,
    seed: u64,
    train_rows: usize,
    valid_rows: usize,
    valid_auc: Option<f64>,
    epochs: usize,
    best_epoch: usize,
}

impl StageKind for TrainRecommender {
    type Params = Params;

    const NAME: &'static str = "train_recommender";
    const VERSION: u32 = 2;
    const SUMMARY: &'static str = "Fits a recommender that is not a language model.";
    const INPUTS: &'static [InputDeclaration] = &[
        InputDeclaration::one("train", "samples to fit to"),
        InputDeclaration::many("valid", "samples that choose the epoch"),
        InputDeclaration::any_number("items", "catalogues: items known beforehand"),
        InputDeclaration::optional(
            "item_vectors",
            "a vector of each item's text, for methods that read them",
        ),
    ];

    fn outputs(_params: &Params) -> Vec<OutputDeclaration> {
        vec![
            OutputDeclaration::new("model", "model"),
            OutputDeclaration::new("curve", "curve.parquet"),
            OutputDeclaration::new("valid", "valid.parquet"),
            OutputDeclaration::new("summary", "summary.json"),
        ]
    }

    fn check(params: &Params) -> Result<(), (String, String)> {
        let method = match recommender::find(&params.method) {
            Ok(method) => method,
            Err(error) => return Err(("method".to_owned(), error.to_string())),
        };
        match method.complete(&params.settings) {
            Ok(_) => Ok(()),
            Err(error) if error.path.is_empty() => Err(("settings".to_owned(), error.message)),
            Err(error) => Err((format!("settings.{}", error.path), error.message)),
        }
    }

    fn run(params: &Params, context: &StageContext) -> Result<(), StageError> {
        let method = recommender::find(&params.method).map_err(StageError::other)?;
        let train = read_samples(&context.input("train")?.path).map_err(StageError::other)?;
        let mut valid: Vec<Sample> = Vec::new();
        for part in context.inputs("valid") {
            valid.extend(read_samples(&part.path).map_err(StageError::other)?);
        }
        let mut items = Vec::new();
        for part in context.inputs("items") {
            items.extend(read_catalogue(&part.path)?);
        }
        let item_vectors = read_item_vectors(context)?;
        let report = method
            .fit(
                &params.settings,
                &FitTask {
                    train: &train,
                    valid: &valid,
                    catalogue: &items,
                    seed: params.seed,
                    folder: context.output("model")?,
                    item_vectors: item_vectors.as_ref(),
                },
                &mut Reporting { context },
            )
            .map_err(|error| match error {
                RecommenderError::Train(TrainError::Cancelled) => StageError::Cancelled,
                error => StageError::other(error),
            })?;
        let predictions = predictions(&valid, &report.valid_scores);
        for suspicion in suspicions(&predictions, method.ranks()) {
            let emitter = context.emitter();
            emitter.warn(format!("validation rows: {suspicion}"));
        }
        let measured = Auc.compute(&predictions).map_err(StageError::other)?;
        write_predictions(context.output("valid")?, &predictions).map_err(StageError::other)?;
        write_curve(context.output("curve")?, &report.curve).map_err(StageError::other)?;
        write_json(
            context.output("summary")?,
            &Summary {
                method: method.name(),
                seed: params.seed,
                train_rows: train.len(),
                valid_rows: valid.len(),
                valid_auc: measured.value,
                epochs: report.curve.last().map_or(0, |point| point.epoch),
                best_epoch: report.best_epoch,
            },
        )
    }
}

/// The vectors of the items' texts, where that input is connected.
pub(super) fn read_item_vectors(context: &StageContext) -> Result<Option<ItemVectors>, StageError> {
    let connected = context.inputs("item_vectors").first();
    connected
        .map(|vectors| ItemVectors::read(&vectors.path).map_err(StageError::other))
        .transpose()
}

/// Passes on what a training tells, and the wish to stop.
struct Reporting<'a> {
    context: &'a StageContext,
}

impl Observer for Reporting<'_> {
    fn epoch(&mut self, done: usize, total: usize) {
        let emitter = self.context.emitter();
        emitter.progress(done as u64, total as u64, "epoch");
    }

    fn measured(&mut self, name: &str, epoch: usize, value: f64) {
        self.context.emitter().measure(name, epoch as u64, value);
    }

    fn is_cancelled(&self) -> bool {
        self.context.is_cancelled()
    }
}

/// Samples and their scores as predictions, in the samples' order.
pub(super) fn predictions(samples: &[Sample], scores: &[f64]) -> Vec<Prediction> {
    samples
        .iter()
        .zip(scores)
        .map(|(sample, score)| Prediction {
            row: sample.row,
            user: sample.user.clone(),
            label: sample.label,
            score: *score,
        })
        .collect()
}

/// Writes a JSON file that people read too.
pub(super) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), StageError> {
    let text = serde_json::to_string_pretty(value).map_err(StageError::other)?;
    fs::write(path, text + "\n").map_err(StageError::io("write", path))
}
