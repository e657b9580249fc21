//! Runs a training of an adapter and leaves what it made where the stage publishes it.

use std::fs;
use std::path::Path;

use super::StageContext;
use super::StageError;
use super::codec::event_file::write_event_file;
use super::codec::training_curve::{write_training_curve, write_training_picture};
use super::language_model::Loaded;
use super::samples::write_json;
use crate::language_model::decoder::fresh_adapter;
use crate::language_model::{Adapter, Batch, LanguageModel, LoraOptions, Readout, Sequence};
use crate::tuning::{
    Example, Hooks, Progress, Resources, Task, TuneObserver, TuneOptions, Tuned, Validation, tune,
};

/// What is trained, from what, and how.
pub(super) struct Tuning<'a> {
    pub(super) loaded: &'a Loaded,
    /// The adapter to start from; a fresh one without.
    pub(super) start: Option<Adapter>,
    pub(super) lora: &'a LoraOptions,
    pub(super) train: &'a [Example],
    pub(super) validation: Validation<'a>,
    pub(super) options: &'a TuneOptions,
    pub(super) resources: &'a Resources,
    /// The output that the adapter is written to.
    pub(super) output: &'static str,
}

impl Tuning<'_> {
    /// Trains, writes the adapter, and proves that what is on disk is what was trained.
    pub(super) fn run(self, context: &StageContext) -> Result<(Tuned, f64), StageError> {
        let loaded = self.loaded;
        let values = match self.start {
            Some(adapter) => {
                adapter.check_options(self.lora)?;
                adapter.parameters
            }
            None => fresh_adapter(&loaded.configuration, self.lora, self.options.seed),
        };
        let mut model = loaded.model(Some((self.lora.clone(), values)))?;
        let base = loaded.digest.hex();
        let tuned = train(
            context,
            model.as_mut(),
            &Task {
                train: self.train,
                validation: self.validation,
                dropout: self.lora.dropout,
                base: &base,
            },
            (self.options, self.resources),
            context.partial(),
        )?;
        let folder = context.output(self.output)?;
        fs::create_dir_all(folder).map_err(StageError::io("create", folder))?;
        let adapter = loaded.stored(self.lora, model.parameters());
        adapter.write(folder)?;
        prove(loaded, model.as_ref(), folder, self.train)?;
        Ok((tuned, adapter.b_norm()))
    }
}

/// Runs a training with its curve, its picture and its warnings.
pub(super) fn train(
    context: &StageContext,
    model: &mut dyn LanguageModel,
    task: &Task<'_>,
    (options, resources): (&TuneOptions, &Resources),
    folder: Option<&Path>,
) -> Result<Tuned, StageError> {
    let mut observer = Reporting { context };
    let tuned = tune(
        model,
        task,
        options,
        resources,
        &mut Hooks {
            observer: &mut observer,
            folder,
        },
    )?;
    for warning in &tuned.warnings {
        context.emitter().warn(warning.clone());
    }
    Ok(tuned)
}

/// The commonest failure of this field is an adapter that is saved empty or never loaded: the
/// test then runs on the bare model. So the folder is read back, and must speak as the model in
/// memory does, and otherwise than the bare one.
fn prove(
    loaded: &Loaded,
    trained: &dyn LanguageModel,
    folder: &Path,
    train: &[Example],
) -> Result<(), StageError> {
    let adapter = Adapter::read(folder)?;
    if adapter.is_untrained() {
        return Err(StageError::input(
            "after training all B matrices are zero: nothing was learnt",
        )
        .with_help("raise the learning rate or the number of steps"));
    }
    let read_back = loaded.with_adapter(Some(adapter))?;
    let bare = loaded.model(None)?;
    let probe = Batch {
        sequences: train
            .iter()
            .take(2)
            .map(|example| Sequence {
                tokens: example.tokens[..example.answer_start].to_vec(),
                ..Sequence::default()
            })
            .collect(),
        shared_prefix: 0,
    };
    let asked: Vec<u32> = train
        .iter()
        .take(2)
        .filter_map(|example| example.tokens.get(example.answer_start).copied())
        .collect();
    let speak = |model: &dyn LanguageModel| -> Result<Vec<Readout>, StageError> {
        Ok(model.read_out(&probe, &asked, true)?)
    };
    let (now, back, without) = (
        speak(trained)?,
        speak(read_back.as_ref())?,
        speak(bare.as_ref())?,
    );
    if now != back {
        return Err(StageError::input(
            "the adapter read back from disk gives other logits than the one in memory; this is a \
             bug in runner, please report it",
        ));
    }
    if now == without {
        return Err(StageError::input(
            "the trained adapter changes no logit: the bare backbone says the same",
        )
        .with_help("raise the learning rate, or check that the adapter's modules are used"));
    }
    Ok(())
}

/// Passes on what a training tells, and the wish to stop.
pub(super) struct Reporting<'a> {
    pub(super) context: &'a StageContext,
}

impl TuneObserver for Reporting<'_> {
    fn step(&mut self, progress: &Progress) {
        let emitter = self.context.emitter();
        emitter.progress(progress.step as u64, progress.total_steps as u64, "step");
        emitter.measure("loss", progress.step as u64, progress.loss);
    }

    fn validated(&mut self, step: usize, auc: Option<f64>, loss: Option<f64>, _best: bool) {
        let emitter = self.context.emitter();
        for (name, value) in [("valid_auc", auc), ("valid_loss", loss)] {
            if let Some(value) = value {
                emitter.measure(name, step as u64, value);
            }
        }
    }

    fn note(&mut self, text: &str) {
        self.context.emitter().warn(text.to_owned());
    }

    fn is_cancelled(&self) -> bool {
        self.context.is_cancelled()
    }
}

/// Writes a summary, so that every training stage says the same under the same names.
pub(super) fn write_summary(
    context: &StageContext,
    value: &impl serde::Serialize,
) -> Result<(), StageError> {
    write_json(context.output("summary")?, value)
}

/// Writes the course of a training: a table, a picture, and event files if they are asked for.
pub(super) fn write_course(
    context: &StageContext,
    title: &str,
    tuned: &Tuned,
    tensorboard: bool,
) -> Result<(), StageError> {
    write_training_curve(context.output("curve")?, &tuned.curve).map_err(StageError::other)?;
    write_training_picture(
        context.output("plot")?,
        title,
        &tuned.curve,
        tuned.chosen_step,
    )
    .map_err(StageError::other)?;
    if tensorboard {
        let folder = context.output("tensorboard")?;
        fs::create_dir_all(folder).map_err(StageError::io("create", folder))?;
        write_event_file(folder, &tuned.curve).map_err(StageError::other)?;
    }
    Ok(())
}
