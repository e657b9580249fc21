//! The affine layer, `y = x Wᵀ + b`, as one operation.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::matrix::{Matrix, Write, add_rows, multiply, numbers, with_numbers};
use super::{Init, NnError, VariableBuilder};

/// `y = x Wᵀ + b` with PyTorch's layout: weight `[O, I]`, bias `[O]`.
#[derive(Debug, Clone)]
pub struct Linear {
    name: String,
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// Makes `<name>.weight` and `<name>.bias`, drawn as `torch.nn.Linear` draws them: uniform
    /// in ±1/√I.
    ///
    /// # Errors
    /// See [`VariableBuilder::variable`].
    pub fn new(
        builder: &mut VariableBuilder,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> std::result::Result<Self, NnError> {
        let init = Init::Uniform {
            bound: 1.0 / (inputs.max(1) as f64).sqrt(),
        };
        Ok(Self {
            name: name.to_owned(),
            weight: builder.variable(&format!("{name}.weight"), &[outputs, inputs], init)?,
            bias: builder.variable(&format!("{name}.bias"), &[outputs], init)?,
        })
    }

    /// Weight `[O, I]` and bias `[O]`, for layers that combine them with others.
    pub(super) fn parts(&self) -> (&Tensor, &Tensor) {
        (&self.weight, &self.bias)
    }

    /// The affine map.
    ///
    /// # Shapes
    /// `x [.., I] → [.., O]`.
    ///
    /// # Errors
    /// If the last dimension is not I.
    pub fn forward(&self, x: &Tensor) -> std::result::Result<Tensor, NnError> {
        affine(x, &self.weight, &self.bias).map_err(NnError::at(&self.name))
    }

    /// The outputs `chosen` only, one a row: what a loss on one target item needs.
    ///
    /// # Shapes
    /// `x [B, I], chosen [B] u32 → [B]`.
    ///
    /// # Errors
    /// If a shape does not fit or a number is not below O.
    pub fn forward_chosen(
        &self,
        x: &Tensor,
        chosen: &Tensor,
    ) -> std::result::Result<Tensor, NnError> {
        let rows = || {
            let weight = self.weight.index_select(chosen, 0)?; // [B, I]
            let bias = self.bias.index_select(chosen, 0)?; // [B]
            (x * weight)?.sum(1)? + bias
        };
        rows().map_err(NnError::at(&self.name))
    }
}

/// `x [.., I] · weight [O, I]ᵀ + bias [O] → [.., O]`: one operation on the CPU, plain candle
/// operations elsewhere.
///
/// # Errors
/// If the shapes do not fit.
pub fn affine(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        return x.contiguous()?.apply_op3(weight, bias, Affine);
    }
    let (outputs, inputs) = weight.dims2()?;
    let mut shape = x.dims().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = outputs;
    }
    x.reshape(((), inputs))?
        .matmul(&weight.t()?)?
        .broadcast_add(bias)?
        .reshape(shape)
}

struct Affine;

impl CustomOp3 for Affine {
    fn name(&self) -> &'static str {
        "affine"
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
        let (outputs, inputs) = weight_layout.shape().dims2()?;
        let mut shape = x_layout.dims().to_vec();
        if shape.last() != Some(&inputs) || bias_layout.dims() != [outputs] {
            candle_core::bail!(
                "x {shape:?}, weight [{outputs}, {inputs}], bias {:?}",
                bias_layout.dims()
            );
        }
        if let Some(last) = shape.last_mut() {
            *last = outputs;
        }
        let rows = x_layout.shape().elem_count() / inputs.max(1);
        let bias = numbers(bias, bias_layout)?;
        let mut out = Vec::with_capacity(rows * outputs);
        for _ in 0..rows {
            out.extend_from_slice(bias);
        }
        let x = matrix(numbers(x, x_layout)?, rows, inputs)?;
        let weight = matrix(numbers(weight, weight_layout)?, outputs, inputs)?;
        multiply(&mut out, Write::Add, x, weight.transposed())?; // [rows, O]
        Ok((CpuStorage::F32(out), shape.into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (outputs, inputs) = weight.dims2()?;
        let rows = x.elem_count() / inputs.max(1);
        let device = x.device();
        with_numbers(gradient, |gradient| {
            let incoming = matrix(gradient, rows, outputs)?;
            let for_x = x.track_op().then(|| {
                let mut out = vec![0.0; rows * inputs];
                with_numbers(weight, |weight| {
                    multiply(
                        &mut out,
                        Write::Set,
                        incoming,
                        matrix(weight, outputs, inputs)?,
                    )
                })?; // [rows, I]
                Tensor::from_vec(out, x.shape(), device)
            });
            let for_weight = weight.track_op().then(|| {
                let mut out = vec![0.0; outputs * inputs];
                with_numbers(x, |x| {
                    let x = matrix(x, rows, inputs)?;
                    multiply(&mut out, Write::Set, incoming.transposed(), x)
                })?; // [O, I]
                Tensor::from_vec(out, (outputs, inputs), device)
            });
            let for_bias = bias.track_op().then(|| {
                let mut out = vec![0.0; outputs];
                add_rows(&mut out, gradient); // [O]
                Tensor::from_vec(out, outputs, device)
            });
            Ok((
                for_x.transpose()?,
                for_weight.transpose()?,
                for_bias.transpose()?,
            ))
        })
    }
}

fn matrix(data: &[f32], rows: usize, columns: usize) -> Result<Matrix<'_>> {
    match Matrix::new(data, rows, columns) {
        Some(matrix) => Ok(matrix),
        None => candle_core::bail!("{} numbers for [{rows}, {columns}]", data.len()),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::nn::finite_difference::check;

    #[test]
    fn gradients_agree_with_differences_and_chosen_rows_with_all() {
        let device = Device::Cpu;
        let mut builder = VariableBuilder::from_seed(3, &device);
        let linear = Linear::new(&mut builder, "linear", 3, 5).expect("fresh");
        let init = Init::Normal { deviation: 1.0 };
        let x = builder.variable("x", &[4, 3], init).expect("fresh");
        let variables = builder.finish().expect("complete");
        check(&variables, || {
            let y = linear.forward(&x).expect("shapes"); // [4, 5]
            y.sqr().and_then(|y| y.mean_all()).expect("cpu")
        });
        let chosen = Tensor::new(&[4_u32, 0, 4, 2], &device).expect("cpu");
        check(&variables, || {
            let y = linear.forward_chosen(&x, &chosen).expect("shapes"); // [4]
            y.sqr().and_then(|y| y.mean_all()).expect("cpu")
        });
        let all = linear.forward(&x).expect("shapes");
        let picked = all.gather(&chosen.unsqueeze(1).expect("cpu"), 1);
        let picked = picked.and_then(|picked| picked.squeeze(1)).expect("cpu");
        let direct = linear.forward_chosen(&x, &chosen).expect("shapes");
        let apart = (picked - direct).and_then(|apart| apart.abs()?.max_all());
        assert!(apart.expect("cpu").to_scalar::<f32>().expect("f32") < 1e-6);
    }

    #[test]
    fn wrong_shapes_name_the_layer() {
        let mut builder = VariableBuilder::from_seed(3, &Device::Cpu);
        let linear = Linear::new(&mut builder, "output", 3, 5).expect("fresh");
        let x = Tensor::zeros((4, 2), candle_core::DType::F32, &Device::Cpu).expect("cpu");
        let error = linear.forward(&x).expect_err("two is not three");
        assert!(error.to_string().starts_with("output: "), "{error}");
    }
}
