//! From an answer to yes, no, or neither.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Candidate};

/// What an answer is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Read {
    /// The probabilities of its first word: P(yes) against P(no), as for TALLRec.
    LogProbabilities,
    /// Its words: yes is 1, no is 0.
    Text,
}

/// The probability of the one of yes and no that is not among the likeliest tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// What the likeliest tokens leave: 1 − their sum.
    #[default]
    Rest,
    /// The smallest of the likeliest tokens' probabilities.
    Smallest,
}

/// What came of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was answered: there are probabilities of yes and no.
    Answered,
    /// The model declined.
    Refused,
    /// It said something that is neither yes nor no.
    Unclear,
}

impl Outcome {
    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Unclear => "unclear",
        }
    }
}

/// An answer as it was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// What it came to.
    pub outcome: Outcome,
    /// P(yes) and P(no), where it was answered.
    pub yes_no: Option<[f64; 2]>,
    /// Whether one of the two was not among the likeliest tokens and was filled in.
    pub filled_in: bool,
}

impl Reading {
    fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            yes_no: None,
            filled_in: false,
        }
    }

    fn answered(yes: f64, no: f64, filled_in: bool) -> Self {
        Self {
            outcome: Outcome::Answered,
            yes_no: Some([yes, no]),
            filled_in,
        }
    }
}

/// Reads an answer.
///
/// # Errors
/// If log-probabilities are to be read and there are none.
pub fn read(answer: &Answer, read: Read, missing: Missing) -> Result<Reading, NoProbabilities> {
    if answer.refusal.is_some() {
        return Ok(Reading::of(Outcome::Refused));
    }
    match read {
        Read::Text => Ok(of_text(&answer.text)),
        Read::LogProbabilities => match answer.top.as_deref() {
            // It ended before its first word: neither yes nor no.
            Some([]) if answer.text.trim().is_empty() => Ok(Reading::of(Outcome::Unclear)),
            None | Some([]) => Err(NoProbabilities),
            Some(top) => Ok(of_candidates(top, missing)),
        },
    }
}

/// The server gave no log-probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoProbabilities;

/// A token may carry white space, the marks that stand for it in vocabularies, quotes and dots.
fn word(token: &str) -> String {
    let bare = |letter: char| !letter.is_alphanumeric() || matches!(letter, 'Ġ' | 'Ċ');
    token.trim_matches(bare).to_lowercase()
}

fn of_candidates(top: &[Candidate], missing: Missing) -> Reading {
    let (mut yes, mut no, mut sum) = (0.0, 0.0, 0.0);
    let (mut has_yes, mut has_no) = (false, false);
    let mut smallest = f64::INFINITY;
    for candidate in top {
        let probability = candidate.log_probability.exp();
        sum += probability;
        smallest = smallest.min(probability);
        match word(&candidate.token).as_str() {
            "yes" => {
                yes += probability;
                has_yes = true;
            }
            "no" => {
                no += probability;
                has_no = true;
            }
            _ => {}
        }
    }
    let fill = match missing {
        Missing::Rest => (1.0 - sum).max(0.0),
        Missing::Smallest => smallest,
    };
    match (has_yes, has_no) {
        (false, false) => Reading::of(Outcome::Unclear),
        (true, true) => Reading::answered(yes, no, false),
        (true, false) => Reading::answered(yes, fill, true),
        (false, true) => Reading::answered(fill, no, true),
    }
}

/// How models begin that decline.
const DECLINES: [&str; 12] = [
    "as an ai",
    "as a language model",
    "i am an ai",
    "i'm an ai",
    "i'm sorry",
    "i am sorry",
    "i cannot",
    "i can't",
    "i can not",
    "unable to",
    "not able to",
    "cannot determine",
];

