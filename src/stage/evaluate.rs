//! Measures predictions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::codec::read_predictions;
use super::train_recommender::write_json;
use super::{
    InputArtifact, InputDeclaration, OutputDeclaration, StageContext, StageError, StageKind,
};
use crate::base::bounded;
use crate::base::nearest::suggestion;
use crate::metric::{METRICS, Metric, find, plausible::suspicions};

/// The stage kind.
#[derive(Debug)]
pub struct Evaluate;

/// Parameters of `evaluate`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// Metrics by name, in the order of the output; by default `auc`, `uauc` and `log_loss`.
    metrics: Vec<String>,
    /// What the rows are called in the results, such as `test` or `valid`.
    split: String,
    /// Cuts of a list, k of HR@k and NDCG@k: `hit_rate@10` is a row of its own.
    at: Vec<usize>,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            metrics: METRICS
                .iter()
                .filter(|metric| metric.by_default())
                .map(|metric| metric.name().to_owned())
                .collect(),
            split: "test".to_owned(),
            at: vec![10],
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

/// The share of rows that have a score, with what came of the others.
fn answered(split: &str, input: &InputArtifact) -> Result<Option<MetricRow>, StageError> {
    #[derive(Deserialize)]
    struct Summary {
        rows: usize,
        answered: Option<usize>,
        refused: Option<usize>,
        unclear: Option<usize>,
        missing: Option<usize>,
    }
    let bytes = bounded::read(&input.path, bounded::SETTINGS)
        .map_err(StageError::io("read", &input.path))?;
    let summary: Summary = serde_json::from_slice(&bytes).map_err(|error| {
        StageError::input(format!(
            "`{}` is no summary of scores: {error}",
            input.origin
        ))
    })?;
    let Some(answered) = summary.answered else {
        return Ok(None);
    };
    let reasons = [
        (summary.refused, "refused"),
        (summary.unclear, "neither yes nor no"),
        (summary.missing, "without a score"),
    ];
    let notes: Vec<String> = reasons
        .iter()
        .filter_map(|(count, words)| Some(((*count)?, words)))
        .filter(|(count, _)| *count > 0)
        .map(|(count, words)| format!("{count} {words}"))
        .collect();
    Ok(Some(MetricRow {
        split: split.to_owned(),
        metric: "answered".to_owned(),
        value: (summary.rows > 0).then(|| answered as f64 / summary.rows as f64),
        n: summary.rows,
        note: (!notes.is_empty()).then(|| notes.join(", ")),
    }))
}

impl StageKind for Evaluate {
    type Params = Params;

    const NAME: &'static str = "evaluate";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Measures predictions: AUC, AUC per user, log loss; HR@k and NDCG@k of lists.";
    const INPUTS: &'static [InputDeclaration] = &[
        InputDeclaration::one("predictions", "predictions to measure"),
        InputDeclaration::optional(
            "answered",
            "summary of a stage that may leave rows without a score; their share becomes a row",
        ),
    ];

    const SKIP_IF_DEFAULT: &'static [&'static str] = &["at"];

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
        if params.at.is_empty() || params.at.contains(&0) {
            return Err(("at".to_owned(), "needs cuts of 1 or more".to_owned()));
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
            let mut measure = |name: &str, metric: &dyn Metric| -> Result<(), StageError> {
                let measured = metric.compute(&predictions).map_err(StageError::other)?;
                if let Some(value) = measured.value {
                    context.emitter().measure(name, 0, value);
                }
                rows.push(MetricRow {
                    split: params.split.clone(),
                    metric: name.to_owned(),
                    value: measured.value,
                    n: measured.n,
                    note: measured.note,
                });
                Ok(())
            };
            if metric.at(1).is_none() {
                measure(name, metric)?;
            }
            for cut in &params.at {
                if let Some(metric) = metric.at(*cut) {
                    measure(&format!("{name}@{cut}"), metric.as_ref())?;
                }
            }
        }
        if let Some(input) = context.inputs("answered").first() {
            rows.extend(answered(&params.split, input)?);
        }
        write_json(context.output("metrics")?, &rows)
    }
}
