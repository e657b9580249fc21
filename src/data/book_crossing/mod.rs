//! Book-Crossing (`BX-Books.csv`, `BX-Book-Ratings.csv`) to samples.
//!
//! One sample a user: the user's books in a fixed shuffled order, the first ten as history, the
//! last as target. The released files attach likes and dislikes to the wrong books, because their
//! program shuffled titles and authors three times and ratings once; [`Labels`] chooses between
//! that and what was meant.

pub mod python;
pub mod raw;

use std::collections::BTreeSet;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use raw::{BookCrossing, EscapedQuotes};

use super::error::DataError;
use super::movielens::Outcome;
use super::sample::{Domain, Item, Rated, Sample};
use super::splits::Splits;
use super::tallrec_text::{self, TargetLine};
use crate::base::Random;

/// Likes are ratings above this.
const LIKE_ABOVE: u8 = 5;
/// Users with fewer books give no sample.
const FEWEST_BOOKS: usize = 4;
/// History items at most.
const HISTORY: usize = 10;

/// Why ratings are left out.
pub const UNKNOWN_ISBN: &str = "ratings of ISBNs that are not among the books";
/// Why ratings are left out.
pub const REPEATED_RATING: &str = "ratings of a book the user had rated before";
/// Why ratings are left out with [`ZeroRatings::Drop`].
pub const ZERO_DROPPED: &str = "implicit ratings (0)";
/// Why users give no sample.
pub const FEW_BOOKS: &str = "users with fewer than 4 books";

/// What a rating of 0, which says only that the user has the book, counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ZeroRatings {
    /// A dislike, as in the released code.
    #[default]
    Keep,
    /// Nothing: removed before histories are built, as the authors say they meant to.
    Drop,
}

/// Which book a like or dislike stands at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Labels {
    /// At another one, as in the released files: titles and authors are shuffled three times,
    /// ratings once. What a label says then depends (nearly) on the user alone.
    #[default]
    Permuted,
    /// At its own.
    Own,
}

/// How samples are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BookCrossingOptions {
    /// What a rating of 0 counts as.
    pub zero_ratings: ZeroRatings,
    /// Which book a like or dislike stands at.
    pub labels: Labels,
    /// How the question names the book.
    pub target_line: TargetLine,
    /// How a backslash before a quote is read.
    pub escaped_quotes: EscapedQuotes,
    /// Decides which users go to train, valid and test. The authors' split was unseeded, so none
    /// gives theirs.
    pub seed: u64,
}

impl Default for BookCrossingOptions {
    fn default() -> Self {
        Self {
            zero_ratings: ZeroRatings::default(),
            labels: Labels::default(),
            target_line: TargetLine::default(),
            escaped_quotes: EscapedQuotes::default(),
            seed: 42,
        }
    }
}

/// A user's book with its rating.
struct Owned<'a> {
    isbn: &'a str,
    rating: u8,
    /// Place of the ISBN's first appearance in the ratings file.
    appearance: usize,
}

impl BookCrossing {
    /// Makes the samples. What reading left out is part of what the outcome counts.
    ///
    /// # Errors
    /// If too few samples come out for a split.
    pub fn samples(&self, options: BookCrossingOptions) -> Result<Outcome, DataError> {
        let mut dropped = self.dropped.clone();
        let mut appearances: IndexMap<&str, usize> = IndexMap::new();
        let mut users: IndexMap<&str, Vec<Owned<'_>>> = IndexMap::new();
        // Looked up, not searched for: one user may have rated very many books.
        let mut seen: BTreeSet<(&str, &str)> = BTreeSet::new();
        for rating in &self.ratings {
            let next = appearances.len();
            let appearance = *appearances.entry(&rating.isbn).or_insert(next);
            let Some((isbn, _)) = self.books.get_key_value(rating.isbn.as_str()) else {
                dropped.count_line(UNKNOWN_ISBN, &self.ratings_name, rating.line, &rating.isbn);
                continue;
            };
            if options.zero_ratings == ZeroRatings::Drop && rating.rating == 0 {
                dropped.add(ZERO_DROPPED, 1);
                continue;
            }
            let list = users.entry(&rating.user).or_default();
            if !seen.insert((&rating.user, isbn)) {
                dropped.count_line(REPEATED_RATING, &self.ratings_name, rating.line, isbn);
                continue;
            }
            list.push(Owned {
                isbn,
                rating: rating.rating,
                appearance,
            });
        }
        let mut samples = Vec::new();
        for (user, mut list) in users {
            if list.len() < FEWEST_BOOKS {
                dropped.count(FEW_BOOKS, user);
                continue;
            }
            // The row order the released files' join gave, as far as it could be found out.
            list.sort_by_key(|owned| owned.appearance);
            samples.push(self.sample(user, &list, options));
        }
        Random::new(options.seed, "book_crossing/split").shuffle(&mut samples);
        Ok(Outcome {
            splits: Splits::cut(samples)?,
            dropped,
        })
    }

    fn sample(&self, user: &str, list: &[Owned<'_>], options: BookCrossingOptions) -> Sample {
        let ratings = python::shuffle_order(list.len());
        let titles = match options.labels {
            Labels::Own => ratings.clone(),
            Labels::Permuted => python::shuffle_order_three_times(list.len()),
        };
        let mut rated: Vec<Rated> = titles
            .into_iter()
            .zip(ratings)
            .map(|(title, rating)| Rated {
                item: self.item(list[title].isbn),
                liked: list[rating].rating > LIKE_ABOVE,
            })
            .collect();
        let last = rated.split_off(list.len() - 1);
        rated.truncate(HISTORY);
        let (target, label) = last.into_iter().next().map_or_else(
            // Never: a list of at least four has a last one.
            || (self.item(""), false),
            |rated| (rated.item, rated.liked),
        );
        Sample {
            row: 0,
            domain: Domain::Book,
            user: Some(user.to_owned()),
            time: None,
            instruction: tallrec_text::instruction(Domain::Book),
            input: tallrec_text::input(Domain::Book, &rated, &target, options.target_line),
            output: tallrec_text::answer(label).to_owned(),
            history: rated,
            target,
            label,
        }
    }

    fn item(&self, isbn: &str) -> Item {
        let (title, maker) = self
            .books
            .get(isbn)
            .map(|book| (book.title.clone(), book.author.clone()))
            .unwrap_or_default();
        Item {
            id: isbn.to_owned(),
            title,
            maker: Some(maker),
        }
    }
}
