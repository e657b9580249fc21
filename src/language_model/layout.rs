//! Where every token of a batch lies: sequences side by side, a shared prefix once before them.

use super::{Batch, Configuration, LanguageModelError, Readout, Sequence};

/// The stream a shared prefix draws its dropout from, whichever sequences share it.
const PREFIX_STREAM: u64 = u64::MAX;

/// Rows of one sequence behind the shared prefix, or the prefix itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    /// Its first row.
    pub(super) begin: usize,
    /// Its rows.
    pub(super) length: usize,
    /// Whether it sees the prefix: not if it is the prefix.
    pub(super) after_prefix: bool,
}

/// The rows of a batch.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Layout {
    /// Token of every row.
    pub(super) tokens: Vec<u32>,
    /// Position of every row within its sequence.
    pub(super) positions: Vec<usize>,
    /// Dropout stream of every row.
    pub(super) streams: Vec<u64>,
    /// The prefix, if there is one, then every sequence.
    pub(super) segments: Vec<Segment>,
    /// Rows of the prefix, the first ones.
    pub(super) prefix: usize,
}

impl Layout {
    /// Lays out sequences of which the first `prefix` tokens are the same.
    pub(super) fn new(
        sequences: &[Sequence],
        prefix: usize,
        vocabulary: usize,
    ) -> Result<Self, LanguageModelError> {
        let mut layout = Self {
            prefix,
            ..Self::default()
        };
        for (number, sequence) in sequences.iter().enumerate() {
            let length = sequence.tokens.len();
            if length == 0 {
                return Err(LanguageModelError::invalid(format!(
                    "sequence {number} has no token"
                )));
            }
            if let Some(token) = sequence.tokens.iter().find(|t| **t as usize >= vocabulary) {
                return Err(LanguageModelError::invalid(format!(
                    "token {token} of sequence {number} is not among {vocabulary}"
                )));
            }
            let same = sequence.tokens.get(..prefix);
            if same.is_none() || same != sequences[0].tokens.get(..prefix) {
                return Err(LanguageModelError::invalid(format!(
                    "sequence {number} does not begin with the {prefix} tokens of the first"
                )));
            }
            if prefix > 0 && number == 0 {
                layout.add(sequence, 0..prefix, PREFIX_STREAM);
            }
            layout.add(sequence, prefix..length, sequence.stream);
        }
        Ok(layout)
    }

    fn add(&mut self, sequence: &Sequence, part: std::ops::Range<usize>, stream: u64) {
        self.segments.push(Segment {
            begin: self.tokens.len(),
            length: part.len(),
            after_prefix: part.start > 0,
        });
        self.tokens.extend(&sequence.tokens[part.clone()]);
        self.streams.resize(self.tokens.len(), stream);
        self.positions.extend(part);
    }

    /// The number of rows.
    pub(super) fn rows(&self) -> usize {
        self.tokens.len()
    }

    /// The row of a position of a sequence; `None` if there is none.
    pub(super) fn row(&self, sequence: usize, position: usize) -> Option<usize> {
        let first = usize::from(self.prefix > 0);
        let segment = self.segments.get(sequence + first)?;
        if position < self.prefix {
            return Some(position);
        }
        let within = position - self.prefix;
        (within < segment.length).then_some(segment.begin + within)
    }
}

/// How many first tokens all sequences of a batch have in common, worth computing once.
pub(super) fn common_prefix(batch: &Batch) -> usize {
    let [first, rest @ ..] = batch.sequences.as_slice() else {
        return 0;
    };
    if batch.shared_prefix > 0 || rest.is_empty() {
        return batch.shared_prefix;
    }
    rest.iter().fold(first.tokens.len(), |common, other| {
        let pairs = first.tokens.iter().zip(&other.tokens).take(common);
        pairs.take_while(|(a, b)| a == b).count()
    })
}

/// Rows of which something is asked, ascending, and for each segment which of them are its own.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    /// Rows of the layout.
    pub(super) rows: Vec<usize>,
    /// Their positions.
    pub(super) positions: Vec<usize>,
    /// Their dropout streams.
    pub(super) streams: Vec<u64>,
    /// How many of `rows` each segment has.
    pub(super) counts: Vec<usize>,
}

impl Asked {
    /// All rows.
    pub(super) fn all(layout: &Layout) -> Self {
        Self::some(layout, (0..layout.rows()).collect())
    }

    /// The given rows, which may be unordered and repeated.
    pub(super) fn some(layout: &Layout, mut rows: Vec<usize>) -> Self {
        rows.sort_unstable();
        rows.dedup();
        let mut begin = 0;
        let counts = layout.segments.iter().map(|segment| {
            let end = rows.partition_point(|row| *row < segment.begin + segment.length);
            let count = end - begin;
            begin = end;
            count
        });
        Self {
            counts: counts.collect(),
            positions: rows.iter().map(|row| layout.positions[*row]).collect(),
            streams: rows.iter().map(|row| layout.streams[*row]).collect(),
            rows,
        }
    }

