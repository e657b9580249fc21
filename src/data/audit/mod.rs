//! What one should know about a data set before believing a result on it.

pub mod signal;
pub mod tokens;

mod findings;

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use tokenizers::Tokenizer;

use self::signal::{Auc, ItemShares, TitleSignal, TrivialScores};
use self::tokens::{Template, TokenCounts};
use super::error::DataError;
use super::sample::Sample;
use super::splits::{SplitSummary, Splits};

/// Names and rows given as examples.
const EXAMPLES: usize = 10;

/// All that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// In plain words, the worrying first.
    pub findings: Vec<Finding>,
    /// Each split for itself.
    pub splits: IndexMap<String, SplitAudit>,
    /// Each pair of splits.
    pub pairs: Vec<PairAudit>,
    /// Whether labels depend on the title; absent if histories hold no comparable pairs.
    pub title_signal: Option<TitleSignal>,
}

/// One sentence about the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How worrying.
    pub severity: Severity,
    /// What was found, and what it means.
    pub text: String,
}

/// How worrying a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Results may mean something else than they seem to.
    Warning,
    /// Good to know.
    Note,
}

/// A split for itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SplitAudit {
    /// Sizes, balance, histories.
    #[serde(flatten)]
    pub summary: SplitSummary,
    /// Rows that equal an earlier row in all texts.
    pub duplicates: usize,
    /// The first few of these rows.
    pub duplicate_rows: Vec<u32>,
    /// Inputs that occur with both answers.
    pub contradictions: usize,
    /// What scores without training reach; absent for the training set, which they are made of.
    pub trivial: Option<TrivialScores>,
    /// Prompt lengths; absent without a tokenizer.
    pub tokens: Option<TokenCounts>,
}

/// Two splits compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairAudit {
    /// The earlier split.
    pub first: String,
    /// The later split.
    pub second: String,
    /// Rows of the later split whose texts occur in the earlier one.
    pub shared_rows: usize,
    /// Users in both; absent if the source does not tell.
    pub shared_users: Option<usize>,
    /// The first few of these users.
    pub shared_user_names: Vec<String>,
    /// Share of the later split's rows by such users.
    pub rows_of_shared_users: Option<f64>,
    /// Share of the later split's rows whose target is older than the earlier split's newest;
    /// absent if the source does not tell times.
    pub older_than_newest: Option<f64>,
    /// Share of pairs of a row of each in which the later split's is the older: 0 for a split by
    /// time, about 0.5 if time plays no part.
    pub older_pairs: Option<f64>,
}

/// Prompt lengths to count.
#[derive(Debug)]
pub struct TokenLimit<'a> {
    /// Counts the tokens.
    pub tokenizer: &'a Tokenizer,
    /// The prompt around the texts.
    pub template: Template,
    /// Tokens a text may have.
    pub limit: usize,
}

/// Looks at a data set from all sides.
///
/// # Errors
/// If a split is empty, or the tokenizer fails.
pub fn audit(
    splits: &Splits,
    auc: Auc,
    tokens: Option<&TokenLimit<'_>>,
) -> Result<Audit, DataError> {
    for (name, part) in splits.parts() {
        if part.is_empty() {
            return Err(DataError::invalid(format!("the split `{name}` is empty")));
        }
    }
    let shares = ItemShares::of(&splits.train);
    let mut audited = IndexMap::new();
    for (name, part) in splits.parts() {
        let (duplicates, duplicate_rows, contradictions) = repetitions(part);
        audited.insert(
            name.to_owned(),
            SplitAudit {
                summary: SplitSummary::of(part),
                duplicates,
                duplicate_rows,
                contradictions,
                trivial: (name != "train").then(|| signal::trivial_scores(part, &shares, auc)),
                tokens: tokens
                    .map(|with| tokens::count(with.tokenizer, part, with.template, with.limit))
                    .transpose()?,
            },
        );
    }
    let parts = splits.parts();
    let pairs = vec![
        compare(parts[0], parts[1]),
        compare(parts[0], parts[2]),
        compare(parts[1], parts[2]),
    ];
    let held_out: Vec<&Sample> = splits.valid.iter().chain(&splits.test).collect();
    let mut audit = Audit {
        findings: Vec::new(),
        splits: audited,
        pairs,
        title_signal: signal::title_signal(&held_out, &shares),
    };
    audit.findings = findings::findings(&audit, tokens.map(|with| with.limit));
    Ok(audit)
}

type Texts<'a> = (&'a str, &'a str, &'a str);

fn texts(sample: &Sample) -> Texts<'_> {
    (&sample.instruction, &sample.input, &sample.output)
}

fn repetitions(part: &[Sample]) -> (usize, Vec<u32>, usize) {
    let mut seen = BTreeSet::new();
    let mut answers: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    let (mut count, mut rows) = (0, Vec::new());
    for sample in part {
        if !seen.insert(texts(sample)) {
            count += 1;
            if rows.len() < EXAMPLES {
                rows.push(sample.row);
            }
        }
        answers
            .entry((&sample.instruction, &sample.input))
            .or_default()
            .insert(&sample.output);
    }
    let contradictions = answers.values().filter(|answers| answers.len() > 1).count();
    (count, rows, contradictions)
}

fn compare(first: (&str, &[Sample]), second: (&str, &[Sample])) -> PairAudit {
    let share = |count: usize| count as f64 / second.1.len().max(1) as f64;
    let earlier: BTreeSet<Texts<'_>> = first.1.iter().map(texts).collect();
    let users = |part: &[Sample]| -> BTreeSet<String> {
        part.iter()
            .filter_map(|sample| sample.user.clone())
            .collect()
    };
    let (left, right) = (users(first.1), users(second.1));
    let known = !left.is_empty() && !right.is_empty();
    let shared: BTreeSet<&String> = left.intersection(&right).collect();
    let of_shared = second
        .1
        .iter()
        .filter(|sample| {
            sample
                .user
                .as_ref()
                .is_some_and(|user| shared.contains(user))
        })
        .count();
    let (older_than_newest, older_pairs) = time_order(first.1, second.1).unzip();
    PairAudit {
        first: first.0.to_owned(),
        second: second.0.to_owned(),
        shared_rows: second
            .1
            .iter()
            .filter(|sample| earlier.contains(&texts(sample)))
            .count(),
        shared_users: known.then_some(shared.len()),
        shared_user_names: shared
            .iter()
            .take(EXAMPLES)
            .map(ToString::to_string)
            .collect(),
        rows_of_shared_users: known.then(|| share(of_shared)),
        older_than_newest,
        older_pairs,
    }
}

/// Shares of `later` that are older than the newest of `earlier`, and of pairs in which the row of
/// `later` is the older one; `None` where times are unknown.
fn time_order(earlier: &[Sample], later: &[Sample]) -> Option<(f64, f64)> {
    let mut times: Vec<i64> = earlier.iter().filter_map(|sample| sample.time).collect();
    times.sort_unstable();
    let newest = times.last()?;
    let (mut rows, mut older, mut older_pairs) = (0_usize, 0_usize, 0_usize);
    for time in later.iter().filter_map(|sample| sample.time) {
        rows += 1;
        older += usize::from(time < *newest);
        older_pairs += times.len() - times.partition_point(|other| *other <= time);
    }
    let pairs = rows * times.len();
    (rows > 0).then(|| {
        (
            older as f64 / rows as f64,
            older_pairs as f64 / pairs as f64,
        )
    })
}