/// An answer counts as yes or no if it begins with that word. Else, if it declines, it is refused;
/// else it counts if just one of `Yes` and `No` stands in it as a word with a capital letter
/// (`There is no way to know` says neither).
fn of_text(text: &str) -> Reading {
    let certain = |yes: bool| {
        let yes = if yes { 1.0 } else { 0.0 };
        Reading::answered(yes, 1.0 - yes, false)
    };
    let words: Vec<&str> = text
        .split(|letter: char| !letter.is_alphanumeric() && !matches!(letter, '\'' | '’'))
        .map(|word| word.trim_matches(['\'', '’']))
        .filter(|word| !word.is_empty())
        .collect();
    match words.first().map(|word| word.to_lowercase()).as_deref() {
        Some("yes") => return certain(true),
        Some("no") => return certain(false),
        _ => {}
    }
    let lower = text.to_lowercase().replace('’', "'");
    if DECLINES.iter().any(|start| lower.contains(start)) {
        return Reading::of(Outcome::Refused);
    }
    let says = |capital: &str, upper: &str| words.iter().any(|w| *w == capital || *w == upper);
    match (says("Yes", "YES"), says("No", "NO")) {
        (true, false) => certain(true),
        (false, true) => certain(false),
        _ => Reading::of(Outcome::Unclear),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_ends_at_once_has_no_answer() {
        let silent = Answer {
            text: String::new(),
            ..top(&[])
        };
        let found = read(&silent, Read::LogProbabilities, Missing::Rest);
        assert_eq!(found.expect("read").outcome, Outcome::Unclear);
        let spoke = Answer {
            text: "Yes".to_owned(),
            ..top(&[])
        };
        assert!(read(&spoke, Read::LogProbabilities, Missing::Rest).is_err());
    }

    fn top(pairs: &[(&str, f64)]) -> Answer {
        let candidates = pairs.iter().map(|(token, probability)| Candidate {
            token: (*token).to_owned(),
            log_probability: f64::ln(*probability),
        });
        Answer {
            top: Some(candidates.collect()),
            ..Answer::default()
        }
    }

    #[test]
    fn probabilities_by_hand() {
        let of = |pairs: &[(&str, f64)], missing| {
            read(&top(pairs), Read::LogProbabilities, missing).expect("probabilities")
        };
        let both = of(
            &[("Yes", 0.5), ("No", 0.25), ("\nyes", 0.125)],
            Missing::Rest,
        );
        let [yes, no] = both.yes_no.expect("answered");
        assert!((yes - 0.625).abs() < 1e-12 && (no - 0.25).abs() < 1e-12);
        assert!(!both.filled_in);
        // Fidelity `zero_shot.missing`: what the likeliest leave, or the smallest of them.
        let one = [("ĠYes", 0.5), ("Maybe", 0.25), ("The", 0.125)];
        for (missing, expected) in [(Missing::Rest, 0.125), (Missing::Smallest, 0.125)] {
            let [yes, no] = of(&one, missing).yes_no.expect("answered");
            assert!((yes - 0.5).abs() < 1e-12 && (no - expected).abs() < 1e-12);
        }
        let one = [("No.", 0.5), ("Maybe", 0.1)];
        for (missing, expected) in [(Missing::Rest, 0.4), (Missing::Smallest, 0.1)] {
            let reading = of(&one, missing);
            let [yes, no] = reading.yes_no.expect("answered");
            assert!((yes - expected).abs() < 1e-12 && (no - 0.5).abs() < 1e-12);
            assert!(reading.filled_in);
        }
        let neither = of(&[("The", 0.9)], Missing::Rest);
        assert_eq!(neither.outcome, Outcome::Unclear);
        let none = read(&Answer::default(), Read::LogProbabilities, Missing::Rest);
        assert_eq!(none, Err(NoProbabilities));
    }

    #[test]
    fn words_by_hand() {
        for (text, expected) in [
            ("Yes.", Ok(1.0)),
            ("  **No**, the user will not.", Ok(0.0)),
            ("\"Yes\"", Ok(1.0)),
            ("yes", Ok(1.0)),
            ("NO", Ok(0.0)),
            ("The answer is: No.", Ok(0.0)),
            ("Answer: Yes", Ok(1.0)),
            ("No, I cannot say that they would.", Ok(0.0)),
            ("There is no way to know.", Err(Outcome::Unclear)),
            ("Yesterday was Nobel day", Err(Outcome::Unclear)),
            ("Either Yes or No.", Err(Outcome::Unclear)),
            ("Probably.", Err(Outcome::Unclear)),
            ("", Err(Outcome::Unclear)),
            (
                "I’m sorry, but as an AI language model I cannot answer Yes",
                Err(Outcome::Refused),
            ),
            ("It is not possible; I can't tell.", Err(Outcome::Refused)),
        ] {
            let answer = Answer {
                text: text.to_owned(),
                ..Answer::default()
            };
            let reading = read(&answer, Read::Text, Missing::Rest).expect("a text");
            let found = match reading.yes_no {
                Some([yes, _]) => Ok(yes),
                None => Err(reading.outcome),
            };
            assert_eq!(found, expected, "{text}");
        }
    }
}
