//! Operations that read and write a row once where a chain of candle's would do so many times.
//!
//! Each has a twin on the CPU that computes in `f32`; on a card it is the kernel of the same name.
//! They know no gradient: the decoder's way back is written by hand.

use std::borrow::Cow;

use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor};
use half::{bf16, f16};

use crate::nn::vector::{drop_out, swiglu, swiglu_backward};

/// An operation over rows, with what it needs beside tensors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Operation {
    /// `x [T, I], keys [T, 2] u32 → [T, I]`.
    DropOut {
        /// The share of numbers dropped.
        rate: f32,
    },
    /// `gate, up [T, I] → [T, I]`.
    Swiglu,
    /// `gate, up, gradient [T, I] → [2, T, I]`: for gate, for up.
    SwigluBackward,
    /// `x, gradient [T, H], weight [H] → [T, H]`.
    NormBackward {
        /// ε inside the root.
        epsilon: f32,
    },
    /// `x [T, N·D], cosine, sine [T, D/2] f32 → [T, N·D]`.
    Rotate {
        /// D.
        head: usize,
        /// 1, or −1 for the way back.
        sign: f32,
    },
    /// `scores [B, N, Q, K], seen [B, Q, 2] u32 → probabilities [B, N, Q, K]`: of the columns those
    /// of a range are seen, which is not empty.
    Softmax {
        /// Factor of the scores.
        scale: f32,
    },
    /// `probabilities, gradient [.., K] →` gradient of the scores before their factor.
    SoftmaxBackward {
        /// Factor of the scores.
        scale: f32,
    },
}

/// Drops numbers of rows by their keys.
pub(super) fn dropped(x: &Tensor, keys: &Tensor, rate: f32) -> Result<Tensor> {
    x.apply_op2_no_bwd(keys, &Operation::DropOut { rate })
}

/// `gate · sigmoid(gate) · up`.
pub(super) fn activated(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gate.apply_op2_no_bwd(up, &Operation::Swiglu)
}

/// From the gradient of [`activated`] to those of gate and up.
pub(super) fn activated_backward(
    gate: &Tensor,
    up: &Tensor,
    gradient: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let both = gate.apply_op3_no_bwd(up, gradient, &Operation::SwigluBackward)?;
    Ok((both.get(0)?, both.get(1)?))
}

/// RMS norm over the last dimension.
#[expect(
    clippy::disallowed_methods,
    reason = "it cuts the gradient, which here nobody asks of it"
)]
pub(super) fn normed(x: &Tensor, weight: &Tensor, epsilon: f64) -> Result<Tensor> {
    candle_nn::ops::rms_norm(x, weight, epsilon as f32)
}

/// From the gradient of [`normed`] to that of its input.
pub(super) fn normed_backward(
    x: &Tensor,
    gradient: &Tensor,
    weight: &Tensor,
    epsilon: f64,
) -> Result<Tensor> {
    let epsilon = epsilon as f32;
    x.apply_op3_no_bwd(gradient, weight, &Operation::NormBackward { epsilon })
}

/// Turns the pairs of every head by the angles of its row, or back.
pub(super) fn turned(
    x: &Tensor,
    (cosine, sine): (&Tensor, &Tensor),
    head: usize,
    sign: f32,
) -> Result<Tensor> {
    x.apply_op3_no_bwd(cosine, sine, &Operation::Rotate { head, sign })
}

/// Softmax over the columns that are seen.
pub(super) fn chances(scores: &Tensor, seen: &Tensor, scale: f32) -> Result<Tensor> {
    scores.apply_op2_no_bwd(seen, &Operation::Softmax { scale })
}

/// From the gradient of [`chances`] to that of the scores.
pub(super) fn chances_backward(chances: &Tensor, gradient: &Tensor, scale: f32) -> Result<Tensor> {
    chances.apply_op2_no_bwd(gradient, &Operation::SoftmaxBackward { scale })
}

