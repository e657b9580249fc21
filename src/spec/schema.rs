//! JSON Schemas of both file kinds, from the same names the readers use.

use serde_json::{Map, Value, json};

use super::experiment::{KEYS, Vocabulary};
use super::grid::{STANDARD_AXES, VARIANTS};
use super::{
    backbone, candidates, data, device, fidelity, limits, pipeline as pipeline_file, report,
    systems, text_encoder,
};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The schema of experiment files; `methods` brings each method's settings.
#[must_use]
pub fn experiment(vocabulary: Vocabulary, methods: &[(&str, Value)]) -> Value {
    let mut definitions = Definitions::default();
    definitions.0.insert(VALUES.to_owned(), values_definition());
    let mut about = |key: &str| match key {
        "experiment" => json!({
            "type": "string", "pattern": "^[A-Za-z0-9_-]+$",
            "description": "Name of the experiment and of its folder under results/; by default the file's name."
        }),
        "description" => json!({
            "type": "string", "description": "What it is for; stands at the head of the report."
        }),
        "pipeline" => json!({
            "type": "string", "description": "The pipeline file, relative to the folder the program runs in."
        }),
        "grid" => grid(vocabulary),
        "fidelity" => fidelity_block(),
        "data" => data_block(),
        "backbone" => backbone_block(),
        "text_encoder" => text_encoder_block(),
        "systems" => systems::schema(),
        "candidates" => candidates::schema(),
        "settings" => settings(methods, &mut definitions),
        "variables" => json!({
            "type": "object", "description": "Values of your own, as ${name} in the pipeline."
        }),
        "limits" => json!({
            "type": "object", "additionalProperties": limits::schema(),
            "description": "Retries, timeout and heartbeat by stage kind or stage of the pipeline.",
        }),
        "device" => device::schema(),
        _ => report::schema(vocabulary),
    };
    let properties: Map<String, Value> = KEYS
        .iter()
        .map(|key| ((*key).to_owned(), about(key)))
        .collect();
    json!({
        "$schema": DIALECT,
        "title": "runner experiment",
        "type": "object",
        "additionalProperties": false,
        "required": ["pipeline"],
        "properties": properties,
        "$defs": definitions.0,
    })
}

/// Definitions of parts, collected at the root: a reference is read from there.
#[derive(Default)]
struct Definitions(Map<String, Value>);

impl Definitions {
    /// Takes over a schema that was made as a document of its own.
    fn embed(&mut self, owner: &str, schema: &Value) -> Value {
        let mut schema = schema.clone();
        let own = schema.as_object_mut().and_then(|map| {
            map.shift_remove("$schema");
            map.shift_remove("$defs")
        });
        point_to(owner, &mut schema);
        if let Some(Value::Object(own)) = own {
            for (name, mut definition) in own {
                point_to(owner, &mut definition);
                self.0.insert(format!("{owner}.{name}"), definition);
            }
        }
        schema
    }
}

/// Makes references lead to the definitions of `owner`.
fn point_to(owner: &str, schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if key == "$ref" => {
                        *text = text.replacen("#/$defs/", &format!("#/$defs/{owner}."), 1);
                    }
                    other => point_to(owner, other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| point_to(owner, item)),
        _ => {}
    }
}

/// Refers to [`VALUES`].
fn values() -> Value {
    json!({"$ref": format!("#/$defs/{VALUES}")})
}

/// Name of the definition of what an axis can hold.
const VALUES: &str = "values";

fn values_definition() -> Value {
    json!({
        "anyOf": [
            {"type": "array", "items": {"type": ["string", "number", "boolean"]}},
            {"type": ["number", "boolean"]},
            {"type": "string", "description": "One value, or a range a..b with both ends."},
            {
                "type": "object", "additionalProperties": false, "required": ["range"],
                "properties": {
                    "range": {"type": "string", "description": "a..b with both ends"},
                    "scale": {"enum": ["linear", "log2"], "description": "log2 doubles"},
                    "step": {"type": "integer", "minimum": 1}
                }
            }
        ]
    })
}

