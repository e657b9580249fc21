//! What comes back, read out of a server's JSON.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::price::Tokens;
use super::question::Protocol;

/// More places of an answer than are looked at for log-probabilities.
const MOST_PLACES: usize = 16;

/// More candidates at one place than any server gives.
const MOST_CANDIDATES: usize = 1000;

/// More letters of an answer than are kept.
const MOST_TEXT: usize = 20_000;

/// A token that could have been said, with its log-probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The token as text.
    pub token: String,
    /// Natural logarithm of its probability, 0 at most.
    pub log_probability: f64,
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// What the model said.
    pub text: String,
    /// Why it said nothing, where the server says so in a field of its own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub refusal: Option<String>,
    /// The likeliest tokens at the first place that is not blank; none if the server gave none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub top: Option<Vec<Candidate>>,
    /// The model that answered, by its own name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub model: Option<String>,
    /// Tokens as the server counts them; none if it does not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tokens: Option<Tokens>,
}

/// Reads the body of a good answer.
///
/// # Errors
/// What is missing or wrong in it, in words.
pub fn parse(protocol: Protocol, body: &[u8]) -> Result<Answer, String> {
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        if error.is_eof() {
            "the answer is cut off".to_owned()
        } else {
            format!("the answer is not JSON: {error}")
        }
    })?;
    let choice = value
        .pointer("/choices/0")
        .ok_or("the answer has no `choices[0]`")?;
    let finish = choice.get("finish_reason").and_then(Value::as_str);
    let (text, mut refusal, top) = match protocol {
        Protocol::Completions => {
            let text = choice
                .get("text")
                .and_then(Value::as_str)
                .ok_or("the answer has no `choices[0].text`")?;
            (text, None, completion_candidates(choice)?)
        }
        Protocol::Chat => {
            let message = choice
                .get("message")
                .ok_or("the answer has no `choices[0].message`")?;
            let refusal = message.get("refusal").and_then(Value::as_str);
            let text = message.get("content").and_then(Value::as_str);
            // A refusal has no content, and so has an answer that was filtered.
            let text = match text {
                Some(text) => text,
                None if refusal.is_some() || finish.is_some() => "",
                None => return Err("the answer has no `choices[0].message.content`".to_owned()),
            };
            (text, refusal.map(short), chat_candidates(choice)?)
        }
    };
    if refusal.is_none() && finish == Some("content_filter") {
        refusal = Some("content_filter".to_owned());
    }
    let usage = |name: &str| value.get("usage")?.get(name)?.as_u64();
    let tokens = usage("prompt_tokens").map(|prompt| Tokens {
        prompt,
        completion: usage("completion_tokens").unwrap_or(0),
    });
    Ok(Answer {
        text: short(text),
        refusal,
        top,
        model: value.get("model").and_then(Value::as_str).map(short),
        tokens,
    })
}

fn short(text: &str) -> String {
    text.chars().take(MOST_TEXT).collect()
}

/// `logprobs: {tokens: […], top_logprobs: [{token: log-probability}, …]}`.
fn completion_candidates(choice: &Value) -> Result<Option<Vec<Candidate>>, String> {
    let Some(places) = choice
        .pointer("/logprobs/top_logprobs")
        .and_then(Value::as_array)
    else {
        return Ok(None);
    };
    if places.is_empty() {
        // The model ended before it said a word, which is an answer of its own.
        return Ok(Some(Vec::new()));
    }
    let said = choice.pointer("/logprobs/tokens").and_then(Value::as_array);
    for (at, place) in places.iter().take(MOST_PLACES).enumerate() {
        let token = said.and_then(|said| said.get(at)).and_then(Value::as_str);
        let is_last = at + 1 == places.len().min(MOST_PLACES);
        if token.is_some_and(|token| token.trim().is_empty()) && !is_last {
            continue;
        }
        let Some(map) = place.as_object() else {
            return Ok(None);
        };
        let pairs = map.iter().map(|(token, value)| (token.as_str(), value));
        return candidates(pairs).map(Some);
    }
    Ok(None)
}

/// `logprobs: {content: [{token, top_logprobs: [{token, logprob}, …]}, …]}`.
fn chat_candidates(choice: &Value) -> Result<Option<Vec<Candidate>>, String> {
    let Some(places) = choice
        .pointer("/logprobs/content")
        .and_then(Value::as_array)
    else {
        return Ok(None);
    };
    let said = |place: &Value| {
        let token = place.get("token").and_then(Value::as_str);
        token.is_some_and(|token| !token.trim().is_empty())
    };
    let mut first = places.iter().take(MOST_PLACES);
    let Some(place) = first.find(|place| said(place)).or(places.first()) else {
        // The model ended before it said a word, which is an answer of its own.
        return Ok(Some(Vec::new()));
    };
    let Some(list) = place.get("top_logprobs").and_then(Value::as_array) else {
        return Ok(None);
    };
    let null = Value::Null;
    let pairs = list.iter().map(|one| {
        let token = one.get("token").and_then(Value::as_str).unwrap_or_default();
        (token, one.get("logprob").unwrap_or(&null))
    });
    candidates(pairs).map(Some)
}

