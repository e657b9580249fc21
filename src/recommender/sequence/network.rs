//! From a network to a method: training, the model folder, scoring.

use candle_core::{Device, Tensor};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Batch, Encoder, Items, Row, SequenceSettings, Vocabulary};
use crate::base::Random;
use crate::nn::activation::probability;
use crate::nn::{Linear, NnError, VariableBuilder, Variables};
use crate::recommender::{
    FitReport, FitTask, Method, RecommenderError, ScoreTask, Scores, SettingError,
};
use crate::train::fit::score_all;
use crate::train::{Loss, Observer, Propensities, Robustness, Silent, Trainable, fit};

/// A network over the history whose last layer has one output for each item.
///
/// Every network is a [`Method`]: it is trained by the one loop, on the score of the target alone,
/// `sigmoid` on top, and its folder holds `model.safetensors` and `items.json`.
pub trait Network: Sized + Sync + 'static {
    /// What determines its shape and its training; see `sequence_settings!`.
    type Settings: SequenceSettings + Serialize + DeserializeOwned + JsonSchema;

    /// See [`Method::NAME`].
    const NAME: &'static str;
    /// See [`Method::SUMMARY`].
    const SUMMARY: &'static str;
    /// See [`Method::NEEDS_ITEM_VECTORS`].
    const NEEDS_ITEM_VECTORS: bool = false;

    /// Checks what the types of its own settings cannot say; the shared ones are checked already.
    ///
    /// # Errors
    /// The setting that is out of range.
    fn check(_settings: &Self::Settings) -> Result<(), SettingError> {
        Ok(())
    }

    /// Makes its layers.
    ///
    /// # Errors
    /// See [`VariableBuilder::variable`].
    fn build(
        settings: &Self::Settings,
        items: Items<'_>,
        builder: &mut VariableBuilder,
    ) -> Result<Self, NnError>;

    /// What it makes of each history, `[B, F]`; there is a stream in training only. A row may not
    /// depend on the other rows of the batch.
    ///
    /// # Errors
    /// If a layer fails.
    fn features(&self, batch: &Batch, random: Option<&mut Random>) -> Result<Tensor, NnError>;

    /// The layer from features to a logit for each item, `[B, F] → [B, V]`.
    fn output(&self) -> &Linear;

    /// The term for distribution shifts that its loss has besides, if any.
    fn robustness(_settings: &Self::Settings) -> Option<Robustness> {
        None
    }
}

/// A network with its variables and its loss, as [`fit()`] sees it.
struct Model<N> {
    network: N,
    variables: Variables,
    loss: Loss,
    robust: Option<(Robustness, Propensities)>,
}

impl<N: Network> Trainable for Model<N> {
    type Row = Row;

    fn variables(&self) -> &Variables {
        &self.variables
    }

    fn loss(&self, rows: &[&Row], random: &mut Random) -> Result<Tensor, NnError> {
        let batch = Batch::of(rows, &Device::Cpu)?;
        let features = self.network.features(&batch, Some(random))?; // [B, F]
        let output = self.network.output();
        match &self.robust {
            None => {
                let logits = output.forward_chosen(&features, &batch.targets)?; // [B]
                self.loss.of(&logits, &batch.labels)
            }
            Some((robustness, propensities)) => {
                let targets = rows.iter().map(|row| row.target()).collect();
                let labels = &batch.labels;
                robustness.of(output, &features, targets, labels, self.loss, propensities)
            }
        }
    }

    fn scores(&self, rows: &[&Row]) -> Result<Vec<f64>, NnError> {
        let batch = Batch::of(rows, &Device::Cpu)?;
        let features = self.network.features(&batch, None)?; // [B, F]
        let logits = self.network.output();
        let logits = logits.forward_chosen(&features, &batch.targets)?; // [B]
        let logits: Vec<f32> = logits.to_vec1().map_err(NnError::at("logits"))?;
        Ok(logits.into_iter().map(probability).collect())
    }

    fn label(row: &Row) -> bool {
        row.label()
    }
}

/// It trains and scores on the CPU: at hidden sizes of 64 a GPU spends its time waiting for
/// launches.
impl<N: Network> Method for N {
    type Settings = N::Settings;

    const NAME: &'static str = N::NAME;
    const SUMMARY: &'static str = N::SUMMARY;
    const LEARNS_ITEM_IDS: bool = true;
    const NEEDS_ITEM_VECTORS: bool = N::NEEDS_ITEM_VECTORS;

    fn check(settings: &N::Settings) -> Result<(), SettingError> {
        settings.shared().check()?;
        N::check(settings)
    }

    fn fit(
        settings: &N::Settings,
        task: &FitTask<'_>,
        observer: &mut dyn Observer,
    ) -> Result<FitReport, RecommenderError> {
        let shared = settings.shared();
        let vocabulary = Vocabulary::of(task.catalogue, task.train.iter().chain(task.valid));
        let encoder = Encoder {
            vocabulary: &vocabulary,
            length: shared.history_length,
            padding: shared.padding,
        };
        let (train, valid) = (encoder.encode(task.train).0, encoder.encode(task.valid).0);
        let vectors = match task.item_vectors {
            Some(vectors) => Some(vectors.table(&vocabulary)?),
            None => None,
        };
        let items = Items {
            rows: vocabulary.rows(),
            vectors: vectors.as_ref(),
        };
        let robust = N::robustness(settings).map(|robustness| {
            let targets = train.iter().map(Row::target);
            (
                robustness,
                robustness.propensities(vocabulary.rows(), targets),
            )
        });
        let mut builder = VariableBuilder::from_seed(task.seed, &Device::Cpu);
        let model = Model {
            network: N::build(settings, items, &mut builder)?,
            variables: builder.finish()?,
            loss: shared.loss,
            robust,
        };
        let options = shared.fit_options(task.seed);
        let fitted = fit(&model, &train, &valid, &options, observer)?;
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

    fn score(settings: &N::Settings, task: &ScoreTask<'_>) -> Result<Scores, RecommenderError> {
        let shared = settings.shared();
        let vocabulary = Vocabulary::load(task.folder)?;
        let vectors = match task.item_vectors {
            Some(vectors) => Some(vectors.table(&vocabulary)?),
            None => None,
        };
        let items = Items {
            rows: vocabulary.rows(),
            vectors: vectors.as_ref(),
        };
        let path = task.folder.join("model.safetensors");
        let mut builder = VariableBuilder::from_file(&path, &Device::Cpu)?;
        let model = Model {
            network: N::build(settings, items, &mut builder)?,
            variables: builder.finish()?,
            // Losses have no part in scores.
            loss: shared.loss,
            robust: None,
        };
        let encoder = Encoder {
            vocabulary: &vocabulary,
            length: shared.history_length,
            padding: shared.padding,
        };
        let (rows, unknown) = encoder.encode(task.samples);
        let likes = score_all(&model, &rows, &Silent)?;
        Ok(Scores { likes, unknown })
    }
}
