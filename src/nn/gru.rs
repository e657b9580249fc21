//! The gated recurrent unit with PyTorch's semantics (Cho et al., 2014; `torch.nn.GRU`).

use candle_core::{Result, Tensor};

use super::gru_cell::GruCell;
pub use super::gru_cell::Purpose;
use super::linear::affine;
use super::{Init, NnError, VariableBuilder};

/// One or more GRU layers over padded sequences.
///
/// Variables are `<name>.weight_ih_l<layer> [3H, I]`, `weight_hh [3H, H]`, `bias_ih [3H]` and
/// `bias_hh [3H]`, gates in the order r, z, n. Padding is on the right and must not matter: a
/// row's last state is the one after its own length.
#[derive(Debug, Clone)]
pub struct Gru {
    name: String,
    layers: Vec<Layer>,
}

#[derive(Debug, Clone)]
struct Layer {
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
}

/// What the layers say about a batch.
#[derive(Debug, Clone)]
pub struct GruStates {
    /// States of the last layer at every step, `[B, T, H]`; constant from a row's length on.
    pub states: Tensor,
    /// For each layer the state after each row's own length, `[B, H]`; zero for length 0.
    pub last: Vec<Tensor>,
}

impl GruStates {
    /// The last layer's state after each row's own length, `[B, H]`.
    #[must_use]
    pub fn into_last(mut self) -> Tensor {
        // There is always a layer; without one, what went in comes out.
        self.last.pop().unwrap_or(self.states)
    }
}

impl Gru {
    /// Makes `layers` layers; all values uniform in ±1/√H, as `torch.nn.GRU` draws them.
    ///
    /// # Errors
    /// See [`VariableBuilder::variable`].
    pub fn new(
        builder: &mut VariableBuilder,
        name: &str,
        inputs: usize,
        hidden: usize,
        layers: usize,
    ) -> std::result::Result<Self, NnError> {
        let init = Init::Uniform {
            bound: 1.0 / (hidden.max(1) as f64).sqrt(),
        };
        let mut make = |layer: usize| {
            let inputs = if layer == 0 { inputs } else { hidden };
            let mut variable = |what: &str, shape: &[usize]| {
                builder.variable(&format!("{name}.{what}_l{layer}"), shape, init)
            };
            Ok(Layer {
                weight_ih: variable("weight_ih", &[3 * hidden, inputs])?,
                weight_hh: variable("weight_hh", &[3 * hidden, hidden])?,
                bias_ih: variable("bias_ih", &[3 * hidden])?,
                bias_hh: variable("bias_hh", &[3 * hidden])?,
            })
        };
        Ok(Self {
            name: name.to_owned(),
            layers: (0..layers)
                .map(&mut make)
                .collect::<std::result::Result<_, _>>()?,
        })
    }

    /// Runs over a batch of sequences.
    ///
    /// # Shapes
    /// `x [B, T, I]`, `lengths` of B numbers at most T.
    ///
    /// # Errors
    /// If a shape or a length does not fit.
    pub fn forward(
        &self,
        x: &Tensor,
        lengths: &[usize],
        purpose: Purpose,
    ) -> std::result::Result<GruStates, NnError> {
        let fused = x.device().is_cpu().then_some(purpose);
        self.run(x, lengths, fused).map_err(NnError::at(&self.name))
    }

    /// Plain operations without `fused`.
    fn run(&self, x: &Tensor, lengths: &[usize], fused: Option<Purpose>) -> Result<GruStates> {
        let time = x.dim(1)?;
        if time == 0 {
            candle_core::bail!("sequences without a single step");
        }
        let mut states = x.clone();
        let mut last = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let projected = affine(&states, &layer.weight_ih, &layer.bias_ih)?; // [B, T, 3H]
            states = if let Some(purpose) = fused {
                let cell = GruCell::new(lengths, purpose);
                projected.apply_op3(&layer.weight_hh, &layer.bias_hh, cell)?
            } else {
                layer.recur(&projected, lengths)?
            }; // [B, T, H]
            last.push(states.narrow(1, time - 1, 1)?.squeeze(1)?); // [B, H]
        }
        Ok(GruStates { states, last })
    }
}

