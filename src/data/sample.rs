//! The sample every system is trained and tested on: (history, target, label).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A catalogue: which kind of item is recommended.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Domain {
    /// Films (MovieLens).
    Movie,
    /// Books (Book-Crossing).
    Book,
}

/// An item as a sample shows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Item {
    /// Identifier within the domain: the MovieLens item number, the ISBN, or, where samples come
    /// from released JSON without identifiers, the text that names the item in the prompt.
    pub id: String,
    /// Title, exactly as the prompt shows it.
    pub title: String,
    /// Author of a book; films have none.
    pub maker: Option<String>,
}

/// An item with the user's verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rated {
    /// The item.
    pub item: Item,
    /// Whether the user liked it.
    pub liked: bool,
}

/// One row of a split (paper §2.1: history with feedback, target, whether the user likes it).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Position in its split, from 0. Kept through K-shot draws, so a prediction finds its sample.
    pub row: u32,
    /// The catalogue.
    pub domain: Domain,
    /// The user, if the source tells.
    pub user: Option<String>,
    /// Seconds since 1970 of the target interaction, if the source tells.
    pub time: Option<i64>,
    /// The user's past, oldest first. Released JSON keeps order only within likes and dislikes;
    /// there, likes come first.
    pub history: Vec<Rated>,
    /// What is to be judged.
    pub target: Item,
    /// Whether the user liked the target.
    pub label: bool,
    /// The three texts of the Alpaca form, byte for byte as exported.
    pub instruction: String,
    /// History and question.
    pub input: String,
    /// `Yes.` or `No.`
    pub output: String,
}
