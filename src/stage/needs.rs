//! What a stage that runs a language model will need, said before it runs from whatever is known
//! by then: [`Needs`] from [`Known`].
//!
//! Memory follows from the sizes of the model and the lengths of the texts. Where the texts are not
//! made yet, those they are drawn from bound them, or else `cutoff_length` does; a plan says which.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value, json};

pub use super::fit::{Fit, Fitting, fit};
use super::hub_backbone;
use super::language_model::Reference;
use super::pretrain;
pub use super::text_lengths::KnownLengths;
use super::text_lengths::{Prompting, What};
use super::tuning_params::ValidationSize;
use crate::base::{Device, Digest, bounded, canonical_json};
pub use crate::language_model::memory::Peak;
use crate::language_model::memory::{Engine, Planned, Trained};
use crate::language_model::operations::{self, Amount};
use crate::language_model::{Configuration, HubCache, HubModel, Precision};
use crate::model_files::hub::TOKENIZER_FILE;
use crate::prompt::Limit;
use crate::tuning::TuneOptions;
use crate::tuning::census::{
    Census, bounded_lengths, evaluate_in_domains, loss_passes, scoring_passes, training_passes,
};

/// A stage before it runs, as its kind sees it.
pub trait Known {
    /// Its kind.
    fn kind(&self) -> &'static str;
    /// Its parameters after defaults.
    fn params(&self) -> &Value;
    /// Where it will compute.
    fn device(&self) -> Device;
    /// What is connected to an input, in order.
    fn inputs(&self, name: &str) -> Vec<KnownInput<'_>>;
}

/// An artifact before the stage that reads it runs.
pub struct KnownInput<'a> {
    /// Who makes it: a stage id with its output, or a path as the user wrote it.
    pub origin: String,
    /// Hash of its bytes, once they are known.
    pub digest: Option<Digest>,
    /// Where it lies, if it is there.
    pub path: Option<PathBuf>,
    /// The stage that makes it; none for a user's file.
    pub maker: Option<Box<dyn Known + 'a>>,
}

/// What passes through a model are cut to. Nothing of it is in a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Passes {
    /// Tokens of a pass at most.
    pub pass_tokens: usize,
    /// Whether layers are computed again on the way back; `None` where there is no way back.
    pub checkpoint_layers: Option<bool>,
}

/// Where the lengths of texts are known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The texts themselves.
    Rows,
    /// The longest of those that they are drawn from.
    Pool,
    /// `cutoff_length`, up to which they may be.
    Limit,
}

impl Basis {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Rows => "from the texts",
            Self::Pool => "from the longest texts there are to draw",
            Self::Limit => "as long as texts may be",
        }
    }
}

/// What a stage will need.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Needs {
    /// The device, as far as memory is concerned.
    pub engine: &'static str,
    /// Its model, in one word for all stages with the same one.
    pub backbone: String,
    /// Tells models of other sizes apart.
    pub sizes: Digest,
    /// The highest moment of the passes that learn.
    pub training: Option<Peak>,
    /// The highest moment of the passes that only score.
    pub scoring: Option<Peak>,
    /// Where the lengths are known from.
    pub basis: Basis,
    /// Tokens of the longest pass, and of the longest text.
    pub longest: (usize, usize),
    /// What passes are cut to.
    pub passes: Passes,
    /// Bytes of the weights in other forms that the device knows, by name.
    pub packings: Vec<(&'static str, u64)>,
    /// Multiplications and additions; `None` while it is not known how many texts there are.
    pub work: Option<f64>,
}

impl Needs {
    /// The higher of both peaks.
    #[must_use]
    pub fn peak(&self) -> Peak {
        let both = [self.training, self.scoring];
        let highest = both.into_iter().flatten().max_by_key(Peak::total);
        highest.unwrap_or_default()
    }
}

/// Why nothing can be said of a stage's needs, in words.
pub type Unknown = String;

/// The single input of a name.
fn only<'a>(known: &'a dyn Known, name: &str) -> Result<KnownInput<'a>, Unknown> {
    let mut all = known.inputs(name);
    match (all.pop(), all.is_empty()) {
        (Some(one), true) => Ok(one),
        _ => Err(format!("its input `{name}` is not connected")),
    }
}

/// A model of which perhaps no more than the sizes are known.
#[derive(Debug)]
pub(super) struct KnownBackbone {
    name: String,
    configuration: Configuration,
    /// Where its tokenizer is.
    pub(super) folder: Option<PathBuf>,
    pub(super) digest: Option<Digest>,
}

