//! `runner cache`: list, verify, clean.

mod gc;
mod ls;
mod verify;

use clap::{Args, Subcommand};

use super::arguments::Global;
use super::{CliError, Exit, output, runs};
use crate::artifact::{Manifest, Store};
use crate::study::shown;

/// Arguments of `runner cache`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lists what the store holds.
    Ls(ls::Arguments),
    /// Compares everything in the store with what it should be; what is damaged goes to
    /// quarantine.
    Verify(verify::Arguments),
    /// Removes artifacts no result needs: bytes of older runs and of stages in between. What was
    /// made is still remembered, so nothing that stands has to run again.
    Gc(gc::Arguments),
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, CliError> {
    let root = global.folders().store;
    if !root.join("format").exists() {
        return Err(CliError::NotThere(format!(
            "there is no store at `{}`\n  help: `runner run EXPERIMENT` makes one; --store names \
             another",
            shown(&root)
        )));
    }
    match &arguments.what {
        What::Ls(arguments) => ls::run(&Store::open_to_read(&root)?, arguments),
        What::Verify(arguments) => {
            verify::run(&Store::open_to_read(&root)?, &global.folders(), arguments)
        }
        What::Gc(arguments) => gc::run(global, arguments),
    }
}

fn manifests(store: &Store) -> Result<Vec<Manifest>, CliError> {
    let mut found = Vec::new();
    for key in store.keys()? {
        found.extend(store.manifest(key)?);
    }
    found.sort_by(|one, two| {
        one.stage
            .cmp(&two.stage)
            .then(one.made_at_ms.cmp(&two.made_at_ms))
    });
    Ok(found)
}
