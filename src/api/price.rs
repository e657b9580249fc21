//! Tokens, what they cost, and how much may be spent.

use std::fmt;
use std::ops::{Add, AddAssign};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Tokens of prompts and of answers, which have prices of their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Tokens that were sent.
    pub prompt: u64,
    /// Tokens that came back.
    pub completion: u64,
}

impl Tokens {
    /// Both together.
    #[must_use]
    pub fn sum(self) -> u64 {
        self.prompt.saturating_add(self.completion)
    }
}

impl Add for Tokens {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            prompt: self.prompt.saturating_add(other.prompt),
            completion: self.completion.saturating_add(other.completion),
        }
    }
}

impl AddAssign for Tokens {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// What a million tokens cost, in whatever money the endpoint counts in.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// A million tokens of prompts.
    pub prompt: f64,
    /// A million tokens of answers.
    pub completion: f64,
}

impl Price {
    /// What these tokens cost.
    #[must_use]
    pub fn of(self, tokens: Tokens) -> f64 {
        (self.prompt * tokens.prompt as f64 + self.completion * tokens.completion as f64) / 1e6
    }
}

/// How much may be spent on one model at one endpoint, over all that a store has asked of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ceiling {
    /// Tokens of prompts and answers together.
    pub tokens: Option<u64>,
    /// Money, in that of `price`.
    pub money: Option<f64>,
}

impl Ceiling {
    /// Why so much would be too much; `None` if it is not.
    #[must_use]
    pub fn passed_by(self, tokens: Tokens, price: Option<Price>) -> Option<String> {
        if let Some(most) = self.tokens
            && tokens.sum() > most
        {
            return Some(format!("{} tokens, and {most} are allowed", tokens.sum()));
        }
        if let (Some(most), Some(price)) = (self.money, price)
            && price.of(tokens) > most
        {
            let cost = Money(price.of(tokens));
            return Some(format!("a cost of {cost}, and {} is allowed", Money(most)));
        }
        None
    }
}

/// An amount of money for people.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Money(pub f64);

impl fmt::Display for Money {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.0 != 0.0 && self.0 < 1.0 { 4 } else { 2 };
        write!(formatter, "{:.digits$}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ceiling_counts_tokens_and_money() {
        let tokens = Tokens {
            prompt: 900_000,
            completion: 100_000,
        };
        let price = Price {
            prompt: 2.0,
            completion: 10.0,
        };
        assert!((price.of(tokens) - 2.8).abs() < 1e-12);
        let ceiling = |tokens, money| Ceiling { tokens, money };
        assert_eq!(ceiling(None, None).passed_by(tokens, Some(price)), None);
        assert_eq!(ceiling(Some(1_000_000), None).passed_by(tokens, None), None);
        let over = ceiling(Some(999_999), None).passed_by(tokens, None);
        assert!(over.expect("passed").contains("1000000 tokens"));
        assert_eq!(
            ceiling(None, Some(2.8)).passed_by(tokens, Some(price)),
            None
        );
        let over = ceiling(None, Some(2.79)).passed_by(tokens, Some(price));
        assert!(over.expect("passed").contains("2.80"));
    }
}
