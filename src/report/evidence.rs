//! What tests say about the systems of a report, and which of them get a dagger.
//!
//! Tests over seeds are computed here, from the rows. Those over users and rows need predictions;
//! they come with the input, for the [`questions`] a report will ask.

use std::collections::{BTreeMap, BTreeSet};

use super::input::ReportInput;
use super::view::{Entry, MAIN_METRIC, Pair, View, is_better};
use crate::results::comparison::{CHANCE, Question};
use crate::results::{Group, System, metric};
use crate::statistics::{CannotSay, Comparison, Test, Unit, Verdict, student};

/// The AUC of guessing.
const GUESSING: f64 = 0.5;

/// The system of a pair that comparisons are about: of those that are known by name the last in
/// the order of tables (TALLRec with alpaca and rec-tuning in the paper's), else the last.
#[must_use]
pub fn subject(view: &View, pair: &Pair, metric: &str) -> Option<System> {
    let with_values = |system: &System| {
        let shots = view.shots(pair, metric);
        shots.iter().any(|&k| {
            let entry = view.entry(pair, metric, system, k);
            entry.is_some_and(|entry| !entry.summary.values.is_empty())
        })
    };
    let systems: Vec<System> = view
        .systems(pair, metric)
        .into_iter()
        .filter(|system| system.group() == Group::System && with_values(system))
        .collect();
    let known = |system: &&System| crate::results::method::find(&system.method).is_some();
    systems.iter().rfind(known).or(systems.last()).cloned()
}

/// The systems of a column that may get a dagger (their mean is better than that of every trivial
/// baseline and of every system of another method), each with all of those.
#[must_use]
pub fn leaders(
    view: &View,
    pair: &Pair,
    metric: &str,
    k: Option<u64>,
) -> Vec<(System, Vec<System>)> {
    let style = metric::style(metric);
    let means: BTreeMap<System, f64> = view
        .systems(pair, metric)
        .into_iter()
        .filter_map(|system| {
            let mean = view.entry(pair, metric, &system, k)?.summary.mean()?;
            Some((system, mean))
        })
        .collect();
    means
        .iter()
        .filter(|(system, _)| system.group() == Group::System)
        .filter_map(|(system, mean)| {
            let others: Vec<(&System, &f64)> = means
                .iter()
                .filter(|(other, _)| other.method != system.method)
                .collect();
            let leads = others
                .iter()
                .all(|(_, other)| is_better(style, *mean, **other));
            let others: Vec<System> = others.iter().map(|(other, _)| (*other).clone()).collect();
            (leads && !others.is_empty()).then(|| (system.clone(), others))
        })
        .collect()
}

/// The best system of another method and the best trivial baseline of a column, by mean.
#[must_use]
pub fn rivals(view: &View, pair: &Pair, metric: &str, k: Option<u64>, of: &System) -> Vec<System> {
    let style = metric::style(metric);
    [Group::System, Group::Trivial]
        .into_iter()
        .filter_map(|group| {
            view.systems(pair, metric)
                .into_iter()
                .filter(|system| system.group() == group && system.method != of.method)
                .filter_map(|system| {
                    let mean = view.entry(pair, metric, &system, k)?.summary.mean()?;
                    Some((system, mean))
                })
                .reduce(|best, other| {
                    if is_better(style, other.1, best.1) {
                        other
                    } else {
                        best
                    }
                })
        })
        .map(|(system, _)| system)
        .collect()
}

/// Every comparison of AUCs that the tables of a report make.
#[must_use]
pub fn questions(input: &ReportInput<'_>) -> Vec<Question> {
    let view = View::new(input, "test");
    let mut questions = BTreeSet::new();
    for pair in view.pairs() {
        for k in view.shots(&pair, MAIN_METRIC) {
            let mut add = |one: &System, other: System| {
                questions.insert(question(&pair, k, one, &other));
            };
            for (leader, others) in leaders(&view, &pair, MAIN_METRIC, k) {
                for other in others {
                    add(&leader, other);
                }
            }
            if let Some(subject) = subject(&view, &pair, MAIN_METRIC) {
                for other in rivals(&view, &pair, MAIN_METRIC, k, &subject) {
                    add(&subject, other);
                }
                add(&subject, System::new(CHANCE, None));
            }
        }
    }
    questions.into_iter().collect()
}

fn question(pair: &Pair, k: Option<u64>, one: &System, other: &System) -> Question {
    Question {
        train_domain: pair.train.clone(),
        test_domain: pair.test.clone(),
        k,
        one: one.clone(),
        other: other.clone(),
    }
}

/// What `test` says about two systems of a column.
#[must_use]
pub fn compare(
    input: &ReportInput<'_>,
    view: &View,
    (pair, metric, k): (&Pair, &str, Option<u64>),
    (one, other): (&System, &System),
    test: Test,
) -> Comparison {
    if test.unit() == Unit::Seeds {
        return over_seeds(view, (pair, metric, k), (one, other), test);
    }
    let silent = |reason: &str| {
        let reason = CannotSay::Told(reason.to_owned());
        Comparison::silent(test, [0, 0], None, reason)
    };
    if metric != MAIN_METRIC {
        return silent("only AUCs are compared over users and rows");
    }
    let wanted = question(pair, k, one, other);
    let known = input
        .comparisons
        .iter()
        .find(|row| row.question == wanted && row.comparison.test == test);
    known.map_or_else(
        || silent("the predictions were not compared"),
        |row| row.comparison.clone(),
    )
}

