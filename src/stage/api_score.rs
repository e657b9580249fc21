//! `api_score`: what a language model behind an API says about samples (paper, Fig. 3a).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::api_params::Params;
use super::codec::{PlainColumn, PlainValues, write_plain, write_predictions};
use super::kind::Requests;
use super::language_model::{examples, template};
use super::samples::write_json;
use super::score::By;
use super::{
    Failure, InputDeclaration, OutputDeclaration, StageContext, StageError, StageKind, samples,
};
use crate::api::client::is_here;
use crate::api::pool::{Work, ask_all, no_probabilities};
use crate::api::reading::Reading;
use crate::api::{
    Answer, Answers, ApiError, Client, Desk, Endpoint, Outcome, Question, Secret, Tokens, read,
};
use crate::base::{Digest, Limits, limits};
use crate::data::Sample;
use crate::metric::Prediction;
use crate::metric::plausible::suspicions;
use crate::tuning::yes_probability;

/// Scores samples with a language model behind an API.
#[derive(Debug)]
pub struct ApiScore;

impl StageKind for ApiScore {
    type Params = Params;

    const NAME: &'static str = "api_score";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Scores samples with a language model behind an OpenAI-compatible \
                                   API; every answer is kept and never paid for twice.";
    const INPUTS: &'static [InputDeclaration] = &[
        InputDeclaration::one("template", "prompt template in alpaca-lora's form"),
        InputDeclaration::one("samples", "samples to score"),
        InputDeclaration::optional("examples", "samples to choose examples from"),
    ];
    /// How it is asked, as opposed to what.
    const SKIP: &'static [&'static str] = &[
        "api_key_environment",
        "api_key_header",
        "concurrency",
        "requests_per_minute",
        "tokens_per_minute",
        "timeout",
        "tries",
        "longest_wait",
        "price",
        "ceiling",
    ];
    /// Each question has tries of its own.
    const LIMITS: Limits = Limits {
        retries: Some(0),
        ..Limits::NONE
    };
    const ASKS: bool = true;

    fn outputs(_params: &Params) -> Vec<OutputDeclaration> {
        vec![
            OutputDeclaration::new("predictions", "predictions.parquet"),
            OutputDeclaration::new("answers", "answers.parquet"),
            OutputDeclaration::new("summary", "summary.json"),
        ]
    }

    fn check(params: &Params) -> Result<(), (String, String)> {
        params.check()
    }

    fn requests(params: &Params, context: &StageContext) -> Result<Option<Requests>, StageError> {
        let asked = Asked::prepare(params, context)?;
        let answers = match context.answers() {
            Some(folder) => read_answers(folder, params)?,
            None => Answers::default(),
        };
        let (mut tokens, mut new) = (Tokens::default(), 0);
        let mut seen = std::collections::BTreeSet::new();
        for question in &asked.questions {
            if answers.known.contains_key(&question.digest) || !seen.insert(question.digest) {
                continue;
            }
            new += 1;
            tokens += Tokens {
                prompt: answers.about(question.text_bytes),
                completion: question.max_tokens,
            };
        }
        Ok(Some(Requests {
            model: params.model.clone(),
            rows: asked.samples.len(),
            requests: new,
            tokens,
            cost: params.price.map(|price| price.of(tokens)),
            spent: answers.spent(),
            spent_cost: params.price.map(|price| price.of(answers.spent())),
        }))
    }

    fn run(params: &Params, context: &StageContext) -> Result<(), StageError> {
        let asked = Asked::prepare(params, context)?;
        let answers = asked.answers(params, context)?;
        asked.write(params, context, &answers)
    }
}

impl From<ApiError> for StageError {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Stopped => Self::Cancelled,
            ApiError::Io {
                action,
                path,
                source,
            } => Self::Io {
                action,
                path,
                source,
            },
            ApiError::Unavailable { .. } => Self::Reported {
                failure: Failure::InputOutput,
                message: error.to_string(),
            },
            ApiError::Refused { message, help } if !help.is_empty() => {
                Self::input(message).with_help(help)
            }
            ApiError::Refused { .. } | ApiError::Ceiling(_) => Self::input(error.to_string()),
        }
    }
}

fn read_answers(folder: &Path, params: &Params) -> Result<Answers, StageError> {
    let path = Answers::path(folder, params.base_url.trim_end_matches('/'), &params.model);
    Ok(Answers::read(&path)?)
}

