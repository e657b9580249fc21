//! Whole backbones: written and opened, found in the cache of the hub, downloaded from a hub on
//! this machine, refused with the reason.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use runner::base::Random;
use runner::language_model::{
    Backbone, Configuration, HubCache, HubModel, NumberType, Parameter, Parameters, Tokenizer,
};
use serde_json::{Value, json};
use tempfile::TempDir;

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn texts() -> Vec<String> {
    let line = |index: usize| {
        format!(
            "### Input: user {index} liked \"Film {}\".\n### Response:\nYes.\n",
            index % 31
        )
    };
    (0..300).map(line).collect()
}

/// A model of random weights with a tokenizer, as pretraining makes it.
fn write(folder: &Path, number_type: NumberType) -> (Configuration, Parameters) {
    let tokenizer = Tokenizer::train_bpe(texts().iter(), 300).expect("tokenizer");
    let mut configuration = Configuration::read(&fixture("tiny-llama-gqa")).expect("sizes");
    configuration.vocabulary_size = tokenizer.vocabulary_size();
    let mut random = Random::new(5, "weights");
    let mut draw = |shape: Vec<usize>| {
        let count = shape.iter().product();
        let values = (0..count).map(|_| random.normal() as f32 * 0.02).collect();
        Parameter::new(shape, values)
    };
    let weights: BTreeMap<String, Parameter> = configuration
        .tensors()
        .into_iter()
        .map(|(name, shape)| (name, draw(shape)))
        .collect();
    let weights = Parameters::new(weights);
    Backbone::write(folder, &configuration, &weights, number_type, &tokenizer).expect("write");
    (configuration, weights)
}

