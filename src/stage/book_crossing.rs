//! `book_crossing`: `BX-Books.csv` and `BX-Book-Ratings.csv` to samples.

use super::samples::{Account, source, split_outputs, write_splits};
use super::{InputDeclaration, OutputDeclaration, StageContext, StageError, StageKind};
use crate::data::book_crossing::{BookCrossing, BookCrossingOptions, ZERO_DROPPED};

/// Makes book samples from Book-Crossing.
pub struct BookCrossingStage;

impl StageKind for BookCrossingStage {
    type Params = BookCrossingOptions;

    const NAME: &'static str = "book_crossing";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Makes book samples from Book-Crossing (BX CSV files), split by user 8:1:1.";
    const INPUTS: &'static [InputDeclaration] = &[InputDeclaration::one(
        "raw",
        "a folder with BX-Books.csv and BX-Book-Ratings.csv",
    )];

    fn outputs(_params: &Self::Params) -> Vec<OutputDeclaration> {
        split_outputs()
    }

    fn run(params: &Self::Params, context: &StageContext) -> Result<(), StageError> {
        let raw = source(context.input("raw")?);
        let read = BookCrossing::read(
            &raw.file("BX-Books.csv"),
            &raw.file("BX-Book-Ratings.csv"),
            params.escaped_quotes,
        )?;
        context.check_cancelled()?;
        let outcome = read.samples(*params)?;
        write_splits(
            context,
            &outcome.splits,
            &Account {
                read: vec![("books", read.books.len()), ("ratings", read.ratings.len())],
                dropped: &outcome.dropped,
                asked_for: &[ZERO_DROPPED],
                notes: &read.notes,
            },
        )
    }
}
