//! A canvas in logical pixels, and how a scene on it becomes a PNG or an SVG.
//!
//! plotters smooths some lines and no fills, so the PNG is drawn three times as large and
//! averaged down; that smooths everything alike and is the same on every machine.

use plotters::coord::Shift;
use plotters::prelude::{
    BitMapBackend, Circle, DrawingArea, DrawingBackend, IntoDrawingArea, PathElement, Polygon,
    SVGBackend, Text,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color, FontFamily, FontStyle, FontTransform, IntoFont, RGBColor, ShapeStyle, TextStyle, WHITE,
};

use super::font;
use super::{Dashes, Drawing, Marker};

/// How many units of plotters, which knows whole ones only, there are in a logical pixel: the PNG
/// is averaged down by it, the SVG's view box is scaled by it.
const OVERSAMPLING: u32 = 3;

/// A point in logical pixels, from the top left.
pub type Point = (f64, f64);

/// Something that can be drawn on any backend.
pub trait Scene {
    /// Width and height in logical pixels.
    fn size(&self) -> (u32, u32);

    /// Draws itself.
    ///
    /// # Errors
    /// What the backend says.
    fn paint<B: DrawingBackend>(&self, canvas: &Canvas<B>) -> Result<(), String>;
}

/// Draws a scene in both forms.
///
/// # Errors
/// What the backend says; in memory there is hardly a reason to fail.
pub fn draw(scene: &impl Scene) -> Result<Drawing, String> {
    font::register()?;
    Ok(Drawing {
        png: png(scene)?,
        svg: svg(scene)?,
    })
}

fn svg(scene: &impl Scene) -> Result<String, String> {
    let (width, height) = scene.size();
    let large = (width * OVERSAMPLING, height * OVERSAMPLING);
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, large).into_drawing_area();
        area.fill(&WHITE).map_err(|error| error.to_string())?;
        let canvas = Canvas {
            area,
            unit: f64::from(OVERSAMPLING),
            lift: 0.327,
        };
        scene.paint(&canvas)?;
        canvas.area.present().map_err(|error| error.to_string())?;
    }
    // The first tag is plotters' own; its size is in units and should be in logical pixels.
    let units = format!("width=\"{}\" height=\"{}\"", large.0, large.1);
    let logical = format!("width=\"{width}\" height=\"{height}\"");
    let mut text = text.replacen(&units, &logical, 1);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

fn png(scene: &impl Scene) -> Result<Vec<u8>, String> {
    let (width, height) = scene.size();
    let large = (width * OVERSAMPLING, height * OVERSAMPLING);
    let mut pixels = vec![255_u8; (large.0 * large.1 * 3) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, large).into_drawing_area();
        let canvas = Canvas {
            area,
            unit: f64::from(OVERSAMPLING),
            lift: 0.20,
        };
        scene.paint(&canvas)?;
        canvas.area.present().map_err(|error| error.to_string())?;
    }
    let small = average(&pixels, width as usize, OVERSAMPLING as usize);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Best);
    let mut writer = encoder.write_header().map_err(|error| error.to_string())?;
    writer
        .write_image_data(&small)
        .map_err(|error| error.to_string())?;
    writer.finish().map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// Averages blocks of `factor` × `factor` pixels of three bytes; `width` is that of the result.
fn average(pixels: &[u8], width: usize, factor: usize) -> Vec<u8> {
    let stride = width * factor * 3;
    let area = (factor * factor) as u32;
    let mut small = Vec::with_capacity(pixels.len() / (factor * factor));
    for band in pixels.chunks_exact(stride * factor) {
        let mut sums = vec![0_u32; width * 3];
        for line in band.chunks_exact(stride) {
            for (block, sum) in line.chunks_exact(factor * 3).zip(sums.chunks_exact_mut(3)) {
                for pixel in block.chunks_exact(3) {
                    for (total, &channel) in sum.iter_mut().zip(pixel) {
                        *total += u32::from(channel);
                    }
                }
            }
        }
        small.extend(sums.iter().map(|&sum| ((sum + area / 2) / area) as u8));
    }
    small
}

/// How a text is written.
#[derive(Debug, Clone, Copy)]
pub struct Writing {
    /// Height of the font in logical pixels.
    pub size: f64,
    /// Whether in the heavier face.
    pub bold: bool,
    /// The colour.
    pub colour: RGBColor,
}

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Begins there.
    Left,
    /// Its middle is there.
    Centre,
    /// Ends there.
    Right,
    /// Centred and read from below.
    Upwards,
}