fn error<T>(result: Result<T, impl Into<runner::language_model::LanguageModelError>>) -> String {
    let result = result.map_err(Into::into);
    match result {
        Ok(_) => panic!("this should be refused"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().expect("folder");
    let (configuration, weights) = write(folder.path(), NumberType::F32);
    let backbone = Backbone::open(folder.path()).expect("open");
    assert_eq!(backbone.configuration, configuration);
    for (name, values) in backbone.weights.all_f32().expect("weights") {
        assert_eq!(values, weights.get(&name).expect("known").values);
    }
    let other = tempfile::tempdir().expect("folder");
    write(other.path(), NumberType::F32);
    for file in [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ] {
        let read = |folder: &TempDir| fs::read(folder.path().join(file)).expect("read");
        assert!(read(&folder) == read(&other), "{file} differs");
    }
    let half = tempfile::tempdir().expect("folder");
    write(half.path(), NumberType::F16);
    let half = Backbone::open(half.path()).expect("open");
    assert_eq!(
        half.weights.number_type("model.norm.weight"),
        Some(NumberType::F16)
    );
    assert_ne!(
        half.digest().expect("digest"),
        backbone.digest().expect("digest")
    );

    let tokenizer = &backbone.tokenizer;
    let again = Backbone::write(
        folder.path(),
        &configuration,
        &weights,
        NumberType::F32,
        tokenizer,
    );
    assert!(error(again).contains("model.safetensors in this folder already"));
    let mut large = weights.clone();
    let norm = large.get_mut("model.norm.weight").expect("norm");
    norm.values[3] = 1e6;
    let to = tempfile::tempdir().expect("folder");
    let write = |weights: &Parameters| {
        Backbone::write(
            to.path(),
            &configuration,
            weights,
            NumberType::F16,
            tokenizer,
        )
    };
    insta::assert_snapshot!(
        error(write(&large)),
        @"`model.norm.weight` has 1000000 at index 3, which cannot be stored as F16"
    );
}

#[test]
fn answers_part_where_their_tokens_do() {
    let tokenizer = Tokenizer::train_bpe(texts().iter(), 300).expect("tokenizer");
    let prompt = "### Response:\n";
    let answers = tokenizer
        .answer_tokens(prompt, ["Yes.", "No."], true)
        .expect("they part");
    let alone = tokenizer.encode(prompt, true).expect("encode");
    assert_eq!(answers.context, alone);
    assert_eq!(answers.prompt_tokens, alone.len());
    for (token, answer) in answers.tokens.iter().zip(["Yes.", "No."]) {
        let spelled = tokenizer.spelling(*token).expect("known");
        assert!(
            answer.starts_with(&spelled),
            "{answer} does not begin with {spelled}"
        );
    }
    // Answers that share their beginning part behind it.
    let later = tokenizer
        .answer_tokens(prompt, ["It is A", "It is B"], true)
        .expect("they part");
    assert!(later.context.len() > alone.len());
    assert_eq!(later.prompt_tokens, alone.len());
    let spelled = later
        .tokens
        .map(|token| tokenizer.spelling(token).expect("known"));
    assert_eq!(spelled, ["A", "B"]);
    // A prompt whose last token the answer's first letters change.
    let joined = tokenizer
        .answer_tokens("### Respon", ["se:\n", "d"], true)
        .expect("they part");
    let whole = tokenizer.encode("### Response:\n", true).expect("encode");
    assert_eq!(joined.context, whole[..joined.context.len()]);
    assert!(joined.prompt_tokens <= tokenizer.encode("### Respon", true).expect("encode").len());

    let refuse = |answers: [&str; 2]| error(tokenizer.answer_tokens(prompt, answers, true));
    insta::assert_snapshot!(
        [
            refuse(["Yes.", "Yes."]),
            refuse(["Yes", "Yes."]),
            refuse(["", "No."])
        ]
        .join("\n\n")
    );
}

#[test]
fn the_tokenizer_of_another_model_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    write(folder.path(), NumberType::F32);
    let large = Tokenizer::train_bpe(texts().iter(), 305).expect("tokenizer");
    large.write(folder.path()).expect("write");
    let mut all = vec![error(Backbone::open(folder.path()))];

    let path = folder.path().join("tokenizer.json");
    fs::write(&path, "{\"version\": 7}").expect("write");
    all.push(error(Tokenizer::read(folder.path())));
    fs::remove_file(&path).expect("gone");
    all.push(error(Tokenizer::read(folder.path())));
    fs::write(folder.path().join("tokenizer.model"), "…").expect("write");
    all.push(error(Tokenizer::read(folder.path())));
    let shown = all
        .join("\n\n")
        .replace(&folder.path().display().to_string(), "FOLDER");
    insta::assert_snapshot!(shown);

    // A padding token beyond the model's rows is never made of a text.
    let tokenizer = Tokenizer::train_bpe(texts().iter(), 300).expect("tokenizer");
    tokenizer.write(folder.path()).expect("write");
    let text = fs::read(&path).expect("read");
    let mut value: Value = serde_json::from_slice(&text).expect("JSON");
    let added = value["added_tokens"].as_array_mut().expect("list");
    let mut pad = added[0].clone();
    pad["id"] = json!(300);
    pad["content"] = json!("[PAD]");
    added.push(pad);
    fs::write(&path, value.to_string()).expect("write");
    let backbone = Backbone::open(folder.path()).expect("open");
    let tokens = backbone
        .tokenizer
        .encode("a [PAD] </s>", false)
        .expect("encode");
    assert!(
        tokens.iter().all(|token| (3..300).contains(token)),
        "{tokens:?}"
    );
}

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn model(revision: &str) -> HubModel {
    HubModel {
        name: "owner/tiny".to_owned(),
        revision: revision.to_owned(),
    }
}

#[test]
fn a_model_in_the_cache_is_found_offline() {
    let folder = tempfile::tempdir().expect("folder");
    let cache = HubCache {
        root: folder.path().to_owned(),
        offline: true,
        endpoint: None,
    };
    let root = folder.path().join("models--owner--tiny");
    let snapshot = root.join("snapshots").join(COMMIT);
    fs::create_dir_all(root.join("refs")).expect("folders");
    fs::create_dir_all(&snapshot).expect("folders");
    write(&snapshot, NumberType::F32);
    fs::write(root.join("refs/main"), format!("{COMMIT}\n")).expect("reference");
    for revision in ["main", COMMIT] {
        let mut never = |_: &str, _, _| panic!("nothing is to be downloaded");
        let found = cache.get(&model(revision), &mut never).expect("found");
        assert_eq!(found.commit, COMMIT);
        Backbone::open(&found.folder).expect("whole");
    }
    let shown = |model: &HubModel| {
        let text = error(cache.get(model, &mut |_, _, _| {}));
        text.replace(&folder.path().display().to_string(), "CACHE")
    };
    let mut all = vec![shown(&model("other"))];
    fs::remove_file(snapshot.join("tokenizer.json")).expect("gone");
    assert_eq!(cache.find(&model("main")).expect("no such file"), None);
    let named = |name: &str| HubModel {
        name: name.to_owned(),
        revision: "main".to_owned(),
    };
    all.push(shown(&named("tiny")));
    all.push(shown(&named("../../secret")));
    all.push(shown(&model("../../main")));
    insta::assert_snapshot!(all.join("\n\n"));
}

/// Writes the weights of a folder as llama.cpp's converter does: its names, rows of q and k turned
/// in pairs, matrices of layers in blocks of `kind`.
fn convert(
    folder: &Path,
    (configuration, weights): &(Configuration, Parameters),
    kind: candle_core::quantized::GgmlDType,
) -> BTreeMap<String, Vec<f32>> {
    use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
    use candle_core::{Device, Tensor};

    let names = [
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("model.layers", "blk"),
    ];
    let mut tensors = Vec::new();
    let mut expected = BTreeMap::new();
    for (name, parameter) in weights.iter() {
        let values =
            Tensor::from_slice(&parameter.values, parameter.shape.as_slice(), &Device::Cpu);
        let mut values = values.expect("tensor");
        let turned = [
            ("q_proj", configuration.heads),
            ("k_proj", configuration.key_value_heads),
        ];
        let turned = turned.iter().find(|(module, _)| name.contains(module));
        let in_blocks = name.contains("_proj");
        let kind = if in_blocks { kind } else { GgmlDType::F32 };
        // Rows keep their blocks wherever they go.
        let rounded = QTensor::quantize(&values, kind).expect("quantised");
        let rounded = rounded.dequantize(&Device::Cpu).expect("dense");
        let rounded = rounded
            .flatten_all()
            .expect("flat")
            .to_vec1()
            .expect("numbers");
        expected.insert(name.to_owned(), rounded);
        if let Some((_, heads)) = turned {
            let (rows, width) = values.dims2().expect("matrix");
            values = values
                .reshape((*heads, 2, rows / heads / 2, width))
                .and_then(|by_half| {
                    by_half
                        .transpose(1, 2)?
                        .contiguous()?
                        .reshape((rows, width))
                })
                .expect("turned");
        }
        let mut short = name.to_owned();
        for (long, own) in names {
            short = short.replace(long, own);
        }
        tensors.push((short, QTensor::quantize(&values, kind).expect("quantised")));
    }
    let mut file = fs::File::create(folder.join("model.gguf")).expect("made");
    let listed: Vec<(&str, &QTensor)> = tensors
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor))
        .collect();
    let words = gguf_file::Value::Array(vec![gguf_file::Value::String("a".to_owned()); 3]);
    let architecture = gguf_file::Value::String("llama".to_owned());
    let facts = [
        ("general.architecture", &architecture),
        ("tokenizer.ggml.tokens", &words),
    ];
    gguf_file::write(&mut file, &facts, &listed).expect("written");
    fs::remove_file(folder.join("model.safetensors")).expect("there");
    expected
}

