//! The parameters of `api_score`: what is asked of a model behind an API, and how.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::score::By;
use crate::api::client::check_address;
use crate::api::pace::Rate;
use crate::api::question::Form;
use crate::api::{Ceiling, Missing, Price, Protocol, Read, Terms};
use crate::base::limits;

/// Parameters of [`ApiScore`](super::api_score::ApiScore).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Address of an OpenAI-compatible endpoint up to and without `/completions` or
    /// `/chat/completions`, such as `https://api.openai.com/v1`.
    pub(super) base_url: String,
    /// The model's name there.
    pub(super) model: String,
    /// `chat` (`/chat/completions`) or `completions`, as the davinci models had it.
    #[serde(default)]
    pub(super) protocol: Protocol,
    /// What the answer is read from: the probabilities of its first word, or its words. By
    /// default `log_probabilities` for completions, `text` for a chat.
    #[serde(default)]
    pub(super) read: Option<Read>,
    /// How many of the likeliest tokens to ask for, for `read: log_probabilities`.
    #[serde(default = "default_top")]
    pub(super) top: u8,
    /// The probability of the one of yes and no that is not among the likeliest tokens.
    #[serde(default)]
    pub(super) missing: Missing,
    /// Which score ranks the rows.
    #[serde(default)]
    pub(super) by: By,
    /// Tokens an answer may have. By default 1 for `log_probabilities`, 64 for `text`.
    #[serde(default)]
    pub(super) max_tokens: Option<u32>,
    /// A message before the conversation; chat only.
    #[serde(default)]
    pub(super) system: Option<String>,
    /// Further fields of the request, such as `seed: 1`; `null` takes one out that is there by
    /// itself (`temperature`, `max_tokens`).
    #[serde(default)]
    pub(super) request: Map<String, Value>,
    /// Training samples that stand with their answers before each question; of those of the input
    /// `examples`.
    #[serde(default)]
    pub(super) examples: usize,
    /// Decides which ones.
    #[serde(default)]
    pub(super) seed: u64,
    /// Name of the environment variable that holds the key. Its value is in no key, file or
    /// message. Without it no key is sent.
    #[serde(default)]
    pub(super) api_key_environment: Option<String>,
    /// The header that takes the key as it is, such as `api-key`; by default `Authorization:
    /// Bearer KEY`.
    #[serde(default)]
    pub(super) api_key_header: Option<String>,
    /// Questions at the same time.
    #[serde(default = "default_concurrency")]
    pub(super) concurrency: usize,
    /// Requests a minute at most.
    #[serde(default)]
    pub(super) requests_per_minute: Option<f64>,
    /// Tokens a minute at most, of prompts and answers together.
    #[serde(default)]
    pub(super) tokens_per_minute: Option<f64>,
    /// How long an answer may take, its last byte included.
    #[serde(default = "default_timeout")]
    pub(super) timeout: String,
    /// How often each question is tried, where trying again may help: status 429 and 5xx,
    /// timeouts, answers that are cut off.
    #[serde(default = "default_tries")]
    pub(super) tries: u32,
    /// The longest wait before a try. Where the server asks for more, the stage ends.
    #[serde(default = "default_longest_wait")]
    pub(super) longest_wait: String,
    /// What a million tokens of prompts and of answers cost.
    #[serde(default)]
    pub(super) price: Option<Price>,
    /// How much this model at this endpoint may cost, over all that this store has asked of it, in
    /// `tokens` or in the `money` of `price`. No request is sent that could pass it.
    #[serde(default)]
    pub(super) ceiling: Option<Ceiling>,
}

fn default_top() -> u8 {
    5
}

fn default_concurrency() -> usize {
    4
}

fn default_timeout() -> String {
    "60s".to_owned()
}

fn default_tries() -> u32 {
    6
}

fn default_longest_wait() -> String {
    "5min".to_owned()
}

/// Tokens of an answer that is read as a text: enough to see that a model declines.
const TEXT_TOKENS: u32 = 64;

