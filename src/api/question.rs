//! What is asked: the body of a request, and its digest, under which the answer is kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::price::Tokens;
use crate::base::{Digest, canonical_json};

/// The two forms of OpenAI's interface that others speak as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// `POST /chat/completions`: a conversation, as with `ChatGPT`.
    #[default]
    Chat,
    /// `POST /completions`: a text that the model goes on with, as with the davinci models.
    Completions,
}

impl Protocol {
    /// What follows the endpoint's address.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/chat/completions",
            Self::Completions => "/completions",
        }
    }
}

/// What is asked about every row alike.
#[derive(Debug, Clone, PartialEq)]
pub struct Form {
    /// The endpoint's address.
    pub base_url: String,
    /// The model's name there.
    pub model: String,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// A message before the conversation; chat only.
    pub system: Option<String>,
    /// Tokens an answer may have.
    pub max_tokens: u32,
    /// How many of the likeliest tokens to ask for at each place; none where only a text is wanted.
    pub top: Option<u8>,
    /// Further fields of the body; `null` takes one out.
    pub request: Map<String, Value>,
}

/// A request, ready to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// What follows the endpoint's address.
    pub path: &'static str,
    /// The body as JSON.
    pub body: String,
    /// Of address, path and body: equal questions have equal answers.
    pub digest: Digest,
    /// Bytes of the texts that are sent.
    pub text_bytes: u64,
    /// Tokens an answer may have.
    pub max_tokens: u64,
}

impl Form {
    /// Asks one thing; `examples` are questions with their answers that stand before it.
    #[must_use]
    pub fn ask(&self, examples: &[(String, String)], prompt: &str) -> Question {
        let mut body = Map::new();
        body.insert("model".to_owned(), json!(self.model));
        let mut text_bytes = 0;
        match self.protocol {
            Protocol::Completions => {
                let text = joined(examples, prompt);
                text_bytes += text.len();
                body.insert("prompt".to_owned(), json!(text));
                if let Some(top) = self.top {
                    body.insert("logprobs".to_owned(), json!(top));
                }
            }
            Protocol::Chat => {
                let mut messages = Vec::new();
                let mut say = |role: &str, text: &str| {
                    // The words around a message count as a few tokens more.
                    text_bytes += text.len() + 8;
                    messages.push(json!({"role": role, "content": text}));
                };
                if let Some(system) = &self.system {
                    say("system", system);
                }
                for (question, answer) in examples {
                    say("user", question);
                    say("assistant", answer);
                }
                say("user", prompt);
                body.insert("messages".to_owned(), Value::Array(messages));
                if let Some(top) = self.top {
                    body.insert("logprobs".to_owned(), json!(true));
                    body.insert("top_logprobs".to_owned(), json!(top));
                }
            }
        }
        body.insert("max_tokens".to_owned(), json!(self.max_tokens));
        body.insert("temperature".to_owned(), json!(0));
        for (name, value) in &self.request {
            if value.is_null() {
                body.shift_remove(name);
            } else {
                body.insert(name.clone(), value.clone());
            }
        }
        let limit = ["max_completion_tokens", "max_tokens"]
            .iter()
            .find_map(|name| body.get(*name)?.as_u64());
        let body = Value::Object(body);
        let path = self.protocol.path();
        let all = json!({"base_url": self.base_url, "path": path, "body": body});
        Question {
            path,
            body: body.to_string(),
            digest: Digest::of_bytes(canonical_json(&all).as_bytes()),
            text_bytes: text_bytes as u64,
            max_tokens: limit.unwrap_or_else(|| self.max_tokens.into()),
        }
    }
}

/// Examples with their answers, and the prompt, as one text.
#[must_use]
pub fn joined(examples: &[(String, String)], prompt: &str) -> String {
    let mut text = String::new();
    for (question, answer) in examples {
        text.push_str(question);
        text.push_str(answer);
        text.push_str("\n\n");
    }
    text.push_str(prompt);
    text
}

impl Question {
    /// More tokens than it can have: a token is a byte of text at least, and a few more stand
    /// around it.
    #[must_use]
    pub fn bound(&self) -> Tokens {
        Tokens {
            prompt: self.text_bytes + 16,
            completion: self.max_tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(protocol: Protocol) -> Form {
        Form {
            base_url: "http://x/v1".to_owned(),
            model: "m".to_owned(),
            protocol,
            system: None,
            max_tokens: 1,
            top: Some(5),
            request: Map::new(),
        }
    }

    #[test]
    fn both_forms_of_the_interface() {
        let shot = [("Q1\n".to_owned(), "Yes.".to_owned())];
        let one = form(Protocol::Completions).ask(&shot, "Q2\n");
        assert_eq!(
            one.body,
            "{\"model\":\"m\",\"prompt\":\"Q1\\nYes.\\n\\nQ2\\n\",\"logprobs\":5,\"max_tokens\":1,\
             \"temperature\":0}"
        );
        let mut chat = form(Protocol::Chat);
        chat.system = Some("S".to_owned());
        chat.top = None;
        chat.request = serde_json::from_str(
            "{\"max_tokens\":null,\"max_completion_tokens\":9,\"temperature\":null}",
        )
        .expect("JSON");
        let two = chat.ask(&shot, "Q2");
        assert_eq!(
            two.body,
            "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\
             \"user\",\"content\":\"Q1\\n\"},{\"role\":\"assistant\",\"content\":\"Yes.\"},{\"role\"\
             :\"user\",\"content\":\"Q2\"}],\"max_completion_tokens\":9}"
        );
        assert_eq!(two.bound().completion, 9);
        assert_ne!(one.digest, two.digest);
        let mut elsewhere = form(Protocol::Completions);
        elsewhere.base_url = "http://y/v1".to_owned();
        assert_ne!(elsewhere.ask(&shot, "Q2\n").digest, one.digest);
        assert_eq!(form(Protocol::Completions).ask(&shot, "Q2\n"), one);
    }
}
