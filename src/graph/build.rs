//! Evaluates templates for cells.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use petgraph::algo::toposort;
use petgraph::graph::NodeIndex;
use serde_json::{Value, json};

use super::check;
use super::environment::{Environment, Reads, Values};
use super::node::{MetricSource, NodeInput, NodeSource, SourceReference, StageGraph, StageNode};
use super::rows::Rows;
use crate::base::nearest::suggestion;
use crate::base::{Digest, Lane, Limits, canonical};
use crate::spec::backbone::MISSING_HELP;
use crate::spec::pipeline::{Case, Condition, Over, Source, SourceKind, StageTemplate};
use crate::spec::template::{Template, Unresolved};
use crate::spec::{Cell, Diagnostics, Experiment, Grid, Span, SpecError, mistake};
use crate::stage::{Arity, ErasedStage};

/// More stages than anybody waits for; the largest grid of the paper has some thousands.
const MOST_NODES: usize = 250_000;

/// An instance of a template, or the knowledge that there is none for these values.
type Instance = Option<NodeIndex>;

/// Instances of one template by what was read to make them.
type Memory = Vec<(Reads, BTreeMap<Values, Instance>)>;

/// Cells by the values they have on some axes; the flag says whether only selected ones count.
type Groups = BTreeMap<(Vec<usize>, bool), BTreeMap<Vec<u32>, Vec<usize>>>;

struct Builder<'e> {
    experiment: &'e Experiment,
    grid: &'e Grid,
    kinds: &'e [&'static dyn ErasedStage],
    templates: BTreeMap<&'e str, (usize, &'e StageTemplate)>,
    memory: Vec<Memory>,
    interned: BTreeMap<Digest, NodeIndex>,
    groups: Groups,
    result: StageGraph,
    diagnostics: Diagnostics,
}

