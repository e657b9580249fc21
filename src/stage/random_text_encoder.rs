//! `random_text_encoder`: a small BERT that has read nothing, where none can be downloaded.

use super::{InputDeclaration, OutputDeclaration, StageContext, StageError, StageKind};
use crate::data::catalogue::read_catalogue;
use crate::text_encoder::RandomEncoder;

/// Makes a small BERT with random weights, and a vocabulary of the words of some catalogues.
///
/// The folder is a genuine one: transformers loads it. The vectors it gives are not those of a
/// language model: it knows no word from another.
#[derive(Debug)]
pub struct RandomTextEncoder;

impl StageKind for RandomTextEncoder {
    type Params = RandomEncoder;

    const NAME: &'static str = "random_text_encoder";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Makes a small BERT with random weights: it knows no language, it hashes words.";
    const INPUTS: &'static [InputDeclaration] = &[InputDeclaration::many(
        "items",
        "catalogues: their words are its vocabulary",
    )];

    fn outputs(_params: &RandomEncoder) -> Vec<OutputDeclaration> {
        vec![OutputDeclaration::new("encoder", "encoder")]
    }

    fn check(params: &RandomEncoder) -> Result<(), (String, String)> {
        params.check()
    }

    fn run(params: &RandomEncoder, context: &StageContext) -> Result<(), StageError> {
        let mut texts = Vec::new();
        for part in context.inputs("items") {
            for known in read_catalogue(&part.path)? {
                texts.push(known.item.title);
                texts.extend(known.item.maker);
            }
        }
        params.write(context.output("encoder")?, texts.iter().map(String::as_str))?;
        Ok(())
    }
}
