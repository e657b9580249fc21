//! What a result set was made from, `provenance.json`: enough to say why two sets may differ.
//!
//! It stands beside `results.csv` and is committed with it, so that a diff needs neither the store
//! nor the experiment of either side. One parameter a line, sorted. Of a parameter that differs
//! between the instances of a stage (K, a seed) all values are listed. Nothing of a machine or a
//! time is in it: the same inputs give the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::ResultError;

/// What a result set was made from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Name and version of the program.
    pub program: String,
    /// Name of the pipeline.
    pub pipeline: String,
    /// Every fidelity key with its value.
    pub fidelity: BTreeMap<String, String>,
    /// Digests of the samples and of the user's other files, by name.
    pub data: BTreeMap<String, String>,
    /// The stages, by template, kind and method.
    pub stages: BTreeMap<String, StageRecord>,
}

/// What all instances of a stage template have for parameters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageRecord {
    /// Version of the stage kind, raised when the program makes other bytes from the same input.
    pub version: u32,
    /// Parameters after defaults by dotted path, as JSON; where instances differ, each value once,
    /// in order, with commas between.
    pub parameters: BTreeMap<String, String>,
}

/// Something of one provenance that is otherwise in another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// What it is: `fidelity loss.on`, `train (rec_tune): lora.rank`.
    pub what: String,
    /// What it was; none if it was not there.
    pub old: Option<String>,
    /// What it is now; none if it is not there.
    pub new: Option<String>,
}

impl StageRecord {
    /// What the parameters of several instances have in common, and where they differ.
    #[must_use]
    pub fn of<'v>(version: u32, instances: impl IntoIterator<Item = &'v Value>) -> Self {
        let mut values: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
        for instance in instances {
            walk("", instance, &mut values);
        }
        let parameters = values.into_iter().map(|(path, mut values)| {
            values.sort_by(|one, two| match (one.as_f64(), two.as_f64()) {
                (Some(one), Some(two)) => one.total_cmp(&two),
                _ => one.to_string().cmp(&two.to_string()),
            });
            let values: Vec<String> = values.into_iter().map(Value::to_string).collect();
            (path, values.join(", "))
        });
        Self {
            version,
            parameters: parameters.collect(),
        }
    }
}

fn walk<'v>(path: &str, value: &'v Value, values: &mut BTreeMap<String, Vec<&'v Value>>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, inner) in map {
                let dot = if path.is_empty() { "" } else { "." };
                walk(&format!("{path}{dot}{name}"), inner, values);
            }
        }
        value => {
            let known = values.entry(path.to_owned()).or_default();
            if !known.contains(&value) {
                known.push(value);
            }
        }
    }
}

impl Provenance {
    /// The text of `provenance.json`, ending in a newline.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Texts and JSON values, none of which can fail.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Reads the bytes of a `provenance.json`; `label` is how errors name the source.
    ///
    /// # Errors
    /// [`ResultError::Json`] with line and column.
    pub fn from_json(label: &str, bytes: &[u8]) -> Result<Self, ResultError> {
        serde_json::from_slice(bytes).map_err(|error| ResultError::Json {
            label: label.to_owned(),
            problem: error.to_string(),
        })
    }

    /// Every fact by name, as text.
    fn facts(&self) -> BTreeMap<String, String> {
        let mut facts = BTreeMap::from([
            ("program".to_owned(), self.program.clone()),
            ("pipeline".to_owned(), self.pipeline.clone()),
        ]);
        for (key, value) in &self.fidelity {
            facts.insert(format!("fidelity {key}"), value.clone());
        }
        for (name, digest) in &self.data {
            facts.insert(format!("data {name}"), digest.clone());
        }
        for (stage, record) in &self.stages {
            facts.insert(
                format!("{stage}: version of the kind"),
                record.version.to_string(),
            );
            for (path, values) in &record.parameters {
                facts.insert(format!("{stage}: {path}"), values.clone());
            }
        }
        facts
    }

    /// What differs, by name.
    #[must_use]
    pub fn changes(&self, new: &Self) -> Vec<Change> {
        let (old, new) = (self.facts(), new.facts());
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        names
            .into_iter()
            .filter(|name| old.get(*name) != new.get(*name))
            .map(|name| Change {
                what: name.clone(),
                old: old.get(name).cloned(),
                new: new.get(name).cloned(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(rank: u64) -> Provenance {
        let instances =
            [10, 2, 2].map(|seed| json!({"lora": {"rank": rank}, "seed": seed, "none": {}}));
        let stage = StageRecord::of(2, &instances);
        Provenance {
            program: "runner 0.1.0".to_owned(),
            stages: BTreeMap::from([("train (rec_tune)".to_owned(), stage)]),
            ..Provenance::default()
        }
    }

    #[test]
    fn values_of_instances_are_listed_and_a_change_is_named() {
        let (old, new) = (record(8), record(16));
        let parameters = &old.stages["train (rec_tune)"].parameters;
        assert_eq!(parameters["seed"], "2, 10");
        assert_eq!(parameters["none"], "{}");
        assert_eq!(old.changes(&old), []);
        let changes = old.changes(&new);
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].what, "train (rec_tune): lora.rank");
        assert_eq!(changes[0].old.as_deref(), Some("8"));
        assert_eq!(
            Provenance::from_json("x", old.to_json().as_bytes()),
            Ok(old)
        );
    }
}
