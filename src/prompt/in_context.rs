//! Examples in the prompt: n training samples with their answers, before the question.

use super::{PromptError, PromptTemplate};
use crate::base::Random;
use crate::data::Sample;

/// Questions with their answers, in the order in which they stand before another question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InContext {
    pairs: Vec<(String, String)>,
}

impl InContext {
    /// Chooses `count` of the samples that were drawn. With one seed, fewer are always among more;
    /// those that more bring stand further in front.
    ///
    /// # Errors
    /// If there are not so many.
    pub fn choose(
        template: &PromptTemplate,
        drawn: &[Sample],
        count: usize,
        seed: u64,
    ) -> Result<Self, PromptError> {
        if drawn.len() < count {
            return Err(PromptError::Examples {
                wanted: count,
                drawn: drawn.len(),
            });
        }
        let order = Random::new(seed, "in_context").permutation(drawn.len());
        let chosen = order.into_iter().take(count).map(|at| &drawn[at]);
        let mut pairs: Vec<(String, String)> = chosen
            .map(|sample| {
                let prompt = template.prompt(&sample.instruction, &sample.input);
                (prompt, sample.output.clone())
            })
            .collect();
        pairs.reverse();
        Ok(Self { pairs })
    }

    /// The pairs of question and answer.
    #[must_use]
    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// One text: the last `kept` examples, each followed by an empty line, and then the prompt.
    #[must_use]
    pub fn before(&self, kept: usize, prompt: &str) -> String {
        let mut text = String::new();
        for (question, answer) in &self.pairs[self.pairs.len().saturating_sub(kept)..] {
            text.push_str(question);
            text.push_str(answer);
            text.push_str("\n\n");
        }
        text.push_str(prompt);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tallrec_text::{TargetLine, answer, input, instruction};
    use crate::data::{Domain, Item};

    fn sample(row: u32) -> Sample {
        let target = Item {
            id: row.to_string(),
            title: format!("Film {row}"),
            maker: None,
        };
        let liked = row.is_multiple_of(2);
        Sample {
            row,
            domain: Domain::Movie,
            user: None,
            time: None,
            history: Vec::new(),
            input: input(Domain::Movie, &[], &target, TargetLine::Plain),
            target,
            label: liked,
            instruction: instruction(Domain::Movie),
            output: answer(liked).to_owned(),
        }
    }

    #[test]
    fn fewer_examples_are_among_more_and_stand_last() {
        let text = include_str!("../../templates/alpaca.json");
        let template = PromptTemplate::parse("alpaca.json", text).expect("shipped");
        let drawn: Vec<Sample> = (0..16).map(sample).collect();
        let choose = |count, seed| {
            InContext::choose(&template, &drawn, count, seed).expect("enough of them")
        };
        let (two, four) = (choose(2, 1), choose(4, 1));
        assert_eq!(four.pairs()[2..], *two.pairs());
        assert_ne!(choose(4, 2), four);
        assert_eq!(choose(4, 1), four);
        assert_eq!(four.before(2, "Q"), two.before(9, "Q"));
        assert_eq!(choose(0, 1).before(0, "Q"), "Q");
        let text = two.before(2, "Q");
        assert!(text.ends_with(".\n\nQ") && text.matches("### Response:\n").count() == 2);
        let error = InContext::choose(&template, &drawn, 17, 1).expect_err("too many");
        assert!(error.to_string().contains("17 examples") && error.to_string().contains("16"));
    }
}
