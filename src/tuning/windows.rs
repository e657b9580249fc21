//! Which rows each optimiser step takes, in which order.
//!
//! An epoch is a seeded order of the rows, cut into micro-batches of which the last may be
//! smaller. All epochs together are one sequence of micro-batches, and a step takes the next
//! `accumulation` of them. That is how transformers 4.28 counts: what an epoch leaves over goes
//! into the next epoch's first step. Only where an epoch has no more micro-batches than a step
//! takes, its end ends a step too. Under reductions that know no micro-batches, a step is one.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{Evaluate, Example, Reduction, TuneError, TuneOptions};
use crate::base::Random;

/// A training row of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Passes over the rows before this one.
    pub epoch: usize,
    /// Index of the row.
    pub row: usize,
}

impl Place {
    /// Names the stream that this row's dropout draws from in this epoch.
    #[must_use]
    pub fn stream(self) -> u64 {
        (self.epoch as u64) << 32 | self.row as u64
    }
}

/// The rows of all steps.
#[derive(Debug)]
pub struct Windows {
    lengths: Vec<usize>,
    shuffled: bool,
    grouped: bool,
    batch: usize,
    seed: u64,
    micro: usize,
    /// Micro-batches of an epoch.
    per_epoch: usize,
    steps_per_epoch: usize,
    /// For each step, the number of micro-batches up to its end.
    ends: Vec<usize>,
    orders: BTreeMap<usize, Vec<usize>>,
}

impl Windows {
    /// Plans a training on these rows.
    ///
    /// # Errors
    /// If there are no rows.
    pub fn new(rows: &[Example], options: &TuneOptions) -> Result<Self, TuneError> {
        let lengths = rows.iter().map(|row| row.tokens.len());
        Self::of_lengths(lengths.collect(), options)
    }

    /// Plans a training on rows of which only the lengths in tokens are known.
    ///
    /// # Errors
    /// If there are no rows.
    pub fn of_lengths(lengths: Vec<usize>, options: &TuneOptions) -> Result<Self, TuneError> {
        if lengths.is_empty() {
            return Err(TuneError::Data("there are no training rows".to_owned()));
        }
        let micro = match options.reduction {
            Reduction::MicroMean => options.micro_batch_size,
            Reduction::TokenMean | Reduction::RowMean => options.batch_size,
        };
        let accumulation = options.accumulation();
        let per_epoch = lengths.len().div_ceil(micro.max(1));
        let steps_per_epoch = (per_epoch / accumulation).max(1);
        let total = options
            .max_steps
            .unwrap_or(options.epochs * steps_per_epoch);
        let mut ends = Vec::with_capacity(total);
        let mut count = 0;
        while ends.len() < total {
            count += 1;
            let epoch_ends = per_epoch <= accumulation && count % per_epoch == 0;
            if count % accumulation == 0 || epoch_ends {
                ends.push(count);
            }
        }
        Ok(Self {
            lengths,
            shuffled: options.shuffle,
            grouped: options.group_by_length,
            batch: options.batch_size,
            seed: options.seed,
            micro: micro.max(1),
            per_epoch,
            steps_per_epoch,
            ends,
            orders: BTreeMap::new(),
        })
    }

    /// Optimiser steps in all.
    #[must_use]
    pub fn total(&self) -> usize {
        self.ends.len()
    }

    /// Passes over the rows done after so many steps, a part of one included.
    #[must_use]
    pub fn epoch_after(&self, steps: usize) -> f64 {
        let Some(&end) = steps.checked_sub(1).and_then(|last| self.ends.get(last)) else {
            return 0.0;
        };
        // In rows, since an epoch's last micro-batch may be smaller.
        let (epochs, left) = (end / self.per_epoch, end % self.per_epoch);
        epochs as f64 + (left * self.micro) as f64 / self.lengths.len() as f64
    }

