//! The words of a report: snapshots of the fixture's table and page.

use crate::fixture::{input, row, rows, set};
use runner::report::page::{self, PlacedFigure};
use runner::report::{FIGURES, Missing, MissingReason, ReportInput, TABLES, table};
use runner::results::ResultSet;

fn comparison(input: &ReportInput<'_>) -> String {
    (table::find("comparison").expect("registered").render)(input)
}

#[test]
fn the_comparison_table_of_the_fixture() {
    let results = set();
    insta::assert_snapshot!(comparison(&input(&results)), @"");
}

#[test]
fn the_page_of_the_fixture() {
    let results = set();
    let figures: Vec<PlacedFigure<'_>> = FIGURES
        .iter()
        .map(|figure| PlacedFigure {
            figure,
            not_drawn: None,
        })
        .collect();
    // The tables have their own snapshot.
    insta::assert_snapshot!(page::render(&input(&results), &[], &figures), @"");
}

#[test]
fn one_seed_and_one_system_say_so() {
    let rows = [
        row(
            ["sasrec", "movie", "movie"],
            Some(16),
            0,
            "auc",
            Some(0.612),
        ),
        row(["caser", "movie", "movie"], Some(16), 0, "auc", None),
    ];
    let results = ResultSet::from_rows(rows).expect("a set");
    let mut input = ReportInput::new("fixture", &results);
    input.show_paper = false;
    insta::assert_snapshot!(comparison(&input), @"");
}

#[test]
fn without_rows_the_tables_and_the_page_name_what_is_missing() {
    let results = ResultSet::default();
    let mut input = ReportInput::new("fixture", &results);
    input.missing = vec![Missing::new("tallrec", MissingReason::Failed)];
    for table in TABLES {
        let text = (table.render)(&input);
        assert!(text.contains("nothing to compare"), "{text}");
        assert!(text.contains("Failed: TALLRec."), "{text}");
    }
    let page = page::render(&input, &[], &[]);
    assert!(page.contains("No result on the test split yet."), "{page}");
}

#[test]
fn rows_of_other_experiments_and_splits_stay_out() {
    let results = set();
    let expected = comparison(&input(&results));
    let mut more = rows();
    for mut row in rows() {
        row.split = "valid".to_owned();
        more.push(row.clone());
        row.experiment = "another".to_owned();
        row.value = Some(0.99);
        more.push(row);
    }
    let more = ResultSet::from_rows(more).expect("a set");
    assert_eq!(comparison(&input(&more)), expected);
}

#[test]
fn every_line_of_a_table_is_equally_wide() {
    let results = set();
    let text = comparison(&input(&results));
    let mut widths: Vec<usize> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('|') {
            widths.push(line.chars().count());
        } else {
            assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
            widths.clear();
        }
    }
}
