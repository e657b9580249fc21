//! One request, once: what came back, or what kind of trouble there was.

use std::net::IpAddr;
use std::time::Duration;

use super::answer::{self, Answer};
use super::error::clipped;
use super::question::{Protocol, Question};
use super::retry::retry_after;
use super::secret::Secret;
use crate::base::clock;

/// The largest answer that is read, in bytes.
const MOST_BYTES: u64 = 4 << 20;

/// How long it may take to be connected.
const CONNECTING: Duration = Duration::from_secs(20);

/// Where a model is served, and what opens it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Address up to and without `/completions`, such as `https://api.openai.com/v1`.
    pub base_url: String,
    /// The key; none where the server asks for none.
    pub key: Option<Secret>,
    /// The header that takes the key as it is; by default `Authorization: Bearer KEY`.
    pub key_header: Option<String>,
    /// How long an answer may take, its last byte included.
    pub timeout: Duration,
}

/// Checks an address.
///
/// # Errors
/// What is wrong with it.
pub fn check_address(base_url: &str) -> Result<(), String> {
    let rest = base_url
        .strip_prefix("https://")
        .or_else(|| base_url.strip_prefix("http://"))
        .ok_or_else(|| {
            format!(
                "`{base_url}` is no address: it begins with https:// or http://, such as \
                 https://api.openai.com/v1"
            )
        })?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if host.contains('@') {
        return Err(
            "an address with a name or a key in it would stand in files and messages; name the \
             environment variable that holds the key under `api_key_environment`"
                .to_owned(),
        );
    }
    if host.is_empty() || base_url.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(format!("`{base_url}` is no address: it names no host"));
    }
    if base_url.contains(['?', '#']) {
        return Err(format!(
            "`{base_url}` holds a `?` or `#`, after which nothing can follow"
        ));
    }
    for end in ["chat/completions", "completions"] {
        if path.trim_end_matches('/').ends_with(end) {
            return Err(format!(
                "`{base_url}` goes too far: leave `/{end}` out, `protocol` says what follows"
            ));
        }
    }
    Ok(())
}

