//! The training as a whole, on a model whose gradients are known.

use super::case::{Case, Ear, bits, options};
use super::double::Bigram;
use super::*;
use crate::language_model::{LanguageModel, Pass};

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
