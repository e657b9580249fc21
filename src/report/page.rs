//! The page of an experiment, `report.md`: words first, then tables, figures, data, choices and
//! where the numbers come from.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::audit;
use super::error::ReportError;
use super::input::ReportInput;
use super::markdown::{MarkdownTable, one_line};
use super::table::missing_lines;
use super::template;
use super::view::{MAIN_METRIC, Pair, View, is_better};
use super::words;
use super::write::{MadeFigure, MadeTable};
use crate::results::natural::natural;
use crate::results::{Group, System, metric};

const TEMPLATE: &str = include_str!("../../templates/report/report.md");

/// Writes the page.
///
/// # Errors
/// [`ReportError::Template`] if the template fails, which is a mistake in the program.
pub fn render(
    input: &ReportInput<'_>,
    tables: &[MadeTable],
    figures: &[MadeFigure],
) -> Result<String, ReportError> {
    let tables = tables
        .iter()
        .map(|table| json!({"name": table.name, "markdown": deepen(table.markdown.trim_end())}));
    let figures = figures.iter().map(|figure| {
        let not_drawn = figure.drawn.as_ref().err().map(|reason| one_line(reason));
        json!({"name": figure.name, "summary": figure.summary, "not_drawn": not_drawn})
    });
    let sections = sections(input).into_iter();
    let sections = sections.map(|(title, body)| json!({"title": title, "body": body.join("\n\n")}));
    let values = json!({
        "experiment": one_line(&input.experiment), "description": input.description.trim(),
        "summary": summary(input).join("\n\n"), "tables": tables.collect::<Vec<_>>(),
        "figures": figures.collect::<Vec<_>>(), "sections": sections.collect::<Vec<_>>(),
    });
    template::render("report.md", TEMPLATE, values)
}

/// What stands below tables and figures: titles and blocks.
pub(super) fn sections(input: &ReportInput<'_>) -> Vec<(&'static str, Vec<String>)> {
    let mut sections = vec![
        ("Data", data(input)),
        ("Choices by search", choices(input)),
        (
            "Fidelity",
            pairs_of_texts(["key", "value"], &input.fidelity),
        ),
        ("Provenance", provenance(input)),
    ];
    sections.retain(|(_, blocks)| !blocks.is_empty());
    sections
}

/// Puts the headings of a table one level deeper, under the page's own.
pub(super) fn deepen(markdown: &str) -> String {
    markdown
        .lines()
        .map(|line| {
            if line.starts_with("##") {
                format!("#{line}")
            } else {
                line.to_owned()
            }
        })
        .collect::<Vec<_>>()
        .join("\n")
}

pub(super) fn summary(input: &ReportInput<'_>) -> Vec<String> {
    let view = View::new(input, "test");
    if view.is_empty() {
        let mut blocks = vec!["No result on the test split yet.".to_owned()];
        blocks.extend(missing_lines(input));
        return blocks;
    }
    let mut blocks = vec!["What was run:".to_owned(), list(&what_was_run(&view))];
    for pair in view.pairs() {
        let lines = what_came_out(&view, &pair);
        if !lines.is_empty() {
            blocks.push(format!(
                "What came out, {pair} ({}, mean over seeds; in brackets the distance to the \
                 best trivial baseline at the same K):",
                metric::style(MAIN_METRIC).heading(MAIN_METRIC)
            ));
            blocks.push(list(&lines));
        }
    }
    blocks.push("What to doubt:".to_owned());
    blocks.push(list(&what_to_doubt(input, &view)));
    blocks
}

fn what_was_run(view: &View) -> Vec<String> {
    let mut systems: BTreeSet<System> = BTreeSet::new();
    let mut shots: BTreeSet<Option<u64>> = BTreeSet::new();
    let mut seeds: BTreeSet<u64> = BTreeSet::new();
    let mut rows: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (cell, summary) in view.cells() {
        systems.insert(cell.system.clone());
        // A yardstick without K is no zero-shot experiment.
        if cell.k.is_some() || cell.system.group() == Group::System {
            shots.insert(cell.k);
        }
        seeds.extend(&summary.seeds);
        // Other metrics may count users, or only the rows they are defined on.
        if cell.metric == MAIN_METRIC {
            let entry = rows.entry(&cell.test_domain).or_insert(summary.n);
            *entry = (entry.0.min(summary.n.0), entry.1.max(summary.n.1));
        }
    }
    let of_group = |group: Group| -> Vec<String> {
        systems
            .iter()
            .filter(|system| system.group() == group)
            .map(ToString::to_string)
            .collect()
    };
    let named = |names: &[String]| {
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    };
    let pairs: Vec<String> = view.pairs().iter().map(ToString::to_string).collect();
    let mut domains: Vec<String> = view.pairs().into_iter().map(|pair| pair.test).collect();
    domains.dedup();
    let rows: Vec<String> = domains
        .iter()
        .filter_map(|domain| {
            let (least, most) = rows.get(domain.as_str())?;
            Some(format!("{domain} {}", words::range(least, most)))
        })
        .collect();
    let seeds: Vec<String> = seeds.iter().map(ToString::to_string).collect();
    let shots: Vec<Option<u64>> = shots.into_iter().collect();
    vec![
        format!("systems: {}", named(&of_group(Group::System))),
        format!("trivial baselines: {}", named(&of_group(Group::Trivial))),
        format!("trained → tested: {}", pairs.join("; ")),
        format!("training samples: {}", words::all_shots(&shots)),
        format!("seeds: {} ({})", seeds.len(), seeds.join(", ")),
        format!("rows of the test split: {}", rows.join("; ")),
    ]
}