    /// Whether the validation is due after so many steps.
    #[must_use]
    pub fn is_due(&self, steps: usize, evaluate: Evaluate) -> bool {
        let every = |interval: usize| steps.is_multiple_of(interval.max(1));
        steps > 0
            && (steps == self.total()
                || match evaluate {
                    Evaluate::Steps(interval) => every(interval),
                    Evaluate::Epoch => {
                        let ends = |step: usize| self.ends[step - 1] / self.per_epoch;
                        ends(steps) > if steps > 1 { ends(steps - 1) } else { 0 }
                    }
                    Evaluate::Released => every(Evaluate::released_interval(self.lengths.len())),
                })
    }

    /// Steps of a full epoch, at least 1.
    #[must_use]
    pub fn steps_per_epoch(&self) -> usize {
        self.steps_per_epoch
    }

    /// The rows of a step, counted from 0, by micro-batch; none after the last step.
    pub fn window(&mut self, step: usize) -> Vec<Vec<Place>> {
        let Some(&end) = self.ends.get(step) else {
            return Vec::new();
        };
        let start = if step == 0 { 0 } else { self.ends[step - 1] };
        (start..end).map(|micro| self.micro_batch(micro)).collect()
    }

    fn micro_batch(&mut self, index: usize) -> Vec<Place> {
        let (epoch, at) = (index / self.per_epoch, index % self.per_epoch);
        if !self.orders.contains_key(&epoch) {
            // Windows are asked for in order: older epochs are done.
            self.orders.retain(|kept, _| kept + 1 >= epoch);
            let order = self.order(epoch);
            self.orders.insert(epoch, order);
        }
        let order = self.orders.get(&epoch).map_or(&[][..], Vec::as_slice);
        let rows = order.chunks(self.micro).nth(at).unwrap_or_default();
        rows.iter().map(|&row| Place { epoch, row }).collect()
    }

    fn order(&self, epoch: usize) -> Vec<usize> {
        let order = if self.shuffled {
            let mut random = Random::new(self.seed, &format!("tune/order/{epoch}"));
            random.permutation(self.lengths.len())
        } else {
            (0..self.lengths.len()).collect()
        };
        if self.grouped {
            group_by_length(&order, &self.lengths, self.batch)
        } else {
            order
        }
    }
}

