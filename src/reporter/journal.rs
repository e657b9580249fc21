//! The run journal: the events of one run in a file, for `runner status`, the live page and later
//! questions.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::{JournalReader, Reporter};
use crate::base::{Event, EventKind};

/// Events that may wait are written after this time at the latest.
const LATEST: Duration = Duration::from_millis(700);

/// Writes events to `<folder>/<experiment>-<start>.jsonl`, made at the first event.
///
/// The file is locked for as long as the journal lives: who gets the lock knows that nobody writes
/// it any more.
pub struct Journal {
    path: PathBuf,
    open: Option<Open>,
}

struct Open {
    file: Arc<Mutex<BufWriter<File>>>,
    /// Tells the thread that writes what waits; none if it could not be started.
    waits: Option<SyncSender<()>>,
}

impl Journal {
    /// A journal at `path`.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, open: None }
    }

    /// Reads a journal back; a last line cut off by a kill is passed over, and so is whatever is no
    /// event.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(path: &Path) -> io::Result<Vec<Event>> {
        // The reader would wait for a journal that is not there yet.
        fs::metadata(path)?;
        let mut events = Vec::new();
        JournalReader::new(path.to_owned()).read_on(&mut |event| events.push(event))?;
        Ok(events)
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = File::create(path)?;
        // Readers hold it for an instant, to see whether they get it. Where there are no locks,
        // the journal is worth writing all the same.
        let _ = file.lock();
        let file = Arc::new(Mutex::new(BufWriter::new(file)));
        let (waits, told) = sync_channel(1);
        let shared = Arc::clone(&file);
        let thread = thread::Builder::new().name("journal".to_owned());
        let started = thread.spawn(move || write_what_waits(&told, &shared));
        Ok(Self {
            file,
            waits: started.is_ok().then_some(waits),
        })
    }

    fn write(&self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event).map_err(io::Error::other)?;
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&line)?;
        // Numbers that come by the thousand may wait; what happened to a stage may not.
        let may_wait = matches!(
            event.kind,
            EventKind::StageProgress { .. } | EventKind::Measured { .. }
        );
        match &self.waits {
            // If the thread has been told already, that is enough.
            Some(waits) if may_wait => match waits.try_send(()) {
                Ok(()) | Err(TrySendError::Full(())) => Ok(()),
                Err(TrySendError::Disconnected(())) => file.flush(),
            },
            _ => file.flush(),
        }
    }
}

/// Writes what waits some time after it came, until the journal is gone: one flush for all events
/// of that time, and none while nothing comes.
fn write_what_waits(told: &Receiver<()>, file: &Mutex<BufWriter<File>>) {
    while told.recv().is_ok() {
        thread::sleep(LATEST);
        // What came meanwhile is written with it.
        let _ = told.try_recv();
        // What fails here fails again at the next event, and is said there.
        let _ = file.lock().unwrap_or_else(PoisonError::into_inner).flush();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // The thread may hold the file for a while yet, and may not live to write it.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = file.flush();
        let _ = file.get_ref().unlock();
    }
}

impl Reporter for Journal {
    fn name(&self) -> &'static str {
        "journal"
    }

    fn on_event(&mut self, event: &Event) -> io::Result<()> {
        let open = match &self.open {
            Some(open) => open,
            None => self.open.insert(Open::at(&self.path)?),
        };
        open.write(event)
    }
}
