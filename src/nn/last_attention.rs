//! Attention of the last step of each sequence over all its steps, with one head.
//!
//! When only the last step's result is used, keys and values of all steps need not be made. With
//! query q, keys `k_j = W_k x_j + b_k` and values `v_j = W_v x_j + b_v`, the scores are
//! `q · k_j = (q W_k) · x_j + q · b_k`, and the result is `Σ a_j v_j = W_v (Σ a_j x_j) + b_v Σ a_j`.
//! So one product a row turns the query, and one makes the result: 2 W² numbers a row and not
//! 2 T W², to the same result but for rounding.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor};

use super::activation::exp;
use super::linear::affine;
use super::matrix::{Matrix, Write, multiply, numbers, with_numbers};
use super::vector::dot;
use super::{Linear, NnError, VariableBuilder};

/// `softmax(q Kᵀ / √W) V` for the last query of each sequence; q, K and V by linear layers.
///
/// Variables are `<name>.linear_q`, `<name>.linear_k` and `<name>.linear_v`, each with `.weight
/// [W, W]` and `.bias [W]`: those of the DROS repository's attention. The bias of the keys shifts
/// all scores of a query alike, so its gradient is 0 but for rounding.
#[derive(Debug, Clone)]
pub struct LastAttention {
    name: String,
    query: Linear,
    key: Linear,
    value: Linear,
}

impl LastAttention {
    /// Makes the three layers.
    ///
    /// # Errors
    /// See [`VariableBuilder::variable`].
    pub fn new(
        builder: &mut VariableBuilder,
        name: &str,
        width: usize,
    ) -> std::result::Result<Self, NnError> {
        let mut layer = |what: &str| Linear::new(builder, &format!("{name}.{what}"), width, width);
        Ok(Self {
            query: layer("linear_q")?,
            key: layer("linear_k")?,
            value: layer("linear_v")?,
            name: name.to_owned(),
        })
    }

    /// Attends from one query a sequence to the sequence's steps.
    ///
    /// `kept` multiplies the weights after the softmax, for dropout and for masking queries.
    ///
    /// # Shapes
    /// `queries [B, W]`, `x [B, T, W]`, `lengths` of B numbers at most T, `kept` of B · T numbers
    /// → `[B, W]`; zero for length 0.
    ///
    /// # Errors
    /// If a shape or a length does not fit.
    pub fn forward(
        &self,
        queries: &Tensor,
        x: &Tensor,
        lengths: &[usize],
        kept: Option<Vec<f32>>,
    ) -> std::result::Result<Tensor, NnError> {
        let queries = self.query.forward(queries)?; // [B, W]
        let run = || {
            if x.device().is_cpu() {
                self.fused(&queries, x, lengths, kept)
            } else {
                self.plain(&queries, x, lengths, kept)
            }
        };
        run().map_err(NnError::at(&self.name))
    }

    fn fused(
        &self,
        queries: &Tensor,
        x: &Tensor,
        lengths: &[usize],
        kept: Option<Vec<f32>>,
    ) -> Result<Tensor> {
        // A column for the bias: the steps are seen as [x, 1].
        let with_bias = |layer: &Linear| {
            let (weight, bias) = layer.parts();
            Tensor::cat(&[weight, &bias.unsqueeze(1)?], 1) // [W, W + 1]
        };
        let operation = Attend {
            lengths: lengths.to_vec(),
            kept,
            done: Mutex::new(Done::default()),
        };
        let (keys, values) = (with_bias(&self.key)?, with_bias(&self.value)?);
        let met = x.contiguous()?;
        let met = queries.contiguous()?.apply_op3(&met, &keys, operation)?; // [B, W + 1]
        let no_bias = Tensor::zeros(values.dim(0)?, x.dtype(), x.device())?;
        affine(&met, &values, &no_bias) // [B, W]
    }

    /// The same in plain operations, with keys and values of all steps: for other devices, and to
    /// test the fused one.
    fn plain(
        &self,
        queries: &Tensor,
        x: &Tensor,
        lengths: &[usize],
        kept: Option<Vec<f32>>,
    ) -> Result<Tensor> {
        let (batch, time, width) = x.dims3()?;
        let through = |layer: &Linear| {
            let (weight, bias) = layer.parts();
            let x = x.reshape((batch * time, width))?;
            x.matmul(&weight.t()?)?
                .broadcast_add(bias)?
                .reshape((batch, time, width))
        };
        let (keys, values) = (through(&self.key)?, through(&self.value)?);
        let seen = |unseen: f32, seen: f32| -> Result<Tensor> {
            let of_row = |length: &usize| {
                let length = *length;
                (0..time).map(move |step| if step < length { seen } else { unseen })
            };
            let all: Vec<f32> = lengths.iter().flat_map(of_row).collect();
            Tensor::from_vec(all, (batch, time), &Device::Cpu)?.to_device(x.device())
        };
        let scores = keys.matmul(&queries.unsqueeze(2)?)?.squeeze(2)?; // [B, T]
        let scores = ((scores / (width as f64).sqrt())? + seen(-1e9, 0.0)?)?;
        let largest = scores.max_keepdim(1)?.detach();
        let powers = scores.broadcast_sub(&largest)?.exp()?;
        let weights = powers.broadcast_div(&powers.sum_keepdim(1)?)?;
        // Without a step all weights would be equal.
        let mut weights = (weights * seen(0.0, 1.0)?)?;
        if let Some(kept) = kept {
            let kept = Tensor::from_vec(kept, (batch, time), &Device::Cpu)?;
            weights = (weights * kept.to_device(x.device())?)?;
        }
        weights.unsqueeze(1)?.matmul(&values)?.squeeze(1) // [B, W]
    }
}