fn over_seeds(
    view: &View,
    (pair, metric, k): (&Pair, &str, Option<u64>),
    (one, other): (&System, &System),
    test: Test,
) -> Comparison {
    let values = |system: &System| {
        let entry = view.entry(pair, metric, system, k);
        entry.map_or_else(Vec::new, |entry| entry.summary.values.clone())
    };
    if other.method == CHANCE {
        return student::one_sample(&values(one), GUESSING);
    }
    if test == Test::WelchT {
        return student::welch(&values(one), &values(other));
    }
    let of_one = Seeds::of(view.entry(pair, metric, one, k));
    let of_other = Seeds::of(view.entry(pair, metric, other, k));
    let seeds: BTreeSet<u64> = [&of_one, &of_other]
        .into_iter()
        .filter(|seeds| seeds.any_seed.is_none())
        .flat_map(|seeds| seeds.values.keys().copied())
        .collect();
    let (one, other): (Vec<f64>, Vec<f64>) = seeds
        .into_iter()
        .filter_map(|seed| Some((of_one.at(seed)?, of_other.at(seed)?)))
        .unzip();
    student::paired(&one, &other)
}

/// The values of a system by seed.
#[derive(Debug, Default)]
struct Seeds {
    values: BTreeMap<u64, f64>,
    /// The value of a system that depends on neither K nor seed. It draws no samples, so its one
    /// value is what it would be with any seed.
    any_seed: Option<f64>,
}

impl Seeds {
    fn of(entry: Option<Entry<'_>>) -> Self {
        let Some(Entry {
            summary, repeated, ..
        }) = entry
        else {
            return Self::default();
        };
        let values = summary.values.iter().copied();
        Self {
            values: summary.defined.iter().copied().zip(values).collect(),
            any_seed: match (repeated, summary.values.as_slice()) {
                (true, [value]) => Some(*value),
                _ => None,
            },
        }
    }

    fn at(&self, seed: u64) -> Option<f64> {
        self.any_seed.or_else(|| self.values.get(&seed).copied())
    }
}

/// Which places of one metric's table have a dagger, and what is to be said about it.
#[derive(Debug, Clone, Default)]
pub struct Daggers {
    /// The places.
    pub marked: BTreeSet<(System, Option<u64>)>,
    /// How many comparisons have a p-value.
    pub comparisons: usize,
    /// Leaders about which the test is silent, with the reason.
    pub silent: Vec<(System, Option<u64>, String)>,
    /// Leaders that are not better than all others by more than chance explains.
    pub not_told_apart: usize,
}

/// A verdict, and the reason if it is silence.
type Told = (Verdict, Option<String>);

impl Daggers {
    /// Tests every leader of every column against every baseline of its column, as one family.
    #[must_use]
    pub fn find(
        input: &ReportInput<'_>,
        view: &View,
        pair: &Pair,
        metric: &str,
        shots: &[Option<u64>],
    ) -> Self {
        let Some(higher_is_better) = metric::style(metric).higher_is_better else {
            return Self::default();
        };
        let mut tested: Vec<(System, Option<u64>, Comparison)> = Vec::new();
        for &k in shots {
            for (leader, others) in leaders(view, pair, metric, k) {
                for other in others {
                    let place = (pair, metric, k);
                    let test = input.claims.test;
                    let comparison = compare(input, view, place, (&leader, &other), test);
                    tested.push((leader.clone(), k, comparison));
                }
            }
        }
        let p_values: Vec<Option<f64>> = tested
            .iter()
            .map(|(_, _, comparison)| Some(comparison.evidence.as_ref().ok()?.p))
            .collect();
        let corrected = input.claims.correction.apply(&p_values);
        let mut of_leader: BTreeMap<(System, Option<u64>), Vec<Told>> = BTreeMap::new();
        for ((leader, k, comparison), p) in tested.into_iter().zip(corrected) {
            let verdict = comparison.verdict(input.claims.alpha, p, higher_is_better);
            let reason = comparison.evidence.err().map(|reason| reason.to_string());
            let verdicts = of_leader.entry((leader, k)).or_default();
            verdicts.push((verdict, reason));
        }
        let mut daggers = Self {
            comparisons: p_values.iter().flatten().count(),
            ..Self::default()
        };
        for ((leader, k), verdicts) in of_leader {
            let told = |wanted: Verdict| verdicts.iter().all(|(verdict, _)| *verdict == wanted);
            let silent = verdicts.iter().find_map(|(_, reason)| reason.clone());
            if told(Verdict::Better) {
                daggers.marked.insert((leader, k));
            } else if let Some(reason) = silent {
                daggers.silent.push((leader, k, reason));
            } else {
                daggers.not_told_apart += 1;
            }
        }
        daggers
    }
}
