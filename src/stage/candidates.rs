//! `candidates`: lists to rank, one liked item among sampled ones the user does not know.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::samples::read;
use super::{InputDeclaration, OutputDeclaration, StageContext, StageError, StageKind};
use crate::base::Random;
use crate::data::catalogue::read_catalogue;
use crate::data::frame::write_samples;
use crate::data::tallrec_text::{self, TargetLine};
use crate::data::{Item, Sample};

/// Makes lists of candidates.
pub struct Candidates;

/// Parameters of [`Candidates`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// Items of each list beside the liked one, drawn evenly from those the user does not know.
    negatives: usize,
    /// Decides which ones.
    seed: u64,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            negatives: 19,
            seed: 0,
        }
    }
}

impl StageKind for Candidates {
    type Params = Params;

    const NAME: &'static str = "candidates";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes a list to rank of every liked sample: its target, and \
                                   sampled items that the user has not interacted with.";
    const INPUTS: &'static [InputDeclaration] = &[
        InputDeclaration::one("samples", "the samples whose targets are to be found"),
        InputDeclaration::any_number("known", "all samples that tell what a user knows"),
        InputDeclaration::one("items", "the catalogue"),
    ];

    fn outputs(_params: &Params) -> Vec<OutputDeclaration> {
        vec![OutputDeclaration::new("candidates", "candidates.parquet")]
    }

    fn check(params: &Params) -> Result<(), (String, String)> {
        if !(1..=10_000).contains(&params.negatives) {
            let message = format!("{} is not from 1 to 10000", params.negatives);
            return Err(("negatives".to_owned(), message));
        }
        Ok(())
    }

    fn run(params: &Params, context: &StageContext) -> Result<(), StageError> {
        let samples = read(context.input("samples")?)?;
        let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut learn = |sample: &Sample| {
            let Some(user) = &sample.user else { return };
            let items = known.entry(user.clone()).or_default();
            items.extend(sample.history.iter().map(|rated| rated.item.id.clone()));
            items.insert(sample.target.id.clone());
        };
        samples.iter().for_each(&mut learn);
        for input in context.inputs("known") {
            read(input)?.iter().for_each(&mut learn);
        }
        let catalogue = read_catalogue(&context.input("items")?.path)?;
        let mut lists = Vec::new();
        for sample in samples.iter().filter(|sample| sample.label) {
            let own = sample.history.iter().map(|rated| rated.item.id.as_str());
            let own: BTreeSet<&str> = own.chain([sample.target.id.as_str()]).collect();
            let of_user = sample.user.as_ref().and_then(|user| known.get(user));
            let unknown: Vec<&Item> = catalogue
                .iter()
                .filter(|one| one.domain == sample.domain)
                .map(|one| &one.item)
                .filter(|item| !own.contains(item.id.as_str()))
                .filter(|item| of_user.is_none_or(|known| !known.contains(&item.id)))
                .collect();
            if unknown.len() < params.negatives {
                return Err(StageError::input(format!(
                    "row {} needs {} items that its user does not know, and there are {}",
                    sample.row,
                    params.negatives,
                    unknown.len()
                ))
                .with_help("ask for fewer `negatives`"));
            }
            list(sample, &unknown, params, &mut lists);
        }
        if lists.is_empty() {
            return Err(StageError::input(
                "no sample is liked, so there is nothing to find",
            ));
        }
        write_samples(context.output("candidates")?, &lists)?;
        Ok(())
    }
}

/// Appends the list of one sample. Its rows have a user of their own, the user's name with the
/// sample's row, for metrics that look at one list at a time.
fn list(sample: &Sample, unknown: &[&Item], params: &Params, lists: &mut Vec<Sample>) {
    let mut random = Random::new(params.seed, &format!("candidates {}", sample.row));
    let mut chosen: BTreeSet<usize> = BTreeSet::new();
    let mut order = Vec::with_capacity(params.negatives);
    while order.len() < params.negatives {
        // Floyd's way: one draw for each item, whatever share of them is drawn.
        let most = unknown.len() - params.negatives + order.len();
        let drawn = random.below(most + 1);
        let drawn = if chosen.insert(drawn) {
            drawn
        } else {
            chosen.insert(most);
            most
        };
        order.push(drawn);
    }
    let user = sample.user.as_deref().unwrap_or_default();
    let line = TargetLine::of(
        sample.domain,
        &sample.history,
        &sample.target,
        &sample.input,
    );
    let liked = std::iter::once((&sample.target, true));
    let others = order.into_iter().map(|at| (unknown[at], false));
    for (target, label) in liked.chain(others) {
        lists.push(Sample {
            row: lists.len() as u32,
            user: Some(format!("{user}#{}", sample.row)),
            input: tallrec_text::input(sample.domain, &sample.history, target, line),
            output: tallrec_text::answer(label).to_owned(),
            target: target.clone(),
            label,
            ..sample.clone()
        });
    }
}
