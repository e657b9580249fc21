//! `rec_tune`: trains a LoRA adapter on samples (paper §2.2, the second stage of TALLRec).

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::codec::write_predictions;
use super::language_model::{Loaded, adapter_input, template};
use super::needs::{Asked, Known, KnownLengths, Needs, Passes, Unknown, of_tuning};
use super::train_recommender::predictions;
use super::tuned::{Tuning, write_course, write_summary};
use super::tuning_params::{Both, Complete, EvaluatedRows, ValidationSize, Written};
use super::{InputDeclaration, OutputDeclaration, StageContext, StageError, StageKind, samples};
use crate::base::Lane;
use crate::data::{Domain, Sample};
use crate::language_model::memory::Trained;
use crate::metric::plausible::suspicions;
use crate::prompt::Encoder;
use crate::tuning::census::evaluate_in_domains;
use crate::tuning::{Answers, Example, Question, SelectBy, TuneOptions, Validation, every_third};

/// Trains a LoRA adapter on samples.
#[derive(Debug)]
pub struct RecTune;

/// Parameters of [`RecTune`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(with = "Written")]
pub struct Params(#[serde(deserialize_with = "complete")] Complete);

fn complete<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Complete, D::Error> {
    Written::deserialize(deserializer)
        .map(|written| Complete::new(written, &TuneOptions::default()))
}

impl StageKind for RecTune {
    type Params = Params;

    const NAME: &'static str = "rec_tune";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Trains a LoRA adapter on samples: the question whether a user \
                                   will like something, answered by yes or no.";
    const INPUTS: &'static [InputDeclaration] = &[
        InputDeclaration::one("backbone", "model folder in the form of Hugging Face"),
        InputDeclaration::one("template", "prompt template in alpaca-lora's form"),
        InputDeclaration::one("train", "samples to learn from"),
        InputDeclaration::many("valid", "samples that choose the checkpoint"),
        InputDeclaration::optional("adapter", "adapter to start from"),
    ];
    const SKIP: &'static [&'static str] = &["resources"];

    fn outputs(params: &Params) -> Vec<OutputDeclaration> {
        let mut outputs = vec![
            OutputDeclaration::new("model", "adapter"),
            OutputDeclaration::new("curve", "curve.parquet"),
            OutputDeclaration::new("plot", "curve.png"),
            OutputDeclaration::new("valid", "valid.parquet"),
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
            limit: params.limit(),
            passes: params.passes()?,
            precision: params.precision,
        };
        let needs_texts = options.select_by == SelectBy::Loss;
        Some(of_tuning(
            known,
            lengths,
            &asked,
            options,
            ("train", Some("valid")),
            (params.fidelity.validation_size, needs_texts),
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
        let train_samples = samples::read(context.input("train")?)?;
        let options = &in_domains(options, &train_samples);
        let valid_samples = validation(params, options, train_samples.len(), context)?;

        let mut encoder = Encoder::new(&loaded.tokenizer, &template, params.limit());
        let mut train = Vec::with_capacity(train_samples.len());
        for sample in &train_samples {
            train.extend(encoder.sample(sample)?);
        }
        let fitted_train = encoder.fitted();
        let by_answer = params.fidelity.evaluated_rows == EvaluatedRows::Answer;
        let needs_texts = options.select_by == SelectBy::Loss;
        let mut encoder = Encoder::new(&loaded.tokenizer, &template, params.limit());
        // The questions, the validation sample each belongs to, and the texts.
        let mut questions: Vec<Question> = Vec::new();
        let mut asked_of: Vec<usize> = Vec::new();
        let mut texts: Vec<Example> = Vec::new();
        for (row, sample) in valid_samples.iter().enumerate() {
            let question = encoder.question(sample)?.question;
            if needs_texts || !by_answer {
                match encoder.sample(sample)? {
                    Some(text) => texts.push(text),
                    // Its answer was cut away: there is no loss to be had from it.
                    None => continue,
                }
            }
            questions.push(question);
            asked_of.push(row);
        }
        let [yes, no] = encoder.answers().ok_or_else(|| {
            StageError::input("there are no validation samples")
                .with_help("connect samples to the input `valid`")
        })?;
        if !by_answer {
            let picked = every_third(&texts, Answers { yes, no }, options.loss_on);
            let of_text = asked_of;
            (asked_of, questions) = picked
                .into_iter()
                .map(|(text, question)| (of_text[text], question))
                .unzip();
            if !needs_texts {
                texts.clear();
            }
        }
        for (what, fitted) in [("training", fitted_train), ("validation", encoder.fitted())] {
            if let Some(sentence) = fitted.sentence(params.cutoff_length) {
                context.emitter().warn(format!("{what}: {sentence}"));
            }
        }
        let texts_seen = train.iter().map(|text| &text.tokens[..]);
        let texts_seen = texts_seen.chain(questions.iter().map(|one| &one.tokens[..]));
        loaded.check_lengths(context, texts_seen);
        context.check_cancelled()?;
        let starts_from_adapter = start.is_some();
        let tuning = Tuning {
            loaded: &loaded,
            start,
            lora,
            train: &train,
            validation: Validation::Questions {
                questions: &questions,
                answers: Answers { yes, no },
                texts: &texts,
            },
            options,
            resources: params.resources.good("resources").map_err(not_checked)?,
            output: "model",
        };
        let (tuned, b_norm) = tuning.run(context)?;
        write_course(context, "Rec-tuning", &tuned, params.tensorboard)?;
        let validated = tuned.validation.clone().unwrap_or_default();
        let rows: Vec<Sample> = validated
            .rows
            .iter()
            .map(|question| Sample {
                // Under `eval.rows: every_third` the label is that of the place looked at.
                label: questions[*question].label,
                ..valid_samples[asked_of[*question]].clone()
            })
            .collect();
        let predictions = predictions(&rows, &validated.scores);
        for suspicion in suspicions(&predictions, true) {
            let emitter = context.emitter();
            emitter.warn(format!("validation rows: {suspicion}"));
        }
        write_predictions(context.output("valid")?, &predictions).map_err(StageError::other)?;
        write_summary(
            context,
            &json!({
                "train_rows": train.len(),
                "valid_rows": rows.len(),
                "valid_auc": validated.auc,
                "valid_loss": validated.loss,
                "steps": tuned.steps,
                "total_steps": tuned.total_steps,
                "chosen_step": tuned.chosen_step,
                "best_step": tuned.best_step,
                "stopped_early": tuned.stopped_early,
                "tokens": tuned.tokens,
                "answer_tokens": {"yes": yes, "no": no},
                "backbone": loaded.digest.hex(),
                "starts_from_adapter": starts_from_adapter,
                "b_norm": b_norm,
                "fitted": {"train": fitted_train, "valid": encoder.fitted()},
                "warnings": tuned.warnings,
            }),
        )
    }
}

/// The validation samples that fidelity leaves, those that are looked at drawn by the training.
fn validation(
    params: &Complete,
    options: &TuneOptions,
    train_rows: usize,
    context: &StageContext,
) -> Result<Vec<Sample>, StageError> {
    let sets = context.inputs("valid");
    let sets = match params.fidelity.both {
        Both::Both => sets,
        Both::First => sets.get(..1).unwrap_or(sets),
    };
    let mut all = Vec::new();
    for set in sets {
        all.extend(samples::read(set)?);
    }
    if params.fidelity.validation_size == ValidationSize::K {
        let most = options.max_validation_rows.unwrap_or(train_rows);
        let mut random = crate::base::Random::new(options.seed, "rec_tune/validation");
        let mut chosen = random.permutation(all.len());
        chosen.truncate(most.min(train_rows));
        chosen.sort_unstable();
        all = chosen.into_iter().map(|at| all[at].clone()).collect();
    }
    Ok(all)
}

/// The options, with the released interval counting K: the samples of one domain, not of all.
fn in_domains(options: &TuneOptions, train: &[Sample]) -> TuneOptions {
    let domains: BTreeSet<Domain> = train.iter().map(|sample| sample.domain).collect();
    TuneOptions {
        evaluate: evaluate_in_domains(options.evaluate, train.len(), domains.len()),
        ..options.clone()
    }
}

/// Parameters are checked before a stage runs; should they not be, this says so.
pub(super) fn not_checked((field, message): (String, String)) -> StageError {
    StageError::input(format!("{field}: {message}"))
}
