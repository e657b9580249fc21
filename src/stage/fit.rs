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

/// Looks for passes with which a stage fits into `limit` bytes; `try_with` gives its needs with
/// given passes.
pub fn fit(needs: &Needs, limit: u64, mut try_with: impl FnMut(Passes) -> Option<Needs>) -> Fit {
    if needs.peak().total() <= limit {
        return Fit::Fits;
    }
    let mut peak_with = |passes| try_with(passes).map(|needs| needs.peak().total());
    let mut found = Vec::new();
    let mut least = needs.peak().total();
    let ways: &[Option<bool>] = match needs.passes.checkpoint_layers {
        None => &[None],
        Some(true) => &[Some(true)],
        Some(false) => &[Some(false), Some(true)],
    };
    for checkpoint_layers in ways.iter().copied() {
        let with = |pass_tokens| Passes {
            pass_tokens,
            checkpoint_layers,
        };
        let mut fits = |tokens| {
            let peak = peak_with(with(tokens))?;
            least = least.min(peak);
            (peak <= limit).then_some(peak)
        };
        let most = needs.passes.pass_tokens;
        let best = match fits(most) {
            Some(peak) => Some((most, peak)),
            None => fits(1).map(|peak| {
                let (mut low, mut high, mut best) = (1, most, (1, peak));
                while high - low > 1 {
                    let middle = usize::midpoint(low, high);
                    match fits(middle) {
                        Some(peak) => (low, best) = (middle, (middle, peak)),
                        None => high = middle,
                    }
                }
                let round = round_down(best.0);
                match fits(round) {
                    Some(peak) => (round, peak),
                    None => best,
                }
            }),
        };
        if let Some((tokens, peak)) = best {
            found.push(Fitting {
                passes: with(tokens),
                peak,
            });
        }
    }
    if found.is_empty() {
        let weights = needs.peak().weights;
        let packed = needs
            .packings
            .iter()
            .find(|(_, bytes)| (least - weights) + bytes <= limit);
        return match packed {
            Some((name, _)) => Fit::Packed(name),
            None => Fit::Never(least),
        };
    }
    // Passes shorter than a text do nothing more; layers computed again do.
    found.sort_by_key(|one| one.passes.pass_tokens < needs.longest.1);
    Fit::With(found)
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
#[expect(clippy::expect_used, reason = "a test fails by panicking")]
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
    fn the_largest_passes_that_fit_are_named() {
        assert_eq!(found(41_960, Some(false)), Fit::Fits);
        assert_eq!(
            ways(found(41_959, Some(false))),
            [(3840, Some(false), 39_400), (4096, Some(true), 17_384)]
        );
        assert_eq!(
            ways(found(10_000, Some(false))),
            [(896, Some(false), 9960), (2048, Some(true), 9192)]
        );
        assert_eq!(ways(found(3000, None)), [(192, None, 2920)]);
    }

    #[test]
    fn layers_are_computed_again_where_not_even_one_text_fits_otherwise() {
        assert_eq!(ways(found(1_300, Some(false))), [(64, Some(true), 1256)]);
        let with_one_text = needs(Passes {
            pass_tokens: 1,
            checkpoint_layers: Some(true),
        });
        assert_eq!(with_one_text.peak().total(), 1200);
        assert_eq!(found(1199, Some(false)), Fit::Packed("half"));
        assert_eq!(found(500, Some(false)), Fit::Packed("quarter"));
        assert_eq!(found(449, Some(false)), Fit::Never(1200));
    }
}
