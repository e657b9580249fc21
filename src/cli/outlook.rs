//! What the stages of the accelerator lane will need, as people and programs read it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use petgraph::graph::NodeIndex;
use serde_json::{Value, json};

use super::output::{self, size};
use crate::base::clock;
use crate::plan::Plan;
use crate::schedule::{Fitted, backbones_in_order};
use crate::stage::needs::{Basis, Fit, Needs, Peak};
use crate::study::Study;
use crate::study::outlook::{LimitFrom, MemoryLimit, Outlook, StageOutlook, changed};
use crate::study::speeds::Standing;

/// Stages of one template with one model: they are alike but for the lengths of their texts.
struct Group<'o> {
    template: &'o str,
    count: usize,
    /// Those of the stage that needs most.
    needs: &'o Needs,
    largest: &'o StageOutlook,
}

fn groups<'o>(study: &'o Study, outlook: &'o Outlook) -> Vec<Group<'o>> {
    let mut groups: Vec<Group<'o>> = Vec::new();
    for stage in &outlook.stages {
        let Ok(needs) = &stage.needs else { continue };
        let template = study.graph.graph[stage.node].template.as_str();
        let same = |group: &&mut Group<'_>| {
            group.template == template
                && group.needs.sizes == needs.sizes
                && group.largest.limit == stage.limit
        };
        match groups.iter_mut().find(same) {
            Some(group) => {
                group.count += 1;
                if needs.peak().total() > group.needs.peak().total() {
                    (group.needs, group.largest) = (needs, stage);
                }
            }
            None => groups.push(Group {
                template,
                count: 1,
                needs,
                largest: stage,
            }),
        }
    }
    groups
}

/// Why nothing is known of some stages, with their templates.
fn unknown<'o>(study: &'o Study, outlook: &'o Outlook) -> Vec<(&'o str, &'o str)> {
    let mut all = Vec::new();
    for stage in &outlook.stages {
        if let Err(why) = &stage.needs {
            let entry = (
                study.graph.graph[stage.node].template.as_str(),
                why.as_str(),
            );
            if !all.contains(&entry) {
                all.push(entry);
            }
        }
    }
    all
}

fn limit_words(limit: MemoryLimit) -> String {
    let from = match limit.from {
        LimitFrom::Limits => "that `limits` allow",
        LimitFrom::Machine => "that this machine has",
        LimitFrom::Card => "that the card has",
        LimitFrom::Asked => "that --memory gives",
    };
    format!("{} {from}", size(limit.bytes))
}

/// Everything there is to say, empty where nothing runs on the accelerator.
pub(super) fn text(study: &Study, plan: &Plan<'_>, outlook: &Outlook) -> String {
    if outlook.stages.is_empty() {
        return String::new();
    }
    let mut text = String::from("\n");
    let groups = groups(study, outlook);
    if !groups.is_empty() {
        text.push_str("memory of the accelerator's stages at their highest moment\n");
        text.push_str(&table(&groups));
    }
    for group in &groups {
        if let Some(line) = verdict(group.largest, group.template) {
            let _ = writeln!(text, "{line}");
        }
    }
    if let Some((least, most, count)) = outlook.memory_of_planned {
        let stages = if count == 1 { "stage" } else { "stages" };
        let _ = writeln!(
            text,
            "measured so far: {count} {stages} took {:.0} to {:.0} % of the memory planned",
            100.0 * least,
            100.0 * most
        );
    }
    let unknown = unknown(study, outlook);
    for (template, why) in &unknown {
        let _ = writeln!(text, "{template}: memory and time are not known: {why}");
    }
    text.push_str(&time(study, outlook));
    text.push_str(&order(study, plan));
    text
}