fn candidates<'v>(
    pairs: impl Iterator<Item = (&'v str, &'v Value)>,
) -> Result<Vec<Candidate>, String> {
    let mut found = Vec::new();
    for (token, value) in pairs.take(MOST_CANDIDATES) {
        // Minus infinity has no number in JSON.
        let log_probability = match value {
            Value::Null => continue,
            value => value.as_f64(),
        };
        // A server that rounds may end a little above 0.
        let Some(log_probability) = log_probability.filter(|value| *value <= 1e-3) else {
            return Err(format!(
                "the log-probability of `{}` is {value}, and it must be a number of 0 at most",
                token.escape_debug()
            ));
        };
        found.push(Candidate {
            token: short(token),
            log_probability: log_probability.min(0.0),
        });
    }
    Ok(found)
}

/// What a server says about an error: its message and its code.
#[must_use]
pub fn error_of(body: &[u8]) -> (Option<String>, Option<String>) {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return (None, None);
    };
    let error = value.get("error").unwrap_or(&value);
    let text = |value: &Value| value.as_str().map(short);
    let message = error
        .get("message")
        .or_else(|| value.get("detail"))
        .and_then(text)
        .or_else(|| text(error));
    let code = error
        .get("code")
        .and_then(text)
        .or_else(|| error.get("type").and_then(text));
    (message, code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(protocol: Protocol, value: &Value) -> Result<Answer, String> {
        parse(protocol, value.to_string().as_bytes())
    }

    #[test]
    fn a_completion_with_log_probabilities() {
        let answer = read(
            Protocol::Completions,
            &json!({
                "model": "m-1", "usage": {"prompt_tokens": 7, "completion_tokens": 2},
                "choices": [{"text": "\nYes", "finish_reason": "length", "logprobs": {
                    "tokens": ["\n", "Yes"],
                    "top_logprobs": [{"\n": -0.1}, {"Yes": -0.5, " No": 0.0005, "x": null}],
                }}],
            }),
        )
        .expect("read");
        let top = answer.top.expect("candidates");
        let of = |token: &str| {
            let mut all = top.iter();
            let found = all.find(|one| one.token == token);
            found.map(|one| one.log_probability)
        };
        assert_eq!((of("Yes"), of(" No")), (Some(-0.5), Some(0.0)));
        assert_eq!((of("\n"), of("x")), (None, None));
        assert_eq!(answer.tokens.expect("usage").sum(), 9);
        assert_eq!(answer.model.as_deref(), Some("m-1"));
    }

    #[test]
    fn a_conversation_and_its_refusals() {
        let chat = |choice: Value| read(Protocol::Chat, &json!({"choices": [choice]}));
        let answer = chat(json!({
            "message": {"content": "No."},
            "logprobs": {"content": [{"token": "No", "top_logprobs": [
                {"token": "No", "logprob": -0.25}]}]},
        }))
        .expect("read");
        assert_eq!(answer.text, "No.");
        let first = &answer.top.expect("candidates")[0];
        assert!((first.log_probability + 0.25).abs() < 1e-12);
        let refused = chat(json!({"message": {"content": null, "refusal": "I cannot."}}));
        assert_eq!(refused.expect("read").refusal.as_deref(), Some("I cannot."));
        let filtered = chat(json!({"finish_reason": "content_filter", "message": {}}));
        assert!(filtered.expect("read").refusal.is_some());
        assert!(chat(json!({"message": {}})).is_err());
    }

    #[test]
    fn what_is_no_answer_says_what_is_missing() {
        let of = |body: &str| parse(Protocol::Completions, body.as_bytes()).expect_err(body);
        assert!(of("{\"choices\": [").contains("cut off"));
        assert!(of("<html>").contains("not JSON"));
        assert!(of("{\"choices\": []}").contains("choices[0]"));
        assert!(of("{\"choices\": [{\"text\": 1}]}").contains("choices[0].text"));
        let deep = "[".repeat(100_000);
        assert!(of(&deep).contains("not JSON"), "{}", of(&deep));
        // Nothing said at all is an answer; no log-probabilities are none.
        let nothing = json!({"choices": [{"text": "", "finish_reason": "stop", "logprobs": {
            "tokens": [], "top_logprobs": []}}]});
        let found = read(Protocol::Completions, &nothing);
        assert_eq!(found.expect("an answer").top, Some(Vec::new()));
        let nothing = json!({"choices": [{"message": {"content": ""}, "finish_reason": "stop",
            "logprobs": {"content": []}}]});
        let found = read(Protocol::Chat, &nothing);
        assert_eq!(found.expect("an answer").top, Some(Vec::new()));
        let without = json!({"choices": [{"text": "", "logprobs": null}]});
        let found = read(Protocol::Completions, &without);
        assert_eq!(found.expect("an answer").top, None);
        let positive = json!({"choices": [{"text": "Yes", "logprobs": {
            "tokens": ["Yes"], "top_logprobs": [{"Yes": 0.7}]}}]});
        let error = read(Protocol::Completions, &positive).expect_err("above 0");
        assert!(error.contains("`Yes` is 0.7"), "{error}");
        let (message, code) =
            error_of(br#"{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}"#);
        assert_eq!(message.as_deref(), Some("slow down"));
        assert_eq!(code.as_deref(), Some("rate_limit_exceeded"));
        assert_eq!(
            error_of(b"{\"detail\": \"gone\"}").0.as_deref(),
            Some("gone")
        );
        assert_eq!(error_of(b"oops"), (None, None));
    }
}
