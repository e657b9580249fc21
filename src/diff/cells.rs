//! Two sides to differences: cells that changed, appeared or vanished.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::source::{Committed, Side};
use crate::base::StageKey;
use crate::results::provenance::Change;
use crate::results::{Cell, ResultSet, metric};
use crate::statistics::{Comparison, Correction, Interval, Verdict, mean, student};

/// Everything that differs.
#[derive(Debug, Clone, Serialize)]
pub struct ResultDiff {
    /// What the old side is.
    pub old: String,
    /// What the new side is.
    pub new: String,
    /// The level of better and worse.
    pub alpha: f64,
    /// How many changed cells have a p-value; all of them are corrected together (Holm).
    pub comparisons: usize,
    /// One for each experiment that either side has.
    pub experiments: Vec<ExperimentDiff>,
}

/// What differs in one experiment.
#[derive(Debug, Clone, Serialize)]
pub struct ExperimentDiff {
    /// Its folder under `results/`.
    pub name: String,
    /// Cells that differ, in the order of tables.
    pub cells: Vec<CellDiff>,
    /// Cells that are the same to the last bit.
    pub same: usize,
    /// What differs in what the two were made from; none where a side does not tell.
    pub changes: Option<Vec<Change>>,
}

/// One cell over its seeds.
#[derive(Debug, Clone, Serialize)]
pub struct CellDiff {
    /// Method and variant as tables show them.
    pub system: String,
    /// What it was trained on.
    pub train_domain: String,
    /// What it was tested on.
    pub test_domain: String,
    /// Training samples, if any.
    pub k: Option<u64>,
    /// `test` or `valid`.
    pub split: String,
    /// Name of the metric; all values are in its own unit.
    pub metric: String,
    /// The mean over the old seeds.
    pub old: Option<f64>,
    /// The mean over the new seeds.
    pub new: Option<f64>,
    /// Seeds that both have a value for.
    pub seeds: usize,
    /// The mean of new − old over these seeds.
    pub difference: Option<f64>,
    /// Interval of the difference (paired t over seeds).
    pub interval: Option<Interval>,
    /// Two-sided p-value, corrected.
    pub p: Option<f64>,
    /// What it comes to.
    pub outcome: Outcome,
    /// Why the outcome is what it is, where a word is not enough.
    pub note: Option<String>,
}

/// What a changed cell comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Better, by more than chance explains.
    Better,
    /// Worse, by more than chance explains.
    Worse,
    /// The numbers differ, and chance alone explains it.
    NotToldApart,
    /// The numbers are the same; something else about the rows is not.
    Same,
    /// There is no test for it; the note says why.
    CannotSay,
    /// Only the new side has it.
    Appeared,
    /// Only the old side has it.
    Vanished,
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::NotToldApart => "not told apart",
            Self::Same => "same",
            Self::CannotSay => "cannot say",
            Self::Appeared => "appeared",
            Self::Vanished => "vanished",
        })
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Measurement {
    value: Option<f64>,
    n: u64,
    stage_key: StageKey,
}

type Values = BTreeMap<u64, Measurement>;

fn by_cell(results: &ResultSet, experiment: &str) -> BTreeMap<Cell, Values> {
    let mut cells: BTreeMap<Cell, Values> = BTreeMap::new();
    for row in results.rows() {
        let mut cell = Cell::of(row);
        // Two folders are compared by what is in them, whatever the experiments are called.
        experiment.clone_into(&mut cell.experiment);
        let value = Measurement {
            value: row.value,
            n: row.n,
            stage_key: row.stage_key,
        };
        cells.entry(cell).or_default().insert(row.seed, value);
    }
    cells
}

/// Compares two sides at level `alpha`.
#[must_use]
pub fn compare(old: &Side, new: &Side, alpha: f64) -> ResultDiff {
    let empty = Committed::default();
    let mut pending = Vec::new();
    for (name, [one, two]) in pairs(old, new) {
        let [one, two] = [one, two].map(|side| side.unwrap_or(&empty));
        let [was, is] = [one, two].map(|side| by_cell(&side.results, &name));
        let all: BTreeSet<&Cell> = was.keys().chain(is.keys()).collect();
        let mut cells = Vec::new();
        let mut same = 0;
        for cell in all {
            match (was.get(cell), is.get(cell)) {
                (Some(was), Some(is)) if was == is => same += 1,
                (was, is) => cells.push(difference(cell, was, is)),
            }
        }
        let both = one.provenance.as_ref().zip(two.provenance.as_ref());
        let changes = both.map(|(one, two)| one.changes(two));
        pending.push((name, cells, same, changes));
    }
    let p: Vec<Option<f64>> = pending
        .iter()
        .flat_map(|(_, cells, ..)| cells)
        .map(|(_, comparison)| Some(comparison.as_ref()?.evidence.as_ref().ok()?.p))
        .collect();
    let mut corrected = Correction::Holm.apply(&p).into_iter();
    let experiments = pending
        .into_iter()
        .map(|(name, cells, same, changes)| ExperimentDiff {
            name,
            cells: cells
                .into_iter()
                .map(|(cell, comparison)| {
                    judged(cell, comparison, corrected.next().flatten(), alpha)
                })
                .collect(),
            same,
            changes,
        })
        .collect();
    ResultDiff {
        old: old.label.clone(),
        new: new.label.clone(),
        alpha,
        comparisons: p.iter().flatten().count(),
        experiments,
    }
}