impl Operation {
    /// Its kernel's name without the type.
    pub(super) fn kernel(self) -> &'static str {
        match self {
            Self::DropOut { .. } => "drop_out",
            Self::Swiglu => "swiglu",
            Self::SwigluBackward => "swiglu_backward",
            Self::NormBackward { .. } => "norm_backward",
            Self::Rotate { .. } => "rotate",
            Self::Softmax { .. } => "softmax",
            Self::SoftmaxBackward { .. } => "softmax_backward",
        }
    }

    /// The shape of what it gives.
    pub(super) fn output(self, first: &Shape) -> Shape {
        match self {
            Self::SwigluBackward => {
                let mut dims = vec![2];
                dims.extend(first.dims());
                Shape::from(dims)
            }
            _ => first.clone(),
        }
    }

    fn twin(self, inputs: &[Input<'_>], first: &Shape) -> Result<Vec<f32>> {
        let width = first.dims().last().copied().unwrap_or(1).max(1);
        let x = inputs[0].numbers()?;
        let mut out = vec![0.0; self.output(first).elem_count()];
        match self {
            Self::DropOut { rate } => {
                let keys = inputs[1].integers()?;
                let rows = out.chunks_exact_mut(width).zip(x.chunks_exact(width));
                for ((out, x), key) in rows.zip(keys.chunks_exact(2)) {
                    let key = u64::from(key[0]) | u64::from(key[1]) << 32;
                    drop_out(out, x, key, rate);
                }
            }
            Self::Swiglu => swiglu(&mut out, x, inputs[1].numbers()?),
            Self::SwigluBackward => {
                let (for_gate, for_up) = out.split_at_mut(x.len());
                for_gate.copy_from_slice(x);
                for_up.copy_from_slice(inputs[1].numbers()?);
                swiglu_backward(for_gate, for_up, inputs[2].numbers()?);
            }
            Self::NormBackward { epsilon } => {
                let (gradient, weight) = (inputs[1].numbers()?, inputs[2].numbers()?);
                let rows = out.chunks_exact_mut(width).zip(x.chunks_exact(width));
                for ((out, x), gradient) in rows.zip(gradient.chunks_exact(width)) {
                    norm_row_backward(out, x, gradient, weight, epsilon);
                }
            }
            Self::Rotate { head, sign } => {
                let (cosine, sine) = (inputs[1].numbers()?, inputs[2].numbers()?);
                let half = head / 2;
                for (row, (out, x)) in out
                    .chunks_exact_mut(width)
                    .zip(x.chunks_exact(width))
                    .enumerate()
                {
                    let cosine = &cosine[row * half..(row + 1) * half];
                    let sine = &sine[row * half..(row + 1) * half];
                    for (out, x) in out.chunks_exact_mut(head).zip(x.chunks_exact(head)) {
                        for pair in 0..half {
                            let (cosine, sine) = (cosine[pair], sign * sine[pair]);
                            let (first, second) = (x[pair], x[pair + half]);
                            out[pair] = first * cosine - second * sine;
                            out[pair + half] = second * cosine + first * sine;
                        }
                    }
                }
            }
            Self::Softmax { scale } => {
                let seen = inputs[1].integers()?;
                let [_, heads, queries, _] = *first.dims() else {
                    candle_core::bail!("softmax of {first:?}");
                };
                for (row, (out, x)) in out
                    .chunks_exact_mut(width)
                    .zip(x.chunks_exact(width))
                    .enumerate()
                {
                    let of = row / (queries * heads) * queries + row % queries;
                    let columns = || seen[2 * of] as usize..seen[2 * of + 1] as usize;
                    let scaled = columns().map(|at| x[at] * scale);
                    let largest = scaled.fold(f32::NEG_INFINITY, f32::max);
                    let mut sum = 0.0;
                    for at in columns() {
                        out[at] = (x[at] * scale - largest).exp();
                        sum += out[at];
                    }
                    columns().for_each(|at| out[at] /= sum);
                }
            }
            Self::SoftmaxBackward { scale } => {
                let gradient = inputs[1].numbers()?;
                let rows = out.chunks_exact_mut(width).zip(x.chunks_exact(width));
                for ((out, x), gradient) in rows.zip(gradient.chunks_exact(width)) {
                    let along: f32 = x.iter().zip(gradient).map(|(a, b)| a * b).sum();
                    for ((out, chance), gradient) in out.iter_mut().zip(x).zip(gradient) {
                        *out = scale * chance * (gradient - along);
                    }
                }
            }
        }
        Ok(out)
    }

    fn on_cpu(self, inputs: &[(&CpuStorage, &Layout)]) -> Result<(CpuStorage, Shape)> {
        let first = inputs[0].1.shape();
        let read: Result<Vec<Input<'_>>> = inputs
            .iter()
            .map(|(storage, layout)| Input::read(storage, layout))
            .collect();
        let out = self.twin(&read?, first)?;
        let out = match inputs[0].0 {
            CpuStorage::BF16(_) => CpuStorage::BF16(out.into_iter().map(bf16::from_f32).collect()),
            CpuStorage::F16(_) => CpuStorage::F16(out.into_iter().map(f16::from_f32).collect()),
            _ => CpuStorage::F32(out),
        };
        Ok((out, self.output(first)))
    }
}