#[test]
fn weights_are_read_from_gguf() {
    use candle_core::quantized::GgmlDType;
    use runner::language_model::{Batch, LanguageModel, Sequence};
    use runner::language_model::{Frozen, Precision, TensorDecoder, TensorWeights};

    for (kind, number_type, frozen) in [
        (GgmlDType::F32, NumberType::F32, None),
        (GgmlDType::F16, NumberType::F16, None),
        (GgmlDType::Q8_0, NumberType::Q8_0, Some(Frozen::Q8_0)),
        (GgmlDType::Q4_0, NumberType::Q4_0, Some(Frozen::Q4_0)),
        (GgmlDType::Q4K, NumberType::Q4K, Some(Frozen::Q4K)),
        (GgmlDType::Q6K, NumberType::Q6K, None),
    ] {
        let folder = tempfile::tempdir().expect("folder");
        let wide = wide(folder.path());
        let expected = convert(folder.path(), &wide, kind);
        let backbone = Backbone::open(folder.path()).expect("opened");
        let name = "model.layers.0.self_attn.k_proj.weight";
        assert_eq!(backbone.weights.number_type(name), Some(number_type));
        let found = backbone.weights.all_f32().expect("read");
        assert_eq!(found.len(), expected.len());
        for (name, values) in &expected {
            let pairs = found[name].iter().zip(values);
            let far = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(far < 1e-6, "{kind:?} {name}: {far}");
        }
        let Some(frozen) = frozen else { continue };
        // Blocks go to the device as they are: the model speaks as with the same numbers, dense.
        let speak = |weights: Frozen, numbers: Option<&BTreeMap<String, Vec<f32>>>| {
            let precision = Precision {
                weights,
                ..Precision::default()
            };
            let device = candle_core::Device::Cpu;
            let sizes = &backbone.configuration;
            let kept = match numbers {
                None => TensorWeights::read(sizes, &backbone.weights, &device, precision),
                Some(all) => {
                    TensorWeights::make(sizes, &device, precision, |name| Ok(all[name].clone()))
                }
            };
            let kept = std::sync::Arc::new(kept.expect("kept"));
            let model = TensorDecoder::new(sizes.clone(), kept, None).expect("fits");
            let sequences = vec![Sequence {
                tokens: vec![1, 5, 9, 2],
                ..Sequence::default()
            }];
            let batch = Batch {
                sequences,
                shared_prefix: 0,
            };
            model.read_out(&batch, &[3, 4], true).expect("read")
        };
        assert_eq!(
            speak(frozen, None),
            speak(Frozen::Dense, Some(&expected)),
            "{kind:?}"
        );
    }
    // Two files, and one that ends too early, are refused.
    let folder = tempfile::tempdir().expect("folder");
    let wide = wide(folder.path());
    convert(folder.path(), &wide, GgmlDType::Q8_0);
    let path = folder.path().join("model.gguf");
    let bytes = fs::read(&path).expect("read");
    fs::write(folder.path().join("other.gguf"), &bytes).expect("written");
    let two = error(Backbone::open(folder.path()));
    assert!(
        two.contains("2 GGUF files: `model.gguf`, `other.gguf`"),
        "{two}"
    );
    fs::remove_file(folder.path().join("other.gguf")).expect("there");
    for length in [3, 20, 700, bytes.len() - 1] {
        fs::write(&path, &bytes[..length]).expect("written");
        let cut = error(Backbone::open(folder.path()));
        assert!(
            cut.contains("model.gguf") && cut.contains("help: "),
            "{length}: {cut}"
        );
    }
}

