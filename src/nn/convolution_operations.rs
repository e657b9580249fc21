//! The convolutions of [`convolution`](super::convolution), forward and backward, over slices.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::matrix::{Matrix, Write, multiply, numbers, with_numbers};

/// Sequences seen as padded with zeros to `steps` steps.
#[derive(Debug, Clone)]
pub(super) struct Sequences {
    lengths: Vec<usize>,
    steps: usize,
}

impl Sequences {
    pub(super) fn new(lengths: &[usize], steps: usize) -> Self {
        Self {
            lengths: lengths.to_vec(),
            steps,
        }
    }

    fn check(&self, x: &[usize], weight: &[usize], bias: &[usize], fits: bool) -> Result<()> {
        let (batch, time) = (x[0], x[1]);
        let short = |length: &usize| *length <= time;
        if !fits
            || bias != [weight[0]]
            || self.lengths.len() != batch
            || time > self.steps
            || !self.lengths.iter().all(short)
        {
            candle_core::bail!(
                "x {x:?}, weight {weight:?}, bias {bias:?}, {} steps, lengths {:?}",
                self.steps,
                self.lengths
            );
        }
        Ok(())
    }
}

/// `(x [B, T, W], weight [F, 1, h, W], bias [F]) → [B, F]`: the largest value of each filter, or 0
/// if that is larger.
///
/// All steps meet all rows of all filters in one product; a place's value is then a sum of h of its
/// numbers. Backward, only the places that won count: one of L − h + 1 for each filter and row.
#[derive(Debug)]
pub(super) struct Across {
    sequences: Sequences,
    /// Where each filter found the most, `[B, F]`; nothing where that was not above 0.
    places: Mutex<Vec<Option<usize>>>,
}

impl Across {
    pub(super) fn new(sequences: Sequences) -> Self {
        Self {
            sequences,
            places: Mutex::new(Vec::new()),
        }
    }
}

/// `into += factor · from`.
#[inline]
fn add_scaled(into: &mut [f32], factor: f32, from: &[f32]) {
    for (into, from) in into.iter_mut().zip(from) {
        *into += factor * from;
    }
}

impl CustomOp3 for Across {
    fn name(&self) -> &'static str {
        "horizontal_convolution"
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
        let (batch, time, width) = x_layout.shape().dims3()?;
        let (filters, one, height, columns) = weight_layout.shape().dims4()?;
        let steps = self.sequences.steps;
        let fits = one == 1 && columns == width && (1..=steps).contains(&height);
        let dims = weight_layout.dims();
        self.sequences
            .check(x_layout.dims(), dims, bias_layout.dims(), fits)?;
        let x = numbers(x, x_layout)?;
        let weight = numbers(weight, weight_layout)?;
        let bias = numbers(bias, bias_layout)?;

        // Rows of the same height side by side, [h · F, W], so that sums run over all filters.
        let mut turned = Vec::with_capacity(weight.len());
        for row in 0..height {
            for filter in weight.chunks_exact(height * width) {
                turned.extend_from_slice(&filter[row * width..(row + 1) * width]);
            }
        }
        let across = height * filters;
        let mut met = vec![0.0; batch * time * across];
        let turned = matrix(&turned, across, width)?.transposed();
        multiply(
            &mut met,
            Write::Set,
            matrix(x, batch * time, width)?,
            turned,
        )?; // [B · T, h · F]

