//! `score`: what a language model says about samples, tuned or bare (paper §3, evaluation).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::codec::readouts::{ReadoutRow, write_readouts};
use super::codec::write_predictions;
use super::language_model::{Loaded, adapter_input, examples, template};
use super::needs::{Asked, Known, KnownLengths, Needs, Passes, Unknown, of_scoring};
use super::samples::write_json;
use super::train_recommender::predictions;
use super::tuned::Reporting;
use super::tuning_params::fewer_tokens;
use super::{InputDeclaration, OutputDeclaration, StageContext, StageError, StageKind, samples};
use crate::base::{Digest, Lane};
use crate::language_model::Precision;
use crate::language_model::memory::Trained;
use crate::metric::plausible::suspicions;
use crate::prompt::{Cutoff, Encoder, Limit};
use crate::tuning::{read_out_all, shared_prefix, yes_probability};

/// Scores samples with a language model.
#[derive(Debug)]
pub struct Score;

/// Which score ranks the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// sigmoid(logit of yes − logit of no).
    #[default]
    Pair,
    /// sigmoid(p of yes − p of no), p over the whole vocabulary: the released code.
    DoubleSoftmax,
}

/// Parameters of [`Score`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// Which score ranks the rows; both are kept.
    by: By,
    /// What happens to a prompt over the limit.
    cutoff: Cutoff,
    /// Tokens of prompt and answer at most.
    cutoff_length: usize,
    /// Tokens in one pass through the model: bounds memory, changes no result.
    pass_tokens: usize,
    /// In which numbers the model computes; as in the training, unless one wants to know.
    #[serde(skip_serializing_if = "Precision::is_default")]
    precision: Precision,
    /// Training samples that stand with their answers before each question; of those of the input
    /// `examples`.
    examples: usize,
    /// Decides which ones.
    seed: u64,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            by: By::default(),
            cutoff: Cutoff::default(),
            cutoff_length: 512,
            pass_tokens: 8192,
            precision: Precision::default(),
            examples: 0,
            seed: 0,
        }
    }
}

impl StageKind for Score {
    type Params = Params;

