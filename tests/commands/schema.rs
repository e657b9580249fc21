//! The JSON Schemas: as committed, sound, and true of every shipped file.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail where it stands"
)]

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::program::{Lab, repository};

fn printed(what: &str) -> String {
    Lab::empty().run_list(&["schema", what]).fine().out
}

fn parsed(what: &str) -> Value {
    serde_json::from_str(&printed(what)).expect("JSON")
}

#[test]
fn committed_schemas_are_what_the_program_prints() {
    for what in ["experiment", "pipeline"] {
        let path = format!("docs/schema/{what}.json");
        let committed = fs::read_to_string(repository().join(&path)).unwrap_or_default();
        assert!(
            committed == printed(what),
            "{path} is out of date; make it anew with\n  runner schema {what} > {path}"
        );
    }
}

#[test]
fn every_kind_of_list_is_json() {
    for what in ["stages", "methods", "fidelity"] {
        assert!(
            parsed(what).as_array().is_some_and(|list| !list.is_empty()),
            "{what}"
        );
    }
    let both = Lab::empty().run_list(&["schema"]).fine().json();
    assert_eq!(both["experiment"], parsed("experiment"));
}

#[test]
fn references_lead_somewhere() {
    fn walk(root: &Value, at: &Value, inside: bool) {
        match at {
            Value::Object(map) => {
                assert!(
                    !(inside && map.contains_key("$schema")),
                    "a schema in a schema"
                );
                for (key, value) in map {
                    if let ("$ref", Some(target)) = (key.as_str(), value.as_str()) {
                        let pointer = target.trim_start_matches('#');
                        assert!(root.pointer(pointer).is_some(), "{target} leads nowhere");
                    }
                    walk(root, value, true);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| walk(root, item, true)),
            _ => {}
        }
    }
    for what in ["experiment", "pipeline"] {
        let schema = parsed(what);
        walk(&schema, &schema, false);
    }
}

#[test]
fn shipped_files_fit_their_schemas() {
    for (what, folder) in [("experiment", "experiments"), ("pipeline", "pipelines")] {
        let schema = parsed(what);
        for entry in fs::read_dir(repository().join(folder)).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path
                .extension()
                .is_some_and(|extension| extension == "yaml")
            {
                let value = yaml(&path);
                let problems = problems(&schema, &schema, &value, "");
                assert!(problems.is_empty(), "{}: {problems:#?}", path.display());
            }
        }
    }
}

/// The checker below must be able to say no.
#[test]
fn what_does_not_fit_is_found() {
    let schema = parsed("experiment");
    for (value, place) in [
        (serde_json::json!({"pipeline": 3}), "/pipeline"),
        (serde_json::json!({"pipeline": "x", "sed": 1}), "/sed"),
        (serde_json::json!({}), "pipeline"),
        (
            serde_json::json!({"pipeline": "x", "fidelity": "papre"}),
            "/fidelity",
        ),
        (
            serde_json::json!({"pipeline": "x", "data": {"movie": {"source": "row"}}}),
            "/data/movie/source",
        ),
        (
            serde_json::json!({"pipeline": "x", "settings": {"gru4rec": {"loss": "mea"}}}),
            "/settings/gru4rec/loss",
        ),
    ] {
        let problems = problems(&schema, &schema, &value, "");
        assert!(
            problems.iter().any(|problem| problem.contains(place)),
            "{value}: {problems:?}"
        );
    }
}

fn yaml(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("a text");
    serde_saphyr::from_str(&text).expect("YAML")
}

/// The part of JSON Schema that these schemas use.
fn problems(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    let Some(map) = schema.as_object() else {
        return found;
    };
    for (key, rule) in map {
        match key.as_str() {
            "$ref" => {
                let target = rule.as_str().expect("a text").trim_start_matches('#');
                found.extend(problems(
                    root,
                    root.pointer(target).expect("there"),
                    value,
                    at,
                ));
            }
            "type" => {
                let fits = |name: &Value| match name.as_str() {
                    Some("object") => value.is_object(),
                    Some("array") => value.is_array(),
                    Some("string") => value.is_string(),
                    Some("number") => value.is_number(),
                    Some("integer") => value.is_i64() || value.is_u64(),
                    Some("boolean") => value.is_boolean(),
                    Some("null") => value.is_null(),
                    other => panic!("{other:?}"),
                };
                let names = rule
                    .as_array()
                    .cloned()
                    .unwrap_or_else(|| vec![rule.clone()]);
                if !names.iter().any(fits) {
                    found.push(format!("{at} is {value}, not {rule}"));
                }
            }
            "enum" if !rule.as_array().expect("a list").contains(value) => {
                found.push(format!("{at} is {value}, not one of {rule}"));
            }
            "const" if rule != value => found.push(format!("{at} is {value}, not {rule}")),
            "anyOf" | "oneOf" => {
                let rules = rule.as_array().expect("a list");
                if rules
                    .iter()
                    .all(|rule| !problems(root, rule, value, at).is_empty())
                {
                    found.push(format!("{at} is {value}, which fits nothing"));
                }
            }
            "required" => {
                for name in rule.as_array().expect("a list") {
                    let name = name.as_str().expect("a text");
                    if value.is_object() && value.get(name).is_none() {
                        found.push(format!("{at} lacks {name}"));
                    }
                }
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    found.extend(problems(root, rule, item, &format!("{at}/{index}")));
                }
            }
            "properties" => {
                for (name, inner) in value.as_object().into_iter().flatten() {
                    if let Some(rule) = rule.get(name) {
                        found.extend(problems(root, rule, inner, &format!("{at}/{name}")));
                    }
                }
            }
            "additionalProperties" => {
                let known = map.get("properties").and_then(Value::as_object);
                for (name, inner) in value.as_object().into_iter().flatten() {
                    if known.is_some_and(|known| known.contains_key(name)) {
                        continue;
                    }
                    if *rule == Value::Bool(false) {
                        found.push(format!("{at}/{name} is unknown"));
                    }
                    found.extend(problems(root, rule, inner, &format!("{at}/{name}")));
                }
            }
            _ => {}
        }
    }
    found
}
