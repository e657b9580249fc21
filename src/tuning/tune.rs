//! A whole training: steps, validation, early stopping, states on disk, the best values restored.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use super::curve::suspicions;
use super::fingerprint::fingerprint;
use super::options::SelectBy;
use super::pass::shared_prefix;
use super::state::{self, Best, Course, Found};
use super::step::{Recipe, Row, step};
use super::validation::{Validated, Validation, Validator, check_examples};
use super::windows::Windows;
use super::{
    AdamW, AdamWOptions, CurvePoint, Example, Keep, Progress, Resources, TuneError, TuneObserver,
    TuneOptions,
};
use crate::base::{Random, clock};
use crate::language_model::{Dropout, LanguageModel, Parameters, Pass};

/// What is trained on.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// The training rows.
    pub train: &'a [Example],
    /// What they are validated with.
    pub validation: Validation<'a>,
    /// Share of the inputs of LoRA's A dropped in training, in [0, 1); 0 in pretraining.
    pub dropout: f64,
    /// Names the weights that are not trained, such as by their digest: a state on disk of a
    /// training on other weights is not gone on from.
    pub base: &'a str,
}

/// Who listens, and where states are kept.
pub struct Hooks<'a> {
    /// Hears the training and can stop it.
    pub observer: &'a mut dyn TuneObserver,
    /// The folder for states; without one, a stopped training starts anew. See [`state::remove`].
    pub folder: Option<&'a Path>,
}

/// What came of a training; the model has the parameters of [`Tuned::chosen_step`].
#[derive(Debug, Clone, PartialEq)]
pub struct Tuned {
    /// Optimiser steps done.
    pub steps: usize,
    /// Optimiser steps planned.
    pub total_steps: usize,
    /// Passes over the training rows done, a part of one included.
    pub epochs: f64,
    /// The step whose parameters the model has.
    pub chosen_step: usize,
    /// The step with the best validation, kept or not.
    pub best_step: Option<usize>,
    /// Whether patience ran out before the last step.
    pub stopped_early: bool,
    /// The validation with the chosen parameters.
    pub validation: Option<Validated>,
    /// A point per step.
    pub curve: Vec<CurvePoint>,
    /// Tokens trained on.
    pub tokens: u64,
    /// What about the result is strange.
    pub warnings: Vec<String>,
}

/// A difference of a restored state's AUC or loss that the device's rounding may make.
const DEVICE_ROUNDING: f64 = 1e-4;

/// Trains a model's parameters and leaves it with the best or last of them.
///
/// # Determinism
/// The same model, rows, options and `pass_tokens` give the same bytes, whether or not the
/// training was stopped and went on from its state, if the model's gradients are the same bytes
/// each time. Only the choice to stop, never a result, depends on time.
///
/// # Errors
/// If options or rows are out of range, loss or gradient are not finite, a parameter gets no
/// gradient, the best state cannot be restored, the model fails, or the observer cancels.
pub fn tune(
    model: &mut dyn LanguageModel,
    task: &Task<'_>,
    options: &TuneOptions,
    resources: &Resources,
    hooks: &mut Hooks<'_>,
) -> Result<Tuned, TuneError> {
    let mut training = Training::new(model, task, options, resources)?;
    training.resume(model, hooks);
    match training.run(model, hooks) {
        Err(TuneError::Cancelled { .. }) => Err(TuneError::Cancelled {
            saved: training.save(model, hooks),
        }),
        Err(error) => Err(error),
        Ok(()) => {
            // What comes after may fail too, and should not cost the training.
            let saved = training.save(model, hooks);
            training.finish(model, hooks).map_err(|error| match error {
                TuneError::Cancelled { .. } => TuneError::Cancelled { saved },
                error => error,
            })
        }
    }
}

struct Training<'a> {
    task: &'a Task<'a>,
    options: &'a TuneOptions,
    resources: &'a Resources,
    recipe: Recipe,
    windows: Windows,
    validator: Option<Validator<'a>>,
    adamw: AdamWOptions,
    optimiser: AdamW,
    course: Course,
    fingerprint: String,
    saved: (Instant, usize),
}

impl<'a> Training<'a> {
    fn new(
        model: &dyn LanguageModel,
        task: &'a Task<'a>,
        options: &'a TuneOptions,
        resources: &'a Resources,
    ) -> Result<Self, TuneError> {
        options.checked()?;
        resources.checked()?;
        if !(0.0..1.0).contains(&task.dropout) {
            return Err(TuneError::option(
                "dropout",
                format!("is {}, must be from 0 to below 1", task.dropout),
            ));
        }
        if model.parameters().count() == 0 {
            return Err(TuneError::Data("the model has nothing to train".to_owned()));
        }
        check_examples("training", task.train.iter())?;
        let needs_questions = options.select_by == SelectBy::Auc;
        if needs_questions && matches!(task.validation, Validation::Texts(_)) {
            return Err(TuneError::option(
                "select_by",
                "is `auc`, but the validation rows are texts without questions; take `loss`",
            ));
        }
        let validator = Validator::new(
            &task.validation,
            (options.max_validation_rows, options.seed),
            options.loss_on,
            resources.pass_tokens,
            options.shared_prefix,
        )?;
        let shared = if options.shared_prefix {
            shared_prefix(task.train.iter().map(|row| &row.tokens[..]))
        } else {
            0
        };
        let adamw = AdamWOptions {
            beta_1: options.beta_1,
            beta_2: options.beta_2,
            epsilon: options.epsilon,
            weight_decay: options.weight_decay,
        };
        Ok(Self {
            task,
            options,
            resources,
            recipe: Recipe::new(options, resources.pass_tokens, shared),
            windows: Windows::new(task.train, options)?,
            validator,
            adamw,
            optimiser: AdamW::new(model.parameters(), adamw),
            course: Course::default(),
            fingerprint: fingerprint(task, options, model.parameters()),
            saved: (clock::now(), 0),
        })
    }

