//! YAML → [`Pipeline`].

use serde_json::Value;

use super::{
    CASE_KEYS, Case, Condition, INPUT_KEYS, Input, KEYS, Over, Pipeline, RESULT_KEYS,
    ResultSources, STAGE_KEYS, Source, SourceKind, StageTemplate,
};
use crate::base::Limits;
use crate::base::nearest::suggestion;
use crate::spec::limits;
use crate::spec::source::{Diagnostics, Span};
use crate::spec::template::Template;
use crate::spec::yaml::{Content, Node};

/// More stages than any pipeline needs.
const MOST_STAGES: usize = 128;

/// Reads a pipeline file.
pub fn decode(root: &Node, file_stem: &str, diagnostics: &mut Diagnostics) -> Pipeline {
    let mut pipeline = Pipeline {
        name: file_stem.to_owned(),
        ..Pipeline::default()
    };
    let Some(entries) = root.as_map() else {
        diagnostics.error_with_help(
            "spec::pipeline",
            root.span,
            format!(
                "a pipeline file holds a mapping, this holds {}",
                root.describe()
            ),
            "begin with `pipeline: NAME` and `stages:`",
        );
        return pipeline;
    };
    for entry in entries {
        match entry.key.as_str() {
            "pipeline" => {
                if let Some(name) = text(&entry.value, "a pipeline's name", diagnostics) {
                    name.clone_into(&mut pipeline.name);
                }
            }
            "description" => {
                text(&entry.value, "a description", diagnostics);
            }
            "stages" => pipeline.stages = stages(&entry.value, diagnostics),
            "targets" => {
                for item in entry
                    .value
                    .as_list()
                    .unwrap_or(std::slice::from_ref(&entry.value))
                {
                    if let Some(name) = text(item, "a target", diagnostics) {
                        pipeline.targets.push((name.to_owned(), item.span));
                    }
                }
            }
            "results" => pipeline.results = results(&entry.value, diagnostics),
            other => unknown_key(other, "a pipeline", &KEYS, entry.span, diagnostics),
        }
    }
    if pipeline.stages.is_empty() && diagnostics.is_empty() {
        diagnostics.error_with_help(
            "spec::pipeline",
            root.span,
            "this pipeline has no stages",
            "add `stages:` with at least one stage",
        );
    }
    pipeline
}

/// The text of a node that must be one.
fn text<'n>(node: &'n Node, what: &str, diagnostics: &mut Diagnostics) -> Option<&'n str> {
    if node.as_str().is_none() {
        diagnostics.error(
            "spec::pipeline",
            node.span,
            format!("{what} is a text, not {}", node.describe()),
        );
    }
    node.as_str()
}

fn unknown_key(key: &str, of: &str, allowed: &[&str], span: Span, diagnostics: &mut Diagnostics) {
    diagnostics.error_with_help(
        "spec::unknown_key",
        span,
        format!("`{key}` is not a key of {of}"),
        suggestion(key, allowed.iter().copied()),
    );
}

fn stages(node: &Node, diagnostics: &mut Diagnostics) -> Vec<StageTemplate> {
    let Some(entries) = node.as_map() else {
        diagnostics.error(
            "spec::pipeline",
            node.span,
            format!("stages are a mapping of names, not {}", node.describe()),
        );
        return Vec::new();
    };
    if let Some(entry) = entries.get(MOST_STAGES) {
        // Stages are evaluated one inside the other, as deep as their chain is long.
        diagnostics.error(
            "spec::pipeline",
            entry.span,
            format!("a pipeline has at most {MOST_STAGES} stages"),
        );
        return Vec::new();
    }
    entries
        .iter()
        .map(|entry| stage(&entry.key, entry.span, &entry.value, diagnostics))
        .collect()
}

