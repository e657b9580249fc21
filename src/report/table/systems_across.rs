//! A row for each domain and K, a column for each system: the layout of the paper's Table 3, for
//! the metric of the paper or, where the table is declared for others only, the first of those.
//!
//! The paper's values stand in a row of their own below ours, with the difference.

use super::block::Block;
use super::comparison::{
    block_place, in_words, latex_marks, markdown_marks, missing_lines, of_paper,
};
use super::section::{self, Section};
use super::{BlockRow, Table, TableBlock, latex};
use crate::report::error::ReportError;
use crate::report::input::ReportInput;
use crate::report::markdown::MarkdownTable;
use crate::report::paper;
use crate::report::view::{MAIN_METRIC, Pair, View};
use crate::report::words;
use crate::results::{Group, System, metric};

/// The registry line.
pub(super) const TABLE: Table = Table {
    name: "systems_across",
    summary: "a row per domain and K, a column per system, as the paper's Table 3",
    by_default: false,
    render,
    latex: as_latex,
    csv: as_csv,
    blocks,
};

/// The table before any markup.
struct Layout<'a> {
    view: &'a View,
    input: &'a ReportInput<'a>,
    metric: String,
    pairs: Vec<Pair>,
    systems: Vec<System>,
}

impl<'a> Layout<'a> {
    fn new(input: &'a ReportInput<'a>, view: &'a View) -> Self {
        let metrics = view.metrics();
        let metric = metrics
            .iter()
            .find(|name| *name == MAIN_METRIC)
            .or(metrics.first())
            .map_or_else(|| MAIN_METRIC.to_owned(), Clone::clone);
        let pairs = view.pairs();
        let mut systems: Vec<System> = pairs
            .iter()
            .flat_map(|pair| view.systems(pair, &metric))
            .collect();
        systems.sort();
        systems.dedup();
        Self {
            view,
            input,
            metric,
            pairs,
            systems,
        }
    }

