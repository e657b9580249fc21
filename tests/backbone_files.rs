//! Backbones and adapters as Hugging Face and PEFT store them: read whole, and refused with the
//! reason when anything is wrong.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

use std::fs;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use runner::base::{Digest, Random};
use runner::language_model::{
    Adapter, Configuration, Family, LanguageModelError, LoraOptions, RopeScaling, SpecialIds,
    WeightFiles,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

const MODELS: [&str; 4] = [
    "tiny-llama-gqa",
    "tiny-llama-tied",
    "tiny-qwen2",
    "tiny-qwen3",
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// A copy of a model's files, to be damaged.
fn copy(name: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("folder");
    for entry in fs::read_dir(fixture(name)).expect("fixture") {
        let path = entry.expect("entry").path();
        if path.is_file() {
            let to = folder.path().join(path.file_name().expect("name"));
            fs::write(to, fs::read(&path).expect("read")).expect("write");
        }
    }
    folder
}

fn copy_adapter(name: &str) -> TempDir {
    copy(&format!("{name}/adapter"))
}

fn open(folder: &Path) -> Result<WeightFiles, LanguageModelError> {
    Configuration::read(folder)?.open_weights(folder)
}

/// The whole message of an error, with paths of temporary folders cut down to what is below them.
fn message<T>(result: Result<T, impl Into<LanguageModelError>>) -> String {
    let result = result.map_err(Into::into);
    let Err(error) = result else {
        panic!("this should be refused");
    };
    let text = error.to_string();
    let parts = text.split('`').map(|part| {
        let Some((_, rest)) = part.split_once("/.tmp") else {
            return part.to_owned();
        };
        let below = rest.split_once('/').map(|(_, below)| below);
        below.unwrap_or("FOLDER").to_owned()
    });
    parts.collect::<Vec<_>>().join("`")
}

fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let text = fs::read(path).expect("read");
    let mut value: Value = serde_json::from_slice(&text).expect("JSON");
    change(&mut value);
    fs::write(path, value.to_string()).expect("write");
}

/// What `config.json` of a model says after a change.
fn changed(
    name: &str,
    change: impl FnOnce(&mut Value),
) -> Result<Configuration, LanguageModelError> {
    let folder = copy(name);
    edit(&folder.path().join("config.json"), change);
    Configuration::read(folder.path())
}

/// A safetensors file of the same tensors after changes to its header.
fn edit_header(path: &Path, change: impl FnOnce(&mut Value)) {
    let bytes = fs::read(path).expect("read");
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).expect("header");
    change(&mut header);
    let text = header.to_string();
    let mut all = (text.len() as u64).to_le_bytes().to_vec();
    all.extend_from_slice(text.as_bytes());
    all.extend_from_slice(&bytes[8 + length..]);
    fs::write(path, all).expect("write");
}

#[test]
fn the_models_are_read() {
    let sizes: Vec<(Family, usize, usize, usize, bool)> = MODELS
        .map(|name| {
            let configuration = Configuration::read(&fixture(name)).expect("config.json");
            let weights = configuration.open_weights(&fixture(name)).expect("weights");
            let tensors = configuration.tensors();
            let all = weights.all_f32().expect("finite");
            assert_eq!(all.len(), tensors.len());
            for (tensor, shape) in tensors {
                assert_eq!(weights.shape(&tensor), Some(shape.as_slice()));
                assert_eq!(all[&tensor].len(), shape.iter().product::<usize>());
                let (kind, bytes) = weights.raw(&tensor).expect("bytes");
                let mut numbers = Vec::new();
                kind.extend_f32(&bytes, &mut numbers);
                assert_eq!(numbers, all[&tensor]);
            }
            (
                configuration.family,
                configuration.key_value_heads,
                configuration.head_size,
                weights.count(),
                configuration.tied_head,
            )
        })
        .to_vec();
    insta::assert_debug_snapshot!(sizes);
}

