//! The validation rows of the released code, with its mistake.
//!
//! TALLRec's `finetune_rec.py` looks for every `Yes` and `No` among the labels of an evaluation
//! batch and keeps each third one, on the assumption that a text holds three: two in the
//! instruction, one as its answer. A title that begins with one of these tokens (`"No Safe Place"`)
//! shifts all that follows it in the batch; and with the loss on the answers alone
//! (`train_on_inputs: false`) a text holds one, so that two of three rows are never looked at.

use super::pass::first_target;
use super::{Answers, Example, LossOn, Question};

/// Rows that the released code evaluates at a time: transformers' default, which it leaves.
const EVALUATED_TOGETHER: usize = 8;

/// What the released code takes for questions, each with the index of its text.
///
/// Its "answer" is the token the rule picked, right or wrong, and so is its label.
#[must_use]
pub fn every_third(texts: &[Example], answers: Answers, on: LossOn) -> Vec<(usize, Question)> {
    let mut questions = Vec::with_capacity(texts.len());
    for (batch, rows) in texts.chunks(EVALUATED_TOGETHER).enumerate() {
        let places = rows.iter().enumerate().flat_map(|(row, text)| {
            (first_target(text, on)..text.tokens.len())
                .filter(|&at| [answers.yes, answers.no].contains(&text.tokens[at]))
                .map(move |at| (row, at))
        });
        questions.extend(places.skip(2).step_by(3).map(|(row, at)| {
            let text = &rows[row];
            let question = Question {
                tokens: text.tokens[..at].to_vec(),
                label: text.tokens[at] == answers.yes,
            };
            (batch * EVALUATED_TOGETHER + row, question)
        }));
    }
    questions
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWERS: Answers = Answers { yes: 8, no: 9 };

    /// `before [instruction: yes no] title … answer end`.
    fn text(title: &[u32], answer: u32) -> Example {
        let mut tokens = vec![1, 8, 9];
        tokens.extend_from_slice(title);
        let answer_start = tokens.len();
        tokens.extend([answer, 2]);
        Example {
            tokens,
            answer_start,
        }
    }

    fn picked(texts: &[Example], on: LossOn) -> Vec<(usize, usize, bool)> {
        every_third(texts, ANSWERS, on)
            .into_iter()
            .map(|(row, question)| (row, question.tokens.len(), question.label))
            .collect()
    }

    #[test]
    fn three_a_text_is_right() {
        let texts: Vec<Example> = (0..10)
            .map(|row| text(&[5; 3], if row % 2 == 0 { 8 } else { 9 }))
            .collect();
        let expected: Vec<_> = (0..10).map(|row| (row, 6, row % 2 == 0)).collect();
        assert_eq!(picked(&texts, LossOn::Whole), expected);
    }

    /// Text 1 has a fourth, in its title: it and what follows in its batch of eight is wrong, the
    /// next batch is right again.
    #[test]
    fn a_title_that_begins_with_no_shifts_the_rest_of_its_batch() {
        let mut texts = vec![text(&[5], 8); 9];
        texts[1] = text(&[9, 5], 8);
        let found = picked(&texts, LossOn::Whole);
        assert_eq!(found[0], (0, 4, true));
        assert_eq!(found[1], (1, 3, false), "the title's token");
        assert_eq!(found[2], (2, 2, false), "the instruction's `No`");
        assert_eq!(found.len(), 9);
        assert_eq!(found[8], (8, 4, true));
    }

    #[test]
    fn with_labels_on_answers_alone_every_third_text_is_seen() {
        let texts = vec![text(&[5], 8); 8];
        assert_eq!(picked(&texts, LossOn::Answer), [(2, 4, true), (5, 4, true)]);
    }
}
