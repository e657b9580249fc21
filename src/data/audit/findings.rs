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
    fn warn(&mut self, text: String) {
        self.0.push(Finding {
            severity: Severity::Warning,
            text,
        });
    }

    fn note(&mut self, text: String) {
        self.0.push(Finding {
            severity: Severity::Note,
            text,
        });
    }
}

/// `1 user`, `2 users`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
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
                "The {} rows of {name} come from only {}: differences between systems \
                 must be judged over users, not over rows.",
                split.summary.samples,
                counted(users, "user")
            ));
        }
    }
}

fn overlap(audit: &Audit, list: &mut Findings) {
    for (name, split) in &audit.splits {
        if split.duplicates > 0 {
            let rows: Vec<String> = split.duplicate_rows.iter().map(u32::to_string).collect();
            list.note(format!(
                "Repeated to the letter in {name}: {} (rows {}{}).",
                counted(split.duplicates, "row"),
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
                "With both answers in {name}: {}; nothing can get both right.",
                counted(split.contradictions, "input")
            ));
        }
    }
    for pair in &audit.pairs {
        let (first, second) = (&pair.first, &pair.second);
        if pair.shared_rows > 0 {
            list.warn(format!(
                "In both {first} and {second}, to the letter: {}.",
                counted(pair.shared_rows, "row")
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
                "In both {first} and {second}: {} ({names}{more}), with {} of the rows of {second}.",
                counted(users, "user"),
                percent(rows)
            ));
        }
        if let (Some(newest), Some(pairs)) = (pair.older_than_newest, pair.older_pairs)
            && newest > 0.0
        {
            list.warn(format!(
                "{second} does not come after {first} in time: {} of its rows are older than the \
                 newest of {first}, and of a row of each it has the older one in {} of cases.",
                percent(newest),
                percent(pairs)
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
             little can be learned about items: {figures}."
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
                "Longer than {limit} tokens in {name}: {} ({}{}; the longest has {} tokens); cut \
                 from the right, a row loses its answer.",
                counted(tokens.over_limit, "row"),
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