fn grid(vocabulary: Vocabulary) -> Value {
    let mut properties = Map::new();
    for axis in STANDARD_AXES {
        let mut schema = values();
        let about = match axis {
            "k" => "Training samples (shots). A range doubles: 1..256 is 1, 2, 4 … 256.",
            "seed" => "Seeds of draws and of training.",
            "variant" => {
                "Of TALLRec: base (nothing tuned), AT, RT, AT+RT. Belongs under the method."
            }
            "domain" => "Train and test on the same domain: movie, book.",
            "train" => "Domain to train on: movie, book, both.",
            "test" => "Domain to test on: movie, book.",
            _ => "Methods.",
        };
        if axis == "method" {
            let names: Vec<&str> = vocabulary
                .methods
                .iter()
                .chain(vocabulary.pipeline_methods)
                .copied()
                .collect();
            let own_axes = json!({
                "type": ["object", "null"],
                "description": "Its own axes: `variant` gives rows of their own, any other is a hyper-parameter searched on validation.",
                "properties": {"variant": {"type": "array", "items": {"enum": VARIANTS}}},
                "additionalProperties": values(),
            });
            let one = json!({
                "anyOf": [
                    {"type": "string", "examples": names},
                    {
                        "type": "object", "propertyNames": {"examples": names},
                        "additionalProperties": own_axes,
                    },
                ]
            });
            schema = json!({"anyOf": [{"type": "array", "items": one}, one]});
        }
        if let Value::Object(map) = &mut schema {
            map.insert("description".to_owned(), json!(about));
        }
        properties.insert(axis.to_owned(), schema);
    }
    properties.insert(
        "zip".to_owned(),
        json!({
            "description": "Axes walked side by side: [{train: [movie, book], test: [book, movie]}].",
            "type": ["array", "object"]
        }),
    );
    for (key, about) in [
        (
            "include",
            "Cells to add; axes not named take all their values.",
        ),
        (
            "exclude",
            "Cells to leave out: those that agree with every axis named.",
        ),
    ] {
        properties.insert(
            key.to_owned(),
            json!({"description": about, "type": ["array", "object"]}),
        );
    }
    json!({
        "type": "object",
        "description": "Axes; cells are all combinations of their values.",
        "properties": properties,
        "additionalProperties": values(),
    })
}

fn fidelity_block() -> Value {
    let mut properties = Map::new();
    properties.insert("preset".to_owned(), json!({"enum": fidelity::PRESETS}));
    let mut groups: Map<String, Value> = Map::new();
    for key in fidelity::KEYS {
        let mut allowed: Vec<&str> = key.values.to_vec();
        allowed.extend(fidelity::PRESETS);
        let about = json!({
            "enum": allowed,
            "description": format!("{} (paper: {}, released code: {})", key.about, key.paper, key.released_code),
        });
        properties.insert(key.name.to_owned(), about.clone());
        if let Some((group, rest)) = key.name.split_once('.') {
            let group = groups
                .entry(group.to_owned())
                .or_insert_with(|| json!({"type": "object", "properties": {}}));
            if let Some(inner) = group.get_mut("properties").and_then(Value::as_object_mut) {
                inner.insert(rest.to_owned(), about);
            }
        }
    }
    properties.extend(groups);
    json!({
        "description": "Where the paper's text and its released code differ; default: paper.",
        "anyOf": [
            {"enum": fidelity::PRESETS},
            {"type": "object", "properties": properties, "additionalProperties": false},
        ]
    })
}

