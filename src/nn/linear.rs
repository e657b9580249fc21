//! The affine layer, `y = x Wᵀ + b`, as one operation.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor};

use super::gradients::{Gradient, RowGradient, carry, hand_over, wanted};
use super::matrix::{Matrix, Write, add_rows, numbers, with_numbers};
use super::product::product;
use super::vector::{add, dot, scale};
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

    /// A number of all outputs, such as a loss, whose derivatives by them are known: the outputs and
    /// their gradient, the largest tensors there are, stay inside of one operation.
    ///
    /// # Shapes
    /// `x [B, I] →` scalar; `of` gets the outputs, row by row, and gives back the number and its B·O
    /// derivatives.
    ///
    /// # Errors
    /// If the last dimension is not I, or `of` refuses.
    pub fn forward_to_scalar<F>(&self, x: &Tensor, of: F) -> std::result::Result<Tensor, NnError>
    where
        F: Fn(Outputs<'_>) -> Result<(f32, Vec<f32>)> + Send + Sync + 'static,
    {
        let cpu = Device::Cpu;
        let run = || {
            x.to_device(&cpu)?.contiguous()?.apply_op3(
                &self.weight.to_device(&cpu)?,
                &self.bias.to_device(&cpu)?,
                ToScalar {
                    of,
                    slopes: Mutex::new(None),
                },
            )
        };
        run().map_err(NnError::at(&self.name))
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
            if x.device().is_cpu() {
                let chosen = chosen.to_vec1()?;
                let x = x.contiguous()?;
                return x.apply_op3(&self.weight, &self.bias, Chosen { chosen });
            }
            let weight = self.weight.index_select(chosen, 0)?; // [B, I]
            let bias = self.bias.index_select(chosen, 0)?; // [B]
            (x * weight)?.sum(1)? + bias
        };
        rows().map_err(NnError::at(&self.name))
    }
}

/// Outputs of a layer, `[B, O]` row by row.
#[derive(Debug, Clone, Copy)]
pub struct Outputs<'a> {
    /// All of them.
    pub numbers: &'a [f32],
    /// O.
    pub columns: usize,
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
        let (out, shape) = outputs((x, x_layout), (weight, weight_layout), (bias, bias_layout))?;
        Ok((CpuStorage::F32(out), shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        with_numbers(gradient, |gradient| backward(x, weight, bias, gradient))
    }
}

/// `x Wᵀ + b` and its shape.
fn outputs(
    (x, x_layout): (&CpuStorage, &Layout),
    (weight, weight_layout): (&CpuStorage, &Layout),
    (bias, bias_layout): (&CpuStorage, &Layout),
) -> Result<(Vec<f32>, Shape)> {
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
    product(&mut out, Write::Add, x, weight.transposed())?; // [rows, O]
    Ok((out, shape.into()))
}

/// The gradients of x, weight and bias from that of the outputs.
fn backward(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    gradient: &[f32],
) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
    let (outputs, inputs) = weight.dims2()?;
    let rows = x.elem_count() / inputs.max(1);
    let device = x.device();
    let incoming = matrix(gradient, rows, outputs)?;
    let for_x = x.track_op().then(|| {
        let mut out = vec![0.0; rows * inputs];
        with_numbers(weight, |weight| {
            let weight = matrix(weight, outputs, inputs)?;
            product(&mut out, Write::Set, incoming, weight)
        })?; // [rows, I]
        Tensor::from_vec(out, x.shape(), device)
    });
    let for_weight = weight.track_op().then(|| {
        let mut out = vec![0.0; outputs * inputs];
        with_numbers(x, |x| {
            let x = matrix(x, rows, inputs)?;
            product(&mut out, Write::Set, incoming.transposed(), x)
        })?; // [O, I]
        Tensor::from_vec(out, (outputs, inputs), device)
    });
    let for_bias = bias.track_op().then(|| {
        let mut out = vec![0.0; outputs];
        add_rows(&mut out, gradient); // [O]
        Tensor::from_vec(out, outputs, device)
    });
    let carried = |argument, gradient: Option<Result<Tensor>>| match gradient {
        Some(gradient) => carry(argument, gradient?),
        None => Ok(None),
    };
    Ok((
        carried(x, for_x)?,
        carried(weight, for_weight)?,
        carried(bias, for_bias)?,
    ))
}

/// See [`Linear::forward_to_scalar`].
struct ToScalar<F> {
    of: F,
    /// Derivatives by all outputs, which the forward pass has at hand.
    slopes: Mutex<Option<Vec<f32>>>,
}

