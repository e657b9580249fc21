//! A pipeline: stage templates, what is wanted, and where results are read from.

use serde_json::Value;

use super::source::Span;
use super::template::{Reference, Template};
use crate::base::Limits;

mod decode;

pub use decode::decode;

/// The keys of a pipeline file.
pub const KEYS: [&str; 5] = ["pipeline", "description", "stages", "targets", "results"];
/// The keys of a stage template.
pub const STAGE_KEYS: [&str; 7] = [
    "description",
    "when",
    "kind",
    "params",
    "inputs",
    "cases",
    "limits",
];
/// The keys of a case.
pub const CASE_KEYS: [&str; 4] = ["when", "kind", "params", "inputs"];
/// The keys of an input.
pub const INPUT_KEYS: [&str; 7] = [
    "stage", "output", "with", "over", "path", "files", "optional",
];
/// The keys of `results:`.
pub const RESULT_KEYS: [&str; 3] = ["metrics", "choices", "audits"];

/// A pipeline file.
#[derive(Debug, Clone, Default)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// Its stage templates in the order they were written.
    pub stages: Vec<StageTemplate>,
    /// Names of the templates that are wanted for every cell; empty: all that nothing uses.
    pub targets: Vec<(String, Span)>,
    /// Where result rows, choices and audits are read from.
    pub results: ResultSources,
}

/// Stage outputs that the result set and the report are made from.
#[derive(Debug, Clone, Default)]
pub struct ResultSources {
    /// Lists of metrics, one instance per cell.
    pub metrics: Vec<Source>,
    /// Choices of hyper-parameters.
    pub choices: Vec<Source>,
    /// Data audits.
    pub audits: Vec<Source>,
}

/// A stage that exists once per distinct value of what it refers to.
#[derive(Debug, Clone)]
pub struct StageTemplate {
    /// Its name.
    pub name: String,
    /// Where its name stands.
    pub span: Span,
    /// It exists only for cells this holds for.
    pub when: Condition,
    /// How often its stages are tried and how long they may take.
    pub limits: Limits,
    /// What it is; the first case whose condition holds.
    pub cases: Vec<Case>,
}

/// One form of a stage.
#[derive(Debug, Clone)]
pub struct Case {
    /// When it applies.
    pub when: Condition,
    /// The stage kind.
    pub kind: (String, Span),
    /// Its parameters, a mapping.
    pub params: Template,
    /// Where the parameters stand.
    pub params_span: Span,
    /// Its inputs.
    pub inputs: Vec<Input>,
}

/// Tests on references: each must have one of the values.
#[derive(Debug, Clone, Default)]
pub struct Condition {
    /// Reference and allowed values.
    pub tests: Vec<(Reference, Vec<Value>)>,
}

/// A named input with everything connected to it.
#[derive(Debug, Clone)]
pub struct Input {
    /// The kind's name for it.
    pub name: String,
    /// Where the name stands.
    pub span: Span,
    /// What is connected, in order.
    pub sources: Vec<Source>,
}

/// Where an input comes from.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where it was written.
    pub span: Span,
    /// Left out, without complaint, where its stage does not exist or its path has no value.
    pub optional: bool,
    /// What it is.
    pub from: SourceKind,
}

/// What an input can be connected to.
#[derive(Debug, Clone)]
pub enum SourceKind {
    /// An output of another stage.
    Stage {
        /// The template's name.
        stage: String,
        /// The output; without one, the only output or the one named like the input.
        output: Option<Template>,
        /// Values given to the template in place of axes.
        with: Vec<(String, Template)>,
        /// Axes to gather over.
        over: Over,
    },
    /// A file or folder of the user's.
    Path {
        /// The path.
        path: Template,
        /// For a folder, the files in it that count; empty: all.
        files: Vec<String>,
    },
}

/// Which axes an input gathers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Over {
    /// None: one artifact.
    Nothing,
    /// These.
    Axes(Vec<String>),
    /// The hyper-parameters of methods.
    Search,
    /// All: every cell of the grid.
    All,
}

impl ResultSources {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Source> {
        self.metrics.iter().chain(&self.choices).chain(&self.audits)
    }
}

impl Pipeline {
    /// Every reference of every template, conditions included.
    #[must_use]
    pub fn references(&self) -> Vec<&Reference> {
        let mut into = Vec::new();
        for source in self.results.all() {
            source_references(source, &mut into);
        }
        for stage in &self.stages {
            condition_references(&stage.when, &mut into);
            for case in &stage.cases {
                condition_references(&case.when, &mut into);
                case.params.references(&mut into);
                for source in case.inputs.iter().flat_map(|input| &input.sources) {
                    source_references(source, &mut into);
                }
            }
        }
        into
    }

    /// Names that users of stages give values to with `with:`.
    #[must_use]
    pub fn bound_names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        let inputs = self
            .stages
            .iter()
            .flat_map(|stage| &stage.cases)
            .flat_map(|case| &case.inputs)
            .flat_map(|input| &input.sources);
        for source in inputs.chain(self.results.all()) {
            if let SourceKind::Stage { with, .. } = &source.from {
                names.extend(with.iter().map(|(name, _)| name.as_str()));
            }
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Methods this pipeline brings itself: names that cases compare `method` with.
    #[must_use]
    pub fn methods(&self) -> Vec<String> {
        self.stages
            .iter()
            .flat_map(|stage| &stage.cases)
            .flat_map(|case| &case.when.tests)
            .filter(|(reference, _)| reference.written() == "method")
            .flat_map(|(_, values)| values.iter().filter_map(Value::as_str))
            .map(str::to_owned)
            .collect()
    }
}

fn condition_references<'t>(condition: &'t Condition, into: &mut Vec<&'t Reference>) {
    for (reference, _) in &condition.tests {
        into.push(reference);
    }
}

fn source_references<'t>(source: &'t Source, into: &mut Vec<&'t Reference>) {
    match &source.from {
        SourceKind::Stage { output, with, .. } => {
            if let Some(output) = output {
                output.references(into);
            }
            for (_, value) in with {
                value.references(into);
            }
        }
        SourceKind::Path { path, .. } => path.references(into),
    }
}
