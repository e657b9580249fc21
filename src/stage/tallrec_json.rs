//! `tallrec_json`: the released files, or anybody's in that form, to samples.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::samples::{Account, source, split_outputs, write_splits};
use super::{InputDeclaration, OutputDeclaration, StageContext, StageError, StageKind};
use crate::data::tallrec_json::read_tallrec_json;
use crate::data::{Domain, Splits, Tally};

/// Imports samples in the form of the TALLRec authors' released files.
pub struct TallrecJsonStage;

/// Parameters of [`TallrecJsonStage`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TallrecJsonParams {
    /// What the samples are about.
    pub domain: Domain,
}

impl StageKind for TallrecJsonStage {
    type Params = TallrecJsonParams;

    const NAME: &'static str = "tallrec_json";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Imports samples in the form of the TALLRec authors' released JSON files, as they are.";
    const INPUTS: &'static [InputDeclaration] = &[InputDeclaration::one(
        "raw",
        "a folder with train.json, valid.json and test.json",
    )];

    fn outputs(_params: &Self::Params) -> Vec<OutputDeclaration> {
        split_outputs()
    }

    fn run(params: &Self::Params, context: &StageContext) -> Result<(), StageError> {
        let raw = source(context.input("raw")?);
        let read = |name: &str| read_tallrec_json(&raw.file(name), params.domain);
        let splits = Splits {
            train: read("train.json")?,
            valid: read("valid.json")?,
            test: read("test.json")?,
        };
        write_splits(
            context,
            &splits,
            &Account {
                read: splits
                    .parts()
                    .map(|(name, part)| (name, part.len()))
                    .to_vec(),
                dropped: &Tally::default(),
                asked_for: &[],
                notes: &[],
            },
        )
    }
}
