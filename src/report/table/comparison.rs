//! Every system at every K, per train and test domain: the paper's Table 3 with what it leaves
//! out beside it.
//!
//! Trivial baselines come first, in italics; the best of several systems in a column is bold and
//! the second underlined, never a baseline, so that bold answers "which model" and the lines
//! below answer "is a model worth it". A dagger marks what is significantly better than all else
//! of its column, by the experiment's test. The paper's number stands in parentheses where there
//! is one for the same case, with the difference of ours to it. AUC comes first and in full,
//! other metrics follow in the same form without the paper.

use std::collections::BTreeMap;

use super::block::{Block, Place, Rank};
use super::section::{self, Section};
use super::{BlockPlace, BlockRow, Table, TableBlock, latex};
use crate::report::error::ReportError;
use crate::report::input::{MissingReason, ReportInput};
use crate::report::markdown::{MarkdownTable, one_line};
use crate::report::paper;
use crate::report::view::{Pair, View};
use crate::report::words;
use crate::results::{Group, System, method};

/// The registry line.
pub(super) const TABLE: Table = Table {
    name: "comparison",
    summary: "every system at every K on the test split, per train and test domain, with trivial \
              baselines and the paper's values",
    by_default: true,
    render,
    latex: as_latex,
    csv: as_csv,
    blocks,
};

fn render(input: &ReportInput<'_>) -> Result<String, ReportError> {
    let view = View::new(input, "test");
    let mut sections: Vec<Section> = Vec::new();
    let mut below: Vec<String> = Vec::new();
    if view.is_empty() {
        below.push(format!(
            "There is nothing to compare: no row of experiment `{}` on the test split.",
            input.experiment
        ));
    }
    for pair in view.pairs() {
        let mut heading = vec![format!("## {pair}")];
        for name in view.metrics() {
            let mut section = section(input, &view, &pair, &name);
            heading.append(&mut section.headings);
            section.headings = std::mem::take(&mut heading);
            sections.push(section);
        }
    }
    if sections.iter().any(|one| one.table.contains("(paper ")) {
        below.push(format!(
            "(paper …): {}, and ours less theirs; † there: significantly better than all baselines (t-test, p < 0.01).",
            paper::CITATION
        ));
    }
    below.extend(missing_lines(input));
    section::markdown(&sections, &below)
}

/// The lines that say what is wrong with the rows, and name what has no result, one for each reason.
pub(in crate::report) fn missing_lines(input: &ReportInput<'_>) -> Vec<String> {
    let guards = input
        .guards
        .iter()
        .map(|guard| format!("Read with care: {}.", one_line(guard)));
    let mut by_reason: BTreeMap<MissingReason, Vec<String>> = BTreeMap::new();
    let mut missing = input.missing.clone();
    missing.sort();
    missing.dedup();
    for one in &missing {
        let name = method::find(&one.what).map_or(one.what.as_str(), |method| method.display);
        let mut words = one_line(name);
        if !one.detail.is_empty() {
            words = format!("{words} ({})", one_line(&one.detail));
        }
        by_reason.entry(one.reason).or_default().push(words);
    }
    let missing = by_reason.into_iter().map(|(reason, names)| {
        let reason = reason.to_string();
        let mut capital = reason.clone();
        capital[..1].make_ascii_uppercase();
        format!("{capital}: {}.", names.join(", "))
    });
    guards.chain(missing).collect()
}

/// One metric of one pair: heading, table, and the lines below it.
fn section(input: &ReportInput<'_>, view: &View, pair: &Pair, name: &str) -> Section {
    let block = Block::new(input, view, pair, name);
    Section {
        headings: vec![format!("### {}", block.style.heading(name))],
        table: table(&block).render(),
        about: block.what_it_is(),
        notes: block.notes(),
        ..Section::default()
    }
}

fn table(block: &Block<'_>) -> MarkdownTable {
    let mut header = vec!["system".to_owned()];
    header.extend(block.shots.iter().map(|&k| words::shots(k)));
    let mut table = MarkdownTable::of_numbers(header);
    for system in &block.systems {
        let name = match system.group() {
            Group::Trivial => format!("*{system}*"),
            Group::System => system.to_string(),
        };
        let places = block.shots.iter().map(|&k| text(block, system, k));
        table.row(std::iter::once(name).chain(places).collect());
    }
    table
}

fn text(block: &Block<'_>, system: &System, k: Option<u64>) -> String {
    let place = block.place(system, k);
    let marks = markdown_marks(place.rank);
    let paper = of_paper(block, &place);
    let ours = in_words(
        block,
        &place,
        k,
        marks,
        " ± ",
        if place.dagger { "†" } else { "" },
    );
    if paper.is_empty() {
        ours
    } else {
        format!("{ours} ({paper})")
    }
}

