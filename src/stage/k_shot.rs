//! `k_shot`: draws K training samples of every domain.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::samples::read;
use super::{InputDeclaration, OutputDeclaration, StageContext, StageError, StageKind};
use crate::data::frame::write_samples;
use crate::data::shots;

/// Draws K training samples of every domain.
pub struct KShotStage;

/// Parameters of [`KShotStage`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KShotParams {
    /// Samples drawn of every training set.
    pub k: usize,
    /// Decides the order they are drawn in; with one seed, fewer are always among more.
    pub seed: u64,
}

impl StageKind for KShotStage {
    type Params = KShotParams;

    const NAME: &'static str = "k_shot";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Draws K training samples of every domain; with one seed, 16 are among 64.";
    const INPUTS: &'static [InputDeclaration] = &[InputDeclaration::many(
        "train",
        "training sets, one a domain",
    )];

    fn outputs(_params: &Self::Params) -> Vec<OutputDeclaration> {
        vec![OutputDeclaration::new("train", "train.parquet")]
    }

    fn check(params: &Self::Params) -> Result<(), (String, String)> {
        if params.k == 0 {
            return Err(("k".into(), "0 asks for no sample at all; at least 1".into()));
        }
        Ok(())
    }

    fn run(params: &Self::Params, context: &StageContext) -> Result<(), StageError> {
        let pools = context
            .inputs("train")
            .iter()
            .map(read)
            .collect::<Result<Vec<_>, _>>()?;
        let drawn = shots::draw(&pools, params.k, params.seed)?;
        write_samples(context.output("train")?, &drawn)?;
        Ok(())
    }
}
