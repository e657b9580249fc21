//! `alpaca_json`: instruction data to Parquet.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::samples::{source, write_json};
use super::{InputDeclaration, OutputDeclaration, StageContext, StageError, StageKind};
use crate::data::alpaca::read_alpaca_json;
use crate::data::frame::write_records;

/// Checks instruction data in the Alpaca form and stores them.
pub struct AlpacaJsonStage;

/// Parameters of [`AlpacaJsonStage`]: there are none.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlpacaJsonParams {}

impl StageKind for AlpacaJsonStage {
    type Params = AlpacaJsonParams;

    const NAME: &'static str = "alpaca_json";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Checks instruction data in the Alpaca form and stores them.";
    const INPUTS: &'static [InputDeclaration] = &[InputDeclaration::one(
        "raw",
        "a JSON file: an array of {instruction, input, output}",
    )];

    fn outputs(_params: &Self::Params) -> Vec<OutputDeclaration> {
        vec![
            OutputDeclaration::new("records", "records.parquet"),
            OutputDeclaration::new("summary", "summary.json"),
        ]
    }

    fn run(_params: &Self::Params, context: &StageContext) -> Result<(), StageError> {
        let read = read_alpaca_json(&source(context.input("raw")?))?;
        context.check_cancelled()?;
        write_records(context.output("records")?, &read.records)?;
        for (field, count) in &read.ignored {
            context.emitter().warn(format!(
                "the field `{field}` of {count} records is not used"
            ));
        }
        let with_input = read
            .records
            .iter()
            .filter(|record| !record.input.is_empty());
        let summary = json!({
            "records": read.records.len(),
            "with_input": with_input.count(),
            "ignored_fields": read.ignored,
        });
        write_json(context.output("summary")?, &summary)
    }
}
