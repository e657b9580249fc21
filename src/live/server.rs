//! A server for this machine only: a few threads that each answer one request at a time.
//!
//! Every connection has a deadline, so a client that hangs holds one thread for that long and
//! nothing else; the next ones wait in the operating system's queue.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::page::page;
use super::request::{self, LONGEST_HEAD, Refusal, Target};
use super::watch::Watch;
use crate::base::clock;

/// Ports to try where nobody names one.
pub const PORTS: RangeInclusive<u16> = 7878..=7897;

/// Requests answered at the same time.
const THREADS: usize = 6;

/// How long a client may take to ask.
const ASKING: Duration = Duration::from_secs(3);

/// How long a client may take to read the answer.
const READING: Duration = Duration::from_secs(30);

/// How long a client that sent more than was read may take to stop.
const LEAVING: Duration = Duration::from_millis(500);

/// What the page may do: run its own script and ask this server, nothing else.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src \
                           'unsafe-inline'; img-src data:; connect-src 'self'; base-uri 'none'; \
                           form-action 'none'; frame-ancestors 'none'";

/// The same for the report, which asks nobody.
const REPORT_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src \
                             'unsafe-inline'; img-src data: blob:; font-src data:; base-uri \
                             'none'; form-action 'none'; frame-ancestors 'none'";

/// Listens on this machine: on `port`, or on the first free one of [`PORTS`]. Port 0 is any free
/// one.
///
/// # Errors
/// If the port cannot be had, or none of them.
pub fn listen(port: Option<u16>) -> io::Result<TcpListener> {
    let on = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let Some(port) = port else {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for port in PORTS {
            match on(port) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                other => return other,
            }
        }
        return Err(last);
    };
    on(port)
}

/// A running server; it serves until the program ends.
#[derive(Debug, Clone, Copy)]
pub struct Server {
    address: SocketAddr,
}

#[derive(Debug)]
struct Shared {
    listener: TcpListener,
    page: String,
    watch: Mutex<Watch>,
}

impl Server {
    /// Serves a run to whoever asks at `listener`.
    ///
    /// # Errors
    /// If no thread can be started for it.
    pub fn start(listener: TcpListener, watch: Watch) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            listener,
            page: page().map_err(io::Error::other)?,
            watch: Mutex::new(watch),
        });
        for number in 0..THREADS {
            let own = Arc::clone(&shared);
            let thread = thread::Builder::new().name("live page".to_owned());
            match thread.spawn(move || serve(&own)) {
                Err(error) if number == 0 => return Err(error),
                // One is enough.
                _ => {}
            }
        }
        Ok(Self { address })
    }

    /// Where to look: `http://127.0.0.1:7878/`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://{}/", self.address)
    }
}

fn serve(shared: &Shared) {
    loop {
        match shared.listener.accept() {
            // What goes wrong with a client is the client's.
            Ok((stream, _)) => drop(answer(shared, &stream)),
            // Too many open files, for instance: that may pass.
            Err(_) => thread::sleep(Duration::from_millis(200)),
        }
    }
}

fn answer(shared: &Shared, stream: &TcpStream) -> io::Result<()> {
    let mut asking = Timed::new(stream, ASKING);
    let mut head = Vec::new();
    let request = loop {
        let mut bytes = [0; 1024];
        let room = bytes.len().min(LONGEST_HEAD - head.len());
        let count = asking.read(&mut bytes[..room])?;
        if count == 0 {
            return Ok(());
        }
        head.extend_from_slice(&bytes[..count]);
        if let Some(request) = request::read(&head) {
            break request;
        }
    };
    let mut out = Timed::new(stream, READING);
    match request.target {
        Ok(Target::Page) => {
            let head = fine("text/html; charset=utf-8", shared.page.len(), PAGE_POLICY);
            out.write_all(head.as_bytes())?;
            if !request.head_only {
                out.write_all(shared.page.as_bytes())?;
            }
        }
        Ok(Target::State) => {
            // Not locked while the answer is written.
            let state = lock(&shared.watch).state();
            match state {
                Ok(state) => {
                    let head = fine("application/json", state.len(), "default-src 'none'");
                    out.write_all(head.as_bytes())?;
                    if !request.head_only {
                        out.write_all(&state)?;
                    }
                }
                Err(error) => {
                    let words = format!("the run's journal cannot be read: {error}");
                    refuse(&mut out, "500 Internal Server Error", &words)?;
                }
            }
        }
        Ok(Target::Report) => report(shared, &mut out, request.head_only)?,
        Err(refusal) => {
            let (status, words) = refusal.words();
            refuse(&mut out, status, words)?;
        }
    }
    leave(stream)
}

fn report(shared: &Shared, out: &mut Timed<'_>, head_only: bool) -> io::Result<()> {
    let path = lock(&shared.watch).report();
    let open = path.and_then(|path| {
        let file = File::open(path).ok()?;
        let metadata = file.metadata().ok()?;
        metadata.is_file().then_some((file, metadata.len()))
    });
    let Some((file, length)) = open else {
        let (status, _) = Refusal::NotThere.words();
        return refuse(out, status, "there is no report yet");
    };
    let head = fine("text/html; charset=utf-8", length as usize, REPORT_POLICY);
    out.write_all(head.as_bytes())?;
    if !head_only {
        io::copy(&mut file.take(length), out)?;
    }
    Ok(())
}

