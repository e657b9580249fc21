//! `curve.parquet` of a tuning: a row for each optimiser step; and the same as a picture.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, Float64Array, UInt32Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};

use super::CodecError;
use super::table::{column, read_table, write_table};
use crate::chart::palette::{BLUE, GREEN, SKY_BLUE, VERMILLION};
use crate::chart::{Line, LineChart, LinePanel, Marker, draw};
use crate::tuning::CurvePoint;

/// Writes the course of a training; no rows for one without steps.
///
/// # Errors
/// If the file cannot be written.
pub fn write_training_curve(path: &Path, curve: &[CurvePoint]) -> Result<(), CodecError> {
    let numbers = |part: fn(&CurvePoint) -> Option<f64>| -> Arc<dyn Array> {
        Arc::new(curve.iter().map(part).collect::<Float64Array>())
    };
    let steps: UInt32Array = curve.iter().map(|point| Some(point.step as u32)).collect();
    let tokens: UInt64Array = curve.iter().map(|point| Some(point.tokens)).collect();
    let number = |name, nullable| Field::new(name, DataType::Float64, nullable);
    let schema = Schema::new(vec![
        Field::new("step", DataType::UInt32, false),
        number("epoch", false),
        number("loss", false),
        number("learning_rate", false),
        number("gradient_norm", false),
        Field::new("tokens", DataType::UInt64, false),
        number("validation_auc", true),
        number("validation_loss", true),
    ]);
    let columns: Vec<Arc<dyn Array>> = vec![
        Arc::new(steps),
        numbers(|point| Some(point.epoch)),
        numbers(|point| Some(point.loss)),
        numbers(|point| Some(point.learning_rate)),
        numbers(|point| Some(point.gradient_norm)),
        Arc::new(tokens),
        numbers(|point| point.validation_auc),
        numbers(|point| point.validation_loss),
    ];
    write_table(path, schema, columns)
}

/// Reads the course of a training.
///
/// # Errors
/// If the file is not what [`write_training_curve`] writes.
pub fn read_training_curve(path: &Path) -> Result<Vec<CurvePoint>, CodecError> {
    let mut curve = Vec::new();
    for batch in read_table(path)? {
        let number = |name, nullable| -> Result<&Float64Array, CodecError> {
            column(path, &batch, name, "double", nullable)
        };
        let steps: &UInt32Array = column(path, &batch, "step", "uint32", false)?;
        let tokens: &UInt64Array = column(path, &batch, "tokens", "uint64", false)?;
        let (epochs, losses) = (number("epoch", false)?, number("loss", false)?);
        let rates = number("learning_rate", false)?;
        let norms = number("gradient_norm", false)?;
        let areas = number("validation_auc", true)?;
        let validation = number("validation_loss", true)?;
        let optional = |values: &Float64Array, at| values.is_valid(at).then(|| values.value(at));
        curve.extend((0..batch.num_rows()).map(|at| CurvePoint {
            step: steps.value(at) as usize,
            epoch: epochs.value(at),
            loss: losses.value(at),
            learning_rate: rates.value(at),
            gradient_norm: norms.value(at),
            tokens: tokens.value(at),
            validation_auc: optional(areas, at),
            validation_loss: optional(validation, at),
        }));
    }
    Ok(curve)
}

/// Draws the course of a training as PNG: losses, and below them AUC if there is one, with the
/// chosen step marked.
///
/// # Errors
/// If it cannot be drawn or written.
pub fn write_training_picture(
    path: &Path,
    title: &str,
    curve: &[CurvePoint],
    chosen_step: usize,
) -> Result<(), CodecError> {
    let drawing =
        draw(&picture(title, curve, chosen_step)).map_err(|message| CodecError::Drawing {
            path: path.to_owned(),
            message,
        })?;
    fs::write(path, drawing.png).map_err(|source| CodecError::Io {
        action: "write",
        path: path.to_owned(),
        source,
    })
}

/// Above this, single steps are too noisy to read and a running mean is drawn over them.
const NOISY: usize = 60;

