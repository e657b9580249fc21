//! What a stage kind is: [`StageKind`] for its author, [`ErasedStage`] for the engine.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::needs::{Known, KnownLengths, Needs, Passes, Unknown};
use super::{StageContext, StageError};
use crate::api::Tokens;
use crate::base::{Lane, Limits};

/// How many artifacts an input takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// Exactly one.
    One,
    /// One or none.
    Optional,
    /// One or more (a list, or a gather `over` axes).
    Many,
    /// Any number, none included.
    AnyNumber,
    /// Stands for any name, any number: the stage does not know its inputs' names beforehand.
    AnyName,
}

/// An input a stage kind takes.
#[derive(Debug, Clone, Copy)]
pub struct InputDeclaration {
    /// Its name under `inputs:`.
    pub name: &'static str,
    /// How many artifacts it takes.
    pub arity: Arity,
    /// What it is, in one phrase.
    pub about: &'static str,
}

impl InputDeclaration {
    /// An input that takes exactly one artifact.
    #[must_use]
    pub const fn one(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            arity: Arity::One,
            about,
        }
    }

    /// An input that takes one artifact or none.
    #[must_use]
    pub const fn optional(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            arity: Arity::Optional,
            about,
        }
    }

    /// An input that takes any number of artifacts.
    #[must_use]
    pub const fn any_number(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            arity: Arity::AnyNumber,
            about,
        }
    }

    /// An input that takes one or more artifacts.
    #[must_use]
    pub const fn many(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            arity: Arity::Many,
            about,
        }
    }
}

/// An artifact a stage kind makes: a file or a folder in its scratch directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputDeclaration {
    /// Its name, as in `stage/name`.
    pub name: String,
    /// File or folder name in the scratch directory; its extension says how `runner cat` shows it.
    pub file: String,
}

impl OutputDeclaration {
    /// Declares the artifact `name`, written as `file`.
    #[must_use]
    pub fn new(name: &str, file: &str) -> Self {
        Self {
            name: name.to_owned(),
            file: file.to_owned(),
        }
    }
}

/// What a stage would ask of a model by API, and about what that costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Requests {
    /// The model.
    pub model: String,
    /// Rows it has to answer.
    pub rows: usize,
    /// Requests to send: what was answered before is not asked again.
    pub requests: usize,
    /// About so many tokens of prompts, and so many of answers at most.
    pub tokens: Tokens,
    /// What those cost, where the price is known.
    pub cost: Option<f64>,
    /// Tokens that this store has paid this model for, or may have.
    pub spent: Tokens,
    /// What those cost by today's price.
    pub spent_cost: Option<f64>,
}

/// A kind of stage. Same parameters and inputs must give the same bytes.
pub trait StageKind: Sync + 'static {
    /// Parameters; `#[serde(deny_unknown_fields)]`, every field documented, defaults by serde.
    type Params: DeserializeOwned + Serialize + JsonSchema;

    /// The `kind:` in YAML, which is also the file stem.
    const NAME: &'static str;
    /// Raised when the same parameters and inputs would now give other bytes.
    const VERSION: u32;
    /// What it does, in one sentence.
    const SUMMARY: &'static str;
    /// The inputs it takes.
    const INPUTS: &'static [InputDeclaration];
    /// Parameters that change no byte of the artifacts and so stay out of the key.
    const SKIP: &'static [&'static str] = &[];
    /// Parameters left out of the key while they have their default: a parameter added later
    /// goes here, so that old artifacts stay fresh.
    const SKIP_IF_DEFAULT: &'static [&'static str] = &[];
    /// How often it is tried and how long it may take, where nobody says otherwise.
    const LIMITS: Limits = Limits::NONE;
    /// Whether all its work is done by a process that it starts itself, so that it needs none of
    /// the runner's to be on its own.
    const OWN_PROCESS: bool = false;
    /// Whether it asks a model by API, which costs.
    const ASKS: bool = false;

    /// The artifacts it makes with these parameters.
    fn outputs(params: &Self::Params) -> Vec<OutputDeclaration>;

    /// Where it runs.
    fn lane(_params: &Self::Params) -> Lane {
        Lane::Cpu
    }

    /// How many threads it uses.
    fn threads(_params: &Self::Params) -> usize {
        1
    }

    /// Checks what a type cannot say (a range, two fields that exclude each other).
    ///
    /// # Errors
    /// The field's name and what is wrong with it.
    fn check(_params: &Self::Params) -> Result<(), (String, String)> {
        Ok(())
    }

    /// Parameters with which the same work needs less memory, and what they change in words;
    /// `None` where it cannot need less. Only parameters in [`StageKind::SKIP`] may differ.
    fn lighter(_params: &Self::Params) -> Option<(Self::Params, String)> {
        None
    }

    /// What its passes through a model are cut to; `None` for kinds that make none.
    fn passes(_params: &Self::Params) -> Option<Passes> {
        None
    }

    /// The same work with other passes; `None` for kinds that make none. Only parameters in
    /// [`StageKind::SKIP`] may differ.
    fn with_passes(_params: &Self::Params, _passes: Passes) -> Option<Self::Params> {
        None
    }

    /// What it will need of memory and work, by what is known before it runs; `None` for kinds of
    /// which nobody asks that.
    fn needs(
        _params: &Self::Params,
        _known: &dyn Known,
        _lengths: &mut KnownLengths,
    ) -> Option<Result<Needs, Unknown>> {
        None
    }

    /// What it would ask, where it asks: reads inputs, sends and writes nothing.
    ///
    /// # Errors
    /// Whatever keeps it from knowing.
    fn requests(
        _params: &Self::Params,
        _context: &StageContext,
    ) -> Result<Option<Requests>, StageError> {
        Ok(None)
    }

    /// Does the work: reads `context.input(..)`, writes `context.output(..)`.
    ///
    /// # Errors
    /// Whatever keeps the stage from making all its artifacts.
    fn run(params: &Self::Params, context: &StageContext) -> Result<(), StageError>;
}

