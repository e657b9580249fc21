//! `pretrain`: makes a small language model from a corpus, tokenizer and all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::language_model::{Read, layered, nothing};
use super::learner::Learner;
use super::needs::{Known, KnownLengths, Needs, Passes, Unknown, of_pretraining};
use super::samples::{source, write_json};
use super::tuned::write_course;
use super::tuning_params::{lighter, passes, with_passes};
use super::{InputDeclaration, OutputDeclaration, StageContext, StageError, StageKind};
use crate::base::Lane;
use crate::data::corpus::{Document, read_corpus};
use crate::language_model::decoder::fresh_weights;
use crate::language_model::{Backbone, Configuration, Family, NumberType, RopeScaling, Tokenizer};
use crate::tuning::{
    Evaluate, Example, Keep, LossOn, Reduction, Resources, Schedule, SelectBy, TuneOptions, Tuned,
};

/// Makes a small language model from a corpus.
#[derive(Debug)]
pub struct Pretrain;

/// The type of the numbers a model is stored in; it is trained in `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoredAs {
    /// Half precision: half the size, rounded once at the end.
    F16,
    /// As trained.
    #[default]
    F32,
}

/// Parameters of [`Pretrain`]; names as in `config.json` of Hugging Face where there are such.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(from = "Written")]
#[schemars(with = "Written")]
pub struct Params {
    #[serde(flatten)]
    shape: Shape,
    settings: Read<TuneOptions>,
    resources: Read<Resources>,
    tensorboard: bool,
}

/// The sizes of the model.
#[derive(Debug, Clone, Serialize)]
struct Shape {
    hidden_size: usize,
    layers: usize,
    heads: usize,
    key_value_heads: usize,
    intermediate_size: usize,
    vocabulary_size: usize,
    context_length: usize,
    stored_as: StoredAs,
}

/// Parameters of `pretrain` as people write them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Written {
    /// Width of the hidden states.
    hidden_size: usize,
    /// Layers.
    layers: usize,
    /// Attention heads; divides `hidden_size`.
    heads: usize,
    /// Heads of keys and values; `heads` by default.
    key_value_heads: Option<usize>,
    /// Inner width of the feed-forward blocks.
    intermediate_size: usize,
    /// Tokens of the byte-level BPE tokenizer that is trained on the corpus; 300 at least.
    vocabulary_size: usize,
    /// Tokens of a text at most; longer documents are cut into several.
    context_length: usize,
    /// The type the weights are stored in.
    stored_as: StoredAs,
    /// Drives initial weights and the order of documents.
    seed: u64,
    /// How the training goes; `batch_size` counts documents.
    #[schemars(with = "TuneOptions")]
    settings: Value,
    /// What the training may use; changes no result.
    #[schemars(with = "Resources")]
    resources: Value,
    /// Also write a `TensorBoard` event file.
    tensorboard: bool,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            hidden_size: 96,
            layers: 4,
            heads: 4,
            key_value_heads: None,
            intermediate_size: 256,
            vocabulary_size: 1024,
            context_length: 256,
            stored_as: StoredAs::F32,
            seed: 1,
            settings: nothing(),
            resources: nothing(),
            tensorboard: false,
        }
    }
}

impl From<Written> for Params {
    fn from(written: Written) -> Self {
        let defaults = TuneOptions {
            learning_rate: 2e-3,
            beta_2: 0.99,
            weight_decay: 0.01,
            warmup_steps: 100,
            schedule: Schedule::Cosine,
            epochs: 1,
            batch_size: 32,
            loss_on: LossOn::Whole,
            reduction: Reduction::TokenMean,
            seed: written.seed,
            evaluate: Evaluate::Epoch,
            select_by: SelectBy::Loss,
            patience: 0,
            keep: Keep::Last,
            ..TuneOptions::default()
        };
        Self {
            shape: Shape {
                hidden_size: written.hidden_size,
                layers: written.layers,
                heads: written.heads,
                key_value_heads: written.key_value_heads.unwrap_or(written.heads),
                intermediate_size: written.intermediate_size,
                vocabulary_size: written.vocabulary_size,
                context_length: written.context_length,
                stored_as: written.stored_as,
            },
            settings: Read::from_value(layered([json!(defaults), written.settings])),
            resources: Read::from_value(layered([json!(Resources::default()), written.resources])),
            tensorboard: written.tensorboard,
        }
    }
}