fn backbone(known: &dyn Known) -> Result<KnownBackbone, Unknown> {
    let input = only(known, "backbone")?;
    let of_folder = |folder: PathBuf, name: String| {
        let configuration = Configuration::read(&folder).map_err(|error| error.to_string())?;
        Ok(KnownBackbone {
            name,
            configuration,
            folder: folder.join(TOKENIZER_FILE).exists().then_some(folder),
            digest: input.digest,
        })
    };
    let of_hub = |repository: String, revision: String| {
        let model = HubModel {
            name: repository.clone(),
            revision,
        };
        let found = HubCache::from_environment()
            .and_then(|cache| cache.snapshot(&model))
            .map_err(|error| error.to_string())?;
        let Some(found) = found else {
            return Err(format!(
                "`{repository}` is not in the hub's cache, so its sizes are not known; a folder \
                 with its config.json and tokenizer.json is enough: --set backbone.path=FOLDER"
            ));
        };
        of_folder(found.folder, repository)
    };
    match (&input.path, &input.maker) {
        (Some(path), _) if path.is_dir() => of_folder(path.clone(), input.origin.clone()),
        (Some(path), _) => {
            let bytes = bounded::read(path, bounded::SETTINGS)
                .map_err(|error| format!("`{}` cannot be read: {error}", input.origin))?;
            let reference: Reference = serde_json::from_slice(&bytes)
                .map_err(|_| format!("`{}` is not a model folder", input.origin))?;
            of_hub(reference.repository, reference.commit)
        }
        (None, Some(maker)) if maker.kind() == "hub_backbone" => {
            match hub_backbone::repository(maker.params()) {
                Some((repository, revision)) => of_hub(repository, revision),
                None => Err(format!("`{}` names no model", input.origin)),
            }
        }
        (None, Some(maker)) if maker.kind() == "pretrain" => {
            let configuration = pretrain::configuration(maker.params())
                .ok_or_else(|| format!("`{}` has no sizes", input.origin))?;
            Ok(KnownBackbone {
                name: input.origin.clone(),
                configuration,
                folder: None,
                digest: None,
            })
        }
        _ => Err(format!(
            "its backbone, `{}`, is not there yet",
            input.origin
        )),
    }
}

/// A training or a scoring, as far as needs are concerned.
pub(super) struct Asked<'a> {
    /// What is trained.
    pub(super) trained: Trained<'a>,
    /// How texts are cut.
    pub(super) limit: Limit,
    /// What passes are cut to.
    pub(super) passes: Passes,
    /// In which numbers it computes.
    pub(super) precision: Precision,
}

/// The needs of a training of an adapter on the inputs `train`, validated on `valid`: so many of
/// its rows each time, and with `takes_loss` their whole texts, too.
pub(super) fn of_tuning(
    known: &dyn Known,
    lengths: &mut KnownLengths,
    asked: &Asked<'_>,
    options: &TuneOptions,
    (train, valid): (&str, Option<&str>),
    (validation_size, takes_loss): (ValidationSize, bool),
) -> Result<Needs, Unknown> {
    let backbone = backbone(known)?;
    let prompting = Prompting {
        backbone: &backbone,
        template: only(known, "template")?,
        limit: asked.limit,
    };
    let Passes { pass_tokens, .. } = asked.passes;
    let enough = options.batch_size.max(1);
    let what = if train == "records" {
        What::Record
    } else {
        What::Text
    };
    let inputs = known.inputs(train);
    let (texts, mut basis, counted) = prompting.bounded(what, &inputs, enough, lengths)?;
    let domains = inputs
        .first()
        .and_then(|input| input.maker.as_deref())
        .filter(|maker| maker.kind() == "k_shot")
        .map_or(1, |maker| maker.inputs("train").len().max(1));
    let mut options = options.clone();
    options.evaluate = evaluate_in_domains(options.evaluate, texts.rows.len(), domains);
    let mut training =
        training_passes(&texts, &options, pass_tokens).map_err(|error| error.to_string())?;
    let mut all_counted = counted;
    let most = options.max_validation_rows.unwrap_or(usize::MAX);
    let most = match validation_size {
        ValidationSize::Full => most,
        ValidationSize::K => most.min(texts.rows.len()),
    };
    let mut scoring = Vec::new();
    if let Some(valid) = valid {
        let enough = pass_tokens.div_ceil(asked.limit.tokens.max(1)) + 1;
        let inputs = known.inputs(valid);
        let mut kinds = vec![What::Question];
        if takes_loss {
            kinds.push(What::Text);
        }
        for kind in kinds {
            let (rows, found, counted) = prompting.bounded(kind, &inputs, enough, lengths)?;
            basis = basis.max(found);
            all_counted &= counted;
            let share = (most as f64 / rows.rows.len().max(1) as f64).min(1.0);
            let mut census = if kind == What::Question {
                scoring_passes(&rows, pass_tokens, options.shared_prefix)
            } else {
                loss_passes(&rows, options.loss_on, pass_tokens, options.shared_prefix)
            };
            census.amount = census
                .amount
                .times(share * (training.validations + 1) as f64);
            scoring.push(census);
        }
    }
    if basis != Basis::Rows {
        let micro = options.batch_size / options.accumulation().max(1);
        let prefix = if options.shared_prefix {
            texts.shared
        } else {
            0
        };
        let mut own: Vec<usize> = texts
            .rows
            .iter()
            .map(|(length, _)| length - prefix)
            .collect();
        own.sort_unstable_by(|one, other| other.cmp(one));
        let most = prefix + own.iter().take(micro.max(1)).sum::<usize>();
        fill(&mut training, pass_tokens.min(most));
    }
    let planned = Planned {
        engine: &Engine::of(known.device(), asked.precision),
        configuration: &backbone.configuration,
        trained: asked.trained,
        keeps_best: valid.is_some(),
    };
    Ok(assemble(
        &planned,
        &backbone,
        (Some(&training), &scoring),
        asked.passes,
        (basis, all_counted),
    ))
}

