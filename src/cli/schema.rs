//! `runner schema`: JSON Schemas for editors, and what there is to use.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{CliError, Exit, output};
use crate::recommender::{LANGUAGE_MODEL, RECOMMENDERS};
use crate::spec::{fidelity, schema};
use crate::stage::STAGES;
use crate::study::vocabulary;

/// What to print.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// JSON Schema of experiment files.
    Experiment,
    /// JSON Schema of pipeline files.
    Pipeline,
    /// Stage kinds with inputs, outputs and parameters.
    Stages,
    /// Methods with their settings.
    Methods,
    /// Fidelity keys with their values under both presets.
    Fidelity,
}

/// Arguments of `runner schema`.
#[derive(Debug, Args)]
#[command(
    after_help = "The shipped files point editors at docs/schema/*.json, which are these \
                        schemas; in your own\nfiles begin with\n  # yaml-language-server: \
                        $schema=../docs/schema/experiment.json"
)]
pub(super) struct Arguments {
    /// What to print; without it, both file kinds' schemas as one object.
    #[arg(value_enum)]
    what: Option<What>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let value = match arguments.what {
        None => json!({"experiment": experiment(), "pipeline": pipeline()}),
        Some(What::Experiment) => experiment(),
        Some(What::Pipeline) => pipeline(),
        Some(What::Stages) => STAGES
            .iter()
            .map(|stage| {
                json!({
                    "kind": stage.name(), "version": stage.version(), "summary": stage.summary(),
                    "inputs": stage.inputs().iter().map(|input| json!({
                        "name": input.name, "takes": format!("{:?}", input.arity).to_lowercase(),
                        "about": input.about,
                    })).collect::<Vec<_>>(),
                    "params": stage.schema(),
                })
            })
            .collect(),
        Some(What::Methods) => {
            let mut list: Vec<Value> = RECOMMENDERS
                .iter()
                .map(|method| {
                    json!({
                        "method": method.name(), "summary": method.summary(),
                        "settings": method.schema(),
                    })
                })
                .collect();
            list.push(json!({
                "method": LANGUAGE_MODEL,
                "summary": "A language model, tuned with LoRA: variants base, AT, RT, AT+RT; see \
                            the kinds alpaca_tune, rec_tune and score for its settings.",
            }));
            Value::Array(list)
        }
        Some(What::Fidelity) => fidelity::KEYS
            .iter()
            .map(|key| {
                json!({
                    "key": key.name, "values": key.values, "paper": key.paper,
                    "released_code": key.released_code, "about": key.about,
                })
            })
            .collect(),
    };
    output::json(&value)?;
    Ok(Exit::Fine)
}

/// The schema of experiment files, with this program's methods, tables and figures.
pub(super) fn experiment() -> Value {
    let methods: Vec<(&str, Value)> = RECOMMENDERS
        .iter()
        .map(|method| (method.name(), method.schema().to_value()))
        .collect();
    schema::experiment(vocabulary(), &methods)
}

/// The schema of pipeline files, with this program's stage kinds.
pub(super) fn pipeline() -> Value {
    let kinds: Vec<(&str, &str, Value)> = STAGES
        .iter()
        .map(|stage| (stage.name(), stage.summary(), stage.schema().to_value()))
        .collect();
    schema::pipeline(&kinds)
}
