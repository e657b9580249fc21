//! Epochs over shuffled batches, validation, early stopping, and the best weights restored.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::{Adam, AdamOptions, Observer, TrainError};
use crate::base::Random;
use crate::metric::auc;
use crate::nn::{Gradients, NnError, Variables};

/// What [`fit()`] can train.
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
    /// may not depend on the other rows, beyond rounding.
    ///
    /// # Errors
    /// If a layer fails.
    fn scores(&self, batch: &[&Self::Row]) -> Result<Vec<f64>, NnError>;

    /// Whether the row is a like.
    fn label(row: &Self::Row) -> bool;
}

/// How long and how [`fit()`] trains.
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
    /// Steps at least between one validation and the next. It is done after whole epochs, and after
    /// the last one in any case.
    pub evaluate_every: usize,
    /// Drives the order of rows and dropout.
    pub seed: u64,
}

/// A point of the learning curve: an epoch that a validation followed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// From 1.
    pub epoch: usize,
    /// Mean training loss over the rows of the epochs since the last point, with dropout, as the
    /// steps saw it.
    pub loss: f64,
    /// AUC over the validation rows after the epoch.
    pub valid_auc: f64,
}

/// What came of a training.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// One point per validation.
    pub curve: Vec<Epoch>,
    /// The epoch whose weights the model now has.
    pub best_epoch: usize,
    /// Its validation AUC.
    pub best_auc: f64,
    /// The model's scores of the validation rows with those weights, in their order.
    pub valid_scores: Vec<f64>,
}

/// Rows scored at a time: few enough that a layer's numbers stay in the processor's cache.
const SCORED_TOGETHER: usize = 128;

