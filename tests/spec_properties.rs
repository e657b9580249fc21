//! What holds of every grid, override, template and file, whatever is written.

#![expect(
    clippy::panic,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may fail where it stands"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use runner::spec::template::{Lookup, Template};
use runner::spec::yaml::parse;
use runner::spec::{Diagnostics, Grid, LoadError, Node, Request, Sources, Span, expand, overrides};
use runner::study::{Folders, Study, StudyError};
use serde_json::{Value, json};

fn grid(text: &str) -> Grid {
    let mut diagnostics = Diagnostics::default();
    let node = parse(text, 0, &mut diagnostics).expect("YAML");
    let grid = expand::expand(Some(&node), &mut diagnostics);
    assert!(diagnostics.is_empty(), "{text}\n{diagnostics:?}");
    grid
}

fn cells(grid: &Grid) -> Vec<String> {
    grid.cells.iter().map(|cell| grid.describe(cell)).collect()
}

/// Some axes, each with some values: `x0: [0, 1, 2]`.
fn axes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1_usize..5, 1..5)
}

fn written(sizes: &[usize]) -> String {
    let lines = sizes.iter().enumerate().map(|(axis, size)| {
        let values: Vec<String> = (0..*size).map(|value| value.to_string()).collect();
        format!("x{axis}: [{}]\n", values.join(", "))
    });
    lines.collect()
}