/// The host of an address, without its port.
fn host(base_url: &str) -> &str {
    let rest = base_url
        .split_once("://")
        .map_or(base_url, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default();
    match host.strip_prefix('[') {
        Some(six) => six.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

/// Whether an address is on this machine.
#[must_use]
pub fn is_here(base_url: &str) -> bool {
    let host = host(base_url);
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Why there is no answer this time.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Trouble {
    /// It may pass.
    Passing {
        /// What happened.
        message: String,
        /// When the server wants to be asked again.
        after: Option<Duration>,
        /// Whether all questions should wait, not this one alone.
        for_all: bool,
        /// Whether the server may have counted the tokens all the same.
        paid: bool,
    },
    /// It will not.
    Lasting {
        /// What happened.
        message: String,
        /// What to do about it; may be empty.
        help: String,
    },
}

/// Speaks to one endpoint.
#[derive(Debug)]
pub struct Client {
    agent: ureq::Agent,
    endpoint: Endpoint,
}

impl Client {
    /// A client with connections of its own.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        let mut builder = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // The key must not follow to another place, and a body is not sent twice.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections_per_host(64)
            .timeout_global(Some(endpoint.timeout))
            .timeout_connect(Some(endpoint.timeout.min(CONNECTING)))
            .user_agent(concat!("runner/", env!("CARGO_PKG_VERSION")));
        if is_here(&endpoint.base_url) {
            builder = builder.proxy(None);
        }
        Self {
            agent: builder.build().into(),
            endpoint,
        }
    }

    /// The endpoint's address.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.endpoint.base_url
    }

    fn redact(&self, text: &str) -> String {
        match &self.endpoint.key {
            Some(key) => key.redact(text),
            None => text.to_owned(),
        }
    }

    /// Asks once.
    pub(super) fn send(&self, protocol: Protocol, question: &Question) -> Result<Answer, Trouble> {
        let base_url = self.endpoint.base_url.trim_end_matches('/');
        let url = format!("{base_url}{}", question.path);
        let mut request = self
            .agent
            .post(&url)
            .header("content-type", "application/json")
            .header("accept", "application/json");
        if let Some(key) = &self.endpoint.key {
            request = match &self.endpoint.key_header {
                Some(name) => request.header(name, key.reveal()),
                None => request.header("authorization", format!("Bearer {}", key.reveal())),
            };
        }
        let mut response = request
            .send(question.body.as_bytes())
            .map_err(|error| self.trouble(&error))?;
        let status = response.status().as_u16();
        let header = |name: &str| {
            let value = response.headers().get(name)?;
            Some(self.redact(&String::from_utf8_lossy(value.as_bytes())))
        };
        let after =
            header("retry-after").and_then(|value| retry_after(&value, clock::unix_milliseconds()));
        let location = header("location");
        let body = response
            .body_mut()
            .with_config()
            .limit(MOST_BYTES)
            .read_to_vec()
            .map_err(|error| self.trouble(&error))?;
        // Some servers repeat the key in what they say.
        let body = self.redact(&String::from_utf8_lossy(&body));
        if status == 200 {
            return answer::parse(protocol, body.as_bytes()).map_err(|message| Trouble::Passing {
                message: format!("{message} (it begins `{}`)", clipped(&start(&body))),
                after,
                for_all: false,
                paid: true,
            });
        }
        let (said, code) = answer::error_of(body.as_bytes());
        let code = code.unwrap_or_default();
        if code == "content_filter" {
            return Ok(Answer {
                refusal: Some(said.unwrap_or(code)),
                ..Answer::default()
            });
        }
        let said = said.unwrap_or_else(|| start(&body));
        let said = match clipped(&said) {
            said if said.is_empty() => String::new(),
            said => format!(": {said}"),
        };
        let message = format!("the server answered with status {status}{said}");
        let may_pass = match status {
            429 => code != "insufficient_quota",
            408 | 409 | 425 => true,
            501 | 505 => false,
            other => other >= 500,
        };
        if may_pass {
            return Err(Trouble::Passing {
                message,
                after,
                for_all: matches!(status, 429 | 503 | 529),
                paid: false,
            });
        }
        let help = match status {
            300..=399 => location.map_or_else(String::new, |to| {
                format!("it points to `{}`; name that as `base_url`", clipped(&to))
            }),
            401 | 403 => match &self.endpoint.key {
                Some(_) => "is it the right key, and may it use this model?".to_owned(),
                None => "name the environment variable that holds the key under \
                         `api_key_environment`"
                    .to_owned(),
            },
            404 => format!(
                "is there such a model, and is `{base_url}` the address up to `{}`?",
                question.path
            ),
            429 => "the account has no credit left".to_owned(),
            _ => "fields of the request are changed under `request` (`max_tokens: null` takes one \
                  out)"
                .to_owned(),
        };
        Err(Trouble::Lasting { message, help })
    }

    fn trouble(&self, error: &ureq::Error) -> Trouble {
        let host = host(&self.endpoint.base_url);
        let passing = |message: String, paid: bool| Trouble::Passing {
            message,
            after: None,
            for_all: false,
            paid,
        };
        match error {
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => passing(
                format!("`{host}` cannot be reached: no connection in time"),
                false,
            ),
            ureq::Error::Timeout(_) => passing(
                format!(
                    "the answer took longer than the timeout of {}",
                    clock::human(self.endpoint.timeout)
                ),
                true,
            ),
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => {
                passing(format!("`{host}` cannot be reached: {error}"), false)
            }
            ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::ConnectionRefused => passing(
                format!("nothing listens at `{}`", self.endpoint.base_url),
                false,
            ),
            ureq::Error::Io(io) => passing(
                format!("the connection broke off: {}", self.redact(&io.to_string())),
                true,
            ),
            ureq::Error::BodyExceedsLimit(_) => Trouble::Lasting {
                message: format!("the answer has more than {MOST_BYTES} bytes"),
                help: "is this the address of a language model?".to_owned(),
            },
            ureq::Error::Protocol(error) => passing(
                format!(
                    "the answer is not HTTP: {}",
                    self.redact(&error.to_string())
                ),
                true,
            ),
            other => Trouble::Lasting {
                message: self.redact(&other.to_string()),
                help: String::new(),
            },
        }
    }
}

fn start(body: &str) -> String {
    body.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        for fine in [
            "https://api.openai.com/v1",
            "http://127.0.0.1:8080/v1/",
            "http://[::1]:8080",
        ] {
            assert_eq!(check_address(fine), Ok(()), "{fine}");
        }
        for (wrong, expected) in [
            ("api.openai.com/v1", "begins with https://"),
            ("https://", "names no host"),
            ("https://a b/v1", "names no host"),
            ("https://me:sk-1@host/v1", "api_key_environment"),
            ("https://host/v1?api-version=1", "`?`"),
            (
                "https://host/v1/chat/completions",
                "leave `/chat/completions` out",
            ),
        ] {
            let error = check_address(wrong).expect_err(wrong);
            assert!(error.contains(expected), "{error}");
        }
        assert!(
            !check_address("https://me:sk-1@host")
                .expect_err("a key")
                .contains("sk-1")
        );
        for (url, here) in [
            ("http://localhost:1/v1", true),
            ("http://127.0.0.2/v1", true),
            ("http://[::1]:8080/v1", true),
            ("https://localhost.example.com/v1", false),
        ] {
            assert_eq!(is_here(url), here, "{url}");
        }
    }
}