#[test]
fn both_layouts_of_rope_are_read_and_written_back() {
    let llama3 = json!({
        "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192, "rope_type": "llama3",
    });
    let old = changed("tiny-llama-gqa", |all| {
        all["rope_scaling"] = llama3.clone();
        all["rope_theta"] = 5e5.into();
    })
    .expect("old layout");
    let new = changed("tiny-llama-gqa", |all| {
        all["rope_parameters"] = llama3.clone();
        all["rope_parameters"]["rope_theta"] = 5e5.into();
        all["rope_theta"] = Value::Null;
    })
    .expect("new layout");
    assert_eq!(old, new);
    assert!(matches!(
        old.rope_scaling,
        RopeScaling::Llama3 {
            original_max_positions: 8192,
            ..
        }
    ));

    let mut all: Vec<Configuration> = MODELS
        .map(|name| Configuration::read(&fixture(name)).expect("config.json"))
        .to_vec();
    all.push(old);
    let mistral = changed("tiny-llama-gqa", |all| {
        all["architectures"] = json!(["MistralForCausalLM"]);
        all["sliding_window"] = 64.into();
    });
    let mistral = mistral.expect("Mistral");
    assert_eq!(mistral.sliding_window, Some(64));
    all.push(mistral);
    for configuration in all {
        let folder = tempfile::tempdir().expect("folder");
        configuration
            .write(folder.path(), SpecialIds::default(), "float32")
            .expect("write");
        assert_eq!(
            Configuration::read(folder.path()).expect("read"),
            configuration
        );
    }
}

#[test]
fn what_a_configuration_asks_for_is_built_or_refused() {
    let refused = |name: &str, change: fn(&mut Value)| message(changed(name, change));
    let all = [
        refused("tiny-llama-gqa", |all| {
            all["architectures"] = json!(["LlamaForCausalLm2"]);
        }),
        refused("tiny-llama-gqa", |all| {
            all["architectures"] = json!(["GPT2LMHeadModel"]);
        }),
        refused("tiny-llama-gqa", |all| all["architectures"] = Value::Null),
        refused("tiny-llama-gqa", |all| all["hidden_act"] = json!("gelu")),
        refused("tiny-llama-gqa", |all| {
            all["quantization_config"] = json!({"quant_method": "gptq", "bits": 4});
        }),
        refused("tiny-llama-gqa", |all| {
            all["rope_scaling"] = json!({"type": "dynamic", "factor": 2.0});
        }),
        refused("tiny-qwen3", |all| {
            all["rope_parameters"]["rope_type"] = json!("yarn");
        }),
        refused("tiny-llama-gqa", |all| {
            all["partial_rotary_factor"] = json!(0.5);
        }),
        refused("tiny-llama-gqa", |all| {
            all["attention_dropout"] = json!(0.1);
        }),
        refused("tiny-llama-gqa", |all| {
            all["num_key_value_heads"] = json!(3);
        }),
        refused("tiny-llama-gqa", |all| {
            all["num_attention_heads"] = json!(0);
        }),
        refused("tiny-llama-tied", |all| {
            all["num_attention_heads"] = json!(3);
        }),
        refused("tiny-llama-gqa", |all| all["head_dim"] = json!(15)),
        refused("tiny-llama-gqa", |all| all["hidden_size"] = json!("64")),
        refused("tiny-llama-gqa", |all| all["vocab_size"] = json!(u64::MAX)),
        refused("tiny-llama-gqa", |all| all["vocab_size"] = Value::Null),
        refused("tiny-llama-gqa", |all| all["rms_norm_eps"] = json!(-1e-5)),
        refused("tiny-qwen2", |all| {
            all["use_sliding_window"] = true.into();
            all["sliding_window"] = 16.into();
            all["layer_types"] = json!(["full_attention", "sliding_attention"]);
        }),
    ];
    insta::assert_snapshot!(all.join("\n\n"));
    let first_llama = changed("tiny-llama-gqa", |all| {
        all["architectures"] = json!(["LLaMAForCausalLM"]);
        all["max_position_embeddings"] = Value::Null;
        all["max_sequence_length"] = 2048.into();
    });
    assert_eq!(first_llama.expect("of 2023").max_positions, 2048);
}

