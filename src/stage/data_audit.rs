//! `data_audit`: what one should know about a data set before believing a result on it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::samples::{read, source, write_json};
use super::{InputDeclaration, OutputDeclaration, StageContext, StageError, StageKind};
use crate::data::Splits;
use crate::data::audit::tokens::{Template, load_tokenizer};
use crate::data::audit::{Severity, TokenLimit, audit};

/// Audits a data set.
pub struct DataAuditStage;

/// Parameters of [`DataAuditStage`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DataAuditParams {
    /// Tokens a prompt with answer may have; looked at only if a tokenizer is connected.
    pub token_limit: usize,
    /// The prompt around the texts.
    pub template: Template,
}

impl Default for DataAuditParams {
    fn default() -> Self {
        Self {
            token_limit: 512,
            template: Template::default(),
        }
    }
}

impl StageKind for DataAuditStage {
    type Params = DataAuditParams;

    const NAME: &'static str = "data_audit";
    const VERSION: u32 = 2;
    const SUMMARY: &'static str = "Audits a data set: balance, duplicates, leaks, time order, what labels depend on, lengths.";
    const INPUTS: &'static [InputDeclaration] = &[
        InputDeclaration::one("train", "training samples"),
        InputDeclaration::one("valid", "validation samples"),
        InputDeclaration::one("test", "test samples"),
        InputDeclaration::optional("tokenizer", "a tokenizer.json, or a folder with one"),
    ];

    fn outputs(_params: &Self::Params) -> Vec<OutputDeclaration> {
        vec![OutputDeclaration::new("audit", "audit.json")]
    }

    fn check(params: &Self::Params) -> Result<(), (String, String)> {
        if params.token_limit == 0 {
            return Err(("token_limit".into(), "0 allows no token; at least 1".into()));
        }
        Ok(())
    }

    fn run(params: &Self::Params, context: &StageContext) -> Result<(), StageError> {
        let splits = Splits {
            train: read(context.input("train")?)?,
            valid: read(context.input("valid")?)?,
            test: read(context.input("test")?)?,
        };
        context.check_cancelled()?;
        let tokenizer = match context.inputs("tokenizer") {
            [] => None,
            _ => Some(load_tokenizer(&source(context.input("tokenizer")?))?),
        };
        let limit = tokenizer.as_ref().map(|tokenizer| TokenLimit {
            tokenizer,
            template: params.template,
            limit: params.token_limit,
        });
        let audit = audit(&splits, auc, limit.as_ref())?;
        for finding in &audit.findings {
            if finding.severity == Severity::Warning {
                context.emitter().warn(finding.text.clone());
            }
        }
        write_json(context.output("audit")?, &audit)
    }
}

/// Area under the ROC curve by ranks, ties counting half.
fn auc(scores: &[f64], labels: &[bool]) -> Option<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|one, other| scores[*one].total_cmp(&scores[*other]));
    let likes = labels.iter().filter(|label| **label).count() as f64;
    let dislikes = labels.len() as f64 - likes;
    if likes == 0.0 || dislikes == 0.0 {
        return None;
    }
    let (mut start, mut rank_sum) = (0, 0.0);
    for tie in order.chunk_by(|one, other| scores[*one].total_cmp(&scores[*other]).is_eq()) {
        let mean_rank = start as f64 + f64::midpoint(tie.len() as f64, 1.0);
        rank_sum += mean_rank * tie.iter().filter(|at| labels[**at]).count() as f64;
        start += tie.len();
    }
    Some((rank_sum - likes * (likes + 1.0) / 2.0) / (likes * dislikes))
}
