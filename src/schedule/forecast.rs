//! How long the rest will take: each template's mean so far, in this run and in past ones.

use std::collections::BTreeMap;

use crate::graph::StageGraph;
use crate::plan::Plan;

#[derive(Debug, Default)]
struct Template {
    remaining: usize,
    sum_s: f64,
    timed: usize,
}

/// Counts what is left and how long its kind of work took.
#[derive(Debug, Default)]
pub(super) struct Forecast {
    templates: BTreeMap<String, Template>,
    jobs: f64,
}

impl Forecast {
    pub(super) fn new(graph: &StageGraph, plan: &Plan<'_>, jobs: usize) -> Self {
        let mut forecast = Self {
            templates: BTreeMap::new(),
            jobs: jobs.max(1) as f64,
        };
        for node in &graph.order {
            if !plan.needed[node.index()] {
                continue;
            }
            let template = forecast
                .templates
                .entry(graph.graph[*node].template.clone())
                .or_default();
            template.remaining += 1;
            if let Some(past) = plan.estimates[node.index()] {
                template.sum_s += past;
                template.timed += 1;
            }
        }
        forecast
    }

    /// A stage of this template is done; `wall_s` if it really ran.
    pub(super) fn done(&mut self, template: &str, wall_s: Option<f64>) {
        if let Some(entry) = self.templates.get_mut(template) {
            entry.remaining = entry.remaining.saturating_sub(1);
            if let Some(wall_s) = wall_s {
                entry.sum_s += wall_s;
                entry.timed += 1;
            }
        }
    }

    /// Expected seconds until everything is done; `None` while nothing is known of some template
    /// that is still to run.
    pub(super) fn remaining_s(&self) -> Option<f64> {
        let mut total = 0.0;
        for template in self.templates.values() {
            if template.remaining == 0 {
                continue;
            }
            if template.timed == 0 {
                return None;
            }
            total += template.remaining as f64 * template.sum_s / template.timed as f64;
        }
        Some(total / self.jobs)
    }
}
