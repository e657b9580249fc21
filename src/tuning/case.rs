//! What the tests of trainings share: rows, options, an observer that stops.

use std::path::Path;

use super::double::{Bigram, VOCABULARY};
use super::*;
use crate::base::Random;
use crate::language_model::LanguageModel;

pub(super) const YES: u32 = 1;
pub(super) const NO: u32 = 2;

/// Prompts whose last token says the answer most of the time.
pub(super) fn world(count: usize, seed: u64) -> (Vec<Example>, Vec<Question>) {
    let mut random = Random::new(seed, "world");
    (0..count)
        .map(|_| {
            let label = random.uniform() < 0.5;
            let told = if random.uniform() < 0.8 {
                label
            } else {
                !label
            };
            let mut tokens = vec![0];
            let length = 2 + random.below(5);
            tokens.extend((0..length).map(|_| 3 + random.below(VOCABULARY - 5) as u32));
            tokens.push(if told { 10 } else { 11 });
            let question = Question {
                tokens: tokens.clone(),
                label,
            };
            let answer_start = tokens.len();
            tokens.extend([if label { YES } else { NO }, 3]);
            (
                Example {
                    tokens,
                    answer_start,
                },
                question,
            )
        })
        .unzip()
}

pub(super) fn options() -> TuneOptions {
    TuneOptions {
        learning_rate: 0.05,
        weight_decay: 0.01,
        warmup_steps: 2,
        epochs: 3,
        batch_size: 8,
        micro_batch_size: 4,
        evaluate: Evaluate::Steps(2),
        patience: 3,
        ..TuneOptions::default()
    }
}

#[derive(Default)]
pub(super) struct Ear {
    pub(super) asked: std::cell::Cell<usize>,
    pub(super) stop_at: Option<usize>,
    pub(super) notes: Vec<String>,
    pub(super) steps: usize,
}

impl TuneObserver for Ear {
    fn step(&mut self, progress: &Progress) {
        assert!(progress.step <= progress.total_steps);
        self.steps += 1;
    }

    fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }

    fn is_cancelled(&self) -> bool {
        self.asked.set(self.asked.get() + 1);
        self.stop_at.is_some_and(|at| self.asked.get() > at)
    }
}

pub(super) struct Case {
    pub(super) train: Vec<Example>,
    pub(super) questions: Vec<Question>,
    pub(super) texts: Vec<Example>,
}

impl Case {
    pub(super) fn new(count: usize) -> Self {
        let (train, _) = world(count, 1);
        let (texts, questions) = world(40, 2);
        Self {
            train,
            questions,
            texts,
        }
    }

    pub(super) fn task(&self) -> Task<'_> {
        Task {
            train: &self.train,
            validation: Validation::Questions {
                questions: &self.questions,
                answers: Answers { yes: YES, no: NO },
                texts: &self.texts,
            },
            dropout: 0.1,
            base: "bigram",
        }
    }

    pub(super) fn run(
        &self,
        options: &TuneOptions,
        resources: &Resources,
        folder: Option<&Path>,
        ear: &mut Ear,
    ) -> (Bigram, Result<Tuned, TuneError>) {
        let mut model = Bigram::new(3);
        let mut hooks = Hooks {
            observer: ear,
            folder,
        };
        let tuned = tune(&mut model, &self.task(), options, resources, &mut hooks);
        (model, tuned)
    }
}

pub(super) fn bits(model: &Bigram) -> Vec<u32> {
    let all = model.parameters().iter();
    all.flat_map(|(_, one)| one.values.iter().map(|value| value.to_bits()))
        .collect()
}
