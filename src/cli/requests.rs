//! What a plan says about requests to models by API.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::output;
use crate::api::Tokens;
use crate::api::price::Money;
use crate::plan::Plan;
use crate::study::Study;
use crate::study::requests::{StageRequests, requests};

/// The part of a plan about requests; empty where nothing is asked.
pub(super) fn as_text(study: &Study, plan: &Plan<'_>) -> String {
    let all = requests(study, plan);
    if all.is_empty() {
        return String::new();
    }
    let mut rows = vec![
        ["stage", "model", "requests", "tokens, about", "cost, about"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for one in &all {
        rows.push(match &one.requests {
            Some(of) => vec![
                one.stage.clone(),
                of.model.clone(),
                format!("{} of {} rows", of.requests, of.rows),
                of.tokens.sum().to_string(),
                of.cost.map_or_else(
                    || "no price known".to_owned(),
                    |cost| Money(cost).to_string(),
                ),
            ],
            None => vec![
                one.stage.clone(),
                String::new(),
                format!(
                    "not known: {}",
                    one.unknown.as_deref().unwrap_or("nothing to ask")
                ),
                String::new(),
                String::new(),
            ],
        });
    }
    let mut text = format!("\nrequests to models by API:\n{}", output::columns(&rows));
    let sum = sum(&all);
    let _ = writeln!(
        text,
        "in all {} requests, about {} tokens{}; answers that are kept are not asked again",
        sum.requests,
        sum.tokens.sum(),
        sum.cost
            .map_or_else(String::new, |cost| format!(", about {}", Money(cost)))
    );
    if all.iter().any(|one| one.requests.is_none()) {
        text.push_str(
            "what depends on samples is known once they are made, which costs nothing (`runner \
             export samples` makes them)\n",
        );
    }
    text
}

/// Adds the same to a plan as JSON, where something is asked.
pub(super) fn add(study: &Study, plan: &Plan<'_>, value: &mut Value) {
    let all = requests(study, plan);
    if let (Value::Object(map), false) = (value, all.is_empty()) {
        let sum = sum(&all);
        map.insert(
            "requests".to_owned(),
            json!({
                "stages": all, "requests": sum.requests, "tokens": sum.tokens, "cost": sum.cost,
            }),
        );
    }
}

struct Sum {
    requests: usize,
    tokens: Tokens,
    cost: Option<f64>,
}

fn sum(all: &[StageRequests]) -> Sum {
    let mut sum = Sum {
        requests: 0,
        tokens: Tokens::default(),
        cost: None,
    };
    for of in all.iter().filter_map(|one| one.requests.as_ref()) {
        sum.requests += of.requests;
        sum.tokens += of.tokens;
        if let Some(cost) = of.cost {
            *sum.cost.get_or_insert(0.0) += cost;
        }
    }
    sum
}
