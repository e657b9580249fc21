//! The memory plan against measured peaks: every case in a process of its own, whose largest
//! memory the kernel remembers.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::process::Command;
use std::sync::Arc;

use runner::language_model::decoder::{fresh_adapter, fresh_weights};
use runner::language_model::memory::{Engine, Peak, Planned, Trained};
use runner::language_model::{
    Configuration, Decoder, Family, LoraOptions, RopeScaling, Trainable, lora,
};
use runner::tuning::census::{Lengths, scoring_passes, training_passes};
use runner::tuning::{
    Answers, Example, Hooks, LossOn, Question, Resources, SelectBy, Silent, Task, TuneOptions,
    Validation, read_out_all, shared_prefix, tune,
};

/// What a case does.
struct Case {
    name: &'static str,
    configuration: Configuration,
    lora: Option<LoraOptions>,
    pass_tokens: usize,
    checkpoint_layers: bool,
    loss_on: LossOn,
    share: bool,
    trains: bool,
}

fn small() -> Configuration {
    Configuration {
        family: Family::Llama,
        hidden_size: 256,
        intermediate_size: 688,
        layers: 4,
        heads: 8,
        key_value_heads: 8,
        head_size: 32,
        vocabulary_size: 8000,
        norm_epsilon: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: RopeScaling::None,
        max_positions: 2048,
        sliding_window: None,
        tied_head: true,
        query_key_value_bias: false,
        output_bias: false,
        mlp_bias: false,
        query_key_norm: false,
    }
}

fn cases() -> Vec<Case> {
    let adapter = Case {
        name: "adapter",
        configuration: small(),
        lora: Some(LoraOptions::default()),
        pass_tokens: 2048,
        checkpoint_layers: false,
        loss_on: LossOn::Whole,
        share: false,
        trains: true,
    };
    let all_modules = LoraOptions {
        r: 16,
        target_modules: lora::MODULES.map(|(name, _)| name.to_owned()).to_vec(),
        ..LoraOptions::default()
    };
    let grouped = Configuration {
        key_value_heads: 2,
        head_size: 48,
        query_key_norm: true,
        query_key_value_bias: true,
        tied_head: false,
        layers: 3,
        ..small()
    };
    vec![
        Case {
            name: "checkpointed, all modules",
            lora: Some(all_modules.clone()),
            checkpoint_layers: true,
            ..copy(&adapter)
        },
        Case {
            name: "grouped heads, answers only, a shared beginning",
            configuration: grouped,
            lora: Some(all_modules),
            loss_on: LossOn::Answer,
            share: true,
            ..copy(&adapter)
        },
        Case {
            name: "all weights",
            lora: None,
            pass_tokens: 1024,
            ..copy(&adapter)
        },
        Case {
            name: "scoring",
            trains: false,
            pass_tokens: 4096,
            ..copy(&adapter)
        },
        Case {
            name: "scoring, wide",
            configuration: Configuration {
                hidden_size: 512,
                intermediate_size: 1376,
                head_size: 64,
                layers: 2,
                ..small()
            },
            trains: false,
            pass_tokens: 4096,
            ..copy(&adapter)
        },
        adapter,
    ]
}

fn copy(case: &Case) -> Case {
    Case {
        configuration: case.configuration.clone(),
        lora: case.lora.clone(),
        ..*case
    }
}

/// Rows of 150 to 250 tokens, of which the first 40 are the same.
fn rows(count: usize) -> Vec<Vec<u32>> {
    let row = |number: usize| {
        let length = 150 + number * 37 % 100;
        let token = |at: usize| {
            if at < 40 {
                at
            } else {
                (number * 7919 + at * 31) % 8000
            }
        };
        (0..length).map(|at| token(at) as u32).collect()
    };
    (0..count).map(row).collect()
}

fn options(case: &Case) -> TuneOptions {
    TuneOptions {
        max_steps: Some(1),
        warmup_steps: 0,
        batch_size: 16,
        micro_batch_size: 16,
        loss_on: case.loss_on,
        shared_prefix: case.share,
        select_by: SelectBy::Auc,
        ..TuneOptions::default()
    }
}

fn lengths(rows: &[Vec<u32>]) -> Lengths {
    Lengths {
        rows: rows.iter().map(|row| (row.len(), row.len() - 2)).collect(),
        shared: shared_prefix(rows.iter().map(Vec::as_slice)),
    }
}

fn predicted(case: &Case) -> Peak {
    let trained = match &case.lora {
        _ if !case.trains => Trained::Nothing,
        Some(options) => Trained::Adapter(options),
        None => Trained::Everything,
    };
    let planned = Planned {
        engine: &Engine::CPU,
        configuration: &case.configuration,
        trained,
        keeps_best: case.trains,
    };
    let prompts = scoring_passes(&lengths(&rows(64)), case.pass_tokens, case.share);
    let scoring = prompts.largest.iter().map(|size| planned.scoring(*size));
    let mut peaks: Vec<Peak> = scoring.collect();
    if case.trains {
        let census = training_passes(&lengths(&rows(16)), &options(case), case.pass_tokens);
        let training = census.expect("rows").largest;
        let training = training.iter();
        peaks.extend(training.map(|size| planned.training(*size, case.checkpoint_layers)));
    }
    let highest = peaks.into_iter().max_by_key(Peak::total);
    highest.expect("a pass")
}