/// A model whose rows are whole blocks of every kind.
fn wide(folder: &Path) -> (Configuration, Parameters) {
    let tokenizer = Tokenizer::train_bpe(texts().iter(), 300).expect("tokenizer");
    let mut configuration = Configuration::read(&fixture("tiny-llama-gqa")).expect("sizes");
    configuration.vocabulary_size = tokenizer.vocabulary_size();
    configuration.hidden_size = 256;
    configuration.intermediate_size = 512;
    configuration.head_size = 256 / configuration.heads;
    let mut random = Random::new(6, "weights");
    let weights = configuration.tensors().into_iter().map(|(name, shape)| {
        let count = shape.iter().product();
        let values = (0..count).map(|_| random.normal() as f32 * 0.1).collect();
        (name, Parameter::new(shape, values))
    });
    let weights = Parameters::new(weights.collect());
    let number_type = NumberType::F32;
    Backbone::write(folder, &configuration, &weights, number_type, &tokenizer).expect("written");
    (configuration, weights)
}

/// Bytes of a weight file that a failing hub sends before it hangs up.
#[cfg(feature = "hub")]
const CUT: usize = 1000;

/// Answers as the hub does: a description of the model, and files with the headers that name
/// their commit, content and size. Hangs up in the middle of the weights for the first `failures`
/// times, and then sends them with a flipped bit `flipped` times. Stops at a request for `/stop`, and
/// gives where the requests for weights began.
#[cfg(feature = "hub")]
fn serve(
    listener: &std::net::TcpListener,
    files: &Path,
    mut failures: usize,
    mut flipped: usize,
) -> Vec<usize> {
    use std::io::{BufRead as _, BufReader, Write as _};

    let mut begun = Vec::new();
    for stream in listener.incoming() {
        let mut stream = stream.expect("connection");
        let mut lines = BufReader::new(stream.try_clone().expect("clone")).lines();
        let mut next = || lines.next().and_then(Result::ok).unwrap_or_default();
        let first = next();
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut range = None;
        loop {
            let line = next().to_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("range: bytes=") {
                let (start, end) = value.split_once('-').expect("range");
                range = Some((
                    start.parse::<usize>().expect("start"),
                    end.parse::<usize>().ok(),
                ));
            }
        }
        if path == "/stop" {
            return begun;
        }
        let mut answer = |status: &str, headers: &str, body: &[u8]| {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n"
            );
            stream.write_all(head.as_bytes()).expect("head");
            stream.write_all(body).expect("body");
        };
        if path == "/api/models/owner/tiny/revision/main" {
            let names = fs::read_dir(files).expect("files").map(
                |entry| json!({"rfilename": entry.expect("entry").file_name().to_string_lossy()}),
            );
            let siblings: Vec<Value> = names.collect();
            let body = json!({"sha": COMMIT, "siblings": siblings}).to_string();
            answer(
                "200 OK",
                "content-type: application/json\r\n",
                body.as_bytes(),
            );
        } else if let Some(name) = path.strip_prefix(&format!("/owner/tiny/resolve/{COMMIT}/")) {
            let mut bytes = fs::read(files.join(name)).expect("file");
            let hash = hub_hash(name, &bytes);
            let (start, end) = range.expect("a range");
            if start >= bytes.len() {
                answer("416 Range Not Satisfiable", "", b"");
                continue;
            }
            let end = end.map_or(bytes.len(), |end| end + 1).min(bytes.len());
            let headers = format!(
                "x-repo-commit: {COMMIT}\r\netag: \"{hash}\"\r\ncontent-range: bytes \
                 {start}-{}/{}\r\n",
                end.saturating_sub(1),
                bytes.len()
            );
            // A range of one byte only asks for the headers.
            let weights = name == "model.safetensors" && end - start > 1;
            if weights {
                begun.push(start);
            }
            if weights && failures > 0 {
                failures -= 1;
                let head = format!(
                    "HTTP/1.1 206 Partial Content\r\ncontent-length: {}\r\n{headers}\r\n",
                    end - start
                );
                stream.write_all(head.as_bytes()).expect("head");
                let most = end.min(start + CUT);
                stream.write_all(&bytes[start..most]).expect("body");
                continue;
            }
            if weights && flipped > 0 {
                flipped -= 1;
                bytes[end - 1] ^= 1;
            }
            answer("206 Partial Content", &headers, &bytes[start..end]);
        } else {
            answer("404 Not Found", "", b"");
        }
    }
    begun
}

