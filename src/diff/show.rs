//! A diff as Markdown, which also reads well in a terminal and fits into a pull request.

use super::cells::{CellDiff, ExperimentDiff, Outcome, ResultDiff};
use crate::report::markdown::MarkdownTable;
use crate::report::words;
use crate::results::metric;

/// The text of a diff, ending in a newline.
#[must_use]
pub fn markdown(diff: &ResultDiff) -> String {
    let mut blocks = vec![format!("# {} → {}", diff.old, diff.new), summary(diff)];
    for experiment in &diff.experiments {
        if !experiment.cells.is_empty()
            || experiment.changes.as_ref().is_some_and(|c| !c.is_empty())
        {
            blocks.extend(section(experiment));
        }
    }
    if diff.comparisons > 0 {
        blocks.push(format!(
            "Difference: new less old over the seeds that both have, with its 95 % interval; p: \
             paired t-test over seeds, two-sided, Holm-corrected over {}; better or worse means \
             p < {}.",
            words::count(diff.comparisons, "changed cell"),
            diff.alpha
        ));
    }
    blocks.join("\n\n") + "\n"
}

fn summary(diff: &ResultDiff) -> String {
    let same: usize = diff.experiments.iter().map(|one| one.same).sum();
    let counts: Vec<String> = [
        Outcome::Better,
        Outcome::Worse,
        Outcome::NotToldApart,
        Outcome::CannotSay,
        Outcome::Appeared,
        Outcome::Vanished,
        Outcome::Same,
    ]
    .into_iter()
    .filter_map(|outcome| {
        let count = diff.count(outcome);
        let said = match outcome {
            Outcome::Same => "same numbers from other inputs".to_owned(),
            other => other.to_string(),
        };
        (count > 0).then(|| format!("{count} {said}"))
    })
    .collect();
    if counts.is_empty() {
        format!("Nothing changed: {} the same.", words::count(same, "cell"))
    } else {
        format!(
            "{}; {} unchanged.",
            counts.join(", "),
            words::count(same, "cell")
        )
    }
}

fn section(experiment: &ExperimentDiff) -> Vec<String> {
    let mut blocks = vec![format!("## {}", experiment.name)];
    if !experiment.cells.is_empty() {
        let mut table =
            MarkdownTable::of_texts(&["cell", "old", "new", "difference", "p", "verdict"]);
        for cell in &experiment.cells {
            table.row(row(cell));
        }
        blocks.push(table.render().trim_end().to_owned());
    }
    blocks.push("Why it may differ:".to_owned());
    blocks.push(match &experiment.changes {
        None => "- one side has no provenance.json, so nothing is known about its parameters, \
                 code and data"
            .to_owned(),
        Some(changes) if changes.is_empty() => "- program, parameters, data and fidelity are the \
                                                same"
            .to_owned(),
        Some(changes) => changes
            .iter()
            .map(|change| {
                let side = |value: &Option<String>| {
                    value
                        .as_deref()
                        .map_or_else(|| "nothing".to_owned(), |v| format!("`{v}`"))
                };
                format!(
                    "- {}: {} → {}",
                    change.what,
                    side(&change.old),
                    side(&change.new)
                )
            })
            .collect::<Vec<_>>()
            .join("\n"),
    });
    blocks
}

fn row(cell: &CellDiff) -> Vec<String> {
    let style = metric::style(&cell.metric);
    let show = |value: Option<f64>| value.map_or_else(|| "—".to_owned(), |value| style.show(value));
    let signed = |value: f64| format!("{:+.*}", style.digits, value * style.scale);
    let place = format!(
        "{} of {}, {} → {}, {}, {}",
        style.heading(&cell.metric),
        cell.system,
        cell.train_domain,
        cell.test_domain,
        words::shots(cell.k),
        cell.split
    );
    let difference = match (cell.difference, cell.interval) {
        (Some(difference), Some(interval)) => format!(
            "{} [{}, {}]",
            signed(difference),
            signed(interval.low),
            signed(interval.high)
        ),
        (Some(difference), None) => signed(difference),
        (None, _) => "—".to_owned(),
    };
    let verdict = match &cell.note {
        Some(note) => format!("{} ({note})", cell.outcome),
        None => cell.outcome.to_string(),
    };
    let p = cell.p.map_or_else(|| "—".to_owned(), words::p_value);
    vec![
        place,
        show(cell.old),
        show(cell.new),
        difference,
        p.trim_start_matches("p = ").to_owned(),
        verdict,
    ]
}
