//! The compiler of `docs/ARCHITECTURE.md`: imports go one way, heavy crates stay at home, files
//! stay short, registries are complete, nothing committed names a path of one machine.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use runner::metric::METRICS;
use runner::recommender::RECOMMENDERS;
use runner::report::{FIGURES, TABLES};
use runner::stage::STAGES;

const MOST_LINES: usize = 500;
const MOST_LINES_OF_MOD: usize = 100;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below a folder of the repository with one of these extensions, in order.
fn files(folder: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extensions.iter().any(|one| extension == *one))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    let relative = path.strip_prefix(root()).unwrap_or(path);
    relative.display().to_string()
}

/// The rows of the table between `<!-- name -->` and `<!-- /name -->`, without its two head lines.
fn table(name: &str) -> Vec<Vec<String>> {
    let text = read(&root().join("docs/ARCHITECTURE.md"));
    let (_, rest) = text
        .split_once(&format!("<!-- {name} -->"))
        .expect("the table begins");
    let (table, _) = rest
        .split_once(&format!("<!-- /{name} -->"))
        .expect("the table ends");
    let lines = table.lines().filter(|line| line.starts_with('|'));
    lines
        .skip(2)
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells
                .map(|cell| cell.trim().trim_matches('`').to_owned())
                .collect()
        })
        .collect()
}

fn listed(cell: &str) -> BTreeSet<String> {
    cell.split(", ")
        .filter(|name| *name != "–")
        .map(str::to_owned)
        .collect()
}

/// The module a file of `src/` belongs to; none for the roots of the crates.
fn module(path: &Path) -> Option<String> {
    let relative = path.strip_prefix(root().join("src")).ok()?;
    let mut parts = relative.components();
    let first = parts.next()?.as_os_str().to_str()?;
    parts.next().is_some().then(|| first.to_owned())
}

/// Every name that follows `crate::`, in code and in documentation.
fn imports(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let group = group.split('}').next().unwrap_or_default();
            found.extend(group.split(',').map(|name| first_word(name.trim())));
        } else {
            found.insert(first_word(rest));
        }
    }
    found
}

fn first_word(text: &str) -> String {
    text.chars()
        .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
        .collect()
}

#[test]
fn imports_go_one_way() {
    let rows = table("imports");
    let order: Vec<&String> = rows.iter().map(|row| &row[0]).collect();
    let allowed: BTreeMap<&String, BTreeSet<String>> =
        rows.iter().map(|row| (&row[0], listed(&row[2]))).collect();
    for (position, row) in rows.iter().enumerate() {
        for import in listed(&row[2]) {
            assert!(
                order[..position].contains(&&import),
                "the table is not in order: `{}` imports `{import}`, which is not above it",
                row[0]
            );
        }
    }
    let mut wrong = Vec::new();
    let mut modules = BTreeSet::new();
    for path in files("src", &["rs"]) {
        let Some(module) = module(&path) else {
            continue;
        };
        let Some(allowed) = allowed.get(&module) else {
            panic!("`{module}` is missing in the table of docs/ARCHITECTURE.md");
        };
        for import in imports(&read(&path)) {
            let is_module = order.contains(&&import);
            if is_module && import != module && !allowed.contains(&import) {
                wrong.push(format!("{} imports `{import}`", shown(&path)));
            }
        }
        modules.insert(module);
    }
    assert!(wrong.is_empty(), "not in the table:\n{}", wrong.join("\n"));
    for name in order {
        assert!(modules.contains(name), "there is no module `{name}`");
    }
}

#[test]
fn heavy_crates_stay_at_home() {
    for row in table("homes") {
        let homes = listed(&row[1]);
        let used: BTreeSet<String> = files("src", &["rs"])
            .iter()
            .filter(|file| {
                let text = read(file);
                let path = format!("{}::", row[0]);
                let mut uses = text.match_indices(&path);
                uses.any(|(at, _)| {
                    let before = text[..at].chars().next_back();
                    !before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
                })
            })
            .filter_map(|path| module(path))
            .collect();
        assert_eq!(used, homes, "`{}` is used elsewhere than listed", row[0]);
    }
}

#[test]
fn files_stay_short() {
    let exceptions: BTreeSet<String> = table("long")
        .into_iter()
        .map(|mut row| row.remove(0))
        .collect();
    let mut long = BTreeSet::new();
    for path in files("src", &["rs"]) {
        let text = read(&path);
        let lines: Vec<&str> = text
            .lines()
            .take_while(|line| line.trim() != "#[cfg(test)]")
            .collect();
        let is_mod = path.file_name().is_some_and(|name| name == "mod.rs");
        let code = lines.iter().map(|line| line.trim()).filter(|line| {
            let declares = ["//", "mod ", "pub mod ", "use ", "pub use "];
            !line.is_empty() && !declares.iter().any(|start| line.starts_with(start))
        });
        if lines.len() > MOST_LINES || (is_mod && code.count() > MOST_LINES_OF_MOD) {
            long.insert(shown(&path));
        }
    }
    let unlisted: Vec<&String> = long.difference(&exceptions).collect();
    assert!(
        unlisted.is_empty(),
        "longer than allowed, and not listed with a reason: {unlisted:?}"
    );
    for exception in exceptions {
        assert!(
            root().join(&exception).exists(),
            "`{exception}` is listed as long and does not exist"
        );
    }
}

