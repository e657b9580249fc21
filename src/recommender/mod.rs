//! Recommenders that are not language models: one file per method, one line in [`RECOMMENDERS`].
//!
//! A method's author implements [`Method`] with typed settings, or, for a network over the history,
//! [`sequence::Network`]; [`Recommender`] is what stages see. [`sequence`] holds what the networks
//! share: settings, the item vocabulary, padded batches, and the way to and from a model folder.
//!
//! A model folder holds `config.json` (method, settings, seed) and what the method adds:
//! `model.safetensors` and `items.json` for trained networks, `state.json` for counted ones.

pub mod caser;
pub mod contract;
pub mod dros;
pub mod dros_bert;
pub mod error;
pub mod gru4rec;
pub mod gru_bert;
pub mod item_mean;
pub mod like_share;
pub mod majority;
pub mod sasrec;
pub mod sequence;

use std::path::Path;

pub use contract::{
    Erased, FitReport, FitTask, Method, Recommender, ScoreTask, Scores, SettingError, UnknownItems,
};
pub use error::RecommenderError;

use crate::base::nearest::suggestion;

/// Every method there is, from trivial to trained.
pub const RECOMMENDERS: &[&dyn Recommender] = &[
    &Erased::<majority::Majority>::NEW,
    &Erased::<like_share::LikeShare>::NEW,
    &Erased::<item_mean::ItemMean>::NEW,
    &Erased::<gru4rec::Gru4Rec>::NEW,
    &Erased::<caser::Caser>::NEW,
    &Erased::<sasrec::SasRec>::NEW,
    &Erased::<dros::Dros>::NEW,
    &Erased::<gru_bert::GruBert>::NEW,
    &Erased::<dros_bert::DrosBert>::NEW,
];

/// The method that is no recommender here but a language model: stages of its own tune and score
/// it, where a pipeline has them.
pub const LANGUAGE_MODEL: &str = "tallrec";

/// Finds a method by name.
///
/// # Errors
/// [`RecommenderError::UnknownMethod`] with the nearest name.
pub fn find(name: &str) -> Result<&'static dyn Recommender, RecommenderError> {
    let found = RECOMMENDERS.iter().copied();
    found
        .clone()
        .find(|method| method.name() == name)
        .ok_or_else(|| RecommenderError::UnknownMethod {
            name: name.to_owned(),
            help: suggestion(name, found.map(Recommender::name)),
        })
}

/// Finds the method that made a model folder.
///
/// # Errors
/// If the folder has no readable `config.json` or its method is unknown.
pub fn of_folder(folder: &Path) -> Result<&'static dyn Recommender, RecommenderError> {
    find(&contract::read_config(folder)?.method)
}

#[cfg(test)]
pub(crate) mod tests;
