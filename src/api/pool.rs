//! Many questions at the same time, on threads of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use super::answer::Answer;
use super::client::Client;
use super::desk::{Desk, Terms};
use super::error::ApiError;
use super::question::{Protocol, Question};
use super::reading::{Missing, Read, read};

/// What the threads that ask share.
#[derive(Debug)]
pub struct Work {
    /// Where the model is asked.
    pub desk: Arc<Desk>,
    /// Who speaks to it.
    pub client: Client,
    /// What is asked.
    pub questions: Vec<Question>,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// What answers are read from.
    pub read: Read,
    /// How fast, how often, how dear.
    pub terms: Terms,
    /// The next question.
    next: AtomicUsize,
    /// Whether to stop.
    stop: AtomicBool,
}

impl Work {
    /// Questions for a model.
    #[must_use]
    pub fn new(
        desk: Arc<Desk>,
        client: Client,
        questions: Vec<Question>,
        (protocol, read): (Protocol, Read),
        terms: Terms,
    ) -> Self {
        Self {
            desk,
            client,
            questions,
            protocol,
            read,
            terms,
            next: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        }
    }

    fn ask(&self, question: &Question) -> Result<Arc<Answer>, ApiError> {
        let answer = self.desk.ask(
            &self.client,
            self.protocol,
            question,
            &self.terms,
            &self.stop,
        )?;
        // Without log-probabilities no other answer helps either.
        match read(&answer, self.read, Missing::default()) {
            Ok(_) => Ok(answer),
            Err(_) => Err(no_probabilities()),
        }
    }
}

/// Asks until all is answered or something is in the way; what is under way then is waited for,
/// since it is paid for, unless the user wants to stop now.
///
/// `progress` hears how many are answered, `is_cancelled` is asked all the time.
///
/// # Errors
/// The first question that has no answer, and why.
pub fn ask_all(
    work: &Arc<Work>,
    progress: &dyn Fn(usize),
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Vec<Arc<Answer>>, (usize, ApiError)> {
    let total = work.questions.len();
    let (sender, answered) = channel();
    for _ in 0..work.terms.concurrency.clamp(1, total.max(1)) {
        let (work, sender) = (Arc::clone(work), sender.clone());
        // Threads of their own: one that waits for a server must not hold up who wants to stop.
        thread::spawn(move || {
            while !work.stop.load(Ordering::Relaxed) {
                let at = work.next.fetch_add(1, Ordering::Relaxed);
                let Some(question) = work.questions.get(at) else {
                    break;
                };
                let answer = work.ask(question);
                if answer.is_err() {
                    work.stop.store(true, Ordering::Relaxed);
                }
                if sender.send((at, answer)).is_err() {
                    break;
                }
            }
        });
    }
    drop(sender);
    let mut answers: Vec<Option<Arc<Answer>>> = vec![None; total];
    let (mut done, mut first) = (0, None);
    loop {
        match answered.recv_timeout(Duration::from_millis(100)) {
            Ok((at, Ok(answer))) => {
                answers[at] = Some(answer);
                done += 1;
                progress(done);
            }
            // That others stopped says nothing.
            Ok((_, Err(ApiError::Stopped))) if first.is_some() => {}
            Ok((at, Err(error))) => {
                first.get_or_insert((at, error));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if is_cancelled() {
            work.stop.store(true, Ordering::Relaxed);
            return Err((0, ApiError::Stopped));
        }
    }
    if let Some(first) = first {
        return Err(first);
    }
    let answers: Option<Vec<Arc<Answer>>> = answers.into_iter().collect();
    answers.ok_or((0, ApiError::Stopped))
}

/// What is wrong where log-probabilities are to be read and there are none.
#[must_use]
pub fn no_probabilities() -> ApiError {
    ApiError::Refused {
        message: "the server answered without log-probabilities".to_owned(),
        help:
            "not every endpoint gives them; `read: text` takes the words of the answer (yes is 1, \
               no is 0)"
                .to_owned(),
    }
}