#[test]
fn damaged_weights_are_refused() {
    let mut all = Vec::new();
    let mut refuse = |name: &str, damage: &dyn Fn(&Path)| {
        let folder = copy(name);
        damage(folder.path());
        all.push(message(open(folder.path())));
    };
    let gone =
        |name: &'static str| move |folder: &Path| fs::remove_file(folder.join(name)).expect("gone");
    refuse("tiny-llama-gqa", &gone("config.json"));
    refuse("tiny-llama-gqa", &gone("model.safetensors"));
    refuse("tiny-llama-tied", &gone("model-00002-of-00003.safetensors"));
    for length in [0, 7, 8, 2000, 900_000, 993_447] {
        refuse("tiny-llama-gqa", &|folder| {
            let path = folder.join("model.safetensors");
            let bytes = fs::read(&path).expect("read");
            fs::write(&path, &bytes[..length]).expect("write");
        });
    }
    refuse("tiny-llama-gqa", &|folder| {
        let path = folder.join("model.safetensors");
        let mut bytes = fs::read(&path).expect("read");
        bytes.extend_from_slice(b"more");
        fs::write(&path, bytes).expect("write");
    });
    let header = |change: fn(&mut Value)| {
        move |folder: &Path| edit_header(&folder.join("model.safetensors"), change)
    };
    let norm = "model.norm.weight";
    refuse(
        "tiny-llama-gqa",
        &header(|all| all["model.norm.weight"]["dtype"] = json!("I32")),
    );
    refuse(
        "tiny-llama-gqa",
        &header(|all| all["model.norm.weight"]["shape"] = json!([4, 16])),
    );
    refuse(
        "tiny-llama-gqa",
        &header(|all| all["model.norm.weight"]["shape"] = json!([63])),
    );
    refuse(
        "tiny-llama-gqa",
        &header(|all| all["model.norm.weight"]["shape"] = json!([u64::MAX, 2, u64::MAX])),
    );
    refuse(
        "tiny-llama-gqa",
        &header(|all| all["model.norm.weight"]["data_offsets"] = json!([0, 256])),
    );
    let rename = |to: &'static str| {
        move |folder: &Path| {
            edit_header(&folder.join("model.safetensors"), |all| {
                let entry = all.as_object_mut().expect("object").remove(norm);
                all[to] = entry.expect("there");
            });
        }
    };
    refuse("tiny-llama-gqa", &rename("model.norm.bias"));
    refuse("tiny-llama-gqa", &|folder| {
        edit(&folder.join("config.json"), |all| {
            all["num_hidden_layers"] = 3.into();
        });
    });
    refuse("tiny-llama-gqa", &|folder| {
        edit(&folder.join("config.json"), |all| {
            all["intermediate_size"] = 176.into();
        });
    });
    refuse("tiny-llama-tied", &|folder| {
        edit(&folder.join("config.json"), |all| {
            all["tie_word_embeddings"] = false.into();
        });
    });
    refuse("tiny-llama-tied", &|folder| {
        edit(&folder.join("model.safetensors.index.json"), |all| {
            all["weight_map"]["model.norm.weight"] = json!("../../secret");
        });
    });
    refuse("tiny-llama-tied", &|folder| {
        edit(&folder.join("model.safetensors.index.json"), |all| {
            all["weight_map"]["model.norm.weight"] = json!("model-00001-of-00003.safetensors");
        });
    });
    insta::assert_snapshot!(all.join("\n\n"));
}

#[test]
fn what_old_checkpoints_carry_is_passed_over() {
    // A tied model with a copy of its embedding as head.
    let folder = copy("tiny-llama-gqa");
    let path = folder.path().join("model.safetensors");
    edit(&folder.path().join("config.json"), |all| {
        all["tie_word_embeddings"] = true.into();
    });
    let weights = open(folder.path()).expect("the copy is not read");
    assert!(weights.shape("lm_head.weight").is_none());
    edit_header(&path, |all| {
        let entry = all
            .as_object_mut()
            .expect("object")
            .remove("lm_head.weight");
        all["model.layers.0.self_attn.rotary_emb.inv_freq"] = entry.expect("there");
    });
    open(folder.path()).expect("frequencies follow from the configuration");
}