/// Stems of the files of a folder that contain a text.
fn stems(folder: &str, text: &str) -> BTreeSet<String> {
    files(folder, &["rs"])
        .iter()
        .filter(|path| read(path).contains(text))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect()
}

#[test]
fn registries_are_complete_and_named_like_their_files() {
    fn names<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
        names.map(str::to_owned).collect()
    }
    assert_eq!(
        names(STAGES.iter().map(|stage| stage.name())),
        stems("src/stage", "impl StageKind for"),
        "STAGES"
    );
    assert_eq!(
        names(RECOMMENDERS.iter().map(|method| method.name())),
        stems("src/recommender", "\nimpl Method for")
            .union(&stems("src/recommender", "\nimpl Network for"))
            .cloned()
            .collect(),
        "RECOMMENDERS"
    );
    assert_eq!(
        names(METRICS.iter().map(|metric| metric.name())),
        stems("src/metric", "\nimpl Metric for"),
        "METRICS"
    );
    assert_eq!(
        names(TABLES.iter().map(|table| table.name)),
        stems("src/report/table", "const TABLE: Table"),
        "TABLES"
    );
    assert_eq!(
        names(FIGURES.iter().map(|figure| figure.name)),
        stems("src/report/figure", "const FIGURE: Figure"),
        "FIGURES"
    );
}

#[test]
fn stage_kinds_say_what_they_are_and_refuse_what_they_do_not_know() {
    for stage in STAGES {
        let name = stage.name();
        assert!(
            stage.summary().ends_with('.'),
            "{name}: {}",
            stage.summary()
        );
        assert!(stage.version() > 0, "{name}");
        let unknown = serde_json::json!({"no_such_parameter": 1});
        assert!(stage.complete(&unknown).is_err(), "{name} takes anything");
    }
}

#[test]
fn what_can_run_can_be_shown() {
    for method in RECOMMENDERS {
        let name = method.name();
        assert!(
            runner::results::method::find(name).is_some(),
            "`{name}` has no line in results::METHODS"
        );
    }
    for metric in METRICS {
        let name = metric.name();
        let style = runner::results::metric::style(name);
        assert_eq!(style.name, name, "`{name}` has no line in results::METRICS");
        let higher = metric.direction() == runner::metric::Direction::HigherIsBetter;
        assert_eq!(style.higher_is_better, Some(higher), "{name}");
    }
}

#[test]
fn yaml_files_tell_editors_their_schema() {
    for folder in ["experiments", "pipelines", "tests/fixtures"] {
        for path in files(folder, &["yaml", "yml"]) {
            let text = read(&path);
            let first = text.lines().next().unwrap_or_default();
            assert!(
                first.starts_with("# yaml-language-server: $schema=")
                    && first.contains("docs/schema/"),
                "{} does not begin with its schema",
                shown(&path)
            );
        }
    }
}

#[test]
fn nothing_names_a_path_of_one_machine() {
    let folders = [
        "experiments",
        "pipelines",
        "results",
        "docs",
        "src",
        "tests",
    ];
    let extensions = ["yaml", "md", "csv", "svg", "json", "rs", "awk", "py"];
    let mut paths: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| files(folder, &extensions))
        .collect();
    paths.push(root().join("README.md"));
    // Put together here, so that this file does not contain them.
    let starts = ["home", "root", "Users", "work", "mnt"].map(|folder| format!("/{folder}/"));
    for path in paths {
        let text = read(&path);
        for start in &starts {
            for (at, _) in text.match_indices(start.as_str()) {
                let before = text[..at].chars().next_back();
                assert!(
                    before
                        .is_some_and(|letter| letter.is_alphanumeric() || "._-}/".contains(letter)),
                    "{} names an absolute path: {}",
                    shown(&path),
                    text[at..].lines().next().unwrap_or_default()
                );
            }
        }
    }
}

#[test]
fn the_readme_shows_the_committed_table() {
    let comparison = read(&root().join("results/quickstart/comparison.md"));
    let table: Vec<&str> = comparison
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert!(
        read(&root().join("README.md")).contains(&table.join("\n")),
        "copy the first table of results/quickstart/comparison.md into README.md"
    );
}
