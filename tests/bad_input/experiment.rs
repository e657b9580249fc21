//! Experiments that are wrong.

use crate::program::{EXPERIMENT, Lab, PIPELINE};
use crate::{wrong, wrong_plan};

wrong!(misspelt_axis, EXPERIMENT, "seed: 0..1" => "sed: 0..1");
wrong!(unused_axis, EXPERIMENT, "seed: 0..1" => "seed: 0..1\n  colour: [red, blue]");
wrong!(misspelt_method, EXPERIMENT, "like_share" => "like_shar");
wrong!(method_is_empty, EXPERIMENT, "method: [majority, like_share]" => "method:");
wrong!(no_methods, EXPERIMENT, "method: [majority, like_share]" => "method: []");
wrong!(method_is_a_number, EXPERIMENT, "like_share" => "3");
wrong!(axis_of_one_method, EXPERIMENT, "like_share" => "like_share: {seed: [1, 2]}");
wrong!(variant, EXPERIMENT, "like_share" => "tallrec: {variant: [AT, TR]}");
wrong!(misspelt_setting, EXPERIMENT, "data:" => "settings:\n  like_share: {prior_strenght: 3}\ndata:");
wrong!(misspelt_setting_of_gru4rec, EXPERIMENT, "data:" => "settings: {gru4rec: {hiden_size: 3}}\ndata:", "--set", "grid.method=gru4rec");
wrong!(misspelt_setting_of_a_method_not_in_the_grid, EXPERIMENT, "data:" => "settings: {gru4rec: {hiden_size: 3, epochs: -1}}\ndata:");
wrong!(misspelt_hyper_parameter, EXPERIMENT, "like_share" => "gru4rec: {weight_dcay: [1e-3]}");
wrong!(setting_of_a_wrong_type, EXPERIMENT, "data:" => "settings: {gru4rec: {hidden_size: wide}}\ndata:", "--set", "grid.method=gru4rec");
wrong!(settings_of_no_method, EXPERIMENT, "data:" => "settings: {gru4reck: {hidden_size: 3}}\ndata:");
wrong!(settings_are_a_number, EXPERIMENT, "data:" => "settings: {gru4rec: 3}\ndata:");
wrong!(text_encoder_of_two_sources, EXPERIMENT, "data:" => "text_encoder: {hf: bert-base-uncased, random: {}, pooling: cls}\ndata:");
wrong!(text_encoder_of_no_known_key, EXPERIMENT, "data:" => "text_encoder: {hf: bert, revision: 3, poolling: cls}\ndata:");
wrong!(text_encoder_is_a_name, EXPERIMENT, "data:" => "text_encoder: bert-base-uncased\ndata:");
wrong!(fidelity_key_and_value, EXPERIMENT, "data:" => "fidelity: {movie.splt: by_user, movie.neutral: dislik}\ndata:");
wrong!(fidelity_preset, EXPERIMENT, "data:" => "fidelity: papre\ndata:");
wrong!(k_is_no_number, EXPERIMENT, "k: [2, 4]" => "k: [2, four, 0, -1, 2.5]");
wrong!(seed_is_too_large, EXPERIMENT, "seed: 0..1" => "seed: 18446744073709551615");
wrong!(value_is_missing, EXPERIMENT, "seed: 0..1" => "seed:");
wrong!(list_is_empty, EXPERIMENT, "seed: 0..1" => "seed: []");
wrong!(list_in_a_list, EXPERIMENT, "seed: 0..1" => "seed: [[0, 1]]");
wrong!(range_is_empty, EXPERIMENT, "seed: 0..1" => "seed: 4..0");
wrong!(range_of_letters, EXPERIMENT, "seed: 0..1" => "seed: a..b");
wrong!(range_does_not_double, EXPERIMENT, "k: [2, 4]" => "k: 1..100");
wrong!(range_from_zero, EXPERIMENT, "k: [2, 4]" => "k: 0..4");
wrong!(range_keys, EXPERIMENT, "seed: 0..1" => "seed: {range: 0..4, scal: log2, step: 0}");
wrong!(range_scale, EXPERIMENT, "seed: 0..1" => "seed: {range: 0..4, scale: log}");
wrong!(too_many_cells, EXPERIMENT, "seed: 0..1" => "seed: 0..99999");
wrong!(zip_of_different_lengths, EXPERIMENT, "k: [2, 4]\n  seed: 0..1" => "zip: [{k: [2, 4], seed: 0..2}]");
wrong!(zip_of_nothing, EXPERIMENT, "k: [2, 4]\n  seed: 0..1" => "zip: [k, seed]");
wrong!(axis_twice, EXPERIMENT, "seed: 0..1" => "seed: 0..1\n  zip: {seed: [1, 2]}");
wrong!(exclude_nothing, EXPERIMENT, "data:" => "  exclude: [{method: majority, k: 64}]\ndata:");
wrong!(exclude_the_same_twice, EXPERIMENT, "data:" => "  exclude: [{k: 2}, {k: 2, seed: 0}]\ndata:");
wrong!(exclude_everything, EXPERIMENT, "data:" => "  exclude: [{k: [2, 4]}]\ndata:");
wrong!(exclude_an_unknown_axis, EXPERIMENT, "data:" => "  exclude: [{metod: majority}]\ndata:");
wrong!(include_is_a_text, EXPERIMENT, "data:" => "  include: majority\ndata:");
wrong!(domain_and_train, EXPERIMENT, "domain: movie" => "domain: movie\n  train: book");
wrong!(unknown_domain, EXPERIMENT, "domain: movie" => "domain: films");
wrong!(tested_on_both, EXPERIMENT, "domain: movie" => "domain: both");
wrong!(axis_at_the_top, EXPERIMENT, "data:" => "k: 3\ndata:");
wrong!(unknown_key, EXPERIMENT, "data:" => "fidelty: paper\ndata:");
wrong!(grid_is_a_list, EXPERIMENT, "grid:\n  domain: movie\n  k: [2, 4]\n  seed: 0..1\n  method: [majority, like_share]" => "grid: [1, 2]");
wrong!(report_names, EXPERIMENT, "data:" => "report: {tables: [comparson], figures: 3, picture: x}\ndata:");
wrong!(report_parts, EXPERIMENT, "data:" => "report:\n  tables: [{kind: comparison, nme: x}, {name: a}, {kind: comparison, name: a/b}, better, better, {kind: better, name: report}]\n  figures: [{kind: zero_shot, title: 3, where: {colour: red, k: {a: 1}}}, {kind: zero_shot, name: z, where: 16}]\ndata:");
wrong!(report_statistics, EXPERIMENT, "data:" => "report: {statistics: {test: paird_t, alpha: 1.5, correction: bonferroni, level: 3}}\ndata:");
wrong!(report_statistics_is_a_text, EXPERIMENT, "data:" => "report: {statistics: paired_t}\ndata:");
wrong!(report_is_a_list, EXPERIMENT, "data:" => "report: [comparison]\ndata:");
wrong!(name_is_a_path, EXPERIMENT, "experiment: small" => "experiment: ../../small");
wrong!(description_is_a_list, EXPERIMENT, "experiment: small" => "description: [small]");
wrong!(variables_are_a_number, EXPERIMENT, "data:" => "variables: 3\ndata:");
wrong!(no_pipeline, EXPERIMENT, "pipeline: pipelines/small.yaml\n" => "");
wrong!(pipeline_is_missing, EXPERIMENT, "pipelines/small.yaml" => "pipelines/smal.yaml");
wrong!(folder_of_the_pipeline_is_missing, EXPERIMENT, "pipelines/small.yaml" => "pipeline/small.yaml");
wrong!(pipeline_is_a_folder, EXPERIMENT, "pipelines/small.yaml" => "pipelines");
wrong!(data_path_is_missing, EXPERIMENT, "data:" => "data:\n  movie: {path: expriments}");
wrong!(data_folder_without_the_files, EXPERIMENT, "data:" => "data:\n  movie: {path: experiments}");
wrong!(data_path_is_a_file, EXPERIMENT, "data:" => "data:\n  movie: {path: experiments/small.yaml}");
wrong!(data_keys, EXPERIMENT, "data:" => "data:\n  movie: {source: raw}\n  book: {path: nowhere/at/all, source: row, pth: 3}\n  films: 3");
wrong!(synthetic_world_too_small, EXPERIMENT, "movie_users: 40" => "movie_users: 4");

#[test]
fn data_folder_with_half_the_files() {
    let lab = Lab::small();
    lab.write("films/u.data", "1\t1\t5\t0\n");
    lab.edit(EXPERIMENT, "data:", "data:\n  movie: {path: films}");
    wrong_plan(&lab, "data_folder_with_half_the_files", &[]);
}

/// Nothing is said twice: the settings that no stage looks at beside those that one does.
#[test]
fn settings_and_parameters_at_once() {
    let lab = Lab::small();
    lab.edit(
        EXPERIMENT,
        "data:",
        "settings: {gru4rec: {hiden_size: 3}}\ndata:",
    );
    lab.edit(PIPELINE, "k: ${k}", "kk: ${k}");
    wrong_plan(&lab, "settings_and_parameters_at_once", &[]);
}