#[test]
fn numbers_that_are_none_are_named() {
    let folder = copy("tiny-llama-gqa");
    let path = folder.path().join("model.safetensors");
    let mut bytes = fs::read(&path).expect("read");
    let end = bytes.len();
    bytes[end - 8..end - 4].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, &bytes).expect("write");
    let weights = open(folder.path()).expect("the files are whole");
    insta::assert_snapshot!(message(weights.all_f32()), @r"
    `model.safetensors`: `model.norm.weight` has NaN at index 62
      help: the weights are damaged, or were stored in too small a type
    ");
}

#[test]
fn a_digest_follows_the_weights_and_not_the_files() {
    let digest = |folder: &Path| open(folder).expect("weights").digest().expect("digest");
    let all: Vec<Digest> = MODELS.iter().map(|name| digest(&fixture(name))).collect();
    assert!(all.windows(2).all(|pair| pair[0] != pair[1]));
    let folder = copy("tiny-llama-gqa");
    let path = folder.path().join("model.safetensors");
    edit_header(&path, |all| {
        all["__metadata__"]["note"] = json!("another header");
    });
    assert_eq!(digest(folder.path()), all[0]);
    let mut bytes = fs::read(&path).expect("read");
    let end = bytes.len();
    bytes[end - 1] ^= 1;
    fs::write(&path, &bytes).expect("write");
    assert_ne!(digest(folder.path()), all[0]);
}

#[test]
fn adapters_are_read_and_fit_their_backbones() {
    for name in MODELS {
        let configuration = Configuration::read(&fixture(name)).expect("config.json");
        let adapter = Adapter::read(&fixture(name).join("adapter")).expect("adapter");
        adapter.check_against(&configuration).expect("fits");
        assert_eq!(adapter.base, name);
        assert_eq!(adapter.base_digest, None);
        assert!(!adapter.is_untrained());
        assert!(adapter.b_norm() > 0.0);
        let options = LoraOptions {
            dropout: 0.05,
            ..LoraOptions::default()
        };
        adapter
            .check_options(&options)
            .expect("modules in any order");

        let folder = tempfile::tempdir().expect("folder");
        let mut written = adapter.clone();
        written.base_digest = Some(Digest::of_bytes(b"base"));
        written.write(folder.path()).expect("write");
        assert_eq!(Adapter::read(folder.path()).expect("read"), written);
        let bytes = fs::read(folder.path().join("adapter_model.safetensors")).expect("read");
        written.write(folder.path()).expect("write again");
        let again = fs::read(folder.path().join("adapter_model.safetensors")).expect("read");
        assert_eq!(bytes, again);
    }
}

