//! A small world, made from a seed, in the raw formats of the real data sets.
//!
//! Nobody may pass on MovieLens or Book-Crossing files, so quickstart and tests use this. Whether
//! somebody likes something depends on the person's leniency (which shows in the share of likes),
//! on the match of the thing's genres with the person's tastes (which shows in titles, as every
//! genre has its own words), on the maker, and on what everybody thinks of it. So trivial scores
//! get somewhere, and learning can get further.

mod book;
mod instructions;
mod movie;
mod tales;
mod words;
mod world;

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::tales::{Phase, TalesOptions, write_tales};

use self::world::{Size, World};
use super::error::DataError;
use super::source::to_latin1;

/// How large the world is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SyntheticOptions {
    /// Decides everything.
    pub seed: u64,
    /// People who rate films.
    pub movie_users: usize,
    /// Films.
    pub movie_items: usize,
    /// Films a person rates on average; 12 at least.
    pub movie_ratings_per_user: usize,
    /// People who rate books. Every one gives a single sample.
    pub book_users: usize,
    /// Books.
    pub book_items: usize,
    /// Books a person rates on average; 4 at least.
    pub book_ratings_per_user: usize,
    /// Instruction records.
    pub instructions: usize,
}

impl Default for SyntheticOptions {
    fn default() -> Self {
        Self {
            seed: 1,
            movie_users: 160,
            movie_items: 240,
            movie_ratings_per_user: 28,
            book_users: 2600,
            book_items: 500,
            book_ratings_per_user: 11,
            instructions: 400,
        }
    }
}

/// The fewest films and books a person rates.
const FEWEST: (usize, usize) = (12, 4);

impl SyntheticOptions {
    /// Checks what makes a world possible.
    ///
    /// # Errors
    /// The field and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let least = [
            ("movie_users", self.movie_users, 10),
            ("movie_items", self.movie_items, 30),
            (
                "movie_ratings_per_user",
                self.movie_ratings_per_user,
                FEWEST.0,
            ),
            ("book_users", self.book_users, 10),
            ("book_items", self.book_items, 30),
            (
                "book_ratings_per_user",
                self.book_ratings_per_user,
                FEWEST.1,
            ),
            ("instructions", self.instructions, 1),
        ];
        for (field, value, least) in least {
            if value < least {
                return Err((
                    field,
                    format!("{value} is too few, {least} at least are needed"),
                ));
            }
        }
        for (field, items) in [
            ("movie_items", self.movie_items),
            ("book_items", self.book_items),
        ] {
            if items > 900_000 {
                return Err((field, format!("{items} is too many, 900000 at most")));
            }
        }
        Ok(())
    }
}

/// Writes `u.data`, `u.item`, `u.user`, `u.genre` into a folder, which is made if need be.
///
/// # Errors
/// If a file cannot be written.
pub fn write_movie(folder: &Path, options: &SyntheticOptions) -> Result<(), DataError> {
    make(folder)?;
    let size = Size {
        people: options.movie_users,
        things: options.movie_items,
        fewest: FEWEST.0,
        average: options.movie_ratings_per_user,
    };
    movie::write(folder, &World::new(options.seed, "movie", size), options)
}

/// Writes `BX-Books.csv`, `BX-Book-Ratings.csv` into a folder, which is made if need be.
///
/// # Errors
/// If a file cannot be written.
pub fn write_book(folder: &Path, options: &SyntheticOptions) -> Result<(), DataError> {
    make(folder)?;
    let size = Size {
        people: options.book_users,
        things: options.book_items,
        fewest: FEWEST.1,
        average: options.book_ratings_per_user,
    };
    book::write(
        folder,
        &World::new(options.seed, "book", size),
        options.seed,
    )
}

/// Writes instruction records in the Alpaca form.
///
/// # Errors
/// If the file cannot be written.
pub fn write_instructions(path: &Path, options: &SyntheticOptions) -> Result<(), DataError> {
    let name = path.display().to_string();
    let file = File::create(path).map_err(DataError::io("create", &*name))?;
    instructions::write(BufWriter::new(file), options.instructions, options.seed)
        .map_err(DataError::io("write", name))
}

fn make(folder: &Path) -> Result<(), DataError> {
    fs::create_dir_all(folder).map_err(DataError::io("create", folder.display().to_string()))
}

fn write_latin1(path: &Path, text: &str) -> Result<(), DataError> {
    let name = path.display().to_string();
    let bytes = to_latin1(text).ok_or_else(|| {
        DataError::invalid(format!("`{name}` would hold letters that latin-1 lacks"))
    })?;
    fs::write(path, bytes).map_err(DataError::io("write", name))
}
