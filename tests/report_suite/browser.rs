//! `report.html`: self-contained, and in a real browser, where there is one, without a script error
//! and with all that it promises: `tests/browser/page_check.js` says what.

use std::fs;
use std::process::Command;

use crate::fixture::{input, set};
use runner::base::Digest;
use runner::report::details::{
    Curve, CurvePanel, Details, Disagreement, DisagreementRow, StageFacts,
};
use runner::report::{Selection, html, make};
use runner::results::ResultSet;

/// A stage for each of the first cells, two trainings with two seeds each, one disagreement.
pub(crate) fn details(results: &ResultSet) -> Details {
    let text = str::to_owned;
    let rows = results.rows().iter().enumerate();
    let stages = rows.map(|(at, row)| StageFacts {
        id: format!("evaluate@method={},seed={}", row.method, row.seed),
        key: row.stage_key,
        kind: text("evaluate"),
        version: 1,
        parameters: vec![(text("metrics"), text("[\"auc\"]"))],
        inputs: vec![(text("predictions"), Digest::of_bytes(b"predictions").hex())],
        facts: vec![(text("took"), text("0.1 s"))],
        log: text("loaded 160 rows\n<done>"),
        made_from: at.checked_sub(1).into_iter().collect(),
    });
    let curves = ["GRU4Rec, movie, K = 16", "SASRec, movie, K = 16"];
    let curves = curves.iter().flat_map(|group| {
        (0..2).map(move |seed| Curve {
            title: format!("{group}, seed {seed}"),
            group: (*group).to_owned(),
            chosen_x: Some(3.0),
            x_label: "epoch",
            panels: vec![CurvePanel {
                y_label: "training loss",
                points: (1..9)
                    .map(|x| (f64::from(x), 1.0 / f64::from(x + seed)))
                    .collect(),
            }],
        })
    });
    Details {
        stages: stages.collect(),
        curves: curves.collect(),
        curves_left_out: 2,
        disagreements: vec![Disagreement {
            title: text("movie → movie, K = 256: rows on which two systems disagree most"),
            systems: vec![text("TALLRec (AT+RT)"), text("GRU4Rec")],
            rows: vec![DisagreementRow {
                row: 17,
                liked: true,
                prompt: text("Liked: <b>Heat</b> & \"Casino\"\n</script><script>boom()</script>"),
                scores: vec![Some(0.91), None],
            }],
        }],
    }
}

fn page() -> String {
    let results = set();
    let mut input = input(&results);
    input.guards = vec!["the numbers come from more than one program: a, b".to_owned()];
    let (tables, figures) = make(&input, &Selection::all()).expect("made");
    html::render(&input, &tables, &figures, &details(&results)).expect("a page")
}

#[test]
fn the_page_needs_nothing_from_outside_and_lets_no_text_become_a_tag() {
    let page = page();
    for outside in [
        "src=\"http",
        "href=\"http",
        "@import",
        "url(http",
        "url(\"http",
        "url(//",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(!page.contains("<script>boom"), "a prompt became a script");
    assert!(!page.contains("<b>Heat</b>"), "a prompt became a tag");
    assert!(page.contains("&lt;b&gt;Heat"));
    // Twice the same bytes.
    assert_eq!(page, self::page());
    if let Ok(folder) = std::env::var("RUNNER_SHOW_FIGURES") {
        let path = std::path::Path::new(&folder).join("report.html");
        fs::write(path, &page).expect("written");
    }
}

#[test]
fn the_page_works_in_a_browser() {
    let Some(browser) = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok())
    else {
        eprintln!("no Chromium here: the page was not tried in a browser");
        return;
    };
    let check = include_str!("../browser/page_check.js");
    let page = page();
    let end = page.rfind("</body>").expect("an end");
    let tried = format!(
        "{}<script>\n{check}\n</script>{}",
        &page[..end],
        &page[end..]
    );
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("page.html");
    fs::write(&path, tried).expect("written");
    let outcome = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
        ])
        .args([
            "--no-first-run",
            "--disable-background-networking",
            "--disable-sync",
        ])
        .args([
            "--window-size=1280,900",
            "--virtual-time-budget=10000",
            "--dump-dom",
        ])
        .arg(format!(
            "--user-data-dir={}",
            folder.path().join("profile").display()
        ))
        .arg(format!("file://{}", path.display()))
        .env("XDG_CONFIG_HOME", folder.path())
        .env("XDG_CACHE_HOME", folder.path())
        .output()
        .expect("a browser");
    let document = String::from_utf8_lossy(&outcome.stdout);
    let result = document
        .split_once("<pre id=\"check-result\"")
        .and_then(|(_, rest)| rest.split_once('>'))
        .and_then(|(_, rest)| rest.split_once("</pre>"));
    let Some((result, _)) = result else {
        panic!("no result: {}", String::from_utf8_lossy(&outcome.stderr));
    };
    assert!(!result.contains("FAILED"), "{result}");
    assert!(result.contains("done "), "{result}");
}
