//! How a system looks in every figure: colour, marker and dashes, and in bars a hatching, so that a
//! figure reads without colour too.
//!
//! Colours are the Okabe–Ito palette, which people with the common colour vision deficiencies
//! can tell apart. A method keeps its look from figure to figure, whatever else is in it.

use plotters::style::RGBColor;

use crate::chart::palette::{BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY_BLUE, VERMILLION};
use crate::chart::{Dashes, Marker};
use crate::results::{Group, System};

/// How a system is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Look {
    pub(super) colour: RGBColor,
    /// Yardsticks are lines without markers.
    pub(super) marker: Option<Marker>,
    pub(super) dashes: Dashes,
    /// White lines on a bar; none for a plain one.
    pub(super) hatch: Option<Hatch>,
}

/// Lines on a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hatch {
    /// From lower left to upper right.
    Rising,
    /// From upper left to lower right.
    Falling,
    /// Both.
    Crossed,
    /// Level lines.
    Level,
}

impl Look {
    /// A line without markers.
    pub(super) const fn line(colour: RGBColor, dashes: Dashes) -> Self {
        Self {
            colour,
            marker: None,
            dashes,
            hatch: None,
        }
    }

    /// A bar.
    pub(super) const fn bar(colour: RGBColor, hatch: Option<Hatch>) -> Self {
        Self {
            colour,
            marker: None,
            dashes: &[],
            hatch,
        }
    }
}

/// Methods that have a look of their own.
const KNOWN: [(&str, RGBColor, Marker, Option<Hatch>); 10] = [
    ("gru4rec", BLUE, Marker::Circle, None),
    ("caser", ORANGE, Marker::Square, Some(Hatch::Falling)),
    ("sasrec", GREEN, Marker::Up, Some(Hatch::Level)),
    ("dros", SKY_BLUE, Marker::Diamond, None),
    ("gru_bert", PURPLE, Marker::Down, Some(Hatch::Crossed)),
    ("dros_bert", BLACK, Marker::Cross, Some(Hatch::Falling)),
    (
        "text_davinci_002",
        SKY_BLUE,
        Marker::Plus,
        Some(Hatch::Falling),
    ),
    ("text_davinci_003", BLUE, Marker::Plus, Some(Hatch::Level)),
    ("chatgpt", GREEN, Marker::Plus, Some(Hatch::Crossed)),
    ("tallrec", VERMILLION, Marker::Star, None),
];

/// Markers of a method's variants after the first; the colour stays the method's.
const VARIANTS: [(&str, Marker, Dashes, Hatch); 3] = [
    ("base", Marker::Cross, &[2.0, 5.0], Hatch::Crossed),
    ("AT", Marker::Plus, &[2.0, 5.0], Hatch::Rising),
    ("RT", Marker::Diamond, &[11.0, 5.0], Hatch::Level),
];

/// Looks of whatever has none of its own, taken in turn.
const OTHERS: [(RGBColor, Marker, Dashes, Hatch); 4] = [
    (BLACK, Marker::Square, &[11.0, 5.0], Hatch::Level),
    (PURPLE, Marker::Plus, &[11.0, 5.0], Hatch::Rising),
    (GREEN, Marker::Circle, &[4.0, 4.0], Hatch::Falling),
    (ORANGE, Marker::Down, &[4.0, 4.0], Hatch::Rising),
];

const GREYS: [(RGBColor, Dashes); 4] = [
    (RGBColor(40, 40, 40), &[13.0, 6.0]),
    (RGBColor(90, 90, 90), &[3.0, 4.0]),
    (RGBColor(60, 60, 60), &[13.0, 4.0, 3.0, 4.0]),
    (RGBColor(110, 110, 110), &[6.0, 8.0]),
];

/// Gives each of the systems its look, in their order.
pub(super) fn looks(systems: &[System]) -> Vec<Look> {
    let (mut grey, mut other) = (0, 0);
    systems
        .iter()
        .map(|system| {
            if system.group() == Group::Trivial {
                // The share of likes is the one that matters most and has the firmest line.
                let (colour, dashes) = match system.method.as_str() {
                    "like_share" => GREYS[0],
                    "majority" => GREYS[1],
                    "item_mean" => GREYS[2],
                    _ => {
                        grey += 1;
                        GREYS[(2 + grey) % GREYS.len()]
                    }
                };
                return Look::line(colour, dashes);
            }
            let known = KNOWN.iter().find(|(name, ..)| *name == system.method);
            let variant = VARIANTS
                .iter()
                .find(|(name, ..)| Some(*name) == system.tuning());
            // Of several backbones the first has the method's look, the others one of their own.
            let known = known.filter(|_| {
                let first = systems.iter().find(|other| {
                    other.method == system.method && other.tuning() == system.tuning()
                });
                first == Some(system)
            });
            match (known, variant) {
                (Some(&(_, colour, marker, hatch)), None) => Look {
                    colour,
                    marker: Some(marker),
                    dashes: &[],
                    hatch,
                },
                (Some(&(_, colour, ..)), Some(&(_, marker, dashes, hatch))) => Look {
                    colour,
                    marker: Some(marker),
                    dashes,
                    hatch: Some(hatch),
                },
                (None, _) => {
                    let (colour, marker, dashes, hatch) = OTHERS[other % OTHERS.len()];
                    other += 1;
                    Look {
                        colour,
                        marker: Some(marker),
                        dashes,
                        hatch: Some(hatch),
                    }
                }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::METHODS;

    #[test]
    fn no_two_of_the_known_methods_look_alike() {
        let systems: Vec<System> = METHODS
            .iter()
            .map(|method| System::new(method.name, None))
            .chain([
                System::new("tallrec", Some("AT")),
                System::new("tallrec", Some("RT")),
                System::new("somebody's own", None),
            ])
            .collect();
        let looks = looks(&systems);
        for (at, look) in looks.iter().enumerate() {
            assert!(!looks[..at].contains(look), "{:?}", systems[at]);
        }
    }
}