/// `(queries [B, W], x [B, T, W], keys [W, W + 1]) → Σ_j a_j [x_j, 1], [B, W + 1]`.
#[derive(Debug)]
struct Attend {
    lengths: Vec<usize>,
    kept: Option<Vec<f32>>,
    done: Mutex<Done>,
}

/// What the backward pass needs.
#[derive(Debug, Default)]
struct Done {
    /// `queries · keys / √W`, `[B, W + 1]`.
    turned: Vec<f32>,
    /// Softmax of the scores, `[B, T]`.
    weights: Vec<f32>,
}

impl Attend {
    fn kept(&self, at: usize) -> f32 {
        self.kept.as_ref().map_or(1.0, |kept| kept[at])
    }
}

fn scale_of(width: usize) -> f32 {
    1.0 / (width as f32).sqrt()
}

impl CustomOp3 for Attend {
    fn name(&self) -> &'static str {
        "last_attention"
    }

    fn cpu_fwd(
        &self,
        queries: &CpuStorage,
        queries_layout: &Layout,
        x: &CpuStorage,
        x_layout: &Layout,
        keys: &CpuStorage,
        keys_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, time, width) = x_layout.shape().dims3()?;
        let fits = |kept: &Vec<f32>| kept.len() == batch * time;
        let wide = width + 1;
        if queries_layout.dims() != [batch, width]
            || keys_layout.dims() != [width, wide]
            || self.lengths.len() != batch
            || self.lengths.iter().any(|length| *length > time)
            || !self.kept.as_ref().is_none_or(fits)
        {
            candle_core::bail!(
                "queries {:?}, x [{batch}, {time}, {width}], keys {:?}, lengths {:?}",
                queries_layout.dims(),
                keys_layout.dims(),
                self.lengths
            );
        }
        let queries = matrix(numbers(queries, queries_layout)?, batch, width)?;
        let x = numbers(x, x_layout)?;
        let keys = matrix(numbers(keys, keys_layout)?, width, wide)?;
        let mut turned = vec![0.0; batch * wide];
        multiply(&mut turned, Write::Set, queries, keys)?;
        let scale = scale_of(width);
        for number in &mut turned {
            *number *= scale;
        }
        let mut weights = vec![0.0; batch * time];
        let mut out = vec![0.0; batch * wide];
        for (row, length) in self.lengths.iter().copied().enumerate() {
            let turned = &turned[row * wide..(row + 1) * wide];
            let out = &mut out[row * wide..(row + 1) * wide];
            let weights = &mut weights[row * time..row * time + length];
            let step = |step: usize| &x[(row * time + step) * width..][..width];
            for (at, weight) in weights.iter_mut().enumerate() {
                *weight = dot(&turned[..width], step(at)) + turned[width];
            }
            softmax(weights);
            for (at, weight) in weights.iter().enumerate() {
                let weight = weight * self.kept(row * time + at);
                for (out, x) in out.iter_mut().zip(step(at)) {
                    *out += weight * x;
                }
                out[width] += weight;
            }
        }
        *self.done.lock().unwrap_or_else(PoisonError::into_inner) = Done { turned, weights };
        Ok((CpuStorage::F32(out), (batch, wide).into()))
    }

    fn bwd(
        &self,
        queries: &Tensor,
        x: &Tensor,
        keys: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (batch, time, width) = x.dims3()?;
        let wide = width + 1;
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let mut for_x = vec![0.0; x.elem_count()];
        let mut for_turned = vec![0.0; batch * wide];
        let mut for_queries = vec![0.0; batch * width];
        let mut for_keys = vec![0.0; width * wide];
        let mut slopes = vec![0.0; time];
        with_numbers(gradient, |gradient| {
            with_numbers(x, |x| {
                for (row, length) in self.lengths.iter().copied().enumerate() {
                    let gradient = &gradient[row * wide..(row + 1) * wide];
                    let turned = &done.turned[row * wide..row * wide + width];
                    let weights = &done.weights[row * time..row * time + length];
                    let for_turned = &mut for_turned[row * wide..(row + 1) * wide];
                    let slopes = &mut slopes[..length];
                    let mut along = 0.0;
                    for (at, (slope, weight)) in slopes.iter_mut().zip(weights).enumerate() {
                        let step = &x[(row * time + at) * width..][..width];
                        let kept = self.kept(row * time + at);
                        *slope = kept * (dot(&gradient[..width], step) + gradient[width]);
                        along += *slope * weight;
                    }
                    for (at, (slope, weight)) in slopes.iter().zip(weights).enumerate() {
                        let begin = (row * time + at) * width;
                        let step = &x[begin..begin + width];
                        let for_step = &mut for_x[begin..begin + width];
                        let slope = (slope - along) * weight;
                        let weight = weight * self.kept(row * time + at);
                        let both = gradient.iter().zip(turned);
                        for (into, (gradient, turned)) in for_step.iter_mut().zip(both) {
                            *into = weight * gradient + slope * turned;
                        }
                        for (into, x) in for_turned.iter_mut().zip(step) {
                            *into += slope * x;
                        }
                        for_turned[width] += slope;
                    }
                }
                Ok(())
            })
        })?;
        let scale = scale_of(width);
        for number in &mut for_turned {
            *number *= scale;
        }
        let turned = matrix(&for_turned, batch, wide)?;
        with_numbers(keys, |keys| {
            let keys = matrix(keys, width, wide)?.transposed();
            multiply(&mut for_queries, Write::Set, turned, keys)
        })?;
        with_numbers(queries, |queries| {
            let queries = matrix(queries, batch, width)?.transposed();
            multiply(&mut for_keys, Write::Set, queries, turned)
        })?;
        let device = x.device();
        Ok((
            Some(Tensor::from_vec(for_queries, queries.shape(), device)?),
            Some(Tensor::from_vec(for_x, x.shape(), device)?),
            Some(Tensor::from_vec(for_keys, keys.shape(), device)?),
        ))
    }
}

