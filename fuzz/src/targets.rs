//! One function a parser: bytes go in, and neither a panic nor much memory may come of them.
//!
//! Where a parser wants several files, they stand one after the other in the input, with a line
//! [`SEPARATOR`] between them. Everything goes through the library's public functions, and what was
//! read is used: a length that is believed is harmless until something is made of it.

use std::fs;
use std::io::{Cursor, Write as _};
use std::path::Path;

use runner::artifact::files::FileDigests;
use runner::artifact::{Store, latest};
use runner::base::Digest;
use runner::data::Domain;
use runner::data::alpaca::read_alpaca_json;
use runner::data::book_crossing::{BookCrossing, BookCrossingOptions, EscapedQuotes};
use runner::data::catalogue::read_catalogue;
use runner::data::corpus::read_corpus;
use runner::data::frame::{read_records, read_samples};
use runner::data::movielens::{MovieLens, MovieLensOptions};
use runner::data::source::Source;
use runner::data::tallrec_json::{read_tallrec_json, write_tallrec_json};
use runner::language_model::{Adapter, Configuration, Tokenizer, WeightFiles};
use runner::live::{Places, Watch, status_line};
use runner::prompt::PromptTemplate;
use runner::recommender::sequence::ItemVectors;
use runner::reporter::{JournalFile, JournalReader};
use runner::results::{ResultSet, comparison, provenance::Provenance};
use runner::spec::{LoadError, Request, SpecError};
use runner::study::{Folders, Study, StudyError};
use runner::text_encoder::{BertConfiguration, WordPieces};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// The line between two files of one input.
pub const SEPARATOR: &[u8] = b"%%%%\n";

/// A text for tokenizers.
const TEXT: &str = "Will the user like “The Quiet Harbour (1991)”?\n";

/// What takes an input.
pub type Target = fn(&[u8]);

/// All targets by the names of their folders in `corpus/`.
pub const TARGETS: [(&str, Target); 17] = [
    ("adapter", adapter),
    ("book_crossing", book_crossing),
    ("experiment", experiment),
    ("gguf", gguf),
    ("journal", journal),
    ("manifest", manifest),
    ("model_folder", model_folder),
    ("movielens", movielens),
    ("parquet", parquet),
    ("pickle", pickle),
    ("pipeline", pipeline),
    ("request", request),
    ("results", results),
    ("tallrec_json", tallrec_json),
    ("template", template),
    ("torch_zip", torch_zip),
    ("weights", weights),
];

/// The files of an input; those it does not have are empty.
fn parts<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut rest = data;
    std::array::from_fn(|at| {
        let end = rest
            .windows(SEPARATOR.len())
            .position(|window| window == SEPARATOR);
        match end {
            Some(end) if at + 1 < N => {
                let part = &rest[..end];
                rest = &rest[end + SEPARATOR.len()..];
                part
            }
            _ => std::mem::take(&mut rest),
        }
    })
}

/// A folder that is gone after the input; in memory where the system has such a place.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    made.expect("a folder to write into")
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("an input is written");
}

/// Every problem has a place, and can be shown.
fn check(error: &SpecError) {
    let list = error.diagnostics.sorted();
    assert!(!list.is_empty(), "refused without a reason");
    for one in list {
        let span = one.span.unwrap_or_else(|| panic!("no place: {one:?}"));
        let (line, column) = error.sources.line_and_column(span);
        assert!(line > 0 && column > 0, "{one:?}");
    }
    assert!(runner::cli::render(error, false).contains("nothing was run"));
}

/// Opens an experiment with all its stages, and runs nothing.
fn open(experiment: &Path, set: Vec<String>, folder: &Path) {
    let request = Request {
        path: experiment.to_owned(),
        set,
        only: Vec::new(),
    };
    let folders = Folders {
        store: folder.join("store"),
        results: folder.join("results"),
    };
    match Study::open(&request, folders) {
        Err(StudyError::Load(LoadError::Invalid(error)) | StudyError::Spec(error)) => check(&error),
        Ok(_) | Err(StudyError::Load(LoadError::Unreadable { .. })) => {}
        Err(error) => panic!("{error}"),
    }
}

/// An experiment. Its pipeline is the one it names, from the root of the repository on.
pub fn experiment(data: &[u8]) {
    let folder = folder();
    let path = folder.path().join("fuzzed.yaml");
    write(&path, data);
    open(&path, Vec::new(), folder.path());
}

/// A pipeline, under the experiment `quickstart`.
pub fn pipeline(data: &[u8]) {
    let folder = folder();
    let path = folder.path().join("fuzzed.yaml");
    write(&path, data);
    open(
        Path::new("experiments/quickstart.yaml"),
        vec![format!("pipeline={}", path.display())],
        folder.path(),
    );
}