    fn blocks(&self) -> Vec<Block<'_>> {
        self.pairs
            .iter()
            .map(|pair| Block::new(self.input, self.view, pair, &self.metric))
            .collect()
    }

    /// What a row is about: a domain, or what was trained on what, and K.
    fn name(pair: &Pair, k: Option<u64>) -> String {
        let domain = if pair.train == pair.test {
            pair.test.clone()
        } else {
            pair.to_string()
        };
        format!("{domain}, {}", words::shots(k))
    }

    /// Metric, split, seeds and n; by domain where that differs.
    fn about(blocks: &[Block<'_>]) -> String {
        let mut said: Vec<String> = blocks.iter().map(Block::what_it_is).collect();
        said.dedup();
        if said.len() == 1 {
            return said.remove(0);
        }
        let each = blocks
            .iter()
            .map(|block| format!("{}: {}", block.pair, block.what_it_is()));
        each.collect::<Vec<_>>().join(" ")
    }

    fn notes(blocks: &[Block<'_>]) -> Vec<String> {
        let mut notes = Vec::new();
        for block in blocks {
            for note in block.notes() {
                // The same for every pair, or of this one.
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
        notes
            .into_iter()
            .map(|note| {
                note.replace("of a column", "of a row")
                    .replace("of the column", "of the row")
            })
            .collect()
    }
}

fn render(input: &ReportInput<'_>) -> Result<String, ReportError> {
    let view = View::new(input, "test");
    let layout = Layout::new(input, &view);
    let blocks = layout.blocks();
    let mut below = Vec::new();
    if blocks.is_empty() {
        below.push(format!(
            "There is nothing to compare: no row of experiment `{}` on the test split.",
            input.experiment
        ));
        below.extend(missing_lines(input));
        return section::markdown(&[], &below);
    }
    let name = |system: &System| match system.group() {
        Group::Trivial => format!("*{system}*"),
        Group::System => system.to_string(),
    };
    let header = std::iter::once(metric::style(&layout.metric).heading(&layout.metric));
    let mut table =
        MarkdownTable::of_numbers(header.chain(layout.systems.iter().map(name)).collect());
    for block in &blocks {
        for &k in &block.shots {
            let places: Vec<_> = layout
                .systems
                .iter()
                .map(|one| block.place(one, k))
                .collect();
            let cells = places.iter().map(|place| {
                let marks = markdown_marks(place.rank);
                let dagger = if place.dagger { "†" } else { "" };
                in_words(block, place, k, marks, " ± ", dagger)
            });
            table.row(
                std::iter::once(Layout::name(block.pair, k))
                    .chain(cells)
                    .collect(),
            );
            if places.iter().any(|place| place.paper.is_some()) {
                let cells = places
                    .iter()
                    .map(|place| of_paper(block, place).replace("paper ", ""));
                table.row(
                    std::iter::once("*paper, and ours less it*".to_owned())
                        .chain(cells)
                        .collect(),
                );
            }
        }
    }
    let table = table.render();
    let mut notes = Layout::notes(&blocks);
    if table.contains("*paper") {
        notes.push(format!("paper: {}", paper::CITATION));
    }
    let section = Section {
        table,
        about: Layout::about(&blocks),
        notes,
        ..Section::default()
    };
    below.extend(missing_lines(input));
    section::markdown(&[section], &below)
}

const NOTHING: &str = "There is nothing to compare.";

fn as_latex(input: &ReportInput<'_>) -> Result<String, ReportError> {
    let view = View::new(input, "test");
    let layout = Layout::new(input, &view);
    let blocks = layout.blocks();
    if blocks.is_empty() {
        return latex::tables(&[], NOTHING);
    }
    let heading = latex::escape(&metric::style(&layout.metric).heading(&layout.metric));
    let names = layout.systems.iter().map(|system| {
        let name = latex::escape(&system.to_string());
        match system.group() {
            Group::Trivial => format!("\\textit{{{name}}}"),
            Group::System => name,
        }
    });
    let mut rows = vec![std::iter::once(heading).chain(names).collect::<Vec<_>>()];
    let mut rules = vec![0];
    for block in &blocks {
        for &k in &block.shots {
            let places: Vec<_> = layout
                .systems
                .iter()
                .map(|one| block.place(one, k))
                .collect();
            let cells = places.iter().map(|place| {
                let marks = latex_marks(place.rank);
                let dagger = if place.dagger { "$^{\\dagger}$" } else { "" };
                in_words(block, place, k, marks, " $\\pm$ ", dagger).replace('—', "--")
            });
            let name = latex::escape(&Layout::name(block.pair, k));
            rows.push(std::iter::once(name).chain(cells).collect());
            if places.iter().any(|place| place.paper.is_some()) {
                let cells = places
                    .iter()
                    .map(|place| latex::escape(&of_paper(block, place).replace("paper ", "")));
                rows.push(
                    std::iter::once("\\quad paper".to_owned())
                        .chain(cells)
                        .collect(),
                );
            }
        }
        rules.push(rows.len() - 1);
    }
    let mut caption: Vec<String> = input
        .title
        .iter()
        .map(|title| format!("{title}."))
        .collect();
    caption.push(Layout::about(&blocks));
    caption.extend(
        Layout::notes(&blocks)
            .iter()
            .map(|note| latex::sentence(note)),
    );
    let label = latex::label(input, TABLE.name, &[]);
    let caption = caption.join(" ") + &latex::guards(input);
    let table = latex::table(&rows, &rules, &caption, &label)?;
    latex::tables(&[table], NOTHING)
}

/// As the table stands, means only, in the metric's own unit; [`comparison`](super::comparison)
/// has everything else about each place.
fn as_csv(input: &ReportInput<'_>) -> String {
    let view = View::new(input, "test");
    let layout = Layout::new(input, &view);
    let mut writer = csv::Writer::from_writer(Vec::new());
    let fixed = ["train_domain", "test_domain", "k", "metric"].map(str::to_owned);
    let names = layout.systems.iter().map(ToString::to_string);
    // Into memory: nothing of it can fail.
    let _ = writer.write_record(fixed.into_iter().chain(names));
    for block in &layout.blocks() {
        for &k in &block.shots {
            let fixed = [
                block.pair.train.clone(),
                block.pair.test.clone(),
                k.map(|k| k.to_string()).unwrap_or_default(),
                layout.metric.clone(),
            ];
            let means = layout.systems.iter().map(|system| {
                let place = block.place(system, k);
                let mean = place.entry.and_then(|entry| entry.summary.mean());
                mean.map(|mean| format!("{mean:?}")).unwrap_or_default()
            });
            let _ = writer.write_record(fixed.into_iter().chain(means));
        }
    }
    String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
}

fn blocks(input: &ReportInput<'_>) -> Vec<TableBlock> {
    let view = View::new(input, "test");
    let layout = Layout::new(input, &view);
    let blocks = layout.blocks();
    let Some(first) = blocks.first() else {
        return Vec::new();
    };
    let mut rows = Vec::new();
    for block in &blocks {
        for &k in &block.shots {
            rows.push(BlockRow {
                name: Layout::name(block.pair, k),
                trivial: false,
                places: layout
                    .systems
                    .iter()
                    .map(|system| block_place(block, system, k))
                    .collect(),
            });
        }
    }
    vec![TableBlock {
        title: first.style.heading(&layout.metric),
        about: Layout::about(&blocks),
        notes: Layout::notes(&blocks),
        higher_is_better: first.style.higher_is_better,
        corner: "trained and tested on".to_owned(),
        columns: layout.systems.iter().map(ToString::to_string).collect(),
        rows,
    }]
}
