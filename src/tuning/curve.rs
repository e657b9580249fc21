//! The course of a training, a point for every optimiser step.

use serde::{Deserialize, Serialize};

/// A training after one optimiser step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Optimiser steps done, from 1.
    pub step: usize,
    /// Passes over the training rows done, a part of one included.
    pub epoch: f64,
    /// Mean cross-entropy in nats of the step's targets before the step, weighted as the reduction
    /// says but with weights that add up to 1, so that it compares with a validation loss even
    /// where the reduction divides by micro-batches that are not there.
    pub loss: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Euclidean norm of the whole gradient before clipping.
    pub gradient_norm: f64,
    /// Tokens trained on so far.
    pub tokens: u64,
    /// AUC over the validation questions, where this step was validated.
    pub validation_auc: Option<f64>,
    /// Mean validation cross-entropy in nats, where this step was validated.
    pub validation_loss: Option<f64>,
}

/// What is strange about a course: a loss that never fell, an AUC that is always perfect.
///
/// `questions` is the number of validation questions: with few of them, an AUC of 1 is luck.
pub(super) fn suspicions(curve: &[CurvePoint], questions: usize) -> Vec<String> {
    let mut found = Vec::new();
    let areas: Vec<f64> = curve.iter().filter_map(|at| at.validation_auc).collect();
    if questions >= 20 && !areas.is_empty() && areas.iter().all(|area| *area >= 1.0) {
        found.push(format!(
            "the validation AUC is exactly 1 at all {} evaluations: look for answer tokens of \
             another vocabulary, or answers inside the prompts",
            areas.len()
        ));
    }
    // Single steps are noisy, so quarters of the training are compared.
    let part = curve.len() / 4;
    if part >= 3 {
        let mean = |points: &[CurvePoint]| {
            points.iter().map(|point| point.loss).sum::<f64>() / points.len() as f64
        };
        let (first, last) = (mean(&curve[..part]), mean(&curve[curve.len() - part..]));
        if last >= first {
            found.push(format!(
                "the training loss never fell: {first:.4} nats in the first quarter of the \
                 steps, {last:.4} in the last; the learning rate may be too low or too high"
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(step: usize, loss: f64, auc: Option<f64>) -> CurvePoint {
        CurvePoint {
            step,
            epoch: 1.0,
            loss,
            learning_rate: 0.1,
            gradient_norm: 1.0,
            tokens: 1,
            validation_auc: auc,
            validation_loss: None,
        }
    }

    #[test]
    fn flat_and_perfect_are_suspect_and_good_is_not() {
        let flat: Vec<_> = (1..=12).map(|step| point(step, 2.0, None)).collect();
        assert!(suspicions(&flat, 0)[0].contains("never fell"));
        let falling = |auc: f64| -> Vec<_> {
            (1..=12)
                .map(|step| point(step, 2.0 / step as f64, (step % 3 == 0).then_some(auc)))
                .collect()
        };
        assert!(suspicions(&falling(1.0), 40)[0].contains("all 4 evaluations"));
        assert!(suspicions(&falling(1.0), 4).is_empty());
        assert!(suspicions(&falling(0.7), 40).is_empty());
    }
}
