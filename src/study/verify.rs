//! Makes stages once more and says whether they come out the same.

use std::fmt;
use std::time::Instant;

use petgraph::graph::NodeIndex;

use super::collect::fresh_key;
use super::{Study, StudyError};
use crate::base::clock;
use crate::plan::Plan;
use crate::schedule::Recomputer;
use crate::stage::StageError;
use crate::stage::compare::{Distance, distance};

/// How far numbers may be apart on another processor before it is called a difference: a few
/// hundred roundings of single precision.
pub const TOLERANCE: f64 = 1e-4;

/// What came of making a stage once more.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The same bytes.
    Same,
    /// Numbers that differ by so much at most, on another processor than the first time.
    Close(f64),
    /// Something else, in words.
    Differs(String),
    /// It could not be made, or what it made is no longer there.
    CannotSay(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same => formatter.write_str("same bytes"),
            Self::Close(share) => write!(
                formatter,
                "numbers within {share:.1e}, on another processor"
            ),
            Self::Differs(what) => write!(formatter, "DIFFERS: {what}"),
            Self::CannotSay(why) => write!(formatter, "cannot say: {why}"),
        }
    }
}

/// A stage that was made once more.
#[derive(Debug, Clone)]
pub struct Verified {
    /// Its id.
    pub stage: String,
    /// How it came out.
    pub verdict: Verdict,
    /// Seconds it took this time.
    pub wall_s: f64,
}

/// Makes one stage once more and compares.
///
/// # Errors
/// If the store cannot be read, or the user asked to stop.
pub fn verify(
    study: &Study,
    plan: &Plan<'_>,
    recomputer: &mut Recomputer<'_>,
    node: NodeIndex,
) -> Result<Verified, StudyError> {
    let started = clock::now();
    let verdict = verdict(study, plan, recomputer, node)?;
    Ok(Verified {
        stage: study.graph.graph[node].id.clone(),
        verdict,
        wall_s: seconds(started),
    })
}

fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}

fn verdict(
    study: &Study,
    plan: &Plan<'_>,
    recomputer: &mut Recomputer<'_>,
    node: NodeIndex,
) -> Result<Verdict, StudyError> {
    let manifest = match fresh_key(plan, node) {
        Some(key) => study.store.manifest(key)?,
        None => None,
    };
    let Some(manifest) = manifest else {
        let why = "it was not made with what the experiment says now; `runner run` makes it";
        return Ok(Verdict::CannotSay(why.to_owned()));
    };
    let remade = match recomputer.make(node) {
        Ok(remade) => remade,
        Err(StageError::Cancelled) => return Err(StageError::Cancelled.into()),
        Err(error) => return Ok(Verdict::CannotSay(error.to_string())),
    };
    let here = crate::artifact::processor();
    let same_machine = manifest.environment.get("processor") == Some(&here);
    let mut furthest: Option<f64> = None;
    for (at, (name, path)) in remade.outputs.iter().enumerate() {
        let Some(record) = manifest.outputs.iter().find(|record| record.name == *name) else {
            return Ok(Verdict::Differs(format!(
                "`{name}` was not made the first time"
            )));
        };
        let measured =
            crate::artifact::tree::measure(path).map_err(|error| StudyError::Artifact {
                what: name.clone(),
                message: error.to_string(),
            })?;
        if measured.digest == record.digest {
            continue;
        }
        let Some(stored) = study.artifact(plan, node, at)? else {
            return Ok(Verdict::Differs(format!(
                "`{name}` has another digest; what it was the first time is no longer in the store"
            )));
        };
        let apart = distance(&stored, path).map_err(|error| StudyError::Artifact {
            what: name.clone(),
            message: error.to_string(),
        })?;
        match apart {
            Distance::Else(what) => return Ok(Verdict::Differs(format!("`{name}`: {what}"))),
            Distance::Same => furthest = furthest.or(Some(0.0)),
            Distance::Numbers(share) => furthest = Some(furthest.unwrap_or(0.0).max(share)),
        }
    }
    Ok(match furthest {
        None => Verdict::Same,
        Some(share) if !same_machine && share <= TOLERANCE => Verdict::Close(share),
        Some(share) => Verdict::Differs(format!(
            "numbers differ by up to {share:.1e}{}",
            if same_machine {
                " on the same kind of processor"
            } else {
                ", more than rounding on another processor explains"
            }
        )),
    })
}
