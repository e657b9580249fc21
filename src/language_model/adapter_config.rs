//! `adapter_config.json` of PEFT, read and written.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::lora::MODULES;
use super::{LanguageModelError, LoraOptions};
use crate::base::nearest::suggestion;
use crate::model_files::error::clipped;

/// Keys that do not change what an adapter computes.
const HARMLESS: [&str; 12] = [
    "auto_mapping",
    "base_model_name_or_path",
    "inference_mode",
    "lora_alpha",
    "lora_dropout",
    "megatron_core",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "revision",
    "target_modules",
];

/// Ways to start an adapter that leave the backbone as it is; `pissa` and its like do not.
const INITIALISATIONS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// What `adapter_config.json` says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AdapterConfig {
    /// Name of the backbone, as it was given to PEFT.
    pub(crate) base: String,
    pub(crate) r: usize,
    pub(crate) alpha: f64,
    pub(crate) dropout: f64,
    /// Modules with an adapter; `None` if a regular expression says so, and then the matrices
    /// themselves tell.
    pub(crate) modules: Option<Vec<String>>,
}

impl AdapterConfig {
    /// Reads the file's text; `path` is for errors.
    pub(crate) fn from_json(bytes: &[u8], path: &Path) -> Result<Self, LanguageModelError> {
        let wrong = |message: String| LanguageModelError::file(path, message);
        let keys: Map<String, Value> = serde_json::from_slice(bytes)
            .map_err(|error| wrong(format!("this is not a JSON object: {error}")))?;
        let get = |key: &str| keys.get(key).filter(|value| !value.is_null());
        let kind = get("peft_type").and_then(Value::as_str).unwrap_or_default();
        if kind != "LORA" {
            return Err(wrong(format!(
                "`peft_type` is `{}`; only LORA is built",
                clipped(kind)
            )));
        }
        for (key, value) in &keys {
            if let Some(what) = changes_meaning(key, value) {
                return Err(wrong(format!("`{}` is {what}", clipped(key))).with_help(
                    "this adapter computes something else than plain LoRA, which is all that is \
                     built",
                ));
            }
        }
        let r = get("r").and_then(Value::as_u64).unwrap_or_default();
        if !(1..=65_536).contains(&r) {
            return Err(wrong("`r` is not a rank from 1 to 65536".to_owned()));
        }
        let number = |key: &str, default: f64| match get(key) {
            None => Ok(default),
            Some(value) => value
                .as_f64()
                .filter(|number| number.is_finite())
                .ok_or_else(|| wrong(format!("`{key}` is not a number"))),
        };
        let dropout = number("lora_dropout", 0.0)?;
        if !(0.0..1.0).contains(&dropout) {
            return Err(wrong(format!("`lora_dropout` is {dropout}, not in [0, 1)")));
        }
        let base = get("base_model_name_or_path").and_then(Value::as_str);
        Ok(Self {
            base: base.unwrap_or_default().to_owned(),
            r: r as usize,
            alpha: number("lora_alpha", 8.0)?,
            dropout,
            modules: read_modules(get("target_modules")).map_err(wrong)?,
        })
    }

    /// The text of a file that PEFT reads.
    pub(crate) fn to_json(options: &LoraOptions, base: &str) -> Value {
        let alpha = options.alpha;
        // PEFT has a whole number here, and takes others.
        let alpha = if alpha.fract() == 0.0 && alpha.abs() < 1e15 {
            json!(alpha as i64)
        } else {
            json!(alpha)
        };
        json!({
            "alpha_pattern": {},
            "auto_mapping": null,
            "base_model_name_or_path": base,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "layers_pattern": null,
            "layers_to_transform": null,
            "lora_alpha": alpha,
            "lora_dropout": options.dropout,
            "modules_to_save": null,
            "peft_type": "LORA",
            "r": options.r,
            "rank_pattern": {},
            "revision": null,
            "target_modules": options.target_modules,
            "task_type": "CAUSAL_LM",
            "use_dora": false,
            "use_rslora": false,
        })
    }
}

/// What a key asks for that plain LoRA does not do; `None` if nothing.
fn changes_meaning(key: &str, value: &Value) -> Option<String> {
    let neutral = match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    };
    let shown = || clipped(&value.to_string());
    let refused = match key {
        _ if neutral || HARMLESS.contains(&key) => false,
        "bias" => value != "none",
        "task_type" => value != "CAUSAL_LM",
        "init_lora_weights" => match value {
            Value::Bool(_) => false,
            Value::String(name) => !INITIALISATIONS.contains(&name.as_str()),
            _ => true,
        },
        _ => true,
    };
    refused.then(|| match key {
        "bias" => format!("{}: biases are trained too; not built", shown()),
        "task_type" => format!("{}, not CAUSAL_LM", shown()),
        "use_rslora" => "true: the scale is alpha / √r; not built".to_owned(),
        "init_lora_weights" => format!("{}, which changes the backbone too; not built", shown()),
        _ => format!("{}, which is not built", shown()),
    })
}

/// Modules that are named; `None` for a regular expression.
fn read_modules(value: Option<&Value>) -> Result<Option<Vec<String>>, String> {
    match value {
        None => Err("`target_modules` is missing".to_owned()),
        Some(Value::String(text)) if text == "all-linear" => Ok(Some(
            MODULES.iter().map(|(name, _)| (*name).to_owned()).collect(),
        )),
        Some(Value::String(_)) => Ok(None),
        Some(Value::Array(names)) => {
            let mut seen = BTreeSet::new();
            let mut modules = Vec::new();
            for name in names {
                let name = name.as_str().unwrap_or_default();
                let module = MODULES
                    .iter()
                    .find(|(module, block)| {
                        *module == name || name.strip_prefix(*block) == Some(&format!(".{module}"))
                    })
                    .ok_or_else(|| {
                        let known = MODULES.iter().map(|(module, _)| *module);
                        format!(
                            "`target_modules` has `{}`, on which no adapter can be put; {}",
                            clipped(name),
                            suggestion(name, known)
                        )
                    })?;
                if seen.insert(module.0) {
                    modules.push(module.0.to_owned());
                }
            }
            if modules.is_empty() {
                return Err("`target_modules` is empty".to_owned());
            }
            Ok(Some(modules))
        }
        Some(other) => Err(format!(
            "`target_modules` is {}, not a list of names",
            clipped(&other.to_string())
        )),
    }
}