fn stage(name: &str, span: Span, node: &Node, diagnostics: &mut Diagnostics) -> StageTemplate {
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        diagnostics.error_with_help(
            "spec::stage_name",
            span,
            format!("`{name}` cannot be the name of a stage"),
            "use letters, digits and `_`",
        );
    }
    // A stage that cannot be read still has a name that others may refer to.
    let mut template = StageTemplate {
        name: name.to_owned(),
        span,
        when: Condition::default(),
        limits: Limits::NONE,
        cases: Vec::new(),
    };
    let Some(entries) = node.as_map() else {
        diagnostics.error_with_help(
            "spec::stage",
            node.span,
            format!("stage `{name}` is {}", node.describe()),
            "write `kind:`, `params:` and `inputs:`, or `cases:`",
        );
        return template;
    };
    for entry in entries {
        if !STAGE_KEYS.contains(&entry.key.as_str()) {
            unknown_key(
                &entry.key,
                &format!("stage `{name}`"),
                &STAGE_KEYS,
                entry.span,
                diagnostics,
            );
        }
    }
    if let Some(when) = node.get("when") {
        template.when = condition(when, diagnostics);
    }
    if let Some(node) = node.get("limits") {
        template.limits = limits::decode(node, &format!("stage `{name}`"), diagnostics);
    }
    if let Some(cases) = node.get("cases") {
        for key in ["kind", "params", "inputs"] {
            if let Some(value) = node.get(key) {
                diagnostics.error_with_help(
                    "spec::stage",
                    value.span,
                    format!("stage `{name}` has both `cases` and `{key}`"),
                    "move it into every case that needs it",
                );
            }
        }
        for item in cases.as_list().unwrap_or_default() {
            for entry in item.as_map().unwrap_or_default() {
                if !CASE_KEYS.contains(&entry.key.as_str()) {
                    unknown_key(
                        &entry.key,
                        &format!("a case of `{name}`"),
                        &CASE_KEYS,
                        entry.span,
                        diagnostics,
                    );
                }
            }
            template
                .cases
                .extend(case(name, item.span, item, diagnostics));
        }
        if cases.as_list().is_none_or(<[Node]>::is_empty) {
            diagnostics.error(
                "spec::stage",
                cases.span,
                format!("the cases of `{name}` are {}, not a list", cases.describe()),
            );
        }
    } else {
        template
            .cases
            .extend(case(name, span, node, diagnostics).map(|case| Case {
                when: Condition::default(),
                ..case
            }));
    }
    template
}

fn case(name: &str, span: Span, node: &Node, diagnostics: &mut Diagnostics) -> Option<Case> {
    let kind = match node.get("kind").map(|kind| (kind, kind.as_str())) {
        Some((kind, Some(text))) => (text.to_owned(), kind.span),
        Some((kind, None)) => {
            diagnostics.error(
                "spec::stage",
                kind.span,
                format!("the kind of `{name}` is {}, not a name", kind.describe()),
            );
            return None;
        }
        None => {
            diagnostics.error_with_help(
                "spec::stage",
                span,
                format!("stage `{name}` has no kind"),
                "add `kind:`; `runner schema stages` lists all kinds with their parameters",
            );
            return None;
        }
    };
    let (params, params_span) = match node.get("params") {
        None => (Template::Map(Vec::new()), kind.1),
        Some(params) if params.is_null() => (Template::Map(Vec::new()), params.span),
        Some(params) => (Template::compile(params, diagnostics), params.span),
    };
    let mut inputs = Vec::new();
    if let Some(node) = node.get("inputs") {
        match node.as_map() {
            Some(entries) => {
                for entry in entries {
                    inputs.push(Input {
                        name: entry.key.clone(),
                        span: entry.span,
                        sources: sources(&entry.value, diagnostics),
                    });
                }
            }
            None => diagnostics.error_with_help(
                "spec::stage",
                node.span,
                format!("the inputs of `{name}` are {}", node.describe()),
                "write `inputs: {name: stage/output}`",
            ),
        }
    }
    Some(Case {
        when: node
            .get("when")
            .map(|when| condition(when, diagnostics))
            .unwrap_or_default(),
        kind,
        params,
        params_span,
        inputs,
    })
}

fn condition(node: &Node, diagnostics: &mut Diagnostics) -> Condition {
    let Some(entries) = node.as_map() else {
        diagnostics.error_with_help(
            "spec::when",
            node.span,
            format!("`when` is {}", node.describe()),
            "write `when: {method: gru4rec}` or `when: {method: [caser, sasrec]}`",
        );
        return Condition::default();
    };
    let tests = entries
        .iter()
        .filter_map(|entry| {
            let as_reference = Node::text(&format!("${{{}?}}", entry.key), entry.span);
            let Template::Whole(reference) = Template::compile(&as_reference, diagnostics) else {
                return None;
            };
            let values = match &entry.value.content {
                Content::List(items) => items.iter().map(Node::to_json).collect(),
                _ => vec![entry.value.to_json()],
            };
            Some((reference, values))
        })
        .collect();
    Condition { tests }
}

/// One source, or a list of them.
fn sources(node: &Node, diagnostics: &mut Diagnostics) -> Vec<Source> {
    match &node.content {
        Content::List(items) if items.is_empty() => {
            diagnostics.error_with_help(
                "spec::input",
                node.span,
                "an empty list connects nothing",
                "name a `stage/output`, or leave the input out",
            );
            Vec::new()
        }
        Content::List(items) => items
            .iter()
            .filter_map(|item| source(item, diagnostics))
            .collect(),
        _ => source(node, diagnostics).into_iter().collect(),
    }
}