/// How the hub names a file: by SHA-256 where it is large, else by its id in git.
#[cfg(feature = "hub")]
fn hub_hash(name: &str, bytes: &[u8]) -> String {
    use sha2::Digest as _;

    if name == "model.safetensors" {
        return format!("{:x}", sha2::Sha256::digest(bytes));
    }
    let id = gix::objs::compute_hash(gix::hash::Kind::Sha1, gix::objs::Kind::Blob, bytes);
    id.expect("hash").to_string()
}

/// What stops [`serve`].
#[cfg(feature = "hub")]
fn stop(address: std::net::SocketAddr) {
    use std::io::Write as _;

    let mut stream = std::net::TcpStream::connect(address).expect("connect");
    stream
        .write_all(b"GET /stop HTTP/1.1\r\n\r\n")
        .expect("stop");
}

/// The hub hangs up again and again until the download gives up; the next run asks only for what
/// is missing. And what is whole but was not yet moved to its place is not asked for beyond its end.
#[cfg(feature = "hub")]
#[test]
fn an_interrupted_download_goes_on_where_it_was() {
    let source = tempfile::tempdir().expect("folder");
    write(source.path(), NumberType::F32);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
    let address = listener.local_addr().expect("address");
    let files = source.path().to_owned();
    let server = std::thread::spawn(move || serve(&listener, &files, 4, 0));
    let folder = tempfile::tempdir().expect("folder");
    let cache = HubCache {
        root: folder.path().to_owned(),
        offline: false,
        endpoint: Some(format!("http://{address}")),
    };
    let failed = error(cache.get(&model("main"), &mut |_, _, _| {}));
    assert!(
        failed.contains("downloading model.safetensors failed"),
        "{failed}"
    );
    let found = cache
        .get(&model("main"), &mut |_, _, _| {})
        .expect("goes on");
    let original = fs::read(source.path().join("model.safetensors")).expect("read");
    let weights = found.folder.join("model.safetensors");
    let same = |found: &Path| {
        let found = fs::read(found).expect("read");
        let first = found
            .iter()
            .zip(&original)
            .position(|(one, other)| one != other);
        assert_eq!((found.len(), first), (original.len(), None));
    };
    same(&weights);

    // As if the program had been killed after the last byte, before the file got its name.
    let blob = fs::canonicalize(&weights).expect("blob");
    fs::remove_file(&weights).expect("link");
    fs::rename(&blob, blob.with_extension("part")).expect("rename");
    let found = cache
        .get(&model("main"), &mut |_, _, _| {})
        .expect("is not stuck");
    same(&found.folder.join("model.safetensors"));
    stop(address);
    let begun = server.join().expect("server");
    let expected: Vec<usize> = (0..=4).map(|part| part * CUT).collect();
    assert_eq!(begun[..5], expected);
}

