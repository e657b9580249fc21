//! Layer normalisation (Ba, Kiros and Hinton, 2016) with PyTorch's semantics, as one operation.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::matrix::{numbers, with_numbers};
use super::{Init, NnError, VariableBuilder};

/// Added to the variance, `torch.nn.LayerNorm`'s default.
const EPSILON: f32 = 1e-5;

/// `(x − mean) / √(variance + 1e-5) · weight + bias` over the last dimension.
///
/// Variables are `<name>.weight [W]`, starting at 1, and `<name>.bias [W]`, starting at 0.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    name: String,
    weight: Tensor,
    bias: Tensor,
}

impl LayerNorm {
    /// Makes the norm of rows of `width` numbers.
    ///
    /// # Errors
    /// See [`VariableBuilder::variable`].
    pub fn new(
        builder: &mut VariableBuilder,
        name: &str,
        width: usize,
    ) -> std::result::Result<Self, NnError> {
        let (one, zero) = (Init::Constant(1.0), Init::Constant(0.0));
        Ok(Self {
            name: name.to_owned(),
            weight: builder.variable(&format!("{name}.weight"), &[width], one)?,
            bias: builder.variable(&format!("{name}.bias"), &[width], zero)?,
        })
    }

    /// Normalises each row.
    ///
    /// # Shapes
    /// `x [.., W] → [.., W]`.
    ///
    /// # Errors
    /// If the last dimension is not W.
    pub fn forward(&self, x: &Tensor) -> std::result::Result<Tensor, NnError> {
        let run = || {
            if x.device().is_cpu() {
                x.contiguous()?
                    .apply_op3(&self.weight, &self.bias, Normalise)
            } else {
                self.plain(x)
            }
        };
        run().map_err(NnError::at(&self.name))
    }

    /// The same in plain operations: for other devices, and to test the fused one.
    fn plain(&self, x: &Tensor) -> Result<Tensor> {
        let last = x.rank().saturating_sub(1);
        let apart = x.broadcast_sub(&x.mean_keepdim(last)?)?;
        let variance = apart.sqr()?.mean_keepdim(last)?;
        let deviation = (variance + f64::from(EPSILON))?.sqrt()?;
        apart
            .broadcast_div(&deviation)?
            .broadcast_mul(&self.weight)?
            .broadcast_add(&self.bias)
    }
}

struct Normalise;

/// Mean of a row and 1 / √(variance + ε).
fn moments(row: &[f32]) -> (f32, f32) {
    let share = 1.0 / row.len() as f32;
    let mean = row.iter().sum::<f32>() * share;
    let squares: f32 = row.iter().map(|x| (x - mean) * (x - mean)).sum();
    (mean, 1.0 / (squares * share + EPSILON).sqrt())
}

impl CustomOp3 for Normalise {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let width = weight_layout.shape().dims1()?;
        if x_layout.dims().last() != Some(&width) || bias_layout.dims() != [width] || width == 0 {
            candle_core::bail!(
                "x {:?}, weight [{width}], bias {:?}",
                x_layout.dims(),
                bias_layout.dims()
            );
        }
        let x = numbers(x, x_layout)?;
        let weight = numbers(weight, weight_layout)?;
        let bias = numbers(bias, bias_layout)?;
        let mut out = vec![0.0; x.len()];
        for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            let (mean, inverse) = moments(x);
            let given = x.iter().zip(weight).zip(bias);
            for (out, ((x, weight), bias)) in out.iter_mut().zip(given) {
                *out = (x - mean) * inverse * weight + bias;
            }
        }
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _bias: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let width = weight.dims1()?;
        let mut for_x = vec![0.0_f32; x.elem_count()];
        let mut for_weight = vec![0.0_f32; width];
        let mut for_bias = vec![0.0_f32; width];
        let mut scaled = vec![0.0_f32; width];
        with_numbers(gradient, |gradient| {
            with_numbers(x, |x| {
                with_numbers(weight, |weight| {
                    let rows = gradient.chunks_exact(width).zip(x.chunks_exact(width));
                    for ((gradient, x), for_x) in rows.zip(for_x.chunks_exact_mut(width)) {
                        let (mean, inverse) = moments(x);
                        let (mut sum, mut along) = (0.0, 0.0);
                        for at in 0..width {
                            let normal = (x[at] - mean) * inverse;
                            for_weight[at] += gradient[at] * normal;
                            for_bias[at] += gradient[at];
                            scaled[at] = gradient[at] * weight[at];
                            sum += scaled[at];
                            along += scaled[at] * normal;
                        }
                        let (sum, along) = (sum / width as f32, along / width as f32);
                        for at in 0..width {
                            let normal = (x[at] - mean) * inverse;
                            for_x[at] = (scaled[at] - sum - normal * along) * inverse;
                        }
                    }
                    Ok(())
                })
            })
        })?;
        let device = x.device();
        Ok((
            Some(Tensor::from_vec(for_x, x.shape(), device)?),
            Some(Tensor::from_vec(for_weight, width, device)?),
            Some(Tensor::from_vec(for_bias, width, device)?),
        ))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn fused_equals_plain_with_every_gradient_and_differences() {
        let mut builder = VariableBuilder::from_seed(2, &Device::Cpu);
        let norm = LayerNorm::new(&mut builder, "norm", 5).expect("fresh");
        let init = Init::Normal { deviation: 1.5 };
        let x = builder.variable("x", &[3, 2, 5], init).expect("fresh");
        let goal = builder.variable("goal", &[5], init).expect("fresh");
        let variables = builder.finish().expect("complete");
        for (_, variable) in variables
            .iter()
            .filter(|(name, _)| name.starts_with("norm"))
        {
            let moved = Init::Normal { deviation: 1.0 }.draw(4, "moved", &[5]);
            let moved = Tensor::from_vec(moved, 5, &Device::Cpu).expect("cpu");
            variable.set(&moved).expect("same shape");
        }
        let loss = |out: Tensor| {
            let apart = out.broadcast_sub(&goal).and_then(|apart| apart.sqr());
            apart.and_then(|apart| apart.mean_all()).expect("cpu")
        };
        let fused = || loss(norm.forward(&x).expect("fits"));
        let ours = fused().backward().expect("differentiable");
        let plain = loss(norm.plain(&x).expect("fits")).backward();
        let plain = plain.expect("differentiable");
        for (name, variable) in variables.iter() {
            let (one, two) = (ours.get(variable), plain.get(variable));
            let apart = (one.expect("reached") - two.expect("reached")).and_then(|t| t.abs());
            let apart = apart.and_then(|t| t.flatten_all()?.max(0)).expect("cpu");
            let apart = apart.to_scalar::<f32>().expect("scalar");
            assert!(apart < 2e-6, "{name} {apart}");
        }
        crate::nn::finite_difference::check(&variables, fused);
        // A row without spread becomes the bias.
        let flat = Tensor::ones((1, 5), candle_core::DType::F32, &Device::Cpu).expect("cpu");
        let out = norm.forward(&flat).and_then(|out| {
            out.flatten_all()
                .and_then(|out| out.to_vec1::<f32>())
                .map_err(NnError::at("out"))
        });
        let bias = variables.get("norm.bias").expect("there").to_vec1::<f32>();
        assert_eq!(out.expect("fits"), bias.expect("f32"));
        let thin = x.narrow(2, 0, 4).expect("narrow");
        assert!(norm.forward(&thin).is_err());
    }
}
