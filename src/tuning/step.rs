//! One optimiser step, the block that [`super::tune()`] is made of.

use super::adamw::{clip, gradient_norm};
use super::pass::{cut, sequence, target_count};
use super::{AdamW, Example, LossOn, Reduction, TuneError, TuneObserver, TuneOptions};
use crate::language_model::{Batch, LanguageModel, Pass};

/// A row of a step.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// The row.
    pub example: &'a Example,
    /// Names the stream that its dropout draws from.
    pub stream: u64,
}

/// What is the same in all steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recipe {
    /// Which tokens are learnt.
    pub loss_on: LossOn,
    /// How their cross-entropies become one loss.
    pub reduction: Reduction,
    /// What `micro_mean` divides the sum of micro-batches by.
    pub accumulation: usize,
    /// The longest gradient.
    pub clip: Option<f64>,
    /// Tokens of a pass through the model at most.
    pub pass_tokens: usize,
    /// First tokens that all rows share and are computed once a pass.
    pub shared_prefix: usize,
}

impl Recipe {
    /// The recipe that the options ask for.
    #[must_use]
    pub fn new(options: &TuneOptions, pass_tokens: usize, shared_prefix: usize) -> Self {
        Self {
            loss_on: options.loss_on,
            reduction: options.reduction,
            accumulation: options.accumulation(),
            clip: options.clip,
            pass_tokens,
            shared_prefix,
        }
    }
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepDone {
    /// The loss whose gradient was taken.
    pub loss: f64,
    /// The same with weights that add up to 1: under `micro_mean`, the mean over the micro-batches
    /// that there were.
    pub mean_loss: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Tokens of the rows.
    pub tokens: usize,
    /// Tokens that were learnt.
    pub targets: usize,
}

/// Takes the gradient of the loss of `window` (rows by micro-batch), clips it and moves the
/// parameters. `number` counts steps from 1, for messages.
///
/// # Errors
/// If the loss or a gradient is not finite, no gradient reaches a parameter, the model fails, or
/// the observer cancels; no value is changed then.
pub fn step(
    model: &mut dyn LanguageModel,
    optimiser: &mut AdamW,
    window: &[Vec<Row<'_>>],
    recipe: &Recipe,
    pass: &Pass,
    (number, learning_rate): (usize, f64),
    observer: &dyn TuneObserver,
) -> Result<StepDone, TuneError> {
    model.parameters_mut().clear_gradients();
    let mut done = StepDone {
        loss: 0.0,
        mean_loss: 0.0,
        gradient_norm: 0.0,
        tokens: 0,
        targets: 0,
    };
    let mut weights = 0.0;
    for (rows, weight_of) in weigh(window, recipe) {
        let lengths: Vec<usize> = rows.iter().map(|row| row.example.tokens.len()).collect();
        for piece in cut(&lengths, recipe.pass_tokens, recipe.shared_prefix) {
            if observer.is_cancelled() {
                return Err(TuneError::Cancelled { saved: false });
            }
            let mut batch = Batch {
                sequences: Vec::with_capacity(piece.len()),
                shared_prefix: recipe.shared_prefix,
            };
            for at in piece {
                let (row, weight) = (rows[at], weight_of[at]);
                let one = sequence(row.example, recipe.loss_on, weight as f32, row.stream);
                weights += weight * one.targets.len() as f64;
                done.targets += one.targets.len();
                batch.sequences.push(one);
            }
            done.tokens += batch.tokens();
            done.loss += model.accumulate(&batch, pass)?;
        }
    }
    if !done.loss.is_finite() {
        return Err(TuneError::Diverged {
            step: number,
            loss: done.loss,
            learning_rate,
        });
    }
    done.mean_loss = done.loss / weights;
    let parameters = model.parameters_mut();
    done.gradient_norm = gradient_norm(parameters);
    if !done.gradient_norm.is_finite() {
        let mut named = parameters.iter();
        let wrong = named.find(|(_, one)| one.gradient.iter().any(|number| !number.is_finite()));
        return Err(TuneError::Gradient {
            step: number,
            parameter: wrong.map_or("all together", |(name, _)| name).to_owned(),
            loss: done.loss,
            learning_rate,
        });
    }
    if let Some(limit) = recipe.clip {
        clip(parameters, done.gradient_norm, limit);
    }
    optimiser.step(parameters, learning_rate)?;
    Ok(done)
}

/// Groups of rows with the weight of each row's targets. Groups pass one after another; inside a
/// group passes are cut anywhere.
fn weigh<'a>(window: &[Vec<Row<'a>>], recipe: &Recipe) -> Vec<(Vec<Row<'a>>, Vec<f64>)> {
    let targets = |row: &Row<'_>| target_count(row.example, recipe.loss_on);
    let same = |rows: &[Row<'a>], divisor: usize| {
        let weight = 1.0 / divisor as f64;
        (rows.to_vec(), vec![weight; rows.len()])
    };
    match recipe.reduction {
        Reduction::MicroMean => window
            .iter()
            .map(|micro| {
                let count: usize = micro.iter().map(targets).sum();
                same(micro, count * recipe.accumulation)
            })
            .collect(),
        Reduction::TokenMean => {
            let rows = window.concat();
            vec![same(&rows, rows.iter().map(targets).sum())]
        }
        Reduction::RowMean => {
            let rows = window.concat();
            let weights = rows
                .iter()
                .map(|row| 1.0 / (targets(row) * rows.len()) as f64)
                .collect();
            vec![(rows, weights)]
        }
    }
}