/// What came over the network otherwise than the hub has it is asked for again, and never used.
#[cfg(feature = "hub")]
#[test]
fn a_flipped_bit_on_the_way_is_found() {
    let source = tempfile::tempdir().expect("folder");
    write(source.path(), NumberType::F32);
    for (flipped, well) in [(2, true), (9, false)] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
        let address = listener.local_addr().expect("address");
        let files = source.path().to_owned();
        let server = std::thread::spawn(move || serve(&listener, &files, 0, flipped));
        let folder = tempfile::tempdir().expect("folder");
        let cache = HubCache {
            root: folder.path().to_owned(),
            offline: false,
            endpoint: Some(format!("http://{address}")),
        };
        let got = cache.get(&model("main"), &mut |_, _, _| {});
        if well {
            let weights = got
                .expect("came in the end")
                .folder
                .join("model.safetensors");
            let original = fs::read(source.path().join("model.safetensors")).expect("read");
            assert!(fs::read(weights).expect("read") == original);
        } else {
            let failed = error(got);
            assert!(
                failed.contains("downloading model.safetensors failed: its bytes have the hash"),
                "{failed}"
            );
            assert_eq!(cache.find(&model("main")).expect("looked"), None);
        }
        stop(address);
        let begun = server.join().expect("server");
        assert_eq!(begun.len(), if well { 3 } else { 4 });
    }
}

#[cfg(feature = "hub")]
#[test]
fn a_model_is_downloaded_from_a_hub() {
    let source = tempfile::tempdir().expect("folder");
    write(source.path(), NumberType::F32);
    fs::write(source.path().join("README.md"), "not asked for").expect("write");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
    let address = listener.local_addr().expect("address");
    let files = source.path().to_owned();
    let server = std::thread::spawn(move || serve(&listener, &files, 0, 0));

    let folder = tempfile::tempdir().expect("folder");
    let cache = HubCache {
        root: folder.path().to_owned(),
        offline: false,
        endpoint: Some(format!("http://{address}")),
    };
    let mut last = BTreeMap::new();
    let found = cache
        .get(&model("main"), &mut |name, done, size| {
            last.insert(name.to_owned(), (done, size));
        })
        .expect("downloaded");
    assert_eq!(found.commit, COMMIT);
    let backbone = Backbone::open(&found.folder).expect("whole");
    let original = Backbone::open(source.path()).expect("whole");
    assert_eq!(
        backbone.digest().expect("digest"),
        original.digest().expect("digest")
    );
    assert!(!found.folder.join("README.md").exists());
    let names: Vec<&str> = last.keys().map(String::as_str).collect();
    let all = [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ];
    assert_eq!(names, all);
    assert!(
        last.values().all(|(done, size)| done == size && *size > 0),
        "{last:?}"
    );

    let missing = error(cache.get(&model("gone"), &mut |_, _, _| {}));
    assert!(
        missing.contains("404") && missing.contains("hf download owner/tiny"),
        "{missing}"
    );
    stop(address);
    server.join().expect("server");
    // Once it is here, no hub is needed.
    let again = cache
        .get(&model("main"), &mut |_, _, _| panic!("it is here"))
        .expect("here");
    assert_eq!(again, found);
    let unreachable = error(cache.get(&model("gone"), &mut |_, _, _| {}));
    assert!(
        unreachable.contains("asking for it failed"),
        "{unreachable}"
    );
}
