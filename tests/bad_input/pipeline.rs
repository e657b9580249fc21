//! Pipelines that are wrong.

use crate::program::{EXPERIMENT, Lab, PIPELINE};
use crate::{wrong, wrong_plan};

wrong!(unknown_kind, PIPELINE, "kind: k_shot" => "kind: k_shots");
wrong!(stage_without_kind, PIPELINE, "    kind: k_shot\n" => "");
wrong!(stage_is_a_text, PIPELINE, "  world:\n    kind: synthetic\n    params: ${data.synthetic}" => "  world: synthetic");
wrong!(cycle, PIPELINE, "raw: world/movie" => "raw: evaluate/metrics");
wrong!(unknown_stage, PIPELINE, "raw: world/movie" => "raw: wrld/movie");
wrong!(unknown_input, PIPELINE, "train: shots/train" => "trian: shots/train");
wrong!(missing_input, PIPELINE, "    inputs:\n      raw: world/movie\n" => "");
wrong!(unknown_output, PIPELINE, "train: shots/train" => "train: shots/trian");
wrong!(which_output, PIPELINE, "samples: samples/test" => "samples: samples");
wrong!(two_artifacts_for_one, PIPELINE, "samples: samples/test" => "samples: [samples/test, samples/valid]");
wrong!(unresolved_reference, PIPELINE, "k: ${k}" => "k: ${kk}");
wrong!(unresolved_reference_without_a_near_name, PIPELINE, "k: ${k}" => "k: ${temperature}");
wrong!(unclosed_reference, PIPELINE, "k: ${k}" => "k: ${k");
wrong!(empty_reference, PIPELINE, "k: ${k}" => "k: ${}");
wrong!(wrong_type, PIPELINE, "k: ${k}" => "k: many");
wrong!(parameters_of_two_stages, PIPELINE, "k: ${k}" => "kk: ${k}\n      z: 4", "--set", "data.synthetic.movie_user=3");
wrong!(condition_on_nothing, PIPELINE, "    kind: k_shot" => "    when: {methd: gru4rec}\n    kind: k_shot");
wrong!(stage_does_not_exist_for_a_cell, PIPELINE, "    kind: k_shot" => "    when: {method: gru4rec}\n    kind: k_shot");
wrong!(unknown_gather, PIPELINE, "output: model, over: search" => "output: model, over: serch");
wrong!(unknown_key_of_an_input, PIPELINE, "output: model, over: search" => "outptu: model, over: search");
wrong!(input_is_no_input, PIPELINE, "train: shots/train" => "train: {with: [1], optional: perhaps}");
wrong!(unknown_key_of_results, PIPELINE, "metrics: evaluate/metrics" => "metrcs: evaluate/metrics");
wrong!(unknown_key_of_a_stage, PIPELINE, "    kind: k_shot\n    params:" => "    kind: k_shot\n    parms:");
wrong!(results_are_a_list, PIPELINE, "results:\n  metrics: evaluate/metrics\n  choices: select/choice" => "results: [evaluate]");
wrong!(unknown_target, PIPELINE, "pipeline: small" => "pipeline: small\ntargets: [evaluat]");
wrong!(pipeline_is_broken, PIPELINE, "k: ${k}" => "k: [${k}");
wrong!(axis_without_a_column, PIPELINE, "seed: ${seed}\n      settings" => "seed: ${offset}\n      settings", "--set", "grid.offset=[1,2]");
wrong!(search_without_a_choice, PIPELINE, "model: select/model" => "model: train/model", "--set", "grid.method=[{gru4rec: {weight_decay: [1e-3, 1e-4]}}]");

#[test]
fn both_files_at_once() {
    let lab = Lab::small();
    lab.edit(EXPERIMENT, "seed: 0..1", "sed: 0..1");
    lab.edit(EXPERIMENT, "like_share", "like_shar");
    lab.edit(PIPELINE, "kind: k_shot", "kind: k_shots");
    lab.edit(PIPELINE, "raw: world/movie", "row: world/movie");
    wrong_plan(&lab, "both_files_at_once", &[]);
}

/// An axis with one value cannot make two rows of one.
#[test]
fn an_axis_without_a_column_may_have_one_value() {
    let lab = Lab::small();
    lab.edit(
        PIPELINE,
        "seed: ${seed}\n      settings",
        "seed: ${offset}\n      settings",
    );
    lab.run_list(&["plan", EXPERIMENT, "--set", "grid.offset=7"])
        .fine();
}
