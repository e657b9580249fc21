//! Keeps the hundredth warning of one kind from burying the first of another.

use std::collections::BTreeMap;

/// This many warnings of one kind are shown.
const SHOWN: usize = 2;

/// Counts warnings that differ only in numbers and cells.
#[derive(Debug, Default)]
pub(crate) struct Repetitions {
    counts: BTreeMap<String, usize>,
}

impl Repetitions {
    /// Whether to show a warning: the first few of its kind.
    pub(crate) fn admit(&mut self, stage: Option<&str>, message: &str) -> bool {
        let template = stage
            .and_then(|id| id.split('@').next())
            .unwrap_or_default();
        let shape: String = message
            .chars()
            .filter(|character| !character.is_ascii_digit())
            .collect();
        let count = self
            .counts
            .entry(format!("{template}: {shape}"))
            .or_default();
        *count += 1;
        *count <= SHOWN
    }

    /// How many warnings were not shown.
    pub(crate) fn hidden(&self) -> usize {
        self.counts
            .values()
            .map(|count| count.saturating_sub(SHOWN))
            .sum()
    }

    /// A closing line, if warnings were not shown.
    pub(crate) fn closing(&self) -> Option<String> {
        match self.hidden() {
            0 => None,
            1 => Some("1 more warning like these is in the run's journal".to_owned()),
            hidden => Some(format!(
                "{hidden} more warnings like these are in the run's journal"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_counted_and_not_shown() {
        let mut repetitions = Repetitions::default();
        let shown: Vec<bool> = (0..5)
            .map(|seed| {
                repetitions.admit(
                    Some(&format!("train@seed={seed}")),
                    &format!("all {seed} scores are 0.{seed}"),
                )
            })
            .collect();
        assert_eq!(shown, [true, true, false, false, false]);
        assert!(repetitions.admit(Some("samples"), "41 books have no author"));
        assert!(
            repetitions
                .closing()
                .is_some_and(|line| line.starts_with("3 more"))
        );
    }
}
