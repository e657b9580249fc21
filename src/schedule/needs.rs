//! Who needs whom: what is demanded, made, lost, failed and skipped.

use std::path::PathBuf;

use petgraph::graph::NodeIndex;

use super::dispatcher::{Dispatcher, NodeState};
use crate::artifact::ArtifactState;
use crate::artifact::OutputRecord;
use crate::artifact::latest::LatestRecord;
use crate::base::EventKind;
use crate::plan::Verdict;

/// A damaged artifact sends its maker back to work this often at most.
const MOST_RERUNS: u32 = 2;

impl Dispatcher<'_, '_> {
    pub(super) fn start(&mut self) {
        let mut records = Vec::new();
        for node in &self.graph.order {
            let index = node.index();
            if !self.plan.reachable[index] {
                continue;
            }
            if let Verdict::Fresh { key } = self.plan.verdicts[index] {
                self.states[index] = NodeState::Fresh;
                let id = &self.graph.graph[*node].id;
                let outputs = self.plan.keys.get(*node).unwrap_or_default();
                let known = self.plan.latest.get(id).is_some_and(|record| {
                    record.key == key && record.outputs.is_empty() == outputs.is_empty()
                });
                if !known {
                    let wall_s = self
                        .store
                        .summary(key)
                        .ok()
                        .flatten()
                        .map_or(0.0, |summary| summary.wall_s);
                    records.push(LatestRecord {
                        stage: id.clone(),
                        key,
                        wall_s,
                        outputs: outputs.to_vec(),
                    });
                }
            }
        }
        self.remember(&records);
        for target in &self.graph.targets {
            if self.plan.needed[target.index()] {
                if self.states[target.index()] == NodeState::Fresh {
                    self.must_run[target.index()] = true;
                }
                self.demand(*target);
            }
        }
    }

    /// Wants a stage made; counts what it still waits for.
    pub(super) fn demand(&mut self, first: NodeIndex) {
        let mut stack = vec![first];
        while let Some(node) = stack.pop() {
            let index = node.index();
            let again = matches!(self.states[index], NodeState::Fresh | NodeState::Made)
                && self.must_run[index];
            if self.states[index] != NodeState::Idle && !again {
                continue;
            }
            self.states[index] = NodeState::Pending;
            let makers: Vec<NodeIndex> = crate::plan::makers(self.graph, node).collect();
            let mut missing = 0;
            let mut hopeless = None;
            for maker in makers {
                match self.states[maker.index()] {
                    NodeState::Fresh | NodeState::Made if !self.must_run[maker.index()] => {}
                    NodeState::Failed | NodeState::Skipped | NodeState::Cancelled => {
                        hopeless = Some(maker);
                        break;
                    }
                    _ => {
                        missing += 1;
                        self.waiters[maker.index()].push(node);
                        stack.push(maker);
                    }
                }
            }
            if let Some(maker) = hopeless {
                self.skip(node, maker);
                continue;
            }
            self.missing[index] = missing;
            if missing == 0 {
                self.states[index] = NodeState::Ready;
                self.ready.push(node);
            }
        }
    }

    pub(super) fn made(&mut self, node: NodeIndex, outputs: Vec<OutputRecord>, state: NodeState) {
        let index = node.index();
        self.plan.keys.set(node, outputs);
        self.states[index] = state;
        self.must_run[index] = false;
        for waiter in std::mem::take(&mut self.waiters[index]) {
            let missing = &mut self.missing[waiter.index()];
            *missing = missing.saturating_sub(1);
            if *missing == 0 && self.states[waiter.index()] == NodeState::Pending {
                self.states[waiter.index()] = NodeState::Ready;
                self.ready.push(waiter);
            }
        }
    }

    /// Sends the makers of missing or damaged bytes back to work, and lets the stage wait for them.
    pub(super) fn lost(&mut self, node: NodeIndex, lost: &[(NodeIndex, ArtifactState)]) {
        for (maker, state) in lost {
            let index = maker.index();
            if *state == ArtifactState::Corrupt {
                (self.sink)(EventKind::Warned {
                    stage: Some(self.graph.graph[*maker].id.clone()),
                    message: "the bytes of an artifact no longer matched its digest; it was moved \
                              to quarantine and is made again"
                        .to_owned(),
                });
            }
            let can_rerun = matches!(
                self.states[index],
                NodeState::Fresh | NodeState::Made | NodeState::Idle
            );
            // Several stages may miss the same bytes; the first one's word has sent their maker
            // back already, perhaps it is even done.
            if !can_rerun || self.must_run[index] || self.has_bytes(*maker) {
                continue;
            }
            self.reruns[index] += 1;
            if self.reruns[index] > MOST_RERUNS {
                let message = format!(
                    "`{}` was made {MOST_RERUNS} times and its artifacts were damaged or gone each \
                     time\n  help: check the disk of the store",
                    self.graph.graph[*maker].id
                );
                self.failed(node, message, None);
                return;
            }
            self.must_run[index] = true;
            if self.states[index] != NodeState::Idle {
                (self.sink)(EventKind::StageReopened {
                    stage: self.graph.graph[*maker].id.clone(),
                    was_fresh: !self.plan.needed[index],
                });
            }
        }
        (self.sink)(EventKind::StageReopened {
            stage: self.graph.graph[node].id.clone(),
            was_fresh: false,
        });
        self.states[node.index()] = NodeState::Idle;
        self.demand(node);
    }

    fn has_bytes(&self, node: NodeIndex) -> bool {
        let outputs = self.plan.keys.get(node).unwrap_or_default();
        !outputs.is_empty() && outputs.iter().all(|output| self.store.has_artifact(output))
    }

    pub(super) fn failed(&mut self, node: NodeIndex, message: String, log: Option<PathBuf>) {
        let id = self.graph.graph[node].id.clone();
        self.states[node.index()] = NodeState::Failed;
        (self.sink)(EventKind::StageFailed {
            stage: id.clone(),
            message: message.clone(),
            log: log.as_ref().map(|log| log.display().to_string()),
        });
        self.summary.failed.push((id, message, log));
        if self.options.fail_fast {
            self.stopping = true;
        }
        let waiters = std::mem::take(&mut self.waiters[node.index()]);
        for waiter in waiters {
            self.skip(waiter, node);
        }
    }

    pub(super) fn skip(&mut self, first: NodeIndex, because: NodeIndex) {
        let because_id = self.graph.graph[because].id.clone();
        let mut stack = vec![first];
        while let Some(node) = stack.pop() {
            let state = &mut self.states[node.index()];
            if !matches!(state, NodeState::Pending | NodeState::Idle) {
                continue;
            }
            *state = NodeState::Skipped;
            self.summary.skipped += 1;
            (self.sink)(EventKind::StageSkipped {
                stage: self.graph.graph[node].id.clone(),
                because: because_id.clone(),
            });
            stack.extend(std::mem::take(&mut self.waiters[node.index()]));
        }
    }
}
