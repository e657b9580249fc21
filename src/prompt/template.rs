//! Prompt templates in the format of alpaca-lora.

use serde::Deserialize;
use serde_json::Value;

use super::PromptError;
use crate::base::nearest::suggestion;

const KEYS: [&str; 4] = [
    "description",
    "prompt_input",
    "prompt_no_input",
    "response_split",
];

/// The text around an instruction.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PromptTemplate {
    /// For people.
    #[serde(default)]
    pub description: String,
    /// For an instruction with an input.
    pub prompt_input: String,
    /// For an instruction alone.
    pub prompt_no_input: String,
    /// What the answer stands after.
    pub response_split: String,
}

impl PromptTemplate {
    /// Reads a template; `name` is what errors call it.
    ///
    /// # Errors
    /// If it is not JSON of this form, or a place to fill in is missing.
    pub fn parse(name: &str, text: &str) -> Result<Self, PromptError> {
        let wrong = |message: String, help: &str| PromptError::Template {
            name: name.to_owned(),
            message,
            help: help.to_owned(),
        };
        let form = "a template is {\"prompt_input\": …, \"prompt_no_input\": …, \
                    \"response_split\": …}, as in templates/alpaca.json";
        let value: Value = serde_json::from_str(text).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            wrong(format!("{place}: not JSON: {error}"), form)
        })?;
        for key in value.as_object().into_iter().flat_map(|map| map.keys()) {
            if !KEYS.contains(&key.as_str()) {
                return Err(wrong(
                    format!("`{key}` is not a key of a template"),
                    &suggestion(key, KEYS),
                ));
            }
        }
        let template: Self =
            serde_json::from_value(value).map_err(|error| wrong(error.to_string(), form))?;
        for (key, text, needed) in [
            ("prompt_input", &template.prompt_input, "{instruction}"),
            ("prompt_input", &template.prompt_input, "{input}"),
            (
                "prompt_no_input",
                &template.prompt_no_input,
                "{instruction}",
            ),
        ] {
            if text.matches(needed).count() != 1 {
                return Err(wrong(
                    format!("`{key}` must hold `{needed}` once"),
                    "the record's text is put there",
                ));
            }
        }
        for (key, text) in [
            ("prompt_input", &template.prompt_input),
            ("prompt_no_input", &template.prompt_no_input),
        ] {
            if template.response_split.is_empty() || !text.contains(&template.response_split) {
                return Err(wrong(
                    format!(
                        "`{key}` does not hold the `response_split` `{}`",
                        template.response_split
                    ),
                    "the answer stands after it, so every prompt must hold it",
                ));
            }
        }
        Ok(template)
    }

    /// The prompt of a record, up to where its answer begins.
    #[must_use]
    pub fn prompt(&self, instruction: &str, input: &str) -> String {
        // Filled in one pass: an input that holds `{input}` itself stays as it is.
        let (text, values): (&str, &[(&str, &str)]) = if input.is_empty() {
            (&self.prompt_no_input, &[("{instruction}", instruction)])
        } else {
            (
                &self.prompt_input,
                &[("{instruction}", instruction), ("{input}", input)],
            )
        };
        let mut filled = String::with_capacity(text.len() + instruction.len() + input.len());
        let mut rest = text;
        while let Some((at, (name, value))) = values
            .iter()
            .filter_map(|pair| rest.find(pair.0).map(|at| (at, pair)))
            .min_by_key(|(at, _)| *at)
        {
            filled.push_str(&rest[..at]);
            filled.push_str(value);
            rest = &rest[at + name.len()..];
        }
        filled.push_str(rest);
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALPACA: &str = include_str!("../../templates/alpaca.json");
    const RELEASED: &str = include_str!("../../templates/alpaca_noqa.json");

    #[test]
    fn fills_in_once_and_chooses_by_input() {
        let template = PromptTemplate::parse("alpaca.json", ALPACA).expect("shipped");
        let with = template.prompt("Say {input}.", "hello {instruction}");
        assert!(
            with.contains("### Instruction:\nSay {input}.\n\n### Input:\nhello {instruction}\n")
        );
        assert!(with.ends_with("\n\n### Response:\n"));
        let without = template.prompt("Greet.", "");
        assert!(!without.contains("### Input"));
        let released = PromptTemplate::parse("alpaca_noqa.json", RELEASED).expect("shipped");
        let other = released.prompt("Say {input}.", "hello {instruction}");
        assert_eq!(other.replace("  # noqa: E501", ""), with);
    }

    #[test]
    fn wrong_templates_say_what_is_missing() {
        let cases = [
            ("{", "not JSON"),
            ("{\"prompt_inptu\": \"\"}", "did you mean `prompt_input`?"),
            (
                "{\"prompt_input\": \"\"}",
                "missing field `prompt_no_input`",
            ),
            (
                "{\"prompt_input\": \"{instruction}\", \"prompt_no_input\": \"{instruction}\", \
                 \"response_split\": \"a\"}",
                "`prompt_input` must hold `{input}` once",
            ),
            (
                "{\"prompt_input\": \"{instruction}{input}\", \"prompt_no_input\": \
                 \"{instruction}\", \"response_split\": \"a\"}",
                "does not hold the `response_split` `a`",
            ),
        ];
        for (text, expected) in cases {
            let error = PromptTemplate::parse("t.json", text).expect_err(text);
            let message = error.to_string();
            assert!(
                message.contains(expected) && message.contains("t.json"),
                "{message}"
            );
        }
    }
}