fn lock(watch: &Mutex<Watch>) -> std::sync::MutexGuard<'_, Watch> {
    watch.lock().unwrap_or_else(PoisonError::into_inner)
}

fn head(status: &str, kind: &str, length: usize, policy: &str) -> String {
    let allow = if status.starts_with("405") {
        "Allow: GET, HEAD\r\n"
    } else {
        ""
    };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{allow}\
         Content-Security-Policy: {policy}\r\nX-Content-Type-Options: nosniff\r\n\
         Referrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
}

fn fine(kind: &str, length: usize, policy: &str) -> String {
    head("200 OK", kind, length, policy)
}

fn refuse(out: &mut Timed<'_>, status: &str, words: &str) -> io::Result<()> {
    let kind = "text/plain; charset=utf-8";
    let head = head(status, kind, words.len() + 1, "default-src 'none'");
    out.write_all(format!("{head}{words}\n").as_bytes())
}

/// Ends a connection. What the client still sends is read for a moment: closing on it at once
/// could take back the answer before it is read.
fn leave(stream: &TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    let mut rest = Timed::new(stream, LEAVING).take(64 * 1024);
    io::copy(&mut rest, &mut io::sink())?;
    Ok(())
}

/// A connection that must be done with by a deadline, however slowly its bytes trickle.
struct Timed<'a> {
    stream: &'a TcpStream,
    until: Instant,
}

impl<'a> Timed<'a> {
    fn new(stream: &'a TcpStream, time: Duration) -> Self {
        Self {
            stream,
            until: clock::now() + time,
        }
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(clock::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(left)
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(bytes)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::live::Places;
    use crate::reporter::JournalFile;

    fn start(folder: &Path) -> SocketAddr {
        let journal = JournalFile::new(&folder.join("runs"), "small", 1000);
        let places = Places {
            logs: folder.join("logs"),
            results: folder.join("results"),
        };
        let listener = listen(Some(0)).expect("a port");
        assert!(listener.local_addr().expect("address").ip().is_loopback());
        let server = Server::start(listener, Watch::new(journal, places));
        server.expect("a server").address
    }

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).expect("connected");
        stream.write_all(request.as_bytes()).expect("asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        answer
    }

    #[test]
    fn pages_come_with_their_policies() {
        let folder = tempfile::tempdir().expect("folder");
        let address = start(folder.path());
        let get = |line: &str| {
            ask(
                address,
                &format!("{line} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            )
        };
        let page = get("GET /");
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
        assert!(page.contains("default-src 'none'") && page.contains("nosniff"));
        assert!(page.contains("no-store") && page.ends_with("</html>"));
        let head = get("HEAD /");
        assert!(head.ends_with("\r\n\r\n"), "{head}");
        let (own, _) = page.split_once("\r\n\r\n").expect("a head");
        assert_eq!(head.trim_end(), own);
        assert!(get("GET /report.html").starts_with("HTTP/1.1 404"));
        std::fs::create_dir_all(folder.path().join("results/small")).expect("folder");
        std::fs::write(folder.path().join("results/small/report.html"), "<p>ä").expect("written");
        assert!(get("GET /report.html").ends_with("\r\n\r\n<p>ä"));
        let state = get("GET /state.json");
        let (_, body) = state.split_once("\r\n\r\n").expect("a body");
        let state: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(state["run"], "small-1000");
        assert_eq!(state["report"], true);
    }

    #[test]
    fn a_request_with_a_body_is_refused_and_the_refusal_arrives() {
        let folder = tempfile::tempdir().expect("folder");
        let address = start(folder.path());
        let body = "x".repeat(30_000);
        let answer = ask(
            address,
            &format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30000\r\n\r\n{body}"),
        );
        assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
        assert!(answer.contains("Allow: GET, HEAD\r\n"), "{answer}");
    }

    #[test]
    fn clients_that_hang_do_not_keep_others_out() {
        let folder = tempfile::tempdir().expect("folder");
        let address = start(folder.path());
        let mut silent: Vec<TcpStream> = (0..2 * THREADS)
            .map(|_| TcpStream::connect(address).expect("connected"))
            .collect();
        for stream in silent.iter_mut().step_by(2) {
            stream.write_all(b"GET / HT").expect("asked");
        }
        let answer = ask(
            address,
            "GET /state.json HTTP/1.1\r\nHost: localhost\r\n\r\n",
        );
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        drop(silent);
    }

    #[test]
    fn a_port_that_is_taken_is_an_error_only_if_it_was_named() {
        let first = listen(Some(0)).expect("a port");
        let port = first.local_addr().expect("address").port();
        let error = listen(Some(port)).expect_err("it is taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let one = listen(None).expect("a port");
        let two = listen(None).expect("another");
        assert_ne!(
            one.local_addr().expect("address"),
            two.local_addr().expect("address")
        );
    }
}
