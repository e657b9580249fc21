//! The nearest valid name, for "did you mean".

/// Returns the candidate closest to `wrong`, if one is close enough to be what was meant.
#[must_use]
pub fn nearest<'a, S: AsRef<str> + ?Sized + 'a>(
    wrong: &str,
    candidates: impl IntoIterator<Item = &'a S>,
) -> Option<&'a str> {
    // Numbers that look alike are not near each other.
    if wrong.parse::<f64>().is_ok() {
        return None;
    }
    let folded = fold(wrong);
    candidates
        .into_iter()
        .map(|candidate| {
            let candidate = candidate.as_ref();
            (
                strsim::damerau_levenshtein(&folded, &fold(candidate)),
                candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().max(3) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn fold(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}

/// A sentence for a diagnostic: the nearest name if there is one, and all that are allowed.
#[must_use]
pub fn suggestion<'a, S: AsRef<str> + ?Sized + 'a>(
    wrong: &str,
    candidates: impl IntoIterator<Item = &'a S>,
) -> String {
    let all: Vec<&str> = candidates.into_iter().map(AsRef::as_ref).collect();
    let allowed = match all.len() {
        0 => "nothing is allowed here".to_owned(),
        1 => format!("the only name allowed here is `{}`", all[0]),
        _ => format!("allowed: {}", all.join(", ")),
    };
    match nearest(wrong, all.iter().copied()) {
        Some(name) if all.len() == 1 => format!("did you mean `{name}`? It is the only one here"),
        Some(name) => format!("did you mean `{name}`? ({allowed})"),
        None => allowed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant_and_nothing_far_fetched() {
        let names = ["gru4rec", "caser", "sasrec", "like_share"];
        assert_eq!(nearest("gru4reck", names), Some("gru4rec"));
        assert_eq!(nearest("Like-Share", names), Some("like_share"));
        assert_eq!(nearest("transformer", names), None);
        assert_eq!(nearest("3", ["2", "4"]), None);
        assert_eq!(nearest("sed", ["k", "seed", "method"]), Some("seed"));
    }
}
