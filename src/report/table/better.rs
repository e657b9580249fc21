//! Which is better: one system against the best of the others, the best trivial baseline and
//! guessing, at every K.
//!
//! A claim stands twice, for it has two sources of doubt: over seeds (would other draws of
//! training samples say the same?) and over users (would other users?). Each has its effect,
//! its interval and its p-value; where a test is silent the reason stands instead.

use super::section::{self, Section as MarkdownSection};
use super::{Table, latex, missing_lines};
use crate::report::error::ReportError;
use crate::report::evidence::{compare, rivals, subject};
use crate::report::input::ReportInput;
use crate::report::markdown::MarkdownTable;
use crate::report::view::{MAIN_METRIC, Pair, View};
use crate::report::words;
use crate::results::comparison::CHANCE;
use crate::results::{Group, System, metric};
use crate::statistics::{Comparison, Test, Unit, Verdict};

/// The registry line.
pub(super) const TABLE: Table = Table {
    name: "better",
    summary: "which is better, and how sure that is: the last system against the best other \
              system, the best trivial baseline and guessing, over seeds and over users",
    by_default: true,
    render,
    latex: as_latex,
    csv: as_csv,
    blocks: |_| Vec::new(),
};

/// The tests of one line: the one over seeds that the experiment chose, or else the default, and
/// the one over users.
fn tests(input: &ReportInput<'_>) -> [Test; 2] {
    let chosen = input.claims.test;
    match chosen.unit() {
        Unit::Seeds => [chosen, Test::BootstrapUsers],
        _ => [Test::PairedT, chosen],
    }
}

struct Line {
    k: Option<u64>,
    other: System,
    comparisons: [Comparison; 2],
    /// Corrected p-values.
    p: [Option<f64>; 2],
    verdicts: [Verdict; 2],
}

struct Section {
    pair: Pair,
    subject: System,
    lines: Vec<Line>,
    /// How many p-values the correction of each test is over.
    families: [usize; 2],
}

fn sections(input: &ReportInput<'_>) -> Vec<Section> {
    let view = View::new(input, "test");
    let higher_is_better = metric::style(MAIN_METRIC).higher_is_better == Some(true);
    view.pairs()
        .into_iter()
        .filter_map(|pair| {
            let subject = subject(&view, &pair, MAIN_METRIC)?;
            let mut lines = Vec::new();
            for k in view.shots(&pair, MAIN_METRIC) {
                if view.entry(&pair, MAIN_METRIC, &subject, k).is_none() {
                    continue;
                }
                let mut others = rivals(&view, &pair, MAIN_METRIC, k, &subject);
                others.push(System::new(CHANCE, None));
                for other in others {
                    let comparisons = tests(input).map(|test| {
                        let place = (&pair, MAIN_METRIC, k);
                        compare(input, &view, place, (&subject, &other), test)
                    });
                    lines.push(Line {
                        k,
                        other,
                        comparisons,
                        p: [None; 2],
                        verdicts: [Verdict::CannotSay; 2],
                    });
                }
            }
            let mut families = [0; 2];
            for (at, family) in families.iter_mut().enumerate() {
                let p: Vec<Option<f64>> = lines
                    .iter()
                    .map(|line| Some(line.comparisons[at].evidence.as_ref().ok()?.p))
                    .collect();
                *family = p.iter().flatten().count();
                let corrected = input.claims.correction.apply(&p);
                for (line, p) in lines.iter_mut().zip(corrected) {
                    line.p[at] = p;
                    let alpha = input.claims.alpha;
                    line.verdicts[at] = line.comparisons[at].verdict(alpha, p, higher_is_better);
                }
            }
            (!lines.is_empty()).then_some(Section {
                pair,
                subject,
                lines,
                families,
            })
        })
        .collect()
}

/// `+5.21 [+1.80, +8.62]`, or the effect alone.
fn effect(comparison: &Comparison) -> String {
    let style = metric::style(MAIN_METRIC);
    let show = |value: f64| format!("{:+.*}", style.digits, value * style.scale);
    match (&comparison.evidence, comparison.effect) {
        (Ok(evidence), Some(effect)) => format!(
            "{} [{}, {}]",
            show(effect),
            show(evidence.interval.low),
            show(evidence.interval.high)
        ),
        (_, Some(effect)) => show(effect),
        (_, None) => "—".to_owned(),
    }
}

/// `p = 0.012, better`, or why there is no p.
fn conclusion(line: &Line, at: usize) -> String {
    match (&line.comparisons[at].evidence, line.p[at]) {
        (Ok(_), Some(p)) => format!("{}, {}", words::p_value(p), line.verdicts[at]),
        (Err(reason), _) => format!("cannot say: {reason}"),
        (Ok(_), None) => Verdict::CannotSay.to_string(),
    }
}

fn name_of(other: &System) -> String {
    match (other.method.as_str(), other.group()) {
        (CHANCE, _) => "guessing (50)".to_owned(),
        (_, Group::Trivial) => format!("{other} (best trivial baseline)"),
        (_, Group::System) => format!("{other} (best other system)"),
    }
}

