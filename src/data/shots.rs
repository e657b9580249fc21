//! K-shot draws that contain each other: 16 shots are among the 64 of the same seed.

use super::error::DataError;
use super::sample::{Domain, Sample};
use super::tallrec_text::noun;
use crate::base::Random;

/// Draws `k` samples of every pool: a random order by seed, of which the first `k` are taken.
///
/// The order depends on the seed and the domain only, so a draw from films and books together
/// holds the same films as a draw from films alone. Draws keep that random order, and samples
/// keep their row in the training set.
///
/// # Errors
/// If `k` is 0, a pool is smaller than `k` or mixes domains, or two pools have the same domain.
pub fn draw(pools: &[Vec<Sample>], k: usize, seed: u64) -> Result<Vec<Sample>, DataError> {
    if k == 0 {
        return Err(
            DataError::invalid("k = 0 asks for no training sample at all")
                .with_help("for a run without training leave the training stage out"),
        );
    }
    if pools.is_empty() {
        return Err(DataError::invalid("there is no training set to draw from"));
    }
    let mut seen: Vec<Domain> = Vec::new();
    let mut drawn = Vec::with_capacity(k * pools.len());
    for pool in pools {
        let Some(domain) = pool.first().map(|sample| sample.domain) else {
            return Err(DataError::invalid(format!(
                "k = {k} asks for more than the 0 training samples of a training set"
            )));
        };
        if pool.iter().any(|sample| sample.domain != domain) {
            return Err(DataError::invalid(
                "a training set mixes film and book samples; bring one training set a domain",
            ));
        }
        if seen.contains(&domain) {
            return Err(DataError::invalid(format!(
                "two training sets hold {} samples; bring one training set a domain",
                noun(domain)
            )));
        }
        seen.push(domain);
        if k > pool.len() {
            return Err(DataError::invalid(format!(
                "k = {k} asks for more than the {} training samples of the {} training set",
                pool.len(),
                noun(domain)
            ))
            .with_help(format!("choose k up to {}, or bring more data", pool.len())));
        }
        let order = Random::new(seed, &format!("shots/{}", noun(domain))).permutation(pool.len());
        drawn.extend(order.into_iter().take(k).map(|at| pool[at].clone()));
    }
    Ok(drawn)
}