/// Samples and what is asked about them.
struct Asked {
    samples: Vec<Sample>,
    /// Digests of the whole prompts, as TALLRec's readouts have them.
    prompts: Vec<Digest>,
    questions: Vec<Question>,
}

impl Asked {
    fn prepare(params: &Params, context: &StageContext) -> Result<Self, StageError> {
        let template = template(context)?;
        let samples = samples::read(context.input("samples")?)?;
        if samples.is_empty() {
            return Err(StageError::input("there are no samples to score"));
        }
        let examples = examples(context, &template, params.examples, params.seed)?;
        let form = params.form();
        let (mut prompts, mut questions) = (Vec::new(), Vec::new());
        for sample in &samples {
            let prompt = template.prompt(&sample.instruction, &sample.input);
            let whole = examples.before(examples.len(), &prompt);
            prompts.push(Digest::of_bytes(whole.as_bytes()));
            questions.push(form.ask(examples.pairs(), &prompt));
        }
        Ok(Self {
            samples,
            prompts,
            questions,
        })
    }

    /// The answer to every question, from the file or by the endpoint.
    fn answers(
        &self,
        params: &Params,
        context: &StageContext,
    ) -> Result<Vec<Arc<Answer>>, StageError> {
        let folder = context
            .answers()
            .ok_or_else(|| StageError::input("there is no place to keep answers in"))?;
        let desk = wait_for_desk(params, context, folder)?;
        if desk.damaged() > 0 {
            context.emitter().warn(format!(
                "{} lines of the kept answers of `{}` are damaged; what they answered is asked again",
                desk.damaged(),
                params.model
            ));
        }
        let total = self.questions.len() as u64;
        let known = |question: &Question| desk.known(question.digest);
        let found: Option<Vec<Arc<Answer>>> = self.questions.iter().map(known).collect();
        if let Some(found) = found {
            // Nothing is to be asked, so nobody needs a key.
            context.emitter().progress(total, total, "row");
            return Ok(found);
        }
        let key = params
            .api_key_environment
            .as_deref()
            .map(Secret::from_environment)
            .transpose()
            .map_err(|message| {
                StageError::input(message)
                    .with_help("set it where you start the runner; it is written nowhere")
            })?;
        if key.is_some() && params.base_url.starts_with("http://") && !is_here(&params.base_url) {
            context.emitter().warn(
                "the key travels to another machine without encryption: `base_url` begins with \
                 http://",
            );
        }
        let client = Client::new(Endpoint {
            base_url: params.base_url.clone(),
            key,
            key_header: params.api_key_header.clone(),
            timeout: limits::duration(&params.timeout).unwrap_or(Duration::from_mins(1)),
        });
        let work = Arc::new(Work::new(
            desk,
            client,
            self.questions.clone(),
            (params.protocol, params.read()),
            params.terms(),
        ));
        let progress = |done| context.emitter().progress(done as u64, total, "row");
        let result = ask_all(&work, &progress, &|| context.is_cancelled());
        result.map_err(|(row, error)| {
            let done = self
                .questions
                .iter()
                .filter(|q| work.desk.known(q.digest).is_some());
            let error = StageError::from(error);
            let kept = format!(
                "{} of {total} rows are answered, and their answers kept",
                done.count()
            );
            match error {
                StageError::Input { message, help } => StageError::Input {
                    message: format!("row {}: {message}; {kept}", self.samples[row].row),
                    help,
                },
                StageError::Reported { failure, message } => StageError::Reported {
                    failure,
                    message: format!("row {}: {message} ({kept})", self.samples[row].row),
                },
                other => other,
            }
        })
    }