fn render(input: &ReportInput<'_>) -> Result<String, ReportError> {
    let sections = sections(input);
    if sections.is_empty() {
        let mut below = vec![format!(
            "There is nothing to compare: no system of experiment `{}` has an AUC on the test \
             split.",
            input.experiment
        )];
        below.extend(missing_lines(input));
        return section::markdown(&[], &below);
    }
    let mut written = Vec::new();
    for section in &sections {
        let [seeds, rows] = tests(input).map(|test| test.unit().to_string());
        let header = [
            "K".to_owned(),
            "against".to_owned(),
            format!("over {seeds}"),
            format!("so over {seeds}"),
            format!("over {rows}"),
            format!("so over {rows}"),
        ];
        let mut table = MarkdownTable::of_texts(&header.each_ref().map(String::as_str));
        for line in &section.lines {
            table.row(vec![
                line.k
                    .map_or_else(|| "zero-shot".to_owned(), |k| k.to_string()),
                name_of(&line.other),
                effect(&line.comparisons[0]),
                conclusion(line, 0),
                effect(&line.comparisons[1]),
                conclusion(line, 1),
            ]);
        }
        written.push(MarkdownSection {
            headings: vec![format!("## {}", section.pair)],
            lead: format!(
                "{} against …, difference of AUC × 100 with its 95 % interval:",
                section.subject
            ),
            table: table.render(),
            notes: how(input, section),
            ..MarkdownSection::default()
        });
    }
    section::markdown(&written, &missing_lines(input))
}

/// What the numbers of a section are.
fn how(input: &ReportInput<'_>, section: &Section) -> Vec<String> {
    let mut lines: Vec<String> = tests(input)
        .into_iter()
        .enumerate()
        .map(|(at, test)| {
            let counts = section.lines.iter().map(|line| line.comparisons[at].n);
            let counts = counts.map(|n| n[0].min(n[1])).filter(|n| *n > 0);
            let n = counts
                .clone()
                .min()
                .zip(counts.max())
                .map(|(least, most)| format!(", n = {}", words::range(least, most)))
                .unwrap_or_default();
            let fixed = match test.unit() {
                Unit::Seeds => "the test rows are held fixed",
                Unit::Rows | Unit::Users => {
                    "the trained systems are held fixed, their seeds averaged"
                }
            };
            format!(
                "over {}: {}{n}; {fixed}; p two-sided, {}; better or worse means p < {}",
                test.unit(),
                test.words(),
                input.claims.correction.words(section.families[at]),
                input.claims.alpha
            )
        })
        .collect();
    lines.push("intervals are those of one comparison alone, not corrected".to_owned());
    lines.push(
        "“best” is best on these test rows, which favours the other side, if anyone".to_owned(),
    );
    lines
}

fn as_latex(input: &ReportInput<'_>) -> Result<String, ReportError> {
    let mut tables = Vec::new();
    for section in sections(input) {
        let [seeds, rows] = tests(input).map(|test| test.unit().to_string());
        let mut table = vec![vec![
            "$K$, against".to_owned(),
            format!("over {seeds}"),
            "$p$".to_owned(),
            format!("over {rows}"),
            "$p$".to_owned(),
        ]];
        for line in &section.lines {
            let k = line
                .k
                .map_or_else(|| "zero-shot".to_owned(), |k| k.to_string());
            let mut row = vec![latex::escape(&format!("{k}, {}", name_of(&line.other)))];
            for at in 0..2 {
                row.push(format!(
                    "${}$",
                    effect(&line.comparisons[at]).replace('—', "-")
                ));
                row.push(line.p[at].map_or_else(
                    || "cannot say".to_owned(),
                    |p| latex::escape(words::p_value(p).trim_start_matches("p = ")),
                ));
            }
            table.push(row);
        }
        let title = input.title.iter().map(|title| format!("{title}. "));
        let caption = title.collect::<String>()
            + &format!(
                "{}: {} against others, difference of AUC × 100 with its 95 % interval. {}",
                section.pair,
                section.subject,
                how(input, &section)
                    .iter()
                    .map(|note| latex::sentence(note))
                    .collect::<Vec<_>>()
                    .join(" ")
            );
        let caption = caption + &latex::guards(input);
        let label = latex::label(
            input,
            TABLE.name,
            &[&section.pair.train, &section.pair.test],
        );
        tables.push(latex::table(&table, &[0], &caption, &label)?);
    }
    latex::tables(&tables, "There is nothing to compare.")
}

fn as_csv(input: &ReportInput<'_>) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header = [
        "train_domain",
        "test_domain",
        "k",
        "method",
        "variant",
        "other_method",
        "other_variant",
        "test",
        "unit",
        "n",
        "effect",
        "low",
        "high",
        "level",
        "p",
        "p_corrected",
        "correction",
        "verdict",
        "reason",
    ];
    // Into memory: nothing of it can fail.
    let _ = writer.write_record(header);
    let number = |value: Option<f64>| value.map(|value| format!("{value:?}")).unwrap_or_default();
    for section in sections(input) {
        for line in &section.lines {
            for (at, comparison) in line.comparisons.iter().enumerate() {
                let evidence = comparison.evidence.as_ref().ok();
                let _ = writer.write_record([
                    section.pair.train.clone(),
                    section.pair.test.clone(),
                    line.k.map(|k| k.to_string()).unwrap_or_default(),
                    section.subject.method.clone(),
                    section.subject.variant.clone().unwrap_or_default(),
                    line.other.method.clone(),
                    line.other.variant.clone().unwrap_or_default(),
                    comparison.test.name().to_owned(),
                    comparison.test.unit().to_string(),
                    comparison.n[0].min(comparison.n[1]).to_string(),
                    number(comparison.effect),
                    number(evidence.map(|evidence| evidence.interval.low)),
                    number(evidence.map(|evidence| evidence.interval.high)),
                    number(evidence.map(|evidence| evidence.interval.level)),
                    number(evidence.map(|evidence| evidence.p)),
                    number(line.p[at]),
                    input.claims.correction.name().to_owned(),
                    line.verdicts[at].to_string(),
                    comparison
                        .evidence
                        .as_ref()
                        .err()
                        .map(ToString::to_string)
                        .unwrap_or_default(),
                ]);
            }
        }
    }
    String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
}
