//! Samples to rows of numbers, rows to padded tensors.

use candle_core::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Vocabulary;
use super::vocabulary::UNKNOWN;
use crate::data::Sample;
use crate::nn::NnError;
use crate::recommender::UnknownItems;

/// What fills a history that is too short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// The last interacted item with its feedback, again and again: the network sees it as
    /// often as it takes to fill the length (preprint §3.1.5).
    LastItem,
    /// Nothing: the network sees the history at its own length.
    None,
}

/// A sample as numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// History, oldest first, after cutting and padding.
    items: Vec<u32>,
    /// 1 where the history item was liked, else 0.
    feedback: Vec<u32>,
    target: u32,
    label: bool,
}

impl Row {
    /// A row of numbers: items, oldest first, each with whether it was liked; the target and its
    /// label.
    #[must_use]
    pub fn new(history: &[(u32, bool)], target: u32, label: bool) -> Self {
        Self {
            items: history.iter().map(|(item, _)| *item).collect(),
            feedback: history.iter().map(|(_, liked)| u32::from(*liked)).collect(),
            target,
            label,
        }
    }

    /// The number of the target.
    #[must_use]
    pub fn target(&self) -> u32 {
        self.target
    }

    /// Whether the target was liked.
    #[must_use]
    pub fn label(&self) -> bool {
        self.label
    }
}

/// Turns samples into rows.
#[derive(Debug, Clone, Copy)]
pub struct Encoder<'a> {
    /// Items to numbers.
    pub vocabulary: &'a Vocabulary,
    /// History items at most; of longer histories the most recent count.
    pub length: usize,
    /// What fills shorter ones.
    pub padding: Padding,
}

impl Encoder<'_> {
    /// Rows in the samples' order, and how many items are unknown (padding not counted).
    #[must_use]
    pub fn encode(&self, samples: &[Sample]) -> (Vec<Row>, UnknownItems) {
        let mut unknown = UnknownItems::default();
        let rows = samples
            .iter()
            .map(|sample| self.row(sample, &mut unknown))
            .collect();
        (rows, unknown)
    }

    fn row(&self, sample: &Sample, unknown: &mut UnknownItems) -> Row {
        let recent = &sample.history[sample.history.len().saturating_sub(self.length)..];
        let number = |item| self.vocabulary.number(sample.domain, item);
        let mut items: Vec<u32> = recent.iter().map(|rated| number(&rated.item)).collect();
        let mut feedback: Vec<u32> = recent.iter().map(|rated| u32::from(rated.liked)).collect();
        let target = number(&sample.target);
        unknown.targets += 1;
        unknown.unknown_targets += usize::from(target == UNKNOWN);
        unknown.history_items += items.len();
        unknown.unknown_history_items += items.iter().filter(|item| **item == UNKNOWN).count();
        if let (Padding::LastItem, Some(item), Some(liked)) = (
            self.padding,
            items.last().copied(),
            feedback.last().copied(),
        ) {
            items.resize(self.length, item);
            feedback.resize(self.length, liked);
        }
        Row {
            items,
            feedback,
            target,
            label: sample.label,
        }
    }
}

/// Rows as tensors, padded on the right to the longest of them.
#[derive(Debug, Clone)]
pub struct Batch {
    /// History items, `[B, T]` u32.
    pub items: Tensor,
    /// Feedback on them, `[B, T]` u32, 1 for a like.
    pub feedback: Tensor,
    /// Steps of each row that count, B numbers of at most T.
    pub lengths: Vec<usize>,
    /// Targets, `[B]` u32.
    pub targets: Tensor,
    /// Labels of the targets, B of them.
    pub labels: Vec<bool>,
}