    fn write(
        &self,
        params: &Params,
        context: &StageContext,
        answers: &[Arc<Answer>],
    ) -> Result<(), StageError> {
        let readings = answers
            .iter()
            .map(|answer| {
                read(answer, params.read(), params.missing)
                    .map_err(|_| StageError::from(no_probabilities()))
            })
            .collect::<Result<Vec<Reading>, StageError>>()?;
        let scores: Vec<Option<f64>> = readings
            .iter()
            .map(|reading| reading.yes_no.map(|yes_no| score(params.by, yes_no)))
            .collect();
        let predictions: Vec<Prediction> = self
            .samples
            .iter()
            .zip(&scores)
            .filter_map(|(sample, score)| {
                Some(Prediction {
                    row: sample.row,
                    user: sample.user.clone(),
                    label: sample.label,
                    score: (*score)?,
                })
            })
            .collect();
        let count = |outcome| readings.iter().filter(|one| one.outcome == outcome).count();
        let (refused, unclear) = (count(Outcome::Refused), count(Outcome::Unclear));
        let answered = predictions.len();
        let rows = self.samples.len();
        if answered < rows {
            context.emitter().warn(format!(
                "{} of {rows} rows have no answer ({refused} refused, {unclear} neither yes nor \
                 no): they are left out of every metric, and counted",
                rows - answered
            ));
        }
        for suspicion in suspicions(&predictions, true) {
            context.emitter().warn(suspicion);
        }
        write_predictions(context.output("predictions")?, &predictions)
            .map_err(StageError::other)?;
        self.write_table(context.output("answers")?, answers, &readings, &scores)?;
        let mut models: BTreeMap<&str, usize> = BTreeMap::new();
        let mut tokens = Tokens::default();
        for answer in answers {
            *models
                .entry(answer.model.as_deref().unwrap_or(""))
                .or_default() += 1;
            tokens += answer.tokens.unwrap_or_default();
        }
        write_json(
            context.output("summary")?,
            &json!({
                "rows": rows,
                "answered": answered,
                "refused": refused,
                "unclear": unclear,
                "filled_in": readings.iter().filter(|reading| reading.filled_in).count(),
                "read": params.read(),
                "examples": params.examples,
                "models": models,
                "tokens": tokens,
            }),
        )
    }

    fn write_table(
        &self,
        path: &Path,
        answers: &[Arc<Answer>],
        readings: &[Reading],
        scores: &[Option<f64>],
    ) -> Result<(), StageError> {
        let column = |name, nullable, values| PlainColumn {
            name,
            nullable,
            values,
        };
        let probability = |at: usize| {
            let of = readings.iter().map(|reading| Some(reading.yes_no?[at]));
            PlainValues::Numbers(of.collect())
        };
        let tokens = |pick: fn(Tokens) -> u64| {
            let of = answers
                .iter()
                .map(|answer| Some(pick(answer.tokens?) as i64));
            PlainValues::Wholes(of.collect())
        };
        let texts = |all: Vec<String>| PlainValues::Texts(all.into_iter().map(Some).collect());
        let rows = self.samples.iter().map(|sample| Some(sample.row.into()));
        let said = answers.iter().map(|answer| match &answer.refusal {
            Some(refusal) if answer.text.is_empty() => refusal.clone(),
            _ => answer.text.clone(),
        });
        let outcomes = readings.iter().map(|one| one.outcome.name().to_owned());
        let columns = [
            column("row", false, PlainValues::Wholes(rows.collect())),
            column(
                "prompt_digest",
                false,
                texts(self.prompts.iter().map(Digest::hex).collect()),
            ),
            column("outcome", false, texts(outcomes.collect())),
            column("answer", false, texts(said.collect())),
            column("yes", true, probability(0)),
            column("no", true, probability(1)),
            column("score", true, PlainValues::Numbers(scores.to_vec())),
            column("prompt_tokens", true, tokens(|tokens| tokens.prompt)),
            column(
                "completion_tokens",
                true,
                tokens(|tokens| tokens.completion),
            ),
        ];
        write_plain(path, &columns).map_err(StageError::other)
    }
}

/// The score of a row from P(yes) and P(no), as for TALLRec.
fn score(by: By, [yes, no]: [f64; 2]) -> f64 {
    match by {
        // sigmoid(ln yes − ln no)
        By::Pair if yes + no > 0.0 => yes / (yes + no),
        By::Pair => 0.5,
        By::DoubleSoftmax => yes_probability(yes as f32, no as f32),
    }
}

/// Waits while another runner asks the same model.
fn wait_for_desk(
    params: &Params,
    context: &StageContext,
    folder: &Path,
) -> Result<Arc<Desk>, StageError> {
    let base_url = params.base_url.trim_end_matches('/');
    let mut said = false;
    loop {
        if let Some(desk) = Desk::open(folder, base_url, &params.model)? {
            return Ok(desk);
        }
        if !said {
            context.emitter().warn(format!(
                "another runner with this store asks `{}`; waiting for it",
                params.model
            ));
            said = true;
        }
        context.check_cancelled()?;
        thread::sleep(Duration::from_millis(200));
    }
}
