//! Settings that every sequence method has, written once.
//!
//! serde's `flatten` would share them too, but it cannot refuse unknown names and it takes the
//! place out of messages. So `sequence_settings!` writes a flat struct with the shared fields before
//! a method's own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Padding;
use crate::recommender::SettingError;
use crate::train::{AdamOptions, FitOptions, Loss};

/// What the network sees of the history's likes and dislikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Feedback {
    /// An embedding of like or dislike, concatenated to the item's.
    Embedded,
    /// Nothing: items only.
    None,
}

/// The shared fields of a method's settings, by value; what they mean stands at the fields that
/// `sequence_settings!` writes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(
    missing_docs,
    reason = "documented where `sequence_settings!` writes them"
)]
pub struct Shared {
    pub hidden_size: usize,
    pub dropout: f64,
    pub learning_rate: f64,
    pub weight_decay: f64,
    pub batch_size: usize,
    pub epochs: usize,
    pub patience: usize,
    pub evaluate_every: usize,
    pub loss: Loss,
    pub feedback: Feedback,
    pub feedback_size: usize,
    pub padding: Padding,
    pub history_length: usize,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            hidden_size: 64,
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

/// Settings made by `sequence_settings!`.
pub trait SequenceSettings {
    /// The fields all sequence methods have.
    fn shared(&self) -> Shared;
}

impl Shared {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn check(&self) -> Result<(), SettingError> {
        at_least_one(&[
            ("hidden_size", self.hidden_size),
            ("batch_size", self.batch_size),
            ("epochs", self.epochs),
            ("patience", self.patience),
            ("evaluate_every", self.evaluate_every),
            ("feedback_size", self.feedback_size),
            ("history_length", self.history_length),
        ])?;
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(wrong("dropout", "must be at least 0 and below 1"));
        }
        above_zero("learning_rate", self.learning_rate)?;
        not_negative("weight_decay", self.weight_decay)
    }

    /// How the one training loop is to train.
    #[must_use]
    pub fn fit_options(&self, seed: u64) -> FitOptions {
        FitOptions {
            adam: AdamOptions {
                learning_rate: self.learning_rate,
                weight_decay: self.weight_decay,
                ..AdamOptions::default()
            },
            batch_size: self.batch_size,
            epochs: self.epochs,
            patience: self.patience,
            evaluate_every: self.evaluate_every,
            seed,
        }
    }
}

/// A setting and what is wrong with it.
#[must_use]
pub fn wrong(path: &str, message: &str) -> SettingError {
    SettingError {
        path: path.to_owned(),
        message: message.to_owned(),
    }
}

/// Refuses counts of zero.
///
/// # Errors
/// The first of them.
pub fn at_least_one(counts: &[(&str, usize)]) -> Result<(), SettingError> {
    match counts.iter().find(|(_, count)| *count == 0) {
        Some((path, _)) => Err(wrong(path, "must be at least 1")),
        None => Ok(()),
    }
}

/// Refuses what is not a finite number above 0.
///
/// # Errors
/// With the setting's name.
pub fn above_zero(path: &str, value: f64) -> Result<(), SettingError> {
    if value.is_finite() && value > 0.0 {
        Ok(())
    } else {
        Err(wrong(path, "must be above 0"))
    }
}

/// Refuses what is not a finite number of at least 0.
///
/// # Errors
/// With the setting's name.
pub fn not_negative(path: &str, value: f64) -> Result<(), SettingError> {
    if value.is_finite() && value >= 0.0 {
        Ok(())
    } else {
        Err(wrong(path, "must be at least 0"))
    }
}