        let mut out = vec![0.0_f32; batch * filters];
        let mut places = vec![None; batch * filters];
        let mut value = vec![0.0_f32; filters];
        for (row, length) in self.sequences.lengths.iter().copied().enumerate() {
            let out = &mut out[row * filters..(row + 1) * filters];
            let places = &mut places[row * filters..(row + 1) * filters];
            // All windows from the length on are the same: one of them stands for all.
            for place in 0..=(steps - height).min(length) {
                value.copy_from_slice(bias);
                for step in place..(place + height).min(length) {
                    let at = (row * time + step) * across + (step - place) * filters;
                    for (value, met) in value.iter_mut().zip(&met[at..at + filters]) {
                        *value += met;
                    }
                }
                for ((value, out), best) in value.iter().zip(&mut *out).zip(&mut *places) {
                    if *value > *out {
                        *out = *value;
                        *best = Some(place);
                    } else if value.is_nan() {
                        *out = *value;
                    }
                }
            }
        }
        *self.places.lock().unwrap_or_else(PoisonError::into_inner) = places;
        Ok((CpuStorage::F32(out), (batch, filters).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _bias: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (_, time, width) = x.dims3()?;
        let (filters, _, height, _) = weight.dims4()?;
        let mut for_x = vec![0.0; x.elem_count()];
        let mut for_weight = vec![0.0; weight.elem_count()];
        let mut for_bias = vec![0.0; filters];
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        with_numbers(gradient, |gradient| {
            with_numbers(x, |x| {
                with_numbers(weight, |weight| {
                    let found = places.iter().zip(gradient).enumerate();
                    for (at, (place, gradient)) in found {
                        let Some(place) = *place else { continue };
                        let (row, filter) = (at / filters, at % filters);
                        for_bias[filter] += gradient;
                        let end = (place + height).min(self.sequences.lengths[row]);
                        if place >= end {
                            continue;
                        }
                        let in_x = (row * time + place) * width;
                        let in_x = in_x..in_x + (end - place) * width;
                        let in_weight = filter * height * width;
                        let in_weight = in_weight..in_weight + in_x.len();
                        add_scaled(
                            &mut for_x[in_x.clone()],
                            *gradient,
                            &weight[in_weight.clone()],
                        );
                        add_scaled(&mut for_weight[in_weight], *gradient, &x[in_x]);
                    }
                    Ok(())
                })
            })
        })?;
        let device = x.device();
        Ok((
            Some(Tensor::from_vec(for_x, x.shape(), device)?),
            Some(Tensor::from_vec(for_weight, weight.shape(), device)?),
            Some(Tensor::from_vec(for_bias, filters, device)?),
        ))
    }
}

/// `(x [B, T, W], weight [F, 1, L, 1], bias [F]) → relu(Σ_t weight_t x_t + bias) [B, F · W]`.
#[derive(Debug)]
pub(super) struct Along {
    sequences: Sequences,
}

impl Along {
    pub(super) fn new(sequences: Sequences) -> Self {
        Self { sequences }
    }
}

impl CustomOp3 for Along {
    fn name(&self) -> &'static str {
        "vertical_convolution"
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
        let (batch, time, width) = x_layout.shape().dims3()?;
        let (filters, one, steps, wide) = weight_layout.shape().dims4()?;
        let fits = (one, wide) == (1, 1) && steps == self.sequences.steps;
        let dims = weight_layout.dims();
        self.sequences
            .check(x_layout.dims(), dims, bias_layout.dims(), fits)?;
        let x = numbers(x, x_layout)?;
        let weight = numbers(weight, weight_layout)?;
        let bias = numbers(bias, bias_layout)?;
        let mut out = vec![0.0_f32; batch * filters * width];
        let rows = out.chunks_exact_mut((filters * width).max(1));
        for ((row, out), length) in rows.enumerate().zip(&self.sequences.lengths) {
            let filters = weight.chunks_exact(steps).zip(bias);
            for ((weight, bias), out) in filters.zip(out.chunks_exact_mut(width)) {
                out.fill(*bias);
                for (step, weight) in weight[..*length].iter().enumerate() {
                    let at = (row * time + step) * width;
                    add_scaled(out, *weight, &x[at..at + width]);
                }
                for number in out {
                    // Not `max`, which would hide NaN.
                    if *number < 0.0 {
                        *number = 0.0;
                    }
                }
            }
        }
        Ok((CpuStorage::F32(out), (batch, filters * width).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _bias: &Tensor,
        result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (_, time, width) = x.dims3()?;
        let (filters, _, steps, _) = weight.dims4()?;
        let mut for_x = vec![0.0; x.elem_count()];
        let mut for_weight = vec![0.0_f32; weight.elem_count()];
        let mut for_bias = vec![0.0_f32; filters];
        let mut through = vec![0.0_f32; width];
        with_numbers(result, |result| {
            with_numbers(gradient, |gradient| {
                with_numbers(x, |x| {
                    with_numbers(weight, |weight| {
                        let parts = result.chunks_exact(width).zip(gradient.chunks_exact(width));
                        for (at, (result, gradient)) in parts.enumerate() {
                            let (row, filter) = (at / filters, at % filters);
                            let both = through.iter_mut().zip(result.iter().zip(gradient));
                            for (through, (result, gradient)) in both {
                                *through = if *result > 0.0 { *gradient } else { 0.0 };
                            }
                            for_bias[filter] += through.iter().sum::<f32>();
                            for step in 0..self.sequences.lengths[row] {
                                let in_x = (row * time + step) * width;
                                let in_x = in_x..in_x + width;
                                let in_weight = filter * steps + step;
                                add_scaled(&mut for_x[in_x.clone()], weight[in_weight], &through);
                                for_weight[in_weight] += super::vector::dot(&through, &x[in_x]);
                            }
                        }
                        Ok(())
                    })
                })
            })
        })?;
        let device = x.device();
        Ok((
            Some(Tensor::from_vec(for_x, x.shape(), device)?),
            Some(Tensor::from_vec(for_weight, weight.shape(), device)?),
            Some(Tensor::from_vec(for_bias, filters, device)?),
        ))
    }
}

fn matrix(data: &[f32], rows: usize, columns: usize) -> Result<Matrix<'_>> {
    match Matrix::new(data, rows, columns) {
        Some(matrix) => Ok(matrix),
        None => candle_core::bail!("{} numbers for [{rows}, {columns}]", data.len()),
    }
}
