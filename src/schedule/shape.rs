//! The graph by stage template, as readers of events are told it.

use std::collections::BTreeSet;

use crate::base::TemplateShape;
use crate::graph::StageGraph;
use crate::plan::{Plan, makers};

/// Templates of all stages that targets rest on, each after all it needs.
pub(super) fn templates(graph: &StageGraph, plan: &Plan<'_>) -> Vec<TemplateShape> {
    let mut found: Vec<(TemplateShape, BTreeSet<&str>)> = Vec::new();
    let nodes = graph.order.iter().copied();
    for node in nodes.filter(|node| plan.reachable[node.index()]) {
        let stage = &graph.graph[node];
        let at = match found
            .iter()
            .position(|(shape, _)| shape.name == stage.template)
        {
            Some(at) => at,
            None => {
                let shape = TemplateShape {
                    name: stage.template.clone(),
                    kind: String::new(),
                    lane: String::new(),
                    needs: Vec::new(),
                    stages: 0,
                    fresh: 0,
                };
                found.push((shape, BTreeSet::new()));
                found.len() - 1
            }
        };
        let (shape, needs) = &mut found[at];
        shape.stages += 1;
        shape.fresh += usize::from(!plan.needed[node.index()]);
        add(&mut shape.kind, stage.kind.name());
        add(&mut shape.lane, &stage.lane.to_string());
        let templates = makers(graph, node).map(|maker| graph.graph[maker].template.as_str());
        needs.extend(templates.filter(|template| *template != stage.template));
    }
    sorted(found)
}

/// Adds a word to the words of a template, once; the cases of one may be of several kinds.
fn add(words: &mut String, word: &str) {
    if words.split(" or ").any(|known| known == word) {
        return;
    }
    if !words.is_empty() {
        words.push_str(" or ");
    }
    words.push_str(word);
}

/// In the order of first stages a template may stand before one that only a later stage of it
/// needs; this puts it behind.
fn sorted(mut open: Vec<(TemplateShape, BTreeSet<&str>)>) -> Vec<TemplateShape> {
    let mut sorted: Vec<TemplateShape> = Vec::with_capacity(open.len());
    while !open.is_empty() {
        let is_placed = |need: &&str| sorted.iter().any(|shape| shape.name == *need);
        let next = open
            .iter()
            .position(|(_, needs)| needs.iter().all(is_placed))
            // Templates that need each other have no order.
            .unwrap_or(0);
        let (mut shape, needs) = open.remove(next);
        shape.needs = needs.into_iter().map(str::to_owned).collect();
        sorted.push(shape);
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape<'a>(name: &str, needs: &[&'a str]) -> (TemplateShape, BTreeSet<&'a str>) {
        let shape = TemplateShape {
            name: name.to_owned(),
            kind: String::new(),
            lane: String::new(),
            needs: Vec::new(),
            stages: 1,
            fresh: 0,
        };
        (shape, needs.iter().copied().collect())
    }

    #[test]
    fn every_template_stands_after_what_it_needs() {
        let names = |open| -> Vec<String> {
            let sorted = sorted(open).into_iter();
            sorted.map(|shape| shape.name).collect()
        };
        assert_eq!(
            names(vec![
                shape("data", &[]),
                shape("train", &["data", "shots"]),
                shape("shots", &["data"]),
            ]),
            ["data", "shots", "train"]
        );
        assert_eq!(
            names(vec![shape("one", &["two"]), shape("two", &["one"])]),
            ["one", "two"]
        );
    }

    #[test]
    fn kinds_of_cases_are_named_once() {
        let mut words = String::new();
        for word in ["evaluate", "score", "evaluate"] {
            add(&mut words, word);
        }
        assert_eq!(words, "evaluate or score");
    }
}
