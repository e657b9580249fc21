//! What every registered recommender must do, by name of the registry.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use serde_json::{Value, json};

use super::sequence::ItemVectors;
use super::*;
use crate::base::Random;
use crate::data::{Domain, Item, Rated, Sample};
use crate::train::Silent;

fn item(number: usize) -> Item {
    Item {
        id: number.to_string(),
        title: format!("Item {number}"),
        maker: None,
    }
}

/// Samples of 12 users over `items` films, histories of 0 to 14, labels at random.
pub(crate) fn samples(rows: usize, items: usize, seed: u64) -> Vec<Sample> {
    let mut random = Random::new(seed, "samples");
    (0..rows)
        .map(|row| Sample {
            row: row as u32,
            domain: Domain::Movie,
            user: Some(random.below(12).to_string()),
            time: None,
            history: (0..random.below(15))
                .map(|_| Rated {
                    item: item(random.below(items)),
                    liked: random.uniform() < 0.5,
                })
                .collect(),
            target: item(random.below(items)),
            label: random.uniform() < 0.5,
            instruction: String::new(),
            input: String::new(),
            output: String::new(),
        })
        .collect()
}

/// Settings that keep a trained method short; others have no such setting.
fn brief(method: &dyn Recommender) -> Value {
    let short = json!({"epochs": 3, "hidden_size": 8, "batch_size": 7});
    if method.complete(&short).is_ok() {
        short
    } else {
        json!({})
    }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy();
            (name.into_owned(), fs::read(&path).expect("readable"))
        })
        .collect()
}

/// Vectors of the items below 30.
fn any_vectors() -> &'static ItemVectors {
    static VECTORS: LazyLock<ItemVectors> = LazyLock::new(|| {
        let keys: Vec<String> = (0..30).map(|number| format!("movie/{number}")).collect();
        let mut random = Random::new(1, "vectors");
        let numbers: Vec<f32> = (0..30 * 5).map(|_| random.normal() as f32).collect();
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("vectors.safetensors");
        ItemVectors::write(&path, 5, &keys, &numbers).expect("write");
        ItemVectors::read(&path).expect("read")
    });
    &VECTORS
}

fn vectors_for(method: &dyn Recommender) -> Option<&'static ItemVectors> {
    method.needs_item_vectors().then(any_vectors)
}

fn task<'a>(
    method: &dyn Recommender,
    (train, valid): (&'a [Sample], &'a [Sample]),
    seed: u64,
    folder: &'a Path,
) -> FitTask<'a> {
    FitTask {
        train,
        valid,
        catalogue: &[],
        seed,
        folder,
        item_vectors: vectors_for(method),
    }
}

fn score(method: &dyn Recommender, folder: &Path, samples: &[Sample]) -> Scores {
    let task = ScoreTask {
        folder,
        samples,
        item_vectors: vectors_for(method),
    };
    method.score(&task).expect("complete")
}

fn fit(method: &dyn Recommender, settings: &Value, seed: u64, folder: &Path) -> FitReport {
    let (train, valid) = (samples(30, 20, 1), samples(40, 20, 2));
    method
        .fit(
            settings,
            &task(method, (&train, &valid), seed, folder),
            &mut Silent,
        )
        .unwrap_or_else(|error| panic!("{}: {error}", method.name()))
}

#[test]
fn scores_are_probabilities_and_survive_the_disk() {
    for method in RECOMMENDERS {
        let folder = tempfile::tempdir().expect("folder");
        let report = fit(*method, &brief(*method), 1, folder.path());
        let valid = samples(40, 20, 2);
        let again = score(*method, folder.path(), &valid);
        assert_eq!(again.likes, report.valid_scores, "{}", method.name());
        assert_eq!(
            of_folder(folder.path()).expect("made").name(),
            method.name()
        );
        let strangers: Vec<Sample> = samples(50, 400, 3)
            .into_iter()
            .map(|mut sample| {
                sample.target = item(1000);
                sample
            })
            .collect();
        let scores = score(*method, folder.path(), &strangers);
        assert_eq!(scores.likes.len(), 50);
        for score in scores.likes.iter().chain(&report.valid_scores) {
            assert!((0.0..=1.0).contains(score), "{} {score}", method.name());
        }
        let expected = if method.learns_item_ids() { 50 } else { 0 };
        assert_eq!(
            scores.unknown.unknown_targets,
            expected,
            "{}",
            method.name()
        );
        assert!(score(*method, folder.path(), &[]).likes.is_empty());
    }
}

#[test]
fn same_seed_same_bytes_with_any_number_of_threads() {
    for method in RECOMMENDERS {
        let made = |seed, threads| {
            let folder = tempfile::tempdir().expect("folder");
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let pool = pool.expect("threads");
            let report = pool.install(|| fit(*method, &brief(*method), seed, folder.path()));
            (report, files(folder.path()))
        };
        let (one, three) = (made(7, 1), made(7, 3));
        assert_eq!(one, three, "{}", method.name());
        if !one.0.curve.is_empty() {
            let other = made(8, 1);
            assert_ne!(one.1, other.1, "{}", method.name());
        }
    }
}

