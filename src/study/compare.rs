//! Compares the predictions of systems over users and rows, for the questions a report asks.
//!
//! Each artifact of predictions is read once, all systems of a test domain see the same draws,
//! and the result is a function of the predictions alone: the seed of the draws is fixed, so
//! that nobody can look for a luckier one.
//!
//! Where the predictions are gone from the store (`runner cache gc` may remove them), what an
//! earlier report of the same stages found is kept, from the `comparisons.csv` beside it.

use std::collections::BTreeMap;
use std::path::Path;

use super::collect::PredictionSource;
use super::{Study, StudyError};
use crate::artifact::ArtifactState;
use crate::base::{Digest, bounded};
use crate::metric::Prediction;
use crate::report::ReportInput;
use crate::report::evidence::questions;
use crate::results::comparison::{self, CHANCE, ComparisonRow, Question};
use crate::results::{System, UNTRAINED};
use crate::stage::codec::read_predictions;
use crate::statistics::bootstrap::{self, DRAWS, Resampled, Resampler};
use crate::statistics::delong::{self, Placements};
use crate::statistics::{CannotSay, Comparison, Test};

/// The seed of all draws.
const SEED: u64 = 0;

/// A system as trained and tested: its seeds are averaged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Trained {
    system: System,
    train_domain: String,
    test_domain: String,
    k: Option<u64>,
}

/// Rows of a test domain in the order of its split, and the scores of systems on them.
#[derive(Debug, Default)]
struct Rows {
    labels: Vec<bool>,
    users: Vec<Option<String>>,
}

/// The scores of one system: for each seed one score a row, or why there are none.
type Runs = Result<Vec<Vec<f64>>, CannotSay>;

/// Answers every question of the report with each test over users and rows.
///
/// # Errors
/// If the store cannot be read, or predictions in it are damaged or not what their stage writes.
pub fn compare(
    study: &Study,
    input: &ReportInput<'_>,
    sources: &[PredictionSource],
    folder: &Path,
) -> Result<Vec<ComparisonRow>, StudyError> {
    let questions = questions(input);
    let mut of_system: BTreeMap<Trained, Vec<&PredictionSource>> = BTreeMap::new();
    for source in sources {
        let trained = Trained {
            system: source.system.clone(),
            train_domain: source.train_domain.clone(),
            test_domain: source.test_domain.clone(),
            k: source.k,
        };
        of_system.entry(trained).or_default().push(source);
    }
    let mut domains: Vec<&str> = questions
        .iter()
        .map(|one| one.test_domain.as_str())
        .collect();
    domains.sort_unstable();
    domains.dedup();
    let mut rows = Vec::new();
    for domain in domains {
        let asked: Vec<&Question> = questions
            .iter()
            .filter(|question| question.test_domain == domain)
            .collect();
        rows.extend(of_domain(study, &asked, &of_system)?);
    }
    keep_known(&mut rows, folder);
    Ok(rows)
}

fn of_domain(
    study: &Study,
    questions: &[&Question],
    of_system: &BTreeMap<Trained, Vec<&PredictionSource>>,
) -> Result<Vec<ComparisonRow>, StudyError> {
    let mut names: Vec<Option<&Trained>> = Vec::new();
    let sides: Vec<[Option<&Trained>; 2]> = questions
        .iter()
        .map(|question| [&question.one, &question.other].map(|one| find(of_system, question, one)))
        .collect();
    for name in sides.iter().flatten() {
        if !names.contains(name) {
            names.push(*name);
        }
    }
    let mut rows = Rows::default();
    let mut all: Vec<Runs> = Vec::new();
    for name in &names {
        all.push(match name {
            Some(name) => runs(
                study,
                &mut rows,
                of_system.get(*name).map_or(&[], Vec::as_slice),
            )?,
            None => Err(CannotSay::Told("there are no predictions of it".to_owned())),
        });
    }
    // Guessing: one score for all.
    let guessing = names.len();
    all.push(Ok(vec![vec![0.0; rows.labels.len()]]));
    let position = |system: &System, name: Option<&Trained>| {
        if system.method == CHANCE {
            guessing
        } else {
            names
                .iter()
                .position(|known| *known == name)
                .unwrap_or(guessing)
        }
    };
    let placements: Vec<Result<Placements, CannotSay>> = all
        .iter()
        .map(|runs| Placements::new(&rows.labels, runs.as_ref().map_err(Clone::clone)?))
        .collect();
    let drawn = [
        Resampler::of_users(&rows.labels, &rows.users, SEED, DRAWS),
        Resampler::of_rows(&rows.labels, SEED, DRAWS),
    ]
    .map(|resampler| areas(resampler, &all));
    let mut answers = Vec::new();
    for (question, names) in questions.iter().zip(&sides) {
        let [one, other] = [
            position(&question.one, names[0]),
            position(&question.other, names[1]),
        ];
        let stages = stages(
            names
                .iter()
                .flatten()
                .filter_map(|name| of_system.get(*name)),
        );
        let mut add = |comparison| {
            answers.push(ComparisonRow {
                question: (*question).clone(),
                comparison,
                stages,
            });
        };
        for (test, drawn) in [Test::BootstrapUsers, Test::BootstrapRows]
            .into_iter()
            .zip(&drawn)
        {
            add(both(
                test,
                &drawn[one],
                &drawn[other],
                bootstrap::difference,
            ));
        }
        add(both(
            Test::Delong,
            &placements[one],
            &placements[other],
            delong::difference,
        ));
    }
    Ok(answers)
}