/// `BX-Books.csv` and `BX-Book-Ratings.csv`.
pub fn book_crossing(data: &[u8]) {
    let folder = folder();
    let [books, ratings] = parts(data);
    let paths = [("BX-Books.csv", books), ("BX-Book-Ratings.csv", ratings)].map(|(name, bytes)| {
        let path = folder.path().join(name);
        write(&path, bytes);
        Source::named(&path, name)
    });
    for escapes in [EscapedQuotes::AsReleased, EscapedQuotes::Unescaped] {
        if let Ok(read) = BookCrossing::read(&paths[0], &paths[1], escapes) {
            // Fewer than ten samples are an error, which is fine too.
            let _ = read.samples(BookCrossingOptions::default());
        }
    }
}

/// `u.data` and `u.item`.
pub fn movielens(data: &[u8]) {
    let folder = folder();
    let [ratings, items] = parts(data);
    let paths = [("u.data", ratings), ("u.item", items)].map(|(name, bytes)| {
        let path = folder.path().join(name);
        write(&path, bytes);
        Source::named(&path, name)
    });
    if let Ok(read) = MovieLens::read(&paths[0], &paths[1]) {
        let options = MovieLensOptions {
            history_length: 2,
            ..MovieLensOptions::default()
        };
        let _ = read.samples(options);
    }
}

/// Instruction records: TALLRec's, Alpaca's, a corpus, and the list of items.
pub fn tallrec_json(data: &[u8]) {
    let folder = folder();
    let path = folder.path().join("train.json");
    write(&path, data);
    let source = Source::named(&path, "train.json");
    for domain in [Domain::Movie, Domain::Book] {
        let Ok(samples) = read_tallrec_json(&source, domain) else {
            continue;
        };
        let mut again = Vec::new();
        write_tallrec_json(&mut again, &samples).expect("memory takes it");
        let other = folder.path().join("again.json");
        write(&other, &again);
        let read = read_tallrec_json(&Source::named(&other, "again.json"), domain);
        assert_eq!(read.ok().as_ref(), Some(&samples), "not the same again");
    }
    let _ = read_alpaca_json(&source);
    let _ = read_corpus(&source);
    let _ = read_catalogue(&path);
}

/// A prompt template.
pub fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(template) = PromptTemplate::parse("fuzzed.json", text) {
        assert!(
            template
                .prompt("{input}", "")
                .contains(&template.response_split)
        );
        assert!(template.prompt("Say it.", "{instruction}").contains("Say"));
    }
}

/// Reads all numbers there are.
fn use_weights(folder: &Path) {
    if let Ok(files) = WeightFiles::open(folder) {
        let _ = files.digest();
        let _ = files.all_f32();
        for name in files.names() {
            let _ = files.raw(name);
        }
    }
}

/// `model.safetensors`, which may be the shard of an index; and the vectors of items, which are
/// read by other code.
pub fn weights(data: &[u8]) {
    let folder = folder();
    let [tensors, index] = parts(data);
    let path = folder.path().join("model.safetensors");
    write(&path, tensors);
    use_weights(folder.path());
    let _ = ItemVectors::read(&path);
    if !index.is_empty() {
        let shard = folder.path().join("model-00001-of-00001.safetensors");
        fs::rename(&path, shard).expect("renamed");
        write(&folder.path().join("model.safetensors.index.json"), index);
        use_weights(folder.path());
    }
}

/// `model.gguf`.
pub fn gguf(data: &[u8]) {
    let folder = folder();
    write(&folder.path().join("model.gguf"), data);
    use_weights(folder.path());
}

/// An adapter: `adapter_config.json`, `adapter_model.safetensors` and `runner.json`.
pub fn adapter(data: &[u8]) {
    let folder = folder();
    let [config, tensors, own] = parts(data);
    write(&folder.path().join("adapter_config.json"), config);
    write(&folder.path().join("adapter_model.safetensors"), tensors);
    if !own.is_empty() {
        write(&folder.path().join("runner.json"), own);
    }
    let Ok(adapter) = Adapter::read(folder.path()) else {
        return;
    };
    let _ = adapter.is_untrained();
    let again = folder.path().join("again");
    adapter.write(&again).expect("what was read is written");
    assert_eq!(Adapter::read(&again).ok(), Some(adapter));
}