/// One line for the best trivial baseline and one for each system.
fn what_came_out(view: &View, pair: &Pair) -> Vec<String> {
    let style = metric::style(MAIN_METRIC);
    let shots = view.shots(pair, MAIN_METRIC);
    let mut lines = Vec::new();
    let bars: Vec<(String, Option<u64>)> = shots
        .iter()
        .filter_map(|&k| {
            let (system, mean) = view.best_trivial(pair, MAIN_METRIC, k)?;
            Some((format!("{system}, {}", style.show(mean)), k))
        })
        .collect();
    lines.push(if bars.is_empty() {
        "best trivial baseline: there is none, so nothing below says whether a model is worth it"
            .to_owned()
    } else {
        format!("best trivial baseline: {}", words::by_shots(&bars, &shots))
    });
    let systems = view.systems(pair, MAIN_METRIC);
    for system in systems
        .iter()
        .filter(|system| system.group() == Group::System)
    {
        let mut beaten = 0;
        let mut compared = 0;
        let values: Vec<(String, Option<u64>)> = shots
            .iter()
            .filter_map(|&k| {
                let entry = view.entry(pair, MAIN_METRIC, system, k)?;
                let Some(mean) = entry.summary.mean() else {
                    return Some(("undefined".to_owned(), k));
                };
                let distance = view
                    .best_trivial(pair, MAIN_METRIC, k)
                    .map(|(_, bar)| {
                        compared += 1;
                        beaten += usize::from(is_better(style, mean, bar));
                        format!(" [{:+.*}]", style.digits, (mean - bar) * style.scale)
                    })
                    .unwrap_or_default();
                Some((format!("{}{distance}", style.show(mean)), k))
            })
            .collect();
        if values.is_empty() {
            continue;
        }
        let verdict = match (beaten, compared) {
            (_, 0) => "",
            (0, _) => " – never beats the best trivial baseline",
            (beaten, compared) if beaten == compared => {
                " – beats the best trivial baseline at every K"
            }
            _ => " – beats the best trivial baseline at some K only",
        };
        let values = words::by_shots(&values, &shots);
        lines.push(format!("{system}: {values}{verdict}"));
    }
    lines
}

fn what_to_doubt(input: &ReportInput<'_>, view: &View) -> Vec<String> {
    let mut lines = Vec::new();
    let seeds = view.seeds();
    if seeds < 5 {
        lines.push(format!(
            "{}, where the paper has 5: {}",
            words::count(seeds, "seed"),
            if seeds < 2 {
                "nothing is known about the spread"
            } else {
                "the standard deviations are rough, and close systems cannot be told apart"
            }
        ));
    }
    if seeds > 1 {
        lines.push(
            "± is the spread over seeds on one test split: how far other users or rows would move \
             the numbers is not in it"
                .to_owned(),
        );
    }
    let fewer = view
        .cells()
        .filter(|(cell, summary)| cell.k.is_some() && summary.seeds.len() < seeds)
        .count();
    if fewer > 0 {
        lines.push(format!(
            "{} fewer than {}",
            if fewer == 1 {
                "1 cell has".to_owned()
            } else {
                format!("{fewer} cells have")
            },
            words::count(seeds, "seed")
        ));
    }
    let undefined: usize = view.cells().map(|(_, summary)| summary.undefined).sum();
    if undefined > 0 {
        lines.push(format!(
            "{} undefined, which the means leave out",
            if undefined == 1 {
                "1 value is".to_owned()
            } else {
                format!("{undefined} values are")
            }
        ));
    }
    for pair in view.pairs() {
        let systems = view.systems(&pair, MAIN_METRIC);
        let gaps: usize = view
            .shots(&pair, MAIN_METRIC)
            .iter()
            .map(|&k| {
                systems
                    .iter()
                    .filter(|system| view.entry(&pair, MAIN_METRIC, system, k).is_none())
                    .count()
            })
            .sum();
        if gaps > 0 {
            lines.push(format!(
                "{pair}: {} without a result (— in the table)",
                words::count(gaps, "cell")
            ));
        }
        if !systems
            .iter()
            .any(|system| system.group() == Group::Trivial)
        {
            lines.push(format!(
                "{pair}: no trivial baseline stands beside the systems"
            ));
        }
    }
    lines.extend(
        missing_lines(input)
            .into_iter()
            .map(|line| line.trim_end_matches('.').to_owned()),
    );
    for (domain, value) in &input.audits {
        for finding in audit::findings(value) {
            if finding.is_serious() {
                lines.push(format!(
                    "data of {domain}: {}",
                    finding.text.trim_end_matches('.')
                ));
            }
        }
    }
    if lines.is_empty() {
        lines.push("nothing that this page can see".to_owned());
    }
    lines
}

