//! Every input that fuzzing kept, through the same functions: nothing panics, nothing takes more
//! than a moment, nothing asks for more memory than there is.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test may fail where it stands"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, setrlimit};

#[path = "../fuzz/src/targets.rs"]
pub mod targets;

use targets::TARGETS;

/// Address space for all of it: threads, code and a parser that behaves. A length from a file that
/// is believed asks for more, and ends the test.
const MOST_BYTES: u64 = 4 << 30;

fn corpus(target: &str) -> PathBuf {
    Path::new("fuzz/corpus").join(target)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("entry").path()).collect();
    files.sort();
    files
}

#[test]
fn every_input_of_every_target_is_read_or_refused() {
    setrlimit(Resource::RLIMIT_AS, MOST_BYTES, MOST_BYTES).expect("memory is bounded");
    for (name, target) in TARGETS {
        let files = files(&corpus(name));
        assert!(!files.is_empty(), "there are no inputs for `{name}`");
        for file in files {
            let bytes = fs::read(&file).expect("an input");
            #[expect(clippy::disallowed_methods, reason = "time is what is tested")]
            let start = Instant::now();
            // A panic names the line; which input it was stands here.
            let outcome = std::panic::catch_unwind(|| target(&bytes));
            assert!(outcome.is_ok(), "`{name}` panics at {}", file.display());
            let elapsed = start.elapsed();
            let shown = file.display();
            assert!(
                elapsed < Duration::from_secs(10),
                "{elapsed:?} for `{name}` at {shown}"
            );
        }
    }
}

#[test]
fn there_is_a_target_for_every_corpus_and_a_binary_for_every_target() {
    let names: Vec<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let stems = |folder: &str| -> Vec<String> {
        let stem = |path: PathBuf| path.file_stem()?.to_str().map(str::to_owned);
        files(Path::new(folder))
            .into_iter()
            .filter_map(stem)
            .collect()
    };
    assert_eq!(stems("fuzz/corpus"), names);
    assert_eq!(stems("fuzz/fuzz_targets"), names);
    let manifest = fs::read_to_string("fuzz/Cargo.toml").expect("a manifest");
    for name in &names {
        let line = format!("path = \"fuzz_targets/{name}.rs\"");
        assert!(manifest.contains(&line), "fuzz/Cargo.toml lacks `{name}`");
    }
}

#[test]
fn the_corpus_stays_small() {
    for (name, _) in TARGETS {
        let files = files(&corpus(name));
        let size: u64 = files
            .iter()
            .map(|file| fs::metadata(file).expect("an input").len())
            .sum();
        assert!(files.len() <= 80, "`{name}`: {} files", files.len());
        assert!(size <= 300 * 1024, "`{name}`: {size} bytes");
    }
}
