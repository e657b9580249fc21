//! What the result sets on disk stand on.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::base::StageKey;
use crate::results::ResultSet;

/// The keys of the stages that measured the rows of every result set below a folder. One that
/// cannot be read names none.
#[must_use]
pub fn result_keys(results: &Path) -> BTreeSet<StageKey> {
    let folders = fs::read_dir(results).into_iter().flatten().flatten();
    let sets = folders.filter_map(|folder| {
        let path = folder.path().join("results.csv");
        let bytes = fs::read(&path).ok()?;
        ResultSet::from_csv(&path.to_string_lossy(), &bytes).ok()
    });
    sets.flat_map(|set| {
        let keys = set.rows().iter().map(|row| row.stage_key);
        keys.collect::<Vec<_>>()
    })
    .collect()
}
