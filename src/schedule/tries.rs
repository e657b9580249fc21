//! Limits while stages run, and what comes after a failure: another try, with less memory if that
//! was what lacked, or the end.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use petgraph::graph::NodeIndex;
use serde_json::Value;

use super::dispatcher::{Dispatcher, NodeState};
use super::work::Failed;
use crate::base::{EventKind, clock};
use crate::stage::Failure;

/// How long to wait before the second try; twice as long before each further one.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The longest wait before a try.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// What is known of tries in this run.
#[derive(Debug, Default)]
pub(super) struct Tries {
    /// The tries of a stage that failed.
    failed: BTreeMap<NodeIndex, FailedTries>,
    /// How many times less memory the stages of a template take than they would by themselves:
    /// what was too much for one of them is too much for its siblings.
    lighter: BTreeMap<String, u32>,
    /// Stages that wait for their next try.
    later: Vec<(Instant, NodeIndex)>,
}

/// How often a stage was tried and failed.
#[derive(Debug, Default, Clone, Copy)]
struct FailedTries {
    all: u32,
    /// Those for want of memory, each of which makes the next one lighter: they end by themselves
    /// and are not counted among the retries that an experiment allows.
    of_memory: u32,
}

/// Parameters to run with, and what there is to say about them.
pub(super) struct Chosen {
    pub(super) params: Value,
    pub(super) notes: BTreeMap<String, String>,
    /// How many times lighter they are.
    pub(super) lighter: u32,
}

impl Tries {
    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.later.is_empty()
    }

    fn next(&self) -> Option<Instant> {
        self.later.iter().map(|(at, _)| *at).min()
    }
}

impl Dispatcher<'_, '_> {
    /// The parameters a stage runs with now.
    pub(super) fn chosen(&self, node: NodeIndex) -> Chosen {
        let stage = &self.graph.graph[node];
        let wanted = self.tries.lighter.get(&stage.template).copied();
        let (mut params, mut changes) = match self.options.fitted.get(&node) {
            Some(fitted) => (fitted.params.clone(), vec![fitted.words.clone()]),
            None => (stage.params.clone(), Vec::new()),
        };
        let mut notes = BTreeMap::new();
        let mut lighter = 0;
        while lighter < wanted.unwrap_or(0)
            && let Some((less, change)) = stage.kind.lighter(&params)
        {
            params = less;
            changes.push(change);
            lighter += 1;
        }
        if !changes.is_empty() {
            notes.insert("memory".to_owned(), changes.join("; "));
        }
        if let Some(failed) = self.tries.failed.get(&node) {
            notes.insert("tries".to_owned(), (failed.all + 1).to_string());
        }
        Chosen {
            params,
            notes,
            lighter,
        }
    }

    /// What comes after a failed try, whose parameters were so many times lighter.
    pub(super) fn failed_try(&mut self, node: NodeIndex, failed: Failed, lighter: u32) {
        let stage = &self.graph.graph[node];
        let before = self.tries.failed.get(&node).copied().unwrap_or_default();
        let mut failed = failed;
        if self.stopping {
            self.failed(node, failed.message, failed.log);
            return;
        }
        let others = before.all - before.of_memory;
        let mut now = before;
        now.all += 1;
        let mut wait = FIRST_WAIT
            .saturating_mul(2_u32.saturating_pow(others))
            .min(LONGEST_WAIT);
        let mut change = String::new();
        if failed.failure == Failure::OutOfMemory {
            let params = self.chosen(node).params;
            let Some((_, words)) = stage.kind.lighter(&params) else {
                failed.message.push_str(if lighter > 0 {
                    "\n  help: it was tried with as little at once as can be; a smaller model, a \
                     shorter cutoff_length or another device is needed"
                } else {
                    "\n  help: this kind of stage cannot do with less at once; free some memory, \
                     or use a smaller model"
                });
                self.failed(node, failed.message, failed.log);
                return;
            };
            let template = stage.template.clone();
            self.tries.lighter.insert(template, lighter + 1);
            change = words;
            wait = Duration::ZERO;
            now.of_memory += 1;
        } else if !failed.failure.may_pass() || others >= stage.limits.retries() {
            if before.all > 0 {
                let tries = format!("\n  it was tried {} times", now.all);
                failed.message.push_str(&tries);
            }
            self.failed(node, failed.message, failed.log);
            return;
        }
        self.tries.failed.insert(node, now);
        (self.sink)(EventKind::StageRetried {
            stage: stage.id.clone(),
            attempt: now.all + 1,
            attempts: stage.limits.retries() + 1 + now.of_memory,
            message: failed.message,
            change,
            wait_s: wait.as_secs_f64(),
        });
        self.states[node.index()] = NodeState::Ready;
        self.tries.later.push((clock::now() + wait, node));
    }

    /// Queues the stages whose next try is due.
    pub(super) fn try_again(&mut self) {
        if self.stopping || self.tries.is_empty() {
            return;
        }
        let now = clock::now();
        let (due, later) = std::mem::take(&mut self.tries.later)
            .into_iter()
            .partition::<Vec<_>, _>(|(at, _)| *at <= now);
        self.tries.later = later;
        for (_, node) in due {
            self.ready.push(node);
        }
    }

    /// Asks stages to stop that take longer than they may, or have been silent for too long.
    pub(super) fn watch(&mut self) {
        for (node, running) in &mut self.running {
            let limits = self.graph.graph[*node].limits;
            if running.given_up.is_some() {
                continue;
            }
            let over = |since: Instant, limit: Option<Duration>| {
                limit.filter(|limit| since.elapsed() >= *limit)
            };
            let failed = if let Some(limit) = over(running.started, limits.timeout) {
                (
                    Failure::TimedOut,
                    format!(
                        "it ran longer than its timeout of {}\n  help: `limits: {{{}: {{timeout: \
                         …}}}}` in the experiment gives it more",
                        clock::human(limit),
                        self.graph.graph[*node].template
                    ),
                )
            } else if let Some(limit) = over(running.heard, limits.heartbeat) {
                (
                    Failure::Silent,
                    format!(
                        "it gave no sign of life for {}, its heartbeat\n  help: `limits: {{{}: \
                         {{heartbeat: …}}}}` in the experiment gives it more",
                        clock::human(limit),
                        self.graph.graph[*node].template
                    ),
                )
            } else {
                continue;
            };
            running.given_up = Some(failed);
            running.stop.store(true, Ordering::SeqCst);
        }
    }

    /// When there is something to do although nobody sends a message: a limit or a next try.
    pub(super) fn next_look(&self) -> Option<Duration> {
        let limits = self.running.iter().flat_map(|(node, running)| {
            let limits = self.graph.graph[*node].limits;
            let waits = running.given_up.is_none();
            [
                limits.timeout.map(|limit| running.started + limit),
                limits.heartbeat.map(|limit| running.heard + limit),
            ]
            .into_iter()
            .flatten()
            .filter(move |_| waits)
        });
        let tries = self.tries.next().filter(|_| !self.stopping);
        let next = limits.chain(tries).min()?;
        Some(next.saturating_duration_since(clock::now()))
    }
}