fn table(groups: &[Group<'_>]) -> String {
    let heads = [
        "stage", "stages", "passes", "peak", "of", "weights", "trained", "moments", "layers",
        "working", "logits", "other", "texts",
    ];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for group in groups {
        let needs = group.needs;
        let (pass, longest) = needs.longest;
        let texts = format!(
            "{}: up to {longest} tokens, {pass} in a pass",
            needs.basis.words()
        );
        let limit = group.largest.limit;
        let limit = limit.map_or_else(String::new, |limit| size(limit.bytes));
        let kinds = [("learning", needs.training), ("scoring", needs.scoring)];
        for (number, (name, peak)) in kinds
            .iter()
            .filter_map(|(name, peak)| Some((*name, (*peak)?)))
            .enumerate()
        {
            let first = number == 0;
            let shown = |text: &str| {
                if first {
                    text.to_owned()
                } else {
                    String::new()
                }
            };
            let mut row = vec![
                shown(group.template),
                shown(&group.count.to_string()),
                name.to_owned(),
                size(peak.total()),
                shown(&limit),
            ];
            row.extend(parts(&peak).map(|bytes| {
                if bytes == 0 {
                    "–".to_owned()
                } else {
                    size(bytes)
                }
            }));
            row.push(shown(&texts));
            rows.push(row);
        }
    }
    output::columns(&rows)
}

fn parts(peak: &Peak) -> [u64; 7] {
    [
        peak.weights,
        peak.trained,
        peak.optimiser,
        peak.kept,
        peak.working,
        peak.logits,
        peak.other,
    ]
}

/// What there is to say of a stage that does not fit; nothing of one that does.
fn verdict(stage: &StageOutlook, name: &str) -> Option<String> {
    let (Ok(needs), Some(limit), Some(fit)) = (&stage.needs, stage.limit, &stage.fit) else {
        return None;
    };
    let needed = size(needs.peak().total());
    let surely = if stage.is_too_large() {
        "does not fit"
    } else {
        "may not fit"
    };
    let engine = needs.engine;
    let head = format!(
        "{name}: {surely}: {needed} of {} ({engine})",
        limit_words(limit)
    );
    Some(match fit {
        Fit::Fits => return None,
        Fit::With(ways) => {
            let ways: Vec<String> = ways
                .iter()
                .map(|way| {
                    let change = changed(needs.passes, way.passes);
                    format!("{change} ({})", size(way.peak))
                })
                .collect();
            let first = if ways.len() > 1 { "the first" } else { "it" };
            format!(
                "{head}; it fits with {}: `runner run --fit` does {first}",
                ways.join(", or with ")
            )
        }
        Fit::Packed(form) => format!("{head}; it fits with the weights in {form}"),
        Fit::Never(least) => format!(
            "{head}; with one text at a time it still needs {}, {} of it for the weights: a smaller \
             model, a shorter cutoff_length or another machine is needed",
            size(*least),
            size(needs.peak().weights)
        ),
    })
}

/// The stages that surely do not fit, a line each template; with `fitted`, not even with other
/// passes.
pub(super) fn too_large(study: &Study, outlook: &Outlook, fitted: bool) -> Vec<String> {
    let mut lines = BTreeMap::new();
    let helped = |stage: &StageOutlook| fitted && matches!(stage.fit, Some(Fit::With(_)));
    let stages = outlook.stages.iter().filter(|one| one.is_too_large());
    for stage in stages.filter(|one| !helped(one)) {
        let node = &study.graph.graph[stage.node];
        let needed = stage.needs.as_ref().map_or(0, |needs| needs.peak().total());
        let line = verdict(stage, &node.template);
        let entry = lines.entry(node.template.as_str()).or_insert((0, None));
        if needed > entry.0 {
            *entry = (needed, line);
        }
    }
    lines.into_values().filter_map(|(_, line)| line).collect()
}

/// What is changed for stages to fit, a line for all of a template that are changed alike.
pub(super) fn fitted_lines(study: &Study, fitted: &BTreeMap<NodeIndex, Fitted>) -> Vec<String> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (node, one) in fitted {
        let template = study.graph.graph[*node].template.as_str();
        *counts.entry((template, one.words.as_str())).or_default() += 1;
    }
    let lines = counts.into_iter();
    lines
        .map(|((template, words), count)| {
            format!("to fit into memory, {count} × {template}: {words}")
        })
        .collect()
}

