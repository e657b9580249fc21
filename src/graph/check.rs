//! Checks of a pipeline that need no cell: names of stages, kinds and inputs, cycles.

use std::collections::BTreeMap;

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::base::nearest::{nearest, suggestion};
use crate::spec::grid::STANDARD_AXES;
use crate::spec::pipeline::{Case, Condition, Over, Pipeline, Source, SourceKind};
use crate::spec::template::Part;
use crate::spec::{Diagnostics, Experiment, Grid, Span};
use crate::stage::{Arity, ErasedStage};

/// Checks what can be checked before the grid is walked.
pub(super) fn pipeline(
    experiment: &Experiment,
    kinds: &[&'static dyn ErasedStage],
    diagnostics: &mut Diagnostics,
) {
    let (pipeline, grid) = (&experiment.pipeline, &experiment.grid);
    let names: Vec<&str> = pipeline
        .stages
        .iter()
        .map(|stage| stage.name.as_str())
        .collect();
    for (name, span) in &pipeline.targets {
        unknown_stage(name, *span, &names, diagnostics);
    }
    for source in pipeline.results.all() {
        check_source(source, grid, &names, diagnostics);
    }
    for limits in &experiment.limits {
        let is_kind = kinds.iter().any(|kind| kind.name() == limits.name);
        if !is_kind && !names.contains(&limits.name.as_str()) {
            let known = names.iter().copied();
            let known: Vec<&str> = known.chain(kinds.iter().map(|kind| kind.name())).collect();
            diagnostics.error_with_help(
                "spec::limits",
                limits.span,
                format!(
                    "`{}` is neither a stage of the pipeline nor a kind",
                    limits.name
                ),
                suggestion(&limits.name, known),
            );
        }
    }
    let bound = pipeline.bound_names();
    for stage in &pipeline.stages {
        check_condition(&stage.when, experiment, &bound, diagnostics);
        for case in &stage.cases {
            check_condition(&case.when, experiment, &bound, diagnostics);
            check_case(case, kinds, diagnostics);
            for source in case.inputs.iter().flat_map(|input| &input.sources) {
                check_source(source, grid, &names, diagnostics);
            }
        }
    }
    cycles(pipeline, diagnostics);
}

/// A condition on a name that nothing can ever give a value would silently never hold.
fn check_condition(
    condition: &Condition,
    experiment: &Experiment,
    bound: &[&str],
    diagnostics: &mut Diagnostics,
) {
    for (reference, _) in &condition.tests {
        if reference
            .path
            .iter()
            .any(|part| matches!(part, Part::Reference(_)))
        {
            continue;
        }
        let name = reference.written();
        let variable = format!("/{}", name.replace('.', "/"));
        if experiment.grid.axis(&name).is_some()
            || STANDARD_AXES.contains(&name.as_str())
            || bound.contains(&name.as_str())
            || experiment.variables.pointer(&variable).is_some()
        {
            continue;
        }
        let variables = experiment.variable_names();
        let axes = experiment.grid.axes.iter().map(|axis| axis.name.as_str());
        let candidates: Vec<&str> = axes
            .chain(STANDARD_AXES)
            .chain(bound.iter().copied())
            .chain(variables.iter().map(String::as_str))
            .collect();
        diagnostics.error_with_help(
            "graph::condition",
            reference.span,
            format!("`{name}` is neither an axis nor a variable, so this never holds"),
            match nearest(&name, candidates) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add it to the grid, or to `variables:` (`{name}: …`)"),
            },
        );
    }
}

fn unknown_stage(name: &str, span: Span, names: &[&str], diagnostics: &mut Diagnostics) {
    if !names.contains(&name) {
        diagnostics.error_with_help(
            "graph::unknown_stage",
            span,
            format!("the pipeline has no stage `{name}`"),
            suggestion(name, names.iter().copied()),
        );
    }
}

