//! A hash of all that a training's result depends on.

use super::tune::Task;
use super::{Example, TuneOptions, Validation};
use crate::language_model::Parameters;

/// Names a training: options, rows, the parameters it starts from, the weights it keeps.
pub(super) fn fingerprint(task: &Task<'_>, options: &TuneOptions, start: &Parameters) -> String {
    let mut hasher = Hasher(blake3::Hasher::new());
    // Options are plain numbers and names, which always have a JSON form.
    hasher.bytes(
        serde_json::to_string(options)
            .unwrap_or_default()
            .as_bytes(),
    );
    hasher.bytes(task.base.as_bytes());
    hasher.word(task.dropout.to_bits());
    hasher.examples(task.train);
    match task.validation {
        Validation::None => hasher.word(0),
        Validation::Texts(texts) => {
            hasher.word(1);
            hasher.examples(texts);
        }
        Validation::Questions {
            questions,
            answers,
            texts,
        } => {
            hasher.word(2);
            hasher.word(u64::from(answers.yes));
            hasher.word(u64::from(answers.no));
            hasher.word(questions.len() as u64);
            for question in questions {
                hasher.tokens(&question.tokens);
                hasher.word(u64::from(question.label));
            }
            hasher.examples(texts);
        }
    }
    for (name, parameter) in start.iter() {
        hasher.bytes(name.as_bytes());
        hasher.word(parameter.values.len() as u64);
        for value in &parameter.values {
            hasher.0.update(&value.to_le_bytes());
        }
    }
    hasher.0.finalize().to_hex().to_string()
}

struct Hasher(blake3::Hasher);

impl Hasher {
    fn word(&mut self, word: u64) {
        self.0.update(&word.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn tokens(&mut self, tokens: &[u32]) {
        self.word(tokens.len() as u64);
        for token in tokens {
            self.0.update(&token.to_le_bytes());
        }
    }

    fn examples(&mut self, examples: &[Example]) {
        self.word(examples.len() as u64);
        for example in examples {
            self.tokens(&example.tokens);
            self.word(example.answer_start as u64);
        }
    }
}