/// The system a question names: what does not depend on K stands for every K, and what is trained
/// on nothing for every train domain, as in the tables.
fn find<'s>(
    of_system: &'s BTreeMap<Trained, Vec<&PredictionSource>>,
    question: &Question,
    system: &System,
) -> Option<&'s Trained> {
    let trained = |train: &str, k| Trained {
        system: system.clone(),
        train_domain: train.to_owned(),
        test_domain: question.test_domain.clone(),
        k,
    };
    [question.train_domain.as_str(), UNTRAINED]
        .into_iter()
        .flat_map(|train| [trained(train, question.k), trained(train, None)])
        .find_map(|name| of_system.get_key_value(&name))
        .map(|(name, _)| name)
}

/// Reads the predictions of one system and checks that they are about the rows all others are.
fn runs(study: &Study, rows: &mut Rows, sources: &[&PredictionSource]) -> Result<Runs, StudyError> {
    let mut runs = Vec::new();
    for source in sources {
        let what = || {
            format!(
                "predictions of {}, seed {}, on {}",
                source.system, source.seed, source.test_domain
            )
        };
        let damaged = |message: String| StudyError::Artifact {
            what: what(),
            message,
        };
        match study.store.check_artifact(source.digest)? {
            ArtifactState::Intact => {}
            ArtifactState::Missing => {
                let gone = "its predictions are no longer in the store".to_owned();
                return Ok(Err(CannotSay::Told(gone)));
            }
            ArtifactState::Corrupt => {
                return Err(damaged(
                    "the bytes no longer match their digest; run `runner cache verify` and then \
                     the experiment again"
                        .to_owned(),
                ));
            }
        }
        let path = study.store.artifact_path(source.digest);
        let mut predictions =
            read_predictions(&path).map_err(|error| damaged(error.to_string()))?;
        predictions.sort_by_key(|prediction| prediction.row);
        if rows.labels.is_empty() {
            rows.labels = predictions.iter().map(|one| one.label).collect();
            rows.users = predictions.iter().map(|one| one.user.clone()).collect();
        }
        if !rows.are_those_of(&predictions) {
            return Ok(Err(CannotSay::DifferentRows));
        }
        runs.push(
            predictions
                .iter()
                .map(|prediction| prediction.score)
                .collect(),
        );
    }
    Ok(Ok(runs))
}

impl Rows {
    fn are_those_of(&self, predictions: &[Prediction]) -> bool {
        self.labels.len() == predictions.len()
            && self
                .labels
                .iter()
                .zip(&self.users)
                .zip(predictions)
                .all(|((label, user), one)| *label == one.label && *user == one.user)
    }
}

fn areas(
    resampler: Result<Resampler, CannotSay>,
    all: &[Runs],
) -> Vec<Result<Resampled, CannotSay>> {
    let sound: Vec<Vec<&Vec<f64>>> = all
        .iter()
        .flatten()
        .map(|runs| runs.iter().collect())
        .collect();
    let drawn = resampler.map(|resampler| resampler.areas(&sound));
    let mut drawn = drawn.map(Vec::into_iter);
    all.iter()
        .map(|runs| match (runs, &mut drawn) {
            (Err(reason), _) => Err(reason.clone()),
            (Ok(_), Err(reason)) => Err(reason.clone()),
            (Ok(_), Ok(drawn)) => drawn.next().unwrap_or(Err(CannotSay::DifferentRows)),
        })
        .collect()
}

fn both<T>(
    test: Test,
    one: &Result<T, CannotSay>,
    other: &Result<T, CannotSay>,
    difference: impl Fn(&T, &T) -> Comparison,
) -> Comparison {
    match (one, other) {
        (Ok(one), Ok(other)) => difference(one, other),
        (Err(reason), _) | (_, Err(reason)) => {
            Comparison::silent(test, [0, 0], None, reason.clone())
        }
    }
}

fn stages<'s>(sources: impl Iterator<Item = &'s Vec<&'s PredictionSource>>) -> Digest {
    let mut keys: Vec<String> = sources
        .flatten()
        .map(|source| source.stage_key.hex())
        .collect();
    keys.sort_unstable();
    Digest::of_bytes(keys.join("\n").as_bytes())
}

/// Puts what an earlier report found in the place of silence, where it is about the same stages.
/// A file that cannot be read is no help, and no harm: it is written anew.
fn keep_known(rows: &mut [ComparisonRow], folder: &Path) {
    let Ok(bytes) = bounded::read(&folder.join("comparisons.csv"), bounded::RECORDS) else {
        return;
    };
    let known = comparison::from_csv("comparisons.csv", &bytes).unwrap_or_default();
    for row in rows {
        if !matches!(row.comparison.evidence, Err(CannotSay::Told(_))) {
            continue;
        }
        let same = known.iter().find(|known| {
            known.question == row.question
                && known.comparison.test == row.comparison.test
                && known.stages == row.stages
        });
        if let Some(same) = same {
            row.comparison = same.comparison.clone();
        }
    }
}
