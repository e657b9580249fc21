//! Files that are hardly YAML, or far too much of it.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::assert_redacted;
use crate::program::{EXPERIMENT, Lab, PIPELINE};
use crate::wrong;

wrong!(key_twice, EXPERIMENT, "seed: 0..1" => "seed: 0..1\n  k: [3]");
wrong!(bracket_left_open, EXPERIMENT, "k: [2, 4]" => "k: [2, 4");
wrong!(quote_left_open, EXPERIMENT, "k: [2, 4]" => "k: \"2");
wrong!(tab, EXPERIMENT, "  k: [2, 4]" => "\tk: [2, 4]");
wrong!(unknown_alias, EXPERIMENT, "k: [2, 4]" => "k: *shots");
wrong!(second_document, EXPERIMENT, "grid:" => "---\ngrid:");
wrong!(not_a_number, EXPERIMENT, "seed: 0..1" => "seed: .nan");
wrong!(windows_line_ends, EXPERIMENT, "  seed: 0..1\n" => "  sed: 0..1\r\n");

/// `plan` of a whole file.
fn plan(text: &[u8]) -> String {
    let lab = Lab::small();
    lab.write(EXPERIMENT, text);
    #[expect(clippy::disallowed_methods, reason = "time is what is tested")]
    let start = Instant::now();
    let outcome = lab.run_list(&["plan", EXPERIMENT]);
    assert!(start.elapsed() < Duration::from_secs(20), "too slow");
    assert_eq!(outcome.code, 10, "{outcome}");
    outcome.err
}

#[test]
fn hardly_a_file() {
    let mut text = String::new();
    for content in ["", "# nothing\n", "- a list\n", "3\n", "\u{feff}grdi: 3\n"] {
        let _ = writeln!(text, "{content:?}\n{}", plan(content.as_bytes()));
    }
    assert_redacted!("hardly_a_file", text);
}

#[test]
fn not_utf8() {
    let lab = Lab::small();
    lab.write(PIPELINE, b"# a comment\npipeline: na\xefve\n");
    let text = format!(
        "{}\n{}",
        plan(b"experiment: caf\xe9\n"),
        lab.run_list(&["plan", EXPERIMENT]).err
    );
    assert_redacted!("not_utf8", text);
}

#[test]
fn deep_nesting() {
    let brackets = "[".repeat(10_000);
    let mut indented = String::new();
    for depth in 0..2_000 {
        indented.push_str(&" ".repeat(depth));
        indented.push_str("a:\n");
    }
    assert_redacted!(
        "deep_nesting",
        [brackets, indented]
            .map(|text| plan(text.as_bytes()))
            .join("\n")
    );
}

#[test]
fn alias_bomb() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let below = vec![format!("*a{}", level - 1); 9].join(", ");
        let _ = writeln!(text, "a{level}: &a{level} [{below}]");
    }
    assert_redacted!("alias_bomb", plan(text.as_bytes()));
}

#[test]
fn a_very_long_line() {
    let text = format!(
        "pipeline: pipelines/small.yaml\nvariables: {{x: {}}}\ngrid: {{k: [{}four]}}\n",
        "x".repeat(100_000),
        "2, ".repeat(50_000)
    );
    let said = plan(text.as_bytes());
    assert!(said.len() < 2_000, "{} bytes", said.len());
    assert_redacted!("a_very_long_line", said);
}
