//! Sequences cut into passes through the model that bound memory.

use std::ops::Range;

use super::{Example, LossOn, TuneError, TuneObserver};
use crate::language_model::{Batch, LanguageModel, Readout, Sequence, Target};

/// How many first tokens all sequences share, leaving each at least one of its own.
#[must_use]
pub fn shared_prefix<'a>(sequences: impl IntoIterator<Item = &'a [u32]>) -> usize {
    let mut sequences = sequences.into_iter();
    let Some(first) = sequences.next() else {
        return 0;
    };
    let longest = first.len().saturating_sub(1);
    sequences.fold(longest, |shared, sequence| {
        let same = first
            .iter()
            .zip(sequence)
            .take_while(|(one, two)| one == two);
        let same = same.count();
        shared.min(same).min(sequence.len().saturating_sub(1))
    })
}

/// Cuts sequences of these lengths into passes of at most `most` tokens, in their order; a longer
/// one passes alone. What is shared counts once a pass.
pub(super) fn cut(lengths: &[usize], most: usize, shared: usize) -> Vec<Range<usize>> {
    let mut passes = Vec::new();
    let (mut start, mut tokens) = (0, shared);
    for (at, length) in lengths.iter().enumerate() {
        let own = length.saturating_sub(shared);
        if at > start && tokens + own > most {
            passes.push(start..at);
            (start, tokens) = (at, shared);
        }
        tokens += own;
    }
    if start < lengths.len() {
        passes.push(start..lengths.len());
    }
    passes
}

/// A row as a sequence with its targets, all of one weight.
pub(super) fn sequence(example: &Example, on: LossOn, weight: f32, stream: u64) -> Sequence {
    let targets = (first_target(example, on)..example.tokens.len()).map(|at| Target {
        position: at - 1,
        token: example.tokens[at],
        weight,
    });
    Sequence {
        targets: targets.collect(),
        tokens: example.tokens.clone(),
        stream,
    }
}

/// How many tokens of a row are learnt.
pub(super) fn target_count(example: &Example, on: LossOn) -> usize {
    example
        .tokens
        .len()
        .saturating_sub(first_target(example, on))
}

/// The first token of a row that is learnt.
pub(super) fn first_target(example: &Example, on: LossOn) -> usize {
    match on {
        LossOn::Whole => 1,
        LossOn::Answer => example.answer_start.max(1),
    }
}

/// Reads out many sequences in passes of at most `pass_tokens` tokens, in their order.
///
/// `shared` first tokens are computed once a pass (see [`shared_prefix`]); 0 for a plain pass.
///
/// # Errors
/// If the model fails or the observer cancels.
pub fn read_out_all(
    model: &dyn LanguageModel,
    sequences: &[&[u32]],
    asked: &[u32],
    normalised: bool,
    pass_tokens: usize,
    shared: usize,
    observer: &mut dyn TuneObserver,
) -> Result<Vec<Readout>, TuneError> {
    let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.len()).collect();
    let mut all = Vec::with_capacity(sequences.len());
    for pass in cut(&lengths, pass_tokens, shared) {
        if observer.is_cancelled() {
            return Err(TuneError::Cancelled { saved: false });
        }
        let batch = Batch {
            sequences: sequences[pass]
                .iter()
                .map(|tokens| Sequence {
                    tokens: tokens.to_vec(),
                    ..Sequence::default()
                })
                .collect(),
            shared_prefix: shared,
        };
        all.extend(model.read_out(&batch, asked, normalised)?);
        observer.validating(all.len(), sequences.len());
    }
    Ok(all)
}

/// Mean cross-entropy in nats over all targets of some texts, without dropout.
pub(super) fn mean_loss(
    model: &dyn LanguageModel,
    texts: &[&Example],
    on: LossOn,
    pass_tokens: usize,
    shared: usize,
    observer: &mut dyn TuneObserver,
) -> Result<f64, TuneError> {
    let lengths: Vec<usize> = texts.iter().map(|text| text.tokens.len()).collect();
    let (mut sum, mut done) = (0.0, 0);
    for pass in cut(&lengths, pass_tokens, shared) {
        if observer.is_cancelled() {
            return Err(TuneError::Cancelled { saved: false });
        }
        let batch = Batch {
            sequences: texts[pass]
                .iter()
                .map(|text| sequence(text, on, 1.0, 0))
                .collect(),
            shared_prefix: shared,
        };
        sum += model.loss(&batch)?;
        done += batch.sequences.len();
        observer.validating(done, texts.len());
    }
    let targets: usize = texts.iter().map(|text| target_count(text, on)).sum();
    Ok(sum / targets as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_hold_what_fits_and_a_long_row_alone() {
        assert_eq!(cut(&[3, 3, 3, 9, 1, 1], 6, 0), [0..2, 2..3, 3..4, 4..6]);
        assert_eq!(cut(&[3, 3, 3, 3, 3], 6, 2), [0..4, 4..5]);
        assert_eq!(cut(&[], 6, 0), Vec::<Range<usize>>::new());
    }

    #[test]
    fn a_shared_prefix_leaves_a_token() {
        let shared = |list: &[&[u32]]| shared_prefix(list.iter().copied());
        assert_eq!(shared(&[&[1, 2, 3], &[1, 2, 4, 5]]), 2);
        assert_eq!(shared(&[&[1, 2, 3], &[1, 2, 3]]), 2);
        assert_eq!(shared(&[&[1, 2, 3], &[1]]), 0);
        assert_eq!(shared(&[]), 0);
    }

    #[test]
    fn targets_are_predicted_by_the_token_before() {
        let row = Example {
            tokens: vec![5, 6, 7, 8],
            answer_start: 2,
        };
        let places = |on| -> Vec<(usize, u32)> {
            let targets = sequence(&row, on, 1.0, 0).targets;
            targets.iter().map(|at| (at.position, at.token)).collect()
        };
        assert_eq!(places(LossOn::Answer), [(1, 7), (2, 8)]);
        assert_eq!(places(LossOn::Whole), [(0, 6), (1, 7), (2, 8)]);
        assert_eq!(target_count(&row, LossOn::Answer), 2);
    }
}