proptest! {
    #[test]
    fn a_grid_is_the_product_of_its_axes(sizes in axes()) {
        let grid = grid(&written(&sizes));
        prop_assert_eq!(grid.cells.len(), sizes.iter().product::<usize>());
        let mut all = cells(&grid);
        all.sort();
        all.dedup();
        prop_assert_eq!(all.len(), grid.cells.len(), "no cell twice");
    }

    #[test]
    fn the_last_axis_runs_fastest(sizes in axes()) {
        let grid = grid(&written(&sizes));
        for (index, cell) in grid.cells.iter().enumerate() {
            let mut rest = index;
            for (axis, size) in sizes.iter().enumerate().rev() {
                prop_assert_eq!(cell.position(axis), Some((rest % size) as u32));
                rest /= size;
            }
        }
    }

    #[test]
    fn exclude_takes_out_what_agrees_and_include_brings_it_back(sizes in axes(), pick in 0_usize..4) {
        let axis = pick % sizes.len();
        prop_assume!(sizes[axis] > 1);
        let whole = grid(&written(&sizes));
        let less = grid(&format!("{}exclude: [{{x{axis}: 0}}]\n", written(&sizes)));
        prop_assert_eq!(less.cells.len(), whole.cells.len() / sizes[axis] * (sizes[axis] - 1));
        let again = grid(&format!(
            "{}exclude: [{{x{axis}: 0}}]\ninclude: [{{x{axis}: 0}}]\n",
            written(&sizes)
        ));
        let sorted = |grid: &Grid| { let mut all = cells(grid); all.sort(); all };
        prop_assert_eq!(sorted(&again), sorted(&whole));
    }

    #[test]
    fn include_of_a_new_value_adds_a_slice(sizes in axes(), pick in 0_usize..4) {
        let axis = pick % sizes.len();
        let more = grid(&format!("{}include: [{{x{axis}: 99}}]\n", written(&sizes)));
        let whole: usize = sizes.iter().product();
        prop_assert_eq!(more.cells.len(), whole + whole / sizes[axis]);
    }

    #[test]
    fn zipped_axes_walk_side_by_side(length in 1_usize..6, other in 1_usize..4) {
        let values: Vec<String> = (0..length).map(|value| value.to_string()).collect();
        let others: Vec<String> = (0..other).map(|value| value.to_string()).collect();
        let list = values.join(", ");
        let grid = grid(&format!(
            "zip: [{{a: [{list}], b: [{list}]}}]\nc: [{}]\n",
            others.join(", ")
        ));
        prop_assert_eq!(grid.cells.len(), length * other);
        for cell in &grid.cells {
            prop_assert_eq!(grid.get(cell, "a"), grid.get(cell, "b"));
        }
    }

    #[test]
    fn ranges_have_both_ends(low in 0_i64..50, more in 0_i64..50, step in 1_i64..7) {
        let high = low + more;
        let plain = grid(&format!("a: {low}..{high}\n"));
        prop_assert_eq!(plain.cells.len() as i64, more + 1);
        let stepped = grid(&format!("a: {{range: {low}..{high}, step: {step}}}\n"));
        prop_assert_eq!(stepped.cells.len() as i64, more / step + 1);
    }

    #[test]
    fn ranges_of_k_double(low in 1_i64..9, doublings in 0_u32..9) {
        let high = low << doublings;
        let grid = grid(&format!("k: {low}..{high}\n"));
        prop_assert_eq!(grid.cells.len() as u32, doublings + 1);
        let last = grid.axes[0].values.last().expect("a value");
        prop_assert_eq!(last.to_string(), high.to_string());
    }

    #[test]
    fn what_is_set_is_read_back(
        path in prop::collection::vec("[a-z]{1,4}", 1..4),
        value in prop_oneof![
            any::<i32>().prop_map(|value| json!(value)),
            any::<bool>().prop_map(|value| json!(value)),
            "[a-z ]{0,9}".prop_map(|value| json!(value)),
            prop::collection::vec(0_i32..9, 0..4).prop_map(|value| json!(value)),
        ],
    ) {
        let mut diagnostics = Diagnostics::default();
        let mut sources = Sources::default();
        let mut root = parse("first: 1\n", 0, &mut diagnostics).expect("YAML");
        let argument = format!("{}={value}", path.join("."));
        prop_assume!(path[0] != "first");
        overrides::apply(&mut root, &[argument], &mut sources, &mut diagnostics);
        prop_assert!(diagnostics.is_empty(), "{:?}", diagnostics);
        let mut at = &root;
        for key in &path {
            at = at.get(key).expect("what was set");
        }
        prop_assert_eq!(at.to_json(), value);
        prop_assert_eq!(root.get("first").map(Node::to_json), Some(json!(1)));
    }

    #[test]
    fn templates_put_values_in_place(
        parts in prop::collection::vec((prop::sample::select(vec!["a", "b", "c.d"]), "[x-z /-]{0,4}"), 0..5),
        start in "[x-z /-]{1,4}",
    ) {
        let values = BTreeMap::from([("a", json!(16)), ("b", json!("text")), ("c.d", json!(0.5))]);
        let mut text = start.clone();
        let mut expected = start;
        for (name, after) in &parts {
            let _ = write!(text, "${{{name}}}{after}");
            match &values[name] {
                Value::String(value) => expected.push_str(value),
                value => expected.push_str(&value.to_string()),
            }
            expected.push_str(after);
        }
        let mut diagnostics = Diagnostics::default();
        let template = Template::compile(&Node::text(&text, Span::default()), &mut diagnostics);
        let resolved = template.resolve(&mut Values(&values)).expect("all are known");
        prop_assert_eq!(resolved, Some(json!(expected)));
    }

    #[test]
    fn any_text_is_a_template_or_a_diagnostic(text in "[${}?.a\\PC]{0,40}") {
        let mut diagnostics = Diagnostics::default();
        let template = Template::compile(&Node::text(&text, Span::default()), &mut diagnostics);
        let _ = template.resolve(&mut Values(&BTreeMap::new()));
    }

    #[test]
    fn any_text_is_a_tree_or_a_diagnostic(text in "[a\\[\\]{}:&*|>\"'#, \n\t\\PC-]{0,80}") {
        let mut diagnostics = Diagnostics::default();
        let node = parse(&text, 0, &mut diagnostics);
        prop_assert_eq!(node.is_none(), !diagnostics.is_empty());
    }
}

struct Values<'v>(&'v BTreeMap<&'static str, Value>);

impl Lookup for Values<'_> {
    fn lookup(&mut self, path: &str) -> Option<Value> {
        self.0.get(path).cloned()
    }
}

