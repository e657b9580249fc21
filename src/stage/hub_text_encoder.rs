//! `hub_text_encoder`: fetches a BERT of the Hugging Face hub and pins it to a commit.

use super::hub_backbone::{Params, fetch};
use super::language_model::REFERENCE;
use super::{InputDeclaration, OutputDeclaration, StageContext, StageError, StageKind};
use crate::text_encoder::TextEncoder;

/// Fetches a text encoder of the hub; what it makes is a small file that names the commit, as
/// [`super::hub_backbone`] does.
#[derive(Debug)]
pub struct HubTextEncoder;

impl StageKind for HubTextEncoder {
    type Params = Params;

    const NAME: &'static str = "hub_text_encoder";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Fetches a BERT of the Hugging Face hub and pins its commit.";
    const INPUTS: &'static [InputDeclaration] = &[];

    fn outputs(_params: &Params) -> Vec<OutputDeclaration> {
        vec![OutputDeclaration::new("encoder", REFERENCE)]
    }

    fn run(params: &Params, context: &StageContext) -> Result<(), StageError> {
        fetch(params, context, "encoder", |folder| {
            TextEncoder::open(folder)?;
            Ok(())
        })
    }
}