    /// The rows of some (sequence, position) pairs.
    pub(super) fn at(layout: &Layout, at: &[(usize, usize)]) -> Result<Self, LanguageModelError> {
        let rows: Result<Vec<usize>, _> = at
            .iter()
            .map(|(sequence, position)| {
                layout.row(*sequence, *position).ok_or_else(|| {
                    LanguageModelError::invalid(format!(
                        "there is no position {position} in sequence {sequence}"
                    ))
                })
            })
            .collect();
        Ok(Self::some(layout, rows?))
    }

    /// Whether it is every row.
    pub(super) fn is_all(&self, layout: &Layout) -> bool {
        self.rows.len() == layout.rows()
    }

    /// The index of a row among those asked.
    pub(super) fn index(&self, row: usize) -> Option<usize> {
        self.rows.binary_search(&row).ok()
    }
}

/// A target among the rows asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Goal {
    /// Index among the rows asked for.
    pub(super) row: usize,
    /// The token to be predicted.
    pub(super) token: u32,
    /// Factor of its cross-entropy.
    pub(super) weight: f32,
}

/// Where the targets of a batch are, as (sequence, position).
pub(super) fn places(
    batch: &Batch,
    configuration: &Configuration,
) -> Result<Vec<(usize, usize)>, LanguageModelError> {
    let vocabulary = configuration.vocabulary_size;
    let mut places = Vec::new();
    for (number, sequence) in batch.sequences.iter().enumerate() {
        for target in &sequence.targets {
            if target.token as usize >= vocabulary {
                return Err(LanguageModelError::invalid(format!(
                    "target {} of sequence {number} is not among {vocabulary} tokens",
                    target.token
                )));
            }
            places.push((number, target.position));
        }
    }
    Ok(places)
}

/// The goals of a batch, in order of rows; `index` gives the row of a (sequence, position) among
/// those asked for.
pub(super) fn goals(batch: &Batch, index: impl Fn(usize, usize) -> Option<usize>) -> Vec<Goal> {
    let mut goals = Vec::new();
    for (number, sequence) in batch.sequences.iter().enumerate() {
        goals.extend(sequence.targets.iter().filter_map(|target| {
            Some(Goal {
                row: index(number, target.position)?,
                token: target.token,
                weight: target.weight,
            })
        }));
    }
    goals.sort_by_key(|goal| goal.row);
    goals
}

/// Splits what is only scored into passes of at most `rows_at_once` rows, if a sequence has no more
/// alone. The parts depend on the batch alone.
pub(super) fn parts(
    batch: &Batch,
    prefix: usize,
    rows_at_once: usize,
) -> Vec<std::ops::Range<usize>> {
    let mut parts = Vec::new();
    let (mut begin, mut rows) = (0, prefix);
    for (number, sequence) in batch.sequences.iter().enumerate() {
        let own = sequence.tokens.len().saturating_sub(prefix);
        if rows + own > rows_at_once && number > begin {
            parts.push(begin..number);
            (begin, rows) = (number, prefix);
        }
        rows += own;
    }
    if begin < batch.sequences.len() {
        parts.push(begin..batch.sequences.len());
    }
    parts
}

/// Some sequences of a batch.
pub(super) fn part(batch: &Batch, range: std::ops::Range<usize>) -> Batch {
    Batch {
        sequences: batch.sequences[range].to_vec(),
        shared_prefix: batch.shared_prefix,
    }
}

/// Checks the tokens whose logits are asked for.
pub(super) fn check_asked(
    asked: &[u32],
    configuration: &Configuration,
) -> Result<(), LanguageModelError> {
    let vocabulary = configuration.vocabulary_size;
    match asked.iter().find(|token| **token as usize >= vocabulary) {
        None => Ok(()),
        Some(token) => Err(LanguageModelError::invalid(format!(
            "token {token} is not among {vocabulary}"
        ))),
    }
}

/// The last position of every sequence, as (sequence, position).
pub(super) fn ends(batch: &Batch) -> Vec<(usize, usize)> {
    let sequences = batch.sequences.iter().enumerate();
    sequences
        .map(|(number, sequence)| (number, sequence.tokens.len().saturating_sub(1)))
        .collect()
}

/// What stands in rows of logits and of normalisers for the sequences of these rows.
pub(super) fn readouts<'a>(
    rows: impl Iterator<Item = usize> + 'a,
    asked: usize,
    (logits, log_sums): &'a (Vec<f32>, Vec<f32>),
) -> impl Iterator<Item = Readout> + 'a {
    rows.map(move |row| Readout {
        logits: logits[row * asked..(row + 1) * asked].to_vec(),
        log_normaliser: log_sums.get(row).copied(),
    })
}

/// What decides which numbers of a row a module drops: a pure function of the pass, the sequence,
/// the module (counted through all layers) and the position, so that nothing of it need be kept and
/// no other row of the batch matters.
pub(super) fn dropout_key(seed: u64, stream: u64, module: u64, position: usize) -> u64 {
    let key = mix(seed ^ mix(stream));
    mix(key ^ (module << 40) ^ position as u64)
}

/// The finaliser of `SplitMix64`.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