/// A small generator of our own: the same mutations at every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % limit.max(1)
    }

    fn pick<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from[self.below(from.len())]
    }
}

/// Values of every type, and of none.
const VALUES: [&str; 16] = [
    "",
    "~",
    "[]",
    "{}",
    "[1, 2]",
    "{a: 1}",
    "3.5",
    "-1",
    "true",
    "text",
    "\"\"",
    ".nan",
    "1e400",
    "0x10",
    "2001-01-01",
    "!!binary aGk=",
];

/// What makes texts more than bytes, or less.
const ODD_BYTES: [&[u8]; 10] = [
    b"\xff",
    b"\xe9",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xf8\x88",
    b"\0",
    b"\x1b[31m",
    b"\xef\xbb\xbf",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
];

/// Puts `value` where a line has one; a line that has none gets it at its end.
fn replace_value(line: &str, value: &str) -> String {
    let end = if line.ends_with('\n') { "\n" } else { "" };
    match line.split_once(": ") {
        Some((key, _)) => format!("{key}: {value}{end}"),
        None => format!("{} {value}{end}", line.trim_end()),
    }
}

/// A key with a letter lost, doubled, changed or exchanged with the next.
fn misspell(line: &str, dice: &mut Dice) -> String {
    let Some((key, rest)) = line.split_once(':') else {
        return format!("x{line}");
    };
    let mut letters: Vec<char> = key.chars().collect();
    let start = letters.iter().position(|letter| letter.is_alphanumeric());
    let (Some(start), count) = (start, letters.len()) else {
        return format!("{key}x:{rest}");
    };
    let at = start + dice.below(count - start);
    match dice.below(4) {
        0 => drop(letters.remove(at)),
        1 => letters.insert(at, letters[at]),
        2 if at + 1 < count => letters.swap(at, at + 1),
        _ => letters[at] = 'q',
    }
    format!("{}:{rest}", letters.into_iter().collect::<String>())
}

/// The same with every run of digits made enormous.
fn enlarge(line: &str, dice: &mut Dice) -> String {
    let digits = dice.pick(&[
        "99999999999999999999",
        "18446744073709551616",
        "-9223372036854775809",
        "0..9223372036854775807",
        "1e308",
        "000000000000000000000000000000000000000000000000000000000000001",
    ]);
    if !line.contains(|letter: char| letter.is_ascii_digit()) {
        return replace_value(line, digits);
    }
    let mut large = String::new();
    let mut inside = false;
    for letter in line.chars() {
        if !letter.is_ascii_digit() {
            large.push(letter);
        } else if !inside {
            large.push_str(digits);
        }
        inside = letter.is_ascii_digit();
    }
    large
}

/// Changes a text as a slip of the hand would, or worse.
fn mutate(text: &str, dice: &mut Dice) -> Vec<u8> {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let at = dice.below(lines.len());
    match dice.below(16) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(at, lines[at].clone()),
        2 => {
            let other = dice.below(lines.len());
            lines.swap(at, other);
        }
        3 => lines[at] = lines[at].trim_start_matches(' ').to_owned(),
        4 => lines[at].insert_str(0, &" ".repeat(1 + dice.below(5))),
        5 => lines[at].insert(0, '\t'),
        6 | 7 => lines[at] = replace_value(&lines[at], dice.pick(&VALUES)),
        8 | 9 => lines[at] = misspell(&lines[at], dice),
        10 => lines[at] = enlarge(&lines[at], dice),
        11 => {
            let (open, close) = [("[", "]"), ("{a: ", "}"), ("- ", "")][dice.below(3)];
            let depth = 1 + dice.below(400);
            // Left open every other time.
            let close = close.repeat(depth * dice.below(2));
            lines[at] = replace_value(&lines[at], &format!("{}1{close}", open.repeat(depth)));
        }
        12 => {
            let value = dice.pick(&["*nobody", "&a [*a]", "&a", "&a &b 1", "{<<: *nobody}"]);
            lines[at] = replace_value(&lines[at], value);
            let other = dice.below(lines.len());
            lines[other] = replace_value(&lines[other], "*a");
        }
        13 => {
            let mut bytes = text.as_bytes().to_vec();
            let at = dice.below(bytes.len());
            let odd = ODD_BYTES[dice.below(ODD_BYTES.len())];
            bytes.splice(at..at, odd.iter().copied());
            return bytes;
        }
        14 => {
            let mut bytes = text.as_bytes().to_vec();
            bytes.truncate(dice.below(bytes.len()));
            return bytes;
        }
        _ => {
            let mut bytes = text.as_bytes().to_vec();
            for _ in 0..=dice.below(3) {
                let at = dice.below(bytes.len());
                let printable = b" :-[]{}#&*!|>'\"%@`,?$.0123456789abkz\t\n\xff";
                bytes[at] = match dice.below(2) {
                    0 => bytes[at] ^ (1 << dice.below(8)),
                    _ => printable[dice.below(printable.len())],
                };
            }
            return bytes;
        }
    }
    lines.concat().into_bytes()
}