/// `paper 49.07†, +2.10`, or nothing.
pub(super) fn of_paper(block: &Block<'_>, place: &Place<'_>) -> String {
    let Some(reported) = place.paper else {
        return String::new();
    };
    let dagger = if reported.dagger { "†" } else { "" };
    let distance = to_paper(block, place)
        .map(|distance| format!(", {distance:+.2}"))
        .unwrap_or_default();
    format!("paper {:.2}{dagger}{distance}", reported.auc_percent)
}

/// A place for the page one can point at.
pub(super) fn block_place(block: &Block<'_>, system: &System, k: Option<u64>) -> BlockPlace {
    let place = block.place(system, k);
    BlockPlace {
        text: in_words(block, &place, k, ["", ""], " ± ", ""),
        value: place.entry.and_then(|entry| entry.summary.mean()),
        mark: match place.rank {
            Rank::Best => "best",
            Rank::Second => "second",
            Rank::Other => "",
        },
        dagger: place.dagger,
        paper: of_paper(block, &place),
        cell: place.entry.map(|entry| entry.cell.clone()),
    }
}

fn blocks(input: &ReportInput<'_>) -> Vec<TableBlock> {
    let view = View::new(input, "test");
    let mut blocks = Vec::new();
    for pair in view.pairs() {
        for name in view.metrics() {
            let block = Block::new(input, &view, &pair, &name);
            let rows = block.systems.iter().map(|system| BlockRow {
                name: system.to_string(),
                trivial: system.group() == Group::Trivial,
                places: block
                    .shots
                    .iter()
                    .map(|&k| block_place(&block, system, k))
                    .collect(),
            });
            blocks.push(TableBlock {
                title: format!("{pair}: {}", block.style.heading(&name)),
                about: block.what_it_is(),
                notes: block.notes(),
                higher_is_better: block.style.higher_is_better,
                corner: "system".to_owned(),
                columns: block.shots.iter().map(|&k| words::shots(k)).collect(),
                rows: rows.collect(),
            });
        }
    }
    blocks
}

/// Our mean less the paper's value, in its unit of AUC × 100.
fn to_paper(block: &Block<'_>, place: &Place<'_>) -> Option<f64> {
    let mean = place.entry?.summary.mean()?;
    let distance = mean * block.style.scale - place.paper?.auc_percent;
    // Both are shown with two digits; adding 0 makes −0 a plain 0.
    Some((distance * 100.0).round() / 100.0 + 0.0)
}

/// What stands before and after the best and the second of a line.
pub(super) fn markdown_marks(rank: Rank) -> [&'static str; 2] {
    match rank {
        Rank::Best => ["**", "**"],
        Rank::Second => ["<u>", "</u>"],
        Rank::Other => ["", ""],
    }
}

/// The same in LaTeX.
pub(super) fn latex_marks(rank: Rank) -> [&'static str; 2] {
    match rank {
        Rank::Best => ["\\textbf{", "}"],
        Rank::Second => ["\\underline{", "}"],
        Rank::Other => ["", ""],
    }
}

/// Mean, spread and how many seeds lack, between marks.
pub(super) fn in_words(
    block: &Block<'_>,
    place: &Place<'_>,
    k: Option<u64>,
    [open, close]: [&str; 2],
    plus_minus: &str,
    dagger: &str,
) -> String {
    let Some(entry) = place.entry else {
        return "—".to_owned();
    };
    let Some(mean) = entry.summary.mean() else {
        return "undefined".to_owned();
    };
    let spread = entry
        .summary
        .standard_deviation()
        .map(|spread| format!("{plus_minus}{}", block.style.show(spread)))
        .unwrap_or_default();
    let mean = block.style.show(mean);
    let lacking = block.seeds_mark(entry, k);
    format!("{open}{mean}{spread}{close}{dagger}{lacking}")
}

