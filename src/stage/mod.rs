//! Stage kinds: one file each, one line in [`STAGES`].
//!
//! A stage author implements [`StageKind`]: a typed `Params` (its doc comments are the
//! documentation that `runner schema` prints), declared inputs and outputs, a lane, and `run`.
//! [`ErasedStage`] is what the graph and the scheduler see. A stage sees only its
//! [`StageContext`]: no environment, no clock, no global.

pub mod alpaca_json;
pub mod alpaca_tune;
mod api_params;
pub mod api_score;
pub mod book_crossing;
pub mod candidates;
pub mod codec;
pub mod command;
pub mod compare;
pub mod context;
pub mod data_audit;
pub mod embed_items;
pub mod error;
pub mod evaluate;
mod fit;
pub mod hub_backbone;
pub mod hub_text_encoder;
pub mod import_adapter;
pub mod k_shot;
pub mod kind;
mod language_model;
mod learner;
pub(crate) mod measured;
pub mod movielens;
pub mod needs;
pub mod predict;
pub mod pretrain;
mod program_log;
pub mod random_text_encoder;
pub mod rec_tune;
pub mod recorded_scores;
mod samples;
pub mod score;
pub mod select;
pub mod synthetic;
pub mod tales;
pub mod tallrec_json;
pub mod text;
mod text_lengths;
pub mod train_recommender;
mod tuned;
mod tuning_params;

pub use context::{InputArtifact, Keep, StageContext};
pub use error::{Failure, StageError};
pub use kind::{
    Arity, Erased, ErasedStage, InputDeclaration, OutputDeclaration, Requests, StageKind,
};
pub use language_model::check_device;

/// Every stage kind there is, by name.
pub const STAGES: &[&dyn ErasedStage] = &[
    &Erased::<alpaca_json::AlpacaJsonStage>::NEW,
    &Erased::<alpaca_tune::AlpacaTune>::NEW,
    &Erased::<api_score::ApiScore>::NEW,
    &Erased::<book_crossing::BookCrossingStage>::NEW,
    &Erased::<candidates::Candidates>::NEW,
    &Erased::<command::Command>::NEW,
    &Erased::<data_audit::DataAuditStage>::NEW,
    &Erased::<embed_items::EmbedItems>::NEW,
    &Erased::<evaluate::Evaluate>::NEW,
    &Erased::<hub_backbone::HubBackbone>::NEW,
    &Erased::<hub_text_encoder::HubTextEncoder>::NEW,
    &Erased::<import_adapter::ImportAdapter>::NEW,
    &Erased::<k_shot::KShotStage>::NEW,
    &Erased::<movielens::MovieLensStage>::NEW,
    &Erased::<predict::Predict>::NEW,
    &Erased::<pretrain::Pretrain>::NEW,
    &Erased::<random_text_encoder::RandomTextEncoder>::NEW,
    &Erased::<rec_tune::RecTune>::NEW,
    &Erased::<recorded_scores::RecordedScores>::NEW,
    &Erased::<score::Score>::NEW,
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