/// A parameter that does not fit its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamError {
    /// Path inside the parameters, such as `batch_size` or `settings.hidden_size`.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

/// A [`StageKind`] without its types, as the engine handles it.
pub trait ErasedStage: Sync {
    /// The `kind:` in YAML.
    fn name(&self) -> &'static str;
    /// See [`StageKind::VERSION`].
    fn version(&self) -> u32;
    /// What it does, in one sentence.
    fn summary(&self) -> &'static str;
    /// The inputs it takes.
    fn inputs(&self) -> &'static [InputDeclaration];
    /// JSON Schema of its parameters.
    fn schema(&self) -> Schema;
    /// Parameters after defaults.
    ///
    /// # Errors
    /// The first parameter that does not fit.
    fn complete(&self, params: &Value) -> Result<Value, ParamError>;
    /// The part of completed parameters that enters the key.
    fn key_params<'v>(&self, completed: &'v Value) -> Cow<'v, Value>;
    /// The artifacts made with these completed parameters.
    ///
    /// # Errors
    /// If `completed` was not made by [`ErasedStage::complete`].
    fn outputs(&self, completed: &Value) -> Result<Vec<OutputDeclaration>, ParamError>;
    /// The artifacts it makes, where it runs and with how many threads.
    ///
    /// # Errors
    /// If `completed` was not made by [`ErasedStage::complete`].
    fn declare(
        &self,
        completed: &Value,
    ) -> Result<(Vec<OutputDeclaration>, Lane, usize), ParamError>;
    /// See [`StageKind::LIMITS`].
    fn limits(&self) -> Limits;
    /// See [`StageKind::OWN_PROCESS`].
    fn has_own_process(&self) -> bool;
    /// See [`StageKind::ASKS`].
    fn asks(&self) -> bool;
    /// See [`StageKind::requests`].
    ///
    /// # Errors
    /// Whatever keeps it from knowing.
    fn requests(
        &self,
        completed: &Value,
        context: &StageContext,
    ) -> Result<Option<Requests>, StageError>;
    /// See [`StageKind::lighter`].
    fn lighter(&self, completed: &Value) -> Option<(Value, String)>;
    /// See [`StageKind::passes`].
    fn passes(&self, completed: &Value) -> Option<Passes>;
    /// See [`StageKind::with_passes`].
    fn with_passes(&self, completed: &Value, passes: Passes) -> Option<Value>;
    /// See [`StageKind::needs`].
    fn needs(
        &self,
        known: &dyn Known,
        completed: &Value,
        lengths: &mut KnownLengths,
    ) -> Option<Result<Needs, Unknown>>;
    /// Does the work.
    ///
    /// # Errors
    /// Whatever keeps the stage from making all its artifacts.
    fn run(&self, completed: &Value, context: &StageContext) -> Result<(), StageError>;
}

/// Wraps a [`StageKind`] as an [`ErasedStage`]; `&Erased::<MyStage>::NEW` in the registry.
pub struct Erased<S>(PhantomData<S>);

impl<S: StageKind> Erased<S> {
    /// The one value of this type.
    pub const NEW: Self = Self(PhantomData);

    fn typed(params: &Value) -> Result<S::Params, ParamError> {
        // Keeping track of paths costs more than reading, so only what is wrong is read that way.
        if let Ok(typed) = <S::Params as serde::Deserialize>::deserialize(params) {
            return Ok(typed);
        }
        serde_path_to_error::deserialize::<_, S::Params>(params).map_err(|error| ParamError {
            path: match error.path().to_string() {
                path if path == "." => String::new(),
                path => path,
            },
            message: error.inner().to_string(),
        })
    }
}

impl<S: StageKind> Erased<S> {
    /// Parameters that were made complete before.
    fn read(completed: &Value) -> Result<S::Params, StageError> {
        Self::typed(completed)
            .map_err(|error| StageError::input(format!("{}: {}", error.path, error.message)))
    }
}

