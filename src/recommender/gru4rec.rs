//! GRU4Rec: a GRU over the history, a linear layer to the items.
//!
//! Paper: Hidasi, Karatzoglou, Baltrunas and Tikk, "Session-based recommendations with
//! recurrent neural networks", ICLR 2016. Reference: the GRU of the DROS repository, on which
//! TALLRec's authors say they built their baselines: embedding ~ N(0, 0.01²), `torch.nn.GRU`,
//! `torch.nn.Linear` to all items, the target's output as the score, sigmoid on top.
//!
//! Deviates: only the target's row of the output layer is computed (the loss sees no other);
//! dropout, which TALLRec names and does not place, acts on the embedded history; the width of
//! the feedback embedding, the batch size, the number of epochs, the patience and how often
//! validation comes are ours, the paper does not tell them.

use std::path::Path;

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sequence::{Batch, Network, Padding, fit_network, score_network};
use super::{FitReport, FitTask, Method, RecommenderError, Scores, SettingError};
use crate::base::Random;
use crate::data::Sample;
use crate::nn::gru::Purpose;
use crate::nn::{Dropout, Embedding, Gru, Init, Linear, NnError, VariableBuilder};
use crate::train::{AdamOptions, FitOptions, Loss, Observer};

/// The method; see the module.
#[derive(Debug)]
pub struct Gru4Rec;

/// What the network sees of the history's likes and dislikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Feedback {
    /// An embedding of like or dislike, concatenated to the item's.
    Embedded,
    /// Nothing: items only.
    None,
}

/// Settings of [`Gru4Rec`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Gru4RecSettings {
    /// Width of item embeddings and of the GRU's state (numbers). Paper: 64.
    pub hidden_size: usize,
    /// GRU layers. Paper: 1 (4 for GRU-BERT).
    pub layers: usize,
    /// Share of the embedded history set to zero in training, in [0, 1). Paper: 0.1.
    pub dropout: f64,
    /// Step size of Adam. Paper: 1e-3.
    pub learning_rate: f64,
    /// L2 added to the gradient, λ · weight. Paper: the best of 1e-3 … 1e-7 on validation.
    pub weight_decay: f64,
    /// Rows per step. Paper: not told.
    pub batch_size: usize,
    /// Epochs at most. Paper: not told.
    pub epochs: usize,
    /// Epochs without a better validation AUC before stopping. With 16 shots an epoch is one
    /// step, so a short patience would keep an untrained network. Paper: not told.
    pub patience: usize,
    /// Steps at least between two validations. With 16 shots an epoch is one step, and scoring a
    /// thousand validation rows after each costs many times the step. Paper: not told.
    pub evaluate_every: usize,
    /// What is minimised. Paper: mse, after a sigmoid.
    pub loss: Loss,
    /// What the network sees of likes and dislikes. Paper (preprint 3.1.5): embedded.
    pub feedback: Feedback,
    /// Width of the feedback embedding (numbers). Paper: not told.
    pub feedback_size: usize,
    /// What fills histories shorter than `history_length`. Paper (preprint 3.1.5): `last_item`.
    pub padding: Padding,
    /// History items the network sees, the most recent ones. Paper: 10.
    pub history_length: usize,
}

impl Default for Gru4RecSettings {
    fn default() -> Self {
        Self {
            hidden_size: 64,
            layers: 1,
            dropout: 0.1,
            learning_rate: 1e-3,
            weight_decay: 1e-5,
            batch_size: 32,
            epochs: 300,
            patience: 50,
            evaluate_every: 8,
            loss: Loss::Mse,
            feedback: Feedback::Embedded,
            feedback_size: 8,
            padding: Padding::LastItem,
            history_length: 10,
        }
    }
}

impl Method for Gru4Rec {
    type Settings = Gru4RecSettings;

    const NAME: &'static str = "gru4rec";
    const SUMMARY: &'static str = "A GRU over the history's item embeddings (Hidasi et al., 2016).";
    const LEARNS_ITEM_IDS: bool = true;

