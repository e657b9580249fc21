//! Stage kinds: one file each, one line in [`STAGES`].
//!
//! A stage author implements [`StageKind`]: a typed `Params` (its doc comments are the
//! documentation that `runner schema` prints), declared inputs and outputs, a lane, and `run`.
//! [`ErasedStage`] is what the graph and the scheduler see. A stage sees only its
//! [`StageContext`]: no environment, no clock, no global.

pub mod codec;
pub mod context;
pub mod error;
pub mod evaluate;
pub mod kind;
pub mod predict;
pub mod select;
pub mod train_recommender;

pub use context::{InputArtifact, StageContext};
pub use error::StageError;
pub use kind::{Arity, Erased, ErasedStage, InputDeclaration, OutputDeclaration, StageKind};

/// Every stage kind there is, by name.
pub const STAGES: &[&dyn ErasedStage] = &[
    &Erased::<train_recommender::TrainRecommender>::NEW,
    &Erased::<select::Select>::NEW,
    &Erased::<predict::Predict>::NEW,
    &Erased::<evaluate::Evaluate>::NEW,
];

/// Finds a stage kind by name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn ErasedStage> {
    STAGES.iter().copied().find(|stage| stage.name() == name)
}
