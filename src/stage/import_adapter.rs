//! `import_adapter`: takes an adapter made elsewhere, if it fits the backbone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::language_model::Loaded;
use super::{InputDeclaration, OutputDeclaration, StageContext, StageError, StageKind};
use crate::base::Lane;
use crate::language_model::Precision;

/// Takes an adapter made elsewhere.
#[derive(Debug)]
pub struct ImportAdapter;

/// Parameters of [`ImportAdapter`]: none.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {}

impl StageKind for ImportAdapter {
    type Params = Params;

    const NAME: &'static str = "import_adapter";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Checks an adapter made elsewhere against the backbone and stores it.";
    const INPUTS: &'static [InputDeclaration] = &[
        InputDeclaration::one("backbone", "model folder in the form of Hugging Face"),
        InputDeclaration::one("adapter", "PEFT adapter folder"),
    ];

    fn outputs(_params: &Params) -> Vec<OutputDeclaration> {
        vec![OutputDeclaration::new("adapter", "adapter")]
    }

    fn lane(_params: &Params) -> Lane {
        Lane::Accelerator
    }

    fn run(_params: &Params, context: &StageContext) -> Result<(), StageError> {
        let loaded = Loaded::open(context, Precision::default())?;
        let input = context.input("adapter")?;
        let adapter = loaded.adapter(input)?;
        let folder = context.output("adapter")?;
        std::fs::create_dir_all(folder).map_err(StageError::io("create", folder))?;
        loaded
            .stored(&adapter.options, &adapter.parameters)
            .write(folder)?;
        Ok(())
    }
}
