//! What a program prints, on its way into its log: secrets are taken out before anything is
//! written, and the end is kept for messages.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::StageError;

/// What stands in a log in place of a secret.
const HIDDEN: &str = "***";

/// A shorter value would turn up in other words by chance.
const SHORTEST_SECRET: usize = 6;

/// How much of the end is kept for a message.
const END_BYTES: usize = 8 << 10;

/// Lines of the end that a message shows.
const END_LINES: usize = 8;

/// How long a program's children may hold its output open after it ended.
const PATIENCE: Duration = Duration::from_secs(2);

/// The log of a program that runs.
pub(super) struct ProgramLog {
    secrets: Vec<String>,
    end: Arc<Mutex<Vec<u8>>>,
    /// Closed when nobody writes any more.
    open: Receiver<()>,
}

impl ProgramLog {
    /// Opens a log, and the pipe that a program prints into. `secrets` are values that may stand
    /// in no file.
    ///
    /// # Errors
    /// If the log cannot be made.
    pub(super) fn open(
        path: &Path,
        secrets: impl IntoIterator<Item = String>,
    ) -> Result<(Self, PipeWriter), StageError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(StageError::io("create", folder))?;
        }
        let file = File::create(path).map_err(StageError::io("create", path))?;
        let (reader, writer) = std::io::pipe().map_err(StageError::io("open a pipe for", path))?;
        let secrets: Vec<String> = secrets
            .into_iter()
            .filter(|secret| secret.len() >= SHORTEST_SECRET)
            .collect();
        let (still_open, open) = mpsc::channel();
        let end = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&end);
        let mut filter = Filter::new(&secrets);
        thread::Builder::new()
            .name("program-log".to_owned())
            .spawn(move || {
                copy(reader, file, &mut filter, &kept);
                drop(still_open);
            })
            .map_err(StageError::io("start a thread for", path))?;
        Ok((Self { secrets, end, open }, writer))
    }

    /// Waits until all that was printed is in the log, and says how it ends.
    pub(super) fn end(self) -> String {
        // Closed, or too long: both are an error here, and in both the end is what there is.
        let _ = self.open.recv_timeout(PATIENCE);
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&end);
        let lines: Vec<&str> = text.trim_end().lines().collect();
        if lines.is_empty() {
            return "; it printed nothing".to_owned();
        }
        let last = &lines[lines.len().saturating_sub(END_LINES)..];
        format!("; its last lines:\n    {}", last.join("\n    "))
    }

    /// A text without the secrets.
    pub(super) fn without_secrets(&self, text: &str) -> String {
        let mut filter = Filter::new(&self.secrets);
        let mut clean = filter.pass(text.as_bytes());
        clean.extend(filter.finish());
        String::from_utf8_lossy(&clean).into_owned()
    }
}

/// Copies until nobody writes any more, and keeps the end.
fn copy(mut from: PipeReader, mut to: File, filter: &mut Filter, end: &Mutex<Vec<u8>>) {
    let mut chunk = vec![0; 16 << 10];
    loop {
        let (clean, last) = match from.read(&mut chunk) {
            Ok(0) => (filter.finish(), true),
            Ok(count) => (filter.pass(&chunk[..count]), false),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => (filter.finish(), true),
        };
        // A log that cannot be written is no reason to stop the program.
        let _ = to.write_all(&clean);
        let mut end = end.lock().unwrap_or_else(PoisonError::into_inner);
        end.extend(clean);
        let surplus = end.len().saturating_sub(END_BYTES);
        end.drain(..surplus);
        if last {
            return;
        }
    }
}

/// Takes secrets out of a stream of bytes, wherever its pieces begin and end.
struct Filter {
    secrets: Vec<Vec<u8>>,
    /// What may be the beginning of a secret.
    held: Vec<u8>,
}

impl Filter {
    fn new(secrets: &[String]) -> Self {
        let mut secrets: Vec<Vec<u8>> = secrets.iter().map(|one| one.clone().into()).collect();
        // The longest first: one may begin with another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self {
            secrets,
            held: Vec::new(),
        }
    }

    /// What can be said for certain after the next bytes.
    fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend(bytes);
        self.clean(false)
    }

    /// The rest.
    fn finish(&mut self) -> Vec<u8> {
        self.clean(true)
    }

    fn clean(&mut self, last: bool) -> Vec<u8> {
        if self.secrets.is_empty() {
            return std::mem::take(&mut self.held);
        }
        let mut clean = Vec::with_capacity(self.held.len());
        let mut at = 0;
        while at < self.held.len() {
            let rest = &self.held[at..];
            let may_come = |secret: &Vec<u8>| secret.len() > rest.len() && secret.starts_with(rest);
            if !last && self.secrets.iter().any(may_come) {
                break;
            }
            match self.secrets.iter().find(|secret| rest.starts_with(secret)) {
                Some(secret) => {
                    clean.extend(HIDDEN.bytes());
                    at += secret.len();
                }
                None => {
                    clean.push(self.held[at]);
                    at += 1;
                }
            }
        }
        self.held.drain(..at);
        clean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(secrets: &[&str], pieces: &[&str]) -> String {
        let secrets: Vec<String> = secrets.iter().map(|one| (*one).to_owned()).collect();
        let mut filter = Filter::new(&secrets);
        let mut clean = Vec::new();
        for piece in pieces {
            clean.extend(filter.pass(piece.as_bytes()));
        }
        clean.extend(filter.finish());
        String::from_utf8(clean).expect("text")
    }

    #[test]
    fn secrets_go_wherever_a_piece_ends() {
        let text = "key=hunter2000, again hunter2000hunter2000 and hunter2";
        for size in 1..text.len() {
            let pieces: Vec<&str> = text
                .as_bytes()
                .chunks(size)
                .map(|piece| std::str::from_utf8(piece).expect("ASCII"))
                .collect();
            assert_eq!(
                filtered(&["hunter2000"], &pieces),
                "key=***, again ****** and hunter2",
                "pieces of {size}"
            );
        }
    }

    #[test]
    fn a_secret_may_begin_with_another() {
        let secrets = ["secret", "secret-and-more"];
        assert_eq!(filtered(&secrets, &["a secret-and", "-more b"]), "a *** b");
        assert_eq!(
            filtered(&secrets, &["a secret-and", "-less b"]),
            "a ***-and-less b"
        );
        assert_eq!(filtered(&secrets, &["a secret"]), "a ***");
    }

    #[test]
    fn only_the_end_is_kept() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("logs/one.log");
        let secret = "sesame-open".to_owned();
        let (log, mut pipe) = ProgramLog::open(&path, [secret]).expect("opened");
        for line in 0..20_000 {
            writeln!(pipe, "line {line} sesame-open").expect("written");
        }
        drop(pipe);
        assert_eq!(log.without_secrets("it is sesame-open"), "it is ***");
        let end = log.end();
        assert!(end.ends_with("line 19998 ***\n    line 19999 ***"), "{end}");
        assert_eq!(end.lines().count(), END_LINES + 1, "{end}");
        let text = std::fs::read_to_string(&path).expect("read");
        assert!(!text.contains("sesame"));
        assert_eq!(text.lines().count(), 20_000);
    }
}
