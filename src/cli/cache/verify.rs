//! `runner cache verify`.

use std::fmt::Write as _;

use clap::Args;
use serde_json::json;

use super::{CliError, Exit, output, runs};
use crate::api::Checked;
use crate::artifact::Store;
use crate::artifact::verify::{Finding, FindingKind, Verification};
use crate::cli::output::size;
use crate::reporter::{JournalFile, KnownRun};
use crate::study::{Folders, shown};

/// So many findings of one kind are shown.
const SHOWN: usize = 20;

/// Arguments of `runner cache verify`.
#[derive(Debug, Args)]
#[command(
    after_help = "Every artifact's bytes are compared with its digest, every manifest with its key and its \
                  seal.\nWhat is damaged is moved to the store's quarantine/ and made again when \
                  something needs it.\nThe exit code is 30 if something is damaged or lost."
)]
pub(super) struct Arguments {
    /// Print JSON, with everything that was found.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(
    store: &Store,
    folders: &Folders,
    arguments: &Arguments,
) -> Result<Exit, CliError> {
    let found = store.verify()?;
    let mut journals = Vec::new();
    for journal in JournalFile::list(&folders.runs()) {
        let run = runs::read(journal)?;
        if run.unread_lines() > 0 {
            journals.push(run);
        }
    }
    let answers = crate::api::check_folder(&store.answers_folder())
        .map_err(|error| CliError::NotThere(error.to_string()))?;
    let damaged_answers: usize = answers.iter().map(|file| file.damaged).sum();
    let damaged = found
        .findings
        .iter()
        .filter(|finding| finding.is_damage())
        .count();
    if arguments.json {
        let of = |kind: FindingKind| -> Vec<&Finding> {
            let all = found.findings.iter();
            all.filter(|finding| finding.kind == kind).collect()
        };
        let all_damaged: Vec<&Finding> = (found.findings.iter())
            .filter(|finding| finding.is_damage())
            .collect();
        output::json(&json!({
            "manifests": found.manifests,
            "artifacts": found.artifacts,
            "bytes": found.bytes,
            "damaged": all_damaged,
            "removed": of(FindingKind::Removed),
            "missing": of(FindingKind::Missing),
            "unnamed": of(FindingKind::Unnamed),
            "foreign": of(FindingKind::Foreign),
            "memory": of(FindingKind::Memory),
            "answers": answers,
            "journals": journals.iter().map(|run| json!({
                "run": run.journal.run(), "path": run.journal.path,
                "unread_lines": run.unread_lines(),
            })).collect::<Vec<_>>(),
        }))?;
    } else {
        let mut text = as_text(&found, &journals, damaged);
        text.push_str(&answers_as_text(&answers));
        output::write(text.as_bytes())?;
    }
    Ok(if damaged + damaged_answers == 0 {
        Exit::Fine
    } else {
        Exit::Unusable
    })
}

/// Answers of models by API that are kept.
fn answers_as_text(files: &[Checked]) -> String {
    if files.is_empty() {
        return String::new();
    }
    let (mut kept, mut bytes) = (0, 0);
    let mut text = String::new();
    for file in files {
        kept += file.answers;
        bytes += file.bytes;
        if file.damaged > 0 {
            let _ = writeln!(
                text,
                "{}: {} damaged lines; what they answered is asked again",
                shown(&file.path),
                file.damaged
            );
        }
    }
    format!(
        "{kept} answers of models by API ({}) are kept until you remove them\n{text}",
        size(bytes)
    )
}

fn as_text(found: &Verification, journals: &[KnownRun], damaged: usize) -> String {
    let mut text = format!(
        "{} manifests and {} artifacts ({}) checked, {damaged} damaged\n",
        found.manifests,
        found.artifacts,
        size(found.bytes)
    );
    let heads = [
        (FindingKind::Artifact, "damaged artifacts"),
        (FindingKind::Manifest, "damaged manifests"),
        (FindingKind::Lost, "lost artifacts"),
        (FindingKind::Missing, "artifacts that are not there"),
        (FindingKind::Unnamed, "artifacts that no manifest names"),
        (FindingKind::Foreign, "files that are not of the store"),
        (FindingKind::Memory, "damaged memory"),
    ];
    for (kind, head) in heads {
        let all = found.findings.iter();
        let of_kind: Vec<&Finding> = all.filter(|finding| finding.kind == kind).collect();
        if of_kind.is_empty() {
            continue;
        }
        let _ = writeln!(text, "{head}:");
        for finding in of_kind.iter().take(SHOWN) {
            let _ = writeln!(text, "  {}", line(finding));
        }
        if of_kind.len() > SHOWN {
            let more = of_kind.len() - SHOWN;
            let _ = writeln!(text, "  … and {more} more; --json names all");
        }
    }
    for run in journals {
        let _ = writeln!(
            text,
            "journal of {}: {}",
            run.journal.run(),
            runs::unread_lines(run.unread_lines())
        );
    }
    let removed = found.findings.iter();
    let removed = removed.filter(|finding| finding.kind == FindingKind::Removed);
    match removed.count() {
        0 => {}
        count => {
            let _ = writeln!(
                text,
                "{count} artifacts were removed by `runner cache gc`; they are made again when \
                 something needs them"
            );
        }
    }
    if damaged > 0 {
        text.push_str(
            "what is damaged or lost is made again by `runner run` when something needs it; a \
             stage whose manifest is damaged runs again\n",
        );
    }
    let mut findings = found.findings.iter();
    if let Some(reason) = findings.find_map(|finding| finding.not_moved.as_ref()) {
        let _ = writeln!(
            text,
            "what is damaged could not be moved to quarantine ({reason}); make the store writable \
             and verify it again"
        );
    }
    text
}

/// `3f2a… of train@i=b/out: its bytes were changed → .runner/store/quarantine/…`.
fn line(finding: &Finding) -> String {
    let mut text = match finding.digest {
        Some(digest) => digest.short(),
        None => shown(&finding.path),
    };
    if !finding.stages.is_empty() {
        let _ = write!(text, " of {}", finding.stages.join(", "));
    }
    let _ = write!(text, ": {}", finding.what);
    if let Some(moved) = &finding.moved_to {
        let _ = write!(text, " → {}", shown(moved));
    }
    text
}
