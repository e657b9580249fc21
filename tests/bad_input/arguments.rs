//! Arguments that are wrong.

use crate::assert_redacted;
use crate::program::{EXPERIMENT, Lab};
use crate::wrong;
use std::fmt::Write as _;

wrong!(set_without_a_value, "--set", "grid.k");
wrong!(set_of_no_path, "--set", "grid..k=3", "--set", "=3");
wrong!(set_of_broken_yaml, "--set", "grid.k=[1,");
wrong!(set_of_an_unknown_axis, "--set", "grid.sed=3");
wrong!(set_of_an_unknown_key, "--set", "grdi.k=3");
wrong!(set_of_a_wrong_value, "--set", "grid.k=two");
wrong!(set_of_nothing, "--set", "grid.k=");
wrong!(set_inside_a_text, "--set", "experiment.name=x");
wrong!(set_inside_a_list, "--set", "grid.k.0=3");
wrong!(only_of_nothing, "--only", "k");
wrong!(only_an_unknown_axis, "--only", "sed=1");
wrong!(
    only_an_unknown_value,
    "--only",
    "method=majorty",
    "--only",
    "k=3"
);
wrong!(only_what_excludes_itself, "--only", "k=2", "--only", "k!=2");

/// Wrong usage: exit code 2, or 30 for a folder that cannot be used.
#[test]
fn usage() {
    let lab = Lab::small();
    lab.write("experiments/large.yaml", vec![b'#'; 5 << 20]);
    let mut text = String::new();
    for (line, code) in [
        ("plan", 2),
        ("pln", 2),
        ("plan experiments/small.yaml --jsn", 2),
        ("plan experiments/small.yaml --jobs 0", 2),
        ("plan experiments/smal.yaml", 2),
        ("plan nowhere/small.yaml", 2),
        ("plan experiments", 2),
        ("plan experiments/large.yaml", 2),
        ("-C experimnts plan small.yaml", 2),
        (
            "--store experiments/small.yaml plan experiments/small.yaml",
            30,
        ),
        ("cat experiments/small.yaml samples/train --format yaml", 2),
        (
            "export samples experiments/small.yaml --domain film --split test",
            2,
        ),
        ("schema experiments", 2),
        ("completions bsh", 2),
        ("cache", 2),
    ] {
        let outcome = lab.run(line);
        assert_eq!(outcome.code, code, "{line}\n{outcome}");
        let _ = writeln!(text, "$ runner {line}\n{outcome}");
    }
    assert_redacted!("usage", text);
}

#[test]
fn colours_need_a_terminal() {
    // The outcome's constructor looks for escape sequences.
    let lab = Lab::small();
    assert_eq!(lab.run_list(&["plan", EXPERIMENT, "--set", "x=1"]).code, 10);
}
