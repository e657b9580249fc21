//! Colours: those of Okabe and Ito, which colour-blind people tell apart, and greys.
#![expect(missing_docs, reason = "the names say it")]

pub use plotters::style::RGBColor as Colour;

pub const BLACK: Colour = Colour(0, 0, 0);
pub const ORANGE: Colour = Colour(230, 159, 0);
pub const SKY_BLUE: Colour = Colour(86, 180, 233);
pub const GREEN: Colour = Colour(0, 158, 115);
pub const BLUE: Colour = Colour(0, 114, 178);
pub const VERMILLION: Colour = Colour(213, 94, 0);
pub const PURPLE: Colour = Colour(204, 121, 167);

/// Texts and axes.
pub const INK: Colour = Colour(30, 30, 30);
/// Texts that may be overlooked.
pub const QUIET: Colour = Colour(95, 95, 95);
/// Lines behind the data.
pub const GRID: Colour = Colour(228, 228, 228);
