//! The graph as a picture: DOT for Graphviz, Mermaid for Markdown.

use std::collections::BTreeMap;
use std::fmt::Write;

use petgraph::Direction;
use petgraph::graph::NodeIndex;
use petgraph::visit::EdgeRef;

use super::node::{SourceReference, StageGraph};

/// A picture language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Graphviz.
    Dot,
    /// Mermaid, which Markdown viewers draw.
    Mermaid,
}

/// Which stages are wanted or needed by one that is.
fn wanted(graph: &StageGraph) -> Vec<bool> {
    let mut wanted = vec![false; graph.graph.node_count()];
    let mut open = graph.targets.clone();
    while let Some(node) = open.pop() {
        if !std::mem::replace(&mut wanted[node.index()], true) {
            open.extend(graph.graph.neighbors_directed(node, Direction::Incoming));
        }
    }
    wanted
}

/// Draws what the targets need: stages and the user's files they read. With `templates`, one box a template with the
/// number of its stages, which stays readable for large grids.
#[must_use]
pub fn export(graph: &StageGraph, format: Format, templates: bool) -> String {
    let wanted = wanted(graph);
    let order: Vec<NodeIndex> = (graph.order.iter().copied())
        .filter(|node| wanted[node.index()])
        .collect();
    let mut boxes: Vec<(String, bool)> = Vec::new();
    let mut edges: Vec<(usize, usize)> = Vec::new();
    let mut files: BTreeMap<String, usize> = BTreeMap::new();
    let mut position: BTreeMap<NodeIndex, usize> = BTreeMap::new();
    if templates {
        let mut counts: Vec<(String, usize)> = Vec::new();
        for index in &order {
            let name = &graph.graph[*index].template;
            let at = match counts.iter().position(|(known, _)| known == name) {
                Some(at) => at,
                None => {
                    counts.push((name.clone(), 0));
                    counts.len() - 1
                }
            };
            counts[at].1 += 1;
            position.insert(*index, at);
        }
        boxes.extend(
            counts
                .into_iter()
                .map(|(name, count)| (format!("{name} ×{count}"), false)),
        );
    } else {
        for index in &order {
            position.insert(*index, boxes.len());
            boxes.push((graph.graph[*index].id.clone(), false));
        }
    }
    for edge in graph.graph.edge_references() {
        if let (Some(from), Some(to)) = (position.get(&edge.source()), position.get(&edge.target()))
        {
            edges.push((*from, *to));
        }
    }
    for index in &order {
        for source in graph.graph[*index]
            .inputs
            .iter()
            .flat_map(|input| &input.sources)
        {
            if let SourceReference::File { path, .. } = &source.from {
                let file = *files.entry(path.clone()).or_insert_with(|| {
                    boxes.push((path.clone(), true));
                    boxes.len() - 1
                });
                if let Some(to) = position.get(index) {
                    edges.push((file, *to));
                }
            }
        }
    }
    edges.sort_unstable();
    edges.dedup();
    match format {
        Format::Dot => dot(&boxes, &edges),
        Format::Mermaid => mermaid(&boxes, &edges),
    }
}

fn dot(boxes: &[(String, bool)], edges: &[(usize, usize)]) -> String {
    let mut text = String::from("digraph stages {\n  rankdir=LR;\n  node [shape=box];\n");
    for (index, (label, is_file)) in boxes.iter().enumerate() {
        let shape = if *is_file { ", shape=note" } else { "" };
        let label = label.replace('\\', "\\\\").replace('"', "\\\"");
        let _ = writeln!(text, "  n{index} [label=\"{label}\"{shape}];");
    }
    for (from, to) in edges {
        let _ = writeln!(text, "  n{from} -> n{to};");
    }
    text.push_str("}\n");
    text
}

fn mermaid(boxes: &[(String, bool)], edges: &[(usize, usize)]) -> String {
    let mut text = String::from("flowchart LR\n");
    for (index, (label, is_file)) in boxes.iter().enumerate() {
        let label = label.replace('"', "#quot;");
        let _ = if *is_file {
            writeln!(text, "  n{index}[/\"{label}\"/]")
        } else {
            writeln!(text, "  n{index}[\"{label}\"]")
        };
    }
    for (from, to) in edges {
        let _ = writeln!(text, "  n{from} --> n{to}");
    }
    text
}
