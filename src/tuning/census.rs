//! The passes that a training or a scoring will make, from the lengths of rows alone.

use serde::{Deserialize, Serialize};

use super::pass::cut;
use super::windows::Windows;
use super::{Evaluate, LossOn, Reduction, TuneError, TuneOptions};
use crate::language_model::memory::PassSize;
use crate::language_model::operations::Amount;

/// Rows that are looked at one by one; what comes after them is taken to be alike.
const MOST_ROWS: usize = 400_000;

/// The lengths of texts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lengths {
    /// Tokens of each, and the first that is learnt, as [`super::Example::answer_start`] says.
    pub rows: Vec<(usize, usize)>,
    /// First tokens that all share.
    pub shared: usize,
}

/// What passes there will be.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Census {
    /// The largest, by rows and by rows asked: not always the same one.
    pub largest: Vec<PassSize>,
    /// All together.
    pub amount: Amount,
    /// Optimiser steps; 0 where nothing is trained.
    pub steps: usize,
    /// Times that the validation rows are scored.
    pub validations: usize,
}

impl Census {
    fn add(&mut self, size: PassSize, amount: Amount) {
        self.amount = self.amount.and(amount);
        let larger = |one: &PassSize| one.rows < size.rows || one.asked < size.asked;
        if self.largest.iter().all(larger) || self.largest.iter().any(larger) {
            let within = |one: &PassSize| one.rows <= size.rows && one.asked <= size.asked;
            let beyond = self
                .largest
                .iter()
                .any(|one| one.rows >= size.rows && one.asked >= size.asked);
            if !beyond {
                self.largest.retain(|one| !within(one));
                self.largest.push(size);
            }
        }
    }
}

/// A pass over some texts, of whose rows those are asked whose next token is learnt, or with
/// `ends` the last ones alone.
fn measure(rows: &[(usize, usize)], prefix: usize, on: LossOn, ends: bool) -> (PassSize, Amount) {
    let mut size = PassSize {
        rows: prefix,
        sequences: rows.len(),
        prefix,
        ..PassSize::default()
    };
    let mut amount = Amount::default();
    let mut in_prefix = 0;
    let pairs = |tokens: usize| (tokens * (tokens + 1)) as f64 / 2.0;
    for (length, answer_start) in rows {
        let length = *length;
        size.rows += length.saturating_sub(prefix);
        size.longest = size.longest.max(length);
        amount.pairs += pairs(length) - pairs(prefix);
        if ends {
            size.asked += 1;
            continue;
        }
        let first = match on {
            LossOn::Whole => 1,
            LossOn::Answer => (*answer_start).max(1),
        };
        in_prefix = in_prefix.max((prefix + 1).saturating_sub(first.max(1)).min(prefix));
        size.asked += length.saturating_sub(first.max(prefix + 1));
    }
    if !ends {
        size.asked += in_prefix;
    }
    amount.pairs += pairs(prefix);
    amount.rows = size.rows as f64;
    amount.asked = size.asked as f64;
    (size, amount)
}

/// The passes of a training on these texts.
///
/// # Errors
/// If there are no texts.
pub fn training_passes(
    texts: &Lengths,
    options: &TuneOptions,
    pass_tokens: usize,
) -> Result<Census, TuneError> {
    let lengths: Vec<usize> = texts.rows.iter().map(|(length, _)| *length).collect();
    let prefix = if options.shared_prefix {
        texts.shared
    } else {
        0
    };
    let mut windows = Windows::of_lengths(lengths, options)?;
    let mut census = Census {
        steps: windows.total(),
        ..Census::default()
    };
    census.validations = (1..=census.steps)
        .filter(|step| windows.is_due(*step, options.evaluate))
        .count();
    let (mut looked_at, mut steps) = (0, 0);
    while steps < census.steps && looked_at < MOST_ROWS {
        let window = windows.window(steps);
        let groups: Vec<Vec<(usize, usize)>> = match options.reduction {
            Reduction::MicroMean => window
                .iter()
                .map(|micro| micro.iter().map(|place| texts.rows[place.row]).collect())
                .collect(),
            Reduction::TokenMean | Reduction::RowMean => {
                let rows = window.iter().flatten();
                vec![rows.map(|place| texts.rows[place.row]).collect()]
            }
        };
        for rows in groups {
            looked_at += rows.len();
            let lengths: Vec<usize> = rows.iter().map(|(length, _)| *length).collect();
            for piece in cut(&lengths, pass_tokens, prefix) {
                let (size, amount) = measure(&rows[piece], prefix, options.loss_on, false);
                census.add(size, amount);
            }
        }
        steps += 1;
    }
    census.amount = census
        .amount
        .times(census.steps as f64 / steps.max(1) as f64);
    Ok(census)
}

