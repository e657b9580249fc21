//! From a network to a recommender: training, the model folder, scoring.

use std::path::Path;

use candle_core::{Device, Tensor};

use super::{Batch, Encoder, Padding, Row, Vocabulary};
use crate::base::Random;
use crate::data::Sample;
use crate::nn::activation::probability;
use crate::nn::{NnError, VariableBuilder, Variables};
use crate::recommender::{FitReport, FitTask, RecommenderError, Scores};
use crate::train::{FitOptions, Loss, Observer, Silent, Trainable, fit, fit::score_all};

/// A network that says for each row of a batch how much the target will be liked.
pub trait Network: Sized {
    /// What determines its shape.
    type Settings;

    /// Makes its layers for `items` items, number 0 included.
    ///
    /// # Errors
    /// See [`VariableBuilder::variable`].
    fn build(
        settings: &Self::Settings,
        items: usize,
        builder: &mut VariableBuilder,
    ) -> Result<Self, NnError>;

    /// A logit of P(like) for each row, `[B]`; there is a stream in training only.
    ///
    /// # Errors
    /// If a layer fails.
    fn logits(&self, batch: &Batch, random: Option<&mut Random>) -> Result<Tensor, NnError>;

    /// How histories become rows.
    fn history(settings: &Self::Settings) -> (usize, Padding);
}

/// A network with its variables and its loss, as [`fit()`] sees it.
struct Model<N> {
    network: N,
    variables: Variables,
    loss: Loss,
    device: Device,
}

impl<N: Network> Trainable for Model<N> {
    type Row = Row;

    fn variables(&self) -> &Variables {
        &self.variables
    }

    fn loss(&self, rows: &[&Row], random: &mut Random) -> Result<Tensor, NnError> {
        let batch = Batch::of(rows, &self.device)?;
        let logits = self.network.logits(&batch, Some(random))?; // [B]
        self.loss.of(&logits, &batch.labels)
    }

    fn scores(&self, rows: &[&Row]) -> Result<Vec<f64>, NnError> {
        let batch = Batch::of(rows, &self.device)?;
        let logits = self.network.logits(&batch, None)?; // [B]
        let logits: Vec<f32> = logits.to_vec1().map_err(NnError::at("logits"))?;
        Ok(logits.into_iter().map(probability).collect())
    }

    fn label(row: &Row) -> bool {
        row.label()
    }
}

impl<N: Network> Model<N> {
    fn new(
        settings: &N::Settings,
        items: usize,
        loss: Loss,
        mut builder: VariableBuilder,
    ) -> Result<Self, NnError> {
        let network = N::build(settings, items, &mut builder)?;
        Ok(Self {
            network,
            variables: builder.finish()?,
            loss,
            device: Device::Cpu,
        })
    }
}

/// Trains a network and writes `model.safetensors` and `items.json`.
///
/// It trains on the CPU: at hidden sizes of 64 a GPU spends its time waiting for launches.
///
/// # Errors
/// See [`fit()`]; and if the folder cannot be written.
pub fn fit_network<N: Network>(
    settings: &N::Settings,
    loss: Loss,
    options: &FitOptions,
    task: &FitTask<'_>,
    observer: &mut dyn Observer,
) -> Result<FitReport, RecommenderError> {
    let vocabulary = Vocabulary::of(task.catalogue, task.train.iter().chain(task.valid));
    let (length, padding) = N::history(settings);
    let encoder = Encoder {
        vocabulary: &vocabulary,
        length,
        padding,
    };
    let builder = VariableBuilder::from_seed(options.seed, &Device::Cpu);
    let model = Model::<N>::new(settings, vocabulary.rows(), loss, builder)?;
    let (train, valid) = (encoder.encode(task.train).0, encoder.encode(task.valid).0);
    let fitted = fit(&model, &train, &valid, options, observer)?;
    vocabulary.save(task.folder)?;
    model
        .variables
        .save(&task.folder.join("model.safetensors"))?;
    Ok(FitReport {
        curve: fitted.curve,
        best_epoch: fitted.best_epoch,
        valid_scores: fitted.valid_scores,
    })
}

/// Scores samples with the network in a folder that [`fit_network`] wrote.
///
/// # Errors
/// If the folder is not complete or not of these settings.
pub fn score_network<N: Network>(
    settings: &N::Settings,
    folder: &Path,
    samples: &[Sample],
) -> Result<Scores, RecommenderError> {
    let vocabulary = Vocabulary::load(folder)?;
    let builder = VariableBuilder::from_file(&folder.join("model.safetensors"), &Device::Cpu)?;
    // The loss has no part in scores.
    let model = Model::<N>::new(settings, vocabulary.rows(), Loss::Mse, builder)?;
    let (length, padding) = N::history(settings);
    let encoder = Encoder {
        vocabulary: &vocabulary,
        length,
        padding,
    };
    let (rows, unknown) = encoder.encode(samples);
    let likes = score_all(&model, &rows, &Silent)?;
    Ok(Scores { likes, unknown })
}
