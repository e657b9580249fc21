//! What the program says about input that is wrong: one snapshot each.
//!
//! Accept a changed message with `INSTA_UPDATE=always cargo test --test bad_input` and read the
//! difference of the snapshots.

#[path = "../program/mod.rs"]
mod program;

mod arguments;
mod data;
mod experiment;
mod pipeline;
mod yaml;

use program::{EXPERIMENT, Lab};

/// Plans the small experiment after some changes; what is said must be said in no time.
#[macro_export]
macro_rules! wrong {
    ($name:ident, $file:expr, $old:expr => $new:expr $(, $argument:expr)*) => {
        #[test]
        fn $name() {
            let lab = $crate::program::Lab::small();
            lab.edit($file, $old, $new);
            $crate::wrong_plan(&lab, stringify!($name), &[$($argument),*]);
        }
    };
    ($name:ident, $($argument:expr),+) => {
        #[test]
        fn $name() {
            let lab = $crate::program::Lab::small();
            $crate::wrong_plan(&lab, stringify!($name), &[$($argument),+]);
        }
    };
}

/// Plans, expects exit code 10 and no trace in the folder, and compares what was said.
fn wrong_plan(lab: &Lab, name: &str, arguments: &[&str]) {
    let mut all = vec!["plan", EXPERIMENT];
    all.extend(arguments);
    let outcome = lab.run_list(&all);
    assert_eq!(outcome.code, 10, "{outcome}");
    assert_eq!(outcome.out, "");
    assert!(
        lab.files("results").is_empty() && lab.files(".runner").is_empty(),
        "something was written"
    );
    assert_redacted!(name, outcome.err);
}
