//! Everything a report is made of.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::results::ResultSet;
use crate::results::comparison::ComparisonRow;
use crate::results::provenance::Provenance;
use crate::statistics::Claims;

/// Everything a report is made of. Two equal inputs give the same bytes.
#[derive(Debug, Clone)]
pub struct ReportInput<'a> {
    /// Name of the experiment; rows of other experiments in the set are left aside.
    pub experiment: String,
    /// Name of the table or figure that is being made, as its files are called; empty for the page.
    pub part: String,
    /// A title that the experiment gives it.
    pub title: Option<String>,
    /// What the experiment is about, as its author wrote it.
    pub description: String,
    /// The rows.
    pub results: &'a ResultSet,
    /// What was asked for and has no result, and why.
    pub missing: Vec<Missing>,
    /// What tests over users and rows say, for the questions of
    /// [`evidence::questions`](super::evidence::questions).
    pub comparisons: Vec<ComparisonRow>,
    /// What makes the rows no one set: several programs, commits or devices, rows added by hand.
    pub guards: Vec<String>,
    /// How claims are tested.
    pub claims: Claims,
    /// Whether the paper's numbers stand beside ours: only where the data are the paper's.
    pub show_paper: bool,
    /// The data audit of each domain: `findings` as `[{severity, text}]`, and any numbers.
    pub audits: BTreeMap<String, Value>,
    /// What searches over hyper-parameters chose.
    pub choices: Vec<Choice>,
    /// The fidelity keys in force.
    pub fidelity: BTreeMap<String, String>,
    /// The digests of the data the results come from, by name.
    pub data: BTreeMap<String, String>,
    /// What the results were made from, for `provenance.json`.
    pub record: Option<Provenance>,
    /// Anything else that says where the results come from: program version, model, device class.
    pub provenance: BTreeMap<String, String>,
}

impl<'a> ReportInput<'a> {
    /// An input with nothing but rows, beside the paper's numbers.
    #[must_use]
    pub fn new(experiment: &str, results: &'a ResultSet) -> Self {
        Self {
            experiment: experiment.to_owned(),
            part: String::new(),
            title: None,
            description: String::new(),
            results,
            missing: Vec::new(),
            comparisons: Vec::new(),
            guards: Vec::new(),
            claims: Claims::default(),
            show_paper: true,
            audits: BTreeMap::new(),
            choices: Vec::new(),
            fidelity: BTreeMap::new(),
            data: BTreeMap::new(),
            record: None,
            provenance: BTreeMap::new(),
        }
    }
}

/// Something that was asked for and has no result.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Missing {
    /// Why there is none.
    pub reason: MissingReason,
    /// The name of a method (which then gets an empty row in the tables), or any other words.
    pub what: String,
    /// More about the reason, such as the message of a failure; may be empty.
    pub detail: String,
}

impl Missing {
    /// Something missing, without more about the reason.
    #[must_use]
    pub fn new(what: &str, reason: MissingReason) -> Self {
        Self {
            reason,
            what: what.to_owned(),
            detail: String::new(),
        }
    }
}

/// Why something has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingReason {
    /// The pipeline has no stages for it.
    NotBuilt,
    /// It was tried and failed.
    Failed,
    /// It was not tried.
    NotRun,
}

impl fmt::Display for MissingReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotBuilt => "the pipeline has no stages for it",
            Self::Failed => "failed",
            Self::NotRun => "not run",
        })
    }
}

/// What a search over hyper-parameters chose for one case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// Name of the method, as in the `method` column.
    pub method: String,
    /// The case: `movie, K = 16, seed 0`.
    pub case: String,
    /// The choice: `weight_decay = 1e-5`.
    pub chosen: String,
    /// How it came out ahead: `validation AUC 0.531, next 0.529`; may be empty.
    pub because: String,
}