/// As `crate::nn::vector::rms_norm_backward`, which needs the inverse that here is made anew.
fn norm_row_backward(out: &mut [f32], x: &[f32], gradient: &[f32], weight: &[f32], epsilon: f32) {
    let width = x.len() as f32;
    let squares: f32 = x.iter().map(|x| x * x).sum();
    let terms = x.iter().zip(gradient).zip(weight);
    let along: f32 = terms
        .map(|((x, gradient), weight)| x * gradient * weight)
        .sum();
    let inverse = 1.0 / (squares / width + epsilon).sqrt();
    let share = along * inverse * inverse / width;
    for (((out, x), gradient), weight) in out.iter_mut().zip(x).zip(gradient).zip(weight) {
        *out = inverse * (gradient * weight - x * share);
    }
}

/// An input of a twin.
enum Input<'a> {
    Numbers(Cow<'a, [f32]>),
    Integers(&'a [u32]),
}

impl<'a> Input<'a> {
    fn read(storage: &'a CpuStorage, layout: &Layout) -> Result<Self> {
        let Some((begin, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("a tensor with gaps, {:?}", layout.shape());
        };
        Ok(match storage {
            CpuStorage::F32(all) => Self::Numbers(Cow::Borrowed(&all[begin..end])),
            CpuStorage::BF16(all) => {
                Self::Numbers(all[begin..end].iter().map(|one| one.to_f32()).collect())
            }
            CpuStorage::F16(all) => {
                Self::Numbers(all[begin..end].iter().map(|one| one.to_f32()).collect())
            }
            CpuStorage::U32(all) => Self::Integers(&all[begin..end]),
            _ => candle_core::bail!("numbers of a type that is not computed in"),
        })
    }

    fn numbers(&self) -> Result<&[f32]> {
        match self {
            Self::Numbers(all) => Ok(all),
            Self::Integers(_) => candle_core::bail!("integers where numbers belong"),
        }
    }

    fn integers(&self) -> Result<&[u32]> {
        match self {
            Self::Integers(all) => Ok(all),
            Self::Numbers(_) => candle_core::bail!("numbers where integers belong"),
        }
    }
}

impl CustomOp2 for Operation {
    fn name(&self) -> &'static str {
        self.kernel()
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.on_cpu(&[(s1, l1), (s2, l2)])
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        s1: &candle_core::CudaStorage,
        l1: &Layout,
        s2: &candle_core::CudaStorage,
        l2: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        super::cuda::launch(*self, &[(s1, l1), (s2, l2)])
    }
}

impl CustomOp3 for Operation {
    fn name(&self) -> &'static str {
        self.kernel()
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.on_cpu(&[(s1, l1), (s2, l2), (s3, l3)])
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        s1: &candle_core::CudaStorage,
        l1: &Layout,
        s2: &candle_core::CudaStorage,
        l2: &Layout,
        s3: &candle_core::CudaStorage,
        l3: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        super::cuda::launch(*self, &[(s1, l1), (s2, l2), (s3, l3)])
    }
}

/// Product of matrices, batched or not. The CPU has none of `bf16`: there it is made in `f32` and
/// rounded, as a card does.
pub(super) fn product(left: &Tensor, right: &Tensor) -> Result<Tensor> {
    if left.dtype() == DType::BF16 && left.device().is_cpu() {
        let (left, right) = (left.to_dtype(DType::F32)?, right.to_dtype(DType::F32)?);
        return left.matmul(&right)?.to_dtype(DType::BF16);
    }
    left.matmul(right)
}