/// Opens an experiment with all its stages; fails on a panic, on slowness, and on a problem
/// without a line and a column.
fn open(experiment: &Path, set: Vec<String>, folder: &Path, what: &str) -> bool {
    let request = Request {
        path: experiment.to_owned(),
        set,
        only: Vec::new(),
    };
    let folders = Folders {
        store: folder.join("store"),
        results: folder.join("results"),
    };
    #[expect(clippy::disallowed_methods, reason = "time is what is tested")]
    let start = Instant::now();
    let opened = Study::open(&request, folders);
    let elapsed = start.elapsed();
    // Nothing takes a second where nothing else runs; all other tests may run beside it.
    assert!(elapsed < Duration::from_secs(60), "{elapsed:?} for\n{what}");
    match opened {
        Ok(_) => true,
        Err(StudyError::Load(LoadError::Invalid(error)) | StudyError::Spec(error)) => {
            let list = error.diagnostics.sorted();
            assert!(!list.is_empty(), "{what}");
            for one in list {
                let span = one.span.unwrap_or_else(|| {
                    panic!("{one:?} has no place in\n{what}");
                });
                let (line, column) = error.sources.line_and_column(span);
                let source = error.sources.get(span).expect("a source");
                let lines = source.text.split('\n').count();
                assert!((1..=lines).contains(&line) && column > 0, "{one:?}\n{what}");
            }
            assert!(runner::cli::render(&error, false).contains("nothing was run"));
            false
        }
        Err(error) => panic!("{error}\n{what}"),
    }
}

/// Mutations of one file each: how many could still be read, and how many were refused.
fn try_mutations(of: &Path, count: usize, seed: u64) -> (usize, usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let mutated = folder.path().join("mutated.yaml");
    let original = fs::read_to_string(of).expect("a text");
    let mut dice = Dice(seed);
    let mut counts = (0, 0);
    for _ in 0..count {
        let text = mutate(&original, &mut dice);
        fs::write(&mutated, &text).expect("written");
        let what = format!("{}\n{}", of.display(), String::from_utf8_lossy(&text));
        // A pipeline is read on behalf of an experiment that uses it.
        let fine = if of.starts_with("pipelines") {
            let name = match of.file_stem() {
                Some(stem) if stem == "pretrain" => "pretrain_world",
                _ => "quickstart",
            };
            let experiment = PathBuf::from(format!("experiments/{name}.yaml"));
            let set = vec![format!("pipeline={}", mutated.display())];
            open(&experiment, set, folder.path(), &what)
        } else {
            open(&mutated, Vec::new(), folder.path(), &what)
        };
        if fine {
            counts.0 += 1;
        } else {
            counts.1 += 1;
        }
    }
    counts
}