impl Shape {
    fn check(&self) -> Result<(), (String, String)> {
        let wrong = |field: &str, message: String| Err((field.to_owned(), message));
        for (field, value, least) in [
            ("hidden_size", self.hidden_size, 4),
            ("layers", self.layers, 1),
            ("heads", self.heads, 1),
            ("key_value_heads", self.key_value_heads, 1),
            ("intermediate_size", self.intermediate_size, 1),
            ("vocabulary_size", self.vocabulary_size, 300),
            ("context_length", self.context_length, 8),
        ] {
            if value < least {
                return wrong(field, format!("is {value}, must be at least {least}"));
            }
        }
        if !self.hidden_size.is_multiple_of(2 * self.heads) {
            let message = format!(
                "is {}, which does not divide hidden_size {} into heads of even width",
                self.heads, self.hidden_size
            );
            return wrong("heads", message);
        }
        if !self.heads.is_multiple_of(self.key_value_heads) {
            let message = format!(
                "is {}, must divide heads {}",
                self.key_value_heads, self.heads
            );
            return wrong("key_value_heads", message);
        }
        Ok(())
    }

    fn configuration(&self, vocabulary_size: usize) -> Configuration {
        Configuration {
            family: Family::Llama,
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            layers: self.layers,
            heads: self.heads,
            key_value_heads: self.key_value_heads,
            head_size: self.hidden_size / self.heads,
            vocabulary_size,
            norm_epsilon: 1e-5,
            rope_theta: 10_000.0,
            rope_scaling: RopeScaling::None,
            // Texts may be longer than those of pretraining; whether that goes well is another
            // matter, so only a limit far beyond is set.
            max_positions: self.context_length * 4,
            sliding_window: None,
            tied_head: true,
            query_key_value_bias: false,
            output_bias: false,
            mlp_bias: false,
            query_key_norm: false,
        }
    }
}

impl StageKind for Pretrain {
    type Params = Params;

    const NAME: &'static str = "pretrain";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Trains a tokenizer and a small LLaMA from scratch on a corpus.";
    const INPUTS: &'static [InputDeclaration] = &[InputDeclaration::many(
        "corpus",
        "texts: JSON lines with `text`, or plain text with a document a line",
    )];
    const SKIP: &'static [&'static str] = &["resources"];

    fn outputs(params: &Params) -> Vec<OutputDeclaration> {
        let mut outputs = vec![
            OutputDeclaration::new("backbone", "backbone"),
            OutputDeclaration::new("curve", "curve.parquet"),
            OutputDeclaration::new("plot", "curve.png"),
            OutputDeclaration::new("summary", "summary.json"),
        ];
        if params.tensorboard {
            outputs.push(OutputDeclaration::new("tensorboard", "tensorboard"));
        }
        outputs
    }

    fn lane(_params: &Params) -> Lane {
        Lane::Accelerator
    }

    fn check(params: &Params) -> Result<(), (String, String)> {
        params.shape.check()?;
        let below = |name: &'static str| {
            move |(field, message): (String, String)| (format!("{name}.{field}"), message)
        };
        let settings = params.settings.good("settings")?;
        settings.check().map_err(below("settings"))?;
        let resources = params.resources.good("resources")?;
        resources.check().map_err(below("resources"))
    }

    fn lighter(params: &Params) -> Option<(Params, String)> {
        let (resources, words) = lighter(&params.resources)?;
        let lighter = Params {
            resources,
            ..params.clone()
        };
        Some((lighter, words))
    }

    fn passes(params: &Params) -> Option<Passes> {
        passes(&params.resources)
    }

    fn with_passes(params: &Params, passes: Passes) -> Option<Params> {
        Some(Params {
            resources: with_passes(&params.resources, passes),
            ..params.clone()
        })
    }

    fn needs(
        params: &Params,
        _known: &dyn Known,
        _lengths: &mut KnownLengths,
    ) -> Option<Result<Needs, Unknown>> {
        let options = params.settings.good("settings").ok()?;
        let shape = &params.shape;
        let configuration = shape.configuration(shape.vocabulary_size);
        let passes = passes(&params.resources)?;
        Some(of_pretraining(
            &configuration,
            shape.context_length,
            options,
            passes,
        ))
    }

    fn run(params: &Params, context: &StageContext) -> Result<(), StageError> {
        let shape = &params.shape;
        let options = params.settings.good("settings").map_err(not_checked)?;
        let resources = params.resources.good("resources").map_err(not_checked)?;
        let mut corpus = Vec::new();
        for input in context.inputs("corpus") {
            corpus.extend(read_corpus(&source(input))?);
        }
        let texts = corpus.iter().map(|document| &document.text);
        let tokenizer = Tokenizer::train_bpe(texts, shape.vocabulary_size)?;
        context.check_cancelled()?;
        let configuration = shape.configuration(tokenizer.vocabulary_size());
        let phases = phases(&corpus, &tokenizer, shape.context_length)?;
        let tokens: usize = phases.iter().flatten().map(|row| row.tokens.len()).sum();
        if tokens < 16 * shape.context_length {
            return Err(StageError::input(format!(
                "the corpus has {tokens} tokens, too few to learn a language from"
            ))
            .with_help(format!(
                "{} at least are needed for a context of {}; millions are better",
                16 * shape.context_length,
                shape.context_length
            )));
        }
        let mut learner = Learner {
            weights: fresh_weights(&configuration, options.seed)
                .iter()
                .map(|(name, values)| (name.to_owned(), values.to_vec()))
                .collect(),
            configuration: configuration.clone(),
            known: BTreeSet::new(),
        };
        let mut course: Option<Tuned> = None;
        for (number, rows) in phases.iter().enumerate() {
            let folder = context.partial().map(|all| all.join(number.to_string()));
            // The learning rate comes down once, at the end of the last phase.
            let mut options = options.clone();
            if number + 1 < phases.len() {
                options.schedule = Schedule::Constant;
            }
            let tuned = learner.learn(context, rows, (&options, resources), folder.as_deref())?;
            match &mut course {
                None => course = Some(tuned),
                Some(course) => append(course, tuned),
            }
        }
        let Some(tuned) = course else {
            return Err(StageError::input("there is nothing to learn from"));
        };
        let parameters = learner.parameters();
        let folder = context.output("backbone")?;
        fs::create_dir_all(folder).map_err(StageError::io("create", folder))?;
        let number_type = match shape.stored_as {
            StoredAs::F16 => NumberType::F16,
            StoredAs::F32 => NumberType::F32,
        };
        Backbone::write(folder, &configuration, &parameters, number_type, &tokenizer)?;
        // Read back as everybody else will.
        Backbone::open(folder)?.weights.all_f32()?;
        write_course(context, "Pretraining", &tuned, params.tensorboard)?;
        let quarter = (tuned.curve.len() / 4).max(1);
        let last = &tuned.curve[tuned.curve.len().saturating_sub(quarter)..];
        write_json(
            context.output("summary")?,
            &json!({
                "documents": corpus.len(),
                "phases": phases.iter().map(Vec::len).collect::<Vec<_>>(),
                "corpus_tokens": tokens,
                "parameters": parameters.count(),
                "vocabulary_size": configuration.vocabulary_size,
                "steps": tuned.steps,
                "tokens": tuned.tokens,
                "loss_of_last_quarter":
                    last.iter().map(|point| point.loss).sum::<f64>() / last.len().max(1) as f64,
                "warnings": tuned.warnings,
            }),
        )
    }
}

