//! `movielens`: `u.data` and `u.item` to samples.

use super::samples::{Account, source, split_outputs, write_splits};
use super::{InputDeclaration, OutputDeclaration, StageContext, StageError, StageKind};
use crate::data::movielens::{BEYOND_LIMIT, MovieLens, MovieLensOptions, NEUTRAL_DROPPED};

/// Makes film samples from MovieLens 100K.
pub struct MovieLensStage;

impl StageKind for MovieLensStage {
    type Params = MovieLensOptions;

    const NAME: &'static str = "movielens";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Makes film samples from MovieLens 100K (u.data, u.item) and cuts them 8:1:1.";
    const INPUTS: &'static [InputDeclaration] = &[InputDeclaration::one(
        "raw",
        "a folder with u.data and u.item",
    )];

    fn outputs(_params: &Self::Params) -> Vec<OutputDeclaration> {
        split_outputs()
    }

    fn check(params: &Self::Params) -> Result<(), (String, String)> {
        if params.history_length == 0 {
            return Err((
                "history_length".into(),
                "0 leaves no history; at least 1".into(),
            ));
        }
        if params.limit < 10 {
            return Err((
                "limit".into(),
                format!("{} is too few to cut 8:1:1; at least 10", params.limit),
            ));
        }
        Ok(())
    }

    fn run(params: &Self::Params, context: &StageContext) -> Result<(), StageError> {
        let raw = source(context.input("raw")?);
        let read = MovieLens::read(&raw.file("u.data"), &raw.file("u.item"))?;
        context.check_cancelled()?;
        let outcome = read.samples(*params)?;
        write_splits(
            context,
            &outcome.splits,
            &Account {
                read: vec![
                    ("items", read.titles.len()),
                    ("ratings", read.ratings.len()),
                ],
                dropped: &outcome.dropped,
                asked_for: &[BEYOND_LIMIT, NEUTRAL_DROPPED],
                notes: &[],
            },
        )
    }
}
