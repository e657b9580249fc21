//! Caser's two convolutions over an embedded history (Tang and Wang, 2018), each one operation.
//!
//! Both take sequences padded on the right, see zeros behind a row's own length, and behave as if
//! every sequence were padded with zeros to a fixed number of steps: windows that lie in the
//! padding count, as in `torch.nn.Conv2d` over a padded picture.

use candle_core::{Device, Result, Tensor};

use super::convolution_operations::{Across, Along, Sequences};
use super::{Init, NnError, VariableBuilder};

/// Filters as high as some steps and as wide as the embedding, `ReLU`, and the largest value over
/// all places: `torch.nn.Conv2d(1, F, (h, W))`, `relu` and `max_pool1d` in one.
///
/// Variables are `<name>.weight [F, 1, h, W]` and `<name>.bias [F]`.
#[derive(Debug, Clone)]
pub struct HorizontalConvolution {
    name: String,
    steps: usize,
    weight: Tensor,
    bias: Tensor,
}

/// Filters over all steps, the same for each column of the embedding, and `ReLU`:
/// `torch.nn.Conv2d(1, F, (L, 1))`.
///
/// Variables are `<name>.weight [F, 1, L, 1]` and `<name>.bias [F]`.
#[derive(Debug, Clone)]
pub struct VerticalConvolution {
    name: String,
    weight: Tensor,
    bias: Tensor,
}

/// Biases start at 0.1 in the DROS repository, so that `ReLU` lets something through.
const BIAS: Init = Init::Constant(0.1);

impl HorizontalConvolution {
    /// Makes `filters` filters over `height` steps of `width` numbers, for sequences of `steps`
    /// steps; weights by Xavier's normal rule and biases 0.1, as in the DROS repository.
    ///
    /// # Errors
    /// See [`VariableBuilder::variable`].
    pub fn new(
        builder: &mut VariableBuilder,
        name: &str,
        filters: usize,
        (height, width): (usize, usize),
        steps: usize,
    ) -> std::result::Result<Self, NnError> {
        let shape = [filters, 1, height, width];
        Ok(Self {
            name: name.to_owned(),
            steps,
            weight: builder.variable(&format!("{name}.weight"), &shape, Init::XavierNormal)?,
            bias: builder.variable(&format!("{name}.bias"), &[filters], BIAS)?,
        })
    }

    /// What each filter found at most. Of equal places the first gets the gradient.
    ///
    /// # Shapes
    /// `x [B, T, W]`, `lengths` of B numbers at most T, T at most the number of steps → `[B, F]`.
    ///
    /// # Errors
    /// If a shape or a length does not fit, or the filter is higher than the number of steps.
    pub fn forward(&self, x: &Tensor, lengths: &[usize]) -> std::result::Result<Tensor, NnError> {
        let sequences = Sequences::new(lengths, self.steps);
        let run = || {
            if x.device().is_cpu() {
                let operation = Across::new(sequences);
                x.contiguous()?
                    .apply_op3(&self.weight, &self.bias, operation)
            } else {
                self.plain(x, lengths)
            }
        };
        run().map_err(NnError::at(&self.name))
    }

    /// The same in plain operations: for other devices, and to test the fused one.
    fn plain(&self, x: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let (filters, _, height, width) = self.weight.dims4()?;
        let x = padded(x, lengths, self.steps)?; // [B, L, W]
        let weight = self.weight.reshape((filters, height * width))?.t()?;
        let found = (0..=self.steps - height)
            .map(|step| {
                let window = x.narrow(1, step, height)?.flatten_from(1)?; // [B, h · W]
                window.matmul(&weight)?.broadcast_add(&self.bias)?.relu()
            })
            .collect::<Result<Vec<_>>>()?;
        let found = Tensor::stack(&found, 2)?; // [B, F, L − h + 1]
        let best = found.argmax_keepdim(2)?; // [B, F, 1]
        found.gather(&best, 2)?.squeeze(2) // [B, F]
    }
}