/// A drawing area in logical pixels.
pub struct Canvas<B: DrawingBackend> {
    area: DrawingArea<B, Shift>,
    unit: f64,
    /// From the middle of capital letters up to what plotters takes as the top of a text, as a
    /// share of its size. plotters places text differently on its two backends; this evens it out.
    lift: f64,
}

impl<B: DrawingBackend> Canvas<B> {
    fn at(&self, (x, y): Point) -> (i32, i32) {
        (
            (x * self.unit).round() as i32,
            (y * self.unit).round() as i32,
        )
    }

    fn stroke(&self, colour: RGBColor, width: f64) -> ShapeStyle {
        ShapeStyle {
            color: colour.to_rgba(),
            filled: false,
            stroke_width: (width * self.unit).round().max(1.0) as u32,
        }
    }

    /// A line through points.
    ///
    /// # Errors
    /// What the backend says.
    pub fn line(
        &self,
        points: &[Point],
        colour: RGBColor,
        width: f64,
        dashes: Dashes,
    ) -> Result<(), String> {
        for piece in pieces(points, dashes) {
            let path: Vec<(i32, i32)> = piece.iter().map(|&point| self.at(point)).collect();
            self.area
                .draw(&PathElement::new(path, self.stroke(colour, width)))
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// A marker with a thin white rim, which keeps markers on lines and on each other apart.
    ///
    /// # Errors
    /// What the backend says.
    pub fn marker(
        &self,
        marker: Marker,
        centre: Point,
        radius: f64,
        colour: RGBColor,
    ) -> Result<(), String> {
        self.shape(marker, centre, radius + 1.8, WHITE)?;
        self.shape(marker, centre, radius, colour)
    }

    /// A marker in outline.
    ///
    /// # Errors
    /// What the backend says.
    pub fn hollow_marker(
        &self,
        marker: Marker,
        centre: Point,
        radius: f64,
        colour: RGBColor,
    ) -> Result<(), String> {
        self.shape(marker, centre, radius, colour)?;
        self.shape(marker, centre, radius - 2.0 * rim(marker), WHITE)
    }

    fn shape(
        &self,
        marker: Marker,
        centre: Point,
        radius: f64,
        colour: RGBColor,
    ) -> Result<(), String> {
        let drawn = if marker == Marker::Circle {
            let radius = (radius * self.unit).round() as i32;
            self.area
                .draw(&Circle::new(self.at(centre), radius, colour.filled()))
        } else {
            let corners: Vec<(i32, i32)> = corners(marker, radius)
                .into_iter()
                .map(|(x, y)| self.at((centre.0 + x, centre.1 + y)))
                .collect();
            self.area.draw(&Polygon::new(corners, colour.filled()))
        };
        drawn.map_err(|error| error.to_string())
    }

    /// A filled polygon.
    ///
    /// # Errors
    /// What the backend says.
    pub fn fill(&self, corners: &[Point], colour: RGBColor) -> Result<(), String> {
        let corners: Vec<(i32, i32)> = corners.iter().map(|&point| self.at(point)).collect();
        self.area
            .draw(&Polygon::new(corners, colour.filled()))
            .map_err(|error| error.to_string())
    }

    /// A text whose capital letters are centred on the height of `at`.
    ///
    /// # Errors
    /// What the backend says.
    pub fn text(
        &self,
        text: &str,
        at: Point,
        align: Align,
        writing: Writing,
    ) -> Result<(), String> {
        let horizontal = match align {
            Align::Left => HPos::Left,
            Align::Centre | Align::Upwards => HPos::Center,
            Align::Right => HPos::Right,
        };
        let up = self.lift * writing.size;
        let (at, turn) = if align == Align::Upwards {
            ((at.0 - up, at.1), FontTransform::Rotate270)
        } else {
            ((at.0, at.1 - up), FontTransform::None)
        };
        let style = self
            .text_style(writing)
            .transform(turn)
            .pos(Pos::new(horizontal, VPos::Top));
        self.area
            .draw(&Text::new(text, self.at(at), style))
            .map_err(|error| error.to_string())
    }

    /// The width of a text in logical pixels.
    ///
    /// # Errors
    /// What the backend says.
    pub fn text_width(&self, text: &str, writing: Writing) -> Result<f64, String> {
        let (width, _) = self
            .area
            .estimate_text_size(text, &self.text_style(writing))
            .map_err(|error| error.to_string())?;
        Ok(f64::from(width) / self.unit)
    }

    fn text_style(&self, writing: Writing) -> TextStyle<'static> {
        let style = if writing.bold {
            FontStyle::Bold
        } else {
            FontStyle::Normal
        };
        (
            FontFamily::Name(font::FAMILY),
            writing.size * self.unit,
            style,
        )
            .into_font()
            .color(&writing.colour)
    }
}

/// How far the inner edge of a hollow marker is from the outer one, in strokes of one pixel:
/// acute corners need more.
fn rim(marker: Marker) -> f64 {
    match marker {
        Marker::Circle => 1.0,
        Marker::Square | Marker::Diamond => 1.3,
        Marker::Plus | Marker::Cross => 1.4,
        Marker::Up | Marker::Down | Marker::Star => 1.9,
    }
}

/// The corners of a marker around the origin; all markers cover about the same area.
fn corners(marker: Marker, radius: f64) -> Vec<Point> {
    let ring = |count: usize, turn: f64, radius: &dyn Fn(usize) -> f64| -> Vec<Point> {
        (0..count)
            .map(|corner| {
                let angle = std::f64::consts::TAU * (corner as f64 / count as f64 + turn)
                    - std::f64::consts::FRAC_PI_2;
                let radius = radius(corner);
                (radius * angle.cos(), radius * angle.sin())
            })
            .collect()
    };
    match marker {
        Marker::Circle => ring(24, 0.0, &|_| radius),
        Marker::Square => ring(4, 0.125, &|_| radius * 1.25),
        Marker::Diamond => ring(4, 0.0, &|_| radius * 1.25),
        Marker::Up => ring(3, 0.0, &|_| radius * 1.35),
        Marker::Down => ring(3, 0.5, &|_| radius * 1.35),
        Marker::Star => ring(10, 0.0, &|corner| {
            radius * if corner % 2 == 0 { 1.55 } else { 0.68 }
        }),
        Marker::Plus | Marker::Cross => {
            let (long, thick) = (radius * 1.25, radius * 0.42);
            let arm = [
                (-thick, -long),
                (thick, -long),
                (thick, -thick),
                (long, -thick),
                (long, thick),
                (thick, thick),
                (thick, long),
                (-thick, long),
                (-thick, thick),
                (-long, thick),
                (-long, -thick),
                (-thick, -thick),
            ];
            let turned = std::f64::consts::FRAC_1_SQRT_2;
            arm.into_iter()
                .map(|(x, y)| {
                    if marker == Marker::Cross {
                        ((x - y) * turned, (x + y) * turned)
                    } else {
                        (x, y)
                    }
                })
                .collect()
        }
    }
}

/// Cuts a line into its dashes, which go on around corners.
fn pieces(points: &[Point], dashes: Dashes) -> Vec<Vec<Point>> {
    if dashes.is_empty() {
        return vec![points.to_vec()];
    }
    let mut pieces: Vec<Vec<Point>> = Vec::new();
    let mut current: Vec<Point> = points.first().copied().into_iter().collect();
    let (mut turn, mut left) = (0, dashes[0]);
    for ends in points.windows(2) {
        let [mut from, to] = [ends[0], ends[1]];
        loop {
            let (x, y) = (to.0 - from.0, to.1 - from.1);
            let length = x.hypot(y);
            if length <= left {
                left -= length;
                current.push(to);
                break;
            }
            let part = left / length;
            from = (from.0 + x * part, from.1 + y * part);
            if turn % 2 == 0 {
                current.push(from);
                pieces.push(std::mem::take(&mut current));
            }
            turn += 1;
            left = dashes[turn % dashes.len()];
            current = vec![from];
        }
    }
    if turn % 2 == 0 && current.len() > 1 {
        pieces.push(current);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_have_their_length_and_turn_corners() {
        let found = pieces(&[(0.0, 0.0), (5.0, 0.0), (5.0, 5.0)], &[3.0, 1.0]);
        assert_eq!(
            found,
            [
                vec![(0.0, 0.0), (3.0, 0.0)],
                vec![(4.0, 0.0), (5.0, 0.0), (5.0, 2.0)],
                vec![(5.0, 3.0), (5.0, 5.0)],
            ]
        );
    }

    #[test]
    fn averaging_keeps_flat_colour_and_mixes_edges() {
        let pixels = [
            [0, 0, 0, 255, 255, 255, 9, 9, 9, 9, 9, 9],
            [0, 0, 0, 255, 255, 255, 9, 9, 9, 9, 9, 9],
        ]
        .concat();
        assert_eq!(average(&pixels, 2, 2), [128, 128, 128, 9, 9, 9]);
    }
}
