//! Comparisons of systems on the same test rows, `comparisons.csv`.
//!
//! What a test over rows or users says needs the predictions, which stay in the store. So it is
//! computed where they are and kept beside `results.csv` as text: reports and diffs read it from
//! there, also from a commit. One comparison a line, in the order of the results; an undefined
//! number is an empty field, and then `reason` says why.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::error::ResultError;
use super::method::System;
use super::natural::natural;
use crate::base::Digest;
use crate::statistics::{CannotSay, Comparison, Evidence, Interval, Test};

/// The method that stands for guessing: every row has the same score.
pub const CHANCE: &str = "chance";

/// Which two systems are compared, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What the systems were trained on.
    pub train_domain: String,
    /// What they were tested on.
    pub test_domain: String,
    /// Training samples, if any.
    pub k: Option<u64>,
    /// The system the comparison is about.
    pub one: System,
    /// What it is compared with; the method may be [`CHANCE`].
    pub other: System,
}

impl Ord for Question {
    fn cmp(&self, other: &Self) -> Ordering {
        natural(&self.train_domain, &other.train_domain)
            .then_with(|| natural(&self.test_domain, &other.test_domain))
            .then_with(|| self.k.cmp(&other.k))
            .then_with(|| self.one.cmp(&other.one))
            .then_with(|| self.other.cmp(&other.other))
    }
}

impl PartialOrd for Question {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// One comparison of AUCs on the test split.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparisonRow {
    /// Which systems, where.
    pub question: Question,
    /// What the test says.
    pub comparison: Comparison,
    /// Hash of the keys of all stages whose predictions went into it.
    pub stages: Digest,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    train_domain: String,
    test_domain: String,
    k: Option<u64>,
    method: String,
    variant: Option<String>,
    other_method: String,
    other_variant: Option<String>,
    test: Test,
    n: usize,
    effect: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    level: Option<f64>,
    p: Option<f64>,
    statistic: Option<f64>,
    reason: Option<String>,
    stages: String,
}

/// The text of `comparisons.csv`: a header, then one comparison a line, sorted, with LF.
#[must_use]
pub fn to_csv(rows: &[ComparisonRow]) -> String {
    let mut sorted: Vec<&ComparisonRow> = rows.iter().collect();
    sorted.sort_by(|one, two| {
        let questions = one.question.cmp(&two.question);
        questions.then(one.comparison.test.cmp(&two.comparison.test))
    });
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in sorted {
        let ComparisonRow {
            question,
            comparison,
            stages,
        } = row;
        let evidence = comparison.evidence.as_ref().ok();
        let line = Line {
            train_domain: question.train_domain.clone(),
            test_domain: question.test_domain.clone(),
            k: question.k,
            method: question.one.method.clone(),
            variant: question.one.variant.clone(),
            other_method: question.other.method.clone(),
            other_variant: question.other.variant.clone(),
            test: comparison.test,
            n: comparison.n[0].min(comparison.n[1]),
            effect: comparison.effect,
            low: evidence.map(|evidence| evidence.interval.low),
            high: evidence.map(|evidence| evidence.interval.high),
            level: evidence.map(|evidence| evidence.interval.level),
            p: evidence.map(|evidence| evidence.p),
            statistic: evidence.and_then(|evidence| evidence.statistic),
            reason: comparison.evidence.as_ref().err().map(ToString::to_string),
            stages: stages.hex(),
        };
        // Texts and numbers into memory: nothing of it can fail.
        let _ = writer.serialize(line);
    }
    let bytes = writer.into_inner().unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

/// Reads the bytes of a `comparisons.csv`; `label` is how errors name the source.
///
/// # Errors
/// [`ResultError::Line`] with the line and what is wrong with it.
pub fn from_csv(label: &str, bytes: &[u8]) -> Result<Vec<ComparisonRow>, ResultError> {
    let mut reader = csv::Reader::from_reader(bytes);
    let mut rows = Vec::new();
    for (at, line) in reader.deserialize::<Line>().enumerate() {
        let bad = |problem: String| ResultError::Line {
            label: label.to_owned(),
            line: at + 2,
            problem,
        };
        let line = line.map_err(|error| bad(format!("cannot be read: {error}")))?;
        rows.push(row(line).map_err(bad)?);
    }
    Ok(rows)
}

fn row(line: Line) -> Result<ComparisonRow, String> {
    let numbers = [line.low, line.high, line.level, line.p];
    let evidence = match (numbers, line.reason) {
        ([Some(low), Some(high), Some(level), Some(p)], None) => Ok(Evidence {
            interval: Interval { low, high, level },
            p,
            statistic: line.statistic,
            degrees_of_freedom: None,
        }),
        ([None, None, None, None], Some(reason)) => Err(CannotSay::Told(reason)),
        _ => {
            return Err(
                "has neither low, high, level and p nor a reason why there are none".to_owned(),
            );
        }
    };
    let stages: Digest = line
        .stages
        .parse()
        .map_err(|_| format!("has `{}` in column `stages`, which is no hash", line.stages))?;
    Ok(ComparisonRow {
        question: Question {
            train_domain: line.train_domain,
            test_domain: line.test_domain,
            k: line.k,
            one: System::new(&line.method, line.variant.as_deref()),
            other: System::new(&line.other_method, line.other_variant.as_deref()),
        },
        comparison: Comparison {
            test: line.test,
            n: [line.n; 2],
            effect: line.effect,
            evidence,
        },
        stages,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<ComparisonRow> {
        let row = |test, evidence| ComparisonRow {
            question: Question {
                train_domain: "movie".to_owned(),
                test_domain: "book".to_owned(),
                k: Some(64),
                one: System::new("tallrec", Some("AT+RT")),
                other: System::new(CHANCE, None),
            },
            comparison: Comparison {
                test,
                n: [24; 2],
                effect: Some(0.1),
                evidence,
            },
            stages: Digest::of_bytes(b"stages"),
        };
        vec![
            row(
                Test::BootstrapUsers,
                Ok(Evidence {
                    interval: Interval {
                        low: 0.1 + 0.2,
                        high: 1e-17,
                        level: 0.95,
                    },
                    p: 2e-4,
                    statistic: None,
                    degrees_of_freedom: None,
                }),
            ),
            row(Test::Delong, Err(CannotSay::OneClass)),
        ]
    }

    #[test]
    fn what_is_written_reads_back() {
        let text = to_csv(&rows());
        let read = from_csv("x", text.as_bytes()).expect("own text");
        assert_eq!(read[0], rows()[0]);
        assert_eq!(
            read[1].comparison.evidence,
            Err(CannotSay::Told(
                "only one class, so there is no AUC".to_owned()
            ))
        );
        assert_eq!(to_csv(&read), text);
    }

    #[test]
    fn a_line_that_says_nothing_is_refused_with_its_place() {
        let text = to_csv(&rows());
        let silent = text.replace("\"only one class, so there is no AUC\"", "");
        let error = from_csv("c.csv", silent.as_bytes()).expect_err("no reason");
        assert!(
            error
                .to_string()
                .starts_with("c.csv:3:1: the line has neither"),
            "{error}"
        );
        let error = from_csv("c.csv", text.replace("delong", "long").as_bytes());
        assert!(
            error
                .expect_err("no test")
                .to_string()
                .starts_with("c.csv:3:1")
        );
    }
}
