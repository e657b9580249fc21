//! Scores of validation rows, and what they amount to.

use super::pass::{mean_loss, read_out_all, shared_prefix};
use super::{Example, LossOn, Question, TuneError, TuneObserver};
use crate::base::Random;
use crate::language_model::{LanguageModel, Readout};
use crate::metric::{Metric, Prediction, auc::Auc};

/// The tokens whose logits decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answers {
    /// The first token of `Yes` where an answer begins.
    pub yes: u32,
    /// The first token of `No` there.
    pub no: u32,
}

/// What a training is validated with.
#[derive(Debug, Clone, Copy)]
pub enum Validation<'a> {
    /// Nothing: the last state is kept.
    None,
    /// Questions with one of two answers: AUC and loss.
    Questions {
        /// The questions.
        questions: &'a [Question],
        /// The answers' tokens.
        answers: Answers,
        /// Texts for a validation loss over the tokens that `loss_on` says, at the price of a
        /// second pass: as a rule the questions with their answers. If empty, the loss is the
        /// mean cross-entropy of the right answer's first token.
        texts: &'a [Example],
    },
    /// Texts: loss only.
    Texts(&'a [Example]),
}

/// What a validation gave.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Validated {
    /// AUC over the questions.
    pub auc: Option<f64>,
    /// Mean cross-entropy in nats.
    pub loss: Option<f64>,
    /// P(Yes) of each question scored, in the order of [`Validated::rows`].
    pub scores: Vec<f64>,
    /// The questions that were scored, ascending (the texts, where there are no questions); all
    /// unless `max_validation_rows` says otherwise.
    pub rows: Vec<usize>,
}

/// P(Yes) against No: sigmoid(logit of yes − logit of no).
#[must_use]
pub fn yes_probability(yes: f32, no: f32) -> f64 {
    let apart = f64::from(yes) - f64::from(no);
    if apart >= 0.0 {
        1.0 / (1.0 + (-apart).exp())
    } else {
        let small = apart.exp();
        small / (1.0 + small)
    }
}

/// A validation with its rows chosen, checked and ready to be repeated.
#[derive(Debug)]
pub(super) struct Validator<'a> {
    rows: Vec<usize>,
    questions: Vec<&'a Question>,
    answers: Answers,
    texts: Vec<&'a Example>,
    loss_on: LossOn,
    pass_tokens: usize,
    shared_questions: usize,
    shared_texts: usize,
}

impl<'a> Validator<'a> {
    /// Chooses and checks the rows; `None` without validation.
    pub(super) fn new(
        validation: &Validation<'a>,
        (most, seed): (Option<usize>, u64),
        loss_on: LossOn,
        pass_tokens: usize,
        share: bool,
    ) -> Result<Option<Self>, TuneError> {
        let (questions, answers, texts): (&[Question], _, &[Example]) = match *validation {
            Validation::None => return Ok(None),
            Validation::Questions {
                questions,
                answers,
                texts,
            } => (questions, answers, texts),
            Validation::Texts(texts) => (&[], Answers { yes: 0, no: 0 }, texts),
        };
        if questions.is_empty() && texts.is_empty() {
            return Err(TuneError::Data("there are no validation rows".to_owned()));
        }
        // Questions and their texts are as many as a rule, and then the same rows are chosen.
        let choose = |count: usize| -> Vec<usize> {
            let Some(most) = most.filter(|most| *most < count) else {
                return (0..count).collect();
            };
            let mut rows = Random::new(seed, "tune/validation").permutation(count);
            rows.truncate(most);
            rows.sort_unstable();
            rows
        };
        let (question_rows, text_rows) = (choose(questions.len()), choose(texts.len()));
        let questions: Vec<&Question> = question_rows.iter().map(|&row| &questions[row]).collect();
        let texts: Vec<&Example> = text_rows.iter().map(|&row| &texts[row]).collect();
        let rows = if questions.is_empty() {
            text_rows
        } else {
            question_rows
        };
        if !questions.is_empty() {
            check_questions(&questions, answers)?;
        }
        check_examples("validation", texts.iter().copied())?;
        let shared = |sequences: Vec<&[u32]>| {
            if share { shared_prefix(sequences) } else { 0 }
        };
        Ok(Some(Self {
            shared_questions: shared(questions.iter().map(|one| &one.tokens[..]).collect()),
            shared_texts: shared(texts.iter().map(|one| &one.tokens[..]).collect()),
            rows,
            questions,
            answers,
            texts,
            loss_on,
            pass_tokens,
        }))
    }