fn source(node: &Node, diagnostics: &mut Diagnostics) -> Option<Source> {
    if let Some(text) = node.as_str() {
        let (stage, output) = match text.split_once('/') {
            Some((stage, output)) => (
                stage,
                Some(Template::compile(
                    &Node::text(output, node.span),
                    diagnostics,
                )),
            ),
            None => (text, None),
        };
        return Some(Source {
            span: node.span,
            optional: false,
            from: SourceKind::Stage {
                stage: stage.to_owned(),
                output,
                with: Vec::new(),
                over: Over::Nothing,
            },
        });
    }
    let Some(entries) = node.as_map() else {
        diagnostics.error_with_help(
            "spec::input",
            node.span,
            format!("{} is not an input", node.describe()),
            "write `stage/output`, {stage: …, output: …}, {path: …}, or a list of these",
        );
        return None;
    };
    for entry in entries {
        if !INPUT_KEYS.contains(&entry.key.as_str()) {
            unknown_key(&entry.key, "an input", &INPUT_KEYS, entry.span, diagnostics);
        }
    }
    let optional = match node.get("optional").map(|node| (node, node.to_json())) {
        None => false,
        Some((_, Value::Bool(optional))) => optional,
        Some((node, _)) => {
            diagnostics.error(
                "spec::input",
                node.span,
                format!("`optional` is true or false, not {}", node.describe()),
            );
            false
        }
    };
    if let Some(with) = node.get("with").filter(|with| with.as_map().is_none()) {
        diagnostics.error_with_help(
            "spec::input",
            with.span,
            format!("`with` is {}, not a mapping", with.describe()),
            "write `with: {name: value}` for the names the stage refers to",
        );
    }
    if let Some(files) = node.get("files").filter(|files| files.as_list().is_none()) {
        diagnostics.error_with_help(
            "spec::input",
            files.span,
            format!("`files` is {}, not a list", files.describe()),
            "write `files: [NAME, NAME]`",
        );
    }
    let from = match (node.get("stage"), node.get("path")) {
        (Some(stage), None) => SourceKind::Stage {
            stage: text(stage, "the stage of an input", diagnostics)?.to_owned(),
            output: node
                .get("output")
                .map(|output| Template::compile(output, diagnostics)),
            with: node
                .get("with")
                .and_then(Node::as_map)
                .unwrap_or_default()
                .iter()
                .map(|entry| {
                    (
                        entry.key.clone(),
                        Template::compile(&entry.value, diagnostics),
                    )
                })
                .collect(),
            over: node
                .get("over")
                .map_or(Over::Nothing, |over| decode_over(over, diagnostics)),
        },
        (None, Some(path)) => SourceKind::Path {
            path: Template::compile(path, diagnostics),
            files: node
                .get("files")
                .and_then(Node::as_list)
                .unwrap_or_default()
                .iter()
                .filter_map(|file| text(file, "the name of a file", diagnostics))
                .map(str::to_owned)
                .collect(),
        },
        _ => {
            diagnostics.error(
                "spec::input",
                node.span,
                "an input needs either `stage` or `path`",
            );
            return None;
        }
    };
    Some(Source {
        span: node.span,
        optional,
        from,
    })
}

fn decode_over(node: &Node, diagnostics: &mut Diagnostics) -> Over {
    match &node.content {
        Content::Scalar(Value::String(text)) if text == "all" => Over::All,
        Content::Scalar(Value::String(text)) if text == "search" => Over::Search,
        Content::Scalar(Value::String(text)) => Over::Axes(vec![text.clone()]),
        Content::List(items) => Over::Axes(
            items
                .iter()
                .filter_map(|item| item.as_str().map(str::to_owned))
                .collect(),
        ),
        _ => {
            diagnostics.error_with_help(
                "spec::over",
                node.span,
                format!("cannot gather over {}", node.describe()),
                "write `over: all`, `over: search`, or a list of axes",
            );
            Over::Nothing
        }
    }
}

fn results(node: &Node, diagnostics: &mut Diagnostics) -> ResultSources {
    let mut found = ResultSources::default();
    if node.as_map().is_none() && !node.is_null() {
        diagnostics.error_with_help(
            "spec::pipeline",
            node.span,
            format!("results are {}, not a mapping", node.describe()),
            "write for example `results: {metrics: evaluate/metrics}`",
        );
    }
    for entry in node.as_map().unwrap_or_default() {
        let into = match entry.key.as_str() {
            "metrics" => &mut found.metrics,
            "choices" => &mut found.choices,
            "audits" => &mut found.audits,
            other => {
                unknown_key(other, "results", &RESULT_KEYS, entry.span, diagnostics);
                continue;
            }
        };
        *into = sources(&entry.value, diagnostics);
    }
    found
}
