//! The `report:` of an experiment: which tables and figures, and how claims are tested.

use super::experiment::Vocabulary;
use super::source::Diagnostics;
use super::yaml::{Content, Entry, Node};
use crate::base::nearest::suggestion;
use crate::statistics::{Claims, Correction, Test};

/// The keys of `report:`.
const REPORT_KEYS: [&str; 3] = ["tables", "figures", "statistics"];

/// The keys of `report: {statistics: …}`.
const STATISTICS_KEYS: [&str; 3] = ["test", "alpha", "correction"];

/// What `report:` says, after defaults.
#[derive(Debug, Clone, Default)]
pub(super) struct Report {
    pub(super) tables: Vec<String>,
    pub(super) figures: Vec<String>,
    pub(super) claims: Claims,
}

/// Reads `report:`; what is wrong goes to `diagnostics` with its place.
pub(super) fn decode(
    node: Option<&Node>,
    vocabulary: Vocabulary,
    diagnostics: &mut Diagnostics,
) -> Report {
    let mut lists = [
        ("tables", vocabulary.tables, Vec::new()),
        ("figures", vocabulary.figures, Vec::new()),
    ];
    for (key, known, list) in &mut lists {
        match node.and_then(|node| node.get(key)) {
            None => *list = known.iter().map(|name| (*name).to_owned()).collect(),
            Some(node) => {
                for item in node.as_list().unwrap_or(std::slice::from_ref(node)) {
                    match item.as_str() {
                        Some(name) if known.contains(&name) => list.push(name.to_owned()),
                        other => diagnostics.error_with_help(
                            "spec::report",
                            item.span,
                            format!("{} is not one of the {key}", item.describe()),
                            suggestion(other.unwrap_or_default(), known.iter().copied()),
                        ),
                    }
                }
            }
        }
    }
    if let Some(node) = node.filter(|node| node.as_map().is_none() && !node.is_null()) {
        diagnostics.error_with_help(
            "spec::report",
            node.span,
            format!("report is {}, not a mapping", node.describe()),
            "write for example `report: {tables: [comparison]}`",
        );
    }
    keys("report", node, &REPORT_KEYS, diagnostics);
    let claims = claims(node.and_then(|node| node.get("statistics")), diagnostics);
    let [(_, _, tables), (_, _, figures)] = lists;
    Report {
        tables,
        figures,
        claims,
    }
}

fn keys(of: &str, node: Option<&Node>, known: &[&str], diagnostics: &mut Diagnostics) {
    for Entry { key, span, .. } in node.and_then(Node::as_map).unwrap_or_default() {
        if !known.contains(&key.as_str()) {
            diagnostics.error_with_help(
                "spec::unknown_key",
                *span,
                format!("`{key}` is not a key of {of}"),
                suggestion(key, known.iter().copied()),
            );
        }
    }
}

fn claims(node: Option<&Node>, diagnostics: &mut Diagnostics) -> Claims {
    let mut claims = Claims::default();
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return claims;
    };
    if node.as_map().is_none() {
        diagnostics.error_with_help(
            "spec::report",
            node.span,
            format!("statistics are {}, not a mapping", node.describe()),
            "write for example `statistics: {test: paired_t, alpha: 0.01, correction: holm}`",
        );
    }
    keys("statistics", Some(node), &STATISTICS_KEYS, diagnostics);
    if let Some(node) = node.get("test") {
        match node.as_str().and_then(Test::find) {
            Some(test) => claims.test = test,
            None => diagnostics.error_with_help(
                "spec::report",
                node.span,
                format!("{} is not a test", node.describe()),
                suggestion(
                    node.as_str().unwrap_or_default(),
                    Test::ALL.into_iter().map(Test::name),
                ),
            ),
        }
    }
    if let Some(node) = node.get("correction") {
        match node.as_str().and_then(Correction::find) {
            Some(correction) => claims.correction = correction,
            None => diagnostics.error_with_help(
                "spec::report",
                node.span,
                format!("{} is not a correction", node.describe()),
                suggestion(
                    node.as_str().unwrap_or_default(),
                    Correction::ALL.into_iter().map(Correction::name),
                ),
            ),
        }
    }
    if let Some(node) = node.get("alpha") {
        let number = match &node.content {
            Content::Scalar(value) => value.as_f64(),
            _ => None,
        };
        match number {
            Some(alpha) if alpha > 0.0 && alpha < 1.0 => claims.alpha = alpha,
            _ => diagnostics.error_with_help(
                "spec::report",
                node.span,
                format!("{} is not a level", node.describe()),
                "write a number between 0 and 1, such as 0.01",
            ),
        }
    }
    claims
}