#[test]
fn an_adapter_of_another_kind_or_backbone_is_refused() {
    let mut all = Vec::new();
    let mut refuse = |change: &dyn Fn(&Path)| {
        let folder = copy_adapter("tiny-llama-gqa");
        change(folder.path());
        all.push(message(Adapter::read(folder.path())));
    };
    let config = |key: &'static str, value: Value| {
        move |folder: &Path| {
            edit(&folder.join("adapter_config.json"), |all| {
                all[key] = value.clone();
            });
        }
    };
    refuse(&config("peft_type", json!("IA3")));
    refuse(&config("bias", json!("all")));
    refuse(&config("use_rslora", json!(true)));
    refuse(&config("use_dora", json!(true)));
    refuse(&config("fan_in_fan_out", json!(true)));
    refuse(&config("modules_to_save", json!(["lm_head"])));
    refuse(&config("rank_pattern", json!({"q_proj": 4})));
    refuse(&config("layers_to_transform", json!([0, 1])));
    refuse(&config("init_lora_weights", json!("pissa")));
    refuse(&config("a_key_of_the_future", json!({"x": 1})));
    refuse(&config("task_type", json!("SEQ_CLS")));
    refuse(&config("target_modules", json!(["q_proj", "lm_head"])));
    refuse(&config("target_modules", json!(["q_proj"])));
    refuse(&config("target_modules", json!("all-linear")));
    refuse(&config("r", json!(16)));
    refuse(&config("r", json!("8")));
    let header = |change: fn(&mut Value)| {
        move |folder: &Path| edit_header(&folder.join("adapter_model.safetensors"), change)
    };
    // Taking a matrix out leaves a gap, so it gets another name.
    refuse(&header(|all| {
        let name = "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight";
        let entry = all.as_object_mut().expect("object").remove(name);
        all["base_model.model.model.layers.9.self_attn.q_proj.lora_B.weight"] =
            entry.expect("there");
    }));
    refuse(&header(|all| {
        let name = "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight";
        let entry = all.as_object_mut().expect("object").remove(name);
        all["base_model.model.lm_head.lora_B.weight"] = entry.expect("there");
    }));
    refuse(&|folder| fs::remove_file(folder.join("adapter_model.safetensors")).expect("gone"));
    refuse(&|folder| fs::write(folder.join("runner.json"), "{}").expect("write"));
    refuse(&|folder| {
        let text = "{\"format\": 1, \"base_digest\": \"abc\"}";
        fs::write(folder.join("runner.json"), text).expect("write");
    });

    let adapter = Adapter::read(&fixture("tiny-llama-gqa/adapter")).expect("adapter");
    let against = |change: fn(&mut Value)| {
        let backbone = changed("tiny-llama-gqa", change).expect("config.json");
        message(adapter.check_against(&backbone))
    };
    all.push(against(|all| all["num_hidden_layers"] = 22.into()));
    all.push(against(|all| all["hidden_size"] = 128.into()));
    all.push(against(|all| all["num_key_value_heads"] = 4.into()));
    let options = |change: fn(&mut LoraOptions)| {
        let mut wanted = LoraOptions::default();
        change(&mut wanted);
        message(adapter.check_options(&wanted))
    };
    all.push(options(|wanted| wanted.r = 16));
    all.push(options(|wanted| wanted.alpha = 32.0));
    all.push(options(|wanted| {
        wanted.target_modules.push("k_proj".to_owned());
    }));
    let mut trained = adapter.clone();
    let digest = Digest::of_bytes(b"one");
    trained
        .check_base(digest)
        .expect("an adapter that does not say passes");
    trained.base_digest = Some(digest);
    trained.check_base(digest).expect("its own");
    all.push(message(trained.check_base(Digest::of_bytes(b"another"))));
    insta::assert_snapshot!(all.join("\n\n"));
}

/// A zip of stored files, as PyTorch writes it.
fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in files {
        writer.start_file(*name, stored).expect("entry");
        writer.write_all(bytes).expect("bytes");
    }
    writer.finish().expect("zip").into_inner()
}

/// The pickle of a dictionary with one tensor of two rows and three columns.
fn pickle(storage: &str, strides: [u8; 2], count: u8) -> Vec<u8> {
    let mut all = b"\x80\x02}(X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((".to_vec();
    all.extend_from_slice(b"X\x07\x00\x00\x00storagectorch\n");
    all.extend_from_slice(storage.as_bytes());
    all.extend_from_slice(b"\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK");
    all.extend_from_slice(&[count]);
    all.extend_from_slice(b"tQK\x00K\x02K\x03\x86K");
    all.extend_from_slice(&[strides[0], b'K', strides[1]]);
    all.extend_from_slice(b"\x86\x89ccollections\nOrderedDict\n)RtRu.");
    all
}