/// Every variable got a gradient in every step, or the fit had failed with its name; here a
/// handful of rows is learned by heart.
#[test]
fn trained_methods_learn_a_batch_by_heart() {
    let mut trained = 0;
    for method in RECOMMENDERS {
        let hard = json!({
            "epochs": 300, "patience": 300, "hidden_size": 16, "batch_size": 8,
            "learning_rate": 0.02, "dropout": 0.0, "weight_decay": 0.0,
        });
        if method.complete(&hard).is_err() {
            continue;
        }
        trained += 1;
        let known = method.complete(&json!({})).expect("defaults");
        for padding in ["last_item", "none"] {
            for feedback in ["embedded", "none"] {
                for loss in ["mse", "bce"] {
                    let mut settings = hard.clone();
                    settings["padding"] = json!(padding);
                    settings["feedback"] = json!(feedback);
                    settings["loss"] = json!(loss);
                    if known.get("dro_weight").is_some() {
                        // The robust term is never 0: with 30 items, at least ln 30.
                        settings["dro_weight"] = json!(1e-5);
                    }
                    let rows = samples(8, 30, 4);
                    let folder = tempfile::tempdir().expect("folder");
                    let report = method
                        .fit(
                            &settings,
                            &task(*method, (&rows, &rows), 1, folder.path()),
                            &mut Silent,
                        )
                        .expect("fits");
                    let last = report.curve.last().expect("epochs");
                    assert!(last.loss < 0.02, "{} {settings} {last:?}", method.name());
                    assert!(last.valid_auc > 1.0 - 1e-12, "{} {settings}", method.name());
                }
            }
        }
    }
    let untrained = ["majority", "like_share", "item_mean"];
    assert_eq!(trained + untrained.len(), RECOMMENDERS.len());
}

#[test]
fn item_vectors_are_given_to_whom_reads_them_and_no_other() {
    let (train, valid) = (samples(30, 20, 1), samples(40, 20, 2));
    for method in RECOMMENDERS {
        let folder = tempfile::tempdir().expect("folder");
        let mut wrong = task(*method, (&train, &valid), 1, folder.path());
        wrong.item_vectors = match wrong.item_vectors {
            Some(_) => None,
            None => Some(any_vectors()),
        };
        let fitted = method.fit(&brief(*method), &wrong, &mut Silent);
        let error = fitted.expect_err("refused").to_string();
        assert!(error.contains("item_vectors"), "{error}");

        fit(*method, &brief(*method), 1, folder.path());
        let asked = ScoreTask {
            folder: folder.path(),
            samples: &valid,
            item_vectors: wrong.item_vectors,
        };
        let error = method.score(&asked).expect_err("refused").to_string();
        assert!(error.contains("the model was trained with"), "{error}");
    }
}

#[test]
fn settings_are_strict_documented_and_complete() {
    for method in RECOMMENDERS {
        let error = method.complete(&json!({"no_such_setting": 1}));
        let error = error.expect_err("strict");
        assert!(error.message.contains("no_such_setting"), "{error}");
        let completed = method.complete(&json!({})).expect("defaults");
        assert_eq!(method.complete(&completed).as_ref(), Ok(&completed));
        let schema = serde_json::to_value(method.schema()).expect("json");
        for (name, _) in completed.as_object().expect("an object") {
            let field = &schema["properties"][name];
            let documented = field["description"].is_string();
            assert!(documented, "{}.{name}: {field}", method.name());
        }
    }
    let wrong = |settings: Value| find("gru4rec").expect("there").complete(&settings);
    assert_eq!(
        wrong(json!({"dropout": 1.0})).expect_err("range").path,
        "dropout"
    );
    assert_eq!(
        wrong(json!({"layers": "x"})).expect_err("type").path,
        "layers"
    );
    assert_eq!(
        wrong(json!({"epochs": 0})).expect_err("range").path,
        "epochs"
    );
}

#[test]
fn names_are_unique_files_are_registered_and_wrong_names_get_help() {
    let mut names: Vec<&str> = RECOMMENDERS.iter().map(|method| method.name()).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/recommender");
    let shared = ["mod", "contract", "error", "tests", "sequence"];
    let mut stems: Vec<String> = fs::read_dir(folder)
        .expect("sources")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            path.file_stem()
                .expect("a stem")
                .to_string_lossy()
                .into_owned()
        })
        .filter(|stem| !shared.contains(&stem.as_str()))
        .collect();
    stems.sort_unstable();
    names.sort_unstable();
    assert_eq!(names, stems);
    let message = |name| find(name).err().expect("unknown").to_string();
    assert!(message("gru4rek").contains("did you mean `gru4rec`?"));
}

#[test]
fn trivial_methods_by_hand() {
    let mut rows = samples(4, 5, 1);
    for (row, label) in rows.iter_mut().zip([true, true, true, false]) {
        row.label = label;
        row.target = item(1);
        row.user = Some(row.row.to_string());
        row.history = vec![
            Rated {
                item: item(2),
                liked: true,
            },
            Rated {
                item: item(3),
                liked: false,
            },
        ];
    }
    rows[3].target = item(2);
    let fitted = |name: &str, settings: Value| {
        let method = find(name).expect("there");
        let folder = tempfile::tempdir().expect("folder");
        let report = method.fit(
            &settings,
            &task(method, (&rows, &rows), 1, folder.path()),
            &mut Silent,
        );
        report.expect("fits").valid_scores
    };
    assert_eq!(fitted("majority", json!({})), [0.75; 4]);
    assert_eq!(fitted("like_share", json!({})), [0.5; 4]);
    let plain = fitted("item_mean", json!({"smoothing": 0.0}));
    assert_eq!(plain, [1.0, 1.0, 1.0, 0.0]);
    let smooth = fitted("item_mean", json!({"smoothing": 1.0}));
    assert_eq!(smooth, [3.75 / 4.0, 3.75 / 4.0, 3.75 / 4.0, 0.75 / 2.0]);
    // Three users liked item 2 in their histories; of the fourth the label came first.
    let history = fitted(
        "item_mean",
        json!({"smoothing": 0.0, "count_history": true}),
    );
    assert_eq!(history, [1.0, 1.0, 1.0, 0.75]);
}