fn softmax(scores: &mut [f32]) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for score in &mut *scores {
        *score = exp(*score - largest);
        sum += *score;
    }
    for score in scores {
        *score /= sum;
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
    use crate::nn::{Init, Variables};

    struct Case {
        attention: LastAttention,
        queries: Tensor,
        x: Tensor,
        variables: Variables,
    }

    const LENGTHS: [usize; 4] = [5, 1, 0, 3];

    fn case() -> Case {
        let mut builder = VariableBuilder::from_seed(7, &Device::Cpu);
        let attention = LastAttention::new(&mut builder, "attention", 6).expect("fresh");
        let init = Init::Normal { deviation: 1.0 };
        let queries = builder.variable("queries", &[4, 6], init).expect("fresh");
        let x = builder.variable("x", &[4, 5, 6], init).expect("fresh");
        Case {
            attention,
            queries,
            x,
            variables: builder.finish().expect("complete"),
        }
    }

    fn kept() -> Vec<f32> {
        (0..20)
            .map(|at| if at % 3 == 1 { 0.0 } else { 1.5 })
            .collect()
    }

    /// 3e-6: sums of six numbers of order 1 in two orders.
    #[test]
    fn fused_equals_plain_with_every_gradient() {
        let case = case();
        for kept in [None, Some(kept())] {
            let run = |fused: bool| {
                let queries = case.attention.query.forward(&case.queries).expect("fits");
                let run = if fused {
                    LastAttention::fused
                } else {
                    LastAttention::plain
                };
                let out = run(&case.attention, &queries, &case.x, &LENGTHS, kept.clone());
                let out = out.expect("fits");
                assert_eq!(out.dims(), [4, 6]);
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
            assert_eq!(fused[12..18], [0.0; 6], "length 0");
            for (one, two) in fused.iter().zip(plain) {
                assert!((one - two).abs() < 3e-6, "{one} {two}");
            }
        }
    }

    #[test]
    fn gradients_agree_with_differences_and_wrong_shapes_are_errors() {
        let case = case();
        let attention = &case.attention;
        crate::nn::finite_difference::check(&case.variables, || {
            let out = attention.forward(&case.queries, &case.x, &LENGTHS, Some(kept()));
            let out = out.expect("fits").sqr();
            out.and_then(|out| out.mean_all()).expect("cpu")
        });
        let fails = |lengths: &[usize], kept: Option<Vec<f32>>| {
            let out = attention.forward(&case.queries, &case.x, lengths, kept);
            out.is_err()
        };
        assert!(fails(&[6, 1, 1, 1], None) && fails(&[1; 3], None));
        assert!(fails(&LENGTHS, Some(vec![1.0; 19])));
    }
}
