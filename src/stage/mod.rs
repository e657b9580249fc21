//! Stage kinds: one file each, one line in [`STAGES`].
//!
//! A stage author implements [`StageKind`]: a typed `Params` (its doc comments are the
//! documentation that `runner schema` prints), declared inputs and outputs, a lane, and `run`.
//! [`ErasedStage`] is what the graph and the scheduler see. A stage sees only its
//! [`StageContext`]: no environment, no clock, no global.

pub mod alpaca_json;
pub mod book_crossing;
pub mod codec;
pub mod command;
pub mod context;
pub mod data_audit;
pub mod error;
pub mod evaluate;
pub mod k_shot;
pub mod kind;
pub mod movielens;
pub mod predict;
mod samples;
pub mod select;
pub mod synthetic;
pub mod tales;
pub mod tallrec_json;
pub mod text;
pub mod train_recommender;

pub use context::{InputArtifact, StageContext};
pub use error::StageError;
pub use kind::{Arity, Erased, ErasedStage, InputDeclaration, OutputDeclaration, StageKind};

/// Every stage kind there is, by name.
pub const STAGES: &[&dyn ErasedStage] = &[
    &Erased::<alpaca_json::AlpacaJsonStage>::NEW,
    &Erased::<book_crossing::BookCrossingStage>::NEW,
    &Erased::<command::Command>::NEW,
    &Erased::<data_audit::DataAuditStage>::NEW,
    &Erased::<evaluate::Evaluate>::NEW,
    &Erased::<k_shot::KShotStage>::NEW,
    &Erased::<movielens::MovieLensStage>::NEW,
    &Erased::<predict::Predict>::NEW,
    &Erased::<select::Select>::NEW,
    &Erased::<synthetic::SyntheticStage>::NEW,
    &Erased::<tales::Tales>::NEW,
    &Erased::<tallrec_json::TallrecJsonStage>::NEW,
    &Erased::<text::Text>::NEW,
    &Erased::<train_recommender::TrainRecommender>::NEW,
];

/// Finds a stage kind by name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn ErasedStage> {
    STAGES.iter().copied().find(|stage| stage.name() == name)
}
