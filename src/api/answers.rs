//! The file in which answers are kept: one for each model at each endpoint, one line for each
//! thing that happened, appended and never changed.
//!
//! | line | when |
//! |---|---|
//! | `asked` | before a request is sent, with the most tokens it can have: should nobody ever hear of it again, it may have been paid |
//! | `free` | the server refused to work on it |
//! | `answered` | with the answer; on the disk before anybody uses it |
//!
//! Each line has a seal, the hash of the rest of it, so that a damaged one is not believed.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::Answer;
use super::error::ApiError;
use super::price::Tokens;
use crate::base::{Digest, bounded, canonical_json, clock};

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
enum Record {
    /// What the file is about; its first line.
    Model {
        base_url: String,
        model: String,
    },
    Asked {
        question: Digest,
        bound: Tokens,
    },
    Free {
        question: Digest,
    },
    Answered {
        question: Digest,
        at_ms: u64,
        text_bytes: u64,
        answer: Answer,
    },
}

#[derive(Serialize, Deserialize)]
struct Line {
    record: Value,
    seal: String,
}

/// What a file of answers says.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// Answers by the digest of their question.
    pub known: BTreeMap<Digest, Arc<Answer>>,
    /// What was asked and neither answered nor refused, with the most it can have cost.
    loose: BTreeMap<Digest, Vec<Tokens>>,
    /// Tokens of everything answered.
    answered: Tokens,
    /// Tokens and bytes of prompts whose tokens the server counted.
    measured: (u64, u64),
    /// Lines that are not what was written.
    pub damaged: usize,
    /// Where the last whole line ends.
    whole: u64,
    has_head: bool,
}

impl Answers {
    /// Where the answers of a model are kept; a name that people recognise.
    #[must_use]
    pub fn path(folder: &Path, base_url: &str, model: &str) -> PathBuf {
        let plain = |letter: char| {
            if letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.') {
                letter
            } else {
                '-'
            }
        };
        let name: String = model.chars().map(plain).take(60).collect();
        let base_url = base_url.trim_end_matches('/');
        let digest = Digest::of_bytes(format!("{base_url}\n{model}").as_bytes());
        folder.join(format!(
            "{}-{}.jsonl",
            name.trim_matches('.'),
            digest.short()
        ))
    }

    /// Reads a file; one that is not there has no answers.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    pub fn read(path: &Path) -> Result<Self, ApiError> {
        match bounded::read(path, bounded::DATA) {
            Ok(bytes) => Ok(Self::parse(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(ApiError::Io {
                action: "read",
                path: path.to_owned(),
                source,
            }),
        }
    }

    fn parse(bytes: &[u8]) -> Self {
        let mut all = Self::default();
        let mut at = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            at += line.len() as u64;
            let Some(line) = line.strip_suffix(b"\n") else {
                // A kill cut it off; whoever writes next takes it away.
                break;
            };
            all.whole = at;
            match unseal(line) {
                Some(record) => all.take(record),
                None => all.damaged += 1,
            }
        }
        all
    }

    fn take(&mut self, record: Record) {
        match record {
            Record::Model { .. } => self.has_head = true,
            Record::Asked { question, bound } => {
                self.loose.entry(question).or_default().push(bound);
            }
            Record::Free { question } => self.settle(question),
            Record::Answered {
                question,
                text_bytes,
                answer,
                ..
            } => {
                let bound = self.loose.get(&question).and_then(|loose| loose.last());
                let tokens = answer.tokens.or(bound.copied()).unwrap_or_default();
                self.settle(question);
                self.answered += tokens;
                if let Some(tokens) = answer.tokens {
                    self.measured.0 += tokens.prompt;
                    self.measured.1 += text_bytes;
                }
                self.known.insert(question, Arc::new(answer));
            }
        }
    }

    fn settle(&mut self, question: Digest) {
        if let Some(loose) = self.loose.get_mut(&question) {
            loose.pop();
            if loose.is_empty() {
                self.loose.remove(&question);
            }
        }
    }

    /// Tokens that were paid for, or may have been.
    #[must_use]
    pub fn spent(&self) -> Tokens {
        let loose = self.loose.values().flatten();
        loose.fold(self.answered, |sum, bound| sum + *bound)
    }

    /// About how many tokens a text of so many bytes has: by what the server counted so far, else
    /// four bytes each, as English usually has.
    #[must_use]
    pub fn about(&self, text_bytes: u64) -> u64 {
        let share = match self.measured {
            (tokens, bytes) if tokens > 0 && bytes > 0 => tokens as f64 / bytes as f64,
            _ => 0.25,
        };
        (text_bytes as f64 * share).ceil() as u64
    }
}

fn seal(record: &Value) -> String {
    Digest::of_bytes(canonical_json(record).as_bytes()).short()
}

fn unseal(line: &[u8]) -> Option<Record> {
    let line: Line = serde_json::from_slice(line).ok()?;
    if seal(&line.record) != line.seal {
        return None;
    }
    serde_json::from_value(line.record).ok()
}

/// A file of answers that this process alone writes.
#[derive(Debug)]
pub(super) struct AnswerFile {
    path: PathBuf,
    file: File,
    pub(super) answers: Answers,
}

