//! Samples per CPU second of training the sequence recommenders on one thread, at the paper's sizes.
//!
//! 256 samples, 20 epochs, hidden 64, histories of 10, 1682 items. Validation is two rows after the
//! last epoch, so the time is that of the training steps; the last lines are for scoring alone.
//! `cargo bench --bench baselines` measures GRU4Rec, Caser, SASRec and DROS;
//! `cargo bench --bench baselines -- gru_bert` that one only (4 layers of width 1024 over text vectors of
//! width 1024, one epoch, a minute or so); `-- caser 20000` Caser with a catalogue of 20,000 items.

use std::error::Error;
use std::path::Path;

use runner::base::{Random, clock};
use runner::data::{Domain, Item, Rated, Sample};
use runner::recommender::sequence::ItemVectors;
use runner::recommender::{self, FitTask, ScoreTask};
use runner::train::Silent;
use serde_json::{Value, json};

const ROWS: usize = 256;
/// What is measured if no method is named.
const METHODS: [&str; 4] = ["gru4rec", "caser", "sasrec", "dros"];
/// Width of the texts' vectors, as in the peer's script.
const TEXT_WIDTH: usize = 1024;

/// Epochs of a training, and how often it is repeated: a network of 4 × 1024 takes seconds an epoch.
fn effort(has_text: bool) -> (usize, usize) {
    if has_text { (1, 1) } else { (20, 10) }
}

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
    runner::nn::keep_candle_to_one_thread();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    pool.install(measure).map_err(Into::into)
}

fn measure() -> Result<(), String> {
    measured().map_err(|error| error.to_string())
}

fn measured() -> Result<(), Box<dyn Error>> {
    let start = clock::now();
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|given| !given.starts_with("--"))
        .collect();
    let given = arguments.iter().find_map(|given| given.parse().ok());
    let items: usize = given.unwrap_or(1682);
    let mut methods: Vec<&str> = arguments.iter().map(String::as_str).collect();
    methods.retain(|given| given.parse::<usize>().is_err());
    if methods.is_empty() {
        methods.extend(METHODS);
    }
    let train = samples(ROWS, items, 1);
    let mut valid = samples(2, items, 2);
    // Mentioning every item once gives the tables their real number of rows.
    valid[0].history = (0..items)
        .map(|number| Rated {
            item: item(number),
            liked: true,
        })
        .collect();
    let vectors = text_vectors(items)?;
    let vectors_of = |method: &str| -> Result<Option<&ItemVectors>, Box<dyn Error>> {
        let needed = recommender::find(method)?.needs_item_vectors();
        Ok(needed.then_some(&vectors))
    };
    let fit = |method: &str, settings: &Value, folder: &Path| -> Result<(), Box<dyn Error>> {
        let task = FitTask {
            train: &train,
            valid: &valid,
            catalogue: &[],
            seed: 1,
            folder,
            item_vectors: vectors_of(method)?,
        };
        recommender::find(method)?.fit(settings, &task, &mut Silent)?;
        Ok(())
    };
    for method in &methods {
        let (epochs, repeats) = effort(vectors_of(method)?.is_some());
        for batch_size in [32, 256] {
            for feedback in ["none", "embedded"] {
                let settings = json!({
                    "batch_size": batch_size, "epochs": epochs, "patience": epochs,
                    "evaluate_every": ROWS * epochs, "feedback": feedback, "weight_decay": 1e-5,
                });
                let begun = processor_s(start);
                for _ in 0..repeats {
                    fit(method, &settings, tempfile::tempdir()?.path())?;
                }
                let rows = (ROWS * epochs * repeats) as f64;
                let per_second = rows / (processor_s(start) - begun);
                tell(&format!(
                    "{method:<9} batch {batch_size:>3}, feedback {feedback:<8}: {per_second:>8.0} samples per CPU second"
                ));
            }
        }
    }
    for method in &methods {
        let vectors = vectors_of(method)?;
        let (_, repeats) = effort(vectors.is_some());
        let test = samples(if vectors.is_some() { 256 } else { 4096 }, items, 3);
        let folder = tempfile::tempdir()?;
        fit(method, &json!({"epochs": 1}), folder.path())?;
        let begun = processor_s(start);
        for _ in 0..repeats {
            recommender::find(method)?.score(&ScoreTask {
                folder: folder.path(),
                samples: &test,
                item_vectors: vectors,
            })?;
        }
        let rows = (test.len() * repeats) as f64;
        let per_second = rows / (processor_s(start) - begun);
        tell(&format!(
            "{method:<9} scoring, with its folder read: {per_second:>8.0} samples per CPU second"
        ));
    }
    Ok(())
}

fn text_vectors(items: usize) -> Result<ItemVectors, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("vectors.safetensors");
    let keys: Vec<String> = (0..items).map(|number| format!("movie/{number}")).collect();
    let mut random = Random::new(4, "vectors");
    let numbers: Vec<f32> = (0..items * TEXT_WIDTH)
        .map(|_| (random.uniform() * 2.0 - 1.0) as f32)
        .collect();
    ItemVectors::write(&path, TEXT_WIDTH, &keys, &numbers)?;
    Ok(ItemVectors::read(&path)?)
}

#[expect(clippy::print_stdout, reason = "a benchmark's output is its purpose")]
fn tell(line: &str) {
    println!("{line}");
}
