//! An audit in plain words.

use super::{Audit, Finding, Severity};

/// Splits with fewer users than this say little about users in general.
const FEW_USERS: usize = 30;

pub(super) fn findings(audit: &Audit, token_limit: Option<usize>) -> Vec<Finding> {
    let mut list = Findings(Vec::new());
    balance(audit, &mut list);
    overlap(audit, &mut list);
    signal(audit, &mut list);
    histories(audit, &mut list);
    if let Some(limit) = token_limit {
        tokens(audit, limit, &mut list);
    }
    // Stable: within a severity the order above stays.
    list.0.sort_by_key(|finding| finding.severity);
    list.0
}

struct Findings(Vec<Finding>);

impl Findings {
    fn warn(&mut self, message: String) {
        self.0.push(Finding {
            severity: Severity::Warning,
            message,
        });
    }

    fn note(&mut self, message: String) {
        self.0.push(Finding {
            severity: Severity::Note,
            message,
        });
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn balance(audit: &Audit, list: &mut Findings) {
    let shares: Vec<String> = audit
        .splits
        .iter()
        .map(|(name, split)| {
            format!(
                "{name} {} of {}",
                percent(split.summary.like_share),
                split.summary.samples
            )
        })
        .collect();
    list.note(format!("Share of likes: {}.", shares.join(", ")));
    for (name, split) in &audit.splits {
        let share = split.summary.like_share;
        if split.summary.likes == 0 || split.summary.likes == split.summary.samples {
            list.warn(format!(
                "All rows of {name} have the same label: no AUC can be computed."
            ));
        } else if !(0.1..=0.9).contains(&share) {
            list.warn(format!(
                "The share of likes in {name} is {}: the rarer label has few rows, so its AUC \
                 varies a lot.",
                percent(share)
            ));
        }
        if let Some(users) = split.summary.users
            && users < FEW_USERS
            && name != "train"
        {
            list.warn(format!(
                "The {} rows of {name} come from only {users} users: differences between systems \
                 must be judged over users, not over rows.",
                split.summary.samples
            ));
        }
    }
}

fn overlap(audit: &Audit, list: &mut Findings) {
    for (name, split) in &audit.splits {
        if split.duplicates > 0 {
            let rows: Vec<String> = split.duplicate_rows.iter().map(u32::to_string).collect();
            list.note(format!(
                "{} rows of {name} repeat an earlier row to the letter (rows {}{}).",
                split.duplicates,
                rows.join(", "),
                if split.duplicates > rows.len() {
                    ", …"
                } else {
                    ""
                }
            ));
        }
        if split.contradictions > 0 {
            list.warn(format!(
                "{} inputs of {name} occur with both answers: nothing can get both right.",
                split.contradictions
            ));
        }
    }
    for pair in &audit.pairs {
        let (first, second) = (&pair.first, &pair.second);
        if pair.shared_rows > 0 {
            list.warn(format!(
                "{} rows of {second} are also in {first}, to the letter.",
                pair.shared_rows
            ));
        }
        if let (Some(users @ 1..), Some(rows)) = (pair.shared_users, pair.rows_of_shared_users) {
            let names = pair.shared_user_names.join(", ");
            let more = if users > pair.shared_user_names.len() {
                ", …"
            } else {
                ""
            };
            list.warn(format!(
                "{users} users are in both {first} and {second} ({names}{more}); {} of {second} \
                 are theirs.",
                percent(rows)
            ));
        }
        if let Some(share) = pair.older_than_newest.filter(|share| *share > 0.0) {
            list.warn(format!(
                "{} of {second} are older than the newest row of {first}: the split is not by \
                 time.",
                percent(share)
            ));
        }
    }
}

fn signal(audit: &Audit, list: &mut Findings) {
    for (name, split) in &audit.splits {
        let Some(trivial) = &split.trivial else {
            continue;
        };
        if let Some(auc) = trivial.user_like_share_auc {
            list.note(format!(
                "Without any training, the share of likes in the history has an AUC of {auc:.3} on \
                 {name}: read every result against it."
            ));
        }
        if let Some(auc) = trivial.item_like_share_auc {
            list.note(format!(
                "The share of likes an item has in the training set has an AUC of {auc:.3} on \
                 {name} ({} of its targets occur there).",
                percent(trivial.known_targets)
            ));
        }
    }
    let Some(title) = &audit.title_signal else {
        list.note(
            "Whether labels depend on the title cannot be told: hardly any item of valid and test \
             has a verdict in the training set."
                .to_owned(),
        );
        return;
    };
    let figures = format!(
        "of two items in one history, the liked one has the higher share of likes in the training \
         set in {} of cases, standard error {}, {} pairs in {} rows",
        percent(title.agreement),
        percent(title.standard_error),
        title.pairs,
        title.rows
    );
    let lead = title.agreement - 0.5;
    if lead > 2.0 * title.standard_error {
        list.note(format!(
            "Labels depend on the title, not on the user alone: {figures}."
        ));
    } else if title.standard_error < 0.02 {
        list.warn(format!(
            "No sign that labels depend on the title; they seem to depend on the user alone, so \
             nothing can be learned about items: {figures}."
        ));
    } else {
        list.note(format!(
            "Whether labels depend on the title cannot be told from so few pairs: {figures}."
        ));
    }
}

fn histories(audit: &Audit, list: &mut Findings) {
    let longest = audit
        .splits
        .values()
        .filter_map(|split| split.summary.history_lengths.keys().max())
        .max()
        .copied()
        .unwrap_or(0);
    for (name, split) in &audit.splits {
        let summary = &split.summary;
        let full = summary.history_lengths.get(&longest).copied().unwrap_or(0);
        let short = summary.samples - full;
        if short > 0 {
            list.note(format!(
                "{short} of the {} rows of {name} have fewer than {longest} history items.",
                summary.samples
            ));
        }
        if summary.empty_preference + summary.empty_unpreference > 0 {
            list.note(format!(
                "In {name}, {} rows list no liked item and {} no disliked one.",
                summary.empty_preference, summary.empty_unpreference
            ));
        }
    }
}

fn tokens(audit: &Audit, limit: usize, list: &mut Findings) {
    for (name, split) in &audit.splits {
        let Some(tokens) = &split.tokens else {
            continue;
        };
        if tokens.over_limit > 0 {
            let rows: Vec<String> = tokens.over_limit_rows.iter().map(u32::to_string).collect();
            list.warn(format!(
                "{} rows of {name} are longer than {limit} tokens (rows {}{}; the longest has {}): \
                 cut from the right, they lose their answer.",
                tokens.over_limit,
                rows.join(", "),
                if tokens.over_limit > rows.len() {
                    ", …"
                } else {
                    ""
                },
                tokens.full_max
            ));
        } else {
            list.note(format!(
                "No row of {name} is longer than {limit} tokens; the longest has {}.",
                tokens.full_max
            ));
        }
    }
}
