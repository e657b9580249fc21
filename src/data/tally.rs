//! What was left out and why: no row disappears without being counted.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// Where examples of a reason are found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// How many.
    pub count: u64,
    /// The file of the examples, or empty where whole users or books are counted.
    pub file: String,
    /// The first few line numbers in that file.
    pub lines: Vec<u64>,
    /// The first few values, as they stand there.
    pub examples: Vec<String>,
}

/// Counts by reason, in order of first occurrence.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tally {
    reasons: IndexMap<String, Dropped>,
}

impl Tally {
    /// Examples kept for each reason.
    pub const EXAMPLES: usize = 5;

    /// Counts something at a line of a file.
    pub fn count_line(&mut self, reason: &str, file: &str, line: u64, example: &str) {
        let dropped = self.entry(reason);
        dropped.count += 1;
        if dropped.lines.len() < Self::EXAMPLES {
            file.clone_into(&mut dropped.file);
            dropped.lines.push(line);
            dropped.examples.push(super::error::shown(example));
        }
    }

    /// Counts something that has no line of its own.
    pub fn count(&mut self, reason: &str, example: &str) {
        let dropped = self.entry(reason);
        dropped.count += 1;
        if dropped.examples.len() < Self::EXAMPLES {
            dropped.examples.push(super::error::shown(example));
        }
    }

    /// Counts something so plain that examples would say nothing.
    pub fn add(&mut self, reason: &str, count: u64) {
        if count > 0 {
            self.entry(reason).count += count;
        }
    }

    fn entry(&mut self, reason: &str) -> &mut Dropped {
        self.reasons.entry(reason.to_owned()).or_default()
    }

    /// How often a reason was met.
    #[must_use]
    pub fn of(&self, reason: &str) -> u64 {
        self.reasons.get(reason).map_or(0, |dropped| dropped.count)
    }

    /// All reasons with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Dropped)> {
        self.reasons
            .iter()
            .map(|(reason, dropped)| (reason.as_str(), dropped))
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.reasons.is_empty()
    }

    /// One sentence for each reason: `17 lines with more than 8 fields (BX-Books.csv:9, 11, …)`.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        self.iter()
            .map(|(reason, dropped)| {
                let shown: Vec<String> = if dropped.lines.is_empty() {
                    dropped.examples.clone()
                } else {
                    dropped.lines.iter().map(u64::to_string).collect()
                };
                let more = if dropped.count > shown.len() as u64 {
                    ", …"
                } else {
                    ""
                };
                let place = match (dropped.lines.is_empty(), shown.is_empty()) {
                    (_, true) => String::new(),
                    (true, _) => format!(" ({}{more})", shown.join(", ")),
                    (false, _) => format!(" ({}:{}{more})", dropped.file, shown.join(", ")),
                };
                format!("{} {reason}{place}", dropped.count)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_names_the_first_lines_only() {
        let mut tally = Tally::default();
        for line in 3..10 {
            tally.count_line("lines with more than 8 fields", "BX-Books.csv", line, "x;y");
        }
        tally.count("users with fewer than 4 books", "276725");
        assert_eq!(
            tally.sentences(),
            [
                "7 lines with more than 8 fields (BX-Books.csv:3, 4, 5, 6, 7, …)",
                "1 users with fewer than 4 books (276725)"
            ]
        );
        assert_eq!(tally.of("lines with more than 8 fields"), 7);
    }
}
