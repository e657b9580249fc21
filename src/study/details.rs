//! What the page one can point at tells beyond the result set, read from the store: the stages
//! behind each number, the courses of trainings, and the rows on which systems disagree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use petgraph::graph::NodeIndex;
use serde_json::Value;

use super::collect::{Collected, PredictionSource, fresh_key, read_json};
use super::lineage::{behind, curve_of};
use super::{Study, StudyError};
use crate::artifact::ArtifactState;
use crate::artifact::manifest::{Manifest, PEAK_MEMORY};
use crate::base::StageKey;
use crate::data::Sample;
use crate::data::frame::read_samples;
use crate::plan::Plan;
use crate::report::ReportInput;
use crate::report::details::{
    Curve, CurvePanel, Details, Disagreement, DisagreementRow, StageFacts,
};
use crate::report::evidence::{rivals, subject};
use crate::report::view::{MAIN_METRIC, View};
use crate::report::words;
use crate::results::{Group, System};
use crate::stage::codec::{read_curve, read_predictions, read_training_curve};

/// By row of the test split: whether it was liked, and the mean score over seeds.
type Scores = BTreeMap<u32, (bool, f64)>;

/// Rows shown of each comparison.
const MOST_ROWS: usize = 12;
/// Lines shown of a log.
const MOST_LOG_LINES: usize = 100;
/// Pages stay readable, and a browser quick.
const MOST_CURVES: usize = 600;

/// Gathers the details; what is no longer in the store is left out.
///
/// # Errors
/// If an artifact is damaged or the store cannot be read.
pub fn details(
    study: &Study,
    plan: &Plan<'_>,
    collected: &Collected,
    input: &ReportInput<'_>,
) -> Result<Details, StudyError> {
    let mut gathering = Gathering {
        study,
        plan,
        positions: BTreeMap::new(),
        details: Details::default(),
    };
    let wanted: BTreeSet<StageKey> = collected
        .results
        .rows()
        .iter()
        .filter(|row| row.split == "test")
        .map(|row| row.stage_key)
        .collect();
    let mut groups: BTreeMap<StageKey, (String, u64)> = BTreeMap::new();
    for row in collected.results.rows() {
        if row.split == "test" && row.system().group() == Group::System {
            let domain = if row.train_domain == row.test_domain {
                row.test_domain.clone()
            } else {
                row.train_domain.clone()
            };
            let group = format!("{}, {domain}, {}", row.system(), words::shots(row.k));
            groups.entry(row.stage_key).or_insert((group, row.seed));
        }
    }
    for source in &study.graph.metrics {
        let Some(key) = fresh_key(plan, source.node).filter(|key| wanted.contains(key)) else {
            continue;
        };
        gathering.stage(source.node)?;
        if let Some((group, seed)) = groups.get(&key) {
            gathering.curve_behind(source.node, group, *seed)?;
        }
    }
    let mut details = gathering.details;
    details
        .curves
        .dedup_by(|one, other| one.title == other.title);
    details.disagreements = disagreements(study, plan, &collected.predictions, input)?;
    Ok(details)
}

/// What makes the numbers no one set, in words.
#[must_use]
pub fn guards(stages: &[StageFacts]) -> Vec<String> {
    let mut guards = Vec::new();
    for fact in ["program", "commit", "device"] {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for stage in stages {
            for (_, value) in stage.facts.iter().filter(|(name, _)| name == fact) {
                *counts.entry(value).or_default() += 1;
            }
        }
        if counts.len() > 1 {
            let each = counts
                .iter()
                .map(|(value, count)| format!("{value} ({})", words::count(*count, "stage")));
            guards.push(format!(
                "the numbers come from more than one {fact}: {}",
                each.collect::<Vec<_>>().join(", ")
            ));
        }
    }
    guards
}

struct Gathering<'a> {
    study: &'a Study,
    plan: &'a Plan<'a>,
    positions: BTreeMap<NodeIndex, Option<usize>>,
    details: Details,
}