#[test]
fn pickles_are_read_and_never_run() {
    let folder = copy_adapter("tiny-llama-gqa");
    fs::remove_file(folder.path().join("adapter_model.safetensors")).expect("gone");
    let path = folder.path().join("adapter_model.bin");
    let read = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("write");
        message(Adapter::read(folder.path()))
    };
    let numbers = [0_u8; 24];
    let whole = |pickle: &[u8]| zip(&[("a/data.pkl", pickle), ("a/data/0", &numbers)]);
    let good = pickle("FloatStorage", [3, 1], 6);
    let mut all = vec![
        // Read whole; `w` is only no LoRA matrix.
        read(&whole(&good)),
        read(&whole(&pickle("LongStorage", [3, 1], 6))),
        read(&whole(&pickle("FloatStorage", [1, 2], 6))),
        read(&whole(&pickle("FloatStorage", [3, 1], 5))),
        read(&whole(&pickle("HalfStorage", [3, 1], 6))),
        read(&whole(
            b"\x80\x02cos\nsystem\nX\x09\x00\x00\x00rm -rf ~/\x85R.",
        )),
        read(&whole(
            b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.",
        )),
        read(&whole(b"\x80\x02ctorch\nload\n)R.")),
        read(&whole(b"\x80\x02ccollections\nOrderedDict\n)\x81}b.")),
        read(&whole(b"\x80\x02K\x01K\x02\x86.")),
        read(&whole(b"\x80\x02}(X\x01\x00\x00\x00aK\x05u.")),
        read(&whole(b"\x80\x02}(X\xff\xff\xff\xffabc")),
        read(&whole(b"\x80\x02R.")),
        read(&zip(&[("a/data.pkl", &good)])),
        read(&zip(&[("a/data/0", &numbers)])),
        read(&zip(&[
            ("a/data.pkl", &good),
            ("a/data/0", &numbers),
            ("a/byteorder", b"big"),
        ])),
        read(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."),
        read(b"\x7fELF"),
        read(&whole(&good)[..100]),
    ];
    // Depth and sharing cost nothing: no file makes the reader recurse or copy.
    let mut deep = b"\x80\x02)".to_vec();
    deep.extend(std::iter::repeat_n(0x85, 1_000_000));
    deep.push(b'.');
    all.push(read(&whole(&deep)));
    insta::assert_snapshot!(all.join("\n\n"));

    let mut random = Random::new(21, "pickles");
    let whole = whole(&good);
    for _ in 0..2000 {
        let mut bytes = whole.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            bytes[at] = random.below(256) as u8;
        }
        read(&bytes);
    }
}

