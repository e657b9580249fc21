//! Where one model is asked: no question twice, not too many at once, not too fast, not beyond
//! what may be spent, and again where it failed.
//!
//! All stages of a process that ask the same model at the same endpoint share one desk, and other
//! processes wait for it: a rate, a ceiling and a question that is under way are facts about the
//! model, not about a stage.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::answer::Answer;
use super::answers::{AnswerFile, Answers};
use super::client::{Client, Trouble};
use super::error::ApiError;
use super::pace::{Pace, Rate};
use super::price::{Ceiling, Price, Tokens};
use super::question::{Protocol, Question};
use super::retry;
use crate::base::{Digest, clock};

/// How often somebody who waits looks whether he should stop.
const LOOK: Duration = Duration::from_millis(50);

/// How a model may be asked. None of it changes an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// Questions at the same time.
    pub concurrency: usize,
    /// How fast.
    pub rate: Rate,
    /// How often each is tried.
    pub tries: u32,
    /// The longest wait before a try.
    pub longest_wait: Duration,
    /// What tokens cost.
    pub price: Option<Price>,
    /// How much may be spent.
    pub ceiling: Ceiling,
}

/// One model at one endpoint.
#[derive(Debug)]
pub struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    file: AnswerFile,
    /// Questions under way.
    busy: BTreeSet<Digest>,
    /// The most that those can cost.
    reserved: Tokens,
    pace: Pace,
}

/// The desks of this process.
static OPEN: Mutex<BTreeMap<PathBuf, Weak<Desk>>> = Mutex::new(BTreeMap::new());

