//! One metric of one pair of domains: what stands in each place of its table, and what is to be
//! said below it. Knows nothing of Markdown tables, LaTeX or CSV.

use crate::report::evidence::Daggers;
use crate::report::input::ReportInput;
use crate::report::paper::{self, Reported};
use crate::report::view::{Entry, MAIN_METRIC, Pair, View, is_better};
use crate::report::words;
use crate::results::{Group, MetricStyle, System, metric};
use crate::statistics::Unit;

/// Where a mean stands among the systems of its column; trivial baselines have no rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rank {
    Best,
    Second,
    Other,
}

/// One place of the table.
#[derive(Debug, Clone)]
pub(super) struct Place<'a> {
    pub(super) entry: Option<Entry<'a>>,
    pub(super) rank: Rank,
    pub(super) dagger: bool,
    /// The paper's value for the same case.
    pub(super) paper: Option<Reported>,
}

pub(super) struct Block<'a> {
    pub(super) input: &'a ReportInput<'a>,
    view: &'a View,
    pub(super) pair: &'a Pair,
    pub(super) name: &'a str,
    pub(super) style: &'static MetricStyle,
    pub(super) shots: Vec<Option<u64>>,
    pub(super) systems: Vec<System>,
    daggers: Daggers,
}

impl<'a> Block<'a> {
    pub(super) fn new(
        input: &'a ReportInput<'a>,
        view: &'a View,
        pair: &'a Pair,
        name: &'a str,
    ) -> Self {
        let shots = view.shots(pair, name);
        Self {
            input,
            view,
            pair,
            name,
            style: metric::style(name),
            systems: view.systems(pair, name),
            daggers: Daggers::find(input, view, pair, name, &shots),
            shots,
        }
    }