/// A few megabytes must not become gigabytes: what is named once may be recalled a million times.
#[test]
fn pickles_that_grow_are_refused() {
    let folder = copy_adapter("tiny-llama-gqa");
    fs::remove_file(folder.path().join("adapter_model.safetensors")).expect("gone");
    let path = folder.path().join("adapter_model.bin");
    let read = |pickle: &[u8]| {
        let bytes = zip(&[("a/data.pkl", pickle), ("a/data/0", &[0; 24])]);
        fs::write(&path, bytes).expect("write");
        message(Adapter::read(folder.path()))
    };
    let refused = |pickle: &[u8], why: &str| {
        let said = read(pickle);
        assert!(said.contains(why), "{said}");
    };

    let marks = [b"\x80\x02".as_slice(), &vec![b'('; 2 << 20]].concat();
    refused(&marks, "more values than the largest model has");
    let memos = [b"\x80\x04N".as_slice(), &vec![0x94; 2 << 20]].concat();
    refused(&memos, "more values than the largest model has");
    refused(&vec![b'N'; 17 << 20], "bytes");

    // One long name of a storage, in a tuple that every storage is made from.
    let mut name = b"\x80\x02(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX".to_vec();
    name.extend((1_u32 << 20).to_le_bytes());
    name.extend(std::iter::repeat_n(b'x', 1 << 20));
    name.extend_from_slice(b"X\x03\x00\x00\x00cpuK\x06tq\x00Q");
    name.extend(b"h\x00Q".repeat(100_000));
    refused(&name, "a reference to a tensor's numbers is not understood");

    // One long shape for every tensor.
    let mut shape = b"\x80\x02(".to_vec();
    shape.extend(b"K\x01".repeat(100_000));
    shape.extend_from_slice(b"tq\x01ctorch._utils\n_rebuild_tensor_v2\n((");
    shape.extend_from_slice(b"X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000");
    shape.extend_from_slice(b"X\x03\x00\x00\x00cpuK\x06tQK\x00h\x01h\x01tR.");
    refused(&shape, "a tensor has 100000 dimensions");

    // One long tuple of arguments, copied at every call.
    let mut arguments = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(".to_vec();
    arguments.extend(b"N".repeat(100_000));
    arguments.extend_from_slice(b"tR.");
    refused(&arguments, "calls a function with 100000 arguments");
}

/// A zip may say that an entry is longer than the file around it.
#[test]
fn numbers_beyond_the_end_of_a_file_are_refused() {
    let folder = copy_adapter("tiny-llama-gqa");
    fs::remove_file(folder.path().join("adapter_model.safetensors")).expect("gone");
    let path = folder.path().join("adapter_model.bin");
    // 2^30 numbers, and a storage that claims to have as many.
    let mut pickle = pickle("FloatStorage", [3, 1], 6);
    let count = b"cpuK\x06";
    let at = pickle.windows(count.len()).position(|some| some == count);
    let at = at.expect("the storage's length") + 3;
    pickle.splice(at..at + 2, b"J\x00\x00\x00\x10".iter().copied());
    let mut bytes = zip(&[("a/data.pkl", &pickle), ("a/data/0", &[0; 8])]);
    let central = bytes.windows(4).rposition(|some| some == b"PK\x01\x02");
    let central = central.expect("an entry of the directory");
    for field in [central + 20, central + 24] {
        bytes[field..field + 4].copy_from_slice(&0x4000_0000_u32.to_le_bytes());
    }
    fs::write(&path, bytes).expect("write");
    let said = message(Adapter::read(folder.path()));
    assert!(said.contains("end after the file"), "{said}");
}

/// A shape beyond all bounds with an end before its beginning: two impossible sizes that were taken
/// for the same, so that nothing kept the other tensor inside the file.
#[test]
fn an_impossible_tensor_does_not_make_room_for_another() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("model.safetensors");
    let (many, bytes) = (1_u64 << 40, 4_u64 << 40);
    let header = json!({
        "a": {"dtype": "F32", "shape": [many], "data_offsets": [0, bytes]},
        "b": {"dtype": "F32", "shape": [many, many], "data_offsets": [bytes, 0]},
    });
    let header = header.to_string();
    let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
    fs::write(&path, file).expect("write");
    let said = message(WeightFiles::open(folder.path()).map_err(LanguageModelError::from));
    assert!(said.contains("does not fit its bytes"), "{said}");
}

#[test]
fn flipped_bytes_never_panic() {
    let mut random = Random::new(20, "flips");
    for (name, file, reach) in [
        ("tiny-llama-gqa", "config.json", usize::MAX),
        ("tiny-qwen3", "config.json", usize::MAX),
        ("tiny-qwen3", "model.safetensors", 3000),
        (
            "tiny-llama-tied",
            "model.safetensors.index.json",
            usize::MAX,
        ),
        ("tiny-llama-gqa/adapter", "adapter_config.json", usize::MAX),
        ("tiny-llama-gqa/adapter", "adapter_model.safetensors", 2000),
    ] {
        let folder = copy(name);
        let path = folder.path().join(file);
        let whole = fs::read(&path).expect("read");
        for _ in 0..300 {
            let mut bytes = whole.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(bytes.len().min(reach));
                bytes[at] = random.below(256) as u8;
            }
            fs::write(&path, &bytes).expect("write");
            let outcome = if name.ends_with("adapter") {
                Adapter::read(folder.path()).map(|_| ())
            } else {
                open(folder.path())
                    .and_then(|weights| Ok(weights.all_f32()?))
                    .map(|_| ())
            };
            if let Err(error) = outcome {
                assert!(error.to_string().len() < 2000, "{error}");
            }
        }
    }
}
