//! Mean and spread of a few values.

/// The mean; none of no values.
#[must_use]
pub fn mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    Some(values.iter().sum::<f64>() / values.len() as f64)
}

/// The sample variance (divisor n − 1); none for fewer than two values, since one value says
/// nothing about spread.
#[must_use]
pub fn variance(values: &[f64]) -> Option<f64> {
    let mean = mean(values)?;
    if values.len() < 2 {
        return None;
    }
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some(squares / (values.len() - 1) as f64)
}

/// The sample standard deviation (divisor n − 1); none for fewer than two values.
#[must_use]
pub fn standard_deviation(values: &[f64]) -> Option<f64> {
    variance(values).map(f64::sqrt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_needs_two_values() {
        assert_eq!(mean(&[1.0, 2.0, 4.0]), Some(7.0 / 3.0));
        let spread = standard_deviation(&[1.0, 2.0, 4.0]).expect("three values");
        assert!((spread - (7.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(standard_deviation(&[0.5]), None);
        assert_eq!(mean(&[]), None);
    }
}
