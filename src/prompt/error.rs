//! Why a prompt cannot be made.

use crate::language_model::LanguageModelError;

/// Why a prompt cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// A template is not in the form of alpaca-lora's.
    #[error("`{name}`: {message}\n  help: {help}")]
    Template {
        /// The file, as the user knows it.
        name: String,
        /// What is wrong.
        message: String,
        /// What to do about it.
        help: String,
    },
    /// A text does not fit and cannot be made to.
    #[error(
        "{what} has {tokens} tokens with an empty history, the limit is {limit}\n  help: raise `cutoff_length`, or leave the row out"
    )]
    TooLong {
        /// Which row.
        what: String,
        /// Its tokens.
        tokens: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A row's answers begin with other tokens than those of the rows before.
    #[error(
        "{what}: the answers begin with the tokens {found:?} here and {expected:?} elsewhere\n  help: the tokenizer joins prompt and answer; a template whose prompt ends in a line end keeps them apart"
    )]
    Answers {
        /// Which row.
        what: String,
        /// Tokens here.
        found: [u32; 2],
        /// Tokens of the rows before.
        expected: [u32; 2],
    },
    /// More examples are to stand in the prompt than samples were drawn.
    #[error(
        "{wanted} examples are to stand in the prompt, and {drawn} samples were drawn\n  help: raise `k`, or ask for fewer `examples`"
    )]
    Examples {
        /// How many are wanted.
        wanted: usize,
        /// How many there are.
        drawn: usize,
    },
    /// The tokenizer failed or its answers cannot be told apart.
    #[error(transparent)]
    LanguageModel(#[from] LanguageModelError),
}
