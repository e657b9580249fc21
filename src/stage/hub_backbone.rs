//! `hub_backbone`: fetches a model of the Hugging Face hub and pins it to a commit.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::language_model::{REFERENCE, Reference};
use super::samples::write_json;
use super::{InputDeclaration, OutputDeclaration, StageContext, StageError, StageKind};
use crate::language_model::Backbone;
use crate::model_files::{HubCache, HubModel};

/// Fetches a model of the hub.
///
/// What it makes is a small file that names the commit: the gigabytes stay in the hub's own
/// cache, where other programs find them too, and stages below are stale only if the commit
/// changes.
#[derive(Debug)]
pub struct HubBackbone;

/// Parameters of [`HubBackbone`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// `owner/name`.
    repository: String,
    /// Branch, tag or commit.
    #[serde(default = "main")]
    revision: String,
}

/// The model that these parameters name, and its revision.
pub(super) fn repository(params: &Value) -> Option<(String, String)> {
    let params = Params::deserialize(params).ok()?;
    Some((params.repository, params.revision))
}

fn main() -> String {
    "main".to_owned()
}

impl StageKind for HubBackbone {
    type Params = Params;

    const NAME: &'static str = "hub_backbone";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Fetches a model of the Hugging Face hub and pins its commit.";
    const INPUTS: &'static [InputDeclaration] = &[];

    fn outputs(_params: &Params) -> Vec<OutputDeclaration> {
        vec![OutputDeclaration::new("backbone", REFERENCE)]
    }

    fn run(params: &Params, context: &StageContext) -> Result<(), StageError> {
        fetch(params, context, "backbone", |folder| {
            Backbone::open(folder)?;
            Ok(())
        })
    }
}

/// Fetches a model and writes which commit it is of. A model that `open` cannot use is refused
/// now, not after hours of other stages.
pub(super) fn fetch(
    params: &Params,
    context: &StageContext,
    output: &str,
    open: impl FnOnce(&Path) -> Result<(), StageError>,
) -> Result<(), StageError> {
    let emitter = context.emitter();
    let model = HubModel {
        name: params.repository.clone(),
        revision: params.revision.clone(),
    };
    let mut tell = |_file: &str, done: u64, total: u64| emitter.progress(done, total, "byte");
    let found = HubCache::from_environment()?.get(&model, &mut tell)?;
    open(&found.folder)?;
    write_json(
        context.output(output)?,
        &Reference {
            repository: params.repository.clone(),
            commit: found.commit,
        },
    )
}
