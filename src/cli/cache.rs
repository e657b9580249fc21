//! `runner cache`: list, verify, clean.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::arguments::Global;
use super::{CliError, Exit, output};
use crate::artifact::{ArtifactState, Manifest, Store, store};
use crate::base::{Digest, clock};

/// Arguments of `runner cache`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lists what the store holds.
    Ls {
        /// Only stages whose id contains this.
        #[arg(value_name = "TEXT", default_value = "")]
        filter: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Compares every artifact's bytes with its digest; damaged ones go to quarantine.
    Verify {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Removes artifacts no result needs: bytes of older runs and of stages in between. What was
    /// made is still remembered, so nothing that stands has to run again.
    Gc {
        /// Only say what would be removed.
        #[arg(long)]
        dry_run: bool,
        /// Also remove bytes in between that current stages made: they are made again if a stage
        /// that is not fresh needs them.
        #[arg(long)]
        intermediates: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, CliError> {
    let store = Store::open(&global.folders().store)?;
    match &arguments.what {
        What::Ls { filter, json } => list(&store, filter, *json),
        What::Verify { json } => verify(&store, *json),
        What::Gc {
            dry_run,
            intermediates,
            json,
        } => collect_garbage(&store, *dry_run, *intermediates, *json),
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

fn list(store: &Store, filter: &str, as_json: bool) -> Result<Exit, CliError> {
    let manifests: Vec<Manifest> = manifests(store)?
        .into_iter()
        .filter(|manifest| manifest.stage.contains(filter))
        .collect();
    if as_json {
        output::json(&manifests)?;
        return Ok(Exit::Fine);
    }
    let mut rows = vec![
        ["key", "kind", "bytes", "made in", "age", "stage"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut total = 0;
    let now = clock::unix_milliseconds();
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
            clock::human(Duration::from_secs_f64(manifest.wall_s)),
            clock::human(Duration::from_millis(
                now.saturating_sub(manifest.made_at_ms),
            )),
            manifest.stage.clone(),
        ]);
    }
    let mut text = output::columns(&rows);
    let _ = writeln!(text, "{} stages, {}", manifests.len(), size(total));
    output::write(text.as_bytes())?;
    Ok(Exit::Fine)
}

fn verify(store: &Store, as_json: bool) -> Result<Exit, CliError> {
    let mut users: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
    for manifest in manifests(store)? {
        for output in &manifest.outputs {
            users
                .entry(output.digest)
                .or_default()
                .push(format!("{}/{}", manifest.stage, output.name));
        }
    }
    let artifacts = store.artifacts()?;
    let mut damaged = Vec::new();
    for (digest, _) in &artifacts {
        if store.check_artifact(*digest)? == ArtifactState::Corrupt {
            let moved = store.quarantine(*digest)?;
            let stages = users.get(digest).cloned().unwrap_or_default();
            damaged.push((digest.short(), stages, moved.display().to_string()));
        }
    }
    if as_json {
        output::json(&json!({
            "artifacts": artifacts.len(),
            "damaged": damaged.iter().map(|(digest, stages, moved)| {
                json!({"digest": digest, "stages": stages, "moved_to": moved})
            }).collect::<Vec<_>>(),
        }))?;
    } else {
        let mut text = format!(
            "{} artifacts checked, {} damaged\n",
            artifacts.len(),
            damaged.len()
        );
        for (digest, stages, moved) in &damaged {
            let _ = writeln!(
                text,
                "  {digest} of {} → {moved}",
                if stages.is_empty() {
                    "no stage".to_owned()
                } else {
                    stages.join(", ")
                }
            );
        }
        if !damaged.is_empty() {
            text.push_str("they are made again when something needs them\n");
        }
        output::write(text.as_bytes())?;
    }
    Ok(if damaged.is_empty() {
        Exit::Fine
    } else {
        Exit::Unusable
    })
}

/// What stands: the newest run of every stage id. Of those, artifacts that no other stage of the
/// store reads are results; the rest lie in between.
fn collect_garbage(
    store: &Store,
    dry_run: bool,
    intermediates: bool,
    as_json: bool,
) -> Result<Exit, CliError> {
    let mut newest: BTreeMap<String, Manifest> = BTreeMap::new();
    for manifest in manifests(store)? {
        newest.insert(manifest.stage.clone(), manifest);
    }
    // Stages are shared across experiments under the id that first made them, so what any
    // experiment remembers as its last key stands as well.
    for key in store.remembered_keys() {
        if let Some(manifest) = store.manifest(key)? {
            newest.insert(key.hex(), manifest);
        }
    }
    let mut keep: BTreeSet<Digest> = newest
        .values()
        .flat_map(|manifest| &manifest.outputs)
        .map(|output| output.digest)
        .collect();
    if intermediates {
        let read: BTreeSet<Digest> = newest
            .values()
            .flat_map(|manifest| manifest.material.inputs.values().flatten())
            .map(|input| input.digest)
            .collect();
        // A stage that any other reads from lies in between with all it made.
        let ends: BTreeSet<Digest> = newest
            .values()
            .filter(|manifest| {
                !manifest
                    .outputs
                    .iter()
                    .any(|output| read.contains(&output.digest))
                    || manifest
                        .outputs
                        .iter()
                        .all(|output| output.bytes < store::SMALL)
            })
            .flat_map(|manifest| &manifest.outputs)
            .map(|output| output.digest)
            .collect();
        keep = ends;
        // Choices and audits are small and told in every report.
        keep.extend(
            newest
                .values()
                .flat_map(|manifest| &manifest.outputs)
                .filter(|output| output.bytes < store::SMALL)
                .map(|output| output.digest),
        );
    }
    let (count, bytes) = store.remove_artifacts_except(&keep, dry_run)?;
    let (partials, partial_bytes) = store.remove_old_partials(dry_run);
    if !dry_run {
        store.sweep();
    }
    if as_json {
        output::json(&json!({
            "removed": count,
            "unfinished": partials,
            "bytes": bytes + partial_bytes,
            "dry_run": dry_run,
        }))?;
    } else {
        output::line(&format!(
            "{} {count} artifacts{}, {}",
            if dry_run { "would remove" } else { "removed" },
            match partials {
                0 => String::new(),
                partials => format!(" and unfinished work of {partials} stages"),
            },
            size(bytes + partial_bytes)
        ))?;
    }
    Ok(Exit::Fine)
}

fn size(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} B"),
        10_000..=9_999_999 => format!("{:.1} kB", bytes as f64 / 1e3),
        10_000_000..=9_999_999_999 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_read_well() {
        assert_eq!(super::size(512), "512 B");
        assert_eq!(super::size(12_345), "12.3 kB");
        assert_eq!(super::size(12_345_678), "12.3 MB");
        assert_eq!(super::size(13_500_000_000), "13.5 GB");
    }
}
