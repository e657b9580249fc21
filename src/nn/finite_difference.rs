//! Gradients against differences, for the tests of layers.

use candle_core::{Tensor, Var};

use super::{Gradients, Variables};

/// Fails unless every number of every variable has the gradient that moving it shows.
///
/// Central differences with steps of 1e-2 in f32: rounding contributes about 1e-5 / 1e-2, the
/// third derivative about 1e-4, for losses of order 1. So 3e-3 absolute.
pub(super) fn check(variables: &Variables, loss: impl Fn() -> Tensor) {
    let gradients = Gradients::of(&loss()).expect("differentiable");
    let value = || f64::from(loss().to_scalar::<f32>().expect("a scalar"));
    for (name, variable) in variables.iter() {
        let gradient = gradients.get(variable).expect("cpu");
        let gradient = gradient.unwrap_or_else(|| panic!("no gradient reaches {name}"));
        let exact = numbers(&gradient);
        let start = numbers(variable.as_tensor());
        for (at, exact) in exact.iter().enumerate() {
            let step = 1e-2_f32;
            let moved = |by: f32| {
                let mut numbers = start.clone();
                numbers[at] += by;
                set(variable, numbers);
                value()
            };
            let numeric = (moved(step) - moved(-step)) / f64::from(2.0 * step);
            let apart = (numeric - f64::from(*exact)).abs();
            assert!(
                apart < 3e-3,
                "{name}[{at}]: {exact}, differences say {numeric}"
            );
        }
        set(variable, start);
    }
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.flatten_all().expect("flat");
    flat.to_vec1().expect("f32")
}

fn set(variable: &Var, numbers: Vec<f32>) {
    let shape = variable.as_tensor().shape();
    let value = Tensor::from_vec(numbers, shape, variable.as_tensor().device());
    variable.set(&value.expect("cpu")).expect("same shape");
}