impl Params {
    /// What the answer is read from.
    pub(super) fn read(&self) -> Read {
        self.read.unwrap_or(match self.protocol {
            Protocol::Chat => Read::Text,
            Protocol::Completions => Read::LogProbabilities,
        })
    }

    /// What is asked about every row alike.
    pub(super) fn form(&self) -> Form {
        let read = self.read();
        Form {
            base_url: self.base_url.trim_end_matches('/').to_owned(),
            model: self.model.clone(),
            protocol: self.protocol,
            system: self.system.clone(),
            max_tokens: self.max_tokens.unwrap_or(match read {
                Read::LogProbabilities => 1,
                Read::Text => TEXT_TOKENS,
            }),
            top: (read == Read::LogProbabilities).then_some(self.top),
            request: self.request.clone(),
        }
    }

    /// How it is asked.
    pub(super) fn terms(&self) -> Terms {
        Terms {
            concurrency: self.concurrency,
            rate: Rate {
                requests: self.requests_per_minute,
                tokens: self.tokens_per_minute,
            },
            tries: self.tries,
            longest_wait: limits::duration(&self.longest_wait).unwrap_or_default(),
            price: self.price,
            ceiling: self.ceiling.unwrap_or_default(),
        }
    }

    /// Checks what a type cannot say: the field and what is wrong with it.
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        let params = self;
        let wrong = |field: &str, message: String| Err((field.to_owned(), message));
        if let Err(message) = check_address(&params.base_url) {
            return wrong("base_url", message);
        }
        if params.model.trim().is_empty() {
            return wrong("model", "names no model".to_owned());
        }
        if params.protocol == Protocol::Completions && params.system.is_some() {
            return wrong(
                "system",
                "a completion has no message before it; `protocol: chat` has".to_owned(),
            );
        }
        if !(2..=100).contains(&params.top) {
            let message = format!(
                "{} is not from 2 to 100 (OpenAI gives 20 at most)",
                params.top
            );
            return wrong("top", message);
        }
        if params.max_tokens == Some(0) {
            return wrong("max_tokens", "0 leaves no room for an answer".to_owned());
        }
        if !(1..=256).contains(&params.concurrency) {
            let message = format!("{} is not from 1 to 256", params.concurrency);
            return wrong("concurrency", message);
        }
        if !(1..=100).contains(&params.tries) {
            return wrong("tries", format!("{} is not from 1 to 100", params.tries));
        }
        for (field, text) in [
            ("timeout", &params.timeout),
            ("longest_wait", &params.longest_wait),
        ] {
            if limits::duration(text).is_none() {
                let message = format!("`{text}` is not a time: write 90s, 15min or 1.5h");
                return wrong(field, message);
            }
        }
        for (field, rate) in [
            ("requests_per_minute", params.requests_per_minute),
            ("tokens_per_minute", params.tokens_per_minute),
        ] {
            if rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
                return wrong(field, "must be above 0".to_owned());
            }
        }
        let prices = params.price.map(|price| [price.prompt, price.completion]);
        let bad = |value: &f64| !(value.is_finite() && *value >= 0.0);
        if prices.is_some_and(|prices| prices.iter().any(bad)) {
            return wrong("price", "must be 0 or more".to_owned());
        }
        if let Some(ceiling) = params.ceiling {
            if ceiling.money.is_some_and(|money| bad(&money)) {
                return wrong("ceiling.money", "must be 0 or more".to_owned());
            }
            if ceiling.money.is_some() && params.price.is_none() {
                let message = "needs `price`: {prompt: …, completion: …}, for a million tokens";
                return wrong("ceiling.money", message.to_owned());
            }
        }
        if let Some(name) = &params.api_key_environment {
            let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            if name.is_empty() || !name.chars().all(plain) {
                // What stands here may be a key, written into the wrong place.
                return wrong(
                    "api_key_environment",
                    "is not the name of an environment variable (capital letters, digits and `_`, \
                     such as OPENAI_API_KEY); the key itself belongs into no file"
                        .to_owned(),
                );
            }
        }
        Ok(())
    }
}