impl Gathering<'_> {
    /// Tells of a stage and of all it was made from; none if its manifest is gone.
    fn stage(&mut self, node: NodeIndex) -> Result<Option<usize>, StudyError> {
        if let Some(position) = self.positions.get(&node) {
            return Ok(*position);
        }
        let manifest = match fresh_key(self.plan, node) {
            Some(key) => self.study.store.manifest(key)?,
            None => None,
        };
        let Some(manifest) = manifest else {
            self.positions.insert(node, None);
            return Ok(None);
        };
        let mut made_from = Vec::new();
        for maker in behind(self.study, self.plan, node)?.makers {
            made_from.extend(self.stage(maker.node)?);
        }
        let id = self.study.graph.graph[node].id.clone();
        let position = self.details.stages.len();
        let log = kept_log(self.study, &manifest);
        self.details
            .stages
            .push(facts(id, manifest, log, made_from));
        self.positions.insert(node, Some(position));
        Ok(Some(position))
    }

    /// The course of the nearest training behind a stage.
    fn curve_behind(&mut self, node: NodeIndex, group: &str, seed: u64) -> Result<(), StudyError> {
        if self.details.curves.len() >= MOST_CURVES {
            self.details.curves_left_out += 1;
            return Ok(());
        }
        let mut open = vec![node];
        let mut seen = BTreeSet::new();
        while let Some(node) = open.pop() {
            if !seen.insert(node) {
                continue;
            }
            let stage = &self.study.graph.graph[node];
            if let Some(output) = curve_of(self.study, node) {
                if let Some(path) = self.study.artifact(self.plan, node, output)? {
                    let summary = stage.outputs.iter().position(|one| one.name == "summary");
                    let summary: Option<Value> = match summary {
                        Some(output) => read_json(self.study, self.plan, node, output)?,
                        None => None,
                    };
                    let title = format!("{group}, seed {seed}");
                    let curve = curve(&path, stage.kind.name(), summary.as_ref(), &title, group);
                    self.details.curves.extend(curve);
                }
                return Ok(());
            }
            let behind = behind(self.study, self.plan, node)?;
            open.extend(behind.makers.into_iter().map(|maker| maker.node));
        }
        Ok(())
    }
}

/// The end of what an external program printed while a stage ran, if that is still there.
fn kept_log(study: &Study, manifest: &Manifest) -> String {
    let name = format!("{}.log", manifest.key.short());
    let text = fs::read(study.folders.logs().join(name)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(MOST_LOG_LINES)..].join("\n")
}

fn facts(id: String, manifest: Manifest, log: String, made_from: Vec<usize>) -> StageFacts {
    let mut parameters = Vec::new();
    flatten("", &manifest.material.params, &mut parameters);
    let inputs = manifest.material.inputs.iter().flat_map(|(name, records)| {
        records.iter().map(move |record| {
            let axes = record.axes.iter();
            let axes: Vec<String> = axes
                .map(|(axis, value)| format!("{axis}={value}"))
                .collect();
            let name = if axes.is_empty() {
                name.clone()
            } else {
                format!("{name} ({})", axes.join(", "))
            };
            (name, record.digest.hex())
        })
    });
    let of_environment = |name: &str| manifest.environment.get(name).cloned();
    let mut facts = Vec::new();
    if let Some(version) = of_environment("runner") {
        facts.push(("program".to_owned(), format!("runner {version}")));
    }
    if let Some(commit) = of_environment("commit") {
        facts.push(("commit".to_owned(), commit));
    }
    let device = [of_environment("processor"), of_environment("system")];
    let device: Vec<String> = device.into_iter().flatten().collect();
    if !device.is_empty() {
        facts.push(("device".to_owned(), device.join(", ")));
    }
    facts.push(("took".to_owned(), format!("{:.1} s", manifest.wall_s)));
    let peak = of_environment(PEAK_MEMORY).and_then(|bytes| bytes.parse::<f64>().ok());
    if let Some(bytes) = peak {
        let size = if bytes < 1e9 {
            format!("{:.0} MB", bytes / 1e6)
        } else {
            format!("{:.1} GB", bytes / 1e9)
        };
        facts.push(("memory".to_owned(), format!("{size} at its highest moment")));
    }
    StageFacts {
        id,
        key: manifest.key,
        inputs: inputs.collect(),
        kind: manifest.material.kind,
        version: manifest.material.version,
        parameters,
        facts,
        log,
        made_from,
    }
}