impl Layer {
    /// The recurrence in plain operations: for other devices, and to test the fused one.
    fn recur(&self, projected: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let (batch, time, width) = projected.dims3()?;
        let hidden = width / 3;
        let device = projected.device();
        let mut state = Tensor::zeros((batch, hidden), projected.dtype(), device)?;
        let mut states = Vec::with_capacity(time);
        for step in 0..time {
            let input = projected.narrow(1, step, 1)?.squeeze(1)?; // [B, 3H]
            let recurrent = affine(&state, &self.weight_hh, &self.bias_hh)?; // [B, 3H]
            let part = |of: &Tensor, gate: usize| of.narrow(1, gate * hidden, hidden);
            let logistic = |x: Tensor| (x.neg()?.exp()? + 1.0)?.recip();
            let reset = logistic((part(&input, 0)? + part(&recurrent, 0)?)?)?; // [B, H]
            let update = logistic((part(&input, 1)? + part(&recurrent, 1)?)?)?; // [B, H]
            let candidate = (part(&input, 2)? + (reset * part(&recurrent, 2)?)?)?.tanh()?;
            let new = ((&candidate - (&update * &candidate)?)? + (&update * &state)?)?; // [B, H]
            let going = |length: &usize| if step < *length { 1.0_f32 } else { 0.0 };
            let mask: Vec<f32> = lengths.iter().map(going).collect();
            let mask = Tensor::from_vec(mask, (batch, 1), device)?;
            state = (&state + (new - &state)?.broadcast_mul(&mask)?)?; // [B, H]
            states.push(state.clone());
        }
        Tensor::stack(&states, 1) // [B, T, H]
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::base::Random;

    /// Values and all gradients of the fused recurrence against the plain one. 5e-6 absolute:
    /// two ways to sum 4-term gates and 24-row gradients in f32, with values of order 1.
    #[test]
    fn fused_equals_plain_with_every_gradient() {
        let (batch, time, inputs, hidden) = (4, 6, 3, 5);
        let mut builder = VariableBuilder::from_seed(5, &Device::Cpu);
        let gru = Gru::new(&mut builder, "gru", inputs, hidden, 2).expect("fresh");
        let shape = [batch, time, inputs];
        let init = Init::Normal { deviation: 1.0 };
        let x = builder.variable("x", &shape, init).expect("fresh");
        let variables = builder.finish().expect("complete");
        let lengths = [6, 1, 0, 4];
        let mut random = Random::new(5, "weights");
        let weights: Vec<f32> = (0..batch * time * hidden)
            .map(|_| random.normal() as f32)
            .collect();
        let weights = Tensor::from_vec(weights, (batch, time, hidden), &Device::Cpu).expect("cpu");
        let run = |fused: Option<Purpose>| {
            let out = gru.run(&x, &lengths, fused).expect("shapes fit");
            let loss = (&out.states * &weights).and_then(|product| product.sum_all());
            let gradients = loss.expect("cpu").backward().expect("differentiable");
            let mut all = vec![out.states.flatten_all().expect("flat")];
            for (name, variable) in variables.iter() {
                let gradient = gradients.get(variable);
                let gradient = gradient.unwrap_or_else(|| panic!("{name} has no gradient"));
                all.push(gradient.flatten_all().expect("flat"));
            }
            all.into_iter()
                .map(|tensor| tensor.to_vec1::<f32>().expect("f32"))
                .collect::<Vec<_>>()
        };
        let mut worst = 0.0_f32;
        for (one, two) in run(Some(Purpose::Training)).iter().zip(&run(None)) {
            assert_eq!(one.len(), two.len());
            for (one, two) in one.iter().zip(two) {
                worst = worst.max((one - two).abs());
            }
        }
        assert!(worst < 5e-6, "{worst}");
    }

    #[test]
    fn gradients_agree_with_differences() {
        let mut builder = VariableBuilder::from_seed(6, &Device::Cpu);
        let gru = Gru::new(&mut builder, "gru", 2, 3, 2).expect("fresh");
        let init = Init::Normal { deviation: 1.0 };
        let x = builder.variable("x", &[2, 3, 2], init).expect("fresh");
        let variables = builder.finish().expect("complete");
        crate::nn::finite_difference::check(&variables, || {
            let last = gru
                .forward(&x, &[3, 2], Purpose::Training)
                .expect("shapes")
                .into_last(); // [2, 3]
            last.sqr().and_then(|last| last.sum_all()).expect("cpu")
        });
    }

    #[test]
    fn padding_does_not_matter_and_wrong_shapes_are_errors() {
        let mut builder = VariableBuilder::from_seed(5, &Device::Cpu);
        let gru = Gru::new(&mut builder, "gru", 3, 4, 1).expect("fresh");
        let x = Init::Normal { deviation: 1.0 }.draw(1, "x", &[2, 5, 3]);
        let x = Tensor::from_vec(x, (2, 5, 3), &Device::Cpu).expect("cpu");
        let padded = gru
            .forward(&x, &[2, 0], Purpose::Training)
            .expect("fits")
            .last[0]
            .to_vec2::<f32>();
        let cut = x.narrow(1, 0, 2).expect("narrow");
        let alone = gru
            .forward(&cut, &[2, 0], Purpose::Scoring)
            .expect("fits")
            .last[0]
            .to_vec2::<f32>();
        let (padded, alone) = (padded.expect("f32"), alone.expect("f32"));
        assert_eq!(padded, alone);
        assert_eq!(padded[1], [0.0; 4]);
        assert!(gru.forward(&x, &[6, 0], Purpose::Scoring).is_err());
        assert!(gru.forward(&x, &[1], Purpose::Scoring).is_err());
        assert!(
            gru.forward(
                &cut.narrow(2, 0, 2).expect("narrow"),
                &[1, 1],
                Purpose::Scoring
            )
            .is_err()
        );
    }
}
