//! The training as a whole, on a model whose gradients are known.

use std::path::Path;

use super::double::{Bigram, VOCABULARY};
use super::*;
use crate::base::Random;
use crate::language_model::{LanguageModel, Pass};

const YES: u32 = 1;
const NO: u32 = 2;

/// Prompts whose last token says the answer most of the time.
fn world(count: usize, seed: u64) -> (Vec<Example>, Vec<Question>) {
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

fn options() -> TuneOptions {
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
struct Ear {
    asked: std::cell::Cell<usize>,
    stop_at: Option<usize>,
    notes: Vec<String>,
    steps: usize,
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

struct Case {
    train: Vec<Example>,
    questions: Vec<Question>,
    texts: Vec<Example>,
}

impl Case {
    fn new(count: usize) -> Self {
        let (train, _) = world(count, 1);
        let (texts, questions) = world(40, 2);
        Self {
            train,
            questions,
            texts,
        }
    }

    fn task(&self) -> Task<'_> {
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

    fn run(
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

fn bits(model: &Bigram) -> Vec<u32> {
    let all = model.parameters().iter();
    all.flat_map(|(_, one)| one.values.iter().map(|value| value.to_bits()))
        .collect()
}

#[test]
fn a_training_learns_and_its_best_state_is_what_is_left() {
    let case = Case::new(64);
    let mut ear = Ear::default();
    let options = TuneOptions {
        epochs: 12,
        patience: 0,
        ..options()
    };
    let (model, tuned) = case.run(&options, &Resources::default(), None, &mut ear);
    let tuned = tuned.expect("trained");
    assert_eq!((tuned.steps, tuned.total_steps, ear.steps), (96, 96, 96));
    let validated: Vec<&CurvePoint> = tuned
        .curve
        .iter()
        .filter(|point| point.validation_auc.is_some())
        .collect();
    assert_eq!(validated.len(), 48);
    let best = validated
        .iter()
        .map(|point| point.validation_auc.expect("validated"))
        .fold(0.0, f64::max);
    let validation = tuned.validation.expect("validated");
    assert_eq!(validation.auc, Some(best));
    assert!(best > 0.7, "{best}");
    assert_eq!(validation.scores.len(), 40);
    let first = validated
        .iter()
        .find(|point| point.validation_auc == Some(best));
    assert_eq!(first.expect("the best").step, tuned.chosen_step);
    assert!(tuned.curve[95].loss < 0.8 * tuned.curve[0].loss);
    assert!(tuned.warnings.is_empty(), "{:?}", tuned.warnings);
    assert!((tuned.epochs - 12.0).abs() < 1e-12);

    // The last state is another one.
    let last = TuneOptions {
        keep: Keep::Last,
        ..options
    };
    let (other, tuned) = case.run(&last, &Resources::default(), None, &mut Ear::default());
    let tuned = tuned.expect("trained");
    assert_eq!(tuned.chosen_step, 96);
    assert!(tuned.best_step < Some(96));
    assert_ne!(bits(&model), bits(&other));
}

/// Stops a training at every point where it can be stopped, lets it go on from its state, and
/// compares everything to the bit.
#[test]
fn a_training_stopped_anywhere_ends_with_the_same_bytes() {
    let case = Case::new(18);
    for options in [
        options(),
        TuneOptions {
            reduction: Reduction::TokenMean,
            group_by_length: true,
            shared_prefix: true,
            keep: Keep::Last,
            patience: 1,
            ..options()
        },
    ] {
        let resources = Resources {
            pass_tokens: 40,
            ..Resources::default()
        };
        let mut ear = Ear::default();
        let (whole_model, whole) = case.run(&options, &resources, None, &mut ear);
        let whole = whole.expect("trained");
        let mut stops = 0;
        for at in 0..ear.asked.get() {
            let folder = tempfile::tempdir().expect("folder");
            let mut ear = Ear {
                stop_at: Some(at),
                ..Ear::default()
            };
            let (_, stopped) = case.run(&options, &resources, Some(folder.path()), &mut ear);
            match stopped {
                Err(TuneError::Cancelled { saved: true }) => stops += 1,
                other => panic!("stopped at {at}: {other:?}"),
            }
            let mut ear = Ear::default();
            let (model, tuned) = case.run(&options, &resources, Some(folder.path()), &mut ear);
            assert_eq!(tuned.expect("trained"), whole, "stopped at {at}");
            assert_eq!(bits(&model), bits(&whole_model), "stopped at {at}");
            assert!(
                ear.notes[0].starts_with("going on after step"),
                "{:?}",
                ear.notes
            );
        }
        assert!(stops > 20, "{stops}");
    }
}

/// As above, but stopped again and again: each run does one step and is stopped.
#[test]
fn a_training_stopped_all_the_time_ends_with_the_same_bytes() {
    let case = Case::new(18);
    let (whole_model, whole) =
        case.run(&options(), &Resources::default(), None, &mut Ear::default());
    let folder = tempfile::tempdir().expect("folder");
    for _ in 0..100 {
        let mut ear = Ear {
            stop_at: Some(4),
            ..Ear::default()
        };
        let (model, tuned) = case.run(
            &options(),
            &Resources::default(),
            Some(folder.path()),
            &mut ear,
        );
        match tuned {
            Ok(tuned) => {
                assert_eq!(tuned, whole.expect("trained"));
                assert_eq!(bits(&model), bits(&whole_model));
                return;
            }
            Err(TuneError::Cancelled { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("never done");
}

#[test]
fn a_state_of_another_training_is_not_used() {
    let case = Case::new(18);
    let folder = tempfile::tempdir().expect("folder");
    let resources = Resources {
        save_every_steps: 1,
        ..Resources::default()
    };
    let (_, tuned) = case.run(
        &options(),
        &resources,
        Some(folder.path()),
        &mut Ear::default(),
    );
    tuned.expect("trained");
    let other = TuneOptions {
        learning_rate: 0.04,
        ..options()
    };
    let mut ear = Ear::default();
    let (model, tuned) = case.run(&other, &resources, Some(folder.path()), &mut ear);
    assert!(ear.notes[0].contains("another training"), "{:?}", ear.notes);
    let (fresh, same) = case.run(&other, &resources, None, &mut Ear::default());
    assert_eq!(tuned.expect("trained"), same.expect("trained"));
    assert_eq!(bits(&model), bits(&fresh));

    let path = folder.path().join(state::STATE_FILE);
    let half = std::fs::read(&path).expect("bytes");
    std::fs::write(&path, &half[..half.len() / 2]).expect("write");
    let mut ear = Ear::default();
    case.run(&other, &resources, Some(folder.path()), &mut ear)
        .1
        .expect("trained");
    assert!(ear.notes[0].contains("damaged"), "{:?}", ear.notes);
}

#[test]
fn patience_ends_a_training() {
    let case = Case::new(64);
    let options = TuneOptions {
        epochs: 100,
        patience: 2,
        ..options()
    };
    let (_, tuned) = case.run(&options, &Resources::default(), None, &mut Ear::default());
    let tuned = tuned.expect("trained");
    assert!(tuned.stopped_early && tuned.steps < tuned.total_steps);
    assert_eq!(tuned.best_step, Some(tuned.steps - 4));
    assert_eq!(tuned.chosen_step, tuned.steps - 4);

    let by_loss = TuneOptions {
        select_by: SelectBy::Loss,
        loss_on: LossOn::Answer,
        evaluate: Evaluate::Epoch,
        ..options
    };
    let (_, tuned) = case.run(&by_loss, &Resources::default(), None, &mut Ear::default());
    let tuned = tuned.expect("trained");
    let losses: Vec<f64> = tuned
        .curve
        .iter()
        .filter_map(|at| at.validation_loss)
        .collect();
    let best = losses.iter().copied().fold(f64::MAX, f64::min);
    assert_eq!(tuned.validation.expect("validated").loss, Some(best));
    assert_eq!(tuned.steps % 8, 0);
}

#[test]
fn passes_bound_memory_and_change_rounding_only() {
    let case = Case::new(64);
    let run = |pass_tokens, reduction| {
        let resources = Resources {
            pass_tokens,
            ..Resources::default()
        };
        let options = TuneOptions {
            reduction,
            ..options()
        };
        let (model, tuned) = case.run(&options, &resources, None, &mut Ear::default());
        (model, tuned.expect("trained"))
    };
    for reduction in [
        Reduction::MicroMean,
        Reduction::TokenMean,
        Reduction::RowMean,
    ] {
        let (one, whole) = run(100_000, reduction);
        let (two, pieces) = run(25, reduction);
        assert!(one.largest_pass > 25 && two.largest_pass <= 25);
        for (here, there) in whole.curve.iter().zip(&pieces.curve) {
            assert!((here.loss - there.loss).abs() < 1e-5);
            assert!((here.gradient_norm - there.gradient_norm).abs() < 1e-4);
        }
    }
}

#[test]
fn reductions_weigh_as_they_say() {
    let row = |length: usize, answer_start| Example {
        tokens: (0..length as u32).map(|at| at % 12).collect(),
        answer_start,
    };
    let examples = [row(3, 1), row(6, 1), row(4, 1)];
    let loss = |examples: &[&Example]| {
        let texts: Vec<&Example> = examples.to_vec();
        pass::mean_loss(&Bigram::new(3), &texts, LossOn::Whole, 99, 0, &mut Silent).expect("loss")
    };
    let rows: Vec<Row<'_>> = examples
        .iter()
        .map(|example| Row { example, stream: 0 })
        .collect();
    let window = [rows[..2].to_vec(), rows[2..].to_vec()];
    let losses = |reduction| {
        let mut model = Bigram::new(3);
        let mut optimiser = AdamW::new(model.parameters(), AdamWOptions::default());
        let recipe = Recipe {
            loss_on: LossOn::Whole,
            reduction,
            accumulation: 4,
            clip: None,
            pass_tokens: 99,
            shared_prefix: 0,
        };
        let pass = Pass::default();
        let rate = (1, 0.0);
        let done = step(
            &mut model,
            &mut optimiser,
            &window,
            &recipe,
            &pass,
            rate,
            &Silent,
        );
        let done = done.expect("a step");
        assert_eq!((done.tokens, done.targets), (13, 10));
        (done.loss, done.mean_loss)
    };
    let [one, two, three] = [0, 1, 2].map(|at| loss(&[&examples[at]]));
    let near = |found: (f64, f64), loss: f64, mean: f64| {
        assert!(
            (found.0 - loss).abs() < 1e-6 && (found.1 - mean).abs() < 1e-6,
            "{found:?}"
        );
    };
    let first = (2.0 * one + 5.0 * two) / 7.0;
    let sum = first + three;
    near(losses(Reduction::MicroMean), sum / 4.0, sum / 2.0);
    let all = (2.0 * one + 5.0 * two + 3.0 * three) / 10.0;
    near(losses(Reduction::TokenMean), all, all);
    let rows = (one + two + three) / 3.0;
    near(losses(Reduction::RowMean), rows, rows);
}

#[test]
fn what_cannot_be_trained_says_why() {
    let case = Case::new(8);
    let fails = |change: &dyn Fn(&mut TuneOptions), task: &Task<'_>| -> String {
        let mut options = options();
        change(&mut options);
        let mut model = Bigram::new(3);
        let mut hooks = Hooks {
            observer: &mut Silent,
            folder: None,
        };
        let tuned = tune(
            &mut model,
            task,
            &options,
            &Resources::default(),
            &mut hooks,
        );
        tuned.expect_err("must fail").to_string()
    };
    let task = case.task();
    let same = |_: &mut TuneOptions| {};
    let contains = |text: String, part: &str| assert!(text.contains(part), "{text}");
    contains(fails(&|o| o.epochs = 0, &task), "`epochs`: is 0");
    contains(
        fails(&same, &Task { train: &[], ..task }),
        "no training rows",
    );
    let short = [Example {
        tokens: vec![1],
        answer_start: 1,
    }];
    contains(
        fails(
            &same,
            &Task {
                train: &short,
                ..task
            },
        ),
        "training row 0",
    );
    let validation = Validation::Texts(&case.texts);
    contains(fails(&same, &Task { validation, ..task }), "`select_by`");
    let questions = |answers, questions| Validation::Questions {
        questions,
        answers,
        texts: &[],
    };
    let validation = questions(Answers { yes: 4, no: 4 }, &case.questions);
    contains(
        fails(&same, &Task { validation, ..task }),
        "begin with token 4",
    );
    let yes: Vec<Question> = case
        .questions
        .iter()
        .filter(|one| one.label)
        .cloned()
        .collect();
    let validation = questions(Answers { yes: 1, no: 2 }, &yes);
    contains(fails(&same, &Task { validation, ..task }), "of one class");

    let mut model = Bigram::new(3);
    let bias = model.parameters_mut().get_mut("bias").expect("there");
    bias.values[0] = f32::NAN;
    let mut hooks = Hooks {
        observer: &mut Silent,
        folder: None,
    };
    let error = tune(
        &mut model,
        &task,
        &options(),
        &Resources::default(),
        &mut hooks,
    );
    let error = error.expect_err("diverged");
    contains(error.to_string(), "the loss is NaN at optimiser step 1");
    contains(error.to_string(), "lower `learning_rate`");
}

#[test]
fn validation_rows_can_be_fewer_and_texts_alone_do() {
    let case = Case::new(16);
    let few = TuneOptions {
        max_validation_rows: Some(15),
        ..options()
    };
    let (_, tuned) = case.run(&few, &Resources::default(), None, &mut Ear::default());
    let validation = tuned.expect("trained").validation.expect("validated");
    assert_eq!((validation.rows.len(), validation.scores.len()), (15, 15));
    assert!(validation.rows.is_sorted());

    let mut hooks = Hooks {
        observer: &mut Silent,
        folder: None,
    };
    let by_loss = TuneOptions {
        select_by: SelectBy::Loss,
        ..options()
    };
    let task = Task {
        validation: Validation::Texts(&case.texts),
        ..case.task()
    };
    let resources = Resources::default();
    let tuned = tune(&mut Bigram::new(3), &task, &by_loss, &resources, &mut hooks);
    let validation = tuned.expect("trained").validation.expect("validated");
    assert!(validation.auc.is_none() && validation.loss.is_some());

    let task = Task {
        validation: Validation::None,
        ..task
    };
    let tuned = tune(
        &mut Bigram::new(3),
        &task,
        &options(),
        &resources,
        &mut hooks,
    );
    let tuned = tuned.expect("trained");
    assert_eq!((tuned.chosen_step, tuned.best_step), (tuned.steps, None));
    assert!(tuned.validation.is_none());
}
