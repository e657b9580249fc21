//! Reading a journal while it is written, and finding the journals there are.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::base::Event;

/// Bytes read at once.
const AT_ONCE: usize = 64 * 1024;

/// A longer line is no event that anybody wants to see; it is passed over.
const LONGEST_LINE: usize = 4 * 1024 * 1024;

/// So many journals of one experiment are kept.
pub const KEPT: usize = 50;

/// Reads what was added to a journal since the last time.
#[derive(Debug)]
pub struct JournalReader {
    path: PathBuf,
    file: Option<File>,
    /// The beginning of a line whose end is not written yet.
    torn: Vec<u8>,
    /// Whether the line at hand is too long to be kept.
    skips: bool,
    /// How many lines were passed over.
    unread: usize,
}

impl JournalReader {
    /// A reader of the journal at `path`, which need not exist yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            torn: Vec::new(),
            skips: false,
            unread: 0,
        }
    }

    /// How many whole lines were passed over because they are no events that are known.
    #[must_use]
    pub fn unread_lines(&self) -> usize {
        self.unread
    }

    /// Whether the journal ends within a line, as far as it was read.
    #[must_use]
    pub fn is_torn(&self) -> bool {
        self.skips || !self.torn.is_empty()
    }

    /// Whether somebody writes the journal, or will: it is locked, or not there yet.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn is_written(&mut self) -> io::Result<bool> {
        let Some(file) = self.open()? else {
            return Ok(true);
        };
        Ok(match file.try_lock_shared() {
            Ok(()) => {
                file.unlock()?;
                false
            }
            // Where there are no locks, nothing says that it is dead.
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => true,
        })
    }

    /// Hands on every event whose line is complete and was not read before. Lines that are no
    /// events, such as those of a later version of the program, are passed over.
    ///
    /// # Errors
    /// If the file cannot be read; what was handed on before stays read.
    pub fn read_on(&mut self, each: &mut dyn FnMut(Event)) -> io::Result<()> {
        if self.open()?.is_none() {
            return Ok(());
        }
        let mut bytes = vec![0; AT_ONCE];
        loop {
            let count = match &mut self.file {
                Some(file) => file.read(&mut bytes)?,
                None => 0,
            };
            if count == 0 {
                return Ok(());
            }
            self.take(&bytes[..count], each);
        }
    }

    fn open(&mut self) -> io::Result<Option<&File>> {
        if self.file.is_none() {
            self.file = match File::open(&self.path) {
                Ok(file) => Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
        }
        Ok(self.file.as_ref())
    }

    fn take(&mut self, bytes: &[u8], each: &mut dyn FnMut(Event)) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let is_whole = part.ends_with(b"\n");
            if !self.skips {
                self.torn.extend_from_slice(part);
            }
            if self.torn.len() > LONGEST_LINE {
                self.torn = Vec::new();
                self.skips = true;
            }
            if is_whole {
                match serde_json::from_slice(&self.torn) {
                    Ok(event) => each(event),
                    Err(_) => self.unread += 1,
                }
                self.torn.clear();
                self.skips = false;
            }
        }
    }
}

/// A run that left a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalFile {
    /// The name of its experiment.
    pub experiment: String,
    /// When it began, in milliseconds since 1970-01-01 UTC.
    pub started_ms: u64,
    /// The journal.
    pub path: PathBuf,
}

impl JournalFile {
    /// The journal of a run in a folder, whether or not it exists.
    #[must_use]
    pub fn new(folder: &Path, experiment: &str, started_ms: u64) -> Self {
        Self {
            experiment: experiment.to_owned(),
            started_ms,
            path: folder.join(format!("{experiment}-{started_ms}.jsonl")),
        }
    }

    /// The run's name: `table3-1764171234567`.
    #[must_use]
    pub fn run(&self) -> String {
        format!("{}-{}", self.experiment, self.started_ms)
    }

    /// What the name of a journal says.
    #[must_use]
    pub fn at(path: PathBuf) -> Option<Self> {
        if path.extension()? != "jsonl" {
            return None;
        }
        let (experiment, started) = path.file_stem()?.to_str()?.rsplit_once('-')?;
        let is_number = started.bytes().all(|byte| byte.is_ascii_digit());
        Some(Self {
            experiment: experiment.to_owned(),
            started_ms: started.parse().ok().filter(|_| is_number)?,
            path,
        })
    }

    /// All journals of a folder, the oldest first; none if there is no such folder.
    #[must_use]
    pub fn list(folder: &Path) -> Vec<Self> {
        let entries = fs::read_dir(folder).into_iter().flatten();
        let mut found: Vec<Self> = entries
            .filter_map(|entry| Self::at(entry.ok()?.path()))
            .collect();
        found.sort_by(|one, other| {
            (one.started_ms, &one.experiment).cmp(&(other.started_ms, &other.experiment))
        });
        found
    }