    /// Goes on from a state on disk, if there is one of this training.
    fn resume(&mut self, model: &mut dyn LanguageModel, hooks: &mut Hooks<'_>) {
        let Some(folder) = hooks.folder else {
            return;
        };
        match state::find(folder, &self.fingerprint, self.adamw, model.parameters()) {
            Found::Nothing => {}
            Found::Useless(why) => hooks.observer.note(&format!(
                "the saved state is not used: {why}; starting anew"
            )),
            Found::State(saved) => {
                put(model.parameters_mut(), &saved.values);
                self.optimiser = saved.optimiser;
                self.course = saved.course;
                self.saved.1 = self.course.step;
                let (step, total) = (self.course.step, self.windows.total());
                hooks
                    .observer
                    .note(&format!("going on after step {step} of {total}"));
            }
        }
    }

    fn run(
        &mut self,
        model: &mut dyn LanguageModel,
        hooks: &mut Hooks<'_>,
    ) -> Result<(), TuneError> {
        loop {
            let done = self.course.step;
            // Here and not after the step, so that a training stopped in between validates too.
            let due = self.windows.is_due(done, self.options.evaluate);
            if due && self.course.validated < done {
                self.validate(model, hooks)?;
            }
            if done >= self.windows.total() || self.course.stopped {
                return Ok(());
            }
            self.step(model, hooks)?;
            self.save_if_due(model, hooks);
        }
    }

    fn step(
        &mut self,
        model: &mut dyn LanguageModel,
        hooks: &mut Hooks<'_>,
    ) -> Result<(), TuneError> {
        let (at, total) = (self.course.step, self.windows.total());
        let options = self.options;
        let learning_rate =
            options
                .schedule
                .learning_rate(options.learning_rate, at, options.warmup_steps, total);
        let window = self.windows.window(at);
        let rows: Vec<Vec<Row<'_>>> = window
            .iter()
            .map(|micro| {
                let rows = micro.iter().map(|place| Row {
                    example: &self.task.train[place.row],
                    stream: place.stream(),
                });
                rows.collect()
            })
            .collect();
        let pass = Pass {
            dropout: (self.task.dropout > 0.0).then(|| Dropout {
                rate: self.task.dropout as f32,
                seed: Random::new(options.seed, &format!("tune/dropout/{at}")).next_u64(),
            }),
            checkpoint_layers: self.resources.checkpoint_layers,
        };
        let started = clock::now();
        let done = step(
            model,
            &mut self.optimiser,
            &rows,
            &self.recipe,
            &pass,
            (at + 1, learning_rate),
            hooks.observer,
        )?;
        let seconds = started.elapsed().as_secs_f64().max(1e-9);
        self.course.step = at + 1;
        self.course.tokens += done.tokens as u64;
        let point = CurvePoint {
            step: at + 1,
            epoch: self.windows.epoch_after(at + 1),
            loss: done.mean_loss,
            learning_rate,
            gradient_norm: done.gradient_norm,
            tokens: self.course.tokens,
            validation_auc: None,
            validation_loss: None,
        };
        hooks.observer.step(&Progress {
            step: point.step,
            total_steps: total,
            epoch: point.epoch,
            loss: point.loss,
            learning_rate,
            gradient_norm: point.gradient_norm,
            tokens_per_second: done.tokens as f64 / seconds,
        });
        self.course.curve.push(point);
        Ok(())
    }

    fn validate(
        &mut self,
        model: &dyn LanguageModel,
        hooks: &mut Hooks<'_>,
    ) -> Result<(), TuneError> {
        let Some(validator) = &self.validator else {
            return Ok(());
        };
        let validated = validator.run(model, hooks.observer)?;
        let step = self.course.step;
        let value = self.selected(&validated)?;
        let better = self
            .course
            .best
            .as_ref()
            .is_none_or(|best| match self.options.select_by {
                SelectBy::Auc => value > best.value,
                SelectBy::Loss => value < best.value,
            });
        if better {
            let parameters = model.parameters().iter();
            self.course.best = Some(Best {
                step,
                value,
                values: parameters
                    .map(|(name, one)| (name.to_owned(), one.values.clone()))
                    .collect(),
            });
            self.course.without_better = 0;
        } else {
            self.course.without_better += 1;
        }
        let patience = self.options.patience;
        self.course.stopped = patience > 0 && self.course.without_better >= patience;
        self.course.validated = step;
        if let Some(point) = self.course.curve.last_mut() {
            point.validation_auc = validated.auc;
            point.validation_loss = validated.loss;
        }
        hooks
            .observer
            .validated(step, validated.auc, validated.loss, better);
        Ok(())
    }

