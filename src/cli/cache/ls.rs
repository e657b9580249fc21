//! `runner cache ls`.

use std::fmt::Write as _;

use clap::Args;

use super::{CliError, Exit, manifests, output, runs};
use crate::artifact::{Manifest, Store};
use crate::base::clock;
use crate::cli::output::size;

/// Arguments of `runner cache ls`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only stages whose id contains this.
    #[arg(value_name = "TEXT", default_value = "")]
    filter: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(store: &Store, arguments: &Arguments) -> Result<Exit, CliError> {
    let manifests: Vec<Manifest> = manifests(store)?
        .into_iter()
        .filter(|manifest| manifest.stage.contains(&arguments.filter))
        .collect();
    if arguments.json {
        output::json(&manifests)?;
        return Ok(Exit::Fine);
    }
    let mut rows = vec![
        ["key", "kind", "bytes", "made in", "age", "stage"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut total = 0;
    for manifest in &manifests {
        let bytes: u64 = manifest.outputs.iter().map(|output| output.bytes).sum();
        let evicted = manifest
            .outputs
            .iter()
            .any(|output| !store.has_artifact(output));
        total += bytes;
        rows.push(vec![
            manifest.key.short(),
            manifest.material.kind.clone(),
            if evicted {
                format!("{} (removed)", size(bytes))
            } else {
                size(bytes)
            },
            runs::time(manifest.wall_s),
            clock::age(manifest.made_at_ms),
            manifest.stage.clone(),
        ]);
    }
    let mut text = output::columns(&rows);
    let _ = writeln!(text, "{} stages, {}", manifests.len(), size(total));
    output::write(text.as_bytes())?;
    Ok(Exit::Fine)
}
