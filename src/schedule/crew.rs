//! Threads that run stages, each with a rayon pool of its own: a stage that computes in parallel
//! uses its own threads and can never pick up another stage's work while it waits.
//!
//! The thread that runs the stage is itself the first of its pool, so a stage with one thread
//! costs one thread, and nothing spins while it waits for the next.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use rayon::ThreadPoolBuilder;

/// candle and tokenizers recurse little, but a debug build of a deep graph needs room.
const STACK: usize = 8 * 1024 * 1024;

type Job = Box<dyn FnOnce() + Send>;

/// A thread that waits for a job.
#[derive(Debug)]
pub(super) struct Hand {
    threads: usize,
    jobs: Sender<Job>,
}

impl Hand {
    fn hire(threads: usize) -> io::Result<Self> {
        let (jobs, received) = channel::<Job>();
        let (ready, is_ready) = channel();
        thread::Builder::new()
            .name("stage-0".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                let pool = ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .use_current_thread()
                    .thread_name(|index| format!("stage-{index}"))
                    .stack_size(STACK)
                    .build();
                match pool {
                    Ok(_in_use) => {
                        let _ = ready.send(Ok(()));
                        while let Ok(job) = received.recv() {
                            job();
                        }
                    }
                    Err(error) => {
                        let _ = ready.send(Err(io::Error::other(error)));
                    }
                }
            })?;
        is_ready.recv().map_err(io::Error::other)??;
        Ok(Self { threads, jobs })
    }

    /// Starts a job; `false` if the thread is gone.
    pub(super) fn start(&self, job: Job) -> bool {
        self.jobs.send(job).is_ok()
    }
}

/// Idle hands by number of threads.
#[derive(Debug, Default)]
pub(super) struct Crew {
    idle: BTreeMap<usize, Vec<Hand>>,
}

impl Crew {
    /// A hand with `threads` threads that nothing else uses.
    pub(super) fn take(&mut self, threads: usize) -> io::Result<Hand> {
        match self.idle.get_mut(&threads).and_then(Vec::pop) {
            Some(hand) => Ok(hand),
            None => Hand::hire(threads),
        }
    }

    pub(super) fn give_back(&mut self, hand: Hand) {
        self.idle.entry(hand.threads).or_default().push(hand);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;

    #[test]
    fn a_job_computes_on_its_own_threads_and_the_hand_outlives_it() {
        let mut crew = Crew::default();
        for threads in [1, 3] {
            let hand = crew.take(threads).expect("thread");
            for _ in 0..3 {
                let (answer, answered) = channel();
                assert!(hand.start(Box::new(move || {
                    let sum: u64 = (0..1000_u64).into_par_iter().sum();
                    let _ = answer.send((rayon::current_num_threads(), sum));
                })));
                assert_eq!(answered.recv(), Ok((threads, 499_500)));
            }
            crew.give_back(hand);
        }
    }
}
