//! Stages waiting for a device: those with the backbone that it has loaded go first, since loading
//! one takes minutes; among them the longest remaining path does.

use std::collections::{BTreeMap, BinaryHeap};

use super::dispatcher::Waiting;
use crate::base::Digest;

/// Waiting stages by backbone; those without one stand together.
#[derive(Debug, Default)]
pub(super) struct DeviceQueue {
    waiting: BTreeMap<Option<Digest>, BinaryHeap<Waiting>>,
    /// What each device has.
    loaded: BTreeMap<usize, Digest>,
}

impl DeviceQueue {
    pub(super) fn push(&mut self, waiting: Waiting, backbone: Option<Digest>) {
        self.waiting.entry(backbone).or_default().push(waiting);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The stage that goes next on a device.
    pub(super) fn pop(&mut self, device: usize) -> Option<Waiting> {
        let loaded = self.loaded.get(&device).copied();
        let backbone = if loaded.is_some() && self.waiting.contains_key(&loaded) {
            loaded
        } else {
            let firsts = self.waiting.iter();
            let firsts = firsts.filter_map(|(backbone, heap)| Some((heap.peek()?, *backbone)));
            firsts.max_by(|one, two| one.0.cmp(two.0))?.1
        };
        let heap = self.waiting.get_mut(&backbone)?;
        let next = heap.pop();
        if heap.is_empty() {
            self.waiting.remove(&backbone);
        }
        // What needs no backbone unloads none.
        if let Some(backbone) = backbone {
            self.loaded.insert(device, backbone);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use petgraph::graph::NodeIndex;

    #[test]
    fn the_loaded_backbone_goes_first_and_the_longest_path_among_equals() {
        let [one, two] = [b"one", b"two"].map(|name| Some(Digest::of_bytes(name)));
        let mut queue = DeviceQueue::default();
        for (node, rank, backbone) in [
            (0, 1.0, one),
            (1, 9.0, two),
            (2, 5.0, one),
            (3, 2.0, two),
            (4, 7.0, None),
        ] {
            let node = NodeIndex::new(node);
            queue.push(Waiting { rank, node }, backbone);
        }
        let order: Vec<usize> = std::iter::from_fn(|| Some(queue.pop(0)?.node.index())).collect();
        assert_eq!(order, [1, 3, 4, 2, 0]);
        assert!(queue.is_empty());
        // Two devices keep to one backbone each, as long as there is work for it.
        for (node, rank, backbone) in [(0, 5.0, one), (1, 9.0, two), (2, 4.0, one), (3, 2.0, two)] {
            let node = NodeIndex::new(node);
            queue.push(Waiting { rank, node }, backbone);
        }
        let order = [1, 2, 1, 2].map(|device| queue.pop(device).map(|one| one.node.index()));
        assert_eq!(order, [Some(1), Some(0), Some(3), Some(2)]);
    }
}