/// Which experiment of one side goes with which of the other: those of the same name; or the two
/// that were named, whatever they are called.
fn pairs<'s>(old: &'s Side, new: &'s Side) -> BTreeMap<String, [Option<&'s Committed>; 2]> {
    if let (true, true) = (old.is_one, new.is_one)
        && let (Some((one, was)), Some((two, is))) = (
            old.experiments.first_key_value(),
            new.experiments.first_key_value(),
        )
    {
        let name = if one == two {
            one.clone()
        } else {
            format!("{one} → {two}")
        };
        return BTreeMap::from([(name, [Some(was), Some(is)])]);
    }
    // A side that is one experiment says which one is meant.
    let meant = |name: &String| {
        [old, new]
            .iter()
            .all(|side| !side.is_one || side.experiments.contains_key(name))
    };
    let names: BTreeSet<&String> = old
        .experiments
        .keys()
        .chain(new.experiments.keys())
        .collect();
    names
        .into_iter()
        .filter(|name| meant(name))
        .map(|name| {
            let sides = [old, new].map(|side| side.experiments.get(name));
            (name.clone(), sides)
        })
        .collect()
}

fn difference(
    cell: &Cell,
    was: Option<&Values>,
    is: Option<&Values>,
) -> (CellDiff, Option<Comparison>) {
    let mean = |values: Option<&Values>| {
        let values: Vec<f64> = values?.values().filter_map(|value| value.value).collect();
        mean::mean(&values)
    };
    let mut diff = CellDiff {
        system: cell.system.to_string(),
        train_domain: cell.train_domain.clone(),
        test_domain: cell.test_domain.clone(),
        k: cell.k,
        split: cell.split.clone(),
        metric: cell.metric.clone(),
        old: mean(was),
        new: mean(is),
        seeds: 0,
        difference: None,
        interval: None,
        p: None,
        outcome: Outcome::CannotSay,
        note: None,
    };
    let (was, is) = match (was, is) {
        (Some(was), Some(is)) => (was, is),
        (None, _) => {
            diff.outcome = Outcome::Appeared;
            return (diff, None);
        }
        (_, None) => {
            diff.outcome = Outcome::Vanished;
            return (diff, None);
        }
    };
    let (one, two): (Vec<f64>, Vec<f64>) = is
        .iter()
        .filter_map(|(seed, is)| Some((is.value?, was.get(seed)?.value?)))
        .unzip();
    diff.seeds = one.len();
    diff.note = note(was, is);
    let comparison = student::paired(&one, &two);
    diff.difference = comparison.effect;
    let changed = was.iter().any(|(seed, was)| {
        let is = is.get(seed);
        is.is_none_or(|is| is.value != was.value)
    });
    if !changed && was.len() == is.len() {
        diff.outcome = Outcome::Same;
        return (diff, None);
    }
    (diff, Some(comparison))
}

/// What the rows of a cell say about the reason.
fn note(was: &Values, is: &Values) -> Option<String> {
    let shared = || {
        was.iter()
            .filter_map(|(seed, was)| Some((was, is.get(seed)?)))
    };
    let mut notes = Vec::new();
    if shared().any(|(was, is)| was.stage_key == is.stage_key && was.value != is.value) {
        notes.push("the same stage gave another number: one of the files was edited".to_owned());
    }
    if shared().any(|(was, is)| was.n != is.n) {
        notes.push("measured on another number of rows".to_owned());
    }
    let seeds = |values: &Values| values.keys().copied().collect::<BTreeSet<u64>>();
    let (old, new) = (seeds(was), seeds(is));
    if old != new {
        notes.push(format!("{} seeds before, {} now", old.len(), new.len()));
    }
    if shared().all(|(was, is)| was.value == is.value && was.stage_key != is.stage_key) {
        notes.push("same numbers from other inputs".to_owned());
    }
    (!notes.is_empty()).then(|| notes.join("; "))
}

fn judged(
    mut cell: CellDiff,
    comparison: Option<Comparison>,
    p: Option<f64>,
    alpha: f64,
) -> CellDiff {
    let Some(comparison) = comparison else {
        return cell;
    };
    cell.p = p;
    cell.interval = comparison
        .evidence
        .as_ref()
        .ok()
        .map(|evidence| evidence.interval);
    let add = |note: &mut Option<String>, text: String| {
        *note = Some(match note.take() {
            Some(note) => format!("{note}; {text}"),
            None => text,
        });
    };
    let Some(higher_is_better) = metric::style(&cell.metric).higher_is_better else {
        add(
            &mut cell.note,
            "nobody says whether more is better".to_owned(),
        );
        return cell;
    };
    cell.outcome = match comparison.verdict(alpha, p, higher_is_better) {
        Verdict::Better => Outcome::Better,
        Verdict::Worse => Outcome::Worse,
        Verdict::NotToldApart => Outcome::NotToldApart,
        Verdict::CannotSay => Outcome::CannotSay,
    };
    if let Err(reason) = comparison.evidence {
        add(&mut cell.note, reason.to_string());
    }
    cell
}

impl ResultDiff {
    /// All cells that differ.
    pub fn cells(&self) -> impl Iterator<Item = &CellDiff> {
        self.experiments
            .iter()
            .flat_map(|experiment| &experiment.cells)
    }

    /// How many cells came to this.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.cells().filter(|cell| cell.outcome == outcome).count()
    }
}
