//! What a request asks for, and whether it may.

/// A head of a request is no longer than this.
pub(super) const LONGEST_HEAD: usize = 8 * 1024;

/// More header fields than this no browser sends.
const MOST_FIELDS: usize = 64;

/// A page of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Page,
    State,
    Report,
}

/// Why a request is not answered with a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Malformed,
    ForeignHost,
    NotThere,
    Method,
    TooLong,
}

impl Refusal {
    /// Status line and a sentence.
    pub(super) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Malformed => ("400 Bad Request", "this is no request"),
            Self::ForeignHost => (
                "403 Forbidden",
                "only http://127.0.0.1 and http://localhost are answered",
            ),
            Self::NotThere => ("404 Not Found", "there is no such page"),
            Self::Method => ("405 Method Not Allowed", "the page can only be read"),
            Self::TooLong => (
                "431 Request Header Fields Too Large",
                "the head of the request is too long",
            ),
        }
    }
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    /// The page, or why not.
    pub(super) target: Result<Target, Refusal>,
    /// Whether only the head of the answer is wanted.
    pub(super) head_only: bool,
}

/// The status line that answers the head of a request, as far as the head alone decides it; `None`
/// while its end has not come. What fuzzing calls: the server itself needs a connection.
#[must_use]
pub fn status_line(head: &[u8]) -> Option<&'static str> {
    read(head).map(|request| match request.target {
        Ok(_) => "200 OK",
        Err(refusal) => refusal.words().0,
    })
}

/// Reads the head of a request; `None` while its end has not come.
pub(super) fn read(bytes: &[u8]) -> Option<Request> {
    let refused = |refusal| {
        Some(Request {
            target: Err(refusal),
            head_only: false,
        })
    };
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= LONGEST_HEAD => {}
        Ok(httparse::Status::Partial) if bytes.len() < LONGEST_HEAD => return None,
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return refused(Refusal::TooLong),
        Err(_) => return refused(Refusal::Malformed),
    }
    let (Some(method), Some(path)) = (request.method, request.path) else {
        return refused(Refusal::Malformed);
    };
    let mut hosts = (request.headers.iter())
        .filter(|field| field.name.eq_ignore_ascii_case("host"))
        .map(|field| field.value);
    let (host, another) = (hosts.next(), hosts.next());
    if another.is_some() || !host.is_some_and(is_this_machine) {
        return refused(Refusal::ForeignHost);
    }
    if !matches!(method, "GET" | "HEAD") {
        return refused(Refusal::Method);
    }
    let path = path.split('?').next().unwrap_or_default();
    Some(Request {
        target: match path {
            "/" => Ok(Target::Page),
            "/state.json" => Ok(Target::State),
            "/report.html" => Ok(Target::Report),
            _ => Err(Refusal::NotThere),
        },
        head_only: method == "HEAD",
    })
}

/// Whether a request was meant for this machine. A name on the internet that somebody points here
/// must not let that somebody's page read this one.
fn is_this_machine(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else {
        return false;
    };
    // Through a tunnel the port may be any.
    let (name, port) = host.split_once(':').unwrap_or((host, ""));
    (name == "127.0.0.1" || name.eq_ignore_ascii_case("localhost"))
        && port.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(head: &str) -> Result<Target, Refusal> {
        read(head.as_bytes()).expect("a whole head").target
    }

    fn get(line: &str) -> Result<Target, Refusal> {
        target(&format!("{line} HTTP/1.1\r\nHost: 127.0.0.1:7878\r\n\r\n"))
    }

    #[test]
    fn three_pages_can_be_read_and_nothing_else() {
        assert_eq!(get("GET /"), Ok(Target::Page));
        assert_eq!(get("HEAD /state.json?now"), Ok(Target::State));
        assert_eq!(get("GET /report.html"), Ok(Target::Report));
        for path in ["/x", "/../secret", "/report.html/", "//", "http://a/"] {
            assert_eq!(
                get(&format!("GET {path}")),
                Err(Refusal::NotThere),
                "{path}"
            );
        }
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "get"] {
            assert_eq!(get(&format!("{method} /")), Err(Refusal::Method));
        }
    }

    #[test]
    fn only_names_of_this_machine_are_answered() {
        let by = |host: &str| target(&format!("GET / HTTP/1.1\r\n{host}\r\n\r\n"));
        for host in ["127.0.0.1", "localhost:80", "LocalHost:7878", "127.0.0.1:1"] {
            assert_eq!(by(&format!("Host: {host}")), Ok(Target::Page), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:7878",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "localhost:80@evil.example",
            "",
        ] {
            let refused = Err(Refusal::ForeignHost);
            assert_eq!(by(&format!("Host: {host}")), refused, "{host}");
        }
        let twice = by("Host: localhost\r\nHost: evil.example");
        assert_eq!(twice, Err(Refusal::ForeignHost));
        assert_eq!(by("Accept: */*"), Err(Refusal::ForeignHost));
    }

    #[test]
    fn heads_that_are_torn_too_long_or_no_heads() {
        assert_eq!(read(b""), None);
        assert_eq!(read(b"GET / HTTP/1.1\r\nHost: local"), None);
        let long = format!("GET / HTTP/1.1\r\nCookie: {}", "x".repeat(LONGEST_HEAD));
        assert_eq!(target(&long), Err(Refusal::TooLong));
        let whole = format!("{long}\r\nHost: localhost\r\n\r\n");
        assert_eq!(target(&whole), Err(Refusal::TooLong));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(100));
        assert_eq!(target(&many), Err(Refusal::TooLong));
        assert_eq!(target("\u{16}\u{3}\u{1} TLS"), Err(Refusal::Malformed));
        assert_eq!(target("GET / HTTP/9\r\n\r\n"), Err(Refusal::Malformed));
    }
}
