//! `synthetic`: a small world in the raw formats of the real data sets.

use super::{InputDeclaration, OutputDeclaration, StageContext, StageError, StageKind};
use crate::data::synthetic::{self, SyntheticOptions};

/// Makes a small world of films, books and instructions.
pub struct SyntheticStage;

impl StageKind for SyntheticStage {
    type Params = SyntheticOptions;

    const NAME: &'static str = "synthetic";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Makes a small seeded world of films, books and instructions in the real raw formats.";
    const INPUTS: &'static [InputDeclaration] = &[];

    fn outputs(_params: &Self::Params) -> Vec<OutputDeclaration> {
        vec![
            OutputDeclaration::new("movie", "movie"),
            OutputDeclaration::new("book", "book"),
            OutputDeclaration::new("alpaca", "alpaca.json"),
        ]
    }

    fn check(params: &Self::Params) -> Result<(), (String, String)> {
        params
            .check()
            .map_err(|(field, message)| (field.to_owned(), message))
    }

    fn run(params: &Self::Params, context: &StageContext) -> Result<(), StageError> {
        synthetic::write_movie(context.output("movie")?, params)?;
        context.check_cancelled()?;
        synthetic::write_book(context.output("book")?, params)?;
        context.check_cancelled()?;
        synthetic::write_instructions(context.output("alpaca")?, params)?;
        Ok(())
    }
}