/// Writes the settings of a sequence method: a struct with the shared fields and the method's own,
/// each with its default; `defaults {…}` gives shared fields other defaults.
///
/// ```ignore
/// sequence_settings! {
///     /// Settings of [`Gru4Rec`].
///     pub struct Gru4RecSettings {
///         /// GRU layers. Paper: 1.
///         pub layers: usize = 1,
///     }
///     defaults { dropout: 0.2 }
/// }
/// ```
macro_rules! sequence_settings {
    (
        $(#[$about:meta])*
        pub struct $name:ident {
            $($(#[$doc:meta])* pub $field:ident: $type:ty = $default:expr,)*
        }
        $(defaults { $($changed:ident: $value:expr),+ $(,)? })?
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, ::serde::Serialize, ::serde::Deserialize, ::schemars::JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            /// Width of item embeddings and of what the network makes of them (numbers).
            /// Paper: 64; 1024 for the GRU of the BERT variants.
            pub hidden_size: usize,
            $($(#[$doc])* pub $field: $type,)*
            /// Share of numbers set to zero in training, in [0, 1): of the embedded history
            /// (GRU, `SASRec`), of attention weights and the feed-forward's output (`SASRec`), of
            /// what the filters found (Caser). Paper: 0.1.
            pub dropout: f64,
            /// Step size of Adam. Paper: 1e-3.
            pub learning_rate: f64,
            /// L2 added to the gradient, λ · weight. Paper: the best of 1e-3 … 1e-7 on validation.
            pub weight_decay: f64,
            /// Rows per step. Paper: not told.
            pub batch_size: usize,
            /// Epochs at most. Paper: not told.
            pub epochs: usize,
            /// Epochs without a better validation AUC before stopping. With 16 shots an epoch is
            /// one step, so a short patience would keep an untrained network. Paper: not told.
            pub patience: usize,
            /// Steps at least between two validations. With 16 shots an epoch is one step, and
            /// scoring a thousand validation rows after each costs many times the step. Paper: not
            /// told.
            pub evaluate_every: usize,
            /// What is minimised. Paper: mse, after a sigmoid.
            pub loss: $crate::train::Loss,
            /// What the network sees of likes and dislikes. Paper (preprint 3.1.5): embedded.
            pub feedback: $crate::recommender::sequence::Feedback,
            /// Width of the feedback embedding (numbers). Paper: not told.
            pub feedback_size: usize,
            /// What fills histories shorter than `history_length`. Paper (preprint 3.1.5):
            /// `last_item`.
            pub padding: $crate::recommender::sequence::Padding,
            /// History items the network sees, the most recent ones. Paper: 10.
            pub history_length: usize,
        }

        impl Default for $name {
            fn default() -> Self {
                let shared = $crate::recommender::sequence::Shared {
                    $($($changed: $value,)+)?
                    ..$crate::recommender::sequence::Shared::default()
                };
                Self {
                    hidden_size: shared.hidden_size,
                    dropout: shared.dropout,
                    learning_rate: shared.learning_rate,
                    weight_decay: shared.weight_decay,
                    batch_size: shared.batch_size,
                    epochs: shared.epochs,
                    patience: shared.patience,
                    evaluate_every: shared.evaluate_every,
                    loss: shared.loss,
                    feedback: shared.feedback,
                    feedback_size: shared.feedback_size,
                    padding: shared.padding,
                    history_length: shared.history_length,
                    $($field: $default,)*
                }
            }
        }

        impl $crate::recommender::sequence::SequenceSettings for $name {
            fn shared(&self) -> $crate::recommender::sequence::Shared {
                $crate::recommender::sequence::Shared {
                    hidden_size: self.hidden_size,
                    dropout: self.dropout,
                    learning_rate: self.learning_rate,
                    weight_decay: self.weight_decay,
                    batch_size: self.batch_size,
                    epochs: self.epochs,
                    patience: self.patience,
                    evaluate_every: self.evaluate_every,
                    loss: self.loss,
                    feedback: self.feedback,
                    feedback_size: self.feedback_size,
                    padding: self.padding,
                    history_length: self.history_length,
                }
            }
        }
    };
}
pub(crate) use sequence_settings;