/// Samples of every operation: name, inputs, and the operation.
#[cfg(any(test, feature = "cuda"))]
fn samples(device: &candle_core::Device, dtype: DType) -> Result<Vec<(Operation, Vec<Tensor>)>> {
    let mut random = crate::base::Random::new(7, "language_model/tensor/operations");
    let mut numbers = |shape: &[usize]| {
        let count = shape.iter().product();
        let all: Vec<f32> = (0..count).map(|_| random.normal() as f32).collect();
        Tensor::from_vec(all, shape, &candle_core::Device::Cpu)
    };
    let (rows, width) = (5, 96);
    let [x, y, z] = [0, 1, 2].map(|_| numbers(&[rows, width]));
    let (x, y, z) = (x?, y?, z?);
    let weight = numbers(&[width])?;
    let angles = numbers(&[rows, 8])?;
    let (cosine, sine) = (angles.cos()?, angles.sin()?);
    let scores = numbers(&[2, 3, 2, 40])?;
    let more = numbers(&[2, 3, 2, 40])?;
    let keys: Vec<u32> = (0..2 * rows as u32)
        .map(|at| at.wrapping_mul(0x9E37_79B9))
        .collect();
    let keys = Tensor::from_vec(keys, (rows, 2), &candle_core::Device::Cpu)?;
    let seen: Vec<u32> = vec![0, 9, 3, 40, 39, 40, 0, 1];
    let seen = Tensor::from_vec(seen, (2, 2, 2), &candle_core::Device::Cpu)?;
    let all = [
        (Operation::DropOut { rate: 0.3 }, vec![&x, &keys]),
        (Operation::Swiglu, vec![&x, &y]),
        (Operation::SwigluBackward, vec![&x, &y, &z]),
        (
            Operation::NormBackward { epsilon: 1e-5 },
            vec![&x, &y, &weight],
        ),
        (
            Operation::Rotate {
                head: 16,
                sign: -1.0,
            },
            vec![&x, &cosine, &sine],
        ),
        (Operation::Softmax { scale: 0.7 }, vec![&scores, &seen]),
        (
            Operation::SoftmaxBackward { scale: 0.7 },
            vec![&scores, &more],
        ),
    ];
    all.into_iter()
        .map(|(operation, inputs)| {
            let inputs = inputs.into_iter().map(|tensor| {
                let is_angle = std::ptr::eq(tensor, &raw const cosine)
                    || std::ptr::eq(tensor, &raw const sine);
                let tensor = if tensor.dtype() == DType::U32 || is_angle {
                    tensor.clone()
                } else {
                    tensor.to_dtype(dtype)?
                };
                tensor.to_device(device)
            });
            Ok((operation, inputs.collect::<Result<Vec<_>>>()?))
        })
        .collect()
}

#[cfg(any(test, feature = "cuda"))]
fn apply(operation: Operation, inputs: &[Tensor]) -> Result<Tensor> {
    match inputs {
        [one, two] => one.apply_op2_no_bwd(two, &operation),
        [one, two, three] => one.apply_op3_no_bwd(two, three, &operation),
        _ => candle_core::bail!("{} inputs", inputs.len()),
    }
}

