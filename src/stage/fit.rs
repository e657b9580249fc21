//! Passes with which a stage fits into memory.

use serde::Serialize;

use super::needs::{Needs, Passes};

/// The largest passes with which a stage fits, and the peak they lead to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fitting {
    /// What passes are cut to.
    pub passes: Passes,
    /// The peak with them, in bytes.
    pub peak: u64,
}

/// Whether a stage fits into so many bytes, and what would make it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// As it is.
    Fits,
    /// With other passes, the best first.
    With(Vec<Fitting>),
    /// With the weights stored in another form, the most exact that fits, but not as they are.
    Packed(&'static str),
    /// Not even with the least at once, which needs so many bytes.
    Never(u64),
}

/// What is chosen to fit leaves a tenth of the limit free where it can: counting is not measuring.
const RESERVE: u64 = 10;

/// Looks for passes with which a stage fits into `limit` bytes; `try_with` gives its needs with
/// given passes.
pub fn fit(needs: &Needs, limit: u64, mut try_with: impl FnMut(Passes) -> Option<Needs>) -> Fit {
    let now = needs.peak();
    if now.total() <= limit {
        return Fit::Fits;
    }
    let mut search = Search {
        peak_with: &mut |passes| try_with(passes).map(|needs| needs.peak().total()),
        least: now.total(),
    };
    let ways: &[Option<bool>] = match needs.passes.checkpoint_layers {
        None => &[None],
        Some(true) => &[Some(true)],
        Some(false) => &[Some(false), Some(true)],
    };
    for bound in [limit - limit / RESERVE, limit] {
        let most = needs.passes.pass_tokens;
        let found = ways
            .iter()
            .filter_map(|way| search.largest(most, *way, bound));
        let mut found: Vec<Fitting> = found.collect();
        if !found.is_empty() {
            // Passes shorter than a text do nothing more; layers computed again do.
            found.sort_by_key(|one| one.passes.pass_tokens < needs.longest.1);
            return Fit::With(found);
        }
    }
    let beside = search.least - now.weights;
    let mut forms = needs.packings.iter();
    match forms.find(|(_, bytes)| beside + bytes <= limit) {
        Some((form, _)) => Fit::Packed(form),
        None => Fit::Never(search.least),
    }
}

/// Tries passes, and remembers the least that any needed.
struct Search<'s> {
    peak_with: &'s mut dyn FnMut(Passes) -> Option<u64>,
    least: u64,
}

impl Search<'_> {
    /// The peak with some passes, if it is within `bound`.
    fn within(&mut self, passes: Passes, bound: u64) -> Option<Fitting> {
        let peak = (self.peak_with)(passes)?;
        self.least = self.least.min(peak);
        (peak <= bound).then_some(Fitting { passes, peak })
    }

    /// The largest passes of one way to compute layers that are within `bound`.
    fn largest(&mut self, most: usize, way: Option<bool>, bound: u64) -> Option<Fitting> {
        let with = |pass_tokens| Passes {
            pass_tokens,
            checkpoint_layers: way,
        };
        if let Some(all) = self.within(with(most), bound) {
            return Some(all);
        }
        let mut best = self.within(with(1), bound)?;
        let (mut low, mut high) = (1, most);
        while high - low > 1 {
            let middle = usize::midpoint(low, high);
            match self.within(with(middle), bound) {
                Some(fits) => (low, best) = (middle, fits),
                None => high = middle,
            }
        }
        self.within(with(round_down(low)), bound).or(Some(best))
    }
}

/// A number as people would choose it.
fn round_down(tokens: usize) -> usize {
    let step = match tokens {
        0..64 => 1,
        64..512 => 32,
        512..2048 => 128,
        _ => 256,
    };
    tokens / step * step
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Digest;
    use crate::stage::needs::{Basis, Peak};

    /// 1000 bytes that are always there, and 10 a token, or 4 where layers are computed again;
    /// a text has 50 tokens.
    fn needs(passes: Passes) -> Needs {
        let each = match passes.checkpoint_layers {
            Some(true) => 4,
            _ => 10,
        };
        Needs {
            engine: "a device",
            backbone: "a model".to_owned(),
            sizes: Digest::of_bytes(b"sizes"),
            training: Some(Peak {
                weights: 1000,
                kept: passes.pass_tokens.max(50) as u64 * each,
                ..Peak::default()
            }),
            scoring: None,
            basis: Basis::Rows,
            longest: (passes.pass_tokens, 50),
            passes,
            packings: vec![("half", 500), ("quarter", 250)],
            work: None,
        }
    }

    fn found(limit: u64, checkpoint_layers: Option<bool>) -> Fit {
        let passes = Passes {
            pass_tokens: 4096,
            checkpoint_layers,
        };
        fit(&needs(passes), limit, |passes| Some(needs(passes)))
    }

    fn ways(fit: Fit) -> Vec<(usize, Option<bool>, u64)> {
        let Fit::With(ways) = fit else {
            return Vec::new();
        };
        let ways = ways.into_iter();
        ways.map(|way| {
            (
                way.passes.pass_tokens,
                way.passes.checkpoint_layers,
                way.peak,
            )
        })
        .collect()
    }

    #[test]
    fn the_largest_passes_that_fit_with_something_to_spare_are_named() {
        assert_eq!(found(41_960, Some(false)), Fit::Fits);
        assert_eq!(
            ways(found(41_959, Some(false))),
            [(3584, Some(false), 36_840), (4096, Some(true), 17_384)]
        );
        assert_eq!(
            ways(found(10_000, Some(false))),
            [(768, Some(false), 8680), (1920, Some(true), 8680)]
        );
        assert_eq!(ways(found(3000, None)), [(160, None, 2600)]);
    }

    #[test]
    fn layers_are_computed_again_where_not_even_one_text_fits_otherwise() {
        assert_eq!(ways(found(1400, Some(false))), [(64, Some(true), 1256)]);
        // Nothing to spare, but it fits.
        assert_eq!(ways(found(1200, Some(false))), [(50, Some(true), 1200)]);
        assert_eq!(found(1199, Some(false)), Fit::Packed("half"));
        assert_eq!(found(500, Some(false)), Fit::Packed("quarter"));
        assert_eq!(found(449, Some(false)), Fit::Never(1200));
    }
}