    fn check(settings: &Gru4RecSettings) -> Result<(), SettingError> {
        let at_least_one = [
            ("hidden_size", settings.hidden_size),
            ("layers", settings.layers),
            ("batch_size", settings.batch_size),
            ("epochs", settings.epochs),
            ("patience", settings.patience),
            ("evaluate_every", settings.evaluate_every),
            ("feedback_size", settings.feedback_size),
            ("history_length", settings.history_length),
        ];
        let wrong = |path: &str, message: &str| SettingError {
            path: path.to_owned(),
            message: message.to_owned(),
        };
        if let Some((path, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
            return Err(wrong(path, "must be at least 1"));
        }
        if !(0.0..1.0).contains(&settings.dropout) {
            return Err(wrong("dropout", "must be at least 0 and below 1"));
        }
        if !(settings.learning_rate.is_finite() && settings.learning_rate > 0.0) {
            return Err(wrong("learning_rate", "must be above 0"));
        }
        if !(settings.weight_decay.is_finite() && settings.weight_decay >= 0.0) {
            return Err(wrong("weight_decay", "must be at least 0"));
        }
        Ok(())
    }

    fn fit(
        settings: &Gru4RecSettings,
        task: &FitTask<'_>,
        observer: &mut dyn Observer,
    ) -> Result<FitReport, RecommenderError> {
        let options = FitOptions {
            adam: AdamOptions {
                learning_rate: settings.learning_rate,
                weight_decay: settings.weight_decay,
                ..AdamOptions::default()
            },
            batch_size: settings.batch_size,
            epochs: settings.epochs,
            patience: settings.patience,
            evaluate_every: settings.evaluate_every,
            seed: task.seed,
        };
        fit_network::<GruNetwork>(settings, settings.loss, &options, task, observer)
    }

    fn score(
        settings: &Gru4RecSettings,
        folder: &Path,
        samples: &[Sample],
    ) -> Result<Scores, RecommenderError> {
        score_network::<GruNetwork>(settings, folder, samples)
    }
}

/// The network, with the variable names of the reference where it has them.
#[derive(Debug)]
struct GruNetwork {
    items: Embedding,
    feedback: Option<Embedding>,
    dropout: Dropout,
    gru: Gru,
    output: Linear,
}

impl Network for GruNetwork {
    type Settings = Gru4RecSettings;

    fn build(
        settings: &Gru4RecSettings,
        items: usize,
        builder: &mut VariableBuilder,
    ) -> Result<Self, NnError> {
        let hidden = settings.hidden_size;
        let init = Init::Normal { deviation: 0.01 };
        let (feedback, inputs) = match settings.feedback {
            Feedback::None => (None, hidden),
            Feedback::Embedded => {
                let width = settings.feedback_size;
                let table = Embedding::new(builder, "feedback_embeddings", 2, width, init)?;
                (Some(table), hidden + width)
            }
        };
        Ok(Self {
            items: Embedding::new(builder, "item_embeddings", items, hidden, init)?,
            feedback,
            dropout: Dropout::new(settings.dropout),
            gru: Gru::new(builder, "gru", inputs, hidden, settings.layers)?,
            output: Linear::new(builder, "s_fc", hidden, items)?,
        })
    }

    fn logits(&self, batch: &Batch, random: Option<&mut Random>) -> Result<Tensor, NnError> {
        let mut tables = vec![(&self.items, &batch.items)];
        if let Some(table) = &self.feedback {
            tables.push((table, &batch.feedback));
        }
        let purpose = if random.is_some() {
            Purpose::Training
        } else {
            Purpose::Scoring
        };
        let dropping = self.dropout.draw(random);
        let states = self
            .gru
            .forward_looked_up(&tables, &batch.lengths, dropping, purpose)?;
        let state = states.into_last()?; // [B, H]
        self.output.forward_chosen(&state, &batch.targets) // [B]
    }

    fn history(settings: &Gru4RecSettings) -> (usize, Padding) {
        (settings.history_length, settings.padding)
    }
}
