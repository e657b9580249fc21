//! Samples per CPU second of training the sequence recommenders on one thread, at the paper's sizes.
//!
//! 256 samples, 20 epochs, hidden 64, histories of 10, 1682 items unless told otherwise. Validation is two rows after
//! the last epoch, so the time is that of the training steps; the last lines are for scoring alone.
//! Run with `cargo bench --bench baselines`.

use std::error::Error;
use std::path::Path;

use runner::base::{Random, clock};
use runner::data::{Domain, Item, Rated, Sample};
use runner::recommender::{self, FitTask, ScoreTask};
use runner::train::Silent;
use serde_json::{Value, json};

const ROWS: usize = 256;
const EPOCHS: usize = 20;
const METHODS: [&str; 2] = ["gru4rec", "dros"];
const REPEATS: usize = 10;

fn item(number: usize) -> Item {
    Item {
        id: number.to_string(),
        title: String::new(),
        maker: None,
    }
}

fn samples(rows: usize, items: usize, seed: u64) -> Vec<Sample> {
    let mut random = Random::new(seed, "samples");
    (0..rows)
        .map(|row| Sample {
            row: row as u32,
            domain: Domain::Movie,
            user: None,
            time: None,
            history: (0..10)
                .map(|_| Rated {
                    item: item(random.below(items)),
                    liked: random.uniform() < 0.5,
                })
                .collect(),
            target: item(random.below(items)),
            label: row % 2 == 0,
            instruction: String::new(),
            input: String::new(),
            output: String::new(),
        })
        .collect()
}

/// Seconds of processor time this process has used: a busy machine distorts it less than the
/// wall clock. Wall time where the system does not tell.
fn processor_s(begun: std::time::Instant) -> f64 {
    let ticks = || {
        let text = std::fs::read_to_string("/proc/self/stat").ok()?;
        let mut after_name = text.rsplit_once(')')?.1.split_whitespace().skip(11);
        let user: f64 = after_name.next()?.parse().ok()?;
        let system: f64 = after_name.next()?.parse().ok()?;
        Some((user + system) / 100.0)
    };
    ticks().unwrap_or_else(|| begun.elapsed().as_secs_f64())
}

fn main() -> Result<(), Box<dyn Error>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    pool.install(measure).map_err(Into::into)
}

fn measure() -> Result<(), String> {
    measured().map_err(|error| error.to_string())
}

fn measured() -> Result<(), Box<dyn Error>> {
    let start = clock::now();
    // A catalogue of another size: `cargo bench --bench baselines -- 20000`.
    let given = std::env::args()
        .skip(1)
        .find_map(|given| given.parse().ok());
    let items: usize = given.unwrap_or(1682);
    let train = samples(ROWS, items, 1);
    let mut valid = samples(2, items, 2);
    // Mentioning every item once gives the tables their real number of rows.
    valid[0].history = (0..items)
        .map(|number| Rated {
            item: item(number),
            liked: true,
        })
        .collect();
    let fit = |method: &str, settings: &Value, folder: &Path| -> Result<(), Box<dyn Error>> {
        let task = FitTask {
            train: &train,
            valid: &valid,
            catalogue: &[],
            seed: 1,
            folder,
            item_vectors: None,
        };
        recommender::find(method)?.fit(settings, &task, &mut Silent)?;
        Ok(())
    };
    for method in METHODS {
        for batch_size in [32, 256] {
            for feedback in ["none", "embedded"] {
                let settings = json!({
                    "batch_size": batch_size, "epochs": EPOCHS, "patience": EPOCHS,
                    "evaluate_every": ROWS * EPOCHS, "feedback": feedback, "weight_decay": 1e-5,
                });
                let begun = processor_s(start);
                for _ in 0..REPEATS {
                    fit(method, &settings, tempfile::tempdir()?.path())?;
                }
                let rows = (ROWS * EPOCHS * REPEATS) as f64;
                let per_second = rows / (processor_s(start) - begun);
                tell(&format!(
                    "{method:<8} batch {batch_size:>3}, feedback {feedback:<8}: {per_second:>8.0} samples per CPU second"
                ));
            }
        }
    }
    let test = samples(4096, items, 3);
    for method in METHODS {
        let folder = tempfile::tempdir()?;
        fit(method, &json!({"epochs": 1}), folder.path())?;
        let begun = processor_s(start);
        for _ in 0..REPEATS {
            recommender::find(method)?.score(&ScoreTask {
                folder: folder.path(),
                samples: &test,
                item_vectors: None,
            })?;
        }
        let rows = (test.len() * REPEATS) as f64;
        let per_second = rows / (processor_s(start) - begun);
        tell(&format!(
            "{method:<8} scoring, with its folder read: {per_second:>8.0} samples per CPU second"
        ));
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a benchmark's output is its purpose")]
fn tell(line: &str) {
    println!("{line}");
}
