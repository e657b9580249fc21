//! The gated recurrent unit with PyTorch's semantics (Cho et al., 2014; `torch.nn.GRU`).

use std::sync::Mutex;

use candle_core::{Result, Tensor};

use super::dropout::Dropping;
use super::linear::affine;
pub use super::recurrence::Purpose;
use super::recurrence::{Recurrence, Source, Weights};
use super::{Init, NnError, VariableBuilder};

/// One or more GRU layers over padded sequences.
///
/// Variables are `<name>.weight_ih_l<layer> [3H, I]`, `weight_hh [3H, H]`, `bias_ih [3H]` and
/// `bias_hh [3H]`, gates in the order r, z, n. Padding is on the right and must not matter: a
/// row's last state is the one after its own length.
#[derive(Debug, Clone)]
pub struct Gru {
    name: String,
    layers: Vec<Weights>,
}

/// What the layers say about a batch.
#[derive(Debug, Clone)]
pub struct GruStates {
    /// For each layer the state after each row's own length, `[L, B, H]`; zero for length 0.
    pub last: Tensor,
}

impl GruStates {
    /// The last layer's state after each row's own length, `[B, H]`.
    ///
    /// # Errors
    /// If candle refuses.
    pub fn into_last(self) -> std::result::Result<Tensor, NnError> {
        let top = || self.last.get(self.last.dim(0)?.saturating_sub(1));
        top().map_err(NnError::at("gru"))
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
            Ok(Weights {
                input: variable("weight_ih", &[3 * hidden, inputs])?,
                recurrent: variable("weight_hh", &[3 * hidden, hidden])?,
                input_bias: variable("bias_ih", &[3 * hidden])?,
                recurrent_bias: variable("bias_hh", &[3 * hidden])?,
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
    /// On the CPU the gradients of its variables come from [`Gradients`](super::Gradients) only.
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
        let run = || match self.layers.first() {
            Some(layer) if x.device().is_cpu() => {
                let time = x.dim(1)?;
                if x.track_op() {
                    self.fused(x, time, Source::Argument, lengths, purpose)
                } else {
                    let source = Source::Constant(x.clone());
                    self.fused(&layer.input, time, source, lengths, purpose)
                }
            }
            _ => self.plain(x, lengths),
        };
        let last = run().map_err(NnError::at(&self.name))?;
        Ok(GruStates { last })
    }

    /// The same over vectors looked up in tables, side by side, and dropped out: their gradients
    /// go to the rows that were used, without a tensor of all steps between.
    ///
    /// # Shapes
    /// Tables `[V, W]`, variables or frozen, widths W adding up to I; identifiers `[B, T]` u32; `lengths` of B numbers
    /// at most T.
    ///
    /// # Errors
    /// If a shape, a length or an identifier does not fit.
    pub fn forward_looked_up(
        &self,
        tables: &[(&Tensor, &Tensor)],
        lengths: &[usize],
        dropping: Option<Dropping>,
        purpose: Purpose,
    ) -> std::result::Result<GruStates, NnError> {
        let Some(((_, identifiers), layer)) = tables.first().zip(self.layers.first()) else {
            return Err(NnError::at(&self.name)(candle_core::Error::Msg(
                "no tables to look up in".to_owned(),
            )));
        };
        if !identifiers.device().is_cpu() {
            let look_up = |(table, identifiers): &(&Tensor, &Tensor)| {
                let (rows, time) = identifiers.dims2()?;
                let looked_up = table.index_select(&identifiers.flatten_all()?, 0)?;
                looked_up.reshape((rows, time, ()))
            };
            let looked_up: Result<Vec<Tensor>> = tables.iter().map(look_up).collect();
            let x = looked_up.and_then(|looked_up| Tensor::cat(&looked_up, 2)); // [B, T, I]
            let mut x = x.map_err(NnError::at(&self.name))?;
            if let Some(dropping) = dropping {
                x = dropping.apply(&x)?;
            }
            return self.forward(&x, lengths, purpose);
        }
        let fused = || {
            let time = identifiers.dim(1)?;
            let tables: Result<Vec<(Tensor, Vec<u32>)>> = tables
                .iter()
                .map(|(table, identifiers)| {
                    let numbers = identifiers.flatten_all()?.to_vec1()?;
                    Ok(((*table).clone(), numbers))
                })
                .collect();
            let source = Source::Tables(tables?, dropping);
            self.fused(&layer.input, time, source, lengths, purpose)
        };
        let last = fused().map_err(NnError::at(&self.name))?;
        Ok(GruStates { last })
    }

    fn fused(
        &self,
        argument: &Tensor,
        time: usize,
        source: Source,
        lengths: &[usize],
        purpose: Purpose,
    ) -> Result<Tensor> {
        argument.contiguous()?.apply_op1(Recurrence {
            layers: self.layers.clone(),
            source,
            lengths: lengths.to_vec(),
            time,
            purpose,
            kept: Mutex::new(None),
        })
    }

    /// Plain operations: for other devices, and to test the fused one.
    fn plain(&self, x: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let mut states = x.clone();
        let mut last = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let projected = affine(&states, &layer.input, &layer.input_bias)?; // [B, T, 3H]
            states = layer.recur(&projected, lengths)?; // [B, T, H]
            let steps = states.dim(1)?;
            last.push(states.narrow(1, steps - 1, 1)?.squeeze(1)?); // [B, H]
        }
        Tensor::stack(&last, 0)
    }
}

impl Weights {
    /// The recurrence in plain operations; the state stays what it was from a row's length on.
    fn recur(&self, projected: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let (batch, time, width) = projected.dims3()?;
        if time == 0 {
            candle_core::bail!("sequences without a single step");
        }
        let hidden = width / 3;
        let device = projected.device();
        let mut state = Tensor::zeros((batch, hidden), projected.dtype(), device)?;
        let mut states = Vec::with_capacity(time);
        for step in 0..time {
            let input = projected.narrow(1, step, 1)?.squeeze(1)?; // [B, 3H]
            let recurrent = affine(&state, &self.recurrent, &self.recurrent_bias)?; // [B, 3H]
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
    use crate::nn::{Embedding, Gradients};

    fn flat(tensor: &Tensor) -> Vec<f32> {
        let flat = tensor.flatten_all().expect("flat");
        flat.to_vec1::<f32>().expect("f32")
    }

    /// Values and gradients of all variables for a loss that weighs every state.
    fn with_gradients(variables: &crate::nn::Variables, last: &Tensor) -> Vec<Vec<f32>> {
        let mut random = Random::new(5, "weights");
        let weights: Vec<f32> = (0..last.elem_count())
            .map(|_| random.normal() as f32)
            .collect();
        let weights = Tensor::from_vec(weights, last.shape(), &Device::Cpu).expect("cpu");
        let loss = (last * weights).and_then(|product| product.sum_all());
        let gradients = Gradients::of(&loss.expect("cpu")).expect("differentiable");
        let mut all = vec![flat(last)];
        for (name, variable) in variables.iter() {
            let gradient = gradients.get(variable).expect("cpu");
            let gradient = gradient.unwrap_or_else(|| panic!("{name} has no gradient"));
            all.push(flat(&gradient));
        }
        all
    }

    fn worst(one: &[Vec<f32>], two: &[Vec<f32>]) -> f32 {
        let mut worst = 0.0_f32;
        for (one, two) in one.iter().zip(two) {
            assert_eq!(one.len(), two.len());
            for (one, two) in one.iter().zip(two) {
                worst = worst.max((one - two).abs());
            }
        }
        worst
    }

    /// Values and all gradients of the fused layers against the plain ones. 5e-6 absolute: two
    /// ways to sum 4-term gates and 24-row gradients in f32, with values of order 1.
    #[test]
    fn fused_equals_plain_with_every_gradient() {
        let mut builder = VariableBuilder::from_seed(5, &Device::Cpu);
        let gru = Gru::new(&mut builder, "gru", 3, 5, 2).expect("fresh");
        let init = Init::Normal { deviation: 1.0 };
        let x = builder.variable("x", &[4, 6, 3], init).expect("fresh");
        let variables = builder.finish().expect("complete");
        let lengths = [4, 1, 0, 6];
        let fused = gru.forward(&x, &lengths, Purpose::Training).expect("fits");
        let plain = gru.plain(&x, &lengths).expect("fits");
        let fused = with_gradients(&variables, &fused.last);
        let worst = worst(&fused, &with_gradients(&variables, &plain));
        assert!(worst < 5e-6, "{worst}");
    }

    /// Looking up inside and outside of the operation is the same, dropout included.
    #[test]
    fn looked_up_inside_or_outside_is_the_same() {
        let device = Device::Cpu;
        let mut builder = VariableBuilder::from_seed(7, &device);
        let gru = Gru::new(&mut builder, "gru", 5, 4, 2).expect("fresh");
        let init = Init::Normal { deviation: 1.0 };
        let items = Embedding::new(&mut builder, "items", 9, 3, init).expect("fresh");
        let feedback = Embedding::new(&mut builder, "feedback", 2, 2, init).expect("fresh");
        let variables = builder.finish().expect("complete");
        let of = |ids: &[u32]| Tensor::from_slice(ids, (3, 4), &device).expect("cpu");
        let ids = of(&[1, 8, 3, 3, 2, 1, 0, 0, 4, 5, 6, 1]);
        let likes = of(&[1, 0, 1, 1, 0, 0, 0, 0, 1, 1, 0, 1]);
        let lengths = [3, 2, 4];
        let mut random = Random::new(1, "dropout");
        let dropping = crate::nn::Dropout::new(0.3).draw(Some(&mut random));
        assert!(dropping.is_some());
        for dropping in [None, dropping] {
            let tables = [(items.weight(), &ids), (feedback.weight(), &likes)];
            let inside = gru
                .forward_looked_up(&tables, &lengths, dropping, Purpose::Training)
                .expect("fits");
            let looked_up = [(&items, &ids), (&feedback, &likes)]
                .map(|(table, ids)| table.forward(ids).expect("fits"));
            let mut x = Tensor::cat(&looked_up, 2).expect("cpu");
            if let Some(dropping) = dropping {
                x = dropping.apply(&x).expect("cpu");
            }
            let outside = gru.forward(&x, &lengths, Purpose::Training).expect("fits");
            let inside = with_gradients(&variables, &inside.last);
            let worst = worst(&inside, &with_gradients(&variables, &outside.last));
            assert!(worst < 1e-6, "{worst}");
        }
        let beyond = of(&[9; 12]);
        let tables = [(items.weight(), &beyond), (feedback.weight(), &likes)];
        let error = gru.forward_looked_up(&tables, &lengths, None, Purpose::Scoring);
        assert!(
            error
                .expect_err("nine rows")
                .to_string()
                .contains("identifier 9")
        );
    }

    #[test]
    fn gradients_agree_with_differences() {
        let mut builder = VariableBuilder::from_seed(6, &Device::Cpu);
        let gru = Gru::new(&mut builder, "gru", 2, 3, 2).expect("fresh");
        let init = Init::Normal { deviation: 1.0 };
        let x = builder.variable("x", &[2, 3, 2], init).expect("fresh");
        let variables = builder.finish().expect("complete");
        crate::nn::finite_difference::check(&variables, || {
            let last = gru.forward(&x, &[3, 2], Purpose::Training).expect("shapes");
            let last = last.into_last().expect("a layer"); // [2, 3]
            last.sqr().and_then(|last| last.sum_all()).expect("cpu")
        });
    }

    #[test]
    fn padding_does_not_matter_and_wrong_shapes_are_errors() {
        let mut builder = VariableBuilder::from_seed(5, &Device::Cpu);
        let gru = Gru::new(&mut builder, "gru", 3, 4, 1).expect("fresh");
        let x = Init::Normal { deviation: 1.0 }.draw(1, "x", &[2, 5, 3]);
        let x = Tensor::from_vec(x, (2, 5, 3), &Device::Cpu).expect("cpu");
        let run = |x: &Tensor, lengths: &[usize], purpose| gru.forward(x, lengths, purpose);
        let padded = run(&x, &[2, 0], Purpose::Training)
            .expect("fits")
            .into_last();
        let cut = x.narrow(1, 0, 2).expect("narrow");
        let alone = run(&cut, &[2, 0], Purpose::Scoring)
            .expect("fits")
            .into_last();
        let padded = padded.expect("a layer").to_vec2::<f32>().expect("f32");
        let alone = alone.expect("a layer").to_vec2::<f32>().expect("f32");
        assert_eq!(padded, alone);
        assert_eq!(padded[1], [0.0; 4]);
        assert!(run(&x, &[6, 0], Purpose::Scoring).is_err());
        assert!(run(&x, &[1], Purpose::Scoring).is_err());
        let narrow = cut.narrow(2, 0, 2).expect("narrow");
        assert!(run(&narrow, &[1, 1], Purpose::Scoring).is_err());
    }

    /// candle's own backward pass would lose gradients: it is refused.
    #[test]
    fn going_backward_past_the_gradients_is_an_error() {
        let mut builder = VariableBuilder::from_seed(5, &Device::Cpu);
        let gru = Gru::new(&mut builder, "gru", 3, 4, 1).expect("fresh");
        let x = Tensor::ones((1, 2, 3), candle_core::DType::F32, &Device::Cpu).expect("cpu");
        let loss = |purpose| {
            let states = gru.forward(&x, &[2], purpose).expect("fits");
            states.last.sum_all().expect("cpu")
        };
        let error = loss(Purpose::Training).backward().expect_err("refused");
        assert!(error.to_string().contains("Gradients::of"), "{error}");
        let error = Gradients::of(&loss(Purpose::Scoring)).expect_err("kept nothing");
        assert!(error.to_string().contains("scoring"), "{error}");
    }
}