/// One `table` for each metric of each pair, after booktabs; what stands below it in Markdown is
/// its caption.
fn as_latex(input: &ReportInput<'_>) -> Result<String, ReportError> {
    let view = View::new(input, "test");
    let mut tables = Vec::new();
    for pair in view.pairs() {
        for name in view.metrics() {
            let block = Block::new(input, &view, &pair, &name);
            let mut rows = vec![
                std::iter::once("System".to_owned())
                    .chain(block.shots.iter().map(|&k| match k {
                        Some(k) => format!("$K = {k}$"),
                        None => "zero-shot".to_owned(),
                    }))
                    .collect::<Vec<_>>(),
            ];
            let mut rules = vec![0];
            let mut trivial = 0;
            for system in &block.systems {
                let name = latex::escape(&system.to_string());
                let name = match system.group() {
                    Group::Trivial => {
                        trivial += 1;
                        format!("\\textit{{{name}}}")
                    }
                    Group::System => name,
                };
                let places = block.shots.iter().map(|&k| latex_text(&block, system, k));
                rows.push(std::iter::once(name).chain(places).collect());
            }
            if trivial > 0 && trivial + 1 < rows.len() {
                rules.push(trivial);
            }
            let mut caption: Vec<String> = input
                .title
                .iter()
                .map(|title| format!("{title}."))
                .collect();
            caption.push(format!("{pair}. {}", block.what_it_is()));
            caption.extend(block.notes().iter().map(|note| latex::sentence(note)));
            tables.push(latex::table(
                &rows,
                &rules,
                &(caption.join(" ") + &latex::guards(input)),
                &latex::label(input, TABLE.name, &[&pair.train, &pair.test, &name]),
            )?);
        }
    }
    let nothing = format!(
        "There is nothing to compare: no row of experiment {} on the test split.",
        one_line(&input.experiment)
    );
    latex::tables(&tables, &nothing)
}

fn latex_text(block: &Block<'_>, system: &System, k: Option<u64>) -> String {
    let place = block.place(system, k);
    let marks = latex_marks(place.rank);
    let dagger = if place.dagger { "$^{\\dagger}$" } else { "" };
    let ours = in_words(block, &place, k, marks, " $\\pm$ ", dagger).replace('—', "--");
    match (place.paper, to_paper(block, &place)) {
        (None, _) => ours,
        (Some(paper), distance) => {
            let dagger = if paper.dagger { "$^{\\dagger}$" } else { "" };
            let distance = distance
                .map(|distance| format!(", ${distance:+.2}$"))
                .unwrap_or_default();
            format!("{ours} ({:.2}{dagger}{distance})", paper.auc_percent)
        }
    }
}

/// One line for each place: everything the table shows, in the metric's own unit.
fn as_csv(input: &ReportInput<'_>) -> String {
    let view = View::new(input, "test");
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header = [
        "train_domain",
        "test_domain",
        "metric",
        "method",
        "variant",
        "group",
        "k",
        "mean",
        "sd",
        "seeds",
        "undefined",
        "n",
        "rank",
        "dagger",
        "paper",
        "paper_dagger",
        "minus_paper",
    ];
    // Into memory: nothing of it can fail.
    let _ = writer.write_record(header);
    for pair in view.pairs() {
        for name in view.metrics() {
            let block = Block::new(input, &view, &pair, &name);
            for system in &block.systems {
                for &k in &block.shots {
                    let _ = writer.write_record(csv_line(&block, system, k));
                }
            }
        }
    }
    String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
}

fn csv_line(block: &Block<'_>, system: &System, k: Option<u64>) -> [String; 17] {
    let place = block.place(system, k);
    let summary = place.entry.map(|entry| entry.summary);
    let number = |value: Option<f64>| value.map(|value| format!("{value:?}")).unwrap_or_default();
    let count = |value: Option<usize>| value.map(|value| value.to_string()).unwrap_or_default();
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    // The paper prints AUC × 100 with two digits; dividing makes the nearest number to them.
    let paper = place.paper.map(|paper| paper.auc_percent / 100.0);
    let mean = summary.and_then(crate::results::Summary::mean);
    [
        block.pair.train.clone(),
        block.pair.test.clone(),
        block.name.to_owned(),
        system.method.clone(),
        system.variant.clone().unwrap_or_default(),
        match system.group() {
            Group::Trivial => "trivial",
            Group::System => "system",
        }
        .to_owned(),
        k.map(|k| k.to_string()).unwrap_or_default(),
        number(mean),
        number(summary.and_then(crate::results::Summary::standard_deviation)),
        count(summary.map(|summary| summary.values.len())),
        count(summary.map(|summary| summary.undefined)),
        summary
            .map(|summary| words::range(summary.n.0, summary.n.1))
            .unwrap_or_default(),
        match place.rank {
            Rank::Best => "best",
            Rank::Second => "second",
            Rank::Other => "",
        }
        .to_owned(),
        yes(place.dagger),
        number(paper),
        place
            .paper
            .map(|paper| yes(paper.dagger))
            .unwrap_or_default(),
        number(mean.zip(paper).map(|(mean, paper)| mean - paper)),
    ]
}