impl AnswerFile {
    /// Opens a file and locks it; `None` if another process has it.
    pub(super) fn open(path: &Path, base_url: &str, model: &str) -> Result<Option<Self>, ApiError> {
        let failed = |action: &'static str| {
            let path = path.to_owned();
            move |source| ApiError::Io {
                action,
                path,
                source,
            }
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed("create"))?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(failed("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(failed("lock")(error)),
        }
        let mut bytes = Vec::new();
        (&mut file)
            .take(bounded::DATA)
            .read_to_end(&mut bytes)
            .map_err(failed("read"))?;
        let answers = Answers::parse(&bytes);
        if answers.whole < bytes.len() as u64 {
            file.set_len(answers.whole).map_err(failed("write"))?;
        }
        file.seek(SeekFrom::End(0)).map_err(failed("write"))?;
        let mut opened = Self {
            path: path.to_owned(),
            file,
            answers,
        };
        if !opened.answers.has_head {
            opened.append(
                Record::Model {
                    base_url: base_url.to_owned(),
                    model: model.to_owned(),
                },
                false,
            )?;
        }
        Ok(Some(opened))
    }

    /// Says that a question is about to be sent.
    pub(super) fn asked(&mut self, question: Digest, bound: Tokens) -> Result<(), ApiError> {
        self.append(Record::Asked { question, bound }, false)
    }

    /// Says that the server did not work on it.
    pub(super) fn free(&mut self, question: Digest) -> Result<(), ApiError> {
        self.append(Record::Free { question }, false)
    }

    /// Keeps an answer; once this returns it is on the disk.
    pub(super) fn answered(
        &mut self,
        question: Digest,
        text_bytes: u64,
        answer: Answer,
    ) -> Result<(), ApiError> {
        self.append(
            Record::Answered {
                question,
                at_ms: clock::unix_milliseconds(),
                text_bytes,
                answer,
            },
            true,
        )
    }

    fn append(&mut self, record: Record, flush: bool) -> Result<(), ApiError> {
        let mut write = || -> io::Result<()> {
            let record = serde_json::to_value(&record)?;
            let seal = seal(&record);
            let mut line = serde_json::to_vec(&Line { record, seal })?;
            line.push(b'\n');
            self.file.write_all(&line)?;
            if flush {
                self.file.sync_data()?;
            }
            Ok(())
        };
        let path = self.path.clone();
        write().map_err(|source| ApiError::Io {
            action: "write",
            path,
            source,
        })?;
        self.answers.take(record);
        Ok(())
    }
}

/// A file of answers as `runner cache verify` sees it.
#[derive(Debug, Clone, Serialize)]
pub struct Checked {
    /// The file.
    pub path: PathBuf,
    /// Answers in it.
    pub answers: usize,
    /// Its bytes.
    pub bytes: u64,
    /// Lines that are not what was written; their questions will be asked again.
    pub damaged: usize,
}

/// Looks at all files of answers in a folder, in order of their names.
///
/// # Errors
/// If one cannot be read.
pub fn check_folder(folder: &Path) -> Result<Vec<Checked>, ApiError> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
    paths.sort();
    let check = |path: PathBuf| {
        let answers = Answers::read(&path)?;
        Ok(Checked {
            answers: answers.known.len(),
            bytes: fs::metadata(&path).map_or(0, |metadata| metadata.len()),
            damaged: answers.damaged,
            path,
        })
    };
    paths.into_iter().map(check).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str, tokens: Option<Tokens>) -> Answer {
        Answer {
            text: text.to_owned(),
            tokens,
            ..Answer::default()
        }
    }

    const BOUND: Tokens = Tokens {
        prompt: 100,
        completion: 1,
    };

    #[test]
    fn what_was_written_is_read_and_counted_after_any_end() {
        let folder = tempfile::tempdir().expect("folder");
        let path = Answers::path(folder.path(), "http://x/v1", "a/b: c");
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        assert!(name.starts_with("a-b--c-"), "{name}");
        let question = |text: &str| Digest::of_bytes(text.as_bytes());
        let open = || AnswerFile::open(&path, "http://x/v1", "a/b: c").expect("opened");
        {
            let mut file = open().expect("nobody else has it");
            assert!(open().is_none(), "one process at a time");
            for name in ["counted", "not counted", "free", "lost"] {
                file.asked(question(name), BOUND).expect("written");
            }
            let tokens = Some(Tokens {
                prompt: 20,
                completion: 1,
            });
            let counted = answer("Yes", tokens);
            file.answered(question("counted"), 80, counted)
                .expect("written");
            file.answered(question("not counted"), 80, answer("No", None))
                .expect("written");
            file.free(question("free")).expect("written");
            // 21 counted, and the bound for what was not counted and what was lost.
            assert_eq!(file.answers.spent().sum(), 21 + 101 + 101);
            assert_eq!(file.answers.about(400), 100);
        }
        let whole = fs::read(&path).expect("read");
        // Cut anywhere: whole lines count, the torn one goes.
        for cut in (0..whole.len()).step_by(7).chain([whole.len()]) {
            fs::write(&path, &whole[..cut]).expect("written");
            let kept = Answers::read(&path).expect("read");
            assert_eq!(kept.damaged, 0, "cut at {cut}");
            let mut file = open().expect("free");
            file.answered(question("new"), 1, answer("x", None))
                .expect("written");
            drop(file);
            let again = Answers::read(&path).expect("read");
            assert_eq!(again.damaged, 0, "cut at {cut}");
            assert_eq!(again.known.len(), kept.known.len() + 1, "cut at {cut}");
        }
        // One wrong letter: that line is not believed, all others are.
        fs::write(&path, &whole).expect("written");
        let text = String::from_utf8(whole).expect("UTF-8");
        fs::write(&path, text.replace("\"Yes\"", "\"yes\"")).expect("written");
        let damaged = Answers::read(&path).expect("read");
        assert_eq!((damaged.damaged, damaged.known.len()), (1, 1));
        let found = check_folder(folder.path()).expect("read");
        assert_eq!((found[0].answers, found[0].damaged), (1, 1));
        let nothing = Answers::read(&folder.path().join("none.jsonl")).expect("none");
        assert!(nothing.known.is_empty());
    }
}