/// The sizes of the model that completed parameters lead to. The tokenizer may come out smaller.
pub(super) fn configuration(completed: &Value) -> Option<Configuration> {
    let shape = Written::deserialize(completed)
        .ok()
        .map(Params::from)?
        .shape;
    Some(shape.configuration(shape.vocabulary_size))
}

fn not_checked((field, message): (String, String)) -> StageError {
    StageError::input(format!("{field}: {message}"))
}

/// The rows of each phase: every document between the tokens that begin and end a text, cut where
/// it is longer.
fn phases(
    corpus: &[Document],
    tokenizer: &Tokenizer,
    context_length: usize,
) -> Result<Vec<Vec<Example>>, StageError> {
    let mut phases: BTreeMap<u32, Vec<Example>> = BTreeMap::new();
    for document in corpus {
        let mut tokens = tokenizer.encode(&document.text, true)?;
        tokens.extend(tokenizer.eos());
        let rows = phases.entry(document.phase).or_default();
        for piece in tokens.chunks(context_length) {
            if piece.len() > 1 {
                rows.push(Example {
                    tokens: piece.to_vec(),
                    answer_start: 1,
                });
            }
        }
    }
    phases.retain(|_, rows| !rows.is_empty());
    Ok(phases.into_values().collect())
}

/// Puts the course of a phase behind that of those before.
fn append(course: &mut Tuned, next: Tuned) {
    let (steps, tokens, epochs) = (course.steps, course.tokens, course.epochs);
    course.curve.extend(next.curve.into_iter().map(|mut point| {
        point.step += steps;
        point.tokens += tokens;
        point.epoch += epochs;
        point
    }));
    course.steps += next.steps;
    course.total_steps += next.total_steps;
    course.epochs += next.epochs;
    course.tokens += next.tokens;
    course.chosen_step = course.steps;
    course.warnings.extend(next.warnings);
}