fn data_block() -> Value {
    let domain = |files: &str| {
        json!({
            "type": "object", "additionalProperties": false,
            "properties": {
                "path": {"type": "string", "description": format!("Folder with {files}, or with train.json, valid.json and test.json. Without one: the synthetic world.")},
                "source": {"enum": data::SOURCES, "description": "auto looks at what the folder holds."},
            }
        })
    };
    let about = |block: &str| match block {
        "movie" => domain("u.data and u.item"),
        "book" => domain("BX-Books.csv and BX-Book-Ratings.csv"),
        "alpaca" => json!({
            "type": "object", "additionalProperties": false,
            "properties": {"path": {"type": "string", "description": "An Alpaca JSON file."}}
        }),
        "synthetic" => json!({
            "type": "object", "description": "Parameters of the stage kind `synthetic`."
        }),
        _ => json!({
            "type": "string", "description": "tokenizer.json or its folder: the audit then counts rows over the token limit."
        }),
    };
    let properties: Map<String, Value> = data::BLOCKS
        .iter()
        .map(|block| ((*block).to_owned(), about(block)))
        .collect();
    json!({
        "type": "object", "additionalProperties": false, "properties": properties,
        "description": "Where samples come from.",
    })
}

fn backbone_block() -> Value {
    let about = |key: &str| match key {
        "hf" => {
            json!({"type": "string", "description": "A model of the Hugging Face hub: owner/name."})
        }
        "revision" => {
            json!({"type": "string", "description": "Branch, tag or commit of `hf`; default: main."})
        }
        "path" => json!({"type": "string", "description": "A Hugging Face model folder."}),
        "pretrain" => json!({
            "type": ["object", "null"],
            "description": "Makes a small model here: parameters of the stage kind `pretrain`, and `corpus`: a file, or parameters of the stage kind `tales`.",
        }),
        "name" => json!({
            "type": "string", "pattern": "^[A-Za-z0-9._-]+$",
            "description": "In a list, what results call it; default: the last part of where it is from.",
        }),
        "template" => json!({
            "type": "string",
            "description": "The prompt template it is asked with, in alpaca-lora's form; default: the one of fidelity `prompt.template`.",
        }),
        _ => {
            json!({"type": "string", "description": "A PEFT adapter folder to be used instead of alpaca tuning here."})
        }
    };
    let properties: Map<String, Value> = backbone::KEYS
        .iter()
        .map(|key| ((*key).to_owned(), about(key)))
        .collect();
    let one = json!({
        "type": "object", "additionalProperties": false, "properties": properties,
        "oneOf": backbone::SOURCES.map(|source| json!({"required": [source]})),
    });
    json!({
        "description": "The language model that the method `tallrec` tunes; a list of them is an axis.",
        "anyOf": [one, {"type": "array", "minItems": 1, "items": one}],
    })
}

fn text_encoder_block() -> Value {
    let about = |key: &str| match key {
        "hf" => {
            json!({"type": "string", "description": "A BERT of the Hugging Face hub: owner/name."})
        }
        "revision" => {
            json!({"type": "string", "description": "Branch, tag or commit of `hf`; default: main."})
        }
        "path" => json!({"type": "string", "description": "The Hugging Face folder of a BERT."}),
        "random" => json!({
            "type": ["object", "null"],
            "description": "Makes a small BERT here that has read nothing (the default): parameters of the stage kind `random_text_encoder`.",
        }),
        "max_tokens" => json!({"type": "integer", "minimum": 3}),
        "pooling" => json!({"enum": ["cls", "mean"]}),
        _ => json!({"type": "string"}),
    };
    let properties: Map<String, Value> = text_encoder::KEYS
        .iter()
        .map(|key| ((*key).to_owned(), about(key)))
        .collect();
    json!({
        "type": "object", "additionalProperties": false, "properties": properties,
        "description": "The BERT that reads the items' texts for `gru_bert` and `dros_bert`; beside it, parameters of the stage kind `embed_items`.",
    })
}

fn settings(methods: &[(&str, Value)], definitions: &mut Definitions) -> Value {
    let properties: Map<String, Value> = methods
        .iter()
        .map(|(name, schema)| ((*name).to_owned(), definitions.embed(name, schema)))
        .collect();
    json!({
        "type": "object", "properties": properties,
        "description": "Settings of methods; what is left out has the method's default.",
    })
}