impl VerticalConvolution {
    /// Makes `filters` filters over `steps` steps; initial values as of [`HorizontalConvolution`].
    ///
    /// # Errors
    /// See [`VariableBuilder::variable`].
    pub fn new(
        builder: &mut VariableBuilder,
        name: &str,
        filters: usize,
        steps: usize,
    ) -> std::result::Result<Self, NnError> {
        let shape = [filters, 1, steps, 1];
        Ok(Self {
            name: name.to_owned(),
            weight: builder.variable(&format!("{name}.weight"), &shape, Init::XavierNormal)?,
            bias: builder.variable(&format!("{name}.bias"), &[filters], BIAS)?,
        })
    }

    /// Each filter's weighted sum of the steps, filter after filter.
    ///
    /// # Shapes
    /// `x [B, T, W]`, `lengths` of B numbers at most T, T at most the number of steps →
    /// `[B, F · W]`.
    ///
    /// # Errors
    /// If a shape or a length does not fit.
    pub fn forward(&self, x: &Tensor, lengths: &[usize]) -> std::result::Result<Tensor, NnError> {
        let run = || {
            if x.device().is_cpu() {
                let steps = self.weight.dim(2)?;
                let operation = Along::new(Sequences::new(lengths, steps));
                x.contiguous()?
                    .apply_op3(&self.weight, &self.bias, operation)
            } else {
                self.plain(x, lengths)
            }
        };
        run().map_err(NnError::at(&self.name))
    }

    /// The same in plain operations: for other devices, and to test the fused one.
    fn plain(&self, x: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let (filters, _, steps, _) = self.weight.dims4()?;
        let x = padded(x, lengths, steps)?; // [B, L, W]
        let weight = self.weight.reshape((1, filters, steps))?;
        let weight = weight.repeat((x.dim(0)?, 1, 1))?; // [B, F, L]
        let sums = weight.matmul(&x)?; // [B, F, W]
        let bias = self.bias.reshape((1, filters, 1))?;
        sums.broadcast_add(&bias)?.relu()?.flatten_from(1)
    }
}

