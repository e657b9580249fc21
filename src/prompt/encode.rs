//! Samples and records as tokens.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{InContext, PromptError, PromptTemplate};
use crate::data::Sample;
use crate::data::json_records::Record;
use crate::data::tallrec_text::{self, NO, TargetLine, YES};
use crate::language_model::Tokenizer;
use crate::tuning::{Example, Question};

/// What happens to a text over the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cutoff {
    /// A sample's history loses items, the oldest first, until it fits; an answer is never cut.
    #[default]
    ShortenHistory,
    /// The text is cut from the right, as the released code does: its answer goes first.
    Truncate,
}

/// How long a text may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Tokens of prompt, answer and end.
    pub tokens: usize,
    /// What happens to longer ones.
    pub cutoff: Cutoff,
}

/// What had to be done to make texts fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fitted {
    /// Rows.
    pub rows: usize,
    /// Rows whose history lost items.
    pub shortened: usize,
    /// Rows that were cut from the right and kept a part of their answer.
    pub truncated: usize,
    /// Rows that lost their whole answer: nothing can be learnt from them.
    pub without_answer: usize,
    /// Rows that lost examples of those before their question.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub fewer_examples: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Fitted {
    /// A sentence for people, if anything had to be done.
    #[must_use]
    pub fn sentence(&self, limit: usize) -> Option<String> {
        let mut parts = Vec::new();
        for (count, what) in [
            (self.shortened, "had their history shortened"),
            (self.truncated, "were cut from the right"),
            (self.without_answer, "lost their whole answer"),
            (self.fewer_examples, "lost examples before their question"),
        ] {
            if count > 0 {
                parts.push(format!("{count} of {} rows {what}", self.rows));
            }
        }
        (!parts.is_empty()).then(|| format!("{} to fit into {limit} tokens", parts.join(", ")))
    }
}

/// A prompt whose answer is scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The tokens up to where the two answers part.
    pub question: Question,
    /// The whole prompt, for its digest.
    pub prompt: String,
}

/// Turns samples and records into tokens, and remembers what it had to do for that.
#[derive(Debug)]
pub struct Encoder<'a> {
    tokenizer: &'a Tokenizer,
    template: &'a PromptTemplate,
    limit: Limit,
    examples: InContext,
    fitted: Fitted,
    answers: Option<[u32; 2]>,
}

impl<'a> Encoder<'a> {
    /// An encoder that has seen nothing yet.
    #[must_use]
    pub fn new(tokenizer: &'a Tokenizer, template: &'a PromptTemplate, limit: Limit) -> Self {
        Self {
            tokenizer,
            template,
            limit,
            examples: InContext::default(),
            fitted: Fitted::default(),
            answers: None,
        }
    }

    /// Puts examples before every question that is scored.
    #[must_use]
    pub fn with_examples(mut self, examples: InContext) -> Self {
        self.examples = examples;
        self
    }

    /// What had to be done so far.
    #[must_use]
    pub fn fitted(&self) -> Fitted {
        self.fitted
    }

    /// The tokens by which `Yes.` and `No.` begin to differ after these prompts; `None` before
    /// the first question.
    #[must_use]
    pub fn answers(&self) -> Option<[u32; 2]> {
        self.answers
    }

