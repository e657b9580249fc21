//! `report.json`: what a report says beside its numbers, so that it can be made again from its
//! folder alone, without store and experiment, and checked.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::ReportError;
use super::figure;
use super::input::{Choice, Missing, ReportInput};
use super::part::{Declared, Only};
use super::table;
use super::write::Selection;
use crate::base::bounded;
use crate::results::ResultSet;
use crate::results::comparison::{self, ComparisonRow};
use crate::results::provenance::Provenance;
use crate::statistics::Claims;

/// Name of the file.
pub const FILE: &str = "report.json";

/// A table or figure as the file names it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartRecord {
    name: String,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", rename = "where")]
    only: BTreeMap<String, Vec<String>>,
    asked: bool,
}

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportRecord {
    experiment: String,
    description: String,
    show_paper: bool,
    claims: Claims,
    tables: Vec<PartRecord>,
    figures: Vec<PartRecord>,
    guards: Vec<String>,
    results: String,
    missing: Vec<Missing>,
    choices: Vec<Choice>,
    audits: BTreeMap<String, Value>,
    fidelity: BTreeMap<String, String>,
    data: BTreeMap<String, String>,
    provenance: BTreeMap<String, String>,
}

fn parts<T>(
    declared: &[Declared<T>],
    kind: impl Fn(&'static T) -> &'static str,
) -> Vec<PartRecord> {
    declared
        .iter()
        .map(|one| PartRecord {
            name: one.name.clone(),
            kind: kind(one.of).to_owned(),
            title: one.title.clone(),
            only: one.only.0.clone(),
            asked: one.asked,
        })
        .collect()
}

impl PartRecord {
    fn declared<T>(&self, of: &'static T) -> Declared<T> {
        Declared {
            name: self.name.clone(),
            of,
            title: self.title.clone(),
            only: Only(self.only.clone()),
            asked: self.asked,
        }
    }
}

impl ReportRecord {
    /// What an input says beside its numbers.
    #[must_use]
    pub fn of(input: &ReportInput<'_>, selection: &Selection) -> Self {
        Self {
            experiment: input.experiment.clone(),
            description: input.description.clone(),
            show_paper: input.show_paper,
            claims: input.claims,
            tables: parts(&selection.tables, |table| table.name),
            figures: parts(&selection.figures, |figure| figure.name),
            guards: input.guards.clone(),
            results: input.results.digest().to_string(),
            missing: input.missing.clone(),
            choices: input.choices.clone(),
            audits: input.audits.clone(),
            fidelity: input.fidelity.clone(),
            data: input.data.clone(),
            provenance: input.provenance.clone(),
        }
    }

    /// Names of the files of tables and figures that the last report of a folder had; none if
    /// nobody can say.
    pub(super) fn files_in(folder: &Path) -> Vec<String> {
        let bytes = bounded::read(&folder.join(FILE), bounded::RECORDS).unwrap_or_default();
        let Ok(record) = serde_json::from_slice::<Self>(&bytes) else {
            return Vec::new();
        };
        let files = |parts: Vec<PartRecord>, ends: &[&str]| {
            parts
                .into_iter()
                // A name that no experiment could have is no reason to remove anything.
                .filter(|part| !part.name.contains(['/', '\\', '.']))
                .flat_map(|part| ends.iter().map(move |end| format!("{}.{end}", part.name)))
                .collect::<Vec<_>>()
        };
        let mut names = files(record.tables, &["md", "tex", "csv"]);
        names.extend(files(record.figures, &["png", "svg"]));
        names
    }

    /// The text of the file, ending in a newline.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Texts and JSON values, none of which can fail.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

/// Everything a folder of results holds, read back.
#[derive(Debug)]
pub struct Folder {
    record: ReportRecord,
    results: ResultSet,
    comparisons: Vec<ComparisonRow>,
    provenance: Option<Provenance>,
}

impl Folder {
    /// Reads a folder that a report was written to.
    ///
    /// # Errors
    /// [`ReportError::Unreadable`] with the file and what is wrong with it.
    pub fn read(folder: &Path) -> Result<Self, ReportError> {
        let wrong = |file: &str, message: String| ReportError::Unreadable {
            path: folder.join(file),
            message,
        };
        let bytes = |file: &str| match bounded::read(&folder.join(file), bounded::RECORDS) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(wrong(file, error.to_string())),
        };
        let needed = |file: &str| {
            bytes(file)?.ok_or_else(|| {
                let message = "it is not there; a folder of results has one since it was last \
                               written by `runner run`";
                wrong(file, message.to_owned())
            })
        };
        let record = serde_json::from_slice(&needed(FILE)?)
            .map_err(|error| wrong(FILE, error.to_string()))?;
        let results = ResultSet::from_csv("results.csv", &needed("results.csv")?)
            .map_err(|error| wrong("results.csv", error.to_string()))?;
        let comparisons = match bytes("comparisons.csv")? {
            Some(bytes) => comparison::from_csv("comparisons.csv", &bytes)
                .map_err(|error| wrong("comparisons.csv", error.to_string()))?,
            None => Vec::new(),
        };
        let provenance = match bytes("provenance.json")? {
            Some(bytes) => Some(
                Provenance::from_json("provenance.json", &bytes)
                    .map_err(|error| wrong("provenance.json", error.to_string()))?,
            ),
            None => None,
        };
        Ok(Self {
            record,
            results,
            comparisons,
            provenance,
        })
    }

    /// The input of the report, and its tables and figures.
    ///
    /// # Errors
    /// [`ReportError::Unknown`] for a table or figure that this program has not.
    pub fn input(&self) -> Result<(ReportInput<'_>, Selection), ReportError> {
        let record = &self.record;
        let mut input = ReportInput::new(&record.experiment, &self.results);
        input.description.clone_from(&record.description);
        input.show_paper = record.show_paper;
        input.claims = record.claims;
        input.guards.clone_from(&record.guards);
        if record.results != self.results.digest().to_string() {
            input.guards.push(
                "results.csv is not the one this report was made from: its rows may come from \
                 other data, fidelity keys or versions of the program"
                    .to_owned(),
            );
        }
        input.missing.clone_from(&record.missing);
        input.choices.clone_from(&record.choices);
        input.audits.clone_from(&record.audits);
        input.fidelity.clone_from(&record.fidelity);
        input.data.clone_from(&record.data);
        input.provenance.clone_from(&record.provenance);
        input.comparisons.clone_from(&self.comparisons);
        input.record.clone_from(&self.provenance);
        let mut selection = Selection::default();
        for part in &record.tables {
            selection
                .tables
                .push(part.declared(table::find(&part.kind)?));
        }
        for part in &record.figures {
            selection
                .figures
                .push(part.declared(figure::find(&part.kind)?));
        }
        Ok((input, selection))
    }
}
