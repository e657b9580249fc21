//! Epochs over shuffled batches, validation, early stopping, and the best weights restored.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{Adam, AdamOptions, Observer, TrainError};
use crate::base::Random;
use crate::metric::auc;
use crate::nn::{NnError, Variables};

/// What [`fit`] can train.
pub trait Trainable {
    /// One training or validation row, ready for the model.
    type Row;

    /// All variables, in the order of their names.
    fn variables(&self) -> &Variables;

    /// The mean loss of a batch, a scalar; `random` is for dropout.
    ///
    /// # Errors
    /// If a layer fails.
    fn loss(&self, batch: &[&Self::Row], random: &mut Random) -> Result<Tensor, NnError>;

    /// A score for each row, higher for rows more likely liked, without dropout. A row's score
    /// may not depend on the other rows.
    ///
    /// # Errors
    /// If a layer fails.
    fn scores(&self, batch: &[&Self::Row]) -> Result<Vec<f64>, NnError>;

    /// Whether the row is a like.
    fn label(row: &Self::Row) -> bool;
}

/// How long and how [`fit`] trains.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FitOptions {
    /// The optimiser.
    pub adam: AdamOptions,
    /// Rows per step; the last batch of an epoch may be smaller and counts as it is.
    pub batch_size: usize,
    /// Epochs at most.
    pub epochs: usize,
    /// Epochs without a better validation AUC before stopping.
    pub patience: usize,
    /// Drives the order of rows and dropout.
    pub seed: u64,
}

/// A point of the learning curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// From 1.
    pub epoch: usize,
    /// Mean training loss over the epoch's rows, with dropout, as the steps saw it.
    pub loss: f64,
    /// AUC over the validation rows after the epoch.
    pub valid_auc: f64,
}

/// What came of a training.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// One point per epoch done.
    pub curve: Vec<Epoch>,
    /// The epoch whose weights the model now has.
    pub best_epoch: usize,
    /// Its validation AUC.
    pub best_auc: f64,
    /// The model's scores of the validation rows with those weights, in their order.
    pub valid_scores: Vec<f64>,
}

/// Rows scored at a time; it bounds memory and changes no score.
const SCORED_TOGETHER: usize = 512;

/// Trains a model and leaves it with the weights of its best epoch.
///
/// Best is the highest validation AUC; of equal ones, the earliest. Rows are shuffled anew in
/// each epoch by the stream `train/order` of the seed, dropout draws from `train/dropout`.
///
/// # Determinism
/// The same model, rows and options give the same weights, whatever the number of threads.
///
/// # Errors
/// Without training rows, if the validation AUC is not defined, if a variable gets no gradient
/// in a step, if the loss is not finite, if the observer cancels, or if a layer fails.
pub fn fit<M: Trainable>(
    model: &M,
    train: &[M::Row],
    valid: &[M::Row],
    options: &FitOptions,
    observer: &mut dyn Observer,
) -> Result<Fitted, TrainError> {
    if train.is_empty() {
        return Err(TrainError::NoRows);
    }
    if options.batch_size == 0 || options.epochs == 0 || options.patience == 0 {
        return Err(TrainError::Options(
            "batch size, epochs and patience must be at least 1",
        ));
    }
    if let Err(reason) = both_classes::<M>(valid) {
        return Err(TrainError::Validation(reason.to_owned()));
    }
    let mut order: Vec<usize> = (0..train.len()).collect();
    let mut order_stream = Random::new(options.seed, "train/order");
    let mut dropout_stream = Random::new(options.seed, "train/dropout");
    let variables = model.variables();
    let mut adam = Adam::new(variables, options.adam);
    let mut curve = Vec::new();
    let mut best = None;

    for epoch in 1..=options.epochs {
        order_stream.shuffle(&mut order);
        let mut sum = 0.0;
        for batch in order.chunks(options.batch_size) {
            if observer.is_cancelled() {
                return Err(TrainError::Cancelled);
            }
            let rows: Vec<&M::Row> = batch.iter().map(|at| &train[*at]).collect();
            let loss = model.loss(&rows, &mut dropout_stream)?;
            let value = read_scalar(&loss)?;
            if !value.is_finite() {
                return Err(TrainError::Diverged { epoch, loss: value });
            }
            sum += value * rows.len() as f64;
            let gradients = loss.backward().map_err(NnError::at("backward"))?;
            adam.step(variables, &gradients)?;
        }
        let scores = score_all(model, valid, observer)?;
        let valid_auc = validation_auc::<M>(valid, &scores)?;
        let loss = sum / train.len() as f64;
        observer.measured("loss", epoch, loss);
        observer.measured("valid_auc", epoch, valid_auc);
        observer.epoch(epoch, options.epochs);
        curve.push(Epoch {
            epoch,
            loss,
            valid_auc,
        });
        let better = best.as_ref().is_none_or(|best: &Best| valid_auc > best.auc);
        if better {
            best = Some(Best {
                epoch,
                auc: valid_auc,
                weights: variables.snapshot()?,
                scores,
            });
        } else if best
            .as_ref()
            .is_some_and(|best| epoch - best.epoch >= options.patience)
        {
            break;
        }
    }
    let Some(best) = best else {
        return Err(TrainError::Options("no epoch was done"));
    };
    variables.restore(&best.weights)?;
    Ok(Fitted {
        curve,
        best_epoch: best.epoch,
        best_auc: best.auc,
        valid_scores: best.scores,
    })
}

struct Best {
    epoch: usize,
    auc: f64,
    weights: crate::nn::variables::Snapshot,
    scores: Vec<f64>,
}

/// Scores rows in pieces that bound memory.
///
/// # Errors
/// If a layer fails or the observer cancels.
pub fn score_all<M: Trainable>(
    model: &M,
    rows: &[M::Row],
    observer: &dyn Observer,
) -> Result<Vec<f64>, TrainError> {
    let mut scores = Vec::with_capacity(rows.len());
    for piece in rows.chunks(SCORED_TOGETHER) {
        if observer.is_cancelled() {
            return Err(TrainError::Cancelled);
        }
        let piece: Vec<&M::Row> = piece.iter().collect();
        scores.extend(model.scores(&piece)?);
    }
    Ok(scores)
}

fn both_classes<M: Trainable>(valid: &[M::Row]) -> Result<(), &'static str> {
    let likes = valid.iter().filter(|row| M::label(row)).count();
    if valid.is_empty() {
        Err("there are no validation rows")
    } else if likes == 0 || likes == valid.len() {
        Err("the validation rows have only one class")
    } else {
        Ok(())
    }
}

fn validation_auc<M: Trainable>(valid: &[M::Row], scores: &[f64]) -> Result<f64, TrainError> {
    if let Some(row) = scores.iter().position(|score| score.is_nan()) {
        let row = row as u32;
        return Err(crate::metric::MetricError::NotANumber { row }.into());
    }
    let mut pairs: Vec<(f64, bool)> = scores
        .iter()
        .zip(valid)
        .map(|(score, row)| (*score, M::label(row)))
        .collect();
    auc::area(&mut pairs).ok_or_else(|| TrainError::Validation("only one class".to_owned()))
}

/// Reads the loss back; on a GPU this waits for the device.
fn read_scalar(loss: &Tensor) -> Result<f64, NnError> {
    loss.to_scalar::<f32>()
        .map(f64::from)
        .map_err(NnError::at("loss"))
}
