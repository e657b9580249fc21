//! The parameters that both kinds of tuning take.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::StageError;
use super::language_model::{Read, layered, nothing};
use super::needs::Passes;
use super::rec_tune::not_checked;
use crate::language_model::{LoraOptions, Precision};
use crate::prompt::{Cutoff, Limit};
use crate::tuning::{Keep, LossOn, Reduction, Resources, SelectBy, TuneOptions};

/// When a training is validated, in the words of `fidelity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum EvaluateEvery {
    /// After every epoch.
    Epoch,
    /// By the released script's rule.
    Released,
}

/// What the seed decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SeedDecides {
    /// The draw of samples and the training.
    Everything,
    /// The draw alone; the training's own seed stays what `settings` say, 42 by default.
    Draw,
}

/// How many validation rows a training looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ValidationSize {
    /// All.
    #[default]
    Full,
    /// As many as training rows.
    K,
}

/// Which validation sets a training on both domains looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Both {
    /// All that are connected.
    #[default]
    Both,
    /// The first.
    First,
}

/// Which places of the validation texts are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum EvaluatedRows {
    /// Where each text's answer begins.
    #[default]
    Answer,
    /// Each third `Yes` or `No` of a batch of eight, as the released code has it.
    EveryThird,
}

impl EvaluatedRows {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde asks for a reference"
    )]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The experiment's fidelity keys that concern a tuning; those left out change nothing.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Fidelity {
    /// `loss.on`.
    #[serde(skip_serializing)]
    loss_on: Option<LossOn>,
    /// `batch.reduction`.
    #[serde(skip_serializing)]
    reduction: Option<Reduction>,
    /// `eval.every`.
    #[serde(skip_serializing)]
    eval_every: Option<EvaluateEvery>,
    /// `early_stop`.
    #[serde(skip_serializing)]
    early_stop: Option<SelectBy>,
    /// `checkpoint`.
    #[serde(skip_serializing)]
    checkpoint: Option<Keep>,
    /// `seed`.
    #[serde(skip_serializing)]
    seed: Option<SeedDecides>,
    /// `validation.size`.
    pub(super) validation_size: ValidationSize,
    /// `both`.
    pub(super) both: Both,
    /// `prompt.cutoff`.
    pub(super) cutoff: Cutoff,
    /// `eval.rows`. Left out of a key where it is the default, which it was before it had a name.
    #[serde(skip_serializing_if = "EvaluatedRows::is_default")]
    pub(super) evaluated_rows: EvaluatedRows,
}

impl Fidelity {
    /// The keys that are settings of the training.
    fn settings(&self) -> Map<String, Value> {
        let mut settings = Map::new();
        let mut put = |name: &str, value: Value| {
            if !value.is_null() {
                settings.insert(name.to_owned(), value);
            }
        };
        put("loss_on", json!(self.loss_on));
        put("reduction", json!(self.reduction));
        put("evaluate", json!(self.eval_every));
        put("keep", json!(self.checkpoint));
        if let Some(by) = self.early_stop {
            put("select_by", json!(by));
            let patience = if by == SelectBy::Loss { 5 } else { 10 };
            put("patience", json!(patience));
        }
        settings
    }
}

/// Parameters of a tuning as people write them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    /// Drives initial values, the order of rows and dropout, unless fidelity `seed: draw` says
    /// that it only draws samples.
    #[serde(default)]
    seed: Option<u64>,
    /// Fidelity keys; they lie below `settings`.
    #[serde(default)]
    fidelity: Fidelity,
    /// The adapter: `r`, `alpha`, `dropout`, `target_modules`.
    #[serde(default = "nothing")]
    #[schemars(with = "LoraOptions")]
    lora: Value,
    /// How the training goes; what is left out has the default of its kind of tuning.
    #[serde(default = "nothing")]
    #[schemars(with = "TuneOptions")]
    settings: Value,
    /// Settings that go over `settings`, for the axis of a search such as `learning_rate`; `r`,
    /// `alpha`, `dropout` and `target_modules` go over `lora`.
    #[serde(default = "nothing")]
    #[schemars(with = "Map<String, Value>")]
    overrides: Value,
    /// Tokens of a text at most.
    #[serde(default = "cutoff_length")]
    cutoff_length: usize,
    /// What the training may use; changes no result.
    #[serde(default = "nothing")]
    #[schemars(with = "Resources")]
    resources: Value,
    /// In which numbers the model computes: `{compute: bf16, weights: q8_0}`.
    #[serde(default)]
    precision: Precision,
    /// Also write a `TensorBoard` event file.
    #[serde(default)]
    tensorboard: bool,
}

/// Resources of the same training with less memory: half the tokens in a pass, which is half the
/// micro-batch and twice the accumulation, and at last layers that are computed again.
pub(super) fn lighter(resources: &Read<Resources>) -> Option<(Read<Resources>, String)> {
    let Read::Good(resources) = resources else {
        return None;
    };
    let mut less = resources.clone();
    let words = if let Some((tokens, words)) = fewer_tokens(resources.pass_tokens) {
        less.pass_tokens = tokens;
        words
    } else if resources.checkpoint_layers {
        return None;
    } else {
        less.checkpoint_layers = true;
        "checkpoint_layers: layers are computed again on the way back".to_owned()
    };
    Some((Read::Good(less), words))
}

