//! What is trained on and what is scored.

/// A tokenised text to learn from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The whole text: prompt, answer, end of sequence.
    pub tokens: Vec<u32>,
    /// Index of the first token of the answer; 1 at least.
    pub answer_start: usize,
}

/// A tokenised prompt whose answer is one of two, for validation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The prompt, up to where the answer begins.
    pub tokens: Vec<u32>,
    /// The right answer: whether it is `Yes`.
    pub label: bool,
}