impl<F> CustomOp3 for ToScalar<F>
where
    F: Fn(Outputs<'_>) -> Result<(f32, Vec<f32>)> + Send + Sync,
{
    fn name(&self) -> &'static str {
        "to_scalar"
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
        let (out, shape) = outputs((x, x_layout), (weight, weight_layout), (bias, bias_layout))?;
        let (value, slopes) = (self.of)(Outputs {
            numbers: &out,
            columns: shape.dims().last().copied().unwrap_or(0),
        })?;
        if slopes.len() != out.len() {
            candle_core::bail!("{} derivatives for {} outputs", slopes.len(), out.len());
        }
        *self.slopes.lock().unwrap_or_else(PoisonError::into_inner) = Some(slopes);
        Ok((CpuStorage::F32(vec![value]), ().into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut kept = self.slopes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut slopes) = kept.take() else {
            candle_core::bail!("to_scalar kept nothing to go backward with");
        };
        let factor = gradient.to_scalar::<f32>()?;
        #[expect(clippy::float_cmp, reason = "a loss itself has exactly this gradient")]
        if factor != 1.0 {
            scale(&mut slopes, factor);
        }
        backward(x, weight, bias, &slopes)
    }
}

/// One output of each row, `x [B, I], weight [O, I], bias [O] → [B]`.
struct Chosen {
    chosen: Vec<u32>,
}

impl CustomOp3 for Chosen {
    fn name(&self) -> &'static str {
        "chosen"
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
        let rows = self.chosen.len();
        if x_layout.dims() != [rows, inputs] || bias_layout.dims() != [outputs] {
            candle_core::bail!(
                "x {:?}, weight [{outputs}, {inputs}], bias {:?}, {rows} chosen",
                x_layout.dims(),
                bias_layout.dims()
            );
        }
        let (x, bias) = (numbers(x, x_layout)?, numbers(bias, bias_layout)?);
        let weight = numbers(weight, weight_layout)?;
        let mut out = Vec::with_capacity(rows);
        for (row, chosen) in self.chosen.iter().enumerate() {
            let chosen = *chosen as usize;
            if chosen >= outputs {
                candle_core::bail!("output {chosen} of {outputs}");
            }
            let x = &x[row * inputs..(row + 1) * inputs];
            let weight = &weight[chosen * inputs..(chosen + 1) * inputs];
            out.push(dot(x, weight) + bias[chosen]);
        }
        Ok((CpuStorage::F32(out), rows.into()))
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
        let gradient: Vec<f32> = gradient.to_vec1()?;
        let mut for_x = vec![0.0; x.elem_count()];
        let mut for_bias = vec![0.0; outputs];
        let mut for_weight = RowGradient::new(outputs, inputs);
        let places = self.chosen.iter().map(|chosen| *chosen as usize);
        with_numbers(weight, |weight| {
            let rows = for_x.chunks_exact_mut(inputs).zip(&gradient);
            for ((for_x, gradient), chosen) in rows.zip(places.clone()) {
                for_bias[chosen] += gradient;
                let weight = &weight[chosen * inputs..(chosen + 1) * inputs];
                for (for_x, weight) in for_x.iter_mut().zip(weight) {
                    *for_x = gradient * weight;
                }
            }
            Ok(())
        })?;
        with_numbers(x, |x| {
            let mut scaled = vec![0.0; inputs];
            let rows = x.chunks_exact(inputs).zip(&gradient);
            for ((x, gradient), chosen) in rows.zip(places) {
                for (scaled, x) in scaled.iter_mut().zip(x) {
                    *scaled = gradient * x;
                }
                for_weight.add(chosen, &scaled);
            }
            Ok(())
        })?;
        let device = x.device();
        let for_x = Tensor::from_vec(for_x, x.shape(), device)?;
        let for_bias = Tensor::from_vec(for_bias, outputs, device)?;
        let for_weight = if weight.is_variable() && wanted() {
            hand_over(weight, Gradient::Rows(for_weight))?;
            None
        } else {
            let mut all = vec![0.0; outputs * inputs];
            for (number, all) in all.chunks_exact_mut(inputs).enumerate() {
                if let Some(row) = for_weight.row(number) {
                    add(all, row);
                }
            }
            Some(Tensor::from_vec(all, (outputs, inputs), device)?)
        };
        Ok((carry(x, for_x)?, for_weight, carry(bias, for_bias)?))
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

    /// Σ y² / 20 as an operation of its own with known derivatives, and halved behind it.
    #[test]
    fn a_scalar_of_all_outputs_has_the_gradients_of_its_derivatives() {
        let mut builder = VariableBuilder::from_seed(3, &Device::Cpu);
        let linear = Linear::new(&mut builder, "linear", 3, 5).expect("fresh");
        let init = Init::Normal { deviation: 1.0 };
        let x = builder.variable("x", &[4, 3], init).expect("fresh");
        let variables = builder.finish().expect("complete");
        let scalar = || {
            linear.forward_to_scalar(&x, |outputs| {
                assert_eq!((outputs.numbers.len(), outputs.columns), (20, 5));
                let sum: f32 = outputs.numbers.iter().map(|y| y * y).sum();
                let slopes = outputs.numbers.iter().map(|y| y / 10.0).collect();
                Ok((sum / 20.0, slopes))
            })
        };
        check(&variables, || scalar().expect("fits"));
        check(&variables, || (scalar().expect("fits") / 2.0).expect("cpu"));
        let short = linear.forward_to_scalar(&x, |_| Ok((0.0, vec![0.0; 19])));
        assert!(short.is_err());
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