/// Hours of the accelerator, when they are over, and what that stands on.
fn time(study: &Study, outlook: &Outlook) -> String {
    let mut total = 0.0;
    let mut timed = 0;
    let mut templates: Vec<(&str, usize, f64, String)> = Vec::new();
    let mut not_timed: Vec<&str> = Vec::new();
    for stage in &outlook.stages {
        let template = study.graph.graph[stage.node].template.as_str();
        let Some((seconds, standing)) = stage.seconds else {
            if !not_timed.contains(&template) {
                not_timed.push(template);
            }
            continue;
        };
        total += seconds;
        timed += 1;
        let bounded = |needs: &Needs| needs.basis != Basis::Rows;
        let at_most = standing != Standing::PastTimings && stage.needs.as_ref().is_ok_and(bounded);
        let at_most = if at_most { ", at most" } else { "" };
        let words = format!("{}{at_most}", standing.words());
        match templates
            .iter_mut()
            .find(|one| one.0 == template && one.3 == words)
        {
            Some(one) => {
                one.1 += 1;
                one.2 += seconds;
            }
            None => templates.push((template, 1, seconds, words)),
        }
    }
    if timed == 0 {
        return "time of the accelerator: not known yet; one stage that ran tells how fast it is\n"
            .to_owned();
    }
    let human = |seconds: f64| clock::human(Duration::from_secs_f64(seconds));
    let ends = clock::unix_milliseconds() + (total * 1000.0) as u64;
    let mut text = format!(
        "time of the accelerator: {} for {timed} of {} stages, over about {} if it begins now\n",
        human(total),
        outlook.stages.len(),
        clock::moment(ends)
    );
    for (template, count, seconds, words) in templates {
        let _ = writeln!(
            text,
            "  {template}: {count} × {}, {words}",
            human(seconds / count as f64)
        );
    }
    for template in not_timed {
        let why = outlook.stages.iter().find_map(|stage| {
            let here = study.graph.graph[stage.node].template == *template;
            let needs = stage.needs.as_ref().ok().filter(|_| here)?;
            Some(match needs.work {
                None => "how many texts there are is known once they are made",
                Some(_) => "no such stage and no other with its model ran yet",
            })
        });
        let why = why.unwrap_or("nothing is known of what it does");
        let _ = writeln!(text, "  {template}: not known: {why}");
    }
    text
}

/// The backbones in the order in which they are loaded.
fn order(study: &Study, plan: &Plan<'_>) -> String {
    let order = backbones_in_order(&study.graph, plan);
    match order.as_slice() {
        [] => String::new(),
        [(name, count)] => {
            format!("order: one backbone, `{name}`, stays loaded for {count} stages\n")
        }
        all => {
            let each: Vec<String> = all
                .iter()
                .map(|(name, count)| format!("`{name}` ({count} stages)"))
                .collect();
            format!(
                "order, each backbone loaded once: {}\n",
                each.join(", then ")
            )
        }
    }
}

/// The same for programs.
pub(super) fn value(study: &Study, plan: &Plan<'_>, outlook: &Outlook) -> Value {
    let stages: Vec<Value> = outlook
        .stages
        .iter()
        .map(|stage| {
            let (needs, unknown) = match &stage.needs {
                Ok(needs) => (Some(needs), None),
                Err(why) => (None, Some(why)),
            };
            let total = |peak: Option<Peak>| peak.map(|peak| peak.total());
            json!({
                "stage": study.graph.graph[stage.node].id,
                "needs": needs,
                "training_bytes": needs.and_then(|needs| total(needs.training)),
                "scoring_bytes": needs.and_then(|needs| total(needs.scoring)),
                "unknown": unknown,
                "limit": stage.limit,
                "fit": stage.fit,
                "too_large": stage.is_too_large(),
                "seconds": stage.seconds.map(|(seconds, _)| seconds),
                "seconds_by": stage.seconds.map(|(_, standing)| standing),
            })
        })
        .collect();
    let order: Vec<Value> = backbones_in_order(&study.graph, plan)
        .into_iter()
        .map(|(name, count)| json!({"backbone": name, "stages": count}))
        .collect();
    let measured = outlook
        .memory_of_planned
        .map(|(least, most, count)| json!({"stages": count, "least": least, "most": most}));
    json!({
        "device": outlook.device,
        "stages": stages,
        "order": order,
        "measured_of_planned": measured,
    })
}
