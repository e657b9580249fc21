//! What a training does ([`TuneOptions`]) and what it may use ([`Resources`]).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Schedule, TuneError};

/// Which tokens of a row are learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LossOn {
    /// All but the first: prompt and answer (`train_on_inputs: true`, the released code).
    Whole,
    /// Those of the answer (the paper's Eq. 1 and 2).
    Answer,
}

/// How the cross-entropies of a step become one loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// The mean over the targets of each micro-batch; these added and divided by `batch_size` /
    /// `micro_batch_size`, even where there are fewer micro-batches. Micro-batches left over at
    /// the end of an epoch go into the first step of the next. Transformers 4.28, the released
    /// code.
    MicroMean,
    /// The mean over all targets of the step; an epoch's last step may have fewer rows.
    /// Transformers 4.46 and later.
    TokenMean,
    /// The mean over the rows of the step of each row's mean over its targets.
    RowMean,
}

/// When the validation rows are scored; after the last step they always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Evaluate {
    /// After every so many optimiser steps.
    Steps(usize),
    /// After each pass over the training rows.
    Epoch,
    /// The rule of the released script: every 10 steps for up to 128 training rows, above that
    /// every rows / 128 · 5 steps.
    Released,
}

impl Evaluate {
    /// The released script's interval in steps for K training samples.
    #[must_use]
    pub fn released_interval(samples: usize) -> usize {
        if samples <= 128 {
            10
        } else {
            (samples * 5 / 128).max(1)
        }
    }
}

/// What tells a better state from a worse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SelectBy {
    /// A higher validation AUC.
    Auc,
    /// A lower validation loss.
    Loss,
}

/// Which state the model is left with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The best on validation, the earliest of equals; the last without validation.
    Best,
    /// The last. The released code saves the best and tests the last.
    Last,
}

/// What a training does. Every field changes the result.
///
/// Defaults are those of TALLRec's rec-tuning as released, but for `keep`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TuneOptions {
    /// The highest learning rate; above 0 and below 1.
    pub learning_rate: f64,
    /// Decoupled weight decay of AdamW; parameters of one dimension have none.
    pub weight_decay: f64,
    /// Decay of AdamW's first moment, in [0, 1).
    pub beta_1: f64,
    /// Decay of AdamW's second moment, in [0, 1).
    pub beta_2: f64,
    /// Added to the root of AdamW's second moment; above 0.
    pub epsilon: f64,
    /// Steps in which the learning rate rises from 0.
    pub warmup_steps: usize,
    /// What the learning rate does after that.
    pub schedule: Schedule,
    /// The longest gradient; longer ones are shortened to it. `null` for any length.
    pub clip: Option<f64>,
    /// Passes over the training rows, at least 1.
    pub epochs: usize,
    /// Optimiser steps in place of `epochs`, at least 1.
    pub max_steps: Option<usize>,
    /// Rows of an optimiser step, at least 1.
    pub batch_size: usize,
    /// Rows that `reduction: micro_mean` takes the mean of; divides `batch_size`. Without meaning
    /// for other reductions.
    pub micro_batch_size: usize,
    /// Which tokens of a row are learnt.
    pub loss_on: LossOn,
    /// How the cross-entropies of a step become one loss.
    pub reduction: Reduction,
    /// A new order of the rows in every epoch; without it they come as they are given, which is
    /// how a curriculum is learnt.
    pub shuffle: bool,
    /// Rows of similar length into one step, as transformers' `LengthGroupedSampler` does.
    pub group_by_length: bool,
    /// Compute the beginning that all rows share once for all rows of a pass. Faster; dropout on
    /// it is then shared by those rows.
    pub shared_prefix: bool,
    /// Drives the order of rows, dropout and the choice of validation rows.
    pub seed: u64,
    /// When the validation rows are scored.
    pub evaluate: Evaluate,
    /// What tells a better state from a worse one.
    pub select_by: SelectBy,
    /// Evaluations in a row without a better state before stopping; 0 for never.
    pub patience: usize,
    /// Which state the model is left with.
    pub keep: Keep,
    /// Score this many validation rows, drawn by the seed; all by default.
    pub max_validation_rows: Option<usize>,
}

impl Default for TuneOptions {
    fn default() -> Self {
        Self {
            learning_rate: 1e-4,
            weight_decay: 0.0,
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
            warmup_steps: 20,
            schedule: Schedule::Linear,
            clip: Some(1.0),
            epochs: 200,
            max_steps: None,
            batch_size: 128,
            micro_batch_size: 32,
            loss_on: LossOn::Whole,
            reduction: Reduction::MicroMean,
            shuffle: true,
            group_by_length: false,
            shared_prefix: false,
            seed: 42,
            evaluate: Evaluate::Released,
            select_by: SelectBy::Auc,
            patience: 10,
            keep: Keep::Best,
            max_validation_rows: None,
        }
    }
}

