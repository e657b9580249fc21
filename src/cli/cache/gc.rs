//! `runner cache gc`.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::{CliError, Exit, Global, output};
use crate::artifact::Store;
use crate::artifact::garbage::{Amount, Garbage, Removed, Wanted, Why};
use crate::base::clock;
use crate::base::limits::{self, duration};
use crate::cli::output::size;
use crate::study::result_keys;

/// So many artifacts of one reason are listed.
const SHOWN: usize = 20;

/// Arguments of `runner cache gc`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(
    after_help = "Examples:\n  runner cache gc --dry-run\n  runner cache gc --intermediates \
                  --older-than 30d\n  runner cache gc --max-size 20G\n\nWhat goes first: artifacts \
                  that no manifest names, then those of older runs, then those in\nbetween, each \
                  the oldest first. What result sets stand on stays, and so does everything\nwhile \
                  a runner uses the store. Old quarantined bytes, logs and what dead runners \
                  left\ngo, too."
)]
pub(super) struct Arguments {
    /// Only say what would be removed, and why.
    #[arg(long)]
    dry_run: bool,
    /// Also remove bytes in between that current stages made: they are made again if a stage that
    /// is not fresh needs them.
    #[arg(long)]
    intermediates: bool,
    /// Remove only what was made longer ago than this, such as 12h, 30d or 4w.
    #[arg(long, value_name = "TIME", value_parser = time)]
    older_than: Option<Duration>,
    /// Remove only until the artifacts fit into this, such as 500M or 20G; bytes in between may go
    /// for that, too.
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    max_size: Option<u64>,
    /// Also remove what result sets stand on. Tables and figures stay as they are, but making them
    /// again means running the stages again.
    #[arg(long)]
    include_results: bool,
    /// Print JSON, with everything that was removed.
    #[arg(long)]
    json: bool,
}

fn time(text: &str) -> Result<Duration, String> {
    duration(text).ok_or_else(|| "write 12h, 30d or 4w".to_owned())
}

fn bytes(text: &str) -> Result<u64, String> {
    if text.trim() == "0" {
        return Ok(0);
    }
    limits::size(text).ok_or_else(|| "write 500MB or 20G".to_owned())
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<Exit, CliError> {
    let folders = global.folders();
    let store = if arguments.dry_run {
        Store::open_to_read(&folders.store)?
    } else {
        Store::open(&folders.store)?
    };
    let wanted = Wanted {
        intermediates: arguments.intermediates,
        results: arguments.include_results,
        older_than: arguments.older_than,
        max_size: arguments.max_size,
        standing: result_keys(&folders.results),
        dry_run: arguments.dry_run,
    };
    let garbage = store.collect_garbage(&wanted)?;
    if arguments.json {
        output::json(&json!({
            "dry_run": arguments.dry_run,
            "in_use": garbage.in_use,
            "removed": garbage.artifacts.len(),
            "bytes": of(&garbage.artifacts).bytes,
            "left_bytes": garbage.left_bytes,
            "artifacts": garbage.artifacts,
            "unfinished": garbage.unfinished,
            "quarantined": garbage.quarantined,
            "logs": garbage.logs,
            "abandoned": garbage.abandoned,
        }))?;
    } else {
        output::write(as_text(arguments, &garbage).as_bytes())?;
    }
    Ok(if garbage.in_use {
        Exit::Unusable
    } else {
        Exit::Fine
    })
}

fn of(artifacts: &[Removed]) -> Amount {
    Amount {
        count: artifacts.len(),
        bytes: artifacts.iter().map(|removed| removed.bytes).sum(),
    }
}

fn told(amount: Amount) -> String {
    format!("{}, {}", amount.count, size(amount.bytes))
}

fn as_text(arguments: &Arguments, garbage: &Garbage) -> String {
    let verb = if arguments.dry_run {
        "would remove"
    } else {
        "removed"
    };
    let all = of(&garbage.artifacts);
    let mut text = format!("{verb} {} artifacts, {}\n", all.count, size(all.bytes));
    for (why, words) in [
        (Why::Unnamed, "no manifest names them"),
        (Why::OlderRun, "of older runs"),
        (Why::Intermediate, "in between"),
        (Why::Result, "results"),
    ] {
        let of_it: Vec<&Removed> = (garbage.artifacts.iter())
            .filter(|removed| removed.why == why)
            .collect();
        if of_it.is_empty() {
            continue;
        }
        let bytes = of_it.iter().map(|removed| removed.bytes).sum();
        let count = of_it.len();
        let _ = writeln!(text, "{words}: {}", told(Amount { count, bytes }));
        // What is gone is gone; before it goes somebody may want to know.
        if arguments.dry_run {
            for removed in of_it.iter().take(SHOWN) {
                let _ = writeln!(text, "  {}", line(removed));
            }
            if count > SHOWN {
                let _ = writeln!(text, "  … and {} more; --json names all", count - SHOWN);
            }
        }
    }
    for (amount, words) in [
        (garbage.unfinished, "unfinished work nobody came back to"),
        (garbage.quarantined, "old damaged bytes in quarantine"),
        (garbage.logs, "old logs"),
        (garbage.abandoned, "what dead runners left"),
    ] {
        if amount.count > 0 {
            let _ = writeln!(text, "{verb} {words}: {}", told(amount));
        }
    }
    if garbage.in_use {
        text.push_str(
            "a runner uses the store, so all artifacts stayed; run this again when it has ended \
             (`runner status` shows it)\n",
        );
    } else if let Some(most) = arguments.max_size
        && garbage.left_bytes > most
    {
        let _ = writeln!(
            text,
            "what is left has {}, more than {}: {}",
            size(garbage.left_bytes),
            size(most),
            if arguments.include_results {
                "nothing else may go"
            } else {
                "result sets stand on it; --include-results removes it as well"
            }
        );
    }
    text
}

fn line(removed: &Removed) -> String {
    let mut stages: Vec<&str> = removed.stages.iter().map(String::as_str).collect();
    stages.dedup();
    format!(
        "{} {}, made {} ago{}{}",
        removed.digest.short(),
        size(removed.bytes),
        clock::age(removed.made_at_ms),
        if stages.is_empty() { "" } else { ": " },
        stages.join(", ")
    )
}