    /// Removes the oldest journals of an experiment until only the newest [`KEPT`] are left. One
    /// that is still written stays; one that cannot be removed costs space and nothing else.
    pub fn remove_old(folder: &Path, experiment: &str) {
        let mut own = Self::list(folder);
        own.retain(|journal| journal.experiment == experiment);
        let surplus = own.len().saturating_sub(KEPT);
        for journal in own.into_iter().take(surplus) {
            let mut reader = JournalReader::new(journal.path.clone());
            if reader.is_written().is_ok_and(|written| !written) {
                let _ = fs::remove_file(&journal.path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::base::EventKind;
    use crate::reporter::{Journal, Reporter};

    fn event(seq: u64, kind: EventKind) -> Event {
        Event {
            seq,
            at_ms: 0,
            elapsed_s: 0.0,
            kind,
        }
    }

    fn read(reader: &mut JournalReader) -> Vec<u64> {
        let mut found = Vec::new();
        let each = &mut |event: Event| found.push(event.seq);
        reader.read_on(each).expect("read");
        found
    }

    #[test]
    fn a_torn_line_waits_for_its_end_and_nothing_is_read_twice() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("small-1.jsonl");
        let mut reader = JournalReader::new(path.clone());
        assert_eq!(read(&mut reader), [] as [u64; 0]);
        let kind = EventKind::StageCancelled {
            stage: "one".to_owned(),
        };
        let line = |seq| {
            let event = event(seq, kind.clone());
            serde_json::to_string(&event).expect("JSON") + "\n"
        };
        let mut file = File::create(&path).expect("made");
        let mut write = |text: &str| file.write_all(text.as_bytes()).expect("written");
        let (first, second) = (line(1), line(2));
        write(&first);
        write(&second[..20]);
        assert_eq!(read(&mut reader), [1]);
        assert_eq!(read(&mut reader), [] as [u64; 0]);
        write(&second[20..]);
        write("{\"seq\":3,\"at_ms\":0,\"elapsed_s\":0,\"kind\":{\"event\":\"of_tomorrow\"}}\n");
        write("no JSON\n\n");
        write(&"x".repeat(LONGEST_LINE + 10));
        write("\n");
        write(&line(4));
        assert_eq!(read(&mut reader), [2, 4]);
        assert_eq!(reader.unread_lines(), 4);
        assert!(!reader.is_torn());
    }

    #[test]
    fn a_journal_is_locked_while_it_lives_and_what_waits_is_written_soon() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("small-1.jsonl");
        let mut journal = Journal::new(path.clone());
        let mut reader = JournalReader::new(path);
        assert!(reader.is_written().expect("asked"), "not there yet");
        for seq in 0..10 {
            let kind = EventKind::Measured {
                stage: "train".to_owned(),
                name: "loss".to_owned(),
                step: seq,
                value: 0.5,
            };
            journal.on_event(&event(seq, kind)).expect("written");
        }
        assert!(reader.is_written().expect("asked"));
        let mut found = Vec::new();
        for _ in 0..100 {
            found.extend(read(&mut reader));
            if found.len() == 10 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        assert_eq!(found, (0..10).collect::<Vec<u64>>());
        drop(journal);
        assert!(!reader.is_written().expect("asked"));
    }

    #[test]
    fn the_newest_journals_of_an_experiment_are_kept_and_those_that_are_written() {
        let folder = tempfile::tempdir().expect("folder");
        let journal = |name: &str, at: usize| folder.path().join(format!("{name}-{at}.jsonl"));
        for at in 0..KEPT + 3 {
            fs::write(journal("a", at), "").expect("written");
        }
        fs::write(journal("b", 0), "").expect("written");
        let alive = File::open(journal("a", 1)).expect("opened");
        alive.lock().expect("locked");
        JournalFile::remove_old(folder.path(), "a");
        let left = JournalFile::list(folder.path());
        assert_eq!(
            left.len(),
            KEPT + 2,
            "the oldest but the one that is written went"
        );
        assert!(journal("a", 1).exists() && journal("b", 0).exists());
        assert!(!journal("a", 0).exists() && !journal("a", 2).exists());
    }

    #[test]
    fn journals_are_known_by_their_names() {
        let folder = tempfile::tempdir().expect("folder");
        for name in [
            "b-c-20.jsonl",
            "a-100.jsonl",
            "a-3.jsonl",
            "a-x.jsonl",
            "a-4.txt",
            "plain.jsonl",
        ] {
            fs::write(folder.path().join(name), "").expect("written");
        }
        let runs: Vec<String> = JournalFile::list(folder.path())
            .iter()
            .map(JournalFile::run)
            .collect();
        assert_eq!(runs, ["a-3", "b-c-20", "a-100"]);
        assert!(JournalFile::list(&folder.path().join("nowhere")).is_empty());
    }
}