/// The passes in which the ends of prompts are read out; what they share is computed once a pass.
#[must_use]
pub fn scoring_passes(prompts: &Lengths, pass_tokens: usize, share: bool) -> Census {
    passes(prompts, pass_tokens, share, |rows, prefix| {
        measure(rows, prefix, LossOn::Answer, true)
    })
}

/// The passes in which the loss of texts is taken and nothing is learnt.
#[must_use]
pub fn loss_passes(texts: &Lengths, on: LossOn, pass_tokens: usize, share: bool) -> Census {
    passes(texts, pass_tokens, share, |rows, prefix| {
        measure(rows, prefix, on, false)
    })
}

fn passes(
    texts: &Lengths,
    pass_tokens: usize,
    share: bool,
    measure: impl Fn(&[(usize, usize)], usize) -> (PassSize, Amount),
) -> Census {
    let lengths: Vec<usize> = texts.rows.iter().map(|(length, _)| *length).collect();
    let shared = if share { texts.shared } else { 0 };
    let mut census = Census::default();
    for piece in cut(&lengths, pass_tokens, shared) {
        let rows = &texts.rows[piece];
        // A pass that only scores finds by itself what its sequences share.
        let prefix = if rows.len() > 1 { texts.shared } else { shared };
        let (size, amount) = measure(rows, prefix);
        census.add(size, amount);
    }
    census
}

/// The largest passes of texts of which only the number and a bound of their length are known.
#[must_use]
pub fn bounded_lengths(rows: usize, longest: usize) -> Lengths {
    Lengths {
        rows: vec![(longest, longest.saturating_sub(3).max(1)); rows],
        shared: 0,
    }
}

/// Steps between validations under the released rule with several domains; see [`Evaluate`].
#[must_use]
pub fn evaluate_in_domains(evaluate: Evaluate, rows: usize, domains: usize) -> Evaluate {
    if evaluate == Evaluate::Released && domains > 1 {
        Evaluate::Steps(Evaluate::released_interval(rows / domains))
    } else {
        evaluate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(rows: &[(usize, usize)], shared: usize) -> Lengths {
        Lengths {
            rows: rows.to_vec(),
            shared,
        }
    }

    #[test]
    fn a_pass_counts_a_shared_beginning_once() {
        let (size, amount) = measure(&[(5, 4), (7, 4)], 2, LossOn::Whole, false);
        // 2 shared, then 3 and 5; all but each row's last predict something.
        assert_eq!((size.rows, size.asked, size.longest), (10, 8, 7));
        assert!((amount.pairs - (15.0 + 28.0 - 3.0)).abs() < 1e-12);
        let (size, _) = measure(&[(5, 4), (7, 4)], 2, LossOn::Answer, false);
        assert_eq!(size.asked, 1 + 3);
        let (size, _) = measure(&[(5, 5), (7, 7)], 0, LossOn::Answer, true);
        assert_eq!((size.rows, size.asked), (12, 2));
    }

    #[test]
    fn the_largest_pass_of_a_training_is_found_among_its_steps() {
        let options = TuneOptions {
            batch_size: 2,
            micro_batch_size: 2,
            epochs: 3,
            shuffle: false,
            ..TuneOptions::default()
        };
        let rows = texts(&[(3, 2), (4, 2), (9, 2), (9, 2)], 0);
        let census = training_passes(&rows, &options, 100).expect("rows");
        assert_eq!(census.steps, 6);
        assert_eq!(census.largest.len(), 1);
        assert_eq!((census.largest[0].rows, census.largest[0].asked), (18, 16));
        assert!((census.amount.rows - 3.0 * 25.0).abs() < 1e-9);
        // Cut into passes of at most ten tokens, each long row passes alone.
        let census = training_passes(&rows, &options, 10).expect("rows");
        assert_eq!(census.largest[0].rows, 9);
    }

    #[test]
    fn scoring_shares_what_is_shared() {
        let rows = texts(&[(10, 10), (12, 12), (11, 11)], 8);
        let census = scoring_passes(&rows, 14, true);
        // 8 + 2 + 4 tokens, then 8 + 3.
        let largest = census.largest[0];
        assert_eq!((largest.rows, largest.asked, largest.prefix), (14, 2, 8));
        assert!((census.amount.rows - 25.0).abs() < 1e-9);
    }
}