fn flatten(path: &str, value: &Value, into: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, inner) in map {
                let dot = if path.is_empty() { "" } else { "." };
                flatten(&format!("{path}{dot}{name}"), inner, into);
            }
        }
        Value::Object(_) if path.is_empty() => {}
        value => into.push((path.to_owned(), value.to_string())),
    }
}

/// A training's course, in whichever of the two forms its kind writes; none if it has no points or
/// is of another version.
fn curve(
    path: &Path,
    kind: &str,
    summary: Option<&Value>,
    title: &str,
    group: &str,
) -> Option<Curve> {
    let number = |name: &str| summary?.get(name)?.as_f64();
    let (x_label, chosen_x, panels) = if kind == "train_recommender" {
        let points = read_curve(path).ok()?;
        let of = |y_label, part: fn(&crate::train::Epoch) -> f64| CurvePanel {
            y_label,
            points: points
                .iter()
                .map(|point| (point.epoch as f64, part(point)))
                .collect(),
        };
        let panels = vec![
            of("training loss", |point| point.loss),
            of("validation AUC", |point| point.valid_auc),
        ];
        ("epoch", number("best_epoch"), panels)
    } else {
        let points = read_training_curve(path).ok()?;
        let of = |y_label, part: fn(&crate::tuning::CurvePoint) -> Option<f64>| CurvePanel {
            y_label,
            points: points
                .iter()
                .filter_map(|point| Some((point.step as f64, part(point)?)))
                .collect(),
        };
        let panels = vec![
            of("training loss", |point| Some(point.loss)),
            of("validation AUC", |point| point.validation_auc),
            of("validation loss", |point| point.validation_loss),
            of("learning rate", |point| Some(point.learning_rate)),
        ];
        ("step", number("chosen_step"), panels)
    };
    let panels: Vec<CurvePanel> = panels
        .into_iter()
        .filter(|panel| !panel.points.is_empty())
        .collect();
    (!panels.is_empty()).then(|| Curve {
        title: title.to_owned(),
        group: group.to_owned(),
        chosen_x,
        x_label,
        panels,
    })
}

/// For each pair of domains, at its largest K: the rows on which the system that comparisons are
/// about and the best other system are furthest apart.
fn disagreements(
    study: &Study,
    plan: &Plan<'_>,
    sources: &[PredictionSource],
    input: &ReportInput<'_>,
) -> Result<Vec<Disagreement>, StudyError> {
    let view = View::new(input, "test");
    let mut found = Vec::new();
    for pair in view.pairs() {
        let shots = view.shots(&pair, MAIN_METRIC);
        let (Some(&k), Some(subject)) = (shots.last(), subject(&view, &pair, MAIN_METRIC)) else {
            continue;
        };
        let mut systems = vec![subject.clone()];
        systems.extend(rivals(&view, &pair, MAIN_METRIC, k, &subject));
        let mut scores: Vec<(System, Scores)> = Vec::new();
        for system in systems {
            let Some(entry) = view.entry(&pair, MAIN_METRIC, &system, k) else {
                continue;
            };
            let of_system: Vec<&PredictionSource> = sources
                .iter()
                .filter(|source| {
                    source.system == system
                        && source.k == entry.cell.k
                        && source.train_domain == entry.cell.train_domain
                        && source.test_domain == pair.test
                })
                .collect();
            if let Some(means) = means(study, &of_system)? {
                scores.push((system, means));
            }
        }
        let systems = scores
            .iter()
            .filter(|(system, _)| system.group() == Group::System);
        if systems.count() < 2 {
            continue;
        }
        let Some(samples) = samples(study, plan, &pair.test)? else {
            continue;
        };
        let rows = widest(&scores, &samples);
        if !rows.is_empty() {
            found.push(Disagreement {
                title: format!(
                    "{pair}, {}: rows on which {} and {} disagree most",
                    words::shots(k),
                    scores[0].0,
                    scores[1].0
                ),
                systems: scores
                    .iter()
                    .map(|(system, _)| system.to_string())
                    .collect(),
                rows,
            });
        }
    }
    Ok(found)
}