/// What passes are cut to.
pub(super) fn passes(resources: &Read<Resources>) -> Option<Passes> {
    let Read::Good(resources) = resources else {
        return None;
    };
    Some(Passes {
        pass_tokens: resources.pass_tokens,
        checkpoint_layers: Some(resources.checkpoint_layers),
    })
}

/// The same resources with other passes.
pub(super) fn with_passes(resources: &Read<Resources>, passes: Passes) -> Read<Resources> {
    let Read::Good(resources) = resources else {
        return resources.clone();
    };
    Read::Good(Resources {
        pass_tokens: passes.pass_tokens,
        checkpoint_layers: passes
            .checkpoint_layers
            .unwrap_or(resources.checkpoint_layers),
        ..resources.clone()
    })
}

/// Half the tokens in a pass, down to one text at a time.
pub(super) fn fewer_tokens(tokens: usize) -> Option<(usize, String)> {
    match tokens {
        0 | 1 => None,
        // Shorter than most prompts: each text passes alone anyway.
        2..=128 => Some((1, format!("pass_tokens {tokens} → 1: one text in a pass"))),
        _ => {
            let half = tokens / 2;
            Some((
                half,
                format!("pass_tokens {tokens} → {half}: half as much in a pass"),
            ))
        }
    }
}

fn cutoff_length() -> usize {
    512
}

/// Parameters of a tuning after defaults.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Complete {
    pub(super) fidelity: Fidelity,
    pub(super) lora: Read<LoraOptions>,
    pub(super) settings: Read<TuneOptions>,
    pub(super) cutoff_length: usize,
    pub(super) resources: Read<Resources>,
    /// Left out of a key where it is what everything was before there was a choice.
    #[serde(skip_serializing_if = "Precision::is_default")]
    pub(super) precision: Precision,
    pub(super) tensorboard: bool,
}

/// Names of [`LoraOptions`]' fields.
const LORA: [&str; 4] = ["r", "alpha", "dropout", "target_modules"];

impl Complete {
    /// Puts the layers over `defaults`.
    pub(super) fn new(written: Written, defaults: &TuneOptions) -> Self {
        let mut below = json!(defaults);
        if let (Some(seed), Some(map)) = (written.seed, below.as_object_mut())
            && written.fidelity.seed != Some(SeedDecides::Draw)
        {
            map.insert("seed".to_owned(), json!(seed));
        }
        let (mut for_lora, mut for_settings) = (nothing(), written.overrides);
        if let (Value::Object(lora), Value::Object(settings)) = (&mut for_lora, &mut for_settings) {
            for name in LORA {
                if let Some(value) = settings.shift_remove(name) {
                    lora.insert(name.to_owned(), value);
                }
            }
        }
        let fidelity = Value::Object(written.fidelity.settings());
        Self {
            fidelity: written.fidelity,
            lora: Read::from_value(layered([
                json!(LoraOptions::default()),
                written.lora,
                for_lora,
            ])),
            settings: Read::from_value(layered([below, fidelity, written.settings, for_settings])),
            cutoff_length: written.cutoff_length,
            resources: Read::from_value(layered([json!(Resources::default()), written.resources])),
            precision: written.precision,
            tensorboard: written.tensorboard,
        }
    }

    /// Everything a type cannot say.
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        let below = |name: &'static str| {
            move |(field, message): (String, String)| (format!("{name}.{field}"), message)
        };
        let settings = self.settings.good("settings")?;
        settings.check().map_err(below("settings"))?;
        let lora = self.lora.good("lora")?;
        lora.check().map_err(below("lora"))?;
        let resources = self.resources.good("resources")?;
        resources.check().map_err(below("resources"))?;
        if self.cutoff_length < 16 {
            return Err((
                "cutoff_length".to_owned(),
                format!("{} tokens hold no prompt, 16 at least", self.cutoff_length),
            ));
        }
        Ok(())
    }

    /// The same training with less memory.
    pub(super) fn lighter(&self) -> Option<(Self, String)> {
        let (resources, words) = lighter(&self.resources)?;
        let mut lighter = self.clone();
        lighter.resources = resources;
        Some((lighter, words))
    }

    /// What its passes are cut to.
    pub(super) fn passes(&self) -> Option<Passes> {
        passes(&self.resources)
    }

    /// The same training with other passes.
    pub(super) fn with_passes(&self, passes: Passes) -> Self {
        Self {
            resources: with_passes(&self.resources, passes),
            ..self.clone()
        }
    }

    /// Settings and adapter, once checked.
    pub(super) fn read(&self) -> Result<(&TuneOptions, &LoraOptions), StageError> {
        let settings = self.settings.good("settings").map_err(not_checked)?;
        let lora = self.lora.good("lora").map_err(not_checked)?;
        Ok((settings, lora))
    }

    /// The limit of texts.
    pub(super) fn limit(&self) -> Limit {
        Limit {
            tokens: self.cutoff_length,
            cutoff: self.fidelity.cutoff,
        }
    }
}
