//! A server that speaks OpenAI's interface, and misbehaves where a test tells it to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
    /// How often this very body came before.
    pub(crate) before: usize,
}

impl Asked {
    /// The prompt, or the last message.
    pub(crate) fn prompt(&self) -> &str {
        let chat = self.body["messages"].as_array();
        let text = match chat {
            Some(messages) => &messages.last().expect("a message")["content"],
            None => &self.body["prompt"],
        };
        text.as_str().expect("a text")
    }

    /// A number that depends on the prompt alone.
    pub(crate) fn number(&self) -> usize {
        number(self.prompt())
    }
}

pub(crate) fn number(prompt: &str) -> usize {
    let digest = runner::base::Digest::of_bytes(prompt.as_bytes()).hex();
    usize::from_str_radix(&digest[..6], 16).expect("hexadecimal")
}

/// What the server does.
pub(crate) enum Reply {
    /// Answers.
    Json(u16, Value),
    /// The same with a header.
    With(u16, Value, String),
    /// Any text.
    Text(u16, String),
    /// Says that more comes than comes.
    Cut(String),
    /// A byte at a time.
    Drip(String, Duration),
    /// Says nothing for so long, then hangs up.
    Silence(Duration),
    /// Answers after a while.
    Late(Duration, Value),
}

type Behaviour = dyn Fn(&Asked) -> Reply + Send + Sync;

pub(crate) struct Server {
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Bodies of requests that were answered to the end with 200.
    served: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn start(behaviour: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let served = Arc::new(Mutex::new(Vec::new()));
        let behaviour: Arc<Behaviour> = Arc::new(behaviour);
        let (log, done) = (Arc::clone(&asked), Arc::clone(&served));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (behaviour, log) = (Arc::clone(&behaviour), Arc::clone(&log));
                let done = Arc::clone(&done);
                thread::spawn(move || {
                    let _ = talk(stream, behaviour.as_ref(), &log, &done);
                });
            }
        });
        Self {
            address,
            asked,
            served,
        }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("free").clone()
    }

    /// How often each question was answered to the end.
    pub(crate) fn served(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for body in self.served.lock().expect("free").iter() {
            *counts.entry(body.clone()).or_default() += 1;
        }
        counts
    }
}

fn talk(
    stream: TcpStream,
    behaviour: &Behaviour,
    log: &Mutex<Vec<Asked>>,
    done: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let length: usize = headers["content-length"].parse().expect("a length");
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        let asked = {
            let mut log = log.lock().expect("free");
            let before = log.iter().filter(|one| one.body == body).count();
            let asked = Asked {
                path,
                headers,
                body,
                before,
            };
            log.push(asked.clone());
            asked
        };
        let send = |stream: &mut TcpStream, status: u16, header: &str, text: &str| {
            write!(
                stream,
                "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\n{header}Content-Length: \
                 {}\r\n\r\n{text}",
                text.len()
            )
        };
        let mut answered = false;
        match behaviour(&asked) {
            Reply::Json(status, value) => {
                answered = status == 200;
                send(&mut stream, status, "", &value.to_string())?;
            }
            Reply::With(status, value, header) => {
                send(
                    &mut stream,
                    status,
                    &format!("{header}\r\n"),
                    &value.to_string(),
                )?;
            }
            Reply::Text(status, text) => send(&mut stream, status, "", &text)?,
            Reply::Late(wait, value) => {
                thread::sleep(wait);
                answered = true;
                send(&mut stream, 200, "", &value.to_string())?;
            }
            Reply::Cut(text) => {
                write!(
                    stream,
                    "HTTP/1.1 200 x\r\nContent-Length: {}\r\n\r\n{}",
                    text.len(),
                    &text[..text.len() / 2]
                )?;
                return Ok(());
            }
            Reply::Drip(text, pause) => {
                write!(
                    stream,
                    "HTTP/1.1 200 x\r\nContent-Length: {}\r\n\r\n",
                    text.len()
                )?;
                for byte in text.as_bytes() {
                    stream.write_all(&[*byte])?;
                    thread::sleep(pause);
                }
            }
            Reply::Silence(wait) => {
                thread::sleep(wait);
                return Ok(());
            }
        }
        if answered {
            done.lock().expect("free").push(asked.body.to_string());
        }
    }
}

/// P(Yes) and P(No) that this server gives a prompt.
pub(crate) fn probabilities(prompt: &str) -> [f64; 2] {
    let share = (number(prompt) % 89 + 5) as f64 / 100.0;
    [0.9 * share, 0.9 * (1.0 - share)]
}

/// A completion with the five likeliest tokens.
pub(crate) fn completion(prompt: &str) -> Value {
    let [yes, no] = probabilities(prompt);
    let word = if yes > no { "Yes" } else { "No" };
    json!({
        "model": "tiny-001",
        "choices": [{"text": word, "finish_reason": "length", "logprobs": {
            "tokens": [word],
            "top_logprobs": [{"Yes": yes.ln(), "No": no.ln(), "The": 0.05_f64.ln(),
                "I": 0.02_f64.ln(), "\n": 0.01_f64.ln()}],
        }}],
        "usage": {"prompt_tokens": 60, "completion_tokens": 1},
    })
}

/// An answer in a conversation.
pub(crate) fn message(text: &str) -> Value {
    json!({
        "model": "chatty-1",
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 60, "completion_tokens": 9},
    })
}