fn check_source(source: &Source, grid: &Grid, names: &[&str], diagnostics: &mut Diagnostics) {
    let SourceKind::Stage { stage, over, .. } = &source.from else {
        return;
    };
    unknown_stage(stage, source.span, names, diagnostics);
    if let Over::Axes(axes) = over {
        for axis in axes {
            // An axis the grid of this experiment does not have has one value: nothing.
            let known = grid.axis(axis).is_some() || STANDARD_AXES.contains(&axis.as_str());
            if !known {
                diagnostics.error_with_help(
                    "spec::unknown_axis",
                    source.span,
                    format!("cannot gather over `{axis}`: the grid has no such axis"),
                    suggestion(
                        axis,
                        ["search", "all"]
                            .into_iter()
                            .chain(grid.axes.iter().map(|axis| axis.name.as_str())),
                    ),
                );
            }
        }
    }
}

fn check_case(case: &Case, kinds: &[&'static dyn ErasedStage], diagnostics: &mut Diagnostics) {
    let (kind_name, span) = &case.kind;
    let Some(kind) = kinds.iter().find(|kind| kind.name() == kind_name) else {
        diagnostics.error_with_help(
            "graph::unknown_kind",
            *span,
            format!("`{kind_name}` is not a stage kind"),
            suggestion(kind_name, kinds.iter().map(|kind| kind.name())),
        );
        return;
    };
    let declared = kind.inputs();
    if declared.iter().any(|input| input.arity == Arity::AnyName) {
        return;
    }
    for input in &case.inputs {
        let Some(declaration) = declared.iter().find(|known| known.name == input.name) else {
            diagnostics.error_with_help(
                "graph::unknown_input",
                input.span,
                format!("kind `{kind_name}` has no input `{}`", input.name),
                suggestion(&input.name, declared.iter().map(|known| known.name)),
            );
            continue;
        };
        // Of several optional ones only one may exist for a cell; that is seen when it is built.
        let alternatives = input.sources.iter().all(|source| source.optional);
        if !matches!(declaration.arity, Arity::Many | Arity::AnyNumber)
            && input.sources.len() > 1
            && !alternatives
        {
            diagnostics.error(
                "graph::input",
                input.span,
                format!(
                    "input `{}` of kind `{kind_name}` takes one artifact, not a list of {}",
                    input.name,
                    input.sources.len()
                ),
            );
        }
    }
    for declaration in declared {
        let connected = case
            .inputs
            .iter()
            .any(|input| input.name == declaration.name);
        if !connected && !matches!(declaration.arity, Arity::Optional | Arity::AnyNumber) {
            diagnostics.error_with_help(
                "graph::missing_input",
                *span,
                format!(
                    "kind `{kind_name}` needs its input `{}` ({})",
                    declaration.name, declaration.about
                ),
                format!("add `{}: stage/output` under `inputs:`", declaration.name),
            );
        }
    }
}

fn cycles(pipeline: &Pipeline, diagnostics: &mut Diagnostics) {
    let mut graph: DiGraph<usize, ()> = DiGraph::new();
    let nodes: BTreeMap<&str, NodeIndex> = pipeline
        .stages
        .iter()
        .enumerate()
        .map(|(index, stage)| (stage.name.as_str(), graph.add_node(index)))
        .collect();
    for stage in &pipeline.stages {
        for source in stage
            .cases
            .iter()
            .flat_map(|case| &case.inputs)
            .flat_map(|input| &input.sources)
        {
            if let SourceKind::Stage { stage: from, .. } = &source.from
                && let (Some(from), Some(to)) =
                    (nodes.get(from.as_str()), nodes.get(stage.name.as_str()))
            {
                graph.update_edge(*from, *to, ());
            }
        }
    }
    for component in tarjan_scc(&graph) {
        let cyclic = component.len() > 1
            || component
                .iter()
                .any(|node| graph.find_edge(*node, *node).is_some());
        if !cyclic {
            continue;
        }
        let mut members: Vec<usize> = component.iter().map(|node| graph[*node]).collect();
        members.sort_unstable();
        let names: Vec<&str> = members
            .iter()
            .map(|index| pipeline.stages[*index].name.as_str())
            .collect();
        let round = format!("{} → {}", names.join(" → "), names[0]);
        diagnostics.error_with_help(
            "graph::cycle",
            pipeline.stages[members[0]].span,
            format!("these stages need each other: {round}"),
            "no order could run them; remove one of the inputs that close the circle",
        );
    }
}
