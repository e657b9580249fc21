//! `alpaca_tune`: trains a LoRA adapter on instruction records (paper §2.2, the first stage of
//! TALLRec; alpaca-lora).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::language_model::{Loaded, adapter_input, template};
use super::needs::{Asked, Known, KnownLengths, Needs, Passes, Unknown, of_tuning};
use super::tuned::{Tuning, write_course, write_summary};
use super::tuning_params::{Complete, ValidationSize, Written};
use super::{InputDeclaration, OutputDeclaration, StageContext, StageError, StageKind};
use crate::base::Lane;
use crate::data::frame::read_records;
use crate::language_model::memory::Trained;
use crate::prompt::{Cutoff, Encoder, Limit};
use crate::tuning::{Evaluate, Keep, LossOn, SelectBy, TuneOptions, Validation};

/// Trains a LoRA adapter on instruction records.
#[derive(Debug)]
pub struct AlpacaTune;

/// Parameters of [`AlpacaTune`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(with = "Written")]
pub struct Params(#[serde(deserialize_with = "complete")] Complete);

fn complete<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Complete, D::Error> {
    Written::deserialize(deserializer).map(|written| Complete::new(written, &defaults()))
}

/// alpaca-lora's settings for Alpaca's 52,000 records.
fn defaults() -> TuneOptions {
    TuneOptions {
        learning_rate: 3e-4,
        epochs: 3,
        warmup_steps: 100,
        micro_batch_size: 4,
        loss_on: LossOn::Whole,
        evaluate: Evaluate::Epoch,
        select_by: SelectBy::Loss,
        keep: Keep::Last,
        patience: 0,
        ..TuneOptions::default()
    }
}

/// There is no history to shorten: longer texts are cut, as alpaca-lora does.
fn limit(params: &Complete) -> Limit {
    Limit {
        tokens: params.cutoff_length,
        cutoff: Cutoff::Truncate,
    }
}

impl StageKind for AlpacaTune {
    type Params = Params;

    const NAME: &'static str = "alpaca_tune";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Trains a LoRA adapter on instruction records.";
    const INPUTS: &'static [InputDeclaration] = &[
        InputDeclaration::one("backbone", "model folder in the form of Hugging Face"),
        InputDeclaration::one("template", "prompt template in alpaca-lora's form"),
        InputDeclaration::one(
            "records",
            "instruction records, from the kind `alpaca_json`",
        ),
        InputDeclaration::optional("adapter", "adapter to start from"),
    ];
    const SKIP: &'static [&'static str] = &["resources"];

    fn outputs(params: &Params) -> Vec<OutputDeclaration> {
        let mut outputs = vec![
            OutputDeclaration::new("adapter", "adapter"),
            OutputDeclaration::new("curve", "curve.parquet"),
            OutputDeclaration::new("plot", "curve.png"),
            OutputDeclaration::new("summary", "summary.json"),
        ];
        if params.0.tensorboard {
            outputs.push(OutputDeclaration::new("tensorboard", "tensorboard"));
        }
        outputs
    }

    fn lane(_params: &Params) -> Lane {
        Lane::Accelerator
    }

    fn check(params: &Params) -> Result<(), (String, String)> {
        params.0.check()
    }

    fn lighter(params: &Params) -> Option<(Params, String)> {
        let (lighter, words) = params.0.lighter()?;
        Some((Params(lighter), words))
    }

    fn passes(params: &Params) -> Option<Passes> {
        params.0.passes()
    }

    fn with_passes(params: &Params, passes: Passes) -> Option<Params> {
        Some(Params(params.0.with_passes(passes)))
    }

    fn needs(
        params: &Params,
        known: &dyn Known,
        lengths: &mut KnownLengths,
    ) -> Option<Result<Needs, Unknown>> {
        let params = &params.0;
        let (options, lora) = params.read().ok()?;
        let asked = Asked {
            trained: Trained::Adapter(lora),
            limit: limit(params),
            passes: params.passes()?,
            precision: params.precision,
        };
        Some(of_tuning(
            known,
            lengths,
            &asked,
            options,
            ("records", None),
            (ValidationSize::Full, false),
        ))
    }

    fn run(params: &Params, context: &StageContext) -> Result<(), StageError> {
        let params = &params.0;
        let (options, lora) = params.read()?;
        let loaded = Loaded::open(context, params.precision)?;
        let template = template(context)?;
        let start = adapter_input(context)
            .map(|input| loaded.adapter(input))
            .transpose()?;
        let records = read_records(&context.input("records")?.path).map_err(StageError::other)?;
        let mut encoder = Encoder::new(&loaded.tokenizer, &template, limit(params));
        let mut train = Vec::with_capacity(records.len());
        for record in &records {
            train.extend(encoder.record(record)?);
        }
        let fitted = encoder.fitted();
        if let Some(sentence) = fitted.sentence(params.cutoff_length) {
            context.emitter().warn(sentence);
        }
        if train.is_empty() {
            return Err(StageError::input("no record keeps anything of its answer")
                .with_help("raise `cutoff_length`"));
        }
        loaded.check_lengths(context, train.iter().map(|text| &text.tokens[..]));
        context.check_cancelled()?;
        let tuning = Tuning {
            loaded: &loaded,
            start,
            lora,
            train: &train,
            validation: Validation::None,
            options,
            resources: params
                .resources
                .good("resources")
                .map_err(super::rec_tune::not_checked)?,
            output: "adapter",
        };
        let (tuned, b_norm) = tuning.run(context)?;
        write_course(context, "Alpaca tuning", &tuned, params.tensorboard)?;
        write_summary(
            context,
            &json!({
                "records": records.len(),
                "train_rows": train.len(),
                "steps": tuned.steps,
                "tokens": tuned.tokens,
                "last_loss": tuned.curve.last().map(|point| point.loss),
                "backbone": loaded.digest.hex(),
                "b_norm": b_norm,
                "fitted": fitted,
                "warnings": tuned.warnings,
            }),
        )
    }
}