    /// The number that states are compared by.
    fn selected(&self, validated: &Validated) -> Result<f64, TuneError> {
        let (value, name) = match self.options.select_by {
            SelectBy::Auc => (validated.auc, "AUC"),
            SelectBy::Loss => (validated.loss, "loss"),
        };
        match value {
            Some(value) if value.is_finite() => Ok(value),
            _ => Err(TuneError::Data(format!(
                "the validation {name} after step {} is not a number",
                self.course.step
            ))),
        }
    }

    fn finish(
        self,
        model: &mut dyn LanguageModel,
        hooks: &mut Hooks<'_>,
    ) -> Result<Tuned, TuneError> {
        let last = self.course.step;
        let mut warnings = Vec::new();
        let best = self.course.best.as_ref();
        let chosen_step = match best {
            Some(best) if self.options.keep == Keep::Best => {
                put(model.parameters_mut(), &best.values);
                best.step
            }
            _ => last,
        };
        model.parameters_mut().clear_gradients();
        let validation = match &self.validator {
            Some(validator) => {
                let validated = validator.run(&*model, hooks.observer)?;
                warnings.extend(self.check_restored(chosen_step, &validated)?);
                warnings.extend(constant(&validated.scores));
                Some(validated)
            }
            None => None,
        };
        let questions = self.validator.as_ref().map_or(0, Validator::questions);
        warnings.extend(suspicions(&self.course.curve, questions));
        Ok(Tuned {
            steps: last,
            total_steps: self.windows.total(),
            epochs: self.windows.epoch_after(last),
            chosen_step,
            best_step: best.map(|best| best.step),
            stopped_early: self.course.stopped && last < self.windows.total(),
            validation,
            tokens: self.course.tokens,
            curve: self.course.curve,
            warnings,
        })
    }

    /// Compares the validation of the parameters that the model is left with to the one that was
    /// recorded when it had them first.
    #[expect(clippy::float_cmp, reason = "the same parameters give the same bytes")]
    fn check_restored(
        &self,
        chosen: usize,
        validated: &Validated,
    ) -> Result<Option<String>, TuneError> {
        let now = self.selected(validated)?;
        let point = self.course.curve.iter().find(|one| one.step == chosen);
        let recorded = point.and_then(|point| match self.options.select_by {
            SelectBy::Auc => point.validation_auc,
            SelectBy::Loss => point.validation_loss,
        });
        match recorded {
            Some(recorded) if recorded == now => Ok(None),
            // Devices may add in another order each time; that is no other state.
            Some(recorded) if (recorded - now).abs() <= DEVICE_ROUNDING => Ok(Some(format!(
                "scoring the validation rows twice gives {recorded} and {now}: this device does \
                 not compute reproducibly"
            ))),
            _ => Err(TuneError::NotRestored {
                step: chosen,
                recorded: recorded.unwrap_or(f64::NAN),
                now,
            }),
        }
    }

    fn save_if_due(&mut self, model: &dyn LanguageModel, hooks: &mut Hooks<'_>) {
        let (when, at) = self.saved;
        let (seconds, steps) = (self.resources.save_every_s, self.resources.save_every_steps);
        let by_time = seconds > 0 && when.elapsed().as_secs() >= seconds;
        let by_steps = steps > 0 && self.course.step - at >= steps;
        if by_time || by_steps {
            self.save(model, hooks);
        }
    }

    /// Saves the state, if there is a folder. A state that cannot be saved fails no training.
    fn save(&mut self, model: &dyn LanguageModel, hooks: &mut Hooks<'_>) -> bool {
        let Some(folder) = hooks.folder else {
            return false;
        };
        let saved = state::save(
            folder,
            &self.fingerprint,
            &self.course,
            &self.optimiser,
            model.parameters(),
        );
        self.saved = (clock::now(), self.course.step);
        if let Err(error) = &saved {
            hooks
                .observer
                .note(&format!("the state cannot be saved: {error}"));
        }
        saved.is_ok()
    }
}

/// Copies values back into parameters.
fn put(parameters: &mut Parameters, values: &BTreeMap<String, Vec<f32>>) {
    for (name, parameter) in parameters.iter_mut() {
        if let Some(values) = values.get(name) {
            parameter.values.copy_from_slice(values);
        }
    }
}

#[expect(clippy::float_cmp, reason = "the question is whether all are equal")]
fn constant(scores: &[f64]) -> Option<String> {
    let first = scores.first()?;
    let flat = scores.len() > 1 && scores.iter().all(|score| score == first);
    flat.then(|| {
        format!(
            "all {} validation scores are {first}: this ranks nothing",
            scores.len()
        )
    })
}