    /// Questions that are scored.
    pub(super) fn questions(&self) -> usize {
        self.questions.len()
    }

    /// Scores all rows.
    pub(super) fn run(
        &self,
        model: &dyn LanguageModel,
        observer: &mut dyn TuneObserver,
    ) -> Result<Validated, TuneError> {
        let mut validated = Validated {
            rows: self.rows.clone(),
            ..Validated::default()
        };
        if !self.questions.is_empty() {
            let from_answers = self.texts.is_empty();
            let prompts: Vec<&[u32]> = self.questions.iter().map(|one| &one.tokens[..]).collect();
            let Answers { yes, no } = self.answers;
            let readouts = read_out_all(
                model,
                &prompts,
                &[yes, no],
                from_answers,
                self.pass_tokens,
                self.shared_questions,
                observer,
            )?;
            validated.scores = readouts
                .iter()
                .map(|readout| yes_probability(readout.logits[0], readout.logits[1]))
                .collect();
            validated.auc = self.auc(&validated.scores)?;
            if from_answers {
                validated.loss = self.answer_loss(&readouts);
            }
        }
        if !self.texts.is_empty() {
            validated.loss = Some(mean_loss(
                model,
                &self.texts,
                self.loss_on,
                self.pass_tokens,
                self.shared_texts,
                observer,
            )?);
        }
        Ok(validated)
    }

    fn auc(&self, scores: &[f64]) -> Result<Option<f64>, TuneError> {
        let predictions: Vec<Prediction> = self
            .questions
            .iter()
            .zip(scores)
            .zip(&self.rows)
            .map(|((question, score), row)| Prediction {
                row: *row as u32,
                user: None,
                label: question.label,
                score: *score,
            })
            .collect();
        Ok(Auc.compute(&predictions)?.value)
    }

    fn answer_loss(&self, readouts: &[Readout]) -> Option<f64> {
        let mut sum = 0.0;
        for (question, readout) in self.questions.iter().zip(readouts) {
            let right = readout.logits[usize::from(!question.label)];
            sum += f64::from(readout.log_normaliser?) - f64::from(right);
        }
        Some(sum / readouts.len() as f64)
    }
}

fn check_questions(questions: &[&Question], answers: Answers) -> Result<(), TuneError> {
    if answers.yes == answers.no {
        return Err(TuneError::Data(format!(
            "both answers begin with token {}: they cannot be told apart",
            answers.yes
        )));
    }
    if let Some(row) = questions.iter().position(|one| one.tokens.is_empty()) {
        return Err(TuneError::Data(format!(
            "validation question {row} has no token"
        )));
    }
    let yes = questions.iter().filter(|one| one.label).count();
    if yes == 0 || yes == questions.len() {
        return Err(TuneError::Data(format!(
            "all {} validation rows are of one class, so their AUC is not defined",
            questions.len()
        )));
    }
    Ok(())
}

/// Checks that every row has a token to learn and one to predict it from.
pub(super) fn check_examples<'a>(
    what: &str,
    examples: impl Iterator<Item = &'a Example>,
) -> Result<(), TuneError> {
    for (row, example) in examples.enumerate() {
        let (start, length) = (example.answer_start, example.tokens.len());
        if start == 0 || start >= length {
            return Err(TuneError::Data(format!(
                "{what} row {row}: its answer begins at token {start} of {length}, so there is \
                 nothing to learn or nothing to predict it from"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_symmetric_and_never_nan() {
        assert!((yes_probability(1.0, 1.0) - 0.5).abs() < 1e-15);
        let (one, two) = (yes_probability(3.0, 1.0), yes_probability(1.0, 3.0));
        assert!((one + two - 1.0).abs() < 1e-15 && one > 0.88);
        assert!(yes_probability(f32::MAX, f32::MIN) > 0.999);
        assert!(yes_probability(f32::MIN, f32::MAX) < 0.001);
    }
}