/// The pickle inside a file of PyTorch, in a sound zip with two storages.
pub fn pickle(data: &[u8]) {
    let folder = folder();
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let plain = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in [
        ("m/data.pkl", data),
        ("m/byteorder", b"little".as_slice()),
        ("m/data/0", &[0; 64]),
        ("m/data/1", &[0; 8]),
    ] {
        zip.start_file(name, plain).expect("memory takes it");
        zip.write_all(bytes).expect("memory takes it");
    }
    let bytes = zip.finish().expect("memory takes it").into_inner();
    write(&folder.path().join("pytorch_model.bin"), &bytes);
    use_weights(folder.path());
}

/// A whole file of PyTorch.
pub fn torch_zip(data: &[u8]) {
    let folder = folder();
    write(&folder.path().join("pytorch_model.bin"), data);
    use_weights(folder.path());
}

/// The texts of a model's folder: `config.json`, `tokenizer.json`, `tokenizer_config.json` and
/// `vocab.txt`.
pub fn model_folder(data: &[u8]) {
    let folder = folder();
    let files: [&[u8]; 4] = parts(data);
    let names = [
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ];
    for (name, bytes) in names.into_iter().zip(files) {
        if !bytes.is_empty() {
            write(&folder.path().join(name), bytes);
        }
    }
    let _ = Configuration::read(folder.path());
    let _ = BertConfiguration::read(folder.path());
    if let Ok(tokenizer) = Tokenizer::read(folder.path())
        && let Ok(tokens) = tokenizer.encode(TEXT, true)
    {
        let _ = tokenizer.decode(&tokens);
        let _ = tokenizer.vocabulary_size();
    }
    if let Ok(pieces) = WordPieces::read(folder.path()) {
        let _ = pieces.encode(TEXT, 16);
    }
}

/// The journal of a run, and what the live page makes of it.
pub fn journal(data: &[u8]) {
    let folder = folder();
    let file = JournalFile::new(folder.path(), "small", 1000);
    write(&file.path, data);
    JournalReader::new(file.path.clone())
        .read_on(&mut |_| {})
        .expect("it is there");
    let places = Places {
        logs: folder.path().join("logs"),
        results: folder.path().join("results"),
    };
    let state = Watch::new(file, places).state().expect("it is there");
    let state: serde_json::Value = serde_json::from_slice(&state).expect("the state is JSON");
    assert_eq!(state["run"], "small-1000");
}

/// The store's own records: a manifest, the last keys of stages, the digests of files.
pub fn manifest(data: &[u8]) {
    let folder = folder();
    let store = Store::open(folder.path()).expect("a store");
    let key = Digest::of_bytes(b"a stage");
    let hex = key.hex();
    let shard = folder.path().join("manifests").join(&hex[..2]);
    fs::create_dir_all(&shard).expect("a folder");
    write(&shard.join(format!("{hex}.json")), data);
    let whole = store.manifest(key).expect("it is there");
    let short = store.summary(key).expect("it is there");
    if let Some(whole) = &whole {
        let _ = whole.material.key();
        let short = short.expect("a part of what can be read");
        for record in &short.outputs {
            let _ = store.has_artifact(record);
        }
        assert_eq!(whole.outputs, short.outputs);
    }
    let path = store.latest_path("small");
    write(&path, data);
    let _ = latest::read(&path);
    let _ = store.remembered_keys();
    write(&store.files_path(), data);
    let _ = FileDigests::load(&store.files_path());
}

/// `results.csv` and its siblings in a folder of results.
pub fn results(data: &[u8]) {
    let read = [
        ResultSet::from_csv("results.csv", data),
        ResultSet::from_json("results.json", data),
    ];
    for rows in read.into_iter().flatten() {
        let text = rows.to_csv();
        let again = ResultSet::from_csv("again", text.as_bytes());
        assert_eq!(again.ok().as_ref(), Some(&rows), "not the same again");
    }
    if let Ok(rows) = comparison::from_csv("comparisons.csv", data) {
        let _ = comparison::to_csv(&rows);
    }
    if let Ok(read) = Provenance::from_json("provenance.json", data) {
        assert!(read.changes(&read).is_empty());
    }
}

/// The head of a request to the live page.
pub fn request(data: &[u8]) {
    let whole = status_line(data);
    // The server reads a kilobyte at a time and stops as soon as it can answer.
    let mut torn = None;
    for end in (0..data.len()).step_by(7) {
        torn = torn.or_else(|| status_line(&data[..end]));
    }
    if data.len() >= 8 * 1024 {
        assert!(whole.is_some(), "a head without an end is waited for");
    }
    if torn == Some("200 OK") {
        assert_eq!(whole, torn, "more bytes change the answer");
    }
}

/// Samples and records as stages hand them on.
pub fn parquet(data: &[u8]) {
    let folder = folder();
    let path = folder.path().join("samples.parquet");
    write(&path, data);
    let _ = read_samples(&path);
    let _ = read_records(&path);
}
