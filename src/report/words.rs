//! Small turns of phrase that tables, figures and the page share.

use crate::results::Summary;

/// `a`, `a and b`, `a, b and c`.
#[must_use]
pub fn and(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `1 seed`, `3 seeds`.
#[must_use]
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

/// `3`, or `1–3` where the two differ.
#[must_use]
pub fn range<T: Copy + PartialEq + std::fmt::Display>(least: T, most: T) -> String {
    if least == most {
        least.to_string()
    } else {
        format!("{least}–{most}")
    }
}

/// `K = 16`, or `zero-shot` for no K.
#[must_use]
pub fn shots(k: Option<u64>) -> String {
    k.map_or_else(|| "zero-shot".to_owned(), |k| format!("K = {k}"))
}

/// `K = 16, 64 and 256`, with `zero-shot` before if it is among them.
#[must_use]
pub fn all_shots(shots: &[Option<u64>]) -> String {
    let numbers: Vec<String> = shots.iter().flatten().map(ToString::to_string).collect();
    let zero_shot = shots.contains(&None);
    match (zero_shot, numbers.is_empty()) {
        (true, true) => "zero-shot".to_owned(),
        (true, false) => format!("zero-shot and K = {}", and(&numbers)),
        (false, _) => format!("K = {}", and(&numbers)),
    }
}

/// Texts that hold at some K, each of them once: `a at K = 16 and 64; b at K = 256`, and only `a`
/// where it holds at all of them.
#[must_use]
pub fn by_shots(texts: &[(String, Option<u64>)], all: &[Option<u64>]) -> String {
    let mut groups: Vec<(&str, Vec<Option<u64>>)> = Vec::new();
    for (text, k) in texts {
        match groups.iter_mut().find(|(known, _)| known == text) {
            Some((_, shots)) => shots.push(*k),
            None => groups.push((text, vec![*k])),
        }
    }
    groups
        .iter()
        .map(|(text, shots)| {
            if shots.len() == all.len() {
                (*text).to_owned()
            } else {
                format!("{text} at {}", all_shots(shots))
            }
        })
        .collect::<Vec<_>>()
        .join("; ")
}

/// `p = 0.012`, `p < 0.0001`: as many digits as anybody should read into it.
#[must_use]
pub fn p_value(p: f64) -> String {
    if p < 1e-4 {
        "p < 0.0001".to_owned()
    } else if p < 0.1 {
        format!("p = {p:.4}")
    } else {
        format!("p = {p:.2}")
    }
}

/// The smallest and the largest number of rows behind some summaries.
#[must_use]
pub fn rows_behind<'a>(summaries: impl Iterator<Item = &'a Summary>) -> Option<(u64, u64)> {
    summaries
        .map(|summary| summary.n)
        .reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases() {
        let own = |items: &[&str]| {
            items
                .iter()
                .map(|&item| item.to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(and(&own(&["a", "b", "c"])), "a, b and c");
        assert_eq!(count(1, "seed"), "1 seed");
        assert_eq!(range(2, 3), "2–3");
        assert_eq!(
            all_shots(&[None, Some(16), Some(64)]),
            "zero-shot and K = 16 and 64"
        );
        assert_eq!(all_shots(&[Some(16)]), "K = 16");
        let all = [Some(16), Some(64)];
        let texts = |one: &str, two: &str| [(one.to_owned(), all[0]), (two.to_owned(), all[1])];
        assert_eq!(by_shots(&texts("a", "a"), &all), "a");
        assert_eq!(by_shots(&texts("a", "b"), &all), "a at K = 16; b at K = 64");
    }
}