/// transformers' `get_length_grouped_indices`: a random order, cut into large pieces each sorted
/// by length, the longest row of all first.
fn group_by_length(order: &[usize], lengths: &[usize], batch: usize) -> Vec<usize> {
    let batches = (lengths.len() / (batch * 4)).clamp(1, 50);
    let mut pieces: Vec<Vec<usize>> = order.chunks(batches * batch).map(<[_]>::to_vec).collect();
    for piece in &mut pieces {
        piece.sort_by_key(|&row| Reverse(lengths[row]));
    }
    let longest = |piece: &Vec<usize>| piece.first().map_or(0, |&row| lengths[row]);
    // Of equals the first, which `max_by_key` would not give.
    let most = pieces.iter().map(longest).max().unwrap_or(0);
    if let Some(at) = pieces.iter().position(|piece| longest(piece) == most)
        && at > 0
    {
        let (first, others) = pieces.split_at_mut(at);
        std::mem::swap(&mut first[0][0], &mut others[0][0]);
    }
    pieces.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(lengths: &[usize]) -> Vec<Example> {
        let row = |length: &usize| Example {
            tokens: vec![1; *length],
            answer_start: 1,
        };
        lengths.iter().map(row).collect()
    }

    fn plan(count: usize, batch: usize, micro: usize, reduction: Reduction) -> Windows {
        let options = TuneOptions {
            batch_size: batch,
            micro_batch_size: micro,
            epochs: 4,
            reduction,
            ..TuneOptions::default()
        };
        Windows::new(&rows(&vec![3; count]), &options).expect("rows")
    }

    fn sizes(windows: &mut Windows) -> Vec<Vec<usize>> {
        (0..windows.total())
            .map(|step| windows.window(step).iter().map(Vec::len).collect())
            .collect()
    }

    #[test]
    fn without_shuffling_rows_come_as_given() {
        let options = TuneOptions {
            batch_size: 2,
            epochs: 2,
            reduction: Reduction::TokenMean,
            shuffle: false,
            ..TuneOptions::default()
        };
        let mut windows = Windows::new(&rows(&[3; 4]), &options).expect("rows");
        let order: Vec<usize> = (0..4)
            .flat_map(|step| windows.window(step).concat())
            .map(|at| at.row)
            .collect();
        assert_eq!(order, [0, 1, 2, 3, 0, 1, 2, 3]);
    }

    #[test]
    fn few_rows_are_one_step_an_epoch() {
        let mut windows = plan(6, 16, 4, Reduction::MicroMean);
        assert_eq!(sizes(&mut windows), vec![vec![4, 2]; 4]);
        let mut seen: Vec<usize> = windows.window(3).concat().iter().map(|at| at.row).collect();
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
        assert_ne!(
            windows.window(0).concat()[0].stream(),
            windows.window(1).concat()[0].stream()
        );
        assert!((windows.epoch_after(1) - 1.0).abs() < 1e-12);
        assert!(windows.is_due(1, Evaluate::Epoch) && windows.is_due(2, Evaluate::Epoch));
    }

    /// Counted by hand from the condition in `Trainer._inner_training_loop` of 4.28.1:
    /// `total_batched_samples % 4 == 0 or (3 <= 4 and step + 1 == 3)`.
    #[test]
    fn three_micro_batches_of_four_step_as_in_4_28() {
        let mut windows = plan(12, 16, 4, Reduction::MicroMean);
        let counts: Vec<usize> = sizes(&mut windows).iter().map(Vec::len).collect();
        assert_eq!(counts, [3, 1, 2, 2]);
        assert_eq!(windows.steps_per_epoch(), 1);
    }

    #[test]
    fn leftovers_go_into_the_next_epoch_or_are_a_step() {
        let mut windows = plan(22, 8, 4, Reduction::MicroMean);
        // 6 micro-batches an epoch, the last with 2 rows; 3 steps an epoch, nothing left over.
        assert_eq!(sizes(&mut windows)[..3], [[4, 4], [4, 4], [4, 2]]);
        let mut windows = plan(18, 8, 4, Reduction::MicroMean);
        // 5 micro-batches an epoch: the fifth starts the third step.
        assert_eq!(windows.total(), 8);
        let third = windows.window(2);
        assert_eq!((third[0].len(), third[1].len()), (2, 4));
        assert_eq!((third[0][0].epoch, third[1][0].epoch), (0, 1));
        assert!(!windows.is_due(2, Evaluate::Epoch) && windows.is_due(3, Evaluate::Epoch));
        let mut windows = plan(18, 8, 4, Reduction::TokenMean);
        assert_eq!(sizes(&mut windows)[..4], [[8], [8], [2], [8]]);
        assert!((windows.epoch_after(2) - 16.0 / 18.0).abs() < 1e-12);
        assert!((windows.epoch_after(3) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn steps_can_be_asked_for_out_of_order() {
        let mut one = plan(18, 8, 4, Reduction::MicroMean);
        let all: Vec<_> = (0..one.total()).map(|step| one.window(step)).collect();
        let mut two = plan(18, 8, 4, Reduction::MicroMean);
        assert_eq!(two.window(5), all[5]);
        assert_eq!(two.window(0), all[0]);
        assert!(two.window(all.len()).is_empty());
    }

    /// `get_length_grouped_indices(lengths, 2, mega_batch_mult=2)` for the order 0, 1, …
    #[test]
    fn groups_are_sorted_and_the_longest_row_is_first() {
        let lengths = [3, 9, 5, 9, 12, 4, 7, 12, 1, 2, 3, 4, 5, 6, 7, 8, 2];
        let found = group_by_length(&(0..17).collect::<Vec<_>>(), &lengths, 2);
        assert_eq!(
            found,
            [4, 3, 2, 0, 1, 7, 6, 5, 11, 10, 9, 8, 15, 14, 13, 12, 16]
        );
    }
}
