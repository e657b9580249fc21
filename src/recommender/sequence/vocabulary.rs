//! Items to numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::data::catalogue::CatalogueItem;
use crate::data::{Domain, Item, Sample};
use crate::recommender::RecommenderError;
use crate::recommender::error::{read_json, write_json};

/// The items a model has an embedding for, numbered from 1 in the order of their keys.
///
/// The field's code (DROS, RecBole) gives every item of a catalogue known beforehand a row; rows
/// that no training sample touches keep their initial values and decay with L2. So does this.
/// Items of the samples that the catalogue lacks are added. Number 0 is *unknown*: an item met
/// only at scoring, of another domain for instance, shares its row with all others like it. How
/// often that happens is counted and reported.
#[derive(Debug, Clone, PartialEq)]
pub struct Vocabulary {
    numbers: BTreeMap<String, u32>,
}

/// The number of items outside the vocabulary.
pub const UNKNOWN: u32 = 0;

/// What identifies an item across catalogues: `movie/318`, `book/0156027321`.
#[must_use]
pub fn item_key(domain: Domain, item: &Item) -> String {
    let domain = match domain {
        Domain::Movie => "movie",
        Domain::Book => "book",
    };
    format!("{domain}/{}", item.id)
}

impl Vocabulary {
    /// Numbers all items of a catalogue and of some samples.
    pub fn of<'a>(
        catalogue: &[CatalogueItem],
        samples: impl IntoIterator<Item = &'a Sample>,
    ) -> Self {
        let mut keys: BTreeSet<String> = catalogue
            .iter()
            .map(|known| item_key(known.domain, &known.item))
            .collect();
        for sample in samples {
            keys.insert(item_key(sample.domain, &sample.target));
            for rated in &sample.history {
                keys.insert(item_key(sample.domain, &rated.item));
            }
        }
        Self::numbered(keys)
    }

    fn numbered(keys: impl IntoIterator<Item = String>) -> Self {
        Self {
            numbers: keys.into_iter().zip(1..).collect(),
        }
    }

    /// Rows an embedding needs: all items and *unknown*.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.numbers.len() + 1
    }

    /// The items' keys in the order of their numbers, from 1 on.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.numbers.keys().map(String::as_str)
    }

    /// The number of an item, [`UNKNOWN`] if it has none.
    #[must_use]
    pub fn number(&self, domain: Domain, item: &Item) -> u32 {
        self.numbers
            .get(&item_key(domain, item))
            .copied()
            .unwrap_or(UNKNOWN)
    }

    /// Writes `items.json`: keys in the order of their numbers.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), RecommenderError> {
        let keys: Vec<&String> = self.numbers.keys().collect();
        write_json(&folder.join("items.json"), &keys)
    }

    /// Reads `items.json`.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn load(folder: &Path) -> Result<Self, RecommenderError> {
        let keys: Vec<String> = read_json(&folder.join("items.json"))?;
        Ok(Self::numbered(keys))
    }
}