// SAFETY is not needed: PhantomData<S> is Sync because StageKind requires Sync.
impl<S: StageKind> ErasedStage for Erased<S> {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn version(&self) -> u32 {
        S::VERSION
    }

    fn summary(&self) -> &'static str {
        S::SUMMARY
    }

    fn inputs(&self) -> &'static [InputDeclaration] {
        S::INPUTS
    }

    fn schema(&self) -> Schema {
        schemars::schema_for!(S::Params)
    }

    fn complete(&self, params: &Value) -> Result<Value, ParamError> {
        let typed = Self::typed(params)?;
        S::check(&typed).map_err(|(path, message)| ParamError { path, message })?;
        serde_json::to_value(&typed).map_err(|error| ParamError {
            path: String::new(),
            message: error.to_string(),
        })
    }

    fn key_params<'v>(&self, completed: &'v Value) -> Cow<'v, Value> {
        if S::SKIP.is_empty() && S::SKIP_IF_DEFAULT.is_empty() {
            return Cow::Borrowed(completed);
        }
        let mut params = completed.clone();
        let defaults = if S::SKIP_IF_DEFAULT.is_empty() {
            None
        } else {
            serde_json::to_value(self.schema()).ok()
        };
        if let Value::Object(map) = &mut params {
            map.retain(|name, value| {
                let at_default = S::SKIP_IF_DEFAULT.contains(&name.as_str())
                    && defaults
                        .as_ref()
                        .and_then(|schema| schema.pointer(&format!("/properties/{name}/default")))
                        == Some(value);
                !S::SKIP.contains(&name.as_str()) && !at_default
            });
        }
        Cow::Owned(params)
    }

    fn outputs(&self, completed: &Value) -> Result<Vec<OutputDeclaration>, ParamError> {
        Self::typed(completed).map(|params| S::outputs(&params))
    }

    fn declare(
        &self,
        completed: &Value,
    ) -> Result<(Vec<OutputDeclaration>, Lane, usize), ParamError> {
        Self::typed(completed).map(|params| {
            let threads = S::threads(&params).max(1);
            (S::outputs(&params), S::lane(&params), threads)
        })
    }

    fn limits(&self) -> Limits {
        S::LIMITS
    }

    fn has_own_process(&self) -> bool {
        S::OWN_PROCESS
    }

    fn asks(&self) -> bool {
        S::ASKS
    }

    fn requests(
        &self,
        completed: &Value,
        context: &StageContext,
    ) -> Result<Option<Requests>, StageError> {
        S::requests(&Self::read(completed)?, context)
    }

    fn lighter(&self, completed: &Value) -> Option<(Value, String)> {
        let (lighter, words) = S::lighter(&Self::typed(completed).ok()?)?;
        let lighter = serde_json::to_value(lighter).ok()?;
        // Whatever else it changed would be in the key, and so be another stage's work.
        let same_key = self.key_params(completed) == self.key_params(&lighter);
        same_key.then_some((lighter, words))
    }

    fn passes(&self, completed: &Value) -> Option<Passes> {
        S::passes(&Self::typed(completed).ok()?)
    }

    fn with_passes(&self, completed: &Value, passes: Passes) -> Option<Value> {
        let changed = S::with_passes(&Self::typed(completed).ok()?, passes)?;
        let changed = serde_json::to_value(changed).ok()?;
        let same_key = self.key_params(completed) == self.key_params(&changed);
        same_key.then_some(changed)
    }

    fn needs(
        &self,
        known: &dyn Known,
        completed: &Value,
        lengths: &mut KnownLengths,
    ) -> Option<Result<Needs, Unknown>> {
        S::needs(&Self::typed(completed).ok()?, known, lengths)
    }

    fn run(&self, completed: &Value, context: &StageContext) -> Result<(), StageError> {
        S::run(&Self::read(completed)?, context)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use crate::stage::STAGES;

    /// What runs a language model can do with less and less memory, is still the same stage, and
    /// comes to an end.
    #[test]
    fn less_memory_is_the_same_work_down_to_one_text_at_a_time() {
        let mut found = BTreeSet::new();
        for stage in STAGES {
            let Ok(mut params) = stage.complete(&json!({})) else {
                continue;
            };
            let key = stage.key_params(&params).into_owned();
            let mut steps = 0;
            while let Some((lighter, words)) = stage.lighter(&params) {
                assert_ne!(lighter, params, "{}: {words}", stage.name());
                assert_eq!(*stage.key_params(&lighter), key, "{}", stage.name());
                params = lighter;
                steps += 1;
                assert!(steps < 40, "{} never comes to an end", stage.name());
            }
            if steps > 0 {
                found.insert(stage.name());
                let pass = params.pointer("/resources/pass_tokens");
                let pass = pass.or_else(|| params.get("pass_tokens"));
                assert_eq!(pass, Some(&json!(1)), "{}", stage.name());
            }
        }
        let expected = ["alpaca_tune", "pretrain", "rec_tune", "score"];
        assert_eq!(found, BTreeSet::from(expected));
    }
}