/// Compares every kernel with its twin on small inputs, before anything relies on them.
#[cfg(feature = "cuda")]
pub(super) fn prove(
    device: &candle_core::Device,
) -> std::result::Result<(), crate::language_model::LanguageModelError> {
    use crate::language_model::LanguageModelError;

    let candle = |source| LanguageModelError::Candle {
        at: "checking the card's kernels".to_owned(),
        source,
    };
    for dtype in [DType::F32, DType::BF16, DType::F16] {
        let here = samples(&candle_core::Device::Cpu, dtype).map_err(candle)?;
        let there = samples(device, dtype).map_err(candle)?;
        // A number may be rounded the other way, no more.
        let tolerance = match dtype {
            DType::F32 => 1e-4,
            DType::BF16 => 1.0 / 64.0,
            _ => 1.0 / 512.0,
        };
        for ((operation, here), (_, there)) in here.iter().zip(&there) {
            let read = |inputs: &[Tensor]| -> Result<Vec<f32>> {
                let out = apply(*operation, inputs)?.to_dtype(DType::F32)?;
                out.flatten_all()?.to_vec1()
            };
            let (twin, kernel) = (read(here).map_err(candle)?, read(there).map_err(candle)?);
            let wrong = twin.iter().zip(&kernel).find(|(twin, kernel)| {
                !((*twin - *kernel).abs() <= tolerance * twin.abs().max(1.0))
            });
            if let Some((twin, kernel)) = wrong {
                return Err(LanguageModelError::invalid(format!(
                    "on this card `{}` in {dtype:?} gives {kernel} where {twin} is right",
                    operation.kernel()
                ))
                .with_help(
                    "this is a bug in runner or its driver; please report it with the card's name",
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The composite of candle's own operations, in f32.
    fn composite(operation: Operation, inputs: &[Tensor]) -> Result<Tensor> {
        let last = candle_core::D::Minus1;
        match operation {
            Operation::Swiglu => candle_nn::ops::silu(&inputs[0])?.mul(&inputs[1]),
            Operation::SwigluBackward => {
                let gate = candle_core::Var::from_tensor(&inputs[0])?;
                let up = candle_core::Var::from_tensor(&inputs[1])?;
                let out = candle_nn::ops::silu(&gate)?.mul(&up)?.mul(&inputs[2])?;
                let found = out.sum_all()?.backward()?;
                let both = [&gate, &up].map(|one| found.get(one).expect("a gradient").clone());
                Tensor::stack(&both, 0)
            }
            Operation::NormBackward { epsilon } => {
                let x = candle_core::Var::from_tensor(&inputs[0])?;
                let out = candle_nn::ops::rms_norm_slow(&x, &inputs[2], epsilon)?;
                let found = out.mul(&inputs[1])?.sum_all()?.backward()?;
                Ok(found.get(&x).expect("a gradient").clone())
            }
            Operation::Rotate { head, sign } => {
                let (rows, width) = inputs[0].dims2()?;
                let x = inputs[0].reshape((1, rows, width / head, head))?;
                let sine = (&inputs[2] * f64::from(sign))?;
                let x = x.transpose(1, 2)?.contiguous()?;
                let out = candle_nn::rotary_emb::rope_slow(&x, &inputs[1], &sine)?;
                out.transpose(1, 2)?.reshape((rows, width))
            }
            Operation::Softmax { scale } => {
                let seen = inputs[1].to_vec3::<u32>()?;
                let (batch, heads, queries, keys) = inputs[0].dims4()?;
                let mut mask = vec![f32::NEG_INFINITY; batch * queries * keys];
                for (row, of) in seen.concat().iter().enumerate() {
                    for at in of[0]..of[1] {
                        mask[row * keys + at as usize] = 0.0;
                    }
                }
                let mask = Tensor::from_vec(mask, (batch, 1, queries, keys), inputs[0].device())?;
                let mask = mask.broadcast_as((batch, heads, queries, keys))?;
                candle_nn::ops::softmax(&((&inputs[0] * f64::from(scale))? + mask)?, last)
            }
            Operation::SoftmaxBackward { scale } => {
                let (chances, gradient) = (&inputs[0], &inputs[1]);
                let along = (chances * gradient)?.sum_keepdim(last)?;
                (chances * gradient.broadcast_sub(&along)?)? * f64::from(scale)
            }
            // Held by the decoders' parity: the masks of both are the same.
            Operation::DropOut { .. } => apply(operation, inputs),
        }
    }

    #[test]
    fn every_operation_is_what_candles_own_chain_computes() {
        for (dtype, tolerance) in [
            (DType::F32, 2e-6),
            (DType::BF16, 0.005),
            (DType::F16, 0.001),
        ] {
            let all = samples(&candle_core::Device::Cpu, dtype).expect("samples");
            for (operation, inputs) in all {
                let exact: Vec<Tensor> = inputs
                    .iter()
                    .map(|input| match input.dtype() {
                        DType::U32 => input.clone(),
                        _ => input.to_dtype(DType::F32).expect("f32"),
                    })
                    .collect();
                let found = apply(operation, &inputs).expect("runs");
                let wanted = composite(operation, &exact).expect("runs");
                assert_eq!((found.dtype(), found.shape()), (dtype, wanted.shape()));
                let found = found.to_dtype(DType::F32).expect("f32");
                let largest = |all: &Tensor| -> f32 {
                    let largest = all.abs().and_then(|all| all.max_all());
                    largest.and_then(|one| one.to_scalar()).expect("a number")
                };
                let far = (found - &wanted).expect("same shape");
                let far = largest(&far) / largest(&wanted).max(1.0);
                assert!(far <= tolerance, "{operation:?} {dtype:?}: {far}");
            }
        }
    }
}
