//! Keeps the best of several fitted models, by validation AUC.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::train_recommender::write_json;
use super::{InputDeclaration, OutputDeclaration, StageContext, StageError, StageKind};
use crate::base::bounded;

/// The stage kind.
#[derive(Debug)]
pub struct Select;

/// Parameters of `select`: none.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {}

#[derive(Debug, Clone, Serialize)]
struct Candidate {
    axes: BTreeMap<String, String>,
    valid_auc: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Choice {
    chosen: Candidate,
    candidates: Vec<Candidate>,
}

impl StageKind for Select {
    type Params = Params;

    const NAME: &'static str = "select";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Keeps the candidate with the best validation AUC.";
    const INPUTS: &'static [InputDeclaration] = &[
        InputDeclaration::many("candidates", "model folders"),
        InputDeclaration::many("summaries", "their summary.json, in the same order"),
    ];

    fn outputs(_params: &Params) -> Vec<OutputDeclaration> {
        vec![
            OutputDeclaration::new("model", "model"),
            OutputDeclaration::new("choice", "choice.json"),
        ]
    }

    /// Of equal candidates the first wins. A candidate whose AUC is not defined never wins.
    fn run(_params: &Params, context: &StageContext) -> Result<(), StageError> {
        let models = context.inputs("candidates");
        let summaries = context.inputs("summaries");
        if models.len() != summaries.len() || models.is_empty() {
            return Err(StageError::input(format!(
                "{} candidates but {} summaries",
                models.len(),
                summaries.len()
            ))
            .with_help("gather both inputs over the same axes of the same stage"));
        }
        let mut candidates = Vec::with_capacity(models.len());
        let mut best: Option<(usize, f64)> = None;
        for (at, (model, summary)) in models.iter().zip(summaries).enumerate() {
            if model.axes != summary.axes {
                return Err(StageError::input(format!(
                    "candidate {at} is {:?} but its summary is {:?}",
                    model.axes, summary.axes
                )));
            }
            let valid_auc = valid_auc(&summary.path)?;
            if let Some(value) = valid_auc
                && best.is_none_or(|(_, best)| value > best)
            {
                best = Some((at, value));
            }
            candidates.push(Candidate {
                axes: model.axes.clone(),
                valid_auc,
            });
        }
        let at = match best {
            Some((at, _)) => at,
            // Nothing to choose between: the one candidate stands, whatever validation says.
            None if candidates.len() == 1 => 0,
            None => {
                return Err(StageError::input(
                    "no candidate has a validation AUC, so none can be chosen",
                )
                .with_help(
                    "the validation samples have only one class; give the method a single value \
                     instead of a search, or use other data",
                ));
            }
        };
        copy(&models[at].path, context.output("model")?)?;
        let chosen = candidates[at].clone();
        write_json(context.output("choice")?, &Choice { chosen, candidates })
    }
}

fn valid_auc(path: &Path) -> Result<Option<f64>, StageError> {
    let bytes = bounded::read(path, bounded::RECORDS).map_err(StageError::io("read", path))?;
    let summary: Value = serde_json::from_slice(&bytes).map_err(StageError::other)?;
    match summary.get("valid_auc") {
        Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => Ok(number.as_f64()),
        _ => Err(StageError::input(format!(
            "`{}` has no `valid_auc`",
            path.display()
        ))),
    }
}

/// Copies a file, or a folder with all it holds.
fn copy(from: &Path, to: &Path) -> Result<(), StageError> {
    if !from.is_dir() {
        return match fs::copy(from, to) {
            Ok(_) => Ok(()),
            Err(error) => Err(StageError::io("write", to)(error)),
        };
    }
    fs::create_dir_all(to).map_err(StageError::io("create", to))?;
    for entry in fs::read_dir(from).map_err(StageError::io("read", from))? {
        let entry = entry.map_err(StageError::io("read", from))?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
