//! Trainings that are stopped and go on from their state.

use super::case::{Case, Ear, bits, options};
use super::*;

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
