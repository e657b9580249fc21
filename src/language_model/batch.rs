//! Token sequences side by side, and where the loss is.

/// A token whose prediction is scored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// Index, within its own sequence, of the token that predicts: the one before `token`.
    pub position: usize,
    /// The token to be predicted.
    pub token: u32,
    /// Factor of its cross-entropy in the batch's loss; 1 / (number of targets) makes a mean.
    pub weight: f32,
}

/// One sequence of a batch.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sequence {
    /// Its tokens, at least one.
    pub tokens: Vec<u32>,
    /// Its targets, in order of position; none for a sequence that is only scored.
    pub targets: Vec<Target>,
    /// Names the stream its dropout draws from, so that the masks of a sequence do not depend on
    /// which others stand in its batch.
    pub stream: u64,
}

/// Sequences that pass through the model together; none sees another.
///
/// A number of one sequence never depends on the others, beyond the rounding of sums.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// The sequences.
    pub sequences: Vec<Sequence>,
    /// How many first tokens all sequences share and may be computed once for all: 0 for a plain
    /// pass. In training, dropout on these tokens is then shared too.
    pub shared_prefix: usize,
}

impl Batch {
    /// How many tokens there are in all, a shared prefix counted in every sequence.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.sequences.iter().map(|one| one.tokens.len()).sum()
    }
}
