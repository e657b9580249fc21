//! What only the store knows of an experiment, for the page one can point at: the stages behind
//! every number, the courses of trainings, and the rows on which systems disagree.

use crate::base::StageKey;
use crate::results::Cell;

/// Everything `report.html` has beyond tables and figures.
#[derive(Debug, Clone, Default)]
pub struct Details {
    /// The stages behind the numbers.
    pub stages: Vec<StageFacts>,
    /// The courses of trainings.
    pub curves: Vec<Curve>,
    /// How many more there are, which a page would not bear.
    pub curves_left_out: usize,
    /// Rows on which systems disagree.
    pub disagreements: Vec<Disagreement>,
}

/// A stage that ran.
#[derive(Debug, Clone)]
pub struct StageFacts {
    /// Its id in the experiment.
    pub id: String,
    /// Its key.
    pub key: StageKey,
    /// What it does.
    pub kind: String,
    /// The version of that.
    pub version: u32,
    /// Parameters by dotted path, as JSON.
    pub parameters: Vec<(String, String)>,
    /// Inputs by name, with digests.
    pub inputs: Vec<(String, String)>,
    /// Program, commit, device, time.
    pub facts: Vec<(String, String)>,
    /// The end of what an external program printed; empty for all others.
    pub log: String,
    /// Positions of the stages its inputs come from.
    pub made_from: Vec<usize>,
}

/// The course of a training.
#[derive(Debug, Clone)]
pub struct Curve {
    /// What was trained: the group, then the seed.
    pub title: String,
    /// What seeds have in common.
    pub group: String,
    /// The x whose weights were kept.
    pub chosen_x: Option<f64>,
    /// What x is.
    pub x_label: &'static str,
    /// One or more panels over the same x.
    pub panels: Vec<CurvePanel>,
}

/// One quantity, or several of one unit, over x.
#[derive(Debug, Clone)]
pub struct CurvePanel {
    /// What y is.
    pub y_label: &'static str,
    /// The points, in the order of x.
    pub points: Vec<(f64, f64)>,
}

/// The rows of a test domain on which systems disagree most.
#[derive(Debug, Clone)]
pub struct Disagreement {
    /// Where, and about whom.
    pub title: String,
    /// The systems of the scores.
    pub systems: Vec<String>,
    /// The rows, the widest disagreement first.
    pub rows: Vec<DisagreementRow>,
}

/// A row on which systems disagree.
#[derive(Debug, Clone)]
pub struct DisagreementRow {
    /// Its position in the test split.
    pub row: u32,
    /// Whether the user liked the target.
    pub liked: bool,
    /// What a language model was asked.
    pub prompt: String,
    /// P(like) of each system, averaged over seeds.
    pub scores: Vec<Option<f64>>,
}

/// How a cell is named on the page.
#[must_use]
pub fn title_of(cell: &Cell) -> String {
    let style = crate::results::metric::style(&cell.metric);
    let train = if cell.train_domain == crate::results::UNTRAINED {
        "untrained"
    } else {
        &cell.train_domain
    };
    format!(
        "{}, {train} → {}, {}: {}, {} split",
        cell.system,
        cell.test_domain,
        super::words::shots(cell.k),
        style.heading(&cell.metric),
        cell.split
    )
}