impl TuneOptions {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// The field's name and what is wrong with it, as `StageKind::check` wants it.
    pub fn check(&self) -> Result<(), (String, String)> {
        let wrong = |field: &str, message: String| Err((field.to_owned(), message));
        let open = |value: f64| value > 0.0 && value < 1.0;
        if !open(self.learning_rate) {
            return wrong(
                "learning_rate",
                format!(
                    "is {}, must be above 0 and below 1 (the paper's is 1e-4)",
                    self.learning_rate
                ),
            );
        }
        if !(0.0..1.0).contains(&self.weight_decay) {
            return wrong(
                "weight_decay",
                format!("is {}, must be from 0 to below 1", self.weight_decay),
            );
        }
        for (field, beta) in [("beta_1", self.beta_1), ("beta_2", self.beta_2)] {
            if !(0.0..1.0).contains(&beta) {
                return wrong(field, format!("is {beta}, must be from 0 to below 1"));
            }
        }
        if !open(self.epsilon) {
            return wrong(
                "epsilon",
                format!("is {}, must be above 0 and below 1", self.epsilon),
            );
        }
        if let Some(clip) = self.clip
            && !(clip.is_finite() && clip > 0.0)
        {
            return wrong(
                "clip",
                format!("is {clip}, must be above 0, or null for none"),
            );
        }
        for (field, value) in [
            ("epochs", self.epochs),
            ("batch_size", self.batch_size),
            ("micro_batch_size", self.micro_batch_size),
            ("max_steps", self.max_steps.unwrap_or(1)),
            ("max_validation_rows", self.max_validation_rows.unwrap_or(1)),
        ] {
            if value == 0 {
                return wrong(field, "is 0, must be at least 1".to_owned());
            }
        }
        if self.reduction == Reduction::MicroMean
            && !self.batch_size.is_multiple_of(self.micro_batch_size)
        {
            return wrong(
                "micro_batch_size",
                format!(
                    "is {}, must divide `batch_size`, which is {}, under `reduction: micro_mean`",
                    self.micro_batch_size, self.batch_size
                ),
            );
        }
        if self.evaluate == Evaluate::Steps(0) {
            return wrong("evaluate", "steps: 0, must be at least 1".to_owned());
        }
        Ok(())
    }

    /// [`TuneOptions::check`] as an error of a training.
    pub(super) fn checked(&self) -> Result<(), TuneError> {
        self.check()
            .map_err(|(field, message)| TuneError::Options { field, message })
    }

    /// Micro-batches of a full step: what `micro_mean` divides by.
    #[must_use]
    pub fn accumulation(&self) -> usize {
        match self.reduction {
            Reduction::MicroMean => (self.batch_size / self.micro_batch_size.max(1)).max(1),
            Reduction::TokenMean | Reduction::RowMean => 1,
        }
    }
}

/// What a training may use and when it saves its state.
///
/// No field changes what is computed, so a stage leaves all of them out of its key: layers
/// checkpointed or not and saving change no bit; `pass_tokens` changes the order in which
/// gradients are added, and so last digits only (with `shared_prefix` and dropout also which rows
/// share a mask).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// Tokens in one pass through the model: bounds memory. A longer row passes alone.
    pub pass_tokens: usize,
    /// Compute the inside of layers again on the way back: less memory for a third more work.
    pub checkpoint_layers: bool,
    /// Save the state after so many seconds; 0 for never.
    pub save_every_s: u64,
    /// Save the state after so many optimiser steps; 0 for never.
    pub save_every_steps: usize,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            pass_tokens: 4096,
            checkpoint_layers: false,
            save_every_s: 300,
            save_every_steps: 0,
        }
    }
}

impl Resources {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// The field's name and what is wrong with it.
    pub fn check(&self) -> Result<(), (String, String)> {
        if self.pass_tokens == 0 {
            return Err((
                "pass_tokens".to_owned(),
                "is 0, must be at least 1".to_owned(),
            ));
        }
        Ok(())
    }

    /// [`Resources::check`] as an error of a training.
    pub(super) fn checked(&self) -> Result<(), TuneError> {
        self.check()
            .map_err(|(field, message)| TuneError::Options { field, message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_read_as_people_write_them() {
        let read = |text: &str| serde_json::from_str::<TuneOptions>(text);
        assert_eq!(read("{}").expect("defaults"), TuneOptions::default());
        let options = read(r#"{"evaluate": {"steps": 7}, "clip": null, "loss_on": "answer"}"#);
        let options = options.expect("fits");
        assert_eq!(options.evaluate, Evaluate::Steps(7));
        assert_eq!((options.clip, options.loss_on), (None, LossOn::Answer));
        let text = serde_json::to_string(&options).expect("json");
        assert_eq!(read(&text).expect("reads back"), options);
        assert!(read(r#"{"learning": 1}"#).is_err());
        assert!(TuneOptions::default().check().is_ok());
        let schema = serde_json::to_value(schemars::schema_for!(TuneOptions)).expect("json");
        let fields = schema["properties"].as_object().expect("fields");
        assert!(
            fields
                .values()
                .all(|field| field.get("description").is_some())
        );
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        let field = |change: fn(&mut TuneOptions)| {
            let mut options = TuneOptions::default();
            change(&mut options);
            options.check().expect_err("out of range").0
        };
        assert_eq!(field(|o| o.learning_rate = f64::NAN), "learning_rate");
        assert_eq!(field(|o| o.weight_decay = -0.1), "weight_decay");
        assert_eq!(field(|o| o.beta_2 = 1.0), "beta_2");
        assert_eq!(field(|o| o.epsilon = 0.0), "epsilon");
        assert_eq!(field(|o| o.clip = Some(0.0)), "clip");
        assert_eq!(field(|o| o.batch_size = 0), "batch_size");
        assert_eq!(field(|o| o.max_steps = Some(0)), "max_steps");
        assert_eq!(field(|o| o.micro_batch_size = 48), "micro_batch_size");
        assert_eq!(field(|o| o.evaluate = Evaluate::Steps(0)), "evaluate");
        let mut options = TuneOptions {
            micro_batch_size: 48,
            ..TuneOptions::default()
        };
        options.reduction = Reduction::TokenMean;
        assert!(options.check().is_ok());
    }

    #[test]
    fn the_released_interval() {
        let intervals = [16, 64, 128, 256, 1024].map(Evaluate::released_interval);
        assert_eq!(intervals, [10, 10, 10, 10, 40]);
    }
}