/// Builds the graph of an experiment: nodes for every built cell, targets for selected ones.
///
/// # Errors
/// What was `found` wrong already, with everything that is wrong with the pipeline for this grid.
pub fn build(
    experiment: &Experiment,
    kinds: &[&'static dyn ErasedStage],
    found: Diagnostics,
) -> Result<StageGraph, SpecError> {
    build_with(experiment, kinds, found, Builder::walk)
}

/// Builds only what one template needs, with values given in place of axes; the template is the
/// one target, if the grid has a cell for which it exists.
///
/// # Errors
/// Everything that is wrong with the pipeline for this template.
pub fn build_only(
    experiment: &Experiment,
    kinds: &[&'static dyn ErasedStage],
    template: &str,
    bound: &BTreeMap<String, Value>,
) -> Result<StageGraph, SpecError> {
    build_with(experiment, kinds, Diagnostics::default(), |builder| {
        let grid = builder.grid;
        let Some(cell) = grid.cells.first() else {
            return;
        };
        let environment = Environment {
            grid,
            cell,
            bound: bound.clone(),
            variables: &builder.experiment.variables,
        };
        if let Some(node) = builder.instance(template, &environment).0 {
            builder.want(node);
        }
    })
}

fn build_with<'e>(
    experiment: &'e Experiment,
    kinds: &'e [&'static dyn ErasedStage],
    found: Diagnostics,
    walk: impl FnOnce(&mut Builder<'e>),
) -> Result<StageGraph, SpecError> {
    let mut diagnostics = found;
    check::pipeline(experiment, kinds, &mut diagnostics);
    let structure_is_sound = diagnostics.leave_stages_alone();
    let mut builder = Builder {
        experiment,
        grid: &experiment.grid,
        kinds,
        templates: experiment
            .pipeline
            .stages
            .iter()
            .enumerate()
            .map(|(index, stage)| (stage.name.as_str(), (index, stage)))
            .collect(),
        memory: vec![Memory::new(); experiment.pipeline.stages.len()],
        interned: BTreeMap::new(),
        groups: BTreeMap::new(),
        result: StageGraph::default(),
        diagnostics,
    };
    if structure_is_sound {
        walk(&mut builder);
    }
    let Builder {
        mut result,
        mut diagnostics,
        ..
    } = builder;
    match toposort(&result.graph, None) {
        // A node is made after those it depends on, so this is such an order too, and the one in
        // which people wrote the grid.
        Ok(_) => result.order = result.graph.node_indices().collect(),
        Err(cycle) => diagnostics.push(
            "graph::cycle",
            None,
            format!("stage `{}` needs itself", result.graph[cycle.node_id()].id),
            None,
        ),
    }
    diagnostics.into_result(&experiment.sources)?;
    Ok(result)
}

impl<'e> Builder<'e> {
    fn walk(&mut self) {
        let experiment = self.experiment;
        let pipeline = &experiment.pipeline;
        let targets = self.target_templates();
        let results = &pipeline.results;
        let mut rows = Rows::default();
        for (position, cell) in self.grid.cells.iter().enumerate() {
            if !experiment.is_built(cell) {
                continue;
            }
            let selected = experiment.is_selected(cell);
            let environment = Environment {
                grid: self.grid,
                cell,
                bound: BTreeMap::new(),
                variables: &experiment.variables,
            };
            for (index, source) in results.metrics.iter().enumerate() {
                let found = self.result_source(source, &environment);
                rows.check(self.grid, index, position, &found, &mut self.diagnostics);
                for (node, output) in found {
                    self.result.metrics.push(MetricSource {
                        cell: position,
                        node,
                        output,
                    });
                    if selected {
                        self.want(node);
                    }
                }
            }
            for (sources, is_audit) in [(&results.choices, false), (&results.audits, true)] {
                for source in sources {
                    for found in self.result_source(source, &environment) {
                        let list = if is_audit {
                            &mut self.result.audits
                        } else {
                            &mut self.result.choices
                        };
                        if !list.contains(&found) {
                            list.push(found);
                        }
                        if selected {
                            self.want(found.0);
                        }
                    }
                }
            }
            if selected {
                for template in &targets {
                    if let Some(node) = self.instance(template, &environment).0 {
                        self.want(node);
                    }
                }
            }
            if !self.diagnostics.is_empty() && position > 0 && position % 64 == 0 {
                return;
            }
        }
        self.result.targets.sort();
        self.result.targets.dedup();
    }

    fn want(&mut self, node: NodeIndex) {
        if self.result.targets.last() != Some(&node) {
            self.result.targets.push(node);
        }
    }

    /// Templates wanted for every cell: those named, or all that no other template uses.
    fn target_templates(&self) -> Vec<String> {
        let pipeline = &self.experiment.pipeline;
        if !pipeline.targets.is_empty() {
            return pipeline
                .targets
                .iter()
                .map(|(name, _)| name.clone())
                .collect();
        }
        let used: Vec<&str> = pipeline
            .stages
            .iter()
            .flat_map(|stage| &stage.cases)
            .flat_map(|case| &case.inputs)
            .flat_map(|input| &input.sources)
            // Results are wanted through their own sources, with their own `with:`.
            .chain(pipeline.results.all())
            .filter_map(|source| match &source.from {
                SourceKind::Stage { stage, .. } => Some(stage.as_str()),
                SourceKind::Path { .. } => None,
            })
            .collect();
        pipeline
            .stages
            .iter()
            .map(|stage| stage.name.clone())
            .filter(|name| !used.contains(&name.as_str()))
            .collect()
    }

    fn result_source(
        &mut self,
        source: &Source,
        environment: &Environment<'e>,
    ) -> Vec<(NodeIndex, usize)> {
        let mut reads = Reads::default();
        self.source(source, "", environment, &mut reads)
            .into_iter()
            .filter_map(|source| match source.from {
                SourceReference::Output { node, output } => Some((node, output)),
                SourceReference::File { .. } => None,
            })
            .collect()
    }

    fn instance(&mut self, template: &str, environment: &Environment<'e>) -> (Instance, Reads) {
        let Some((index, template)) = self.templates.get(template).copied() else {
            return (None, Reads::default());
        };
        for (reads, known) in &self.memory[index] {
            // A remembered evaluation applies only if it saw every name that is bound now and
            // that it would look up; names it did not read cannot matter.
            let shadowed = reads
                .axes
                .iter()
                .any(|axis| environment.bound.contains_key(&self.grid.axes[*axis].name));
            let unbound = reads
                .bound
                .iter()
                .any(|name| !environment.bound.contains_key(name));
            if shadowed || unbound {
                continue;
            }
            if let Some(instance) = known.get(&environment.values(reads)) {
                return (*instance, reads.clone());
            }
        }
        let mut reads = Reads::default();
        let instance = self.evaluate(template, environment, &mut reads);
        let values = environment.values(&reads);
        let memory = &mut self.memory[index];
        match memory.iter_mut().find(|(known, _)| *known == reads) {
            Some((_, known)) => {
                known.insert(values, instance);
            }
            None => memory.push((reads.clone(), BTreeMap::from([(values, instance)]))),
        }
        (instance, reads)
    }

    fn evaluate(
        &mut self,
        template: &'e StageTemplate,
        environment: &Environment<'e>,
        reads: &mut Reads,
    ) -> Instance {
        if !self.holds(&template.when, environment, reads) {
            return None;
        }
        let mut chosen = None;
        for case in &template.cases {
            if self.holds(&case.when, environment, reads) {
                chosen = Some(case);
                break;
            }
        }
        let Some(case) = chosen else {
            self.diagnostics.error_with_help(
                "graph::no_case",
                template.span,
                format!(
                    "no case of stage `{}` applies to {}",
                    template.name,
                    self.grid.describe(environment.cell)
                ),
                "add a case without `when:` for the rest, or a `when:` on the stage itself",
            );
            return None;
        };
        let kind = self
            .kinds
            .iter()
            .copied()
            .find(|kind| kind.name() == case.kind.0)?;
        let params = self.params(case, kind, environment, reads)?;
        let mut inputs = Vec::with_capacity(case.inputs.len());
        for input in &case.inputs {
            let mut sources = Vec::new();
            for source in &input.sources {
                sources.extend(self.source(source, &input.name, environment, reads));
            }
            if sources.is_empty() {
                let needed = kind
                    .inputs()
                    .iter()
                    .find(|declared| declared.name == input.name)
                    .is_some_and(|declared| {
                        !matches!(declared.arity, Arity::Optional | Arity::AnyNumber)
                    });
                let all_optional = input.sources.iter().all(|source| source.optional);
                if needed || !all_optional {
                    if input.name == "backbone" && !self.experiment.has_backbone() {
                        if self.diagnostics.is_empty() {
                            self.diagnostics.error_with_help(
                                "graph::backbone",
                                (self.experiment.span_at(&["grid", "method"]))
                                    .unwrap_or(input.span),
                                "the experiment names no backbone",
                                MISSING_HELP,
                            );
                        }
                    } else if self.diagnostics.is_empty() {
                        self.diagnostics.error(
                            "graph::missing_input",
                            input.span,
                            format!(
                                "nothing is connected to input `{}` of `{}` for {}",
                                input.name,
                                template.name,
                                self.grid.describe(environment.cell)
                            ),
                        );
                    }
                    return None;
                }
                continue;
            }
            if sources.len() > 1 && takes_one(kind, &input.name) && input.sources.len() > 1 {
                self.diagnostics.error_with_help(
                    "graph::input",
                    input.span,
                    format!(
                        "input `{}` of `{}` takes one artifact, and {} are connected for {}",
                        input.name,
                        template.name,
                        sources.len(),
                        self.grid.describe(environment.cell)
                    ),
                    "of the alternatives in the list only one may exist for a cell",
                );
                return None;
            }
            inputs.push(NodeInput {
                name: input.name.clone(),
                sources,
            });
        }
        Some(self.intern(
            template,
            kind,
            params,
            inputs,
            &environment.label(reads),
            case,
        ))
    }

    /// The experiment's word for the template, the pipeline's, the experiment's for the kind, the
    /// kind's own: the first that says something holds.
    fn limits(&self, template: &StageTemplate, kind: &'static dyn ErasedStage) -> Limits {
        let said = |name: &str| {
            let mut all = self.experiment.limits.iter();
            all.find(|limits| limits.name == name)
                .map_or(Limits::NONE, |limits| limits.limits)
        };
        said(&template.name)
            .over(template.limits)
            .over(said(kind.name()))
            .over(kind.limits())
    }

    fn intern(
        &mut self,
        template: &StageTemplate,
        kind: &'static dyn ErasedStage,
        params: Value,
        inputs: Vec<NodeInput>,
        label: &str,
        case: &Case,
    ) -> NodeIndex {
        let digest = Digest::of_bytes(structure(kind, &params, &inputs).as_bytes());
        if let Some(node) = self.interned.get(&digest) {
            return *node;
        }
        if self.result.graph.node_count() == MOST_NODES {
            self.diagnostics.error_with_help(
                "graph::size",
                template.span,
                format!("the grid and this pipeline give more than {MOST_NODES} stages"),
                "is a range of the grid longer than it should be?",
            );
        }
        let (outputs, lane, threads) = kind.declare(&params).unwrap_or_else(|error| {
            self.diagnostics
                .error("graph::params", case.params_span, error.message);
            (Vec::new(), Lane::Cpu, 1)
        });
        let id = if label.is_empty() {
            template.name.clone()
        } else {
            format!("{}@{label}", template.name)
        };
        let node = self.result.graph.add_node(StageNode {
            id,
            template: template.name.clone(),
            kind,
            params,
            inputs,
            outputs,
            lane,
            threads,
            limits: self.limits(template, kind),
        });
        let makers: Vec<NodeIndex> = self.result.graph[node]
            .inputs
            .iter()
            .flat_map(|input| &input.sources)
            .filter_map(|source| match source.from {
                SourceReference::Output { node, .. } => Some(node),
                SourceReference::File { .. } => None,
            })
            .collect();
        let mut seen = BTreeSet::new();
        for maker in makers {
            if seen.insert(maker) {
                self.result.graph.add_edge(maker, node, ());
            }
        }
        self.interned.insert(digest, node);
        node
    }

    fn holds(
        &mut self,
        condition: &Condition,
        environment: &Environment<'e>,
        reads: &mut Reads,
    ) -> bool {
        for (reference, values) in &condition.tests {
            let template = Template::Whole(reference.clone());
            let value = match template.resolve(&mut environment.reader(reads)) {
                Ok(value) => value.unwrap_or(Value::Null),
                Err(unresolved) => {
                    self.unresolved(&unresolved);
                    return false;
                }
            };
            let same = |wanted: &Value| {
                *wanted == value
                    || matches!((wanted.as_f64(), value.as_f64()), (Some(a), Some(b)) if a.total_cmp(&b).is_eq())
            };
            if !values.iter().any(same) {
                return false;
            }
        }
        true
    }

    fn params(
        &mut self,
        case: &Case,
        kind: &'static dyn ErasedStage,
        environment: &Environment<'e>,
        reads: &mut Reads,
    ) -> Option<Value> {
        let mut params = match case.params.resolve(&mut environment.reader(reads)) {
            Ok(params) => params.unwrap_or_else(|| json!({})),
            Err(unresolved) => {
                self.unresolved(&unresolved);
                return None;
            }
        };
        // A wrong parameter is reported and taken out, so that the next one is found as well.
        let mut removed: Vec<String> = Vec::new();
        for _ in 0..16 {
            let error = match kind.complete(&params) {
                Ok(completed) => return removed.is_empty().then_some(completed),
                Err(error) => error,
            };
            let owner = format!("kind `{}`", kind.name());
            let mistake = mistake::explain(&owner, &error.path, &error.message);
            // Of one that was taken out, it is known already that it is wrong.
            if mistake.missing.is_none_or(|name| !removed.contains(&name)) {
                let span = self.param_span(case, &error.path, mistake.is_key, environment);
                self.diagnostics
                    .push("graph::params", Some(span), mistake.message, mistake.help);
            }
            if !remove(&mut params, &error.path) {
                return None;
            }
            removed.push(error.path);
        }
        None
    }

    /// Where a parameter's value was written: in the pipeline, or behind a reference in the
    /// experiment.
    fn param_span(
        &self,
        case: &Case,
        path: &str,
        is_key: bool,
        environment: &Environment<'e>,
    ) -> Span {
        // A hyper-parameter of the grid stands over the settings.
        let name = path.rsplit('.').next().unwrap_or_default();
        if let Some(axis) = (self.grid.axes.iter()).find(|axis| axis.searched && axis.name == name)
        {
            return axis.span;
        }
        let mut at = &case.params;
        let mut span = case.params_span;
        let mut keys = path.split('.').peekable();
        while let Some(key) = keys.peek().copied() {
            match at {
                Template::Map(entries) => match entries.iter().find(|(name, ..)| name == key) {
                    Some((_, key_span, value)) => {
                        span = *key_span;
                        at = value;
                        keys.next();
                    }
                    None => return span,
                },
                Template::Whole(reference) => {
                    let mut reads = Reads::default();
                    let resolved = crate::spec::template::resolve_parts(
                        &reference.path,
                        &mut environment.reader(&mut reads),
                    );
                    let rest: Vec<&str> = keys.collect();
                    return match resolved {
                        Ok(resolved) => {
                            let all: Vec<&str> = resolved.split('.').chain(rest).collect();
                            self.experiment.span_at(&all).unwrap_or(reference.span)
                        }
                        Err(_) => reference.span,
                    };
                }
                _ => return span,
            }
        }
        if let (Template::Whole(reference), false) = (at, is_key) {
            return self
                .experiment
                .span_at(&reference.written().split('.').collect::<Vec<_>>())
                .unwrap_or(reference.span);
        }
        span
    }

    fn unresolved(&mut self, unresolved: &Unresolved) {
        let mut names: Vec<String> = self
            .grid
            .axes
            .iter()
            .map(|axis| axis.name.clone())
            .collect();
        names.extend(self.experiment.variable_names());
        self.diagnostics.error_with_help(
            "graph::reference",
            unresolved.span,
            format!("`${{{}}}` has no value", unresolved.path),
            match crate::base::nearest::nearest(&unresolved.path, names.iter().map(String::as_str))
            {
                Some(name) => format!("did you mean `${{{name}}}`?"),
                None => format!(
                    "add the axis `{0}` to the grid, define it under `variables:`, or write \
                     `${{{0}?}}` if it may be missing",
                    unresolved.path
                ),
            },
        );
    }

    fn source(
        &mut self,
        source: &Source,
        input: &str,
        environment: &Environment<'e>,
        reads: &mut Reads,
    ) -> Vec<NodeSource> {
        match &source.from {
            SourceKind::Path { path, files } => {
                match path.resolve(&mut environment.reader(reads)) {
                    Ok(Some(Value::String(path))) => vec![NodeSource {
                        axes: BTreeMap::new(),
                        from: SourceReference::File {
                            path,
                            files: files.clone(),
                        },
                    }],
                    Ok(None) => Vec::new(),
                    Ok(Some(other)) => {
                        self.diagnostics.error(
                            "graph::path",
                            source.span,
                            format!("`{other}` is not a path"),
                        );
                        Vec::new()
                    }
                    Err(_) if source.optional => Vec::new(),
                    Err(unresolved) => {
                        self.unresolved(&unresolved);
                        Vec::new()
                    }
                }
            }
            SourceKind::Stage {
                stage,
                output,
                with,
                over,
            } => {
                let output = match output {
                    None => None,
                    Some(output) => match output.resolve(&mut environment.reader(reads)) {
                        Ok(Some(Value::String(name))) => Some(name),
                        Ok(_) => None,
                        Err(unresolved) => {
                            self.unresolved(&unresolved);
                            return Vec::new();
                        }
                    },
                };
                let mut inner = environment.clone();
                for (name, value) in with {
                    match value.resolve(&mut environment.reader(reads)) {
                        Ok(Some(value)) => {
                            inner.bound.insert(name.clone(), value);
                        }
                        Ok(None) => {}
                        Err(unresolved) => {
                            self.unresolved(&unresolved);
                            return Vec::new();
                        }
                    }
                }
                let (first, mut inner_reads) = self.instance(stage, &inner);
                for (name, _) in with {
                    inner_reads.bound.remove(name);
                }
                let mut found = Vec::new();
                match self.gathered_axes(over) {
                    None => {
                        reads.extend(&inner_reads);
                        if first.is_none() && !source.optional && self.diagnostics.is_empty() {
                            self.diagnostics.error_with_help(
                                "graph::no_stage",
                                source.span,
                                format!(
                                    "stage `{stage}` does not exist for {}",
                                    self.grid.describe(environment.cell)
                                ),
                                "its `when:` excludes this cell; add `optional: true` here if it \
                                 may be missing",
                            );
                        }
                        found.extend(first.map(|node| (node, BTreeMap::new())));
                    }
                    Some(over_axes) => {
                        let outer: Vec<usize> = inner_reads
                            .axes
                            .iter()
                            .copied()
                            .filter(|axis| !over_axes.contains(axis))
                            .collect();
                        let everything = *over == Over::All;
                        let outer = if everything { Vec::new() } else { outer };
                        reads.axes.extend(&outer);
                        reads.bound.extend(inner_reads.bound.iter().cloned());
                        for cell in self.group(&outer, everything, environment.cell) {
                            let mut member = inner.clone();
                            member.cell = &self.grid.cells[cell];
                            let (node, member_reads) = self.instance(stage, &member);
                            let Some(node) = node else { continue };
                            let axes: BTreeMap<String, String> = over_axes
                                .iter()
                                .filter(|axis| member_reads.axes.contains(axis))
                                .filter_map(|axis| {
                                    let value = self.grid.value(member.cell, *axis)?;
                                    Some((self.grid.axes[*axis].name.clone(), value.to_string()))
                                })
                                .collect();
                            found.push((node, axes));
                        }
                        let mut seen = BTreeSet::new();
                        found.retain(|(node, _)| seen.insert(*node));
                    }
                }
                found
                    .into_iter()
                    .filter_map(|(node, axes)| {
                        let output = self.output(node, output.as_deref(), input, source)?;
                        Some(NodeSource {
                            axes,
                            from: SourceReference::Output { node, output },
                        })
                    })
                    .collect()
            }
        }
    }

    fn gathered_axes(&self, over: &Over) -> Option<Vec<usize>> {
        let all = || 0..self.grid.axes.len();
        match over {
            Over::Nothing => None,
            Over::All => Some(all().collect()),
            Over::Search => Some(
                all()
                    .filter(|axis| self.grid.axes[*axis].searched)
                    .collect(),
            ),
            Over::Axes(names) => Some(
                all()
                    .filter(|axis| names.contains(&self.grid.axes[*axis].name))
                    .collect(),
            ),
        }
    }

    /// Cells that agree with `cell` on the given axes. Gathering over everything takes what
    /// `--only` picks; other gathers take all, so that a search is complete for any selection.
    fn group(&mut self, axes: &[usize], only_selected: bool, cell: &Cell) -> Vec<usize> {
        let experiment = self.experiment;
        let grid = self.grid;
        let project =
            |cell: &Cell| -> Vec<u32> { axes.iter().map(|axis| cell.positions()[*axis]).collect() };
        let groups = self
            .groups
            .entry((axes.to_vec(), only_selected))
            .or_insert_with(|| {
                let mut groups: BTreeMap<Vec<u32>, Vec<usize>> = BTreeMap::new();
                for (position, cell) in grid.cells.iter().enumerate() {
                    let wanted = if only_selected {
                        experiment.is_selected(cell)
                    } else {
                        experiment.is_built(cell)
                    };
                    if wanted {
                        groups.entry(project(cell)).or_default().push(position);
                    }
                }
                groups
            });
        groups.get(&project(cell)).cloned().unwrap_or_default()
    }

    fn output(
        &mut self,
        node: NodeIndex,
        wanted: Option<&str>,
        input: &str,
        source: &Source,
    ) -> Option<usize> {
        let stage = &self.result.graph[node];
        let named = |name: &str| stage.outputs.iter().position(|output| output.name == name);
        let found = match wanted {
            Some(name) => named(name),
            None if stage.outputs.len() == 1 => Some(0),
            None => named(input),
        };
        if found.is_none() {
            let names: Vec<String> = stage
                .outputs
                .iter()
                .map(|output| output.name.clone())
                .collect();
            let (message, help) = match wanted {
                Some(name) => (
                    format!("stage `{}` has no output `{name}`", stage.template),
                    suggestion(name, names.iter().map(String::as_str)),
                ),
                None => (
                    format!(
                        "stage `{}` has several outputs: {}",
                        stage.template,
                        names.join(", ")
                    ),
                    format!(
                        "say which: `{}/{}`",
                        stage.template,
                        names.first().map_or("", String::as_str)
                    ),
                ),
            };
            self.diagnostics
                .error_with_help("graph::output", source.span, message, help);
        }
        found
    }
}

/// Whether an input takes no more than one artifact.
fn takes_one(kind: &dyn ErasedStage, input: &str) -> bool {
    kind.inputs()
        .iter()
        .find(|declared| declared.name == input)
        .is_some_and(|declared| matches!(declared.arity, Arity::One | Arity::Optional))
}

/// A text that two instances share if and only if they are the same stage: same kind, parameters
/// and inputs.
fn structure(kind: &dyn ErasedStage, params: &Value, inputs: &[NodeInput]) -> String {
    let mut text = String::with_capacity(256);
    text.push_str(kind.name());
    text.push(' ');
    canonical::write(params, &mut text);
    for input in inputs {
        text.push('\n');
        canonical::push_string(&input.name, &mut text);
        for source in &input.sources {
            text.push(';');
            for (axis, value) in &source.axes {
                canonical::push_string(axis, &mut text);
                canonical::push_string(value, &mut text);
            }
            match &source.from {
                SourceReference::Output { node, output } => {
                    // Writing to a text cannot fail.
                    let _ = write!(text, " {} {output}", node.index());
                }
                SourceReference::File { path, files } => {
                    text.push_str(" file ");
                    canonical::push_string(path, &mut text);
                    for file in files {
                        canonical::push_string(file, &mut text);
                    }
                }
            }
        }
    }
    text
}

/// Takes a parameter out; `false` if there is none at that path.
fn remove(params: &mut Value, path: &str) -> bool {
    let mut keys: Vec<&str> = path.split('.').collect();
    let Some(last) = keys.pop().filter(|last| !last.is_empty()) else {
        return false;
    };
    let mut at = params;
    for key in keys {
        match at.get_mut(key) {
            Some(next) => at = next,
            None => return false,
        }
    }
    at.as_object_mut()
        .is_some_and(|map| map.shift_remove(last).is_some())
}
