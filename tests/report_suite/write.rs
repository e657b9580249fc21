//! The folder of a report: complete, unchanged where nothing changed, and clear about failures.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use crate::fixture::{input, set};
use runner::report::{ReportInput, Selection, write_all};
use runner::results::ResultSet;

fn contents(folder: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| {
            let entry = entry.expect("an entry");
            let changed = entry.metadata().and_then(|meta| meta.modified());
            (
                entry.file_name().into_string().expect("a name"),
                (
                    fs::read(entry.path()).expect("a file"),
                    changed.expect("a time"),
                ),
            )
        })
        .collect()
}

#[test]
fn a_second_write_touches_nothing_and_a_change_only_what_it_changes() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path().join("results/fixture");
    let results = set();
    let mut input = input(&results);
    let paths = write_all(&folder, &input, &Selection::all(), None).expect("written");
    let first = contents(&folder);
    let names: Vec<&str> = first.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "auc_by_shots.png",
            "auc_by_shots.svg",
            "better.csv",
            "better.md",
            "better.tex",
            "comparison.csv",
            "comparison.md",
            "comparison.tex",
            "comparisons.csv",
            "report.json",
            "report.md",
            "results.csv",
            "zero_shot.png",
            "zero_shot.svg"
        ]
    );
    assert_eq!(paths.len(), names.len());
    assert!(paths.iter().all(|path| path.exists()));
    for (name, (bytes, _)) in &first {
        let text = String::from_utf8_lossy(bytes);
        let outside = place.path().to_string_lossy();
        assert!(!text.contains(outside.as_ref()), "{name} names its folder");
    }
    write_all(&folder, &input, &Selection::all(), None).expect("written again");
    assert_eq!(contents(&folder), first);

    input.description.push_str(" Changed.");
    write_all(&folder, &input, &Selection::all(), None).expect("written again");
    let second = contents(&folder);
    let changed: Vec<&str> = second
        .iter()
        .filter(|(name, file)| first.get(*name) != Some(file))
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(changed, ["report.json", "report.md"]);
}

#[test]
fn a_figure_without_data_is_removed_and_the_page_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let results = set();
    write_all(folder.path(), &input(&results), &Selection::all(), None).expect("written");
    let empty = ResultSet::default();
    let input = ReportInput::new("fixture", &empty);
    // Asked for, it says why it is not there; else it is not mentioned.
    let asked = Selection::named(&["comparison"], &["auc_by_shots"]).expect("registered");
    write_all(folder.path(), &input, &asked, None).expect("written");
    let files = contents(folder.path());
    assert!(!files.contains_key("auc_by_shots.png"));
    let page = String::from_utf8_lossy(&files["report.md"].0).into_owned();
    assert!(
        page.contains("Not drawn: experiment `fixture` has no row on the test split."),
        "{page}"
    );
}

#[test]
fn an_unwritable_folder_is_named_with_what_to_do() {
    let place = tempfile::tempdir().expect("a folder");
    // A file where the folder should be fails for every user, the superuser too.
    let folder = place.path().join("taken");
    fs::write(&folder, "a file").expect("written");
    let results = set();
    let selection = Selection::named::<&str>(&[], &[]).expect("nothing");
    let error = write_all(&folder, &input(&results), &selection, None).expect_err("unwritable");
    let message = error.to_string();
    assert!(message.contains("taken"), "{message}");
    assert!(message.contains("make the folder writable"), "{message}");
    assert_eq!(fs::read(&folder).expect("still there"), b"a file");
}

#[test]
fn a_wrong_name_is_answered_with_the_right_one() {
    let error = Selection::named(&["comparisons"], &[]).expect_err("no such table");
    assert!(
        error.to_string().contains("did you mean `comparison`?"),
        "{error}"
    );
    let error = Selection::named(&[], &["auc_by_shot"]).expect_err("no such figure");
    assert!(
        error.to_string().contains("did you mean `auc_by_shots`?"),
        "{error}"
    );
}