    const NAME: &'static str = "score";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Scores samples with a language model, bare or with an adapter: \
                                   P(Yes) against P(No) where the answer begins.";
    const INPUTS: &'static [InputDeclaration] = &[
        InputDeclaration::one("backbone", "model folder in the form of Hugging Face"),
        InputDeclaration::one("template", "prompt template in alpaca-lora's form"),
        InputDeclaration::one("samples", "samples to score"),
        InputDeclaration::optional("adapter", "adapter; without one the bare backbone speaks"),
        InputDeclaration::optional("examples", "samples to choose examples from"),
    ];
    const SKIP: &'static [&'static str] = &["pass_tokens"];
    const SKIP_IF_DEFAULT: &'static [&'static str] = &["examples", "seed"];

    fn outputs(_params: &Params) -> Vec<OutputDeclaration> {
        vec![
            OutputDeclaration::new("predictions", "predictions.parquet"),
            OutputDeclaration::new("readouts", "readouts.parquet"),
            OutputDeclaration::new("summary", "summary.json"),
        ]
    }

    fn lane(_params: &Params) -> Lane {
        Lane::Accelerator
    }

    fn check(params: &Params) -> Result<(), (String, String)> {
        for (field, value, least) in [
            ("cutoff_length", params.cutoff_length, 16),
            ("pass_tokens", params.pass_tokens, 1),
        ] {
            if value < least {
                let message = format!("{value} is too few, {least} at least");
                return Err((field.to_owned(), message));
            }
        }
        Ok(())
    }

    fn lighter(params: &Params) -> Option<(Params, String)> {
        let (pass_tokens, words) = fewer_tokens(params.pass_tokens)?;
        let lighter = Params {
            pass_tokens,
            ..params.clone()
        };
        Some((lighter, words))
    }

    fn passes(params: &Params) -> Option<Passes> {
        Some(Passes {
            pass_tokens: params.pass_tokens,
            checkpoint_layers: None,
        })
    }

    fn with_passes(params: &Params, passes: Passes) -> Option<Params> {
        Some(Params {
            pass_tokens: passes.pass_tokens,
            ..params.clone()
        })
    }

    fn needs(
        params: &Params,
        known: &dyn Known,
        lengths: &mut KnownLengths,
    ) -> Option<Result<Needs, Unknown>> {
        if params.examples > 0 {
            return Some(Err(
                "its prompts hold examples, whose lengths are not counted beforehand".to_owned(),
            ));
        }
        let asked = Asked {
            trained: Trained::Nothing,
            limit: limit(params),
            passes: Self::passes(params)?,
            precision: params.precision,
        };
        Some(of_scoring(known, lengths, &asked))
    }

    fn run(params: &Params, context: &StageContext) -> Result<(), StageError> {
        let loaded = Loaded::open(context, params.precision)?;
        let template = template(context)?;
        let adapter = adapter_input(context)
            .map(|input| loaded.adapter(input))
            .transpose()?;
        let b_norm = adapter.as_ref().map(crate::language_model::Adapter::b_norm);
        let samples = samples::read(context.input("samples")?)?;
        let examples = examples(context, &template, params.examples, params.seed)?;
        let mut encoder =
            Encoder::new(&loaded.tokenizer, &template, limit(params)).with_examples(examples);
        let asked = samples
            .iter()
            .map(|sample| encoder.question(sample))
            .collect::<Result<Vec<_>, _>>()?;
        let fitted = encoder.fitted();
        if let Some(sentence) = fitted.sentence(params.cutoff_length) {
            context.emitter().warn(sentence);
        }
        let answers = encoder
            .answers()
            .ok_or_else(|| StageError::input("there are no samples to score"))?;
        context.check_cancelled()?;
        let model = loaded.with_adapter(adapter)?;
        let prompts: Vec<&[u32]> = asked
            .iter()
            .map(|asked| asked.question.tokens.as_slice())
            .collect();
        loaded.check_lengths(context, prompts.iter().copied());
        let readouts = read_out_all(
            model.as_ref(),
            &prompts,
            &answers,
            true,
            params.pass_tokens,
            shared_prefix(prompts.iter().copied()),
            &mut Scoring(Reporting { context }),
        )?;
        let rows: Vec<ReadoutRow> = samples
            .iter()
            .zip(&asked)
            .zip(&readouts)
            .map(|((sample, asked), readout)| {
                let (yes, no) = (readout.logits[0], readout.logits[1]);
                let normaliser = readout.log_normaliser.unwrap_or(f32::NAN);
                let share = |logit: f32| (f64::from(logit) - f64::from(normaliser)).exp() as f32;
                ReadoutRow {
                    row: sample.row,
                    prompt_digest: Digest::of_bytes(asked.prompt.as_bytes()).hex(),
                    tokens: asked.question.tokens.len() as u32,
                    logit_yes: yes,
                    logit_no: no,
                    log_normaliser: normaliser,
                    pair: yes_probability(yes, no),
                    double_softmax: yes_probability(share(yes), share(no)),
                    label: sample.label,
                }
            })
            .collect();
        if let Some(row) = rows.iter().find(|row| !row.pair.is_finite()) {
            return Err(StageError::input(format!(
                "the logits of row {} are not finite: {} and {}",
                row.row, row.logit_yes, row.logit_no
            ))
            .with_help("the adapter or the backbone is damaged, or numbers overflowed"));
        }
        let scores: Vec<f64> = rows
            .iter()
            .map(|row| match params.by {
                By::Pair => row.pair,
                By::DoubleSoftmax => row.double_softmax,
            })
            .collect();
        let predictions = predictions(&samples, &scores);
        for suspicion in suspicions(&predictions, true) {
            context.emitter().warn(suspicion);
        }
        write_predictions(context.output("predictions")?, &predictions)
            .map_err(StageError::other)?;
        write_readouts(context.output("readouts")?, &rows).map_err(StageError::other)?;
        let mass = rows
            .iter()
            .map(|row| {
                let share = |logit: f32| f64::from(logit - row.log_normaliser).exp();
                share(row.logit_yes) + share(row.logit_no)
            })
            .sum::<f64>()
            / rows.len().max(1) as f64;
        write_json(
            context.output("summary")?,
            &json!({
                "rows": rows.len(),
                "backbone": loaded.digest.hex(),
                "adapter": b_norm.is_some(),
                "b_norm": b_norm,
                "answer_tokens": {"yes": answers[0], "no": answers[1]},
                "mean_probability_of_the_answers": mass,
                "fitted": fitted,
            }),
        )
    }
}

fn limit(params: &Params) -> Limit {
    Limit {
        tokens: params.cutoff_length,
        cutoff: params.cutoff,
    }
}

/// Progress of scoring is counted in rows.
struct Scoring<'a>(Reporting<'a>);

impl crate::tuning::TuneObserver for Scoring<'_> {
    fn validating(&mut self, done: usize, total: usize) {
        let emitter = self.0.context.emitter();
        emitter.progress(done as u64, total as u64, "row");
    }

    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}