    /// A record to learn from; `None` if nothing of its answer fits.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn record(&mut self, record: &Record) -> Result<Option<Example>, PromptError> {
        self.fitted.rows += 1;
        let prompt = self.template.prompt(&record.instruction, &record.input);
        let mut example = self.example(&prompt, &record.output)?;
        Ok(self.cut(&mut example).then_some(example))
    }

    /// A sample to learn from; `None` if nothing of its answer fits, which only
    /// [`Cutoff::Truncate`] brings about.
    ///
    /// # Errors
    /// If it does not fit even without a history, or the tokenizer fails.
    pub fn sample(&mut self, sample: &Sample) -> Result<Option<Example>, PromptError> {
        self.fitted.rows += 1;
        let output = &sample.output;
        let prompt = self.template.prompt(&sample.instruction, &sample.input);
        let mut example = self.example(&prompt, output)?;
        if self.limit.cutoff == Cutoff::Truncate {
            return Ok(self.cut(&mut example).then_some(example));
        }
        let mut dropped = 0;
        while example.tokens.len() > self.limit.tokens {
            dropped += 1;
            let prompt = self.shortened(sample, dropped, example.tokens.len())?;
            example = self.example(&prompt, output)?;
        }
        self.fitted.shortened += usize::from(dropped > 0);
        Ok(Some(example))
    }

    /// A sample to be scored.
    ///
    /// # Errors
    /// If it does not fit even without a history, if its two answers cannot be told apart or
    /// begin otherwise than those of rows before, or the tokenizer fails.
    pub fn question(&mut self, sample: &Sample) -> Result<Asked, PromptError> {
        self.fitted.rows += 1;
        let mut question = self.template.prompt(&sample.instruction, &sample.input);
        let (mut dropped, mut kept) = (0, self.examples.len());
        loop {
            let prompt = self.examples.before(kept, &question);
            let answers =
                self.tokenizer
                    .answer_tokens(&prompt, [YES, NO], self.tokenizer.adds_bos())?;
            // A question ends where its answer begins, so it can only be shortened in front;
            // room is kept for the answer and the end that training saw.
            let whole = answers.context.len() + 3;
            if whole > self.limit.tokens && self.limit.cutoff == Cutoff::ShortenHistory {
                // Examples go before the user's own history does, the foremost first.
                if kept > 0 {
                    kept -= 1;
                } else {
                    dropped += 1;
                    question = self.shortened(sample, dropped, whole)?;
                }
                continue;
            }
            self.fitted.shortened += usize::from(dropped > 0);
            self.fitted.fewer_examples += usize::from(kept < self.examples.len());
            let expected = *self.answers.get_or_insert(answers.tokens);
            if expected != answers.tokens {
                return Err(PromptError::Answers {
                    what: name(sample),
                    found: answers.tokens,
                    expected,
                });
            }
            return Ok(Asked {
                question: Question {
                    tokens: answers.context,
                    label: sample.label,
                },
                prompt,
            });
        }
    }

    fn example(&self, prompt: &str, output: &str) -> Result<Example, PromptError> {
        let alone = self.tokenizer.encode(prompt, self.tokenizer.adds_bos())?;
        let mut tokens = self
            .tokenizer
            .encode(&format!("{prompt}{output}"), self.tokenizer.adds_bos())?;
        // Where the tokenizer joins the prompt's end and the answer's beginning, the joined token
        // belongs to the answer.
        let shared = alone
            .iter()
            .zip(&tokens)
            .take_while(|(one, other)| one == other)
            .count();
        tokens.extend(self.tokenizer.eos());
        Ok(Example {
            answer_start: shared.max(1),
            tokens,
        })
    }

    /// Cuts from the right; whether something of the answer is left.
    fn cut(&mut self, example: &mut Example) -> bool {
        if example.tokens.len() <= self.limit.tokens {
            return true;
        }
        example.tokens.truncate(self.limit.tokens);
        let left = example.answer_start < example.tokens.len();
        if left {
            self.fitted.truncated += 1;
        } else {
            self.fitted.without_answer += 1;
        }
        left
    }

    /// The prompt without the `dropped` oldest items of the history.
    fn shortened(
        &self,
        sample: &Sample,
        dropped: usize,
        tokens: usize,
    ) -> Result<String, PromptError> {
        let Some(history) = sample.history.get(dropped..) else {
            return Err(PromptError::TooLong {
                what: name(sample),
                tokens,
                limit: self.limit.tokens,
            });
        };
        let line = TargetLine::of(
            sample.domain,
            &sample.history,
            &sample.target,
            &sample.input,
        );
        let input = tallrec_text::input(sample.domain, history, &sample.target, line);
        Ok(self.template.prompt(&sample.instruction, &input))
    }
}

fn name(sample: &Sample) -> String {
    format!(
        "row {} ({}, target `{}`)",
        sample.row,
        tallrec_text::noun(sample.domain),
        sample.target.title
    )
}