impl Desk {
    /// The desk of a model, whose answers are kept in a folder; `None` while another process has
    /// it.
    ///
    /// # Errors
    /// If the file of answers cannot be used.
    pub fn open(folder: &Path, base_url: &str, model: &str) -> Result<Option<Arc<Self>>, ApiError> {
        let path = Answers::path(folder, base_url, model);
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(desk) = open.get(&path).and_then(Weak::upgrade) {
            return Ok(Some(desk));
        }
        let Some(file) = AnswerFile::open(&path, base_url, model)? else {
            return Ok(None);
        };
        let desk = Arc::new(Self {
            state: Mutex::new(State {
                file,
                busy: BTreeSet::new(),
                reserved: Tokens::default(),
                pace: Pace::default(),
            }),
            changed: Condvar::new(),
        });
        open.retain(|_, desk| desk.strong_count() > 0);
        open.insert(path, Arc::downgrade(&desk));
        Ok(Some(desk))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to a question, if it was asked before.
    #[must_use]
    pub fn known(&self, question: Digest) -> Option<Arc<Answer>> {
        self.state().file.answers.known.get(&question).cloned()
    }

    /// Lines of the file that are not what was written.
    #[must_use]
    pub fn damaged(&self) -> usize {
        self.state().file.answers.damaged
    }

    /// Tokens that were paid for, or may have been.
    #[must_use]
    pub fn spent(&self) -> Tokens {
        self.state().file.answers.spent()
    }

    /// Answers a question, from the file or by the endpoint.
    ///
    /// # Errors
    /// Why there is no answer; also when somebody asks to stop.
    pub fn ask(
        &self,
        client: &Client,
        protocol: Protocol,
        question: &Question,
        terms: &Terms,
        stop: &AtomicBool,
    ) -> Result<Arc<Answer>, ApiError> {
        if let Some(known) = self.take(question, terms, stop)? {
            return Ok(known);
        }
        let answered = self.try_to_ask(client, protocol, question, terms, stop);
        self.state().busy.remove(&question.digest);
        self.changed.notify_all();
        answered
    }

    /// Makes a question one's own, or finds its answer.
    fn take(
        &self,
        question: &Question,
        terms: &Terms,
        stop: &AtomicBool,
    ) -> Result<Option<Arc<Answer>>, ApiError> {
        let mut state = self.state();
        loop {
            if let Some(known) = state.file.answers.known.get(&question.digest) {
                return Ok(Some(Arc::clone(known)));
            }
            if stop.load(Ordering::Relaxed) {
                return Err(ApiError::Stopped);
            }
            let is_free = !state.busy.contains(&question.digest);
            if is_free && state.busy.len() < terms.concurrency.max(1) {
                state.busy.insert(question.digest);
                return Ok(None);
            }
            state = self.wait(state, LOOK);
        }
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>, time: Duration) -> MutexGuard<'s, State> {
        let waited = self.changed.wait_timeout(state, time.min(LOOK));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn try_to_ask(
        &self,
        client: &Client,
        protocol: Protocol,
        question: &Question,
        terms: &Terms,
        stop: &AtomicBool,
    ) -> Result<Arc<Answer>, ApiError> {
        let bound = question.bound();
        let mut failed = 0;
        loop {
            self.turn(question, terms, stop)?;
            let sent = client.send(protocol, question);
            let mut state = self.state();
            state.reserved = Tokens {
                prompt: state.reserved.prompt.saturating_sub(bound.prompt),
                completion: state.reserved.completion.saturating_sub(bound.completion),
            };
            let trouble = match sent {
                Ok(answer) => {
                    let text_bytes = question.text_bytes;
                    state.file.answered(question.digest, text_bytes, answer)?;
                    let known = state.file.answers.known.get(&question.digest);
                    self.changed.notify_all();
                    return known.cloned().ok_or(ApiError::Stopped);
                }
                Err(trouble) => trouble,
            };
            failed += 1;
            let (message, after, for_all) = match trouble {
                Trouble::Lasting { message, help } => {
                    state.file.free(question.digest)?;
                    return Err(ApiError::Refused { message, help });
                }
                Trouble::Passing {
                    message,
                    after,
                    for_all,
                    paid,
                } => {
                    if !paid {
                        state.file.free(question.digest)?;
                    }
                    (message, after, for_all)
                }
            };
            self.changed.notify_all();
            if failed >= terms.tries.max(1) {
                let times = match failed {
                    1 => String::new(),
                    failed => format!(", tried {failed} times"),
                };
                return Err(ApiError::Unavailable {
                    message: format!("{message}{times}"),
                    help: "what was answered is kept; run the same command again later".to_owned(),
                });
            }
            if let Some(after) = after.filter(|after| *after > terms.longest_wait) {
                return Err(ApiError::Unavailable {
                    message: format!(
                        "{message}; it asks to come back in {}, and `longest_wait` is {}",
                        clock::human(after),
                        clock::human(terms.longest_wait)
                    ),
                    help: "what was answered is kept; run the same command again then".to_owned(),
                });
            }
            let seed = u64::from(failed) ^ question.text_bytes;
            let wait = retry::wait(failed, after, terms.longest_wait, seed);
            let until = clock::now() + wait;
            if for_all {
                state.pace.pause_until(until);
            }
            while let Some(left) = until.checked_duration_since(clock::now())
                && !left.is_zero()
            {
                if stop.load(Ordering::Relaxed) {
                    return Err(ApiError::Stopped);
                }
                state = self.wait(state, left);
            }
        }
    }

    /// Waits until a question may be sent, and writes down that it will be.
    fn turn(&self, question: &Question, terms: &Terms, stop: &AtomicBool) -> Result<(), ApiError> {
        let bound = question.bound();
        let mut state = self.state();
        loop {
            if stop.load(Ordering::Relaxed) {
                return Err(ApiError::Stopped);
            }
            let spent = state.file.answers.spent();
            // What is under way stands among what was asked and not yet answered.
            if let Some(over) = terms.ceiling.passed_by(spent + bound, terms.price) {
                if state.reserved != Tokens::default() {
                    state = self.wait(state, LOOK);
                    continue;
                }
                let already = match terms.price {
                    Some(price) => format!(
                        "{} tokens for {}",
                        spent.sum(),
                        super::price::Money(price.of(spent))
                    ),
                    None => format!("{} tokens", spent.sum()),
                };
                return Err(ApiError::Ceiling(format!(
                    "one more question could come to {over} by `ceiling` ({already} spent so far \
                     on this model, over all runs with this store)"
                )));
            }
            let tokens = state.file.answers.about(question.text_bytes) + bound.completion;
            match state.pace.turn(clock::now(), terms.rate, tokens) {
                Ok(()) => break,
                Err(wait) => state = self.wait(state, wait),
            }
        }
        state.file.asked(question.digest, bound)?;
        state.reserved += bound;
        Ok(())
    }
}
