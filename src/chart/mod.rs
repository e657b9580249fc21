//! Drawing: a canvas in logical pixels, fonts, colours, and charts of lines over a number.
//!
//! Figures of reports and pictures of trainings are drawn with the same pen. The fonts are in the
//! program, so a picture is the same on every machine.

pub mod canvas;
mod font;
pub mod lines;
pub mod palette;

pub use canvas::{Scene, draw};
pub use lines::{Line, LineChart, LinePanel};

/// A drawn picture in both forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawing {
    /// The bytes of a PNG file.
    pub png: Vec<u8>,
    /// The text of an SVG file.
    pub svg: String,
}

/// The shape of a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Marker {
    Circle,
    Square,
    Diamond,
    Up,
    Down,
    Plus,
    Cross,
    Star,
}

/// Lengths of ink and gap in turn, in logical pixels; empty for a line without gaps.
pub type Dashes = &'static [f64];