/// The schema of pipeline files; `kinds` brings each stage kind's summary and parameters.
#[must_use]
pub fn pipeline(kinds: &[(&str, &str, Value)]) -> Value {
    let kind_names: Vec<Value> = kinds
        .iter()
        .map(|(name, summary, _)| json!({"const": name, "description": summary}))
        .collect();
    let source = json!({
        "anyOf": [
            {"type": "string", "description": "stage or stage/output"},
            {
                "type": "object", "additionalProperties": false,
                "properties": input_properties(),
            },
        ]
    });
    let input = json!({"anyOf": [source, {"type": "array", "items": source}]});
    let when = json!({
        "type": "object",
        "description": "References and the value, or list of values, each must have.",
    });
    let params = json!({
        "type": ["object", "string", "null"],
        "description": "Parameters; ${name} refers to axes and to the experiment's values. `runner schema stages` documents each kind's.",
    });
    let inputs = json!({"type": "object", "additionalProperties": input});
    let part = |key: &str| match key {
        "kind" => json!({"oneOf": kind_names}),
        "params" => params.clone(),
        "inputs" => inputs.clone(),
        "limits" => limits::schema(),
        _ => when.clone(),
    };
    let case_properties: Map<String, Value> = pipeline_file::CASE_KEYS
        .iter()
        .map(|key| ((*key).to_owned(), part(key)))
        .collect();
    let case = json!({
        "type": "object", "additionalProperties": false, "required": ["kind"],
        "properties": case_properties,
    });
    let stage_properties: Map<String, Value> = pipeline_file::STAGE_KEYS
        .iter()
        .map(|key| {
            let schema = match *key {
                "description" => json!({"type": "string"}),
                "cases" => json!({
                    "type": "array", "items": case,
                    "description": "Forms of this stage; the first whose `when` holds applies.",
                }),
                other => part(other),
            };
            ((*key).to_owned(), schema)
        })
        .collect();
    let result_properties: Map<String, Value> = pipeline_file::RESULT_KEYS
        .iter()
        .map(|key| ((*key).to_owned(), input.clone()))
        .collect();
    let about = |key: &str| match key {
        "stages" => json!({
            "type": "object",
            "additionalProperties": {
                "type": "object", "additionalProperties": false, "properties": stage_properties,
            }
        }),
        "targets" => json!({
            "type": ["array", "string"], "items": {"type": "string"},
            "description": "Stages wanted for every cell; default: all that nothing else uses.",
        }),
        "results" => json!({
            "type": "object", "additionalProperties": false, "properties": result_properties,
            "description": "Where result rows, hyper-parameter choices and data audits are read from.",
        }),
        _ => json!({"type": "string"}),
    };
    let properties: Map<String, Value> = pipeline_file::KEYS
        .iter()
        .map(|key| ((*key).to_owned(), about(key)))
        .collect();
    let mut definitions = Definitions::default();
    let params_of_kinds: Map<String, Value> = kinds
        .iter()
        .map(|(name, _, schema)| ((*name).to_owned(), definitions.embed(name, schema)))
        .collect();
    json!({
        "$schema": DIALECT,
        "title": "runner pipeline",
        "type": "object",
        "additionalProperties": false,
        "required": ["stages"],
        "properties": properties,
        "$comment": "x-kinds documents the parameters of every stage kind",
        "x-kinds": params_of_kinds,
        "$defs": definitions.0,
    })
}

fn input_properties() -> Map<String, Value> {
    pipeline_file::INPUT_KEYS
        .iter()
        .map(|key| {
            let schema = match *key {
                "stage" => json!({"type": "string", "description": "A stage of this pipeline."}),
                "output" => json!({"type": "string", "description": "Which of its outputs."}),
                "with" => json!({
                    "type": "object", "description": "Values for names the stage refers to."
                }),
                "over" => json!({
                    "type": ["string", "array"],
                    "description": "Gather: all cells (`all`), hyper-parameters (`search`), or these axes.",
                }),
                "path" => json!({"type": "string", "description": "A file or folder of yours."}),
                "files" => json!({
                    "type": "array", "items": {"type": "string"},
                    "description": "Of a folder, the files that count; default: all.",
                }),
                _ => json!({"type": "boolean", "description": "May be missing."}),
            };
            ((*key).to_owned(), schema)
        })
        .collect()
}
