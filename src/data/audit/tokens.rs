//! How long prompts are in tokens, and which would be cut.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokenizers::Tokenizer;

use crate::data::error::DataError;
use crate::data::sample::Sample;
use crate::data::source::Source;

/// Rows named as examples.
const EXAMPLES: usize = 10;

/// Which Alpaca template the lengths are counted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// The released code's, whose first paragraph ends in two spaces and `# noqa: E501`.
    #[default]
    ReleasedCode,
    /// The plain Alpaca template.
    Plain,
}

/// Token counts of a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenCounts {
    /// Shortest prompt, with BOS, without the answer.
    pub prompt_min: usize,
    /// Median prompt (the upper one of two).
    pub prompt_median: usize,
    /// Longest prompt.
    pub prompt_max: usize,
    /// Longest text with answer and EOS.
    pub full_max: usize,
    /// Rows longer than the limit, with answer and EOS.
    pub over_limit: usize,
    /// The first few of these rows.
    pub over_limit_rows: Vec<u32>,
}

/// Loads a `tokenizer.json`.
///
/// # Errors
/// If it cannot be read or is no tokenizer.
pub fn load_tokenizer(source: &Source) -> Result<Tokenizer, DataError> {
    let source = if source.path().is_dir() {
        source.file("tokenizer.json")
    } else {
        source.clone()
    };
    let bytes = source.read()?;
    let mut tokenizer = Tokenizer::from_bytes(&bytes).map_err(|error| {
        DataError::invalid(format!("`{}` is no tokenizer.json: {error}", source.name()))
            .with_help("bring the tokenizer.json of the model's folder")
    })?;
    // Lengths are wanted as they are, whatever the file says about cutting and filling.
    tokenizer.with_padding(None);
    tokenizer
        .with_truncation(None)
        .map_err(|error| DataError::invalid(format!("`{}`: {error}", source.name())))?;
    Ok(tokenizer)
}

fn prompt(sample: &Sample, template: Template) -> String {
    let comment = match template {
        Template::ReleasedCode => "  # noqa: E501",
        Template::Plain => "",
    };
    format!(
        "Below is an instruction that describes a task, paired with an input that provides \
         further context. Write a response that appropriately completes the request.{comment}\n\n\
         ### Instruction:\n{}\n\n### Input:\n{}\n\n### Response:\n",
        sample.instruction, sample.input
    )
}

pub(super) fn count(
    tokenizer: &Tokenizer,
    samples: &[Sample],
    template: Template,
    limit: usize,
) -> Result<TokenCounts, DataError> {
    let length = |text: String| {
        tokenizer
            .encode_fast(text, true)
            .map(|encoding| encoding.len())
            .map_err(|error| DataError::invalid(format!("the tokenizer failed: {error}")))
    };
    let mut prompts = Vec::with_capacity(samples.len());
    let mut counts = TokenCounts {
        prompt_min: 0,
        prompt_median: 0,
        prompt_max: 0,
        full_max: 0,
        over_limit: 0,
        over_limit_rows: Vec::new(),
    };
    for sample in samples {
        let text = prompt(sample, template);
        prompts.push(length(text.clone())?);
        // One more for EOS, which the tokenizer does not add.
        let full = length(text + &sample.output)? + 1;
        counts.full_max = counts.full_max.max(full);
        if full > limit {
            counts.over_limit += 1;
            if counts.over_limit_rows.len() < EXAMPLES {
                counts.over_limit_rows.push(sample.row);
            }
        }
    }
    prompts.sort_unstable();
    counts.prompt_min = prompts.first().copied().unwrap_or(0);
    counts.prompt_median = prompts.get(prompts.len() / 2).copied().unwrap_or(0);
    counts.prompt_max = prompts.last().copied().unwrap_or(0);
    Ok(counts)
}
