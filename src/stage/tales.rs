//! `tales`: the corpus a small language model is pretrained on.

use super::{InputDeclaration, OutputDeclaration, StageContext, StageError, StageKind};
use crate::data::synthetic::{TalesOptions, write_tales};

/// Tells tales of the small world, easy ones first.
pub struct Tales;

impl StageKind for Tales {
    type Params = TalesOptions;

    const NAME: &'static str = "tales";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Tells tales of the small synthetic world: a text corpus in phases, easy ones first.";
    const INPUTS: &'static [InputDeclaration] = &[];

    fn outputs(_params: &Self::Params) -> Vec<OutputDeclaration> {
        vec![
            OutputDeclaration::new("corpus", "corpus.jsonl"),
            OutputDeclaration::new("probe", "probe.jsonl"),
        ]
    }

    fn check(params: &Self::Params) -> Result<(), (String, String)> {
        params.check()
    }

    fn run(params: &Self::Params, context: &StageContext) -> Result<(), StageError> {
        write_tales(context.output("corpus")?, context.output("probe")?, params)?;
        Ok(())
    }
}
