//! Measures predictions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::codec::read_predictions;
use super::train_recommender::write_json;
use super::{InputDeclaration, OutputDeclaration, StageContext, StageError, StageKind};
use crate::base::nearest::suggestion;
use crate::metric::{METRICS, find, plausible::suspicions};

/// The stage kind.
#[derive(Debug)]
pub struct Evaluate;

/// Parameters of `evaluate`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// Metrics by name, in the order of the output; by default all there are.
    metrics: Vec<String>,
    /// What the rows are called in the results, such as `test` or `valid`.
    split: String,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            metrics: METRICS.iter().map(|m| m.name().to_owned()).collect(),
            split: "test".to_owned(),
        }
    }
}

/// One line of `metrics.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricRow {
    /// What the rows are called.
    pub split: String,
    /// Name of the metric.
    pub metric: String,
    /// Its value; null where it is not defined.
    pub value: Option<f64>,
    /// How many rows or users it averages over.
    pub n: usize,
    /// Why there is no value, or what was left out of it.
    pub note: Option<String>,
}

impl StageKind for Evaluate {
    type Params = Params;

    const NAME: &'static str = "evaluate";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Measures predictions: AUC, AUC per user, log loss.";
    const INPUTS: &'static [InputDeclaration] = &[InputDeclaration::one(
        "predictions",
        "predictions to measure",
    )];

    fn outputs(_params: &Params) -> Vec<OutputDeclaration> {
        vec![OutputDeclaration::new("metrics", "metrics.json")]
    }

    fn check(params: &Params) -> Result<(), (String, String)> {
        for (at, name) in params.metrics.iter().enumerate() {
            let path = format!("metrics[{at}]");
            if find(name).is_none() {
                let help = suggestion(name, METRICS.iter().map(|metric| metric.name()));
                return Err((path, format!("there is no metric `{name}`: {help}")));
            }
            if params.metrics[..at].contains(name) {
                return Err((path, format!("`{name}` is there twice")));
            }
        }
        if params.metrics.is_empty() {
            return Err(("metrics".to_owned(), "needs at least one".to_owned()));
        }
        Ok(())
    }

    fn run(params: &Params, context: &StageContext) -> Result<(), StageError> {
        let path = &context.input("predictions")?.path;
        let predictions = read_predictions(path).map_err(StageError::other)?;
        // Who made the predictions has said so if they are all equal; here it may be by design.
        for suspicion in suspicions(&predictions, false) {
            context.emitter().warn(suspicion);
        }
        let mut rows = Vec::with_capacity(params.metrics.len());
        for name in &params.metrics {
            let metric = find(name)
                .ok_or_else(|| StageError::input(format!("there is no metric `{name}`")))?;
            let measured = metric.compute(&predictions).map_err(StageError::other)?;
            if let Some(value) = measured.value {
                context.emitter().measure(name, 0, value);
            }
            rows.push(MetricRow {
                split: params.split.clone(),
                metric: name.clone(),
                value: measured.value,
                n: measured.n,
                note: measured.note,
            });
        }
        write_json(context.output("metrics")?, &rows)
    }
}