/// Trains a model and leaves it with the weights of its best epoch.
///
/// Best is the highest validation AUC; of equal ones, the earliest. Where an epoch is few steps, a
/// validation may cost more than many of them: then several epochs pass before one. Rows are
/// shuffled anew in each epoch by the stream `train/order` of the seed, dropout draws from `train/dropout`.
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
    let counts = [
        options.batch_size,
        options.epochs,
        options.patience,
        options.evaluate_every,
    ];
    if counts.contains(&0) {
        return Err(TrainError::Options(
            "batch size, epochs, patience and steps between validations must be at least 1",
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
    // Since the last validation.
    let (mut sum, mut rows_seen, mut steps) = (0.0, 0, 0);

    for epoch in 1..=options.epochs {
        order_stream.shuffle(&mut order);
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
            let gradients = Gradients::of(&loss)?;
            adam.step(variables, &gradients)?;
            steps += 1;
        }
        rows_seen += train.len();
        observer.epoch(epoch, options.epochs);
        if steps < options.evaluate_every && epoch < options.epochs {
            continue;
        }
        let scores = score_all(model, valid, observer)?;
        let valid_auc = validation_auc::<M>(valid, &scores)?;
        let loss = sum / rows_seen as f64;
        (sum, rows_seen, steps) = (0.0, 0, 0);
        observer.measured("loss", epoch, loss);
        observer.measured("valid_auc", epoch, valid_auc);
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

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::nn::{Init, Linear, VariableBuilder};
    use crate::train::{Loss, Silent};

    /// Logistic regression on two numbers.
    struct Toy {
        linear: Linear,
        variables: Variables,
    }

    type Point = ([f32; 2], bool);

    impl Toy {
        fn new(idle: bool) -> Self {
            let mut builder = VariableBuilder::from_seed(1, &Device::Cpu);
            let linear = Linear::new(&mut builder, "linear", 2, 1).expect("fresh");
            if idle {
                let init = Init::Constant(0.0);
                builder.variable("unused", &[3], init).expect("fresh");
            }
            let variables = builder.finish().expect("complete");
            Self { linear, variables }
        }

        fn logits(&self, batch: &[&Point]) -> Result<Tensor, NnError> {
            let numbers: Vec<f32> = batch.iter().flat_map(|point| point.0).collect();
            let x = Tensor::from_vec(numbers, (batch.len(), 2), &Device::Cpu);
            let y = self.linear.forward(&x.map_err(NnError::at("x"))?)?; // [B, 1]
            y.squeeze(1).map_err(NnError::at("y"))
        }
    }

    impl Trainable for Toy {
        type Row = Point;

        fn variables(&self) -> &Variables {
            &self.variables
        }

        fn loss(&self, batch: &[&Point], _random: &mut Random) -> Result<Tensor, NnError> {
            let labels: Vec<bool> = batch.iter().map(|point| point.1).collect();
            Loss::Bce.of(&self.logits(batch)?, &labels)
        }

        fn scores(&self, batch: &[&Point]) -> Result<Vec<f64>, NnError> {
            let logits = self.logits(batch)?.to_vec1::<f32>();
            let logits = logits.map_err(NnError::at("y"))?;
            Ok(logits.into_iter().map(f64::from).collect())
        }

        fn label(point: &Point) -> bool {
            point.1
        }
    }

    fn points(rows: usize, seed: u64) -> Vec<Point> {
        let mut random = Random::new(seed, "points");
        let mut point = || {
            let x = [random.normal() as f32, random.normal() as f32];
            let noise = random.normal() as f32;
            (x, x[0] - x[1] + noise > 0.0)
        };
        (0..rows).map(|_| point()).collect()
    }

    fn options() -> FitOptions {
        FitOptions {
            adam: AdamOptions {
                learning_rate: 0.05,
                ..AdamOptions::default()
            },
            batch_size: 8,
            epochs: 40,
            patience: 4,
            evaluate_every: 1,
            seed: 1,
        }
    }

    #[test]
    fn the_best_epoch_is_restored_and_patience_ends_it() {
        let toy = Toy::new(false);
        let (train, valid) = (points(30, 1), points(60, 2));
        let fitted = fit(&toy, &train, &valid, &options(), &mut Silent).expect("fits");
        let best = &fitted.curve[fitted.best_epoch - 1];
        assert!((best.valid_auc - fitted.best_auc).abs() < 1e-15);
        for point in &fitted.curve {
            let earlier = point.epoch < fitted.best_epoch;
            assert!(point.valid_auc < fitted.best_auc || !earlier, "{point:?}");
            assert!(point.valid_auc <= fitted.best_auc);
        }
        assert_eq!(fitted.curve.len(), fitted.best_epoch + 4);
        let now = score_all(&toy, &valid, &Silent).expect("scores");
        assert_eq!(now, fitted.valid_scores);
        assert!(fitted.best_auc > 0.8, "{}", fitted.best_auc);
    }

    /// Four steps an epoch, ten between validations: after epochs 3, 6 and 8, the last.
    #[test]
    fn validation_waits_for_steps_and_comes_last() {
        let (train, valid) = (points(30, 1), points(60, 2));
        let mut sparse = options();
        (sparse.epochs, sparse.patience) = (8, 8);
        let mut dense = sparse;
        sparse.evaluate_every = 10;
        dense.evaluate_every = 4;
        let run = |options: &FitOptions| {
            let toy = Toy::new(false);
            fit(&toy, &train, &valid, options, &mut Silent).expect("fits")
        };
        let (sparse, dense) = (run(&sparse), run(&dense));
        let epochs: Vec<usize> = sparse.curve.iter().map(|point| point.epoch).collect();
        assert_eq!((epochs, dense.curve.len()), (vec![3, 6, 8], 8));
        for (point, epochs) in sparse.curve.iter().zip([0..3, 3..6, 6..8]) {
            let same = &dense.curve[point.epoch - 1];
            assert!((point.valid_auc - same.valid_auc).abs() < 1e-15);
            let count = epochs.len() as f64;
            let mean = dense.curve[epochs]
                .iter()
                .map(|point| point.loss)
                .sum::<f64>()
                / count;
            assert!((point.loss - mean).abs() < 1e-12);
        }
    }

    #[test]
    fn what_cannot_be_trained_says_why() {
        let (train, valid) = (points(30, 1), points(60, 2));
        let fails = |toy: &Toy, train: &[Point], valid: &[Point], options: &FitOptions| {
            fit(toy, train, valid, options, &mut Silent).expect_err("fails")
        };
        let toy = Toy::new(true);
        let error = fails(&toy, &train, &valid, &options());
        assert!(matches!(error, TrainError::NoGradient(name) if name == "unused"));
        let toy = Toy::new(false);
        let error = fails(&toy, &[], &valid, &options());
        assert!(matches!(error, TrainError::NoRows));
        let likes: Vec<Point> = valid.iter().copied().filter(|point| point.1).collect();
        let error = fails(&toy, &train, &likes, &options());
        assert!(matches!(error, TrainError::Validation(_)));
        let broken = [([f32::NAN, 0.0], true)];
        let error = fails(&toy, &broken, &valid, &options());
        assert!(matches!(error, TrainError::Diverged { epoch: 1, .. }));
        for set in [
            |options: &mut FitOptions| options.batch_size = 0,
            |options: &mut FitOptions| options.evaluate_every = 0,
        ] {
            let mut none = options();
            set(&mut none);
            let error = fails(&toy, &train, &valid, &none);
            assert!(matches!(error, TrainError::Options(_)));
        }
    }

    /// Stops a training after some epochs.
    struct StopAfter(usize, usize);

    impl Observer for StopAfter {
        fn epoch(&mut self, done: usize, total: usize) {
            assert_eq!((done, total), (self.1 + 1, 40));
            self.1 = done;
        }

        fn is_cancelled(&self) -> bool {
            self.1 >= self.0
        }
    }

    #[test]
    fn an_observer_stops_it_between_steps() {
        let (train, valid) = (points(30, 1), points(60, 2));
        let mut observer = StopAfter(2, 0);
        let toy = Toy::new(false);
        let error = fit(&toy, &train, &valid, &options(), &mut observer);
        assert!(matches!(error, Err(TrainError::Cancelled)));
        assert_eq!(observer.1, 2);
    }
}
