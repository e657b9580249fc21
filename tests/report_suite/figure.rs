//! Figures: they have ink of every system, are the same every time, and are never blank.

use std::collections::BTreeSet;

use crate::fixture::{input, row, set};
use runner::report::{Drawing, FIGURES, ReportError, ReportInput};
use runner::results::ResultSet;

fn pixels(drawing: &Drawing) -> (png::OutputInfo, BTreeSet<[u8; 3]>) {
    let mut reader = png::Decoder::new(drawing.png.as_slice())
        .read_info()
        .expect("a PNG");
    let mut bytes = vec![0; reader.output_buffer_size()];
    let info = reader.next_frame(&mut bytes).expect("a frame");
    let colours = bytes
        .chunks_exact(3)
        .map(|pixel| [pixel[0], pixel[1], pixel[2]])
        .collect();
    (info, colours)
}

fn draw(input: &ReportInput<'_>) -> Drawing {
    FIGURES[0].draw(input).expect("drawn")
}

#[test]
fn the_fixture_has_ink_of_every_system() {
    let results = set();
    let drawing = draw(&input(&results));
    let (info, colours) = pixels(&drawing);
    assert_eq!(info.width, 1600);
    assert!((800..=1000).contains(&info.height), "{}", info.height);
    // GRU4Rec, SASRec, DROS, TALLRec, Caser (the paper's value only), share of likes.
    for colour in [
        [0, 114, 178],
        [0, 158, 115],
        [86, 180, 233],
        [213, 94, 0],
        [230, 159, 0],
        [40, 40, 40],
    ] {
        assert!(colours.contains(&colour), "no ink of {colour:?}");
    }
    for word in [
        "GRU4Rec",
        "TALLRec (AT+RT)",
        "share of likes",
        "Caser: no result",
        "256",
    ] {
        assert!(drawing.svg.contains(word), "`{word}` is not in the SVG");
    }
    show("fixture", &drawing);
}

#[test]
fn every_figure_is_the_same_every_time() {
    let results = set();
    let mut drawn = 0;
    for figure in FIGURES {
        let input = input(&results);
        // The fixture has no system that was trained on another domain.
        if let Ok(one) = figure.draw(&input) {
            let two = figure.draw(&input).expect("drawn");
            assert_eq!(one, two, "{}", figure.name);
            drawn += 1;
        }
    }
    assert_eq!(drawn, 2);
}

#[test]
fn one_shot_and_one_value_make_a_figure() {
    let rows = [
        row(
            ["sasrec", "movie", "movie"],
            Some(64),
            0,
            "auc",
            Some(0.612),
        ),
        row(
            ["item_mean", "movie", "movie"],
            Some(64),
            0,
            "auc",
            Some(0.55),
        ),
    ];
    let results = ResultSet::from_rows(rows).expect("a set");
    let drawing = draw(&ReportInput::new("fixture", &results));
    let (info, colours) = pixels(&drawing);
    assert_eq!(info.width, 1000);
    assert!(colours.contains(&[0, 158, 115]) && colours.contains(&[60, 60, 60]));
    show("one", &drawing);
}

#[test]
fn nothing_to_draw_names_what_is_missing() {
    let empty = ResultSet::default();
    let undefined =
        ResultSet::from_rows([row(["sasrec", "movie", "movie"], Some(64), 0, "auc", None)])
            .expect("a set");
    for (results, words) in [
        (&empty, "has no row on the test split"),
        (&undefined, "on the test split"),
    ] {
        for figure in FIGURES {
            let error = figure
                .draw(&ReportInput::new("fixture", results))
                .expect_err("blank");
            assert!(matches!(error, ReportError::NothingToDraw { .. }));
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}

#[test]
fn many_systems_shots_and_pairs_find_their_place() {
    let mut rows = Vec::new();
    let systems = [
        "gru4rec",
        "caser",
        "sasrec",
        "dros",
        "gru_bert",
        "dros_bert",
        "tallrec/AT+RT",
    ];
    for train in ["movie", "book", "both"] {
        for test in ["movie", "book"] {
            for (step, k) in [1, 2, 4, 8, 16, 32, 64, 128, 256].into_iter().enumerate() {
                for (place, system) in systems.iter().enumerate() {
                    for seed in 0..2 {
                        let value = 0.48 + 0.01 * (step + place) as f64 + 0.013 * seed as f64;
                        let path = [*system, train, test];
                        rows.push(row(path, Some(k), seed, "auc", Some(value)));
                    }
                }
            }
        }
    }
    let results = ResultSet::from_rows(rows).expect("a set");
    let drawing = draw(&ReportInput::new("fixture", &results));
    let (info, _) = pixels(&drawing);
    assert_eq!(info.width, 1600);
    assert!(info.height > 1900, "{}", info.height);
    for title in [
        "trained on movie, tested on book",
        "trained on both, tested on movie",
    ] {
        assert!(drawing.svg.contains(title), "{title}");
    }
    show("many", &drawing);
}

#[test]
fn only_systems_have_panels_of_what_they_were_trained_on() {
    let mut rows = Vec::new();
    for train in ["movie", "book"] {
        for system in ["like_share", "tallrec/AT+RT"] {
            let path = [system, train, "movie"];
            rows.push(row(path, Some(16), 0, "auc", Some(0.6)));
        }
    }
    let results = ResultSet::from_rows(rows).expect("a set");
    let figure = runner::report::figure::find("by_train_domain").expect("registered");
    let chart = figure
        .chart(&ReportInput::new("fixture", &results))
        .expect("drawn");
    assert_eq!(chart.panels.len(), 1);
    let series = chart.panels[0].series.iter();
    let names: Vec<&str> = series.map(|one| one.name.as_str()).collect();
    assert_eq!(
        names,
        ["trained on book", "trained on movie", "share of likes"]
    );
}

/// Leaves the figures of a test where somebody wants to look at them.
fn show(name: &str, drawing: &Drawing) {
    if let Ok(folder) = std::env::var("RUNNER_SHOW_FIGURES") {
        let folder = std::path::Path::new(&folder);
        std::fs::write(folder.join(format!("{name}.png")), &drawing.png).expect("written");
        std::fs::write(folder.join(format!("{name}.svg")), &drawing.svg).expect("written");
    }
}
