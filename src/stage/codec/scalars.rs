//! The course of any training as named numbers over steps, whichever of the two tables it left.

use std::path::Path;

use super::CodecError;
use super::curve::read_curve;
use super::training_curve::read_training_curve;
use crate::train::Epoch;
use crate::tuning::CurvePoint;

/// What was measured at one step of a training.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalars {
    /// Optimiser steps done, or epochs where the training counts those; from 1.
    pub step: u64,
    /// Names such as `train/loss`, and values: losses in nats, AUC in [0, 1].
    pub values: Vec<(&'static str, f64)>,
}

impl From<&CurvePoint> for Scalars {
    fn from(point: &CurvePoint) -> Self {
        let numbers = [
            ("train/loss", Some(point.loss)),
            ("train/learning_rate", Some(point.learning_rate)),
            ("train/gradient_norm", Some(point.gradient_norm)),
            ("train/epoch", Some(point.epoch)),
            ("validation/auc", point.validation_auc),
            ("validation/loss", point.validation_loss),
        ];
        Self {
            step: point.step as u64,
            values: numbers
                .into_iter()
                .filter_map(|(name, number)| Some((name, number?)))
                .collect(),
        }
    }
}

impl From<&Epoch> for Scalars {
    fn from(epoch: &Epoch) -> Self {
        let mut values = vec![("train/loss", epoch.loss)];
        // Where validation has one class only, there is no AUC.
        if epoch.valid_auc.is_finite() {
            values.push(("validation/auc", epoch.valid_auc));
        }
        Self {
            step: epoch.epoch as u64,
            values,
        }
    }
}

/// Reads the course of a training; none if the table has other columns than trainings leave.
///
/// # Errors
/// If the file cannot be read or is not Parquet.
pub fn read_scalars(path: &Path) -> Result<Option<Vec<Scalars>>, CodecError> {
    match read_training_curve(path) {
        Ok(curve) => return Ok(Some(curve.iter().map(Scalars::from).collect())),
        Err(CodecError::Column { .. }) => {}
        Err(error) => return Err(error),
    }
    match read_curve(path) {
        Ok(curve) => Ok(Some(curve.iter().map(Scalars::from).collect())),
        Err(CodecError::Column { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{write_curve, write_predictions, write_training_curve};
    use super::*;

    #[test]
    fn both_tables_are_read_and_others_are_none() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("curve.parquet");
        let epoch = |epoch, valid_auc| Epoch {
            epoch,
            loss: 0.5,
            valid_auc,
        };
        write_curve(&path, &[epoch(10, 0.75), epoch(20, f64::NAN)]).expect("written");
        let read = read_scalars(&path).expect("read").expect("a curve");
        assert_eq!(
            read[0].values,
            [("train/loss", 0.5), ("validation/auc", 0.75)]
        );
        assert_eq!(
            (read[1].step, &read[1].values),
            (20, &vec![("train/loss", 0.5)])
        );
        let point = CurvePoint {
            step: 3,
            epoch: 0.5,
            loss: 0.25,
            learning_rate: 1e-4,
            gradient_norm: 2.0,
            tokens: 9,
            validation_auc: None,
            validation_loss: Some(0.5),
        };
        write_training_curve(&path, &[point]).expect("written");
        let read = read_scalars(&path).expect("read").expect("a curve");
        assert_eq!((read[0].step, read[0].values.len()), (3, 5));
        assert_eq!(read[0].values[4], ("validation/loss", 0.5));
        let other = [crate::metric::Prediction {
            row: 0,
            user: None,
            label: true,
            score: 0.5,
        }];
        write_predictions(&path, &other).expect("written");
        assert_eq!(read_scalars(&path).expect("read"), None);
        std::fs::write(&path, "text").expect("written");
        assert!(read_scalars(&path).is_err());
    }
}