impl Batch {
    /// Lays rows side by side; T is at least 1, so that a batch of empty histories has a shape.
    ///
    /// # Errors
    /// If the device refuses.
    pub fn of(rows: &[&Row], device: &Device) -> Result<Self, NnError> {
        let lengths: Vec<usize> = rows.iter().map(|row| row.items.len()).collect();
        let time = lengths.iter().copied().max().unwrap_or(0).max(1);
        let pad = |of: fn(&Row) -> &Vec<u32>| {
            let mut all = Vec::with_capacity(rows.len() * time);
            for row in rows {
                let numbers = of(row);
                all.extend_from_slice(numbers);
                all.extend(std::iter::repeat_n(UNKNOWN, time - numbers.len()));
            }
            Tensor::from_vec(all, (rows.len(), time), device).map_err(NnError::at("batch"))
        };
        let targets: Vec<u32> = rows.iter().map(|row| row.target).collect();
        Ok(Self {
            items: pad(|row| &row.items)?,
            feedback: pad(|row| &row.feedback)?,
            lengths,
            targets: Tensor::from_vec(targets, rows.len(), device).map_err(NnError::at("batch"))?,
            labels: rows.iter().map(|row| row.label).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Domain, Item, Rated};

    fn item(id: &str) -> Item {
        Item {
            id: id.to_owned(),
            title: String::new(),
            maker: None,
        }
    }

    fn sample(history: &[(&str, bool)], target: &str) -> Sample {
        let rated = |(id, liked): &(&str, bool)| Rated {
            item: item(id),
            liked: *liked,
        };
        Sample {
            row: 0,
            domain: Domain::Book,
            user: None,
            time: None,
            history: history.iter().map(rated).collect(),
            target: item(target),
            label: true,
            instruction: String::new(),
            input: String::new(),
            output: String::new(),
        }
    }

    #[test]
    fn histories_are_cut_padded_and_counted() {
        let known = sample(&[("a", true), ("b", false)], "c");
        let vocabulary = Vocabulary::of(&[], [&known]);
        assert_eq!(vocabulary.rows(), 4);
        let encoder = |padding| Encoder {
            vocabulary: &vocabulary,
            length: 3,
            padding,
        };
        let long = [("x", true), ("a", true), ("x", false), ("b", true)];
        let samples = [known, sample(&long, "y"), sample(&[], "a")];
        let (rows, unknown) = encoder(Padding::LastItem).encode(&samples);
        assert_eq!(
            (&rows[0].items[..], &rows[0].feedback[..]),
            (&[1, 2, 2][..], &[1, 0, 0][..])
        );
        assert_eq!(
            (&rows[1].items[..], rows[1].target),
            (&[1, 0, 2][..], UNKNOWN)
        );
        assert!(rows[2].items.is_empty());
        let expected = UnknownItems {
            targets: 3,
            unknown_targets: 1,
            history_items: 5,
            unknown_history_items: 1,
        };
        assert_eq!(unknown, expected);

        let (rows, unpadded) = encoder(Padding::None).encode(&samples);
        assert_eq!(unpadded, expected);
        let rows: Vec<&Row> = rows.iter().collect();
        let batch = Batch::of(&rows, &Device::Cpu).expect("cpu");
        assert_eq!(batch.lengths, [2, 3, 0]);
        let items = batch.items.to_vec2::<u32>().expect("u32");
        assert_eq!(items, [[1, 2, 0], [1, 0, 2], [0, 0, 0]]);
        let empty = Batch::of(&rows[2..], &Device::Cpu).expect("cpu");
        assert_eq!(empty.items.dims(), [1, 1]);
    }

    #[test]
    fn a_vocabulary_survives_the_disk_and_keeps_domains_apart() {
        let one = sample(&[("1", true)], "2");
        let mut other = one.clone();
        other.domain = Domain::Movie;
        let vocabulary = Vocabulary::of(&[], [&one]);
        assert_eq!(vocabulary.number(Domain::Book, &one.target), 2);
        assert_eq!(vocabulary.number(Domain::Movie, &other.target), UNKNOWN);
        let folder = tempfile::tempdir().expect("folder");
        vocabulary.save(folder.path()).expect("write");
        assert_eq!(Vocabulary::load(folder.path()).expect("read"), vocabulary);
    }
}
