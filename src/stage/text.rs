//! `kind: text`: writes a text, followed by the texts of its inputs.

use std::fs::File;
use std::io::{self, Write};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Arity, InputDeclaration, OutputDeclaration, StageContext, StageError, StageKind};

/// Parameters of [`Text`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// What to write first.
    #[serde(default)]
    pub text: String,
    /// File name of the output.
    #[serde(default = "default_file")]
    pub file: String,
}

fn default_file() -> String {
    "text.txt".to_owned()
}

/// Writes a text, followed by the texts of its inputs in the order of their names: a configuration
/// file for a program of the user's, or many small outputs as one.
pub struct Text;

impl StageKind for Text {
    type Params = Params;

    const NAME: &'static str = "text";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Writes a text, followed by the texts of its inputs.";
    const INPUTS: &'static [InputDeclaration] = &[InputDeclaration {
        name: "parts",
        arity: Arity::AnyName,
        about: "files to append",
    }];

    fn outputs(params: &Params) -> Vec<OutputDeclaration> {
        vec![OutputDeclaration::new("text", &params.file)]
    }

    fn check(params: &Params) -> Result<(), (String, String)> {
        super::command::check_file_name(&params.file)
            .map_err(|message| ("file".to_owned(), message))
    }

    fn run(params: &Params, context: &StageContext) -> Result<(), StageError> {
        let path = context.output("text")?;
        let mut file = File::create(path).map_err(StageError::io("create", path))?;
        file.write_all(params.text.as_bytes())
            .map_err(StageError::io("write", path))?;
        for part in context.all_inputs().values().flatten() {
            let mut source = File::open(&part.path).map_err(StageError::io("read", &part.path))?;
            io::copy(&mut source, &mut file).map_err(StageError::io("write", path))?;
        }
        Ok(())
    }
}