/// A line of this process's status, such as `VmHWM`, in bytes.
fn memory(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("a process");
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    number.expect("a number") * 1024
}

/// The memory that a case took beyond what the program had before, code that it ran meanwhile not
/// counted.
fn measured(case: &Case) -> u64 {
    let before = memory("VmRSS");
    let code = memory("RssFile");
    work(case);
    memory("VmHWM") - before - memory("RssFile").saturating_sub(code)
}

/// Does what a case says.
fn work(case: &Case) {
    let weights = Arc::new(fresh_weights(&case.configuration, 1));
    let trainable = match &case.lora {
        _ if !case.trains => Trainable::Nothing,
        Some(options) => Trainable::Adapter {
            options: options.clone(),
            values: fresh_adapter(&case.configuration, options, 1),
        },
        None => Trainable::Everything,
    };
    let mut model = Decoder::new(case.configuration.clone(), weights, trainable).expect("a model");
    let prompts = rows(64);
    if !case.trains {
        let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
        let shared = shared_prefix(prompts.iter().copied());
        let shared = if case.share { shared } else { 0 };
        let tokens = case.pass_tokens;
        read_out_all(&model, &prompts, &[1, 2], true, tokens, shared, &mut Silent).expect("scores");
        return;
    }
    let train: Vec<Example> = rows(16)
        .into_iter()
        .map(|tokens| Example {
            answer_start: tokens.len() - 2,
            tokens,
        })
        .collect();
    let questions: Vec<Question> = prompts
        .into_iter()
        .enumerate()
        .map(|(number, tokens)| Question {
            tokens,
            label: number % 2 == 0,
        })
        .collect();
    let task = Task {
        train: &train,
        validation: Validation::Questions {
            questions: &questions,
            answers: Answers { yes: 1, no: 2 },
            texts: &[],
        },
        dropout: case.lora.as_ref().map_or(0.0, |options| options.dropout),
        base: "fresh",
    };
    let resources = Resources {
        pass_tokens: case.pass_tokens,
        checkpoint_layers: case.checkpoint_layers,
        ..Resources::default()
    };
    let mut hooks = Hooks {
        observer: &mut Silent,
        folder: None,
    };
    let tuned = tune(&mut model, &task, &options(case), &resources, &mut hooks);
    assert_eq!(tuned.expect("a training").steps, 1);
}

const CASE: &str = "RUNNER_TEST_MEMORY_CASE";
const ANSWER: &str = "RUNNER_TEST_MEMORY_ANSWER";

/// Run by [`peaks_are_predicted_within_a_tenth`] alone, in a process of its own.
#[test]
#[ignore = "a part of another test"]
fn one_case() {
    let (Ok(name), Ok(answer)) = (std::env::var(CASE), std::env::var(ANSWER)) else {
        return;
    };
    runner::nn::keep_candle_to_one_thread();
    let cases = cases();
    let case = cases.iter().find(|case| case.name == name);
    let found = measured(case.expect("a case of that name"));
    std::fs::write(answer, found.to_string()).expect("written");
}

#[test]
fn peaks_are_predicted_within_a_tenth() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut report = String::new();
    let mut wrong = false;
    for (number, case) in cases().iter().enumerate() {
        let answer = folder.path().join(number.to_string());
        let program = std::env::current_exe().expect("this program");
        let ended = Command::new(program)
            .args(["--ignored", "--exact", "one_case", "--test-threads=1"])
            .env(CASE, case.name)
            .env(ANSWER, &answer)
            .output()
            .expect("started");
        assert!(ended.status.success(), "{}: {ended:?}", case.name);
        let text = std::fs::read_to_string(&answer).expect("an answer");
        let found: u64 = text.parse().expect("a number");
        let peak = predicted(case);
        let expected = peak.total() - Engine::CPU.program_bytes;
        let ratio = expected as f64 / found as f64;
        wrong |= (ratio - 1.0).abs() > 0.1;
        report.push_str(&format!(
            "{}: {:.1} MiB predicted, {:.1} MiB measured, ratio {ratio:.3}; {peak:?}\n",
            case.name,
            expected as f64 / f64::from(1 << 20),
            found as f64 / f64::from(1 << 20),
        ));
    }
    if let Ok(path) = std::env::var("RUNNER_TEST_MEMORY_REPORT") {
        std::fs::write(path, &report).expect("written");
    }
    assert!(!wrong, "{report}");
}
