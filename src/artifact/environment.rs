//! With what a stage was made: for people who ask why two numbers differ. Nothing of it is in a key.

use std::collections::BTreeMap;
use std::fs;
use std::sync::OnceLock;

/// Program version, commit of the project that is worked in, system and processor. Looked up once.
pub(super) fn environment() -> BTreeMap<String, String> {
    static FOUND: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            let found = [
                ("runner", Some(env!("CARGO_PKG_VERSION").to_owned())),
                ("system", Some(std::env::consts::OS.to_owned())),
                ("processor", Some(processor())),
                ("commit", commit()),
            ];
            found
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                .collect()
        })
        .clone()
}

/// The commit that is checked out here, if this is a repository with one.
fn commit() -> Option<String> {
    let here = std::env::current_dir().ok()?;
    let repository = gix::discover(here).ok()?;
    let head = repository.head_id().ok()?;
    Some(head.to_string())
}

/// The processor's own name where the system tells it, else its architecture.
#[must_use]
pub fn processor() -> String {
    let told = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = told
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim() == "model name")
        .map(|(_, name)| name.trim().to_owned());
    name.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}
