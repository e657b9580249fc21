//! The catalogue: every item that the samples of a domain mention.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::DataError;
use super::{Domain, Item, Sample};
use crate::base::bounded;

/// An item of a catalogue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CatalogueItem {
    /// The domain.
    pub domain: Domain,
    /// The item.
    pub item: Item,
}

/// All items of some samples, histories and targets, ordered by domain and identifier. No label
/// enters it: like the item files of RecBole or the DROS repository, it says what exists, not who
/// liked it.
pub fn catalogue<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Vec<CatalogueItem> {
    let mut items: BTreeMap<(Domain, &str), &Item> = BTreeMap::new();
    for sample in samples {
        let rated = sample.history.iter().map(|rated| &rated.item);
        for item in rated.chain([&sample.target]) {
            items.entry((sample.domain, &item.id)).or_insert(item);
        }
    }
    items
        .into_iter()
        .map(|((domain, _), item)| CatalogueItem {
            domain,
            item: item.clone(),
        })
        .collect()
}

/// Reads `items.json` as a data stage writes it.
///
/// # Errors
/// If the file cannot be read or is something else.
pub fn read_catalogue(path: &Path) -> Result<Vec<CatalogueItem>, DataError> {
    let bytes =
        bounded::read(path, bounded::DATA).map_err(DataError::io("read", "the list of items"))?;
    serde_json::from_slice(&bytes).map_err(|error| DataError::Invalid {
        message: format!("the list of items cannot be read: {error}"),
        help: Some("it is the output `items` of a stage that makes samples".to_owned()),
    })
}
