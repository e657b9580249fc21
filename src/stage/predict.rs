//! Scores samples with a fitted recommender.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::codec::write_predictions;
use super::train_recommender::{predictions, read_item_vectors, write_json};
use super::{InputDeclaration, OutputDeclaration, StageContext, StageError, StageKind};
use crate::data::frame::read_samples;
use crate::metric::plausible::suspicions;
use crate::recommender::{self, ScoreTask, UnknownItems};

/// The stage kind.
#[derive(Debug)]
pub struct Predict;

/// Parameters of `predict`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// The method the model must be of; by default whatever made the model folder.
    method: Option<String>,
}

#[derive(Debug, Serialize)]
struct Summary<'a> {
    method: &'a str,
    rows: usize,
    learns_item_ids: bool,
    unknown_items: UnknownItems,
}

impl StageKind for Predict {
    type Params = Params;

    const NAME: &'static str = "predict";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Scores samples with a fitted recommender.";
    const INPUTS: &'static [InputDeclaration] = &[
        InputDeclaration::one("model", "model folder"),
        InputDeclaration::one("samples", "samples to score"),
        InputDeclaration::optional(
            "item_vectors",
            "the vectors the model was trained with, if it was",
        ),
    ];

    fn outputs(_params: &Params) -> Vec<OutputDeclaration> {
        vec![
            OutputDeclaration::new("predictions", "predictions.parquet"),
            OutputDeclaration::new("summary", "summary.json"),
        ]
    }

    fn check(params: &Params) -> Result<(), (String, String)> {
        match params.method.as_deref().map(recommender::find) {
            Some(Err(error)) => Err(("method".to_owned(), error.to_string())),
            _ => Ok(()),
        }
    }

    fn run(params: &Params, context: &StageContext) -> Result<(), StageError> {
        let folder = &context.input("model")?.path;
        let method = match &params.method {
            Some(name) => recommender::find(name),
            None => recommender::of_folder(folder),
        }
        .map_err(StageError::other)?;
        let samples = read_samples(&context.input("samples")?.path).map_err(StageError::other)?;
        let item_vectors = read_item_vectors(context)?;
        context.check_cancelled()?;
        let scores = method
            .score(&ScoreTask {
                folder,
                samples: &samples,
                item_vectors: item_vectors.as_ref(),
            })
            .map_err(StageError::other)?;
        let unknown = scores.unknown;
        let predictions = predictions(&samples, &scores.likes);
        if unknown.targets > 0 && unknown.unknown_targets == unknown.targets {
            context.emitter().warn(format!(
                "{} has never met any of the {} targets: these scores say nothing about items",
                method.name(),
                unknown.targets
            ));
        } else {
            for suspicion in suspicions(&predictions, method.ranks()) {
                context.emitter().warn(suspicion);
            }
        }
        write_predictions(context.output("predictions")?, &predictions)
            .map_err(StageError::other)?;
        write_json(
            context.output("summary")?,
            &Summary {
                method: method.name(),
                rows: samples.len(),
                learns_item_ids: method.learns_item_ids(),
                unknown_items: unknown,
            },
        )
    }
}