/// Zeros behind each row's length, up to `steps` steps.
fn padded(x: &Tensor, lengths: &[usize], steps: usize) -> Result<Tensor> {
    let (batch, time, _) = x.dims3()?;
    let fits = |length: &usize| *length <= time;
    if lengths.len() != batch || time > steps || !lengths.iter().all(fits) {
        candle_core::bail!("x {:?}, {steps} steps, lengths {lengths:?}", x.dims());
    }
    let kept: Vec<f32> = lengths
        .iter()
        .flat_map(|length| (0..time).map(move |step| if step < *length { 1.0 } else { 0.0 }))
        .collect();
    let kept = Tensor::from_vec(kept, (batch, time, 1), &Device::Cpu)?.to_device(x.device())?;
    x.broadcast_mul(&kept)?.pad_with_zeros(1, 0, steps - time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Variables;

    struct Case {
        across: HorizontalConvolution,
        along: VerticalConvolution,
        x: Tensor,
        variables: Variables,
    }

    const LENGTHS: [usize; 5] = [5, 1, 0, 3, 4];

    /// Sequences of at most 5 of 7 steps: some windows lie in the padding.
    fn case(seed: u64) -> Case {
        let mut builder = VariableBuilder::from_seed(seed, &Device::Cpu);
        let across = HorizontalConvolution::new(&mut builder, "across", 6, (3, 4), 7);
        let along = VerticalConvolution::new(&mut builder, "along", 2, 7);
        let init = Init::Normal { deviation: 1.0 };
        let x = builder.variable("x", &[5, 5, 4], init).expect("fresh");
        Case {
            across: across.expect("fresh"),
            along: along.expect("fresh"),
            x,
            variables: builder.finish().expect("complete"),
        }
    }

    /// 2e-6: two ways to sum a dozen numbers of order 1 in f32.
    #[test]
    fn fused_equals_plain_with_every_gradient() {
        for seed in 0..20 {
            let case = case(seed);
            let run = |fused: bool| {
                let (across, along) = if fused {
                    let across = case.across.forward(&case.x, &LENGTHS);
                    let along = case.along.forward(&case.x, &LENGTHS);
                    (across.expect("fits"), along.expect("fits"))
                } else {
                    let across = case.across.plain(&case.x, &LENGTHS);
                    let along = case.along.plain(&case.x, &LENGTHS);
                    (across.expect("fits"), along.expect("fits"))
                };
                assert_eq!((across.dims(), along.dims()), (&[5, 6][..], &[5, 8][..]));
                let out = Tensor::cat(&[across, along], 1).expect("rows");
                let loss = out.sqr().and_then(|out| out.sum_all()).expect("cpu");
                let gradients = loss.backward().expect("differentiable");
                let mut all = vec![out.flatten_all().expect("flat")];
                for (name, variable) in case.variables.iter() {
                    let gradient = gradients.get(variable);
                    let gradient = gradient.unwrap_or_else(|| panic!("{name}: no gradient"));
                    all.push(gradient.flatten_all().expect("flat"));
                }
                Tensor::cat(&all, 0).and_then(|all| all.to_vec1::<f32>())
            };
            let (fused, plain) = (run(true).expect("f32"), run(false).expect("f32"));
            assert_eq!(fused.len(), plain.len());
            for (one, two) in fused.iter().zip(plain) {
                assert!((one - two).abs() < 2e-6 * (1.0 + two.abs()), "{one} {two}");
            }
        }
    }

    #[test]
    fn gradients_agree_with_differences() {
        // With this seed no step of the differences crosses a corner of the maximum or of ReLU.
        let case = case(1);
        crate::nn::finite_difference::check(&case.variables, || {
            let across = case.across.forward(&case.x, &LENGTHS).expect("fits");
            let along = case.along.forward(&case.x, &LENGTHS).expect("fits");
            let out = Tensor::cat(&[across, along], 1).expect("rows");
            out.sqr().and_then(|out| out.mean_all()).expect("cpu")
        });
    }

    #[test]
    fn padding_does_not_matter_and_wrong_shapes_are_errors() {
        let case = case(1);
        let of = |x: &Tensor, lengths: &[usize]| {
            let across = case.across.forward(x, lengths).expect("fits");
            let along = case.along.forward(x, lengths).expect("fits");
            Tensor::cat(&[across, along], 1).and_then(|out| out.to_vec2::<f32>())
        };
        let narrow = |rows: usize, steps: usize| {
            let rows = case
                .x
                .narrow(0, 3, rows)
                .and_then(|x| x.narrow(1, 0, steps));
            rows.expect("narrow")
        };
        // Sums may be in another order when there are other rows.
        let padded = of(&narrow(1, 5), &[3]).expect("f32");
        let cut = of(&narrow(1, 3), &[3]).expect("f32");
        let together = of(&case.x, &LENGTHS).expect("f32");
        for other in [&cut[0], &together[3]] {
            for (one, two) in padded[0].iter().zip(other) {
                assert!((one - two).abs() < 1e-6, "{one} {two}");
            }
        }
        for lengths in [&[6][..], &[1, 1]] {
            assert!(case.across.forward(&narrow(1, 5), lengths).is_err());
            assert!(case.along.forward(&narrow(1, 5), lengths).is_err());
        }
        let longer = Tensor::cat(&[&case.x, &case.x], 1).expect("steps");
        assert!(case.across.forward(&longer, &LENGTHS).is_err());
        let thin = case.x.narrow(2, 0, 3).expect("narrow");
        assert!(case.across.forward(&thin, &LENGTHS).is_err());
    }
}