/// Scores of the first two are compared by their places among all rows: what systems call likely
/// differs in scale.
fn widest(scores: &[(System, Scores)], samples: &[Sample]) -> Vec<DisagreementRow> {
    let [one, other, ..] = scores else {
        return Vec::new();
    };
    let places = |scores: &Scores| -> BTreeMap<u32, f64> {
        let mut order: Vec<(u32, f64)> = scores
            .iter()
            .map(|(row, (_, score))| (*row, *score))
            .collect();
        order.sort_by(|left, right| left.1.total_cmp(&right.1));
        let count = order.len().max(1) as f64;
        let placed = order.into_iter().enumerate();
        placed
            .map(|(place, (row, _))| (row, place as f64 / count))
            .collect()
    };
    let (left, right) = (places(&one.1), places(&other.1));
    let mut rows: Vec<(f64, u32)> = left
        .iter()
        .filter_map(|(row, place)| Some(((place - right.get(row)?).abs(), *row)))
        .collect();
    rows.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
    rows.into_iter()
        .take(MOST_ROWS)
        .filter_map(|(_, row)| {
            let sample = samples.iter().find(|sample| sample.row == row)?;
            Some(DisagreementRow {
                row,
                liked: sample.label,
                prompt: format!("{}\n\n{}", sample.instruction.trim(), sample.input.trim()),
                scores: scores
                    .iter()
                    .map(|(_, of)| of.get(&row).map(|(_, score)| *score))
                    .collect(),
            })
        })
        .collect()
}

/// Mean scores over seeds by row; none if predictions are gone or there are none.
fn means(study: &Study, sources: &[&PredictionSource]) -> Result<Option<Scores>, StudyError> {
    let mut means: Scores = BTreeMap::new();
    let share = 1.0 / sources.len().max(1) as f64;
    for source in sources {
        if study.store.check_artifact(source.digest)? != ArtifactState::Intact {
            return Ok(None);
        }
        let path = study.store.artifact_path(source.digest);
        let predictions = read_predictions(&path).map_err(|error| StudyError::Artifact {
            what: format!("predictions of {}, seed {}", source.system, source.seed),
            message: error.to_string(),
        })?;
        for prediction in predictions {
            let mean = means
                .entry(prediction.row)
                .or_insert((prediction.label, 0.0));
            mean.1 += prediction.score * share;
        }
    }
    Ok((!means.is_empty()).then_some(means))
}

/// The test samples of a domain; none if they are gone.
fn samples(
    study: &Study,
    plan: &Plan<'_>,
    domain: &str,
) -> Result<Option<Vec<Sample>>, StudyError> {
    for node in study.graph.order.iter().copied() {
        let stage = &study.graph.graph[node];
        if stage.template != "samples" || super::collect::label(study, node) != domain {
            continue;
        }
        let Some(output) = stage
            .outputs
            .iter()
            .position(|output| output.name == "test")
        else {
            continue;
        };
        if let Some(path) = study.artifact(plan, node, output)? {
            return read_samples(&path)
                .map(Some)
                .map_err(|error| StudyError::Artifact {
                    what: crate::plan::reason::origin(&study.graph, node, output),
                    message: error.to_string(),
                });
        }
    }
    Ok(None)
}
