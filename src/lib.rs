//! An experiment runner for few-shot LLM recommendation research.
//!
//! A YAML grid becomes a graph of stages; what is not done yet runs; results become tables and
//! figures. `docs/ARCHITECTURE.md` is the map with import rules, `docs/CACHE.md` says when a stage
//! runs again, `docs/ADDING.md` how to add a method, a stage kind, a metric or a program of your
//! own.
//!
//! # Where is what, in the order of the route
//!
//! | to change | look into |
//! |---|---|
//! | what `runner …` prints, its arguments, exit codes | [`cli`], one file per command |
//! | what one experiment goes through, from file to report | [`study`] |
//! | what YAML may say, and the messages about it | [`spec`]; the schemas for editors: [`spec::schema`] |
//! | what `paper` and `released_code` mean | [`spec::fidelity`] |
//! | how templates and cells become stages | [`graph`] |
//! | what is fresh or stale, what `why` says | [`plan`], [`plan::reason`] |
//! | order, lanes, threads, failures, Ctrl-C | [`schedule`] |
//! | what a stage does | [`stage`], one file per kind |
//! | what is kept on disk, locks, damage | [`artifact`] |
//! | how raw data become samples; the synthetic world; the audit | [`data`] |
//! | a baseline | [`recommender`], one file per method |
//! | the training loop, the optimiser | [`train`] |
//! | layers, initialisation | [`nn`] |
//! | a backbone, its files, adapters | [`language_model`] |
//! | training an adapter, or a small backbone | [`tuning`] |
//! | prompts, what a sample looks like as tokens | [`prompt`] |
//! | models by API: requests, retries, what is paid and kept | [`api`] |
//! | a metric | [`metric`] |
//! | rows of `results.csv`, values over seeds | [`results`] |
//! | tables, figures, `report.md` | [`report`] |
//! | tests, intervals, corrections | [`statistics`] |
//! | what changed between two result sets | [`diff`] |
//! | results and curves in other programs' formats | [`export`] |
//! | how anything is drawn | [`chart`] |
//! | progress on the terminal, JSON lines, journals | [`reporter`] |
//! | the live page of a run | [`live`] |
//! | hashes, random numbers, time, events | [`base`] |
//!
//! # The same as code
//!
//! ```no_run
//! use std::path::Path;
//!
//! use runner::schedule::Interrupt;
//! use runner::spec::Request;
//! use runner::study::{Folders, Study, collect::collect, publish::publish};
//!
//! # fn main() -> Result<(), runner::study::StudyError> {
//! let request = Request {
//!     path: Path::new("experiments/quickstart.yaml").to_owned(),
//!     set: Vec::new(),
//!     only: Vec::new(),
//! };
//! let folders = Folders {
//!     store: Path::new(".runner/store").to_owned(),
//!     results: Path::new("results").to_owned(),
//! };
//! let study = Study::open(&request, folders)?;
//! let mut plan = study.plan()?;
//! let summary = study.run(&mut plan, 2, false, &Interrupt::default(), &mut |_event| {});
//! // After the run the same question has other answers.
//! let plan = study.plan()?;
//! let files = publish(&study, &plan, &collect(&study, &plan, Some(&summary))?)?;
//! # let _ = files;
//! # Ok(())
//! # }
//! ```

pub mod api;
pub mod artifact;
pub mod base;
pub mod chart;
pub mod cli;
pub mod data;
pub mod diff;
pub mod export;
pub mod graph;
pub mod language_model;
pub mod live;
pub mod metric;
pub mod model_files;
pub mod nn;
pub mod plan;
pub mod prompt;
pub mod recommender;
pub mod report;
pub mod reporter;
pub mod results;
pub mod schedule;
pub mod spec;
pub mod stage;
pub mod statistics;
pub mod study;
pub mod text_encoder;
pub mod train;
pub mod tuning;