/// Every shipped experiment and pipeline, changed in every way: what is refused is refused with a
/// place.
#[test]
fn a_thousand_malformed_files_are_explained() {
    let shipped = |folder: &str| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).expect("a folder");
        let mut paths: Vec<PathBuf> = entries
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
            .collect();
        paths.sort();
        paths
    };
    let mut work: Vec<(PathBuf, usize)> = Vec::new();
    for path in shipped("experiments") {
        // The two grids of the paper have thousands of stages; reading one takes a while.
        let is_large = path.ends_with("ablation.yaml") || path.ends_with("table3.yaml");
        work.push((path, if is_large { 60 } else { 250 }));
    }
    work.extend(shipped("pipelines").into_iter().map(|path| (path, 250)));
    let counts: Vec<(usize, usize)> = thread::scope(|scope| {
        let threads: Vec<_> = (1_u64..)
            .zip(&work)
            .map(|(seed, (path, count))| scope.spawn(move || try_mutations(path, *count, seed)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    let fine: usize = counts.iter().map(|(fine, _)| fine).sum();
    let refused: usize = counts.iter().map(|(_, refused)| refused).sum();
    // Comments and descriptions may change; most else may not.
    println!("{fine} read, {refused} refused");
    assert!(
        fine > 100 && refused >= 1_000,
        "{fine} read, {refused} refused"
    );
}

/// Files of a few lines that ask for more than any memory holds, or for a stack without an end.
#[test]
fn files_that_grow_are_refused_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("grows.yaml");
    let ranges = vec!["0..99999"; 2_000].join(", ");
    let many = |prefix: &str, value: &str, count: usize| -> String {
        let entries: Vec<String> = (0..count)
            .map(|index| format!("{prefix}{index}: {value}"))
            .collect();
        entries.join(", ")
    };
    let grids = [
        "method: [{gru4rec: {a: 0..99999, b: 0..99999, c: 0..99999}}]".to_owned(),
        format!("a: [{ranges}]"),
        many("a", "0..99999", 60),
        many("a", "1", 2_000),
        format!("zip: [{{{}}}]", many("a", "0..99999", 60)),
        format!("method: [{}]", many("m", "{a: 0..99999}", 500)),
        format!(
            "k: 1..64, include: [{}]",
            vec!["{k: 3, seed: 0..9}"; 300].join(", ")
        ),
        "a: 0..99999, include: [{a: 100000..199999}, {a: 200000..299999}]".to_owned(),
    ];
    for grid in grids {
        let text = format!("pipeline: pipelines/tallrec.yaml\ngrid: {{{grid}}}\n");
        fs::write(&path, &text).expect("written");
        let what = &text[..text.len().min(200)];
        assert!(!open(&path, Vec::new(), folder.path(), what), "{what}");
    }

    // A chain of stages, each of which needs the one before.
    let pipeline = folder.path().join("chain.yaml");
    let experiment = "pipeline: chain.yaml\ngrid: {method: [like_share], domain: movie, k: 16}\n";
    fs::write(&path, experiment).expect("written");
    let set = vec![format!("pipeline={}", pipeline.display())];
    for (length, fine) in [(128, true), (129, false), (20_000, false)] {
        let mut text = "stages:\n  s0: {kind: text, params: {text: a}}\n".to_owned();
        for index in 1..length {
            let before = index - 1;
            let _ = writeln!(
                text,
                "  s{index}: {{kind: text, inputs: {{part: s{before}/text}}}}"
            );
        }
        fs::write(&pipeline, text).expect("written");
        let what = format!("a chain of {length} stages");
        assert_eq!(
            open(&path, set.clone(), folder.path(), &what),
            fine,
            "{what}"
        );
    }

    let text: String = (0..100_000).map(|key| format!("k{key}: 1\n")).collect();
    fs::write(&path, text).expect("written");
    let what = "a hundred thousand unknown keys";
    assert!(!open(&path, Vec::new(), folder.path(), what));

    let deep = vec!["a"; 50_000].join(".");
    let set = vec![format!("{deep}=1")];
    let quickstart = Path::new("experiments/quickstart.yaml");
    assert!(!open(quickstart, set, folder.path(), "a deep --set"));
}