/// The needs of a scoring.
pub(super) fn of_scoring(
    known: &dyn Known,
    lengths: &mut KnownLengths,
    asked: &Asked<'_>,
) -> Result<Needs, Unknown> {
    let backbone = backbone(known)?;
    let prompting = Prompting {
        backbone: &backbone,
        template: only(known, "template")?,
        limit: asked.limit,
    };
    let Passes { pass_tokens, .. } = asked.passes;
    let enough = pass_tokens.div_ceil(asked.limit.tokens.max(1)) + 1;
    let inputs = known.inputs("samples");
    let (rows, basis, counted) = prompting.bounded(What::Question, &inputs, enough, lengths)?;
    let mut census = scoring_passes(&rows, pass_tokens, true);
    if basis == Basis::Limit {
        fill(&mut census, pass_tokens);
    }
    let planned = Planned {
        engine: &Engine::of(known.device(), asked.precision),
        configuration: &backbone.configuration,
        trained: asked.trained,
        keeps_best: false,
    };
    Ok(assemble(
        &planned,
        &backbone,
        (None, &[census]),
        asked.passes,
        (basis, counted),
    ))
}

/// The needs of a pretraining, whose tokenizer is not made yet.
pub(super) fn of_pretraining(
    configuration: &Configuration,
    context_length: usize,
    options: &TuneOptions,
    passes: Passes,
) -> Result<Needs, Unknown> {
    let rows = options.batch_size.max(1);
    let texts = bounded_lengths(rows, context_length);
    let one_step = TuneOptions {
        max_steps: Some(1),
        ..options.clone()
    };
    let mut training = training_passes(&texts, &one_step, passes.pass_tokens)
        .map_err(|error| error.to_string())?;
    fill(&mut training, passes.pass_tokens.min(rows * context_length));
    let planned = Planned {
        engine: &Engine::CPU,
        configuration,
        trained: Trained::Everything,
        keeps_best: false,
    };
    let backbone = KnownBackbone {
        name: "a new model".to_owned(),
        configuration: configuration.clone(),
        folder: None,
        digest: None,
    };
    let mut needs = assemble(
        &planned,
        &backbone,
        (Some(&training), &[]),
        passes,
        (Basis::Limit, false),
    );
    if let Some(peak) = &mut needs.training {
        // What was learnt in the phases before.
        peak.other += peak.weights;
    }
    Ok(needs)
}

/// Where lengths are only bounded, passes can come out as full as they may be.
fn fill(census: &mut Census, rows: usize) {
    for size in &mut census.largest {
        if size.rows < rows {
            let more = rows - size.rows;
            if size.asked > size.sequences {
                size.asked += more;
            }
            size.rows = rows;
        }
    }
}

fn assemble(
    planned: &Planned<'_>,
    backbone: &KnownBackbone,
    (training, scoring): (Option<&Census>, &[Census]),
    passes: Passes,
    (basis, counted): (Basis, bool),
) -> Needs {
    let checkpoint = passes.checkpoint_layers.unwrap_or(false);
    let highest = |peaks: Vec<Peak>| peaks.into_iter().max_by_key(Peak::total);
    let learns = training.map(|census| {
        let sizes = census.largest.iter();
        sizes
            .map(|size| planned.training(*size, checkpoint))
            .collect()
    });
    let scores = scoring.iter().flat_map(|census| &census.largest);
    let scores: Vec<Peak> = scores.map(|size| planned.scoring(*size)).collect();
    let learnt = training.into_iter().flat_map(|census| &census.largest);
    let learnt = learnt.map(|size| (size.rows, size.longest));
    let scored = scoring.iter().flat_map(|census| &census.largest);
    let scored = scored.map(|size| (planned.scored_rows(*size), size.longest));
    let longest = learnt
        .chain(scored)
        .fold((0, 0), |most, one| (one.0.max(most.0), one.1.max(most.1)));
    let configuration = planned.configuration;
    let amount = scoring
        .iter()
        .fold(Amount::default(), |all, census| all.and(census.amount));
    let work = operations::scoring(configuration, amount)
        + training.map_or(0.0, |census| {
            operations::training(configuration, planned.trained, census.amount, checkpoint)
        });
    let text = canonical_json(&json!(configuration));
    Needs {
        engine: planned.engine.name,
        backbone: backbone.name.clone(),
        sizes: Digest::of_bytes(text.as_bytes()),
        training: learns.and_then(highest),
        scoring: highest(scores),
        basis,
        longest,
        passes,
        packings: planned.packings(),
        work: counted.then_some(work),
    }
}
