//! Thread pools, one for each running stage: a stage that computes in parallel uses its own
//! threads and can never pick up another stage's work while it waits.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// Idle pools by number of threads.
#[derive(Debug, Default)]
pub(super) struct Pools {
    idle: BTreeMap<usize, Vec<Arc<ThreadPool>>>,
}

impl Pools {
    /// A pool of `threads` threads that nothing else uses.
    pub(super) fn take(&mut self, threads: usize) -> Result<Arc<ThreadPool>, ThreadPoolBuildError> {
        if let Some(pool) = self.idle.get_mut(&threads).and_then(Vec::pop) {
            return Ok(pool);
        }
        ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("stage-{index}"))
            // candle and tokenizers recurse little, but a debug build of a deep graph needs room.
            .stack_size(8 * 1024 * 1024)
            .build()
            .map(Arc::new)
    }

    pub(super) fn give_back(&mut self, threads: usize, pool: Arc<ThreadPool>) {
        self.idle.entry(threads).or_default().push(pool);
    }
}