    fn entry(&self, system: &System, k: Option<u64>) -> Option<Entry<'_>> {
        self.view.entry(self.pair, self.name, system, k)
    }

    pub(super) fn place(&self, system: &System, k: Option<u64>) -> Place<'_> {
        let entry = self.entry(system, k);
        let mean = entry.and_then(|entry| entry.summary.mean());
        let shown = mean.map(|mean| self.style.show(mean));
        let is = |rank: Option<String>| rank.is_some() && rank == shown;
        let [best, second] = self.ranks(k);
        let rank = match system.group() {
            Group::System if is(best) => Rank::Best,
            Group::System if is(second) => Rank::Second,
            _ => Rank::Other,
        };
        let shows_paper = self.input.show_paper && self.name == MAIN_METRIC;
        Place {
            entry,
            rank,
            dagger: self.daggers.marked.contains(&(system.clone(), k)),
            paper: shows_paper
                .then(|| paper::reported(system, &self.pair.train, &self.pair.test, k))
                .flatten(),
        }
    }

    /// The best and the second best mean among several systems as they are shown: what looks
    /// equal is a tie. Of two systems the second is the other one, which needs no mark.
    fn ranks(&self, k: Option<u64>) -> [Option<String>; 2] {
        if self.style.higher_is_better.is_none() {
            return [None, None];
        }
        let systems = self.systems.iter();
        let mut means: Vec<f64> = systems
            .filter(|system| system.group() == Group::System)
            .filter_map(|system| self.entry(system, k)?.summary.mean())
            .collect();
        if self.style.higher_is_better == Some(true) {
            means.sort_by(|one, two| two.total_cmp(one));
        } else {
            means.sort_by(f64::total_cmp);
        }
        let count = means.len();
        let mut shown: Vec<String> = means.iter().map(|mean| self.style.show(*mean)).collect();
        shown.dedup();
        let mut shown = shown.into_iter();
        let best = shown.next().filter(|_| count > 1);
        [best, shown.next().filter(|_| count > 2)]
    }

    /// What the mark of significance means here, or why there is none.
    fn dagger_notes(&self) -> Vec<String> {
        let Daggers {
            marked,
            comparisons,
            silent,
            not_told_apart,
        } = &self.daggers;
        let claims = &self.input.claims;
        let test = format!(
            "{}, two-sided, p < {}, {}",
            claims.test,
            claims.alpha,
            claims.correction.words(*comparisons)
        );
        let what = "significantly better than every system of another method and every trivial \
                    baseline of the column";
        let mut notes = Vec::new();
        if !marked.is_empty() {
            notes.push(format!("†: {what} ({test})"));
        } else if *not_told_apart > 0 {
            notes.push(format!("no †: nothing is {what} ({test})"));
        }
        let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
        for (system, k, reason) in silent {
            let place = format!("{system} at {}", words::shots(*k));
            match reasons.iter_mut().find(|(known, _)| known == reason) {
                Some((_, places)) => places.push(place),
                None => reasons.push((reason, vec![place])),
            }
        }
        for (reason, places) in reasons {
            notes.push(format!(
                "no † although ahead of all others by mean: {}: {reason} ({})",
                places.join("; "),
                claims.test
            ));
        }
        if !marked.is_empty() {
            notes.push(match claims.test.unit() {
                Unit::Seeds => {
                    "† is about other seeds on these test rows, not about other users".to_owned()
                }
                unit => format!(
                    "† is about other {unit} with these trained systems, not about other seeds"
                ),
            });
        }
        notes
    }

    /// ` [2/3 seeds]` where fewer seeds have a value than elsewhere in the table.
    pub(super) fn seeds_mark(&self, entry: Entry<'_>, k: Option<u64>) -> String {
        let (values, of) = (entry.summary.values.len(), self.expected_seeds(entry, k));
        if values < of {
            format!(" [{values}/{of} seeds]")
        } else {
            String::new()
        }
    }

    pub(super) fn expected_seeds(&self, entry: Entry<'_>, k: Option<u64>) -> usize {
        // What does not depend on K draws no samples, so one seed may be all there is to it.
        if entry.repeated || k.is_none() {
            entry.summary.seeds.len()
        } else {
            self.view.seeds()
        }
    }

    /// Metric, unit, split, seeds and what n counts, in one line.
    pub(super) fn what_it_is(&self) -> String {
        let present: Vec<Entry<'_>> = self.present().map(|(_, _, entry)| entry).collect();
        // What does not depend on K may need one seed only; it does not speak for the rest.
        let own = present.iter().filter(|entry| !entry.repeated);
        let counts = own.map(|entry| entry.summary.seeds.len());
        let (fewest, most) = (counts.clone().min().unwrap_or(1), counts.max().unwrap_or(1));
        let rows = words::rows_behind(present.iter().map(|entry| entry.summary))
            .map(|(least, most)| words::range(least, most))
            .unwrap_or_default();
        let spread = if most < 2 {
            "1 seed, so no standard deviation".to_owned()
        } else {
            let plural = words::range(fewest, most);
            format!("mean ± sample standard deviation over {plural} seeds")
        };
        let direction = match self.style.higher_is_better {
            Some(true) => ", higher is better",
            Some(false) => ", lower is better",
            None => "",
        };
        format!(
            "{} ({}{direction}); {} split; {spread}; n = {rows} {}.",
            self.style.heading(self.name),
            self.style.unit,
            self.view.split(),
            self.style.counts,
        )
    }

    fn present(&self) -> impl Iterator<Item = (&System, Option<u64>, Entry<'_>)> {
        self.systems.iter().flat_map(move |system| {
            self.shots
                .iter()
                .filter_map(move |&k| Some((system, k, self.entry(system, k)?)))
        })
    }

    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        // Below the main table these were said already.
        if self.name == MAIN_METRIC {
            notes.push(self.how_to_read());
            notes.extend(self.repeated_note());
            notes.extend(self.single_seed_note());
        }
        notes.extend(self.dagger_notes());
        notes.extend(self.gaps_note());
        notes.extend(self.undefined_note());
        notes.extend(self.not_better_note());
        notes
    }

    fn how_to_read(&self) -> String {
        let of_group = |group: Group| {
            let systems = self.systems.iter();
            systems.filter(|system| system.group() == group).count()
        };
        let italic = if of_group(Group::Trivial) > 0 {
            "italic: trivial baselines"
        } else {
            "no trivial baseline stands beside the systems"
        };
        if of_group(Group::System) > 1 {
            let second = if of_group(Group::System) > 2 {
                "; underlined: the second"
            } else {
                ""
            };
            format!("{italic}; bold: the best system of a column, by mean alone{second}")
        } else {
            italic.to_owned()
        }
    }

    fn repeated_note(&self) -> Option<String> {
        let names: Vec<String> = self
            .systems
            .iter()
            .filter(|system| {
                self.shots
                    .iter()
                    .any(|&k| self.entry(system, k).is_some_and(|entry| entry.repeated))
            })
            .map(ToString::to_string)
            .collect();
        if names.is_empty() || self.shots.len() < 2 {
            return None;
        }
        Some(format!(
            "does not depend on K, same value in every column: {}",
            names.join(", ")
        ))
    }

    fn gaps_note(&self) -> Option<String> {
        let gaps = self.per_system(|_, _, entry| entry.is_none());
        (!gaps.is_empty()).then(|| format!("— no result: {}", gaps.join("; ")))
    }

    fn undefined_note(&self) -> Option<String> {
        let undefined =
            self.per_system(|_, _, entry| entry.is_some_and(|entry| entry.summary.undefined > 0));
        (!undefined.is_empty()).then(|| {
            format!(
                "undefined for at least one seed, which the mean leaves out: {} ({} is undefined \
                 when {})",
                undefined.join("; "),
                self.style.heading(self.name),
                self.style.undefined_when
            )
        })
    }

    fn single_seed_note(&self) -> Option<String> {
        if self.view.seeds() < 2 {
            return None;
        }
        let single = self.per_system(|_, _, entry| {
            entry.is_some_and(|entry| {
                let summary = entry.summary;
                !entry.repeated && !summary.values.is_empty() && summary.stages.len() == 1
            })
        });
        (!single.is_empty()).then(|| {
            format!(
                "no ±: a single value, for one seed or for all, has no spread: {}",
                single.join("; ")
            )
        })
    }

    /// The systems with an entry like that, with their K: `Caser (K = 16 and 64)`.
    fn per_system(
        &self,
        wanted: impl Fn(&System, Option<u64>, Option<Entry<'_>>) -> bool,
    ) -> Vec<String> {
        self.systems
            .iter()
            .filter_map(|system| {
                let shots: Vec<Option<u64>> = self
                    .shots
                    .iter()
                    .copied()
                    .filter(|&k| wanted(system, k, self.entry(system, k)))
                    .collect();
                if shots.is_empty() {
                    None
                } else if shots.len() == self.shots.len() {
                    Some(system.to_string())
                } else {
                    Some(format!("{system} at {}", words::all_shots(&shots)))
                }
            })
            .collect()
    }

    /// Which systems a reader could replace by a trivial baseline.
    fn not_better_note(&self) -> Option<String> {
        self.style.higher_is_better?;
        let trivial = |k| self.view.best_trivial(self.pair, self.name, k);
        let bars: Vec<(String, Option<u64>)> = self
            .shots
            .iter()
            .filter_map(|&k| {
                let (system, mean) = trivial(k)?;
                Some((format!("{system}, {}", self.style.show(mean)), k))
            })
            .collect();
        let behind = self.per_system(|system, k, entry| {
            let bar = trivial(k).map(|(_, mean)| mean);
            let mean = entry.and_then(|entry| entry.summary.mean());
            system.group() == Group::System
                && matches!((mean, bar), (Some(mean), Some(bar)) if !is_better(self.style, mean, bar))
        });
        (!behind.is_empty()).then(|| {
            format!(
                "not better than the best trivial baseline ({}): {}",
                words::by_shots(&bars, &self.shots),
                behind.join("; ")
            )
        })
    }
}