fn picture(title: &str, curve: &[CurvePoint], chosen_step: usize) -> LineChart {
    let points = |part: fn(&CurvePoint) -> Option<f64>| -> Vec<(f64, f64)> {
        let pairs = curve.iter().map(|at| (at.step as f64, part(at)));
        pairs.filter_map(|(x, y)| y.map(|y| (x, y))).collect()
    };
    let line = |name: &str, colour, width, points| Line {
        name: name.to_owned(),
        colour,
        width,
        dashes: &[],
        marker: None,
        points,
    };
    let steps = points(|point| Some(point.loss));
    let mut losses = Vec::new();
    if steps.len() > NOISY {
        let mean = running_mean(&steps, steps.len() / 20);
        losses.push(line("training, each step", SKY_BLUE, 1.2, steps));
        losses.push(line("training, running mean", BLUE, 2.6, mean));
    } else {
        losses.push(line("training", BLUE, 2.4, steps));
    }
    let with_markers = |name, colour, points: Vec<(f64, f64)>| {
        (!points.is_empty()).then(|| Line {
            marker: (points.len() <= NOISY).then_some(Marker::Circle),
            ..line(name, colour, 2.4, points)
        })
    };
    losses.extend(with_markers(
        "validation",
        VERMILLION,
        points(|point| point.validation_loss),
    ));
    let mut panels = vec![LinePanel {
        y_label: "loss (nats)".to_owned(),
        lines: losses,
    }];
    let area = with_markers(
        "validation AUC",
        GREEN,
        points(|point| point.validation_auc),
    );
    panels.extend(area.map(|line| LinePanel {
        y_label: "AUC".to_owned(),
        lines: vec![line],
    }));
    let chosen = curve.iter().find(|point| point.step == chosen_step);
    let subtitle = curve.last().map_or_else(String::new, |last| {
        let epochs = format!("{:.1}", last.epoch);
        let many = |count: &str, what| {
            let s = if count == "1" { "" } else { "s" };
            format!("{count} {what}{s}")
        };
        format!(
            "{}, {}",
            many(&last.step.to_string(), "optimiser step"),
            many(epochs.trim_end_matches(".0"), "epoch")
        )
    });
    LineChart {
        title: title.to_owned(),
        subtitle,
        x_label: "optimiser steps".to_owned(),
        panels,
        marked: chosen.map(|point| (point.step as f64, format!("kept: step {}", point.step))),
    }
}

/// The mean of the points around each, `reach` to either side at most.
fn running_mean(points: &[(f64, f64)], reach: usize) -> Vec<(f64, f64)> {
    let mean = |at: usize| {
        let reach = reach.min(at).min(points.len() - 1 - at);
        let near = &points[at - reach..=at + reach];
        near.iter().map(|point| point.1).sum::<f64>() / near.len() as f64
    };
    (0..points.len())
        .map(|at| (points[at].0, mean(at)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(steps: usize) -> Vec<CurvePoint> {
        (1..=steps)
            .map(|step| {
                let part = step as f64 / steps as f64;
                let wave = (step as f64 * 1.7).sin();
                let validated = step % 10 == 0;
                CurvePoint {
                    step,
                    epoch: part * 12.0,
                    loss: 0.35 + 2.2 * (-5.0 * part).exp() + 0.08 * wave,
                    learning_rate: 1e-4 * (1.0 - part),
                    gradient_norm: 1.0 + wave,
                    tokens: step as u64 * 4096,
                    validation_auc: validated.then_some(0.72 - 0.2 * (part - 0.6).powi(2)),
                    validation_loss: validated.then_some(0.5 + 2.0 * (-5.0 * part).exp()),
                }
            })
            .collect()
    }

    #[test]
    fn curves_read_back() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("curve.parquet");
        for steps in [0, 1, 25] {
            write_training_curve(&path, &curve(steps)).expect("write");
            assert_eq!(read_training_curve(&path).expect("read"), curve(steps));
        }
    }

    #[test]
    fn pictures_have_what_there_is() {
        let long = picture("x", &curve(240), 150);
        assert_eq!(long.panels.len(), 2);
        assert_eq!(long.panels[0].lines.len(), 3);
        assert_eq!(long.marked, Some((150.0, "kept: step 150".to_owned())));
        assert_eq!(long.subtitle, "240 optimiser steps, 12 epochs");
        let short = picture("x", &curve(5), 5);
        assert_eq!((short.panels.len(), short.panels[0].lines.len()), (1, 1));
        let folder = tempfile::tempdir().expect("folder");
        for steps in [0, 1, 5, 240] {
            let path = folder.path().join(format!("curve_{steps}.png"));
            write_training_picture(&path, "rec_tune, K = 64, seed 0", &curve(steps), 150)
                .expect("drawn");
            assert!(fs::read(&path).expect("bytes").starts_with(b"\x89PNG"));
        }
    }
}