fn data(input: &ReportInput<'_>) -> Vec<String> {
    if input.audits.is_empty() {
        return Vec::new();
    }
    let mut blocks = Vec::new();
    for (domain, value) in &input.audits {
        blocks.push(format!("### {domain}"));
        if audit::findings(value)
            .iter()
            .any(audit::Finding::is_serious)
        {
            blocks.push("What to doubt about these data stands in the summary.".to_owned());
        }
        blocks.extend(audit::render(value));
    }
    blocks
}

/// How often each value was chosen, by method; every single case is folded away.
fn choices(input: &ReportInput<'_>) -> Vec<String> {
    if input.choices.is_empty() {
        return Vec::new();
    }
    let mut choices = input.choices.clone();
    choices.sort_by(|left, right| {
        let methods = System::new(&left.method, None).cmp(&System::new(&right.method, None));
        methods.then_with(|| natural(&left.case, &right.case))
    });
    let mut counts: Vec<(&str, &str, usize)> = Vec::new();
    let mut of_method: BTreeMap<&str, usize> = BTreeMap::new();
    for choice in &choices {
        *of_method.entry(&choice.method).or_default() += 1;
        let known = counts
            .iter_mut()
            .find(|(method, chosen, _)| *method == choice.method && *chosen == choice.chosen);
        match known {
            Some((_, _, count)) => *count += 1,
            None => counts.push((&choice.method, &choice.chosen, 1)),
        }
    }
    // Stable: methods stay in their order, the most frequent choice of each comes first.
    counts.sort_by(|left, right| {
        let methods = System::new(left.0, None).cmp(&System::new(right.0, None));
        methods.then(right.2.cmp(&left.2))
    });
    let mut summary = MarkdownTable::of_texts(&["system", "chosen", "cases"]);
    for (method, chosen, count) in counts {
        let all = of_method.get(method).copied().unwrap_or(count);
        summary.row(vec![
            System::new(method, None).to_string(),
            chosen.to_owned(),
            format!("{count} of {all}"),
        ]);
    }
    let mut full = MarkdownTable::of_texts(&["system", "case", "chosen", "because"]);
    let count = choices.len();
    for choice in choices {
        full.row(vec![
            System::new(&choice.method, None).to_string(),
            choice.case,
            choice.chosen,
            choice.because,
        ]);
    }
    vec![
        summary.render().trim_end().to_owned(),
        format!(
            "<details>\n<summary>{}, one by one</summary>",
            words::count(count, "choice")
        ),
        full.render().trim_end().to_owned(),
        "</details>".to_owned(),
    ]
}

fn pairs_of_texts(header: [&str; 2], map: &BTreeMap<String, String>) -> Vec<String> {
    if map.is_empty() {
        return Vec::new();
    }
    let mut table = MarkdownTable::of_texts(&header);
    for (key, value) in map {
        table.row(vec![key.clone(), value.clone()]);
    }
    vec![table.render().trim_end().to_owned()]
}

fn provenance(input: &ReportInput<'_>) -> Vec<String> {
    let mut map = input.provenance.clone();
    map.insert(
        "results.csv".to_owned(),
        format!(
            "{}, blake3 {}",
            words::count(input.results.len(), "row"),
            input.results.digest()
        ),
    );
    for (name, digest) in &input.data {
        map.insert(format!("data: {name}"), digest.clone());
    }
    let stages: BTreeSet<_> = input
        .results
        .rows()
        .iter()
        .map(|row| row.stage_key)
        .collect();
    map.insert(
        "stages".to_owned(),
        format!("{} (keys in results.csv)", stages.len()),
    );
    pairs_of_texts(["what", "which"], &map)
}

fn list(lines: &[String]) -> String {
    lines
        .iter()
        .map(|line| format!("- {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}
